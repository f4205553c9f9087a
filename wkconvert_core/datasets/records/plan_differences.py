"""Differences between the plan of an earlier run and what is asked for now, in the user's words."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

_OPTIONS = {"reader_options": "-o", "to_options": "--to-option"}
"""Settings that are options of a reader or writer, and how each is given."""
_SAID = {
    "source": "from another source, {old}",
    "fingerprint": "from files that have changed since, or others",
    "layers": "from a source that held something else",
    "voxel_sizes": "from a source of another voxel size",
    "grids": "from a source that lies elsewhere",
    "readers": "with another version of a reader",
    "extents": "with other layers or extents",
    "made": "with other mags",
    "version": "by wkconvert {old}",
    "command": "by `{old}`",
}
"""The meaning of a plan's entries, the most telling first."""


def differences_told(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Name what an old plan has otherwise than a new one; empty if nothing that can be named.

    >>> old = {"source": "em", "settings": {"max_mag": 4, "dtype": None, "to_options": "[('compression', 'lz4')]"}}
    >>> new = {"source": "em", "settings": {"max_mag": None, "dtype": "uint8", "to_options": "[]"}}
    >>> differences_told(old, new)
    'it was made with --max-mag 4, without --dtype, with --to-option compression=lz4'
    >>> differences_told({**old, "source": "raw"}, old)
    'it was made from another source, raw'
    """
    if "/" in str(old.get("source")):  # plans name their source without its path since
        return "it was made by an earlier version of wkconvert, whose work is not continued"
    told = list(_settings(old.get("settings", {}), new.get("settings", {})))
    if not told:
        told = [said.format(old=old.get(key)) for key, said in _SAID.items() if old.get(key) != new.get(key)][:1]
    return f"it was made {', '.join(told)}" if told else ""


def _settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in (name for name in new if old.get(name) != new[name]):
        if option := _OPTIONS.get(name):
            before, now = _pairs(old.get(name)), _pairs(new[name])
            for key in sorted({*before, *now}):
                if before.get(key) != now.get(key):
                    yield f"with {option} {key}={before[key]}" if key in before else f"without {option} {key}"
            continue
        value, option = old.get(name), f"--{name.replace('_', '-')}"
        if value in (None, False, "", "None"):
            yield f"without {option}"
        elif value is True:
            yield f"with {option}"
        elif isinstance(value, int) or (isinstance(value, str) and "(" not in value):
            yield f"with {option} {value}"
        else:
            yield f"with another {option}"


def _pairs(text: object) -> dict[str, str]:
    try:
        return dict(ast.literal_eval(str(text)))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # a plan that was damaged
        return {}
