"""Numbers in the names of pictures: the axes that words before them say, and fields of a pattern in their place."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

__all__ = ["axes", "numbers", "stem", "texts", "with_fields"]

_AXES = {
    **dict.fromkeys(("z", "slice", "section", "sec", "plane"), "z"),
    **dict.fromkeys(("y", "row"), "y"),
    **dict.fromkeys(("x", "col", "column"), "x"),
}
"""The axis that the number after each word counts."""
_DIGITS = re.compile(r"([0-9]+)")
_LAST_WORD = re.compile(r"([a-z]+)[-_ .]?$", re.IGNORECASE)


def stem(name: str) -> str:
    """A name without its suffix.

    >>> stem("tile_2_3.png")
    'tile_2_3'
    """
    return os.path.splitext(name)[0]  # noqa: PTH122 - there may be thousands of names


def texts(name: str) -> tuple[str, ...]:
    """The texts around the numbers of a name, its suffix last.

    >>> texts("tile_2_3.png")
    ('tile_', '_', '', '.png')
    """
    return (*_DIGITS.split(stem(name))[::2], name[len(stem(name)) :])


def numbers(name: str) -> tuple[int, ...]:
    """The numbers of a name, without those in its suffix.

    >>> numbers("tile_2_03.jp2")
    (2, 3)
    """
    return tuple(map(int, _DIGITS.findall(stem(name))))


def axes(text: str) -> list[str]:
    """The axis of each number, empty without a word for it.

    >>> axes("z5_Row2_7")
    ['z', 'y', '']
    """
    words = [_LAST_WORD.search(before) for before in _DIGITS.split(text)[:-1:2]]
    return [_AXES.get(word[1].lower(), "") if word else "" for word in words]


def with_fields(name: str, fields: Mapping[int, str]) -> str:
    """A name in which some of the numbers are replaced by fields; those with an empty field stay.

    >>> with_fields("tile_2_3.png", {0: "y", 1: "x"})
    'tile_{y}_{x}.png'
    """
    pieces = _DIGITS.split(name)
    for at, field in fields.items():
        pieces[2 * at + 1] = f"{{{field}}}" if field else pieces[2 * at + 1]
    return "".join(pieces)
