"""Stacks with one file per slice: the order of the slices, and gaps in their numbering."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from wkconvert_core.contract.errors import InconsistentStack
from wkconvert_core.toolkit.names import by_texts
from wkconvert_core.toolkit.names import numbers as numbers_of

__all__ = ["Gaps", "natural_key", "oddly_named", "ranges", "restarts", "shorten", "with_gaps"]

Gaps = Literal["error", "fill", "close"]
"""What to do about missing slices, as `--gaps` has it."""

_DIGITS = re.compile(r"([0-9]+)")
_MOST_FILLED = 1000
"""Most empty slices to fill in per existing one: if it takes more, the numbers do not count slices."""
_SHOWN = 5


def natural_key(name: str) -> tuple[list[str | int], str]:
    """A sort key that compares numbers within names by their value.

    >>> sorted(["s10.tif", "s2.tif", "s1.tif"], key=natural_key)
    ['s1.tif', 's2.tif', 's10.tif']
    """
    parts = _DIGITS.split(name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def with_gaps(folder: str, names: Sequence[str], gaps: Gaps) -> list[str | None]:
    """The names of the slices, given in natural order, with None for each missing slice to be filled with zeros.

    Slices are counted by the last number in the names that varies without merely accompanying another one: by s in
    `x10_s3_t1699.tif`, if t grows with s and x is constant. With `gaps="error"`, holes in that numbering raise
    InconsistentStack, as do two slices with the same number; `gaps="close"` takes the files as they come.

    >>> with_gaps("brain", ["s1.tif", "s2.tif", "s4.tif"], "fill")
    ['s1.tif', 's2.tif', None, 's4.tif']
    >>> with_gaps("brain", ["s1.tif", "s2.tif", "s4.tif"], "error")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    wkconvert_core.contract.errors.InconsistentStack: slices are missing in brain: 3 (1 in all)...
    """
    if gaps == "close":
        return list(names)
    missing_before: dict[str, int] = {}
    holes: list[tuple[int, int]] = []
    for run in _runs(names):
        _check_unique(folder, run)
        for (low, _), (high, name) in itertools.pairwise(run):
            missing_before[name] = high - low - 1
            holes += [(low + 1, high - 1)] if high > low + 1 else []
    if holes and gaps == "error":
        raise InconsistentStack(
            f"slices are missing in {folder}: {_listed(holes)} ({sum(missing_before.values())} in all)",
            why=f"the numbers in the {len(names)} names, from {names[0]} to {names[-1]}, have holes",
            fix="add the missing files, or say --gaps fill for empty slices, --gaps close to do without",
        )
    if sum(missing_before.values()) > _MOST_FILLED * len(names):
        raise InconsistentStack(
            f"{sum(missing_before.values())} slices are missing between the {len(names)} in {folder}",
            why="so many cannot be filled: the numbers in the names do not seem to count slices",
            fix="say --gaps close to take the files as they come",
        )
    return [entry for name in names for entry in (*[None] * missing_before.get(name, 0), name)]


def oddly_named(names: Sequence[str]) -> list[str]:
    """The few files, at most a tenth, whose names differ from the others' in more than numbers.

    >>> oddly_named([f"s{n}.tif" for n in range(20)] + ["overview1.tif"])
    ['overview1.tif']
    """
    most = max(by_texts(names).values(), key=len, default=[])
    usual = set(most)
    return [name for name in names if name not in usual] if 10 * len(most) >= 9 * len(names) else []


def restarts(names: Sequence[str]) -> int:
    """Number of series of numbered slices.

    >>> restarts(["w1_s1.tif", "w1_s2.tif", "w2_s1.tif", "w2_s2.tif"])
    2
    """
    return sum(len(run) > 1 for run in _runs(names))


def _runs(names: Sequence[str]) -> list[list[tuple[int, str]]]:
    """Each series of slices: its names with their slice numbers, sorted."""
    runs: list[list[tuple[int, str]]] = []
    for alike in by_texts(names).values():
        numbers = [numbers_of(name) for name in alike]
        position = _counting(numbers)
        if position is None:
            continue
        grouped: dict[tuple[int, ...], list[tuple[int, str]]] = defaultdict(list)
        for name, number in zip(alike, numbers, strict=True):
            grouped[number[:position]].append((number[position], name))
        runs += map(sorted, grouped.values())
    return runs


def _counting(numbers: Sequence[tuple[int, ...]]) -> int | None:
    """The position of the number that counts slices among the numbers of each name; None if there is none."""
    # from the right, the first number that varies while the numbers before it, the head, are constant: heads have two
    # names or more on average, and the number tells more names apart than the heads do, so it does not just follow one
    for position in reversed(range(len(numbers[0]))):
        heads = {number[:position] for number in numbers}
        if 2 * len(heads) <= len(numbers) and len({number[: position + 1] for number in numbers}) > len(heads):
            return position
    return None


def _check_unique(folder: str, run: list[tuple[int, str]]) -> None:
    for (a, first), (b, second) in itertools.pairwise(run):
        if a == b:
            raise InconsistentStack(
                f"two slices in {folder} have the number {a}: {first} and {second}",
                why="nothing says which comes first, or whether both belong to the stack",
                fix="move one away, or say --gaps close to take both as they come",
            )


def shorten(items: Sequence[str]) -> str:
    """The first few items, and the number of the others.

    >>> shorten(list("abcdefgh"))
    'a, b, c, d, e and 3 more'
    """
    shown = ", ".join(items[:_SHOWN])
    return shown if len(items) <= _SHOWN else f"{shown} and {len(items) - _SHOWN} more"


def ranges(numbers: Iterable[int]) -> str:
    """Sorted numbers as text, with consecutive ones as ranges.

    >>> ranges([3, 7, 8, 9])
    '3, 7-9'
    """
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return _listed(runs)


def _listed(runs: Sequence[tuple[int, int]]) -> str:
    return shorten([str(first) if first == last else f"{first}-{last}" for first, last in runs])
