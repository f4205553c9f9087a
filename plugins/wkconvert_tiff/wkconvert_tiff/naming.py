"""Telling stacks from tiles by their names: two running numbers may be rows and columns."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from wkconvert_core import UnsupportedSource

_DIGITS = re.compile(r"([0-9]+)")
_LAST_WORD = re.compile(r"([a-z]+)[-_ .]?$", re.IGNORECASE)
_WORDS = {"x": "x", "col": "x", "column": "x", "y": "y", "row": "y", "z": "z", "slice": "z", "section": "z"}
_NEEDS = "(needs wkconvert[tiles])"


def check_are_slices(folder: str, names: Sequence[str]) -> None:
    """Raise UnsupportedSource for names that contain the words x and y (or column and row), if either number varies.

    >>> check_are_slices("brain", ["z5_y0_x0.png", "z5_y0_x1.png"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    wkconvert_core.contract.errors.UnsupportedSource: brain holds tiles: ... say -o pattern=z{z}_y{y}_x{x}.png ...
    """
    alike, numbers = _usual(names)
    # the axis of each number, by the word before it
    before = [_LAST_WORD.search(text) for text in _DIGITS.split(Path(alike[0]).stem)[:-1:2]]
    words = [_WORDS.get(word[1].lower(), "") if word else "" for word in before]
    varying = {word for at, word in enumerate(words) if len({each[at] for each in numbers}) > 1}
    if {"x", "y"} <= set(words) and varying & {"x", "y"}:
        raise UnsupportedSource(
            f"{folder} holds tiles: {alike[0]} to {alike[-1]}",
            why="their names say x and y, so a slice consists of several files",
            fix=f"say -o pattern={_pattern(alike[0], dict(enumerate(words)))} {_NEEDS}; or --gaps close, if each "
            "file is a slice, to take them as they come",
        )


def grid_note(names: Sequence[str]) -> str:
    """A note for names in which two numbers vary like rows and columns; empty for other names.

    >>> grid_note(["1_1.png", "1_2.png", "2_1.png", "2_2.png"]).partition(":")[0]
    '2 numbers run in the names (2 and 2 values)'
    """
    alike, numbers = _usual(names)
    values = [len({each[at] for each in numbers}) for at in range(len(numbers[0]))]
    running = [at for at, count in enumerate(values) if count > 1]
    # of two numbers that are rows and columns each repeats, of others one merely accompanies the other
    pairs = itertools.combinations(running, 2)
    if not any(max(values[a], values[b]) < len({(each[a], each[b]) for each in numbers}) for a, b in pairs):
        return ""
    last = running[-3:]
    pattern = _pattern(alike[0], dict(zip(last, "zyx"[-len(last) :], strict=True)))
    counts = " and ".join(str(values[at]) for at in running)
    return (
        f"{len(running)} numbers run in the names ({counts} values): taken as one stack, in natural order; if these "
        f"are tiles, say how they are named, such as -o pattern={pattern} {_NEEDS}"
    )


def _usual(names: Sequence[str]) -> tuple[list[str], list[tuple[int, ...]]]:
    """The names of the most common pattern, and their numbers."""
    kinds: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in names:
        kinds[tuple(_DIGITS.split(Path(name).stem)[::2])].append(name)
    alike = max(kinds.values(), key=len)
    return alike, [tuple(map(int, _DIGITS.findall(Path(name).stem))) for name in alike]


def _pattern(name: str, fields: dict[int, str]) -> str:
    pieces = _DIGITS.split(Path(name).stem)
    for at, field in fields.items():
        pieces[2 * at + 1] = f"{{{field}}}" if field else pieces[2 * at + 1]
    return "".join(pieces) + Path(name).suffix
