"""Reader options: `-o key=value` becomes the keyword arguments of a plain function, by its signature."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from wkconvert_core.errors import OptionError, PluginError


class UnknownOption(OptionError):
    """An option that the reader does not have; core tells whether another layer's reader has it."""


def known_options(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a reader's function, by name: these are its options."""
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        raise PluginError(f"{function.__qualname__} takes **{'kwargs'}", why="a reader names each of its options")
    return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def parse_options(function: Callable[..., Any], options: Mapping[str, str]) -> dict[str, Any]:
    """Turn texts into the keyword arguments of `function`, converted by its annotations.

    Annotations may be str, int, float, bool, a Literal of texts or numbers, and each of these with None. Raises
    UnknownOption for a name that `function` does not have, OptionError for a text that does not fit.
    """
    known = known_options(function)
    if unknown := sorted(set(options) - set(known)):
        listed = ", ".join(sorted(known)) or "none"
        raise UnknownOption(f"unknown reader option {', '.join(unknown)}", fix=f"this reader's options: {listed}")
    hints = get_type_hints(function)
    return {name: _converted(name, text, hints.get(name, str)) for name, text in options.items()}


def _converted(name: str, text: str, hint: Any) -> Any:
    choices = _choices(hint)
    for choice in choices:
        value = _as_choice(text, choice)
        if value is not None:
            return value
    legal = ", ".join(choice.__name__ if isinstance(choice, type) else str(choice) for choice in choices)
    raise OptionError(f"-o {name}={text} does not fit", fix=f"it takes: {legal}")


def _choices(hint: Any) -> list[Any]:
    """The types and literal values that an annotation allows."""
    if get_origin(hint) in (Union, types.UnionType):
        return [choice for part in get_args(hint) if part is not type(None) for choice in _choices(part)]
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [hint]


def _as_choice(text: str, choice: Any) -> Any:
    """`text` as a value of the type, or as the literal, that `choice` is; None if it is not one."""
    if not isinstance(choice, type):
        return choice if text == str(choice) else None
    if choice is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower())
    try:
        return choice(text)
    except ValueError:
        return None
