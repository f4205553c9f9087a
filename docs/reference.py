"""A griffe extension: makes the reference of `wkconvert` say what its functions take, and shows examples as code."""

import re
from typing import Any

import griffe

DEFINED_IN = {
    "convert": "wkconvert_core.conversion.execute",
    "verify": "wkconvert_core.commands.verify",
    "check_equality": "wkconvert_core.commands.check_equality",
}
"""Where the commands are that `wkconvert_core.api` only passes on."""
FOLDED = ("settings", "resources", "listen", "command")
"""Parameters that `with_keywords` replaces by keyword arguments and `progress`, and one that is core's own."""


class Reference(griffe.Extension):
    """An extension that changes what griffe reads while it is loaded."""

    def on_object(self, *, obj: griffe.Object, **more: Any) -> None:
        """Make a block of code of each `>>>` example."""
        if obj.docstring and ">>>" in obj.docstring.value:
            example = re.compile(r"^>>>.*?(?=\n\n|\Z)", re.S | re.M)
            obj.docstring.value = example.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **more: Any) -> None:
        """Make functions of what `with_keywords` returns."""
        if pkg.name != "wkconvert":
            return
        for name, member in list(pkg.members.items()):
            if member.is_alias or not member.is_attribute or "with_keywords" not in str(member.value):
                continue
            command = loader.modules_collection[f"{DEFINED_IN.get(name, 'wkconvert_core.api')}.{name}"]
            kinds = griffe.ParameterKind
            own = [each for each in command.parameters if each.name not in FOLDED]
            keywords = [
                griffe.Parameter("progress", kind=kinds.keyword_only, default="None"),
                griffe.Parameter("options", kind=kinds.var_keyword),
            ]
            parameters = griffe.Parameters(*own, *keywords)
            docstring = griffe.Docstring(command.docstring.value.replace("`settings.", "`"))
            function = griffe.Function(name, parameters=parameters, returns=command.returns, docstring=docstring)
            pkg.set_member(name, function)
