"""Telling stacks from tiles by their names: two running numbers may be rows and columns."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

from wkconvert_core import UnsupportedSource
from wkconvert_core.toolkit.names import axes, numbers, stem, texts, with_fields

_NEEDS = "(needs wkconvert[tiles])"


def check_are_slices(folder: str, names: Sequence[str]) -> None:
    """Raise UnsupportedSource for names that contain the words x and y (or column and row), if either number varies.

    >>> check_are_slices("brain", ["z5_y0_x0.png", "z5_y0_x1.png"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    wkconvert_core.contract.errors.UnsupportedSource: brain holds tiles: ... say -o pattern=z{z}_y{y}_x{x}.png ...
    """
    alike, found = _usual(names)
    words = axes(stem(alike[0]))
    varying = {word for at, word in enumerate(words) if len({each[at] for each in found}) > 1}
    if {"x", "y"} <= set(words) and varying & {"x", "y"}:
        raise UnsupportedSource(
            f"{folder} holds tiles: {alike[0]} to {alike[-1]}",
            why="their names say x and y, so a slice consists of several files",
            fix=f"say -o pattern={with_fields(alike[0], dict(enumerate(words)))} {_NEEDS}; or --gaps close, if each "
            "file is a slice, to take them as they come",
        )


def grid_note(names: Sequence[str]) -> str:
    """A note for names in which two numbers vary like rows and columns; empty for other names.

    >>> grid_note(["1_1.png", "1_2.png", "2_1.png", "2_2.png"]).partition(":")[0]
    '2 numbers run in the names (2 and 2 values)'
    """
    alike, found = _usual(names)
    values = [len({each[at] for each in found}) for at in range(len(found[0]))]
    running = [at for at, count in enumerate(values) if count > 1]
    # of two numbers that are rows and columns each repeats, of others one merely accompanies the other
    pairs = itertools.combinations(running, 2)
    if not any(max(values[a], values[b]) < len({(each[a], each[b]) for each in found}) for a, b in pairs):
        return ""
    last = running[-3:]
    pattern = with_fields(alike[0], dict(zip(last, "zyx"[-len(last) :], strict=True)))
    counts = " and ".join(str(values[at]) for at in running)
    return (
        f"{len(running)} numbers run in the names ({counts} values): taken as one stack, in natural order; if these "
        f"are tiles, say how they are named, such as -o pattern={pattern} {_NEEDS}"
    )


def _usual(names: Sequence[str]) -> tuple[list[str], list[tuple[int, ...]]]:
    """The names of the most common pattern, and their numbers."""
    kinds: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in names:
        kinds[texts(name)[:-1]].append(name)
    alike = max(kinds.values(), key=len)
    return alike, [numbers(name) for name in alike]
