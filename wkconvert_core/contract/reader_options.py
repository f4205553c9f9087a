"""Reader options: `-o key=value` becomes the keyword arguments of a plain function, by its signature."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from wkconvert_core.contract.errors import OptionError, PluginError, did_you_mean
from wkconvert_core.contract.numbers import decimal_number, whole_number


class UnknownOption(OptionError):
    """Options that the reader does not have; of a folder of layers, another layer's reader may have them."""

    def __init__(self, what: str, *, why: str = "", fix: str = "", names: Sequence[str] = ()) -> None:
        """`names` are the unknown options."""
        super().__init__(what, why=why, fix=fix)
        self.names = tuple(names)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the names as well."""
        return functools.partial(type(self), self.what, why=self.why, fix=self.fix, names=self.names), ()


def known_options(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """A reader's options: the keyword-only parameters of its function, by name. Raises PluginError for `**kwargs`.

    >>> def source(path, *, zyx: bool = False, level: int = 0): ...
    >>> list(known_options(source))
    ['zyx', 'level']
    """
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            name = getattr(function, "__qualname__", repr(function))
            raise PluginError(f"{name} takes **{parameter.name}", why="a reader names each of its options")
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def parse_options(
    function: Callable[..., Any],
    options: Mapping[str, str],
    shown: Callable[[str, str], str] = "-o {}={}".format,
) -> dict[str, Any]:
    """Turn texts into the keyword arguments of `function`, converted by its annotations.

    `shown` writes an option's name and text as users do; that of a writer is not `-o`. Annotations may be str, int,
    float, bool, a Literal of texts or numbers, and each of these with None. Raises UnknownOption for a name that
    `function` does not have, OptionError for a text that does not fit.

    >>> def source(path, *, zyx: bool = False, level: int = 0, order: Literal["F", "C"] = "F"): ...
    >>> parse_options(source, {"zyx": "yes", "level": "2", "order": "C"})
    {'zyx': True, 'level': 2, 'order': 'C'}
    >>> parse_options(source, {"order": "x"})
    Traceback (most recent call last):
    wkconvert_core.contract.errors.OptionError: -o order=x does not fit. it takes: F, C
    """
    known = known_options(function)
    if unknown := sorted(set(options) - set(known)):
        listed = ", ".join(sorted(known)) or "none"
        who = "reader" if shown(*"ab").startswith("-o ") else "writer"
        fix = f"{did_you_mean(unknown[0], known)}this {who}'s options: {listed}"
        raise UnknownOption(f"unknown {who} option {', '.join(unknown)}", fix=fix, names=unknown)
    hints = {name: _hint(function, known[name]) for name in options}
    return {name: _converted(shown(name, text), text, hints[name]) for name, text in options.items()}


def _hint(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """An option's annotation as an object.

    It is evaluated by itself: `get_type_hints` would evaluate the others too, which may name what only type checkers
    import.
    """
    hint = parameter.annotation
    if not isinstance(hint, str):
        return str if hint is parameter.empty else hint
    while isinstance(function, functools.partial):
        function = function.func
    owner = inspect.unwrap(function.__init__ if isinstance(function, type) else function)  # type: ignore[misc]
    return eval(hint, dict(owner.__globals__))


def _converted(option: str, text: str, hint: Any) -> Any:
    choices = _choices(hint)
    for choice in choices:
        value = _as_choice(text, choice)
        if value is not None:
            return value
    names = {bool: "true, false"}
    legal = [names.get(choice) or (choice.__name__ if isinstance(choice, type) else str(choice)) for choice in choices]
    words = [choice for choice in choices if isinstance(choice, str)]
    raise OptionError(f"{option} does not fit", fix=f"{did_you_mean(text, words)}it takes: {', '.join(legal)}")


def _choices(hint: Any) -> list[Any]:
    """The types and literal values that an annotation allows."""
    if get_origin(hint) in (Union, types.UnionType):
        return [choice for part in get_args(hint) if part is not type(None) for choice in _choices(part)]
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [hint]


def _as_choice(text: str, choice: Any) -> Any:
    """`text` as a value of the type `choice`, or as the literal `choice`; None if it is no such value."""
    if not isinstance(choice, type):
        return choice if text == str(choice) else None
    if choice is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower())
    try:
        return {int: whole_number, float: decimal_number}.get(choice, choice)(text)
    except ValueError:
        return None
