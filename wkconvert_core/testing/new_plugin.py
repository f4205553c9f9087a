"""The files of a new reader, to be changed. Behind `wkconvert new-plugin`."""

from __future__ import annotations

import re
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from wkconvert_core.contract.errors import OptionError, TargetExists
from wkconvert_core.registry.known_shapes import SUFFIXES
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.atomic import writing

FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "hooks.py.txt": "wkconvert_NAME/__init__.py",
    "source.py.txt": "wkconvert_NAME/source.py",
    "test.py.txt": "tests/test_NAME.py",
}
"""The name that each file of the template gets."""


def new_plugin(name: str, folder: Path) -> list[Path]:
    """Write a package that reads `.NAME` files into `folder/wkconvert-NAME`; returns its files.

    It can be installed as it is, and passes its tests. Raises OptionError for a name that is none of a module,
    or that another plugin has, TargetExists, TargetError.
    """
    if not re.fullmatch("[a-z][a-z0-9]*", name):
        raise OptionError(f"{name!r} is no name for a plugin", fix="take small letters and digits, such as mrc")
    taken = sorted({*plugins().formats(), *SUFFIXES})
    if name in taken or find_spec(f"wkconvert_{name}"):
        raise OptionError(
            f"{name!r} is taken",
            why=f"two plugins of one name are in each other's way, and there are {', '.join(taken)}",
            fix=f"take another name, such as my{name}",
        )
    place = folder / f"wkconvert-{name}"
    if place.exists():
        raise TargetExists(f"{place} is there already", fix="take another name, or remove it")
    template = resources.files("wkconvert_core.testing") / "template"
    made = []
    with writing(place):
        for source, target in FILES.items():
            path = place / target.replace("NAME", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text((template / source).read_text("utf-8").replace("NAME", name), "utf-8")
            made.append(path)
    return made
