"""How this plugin words what is wrong with a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wkconvert_core import BrokenSource

_SHOWN = 5


def broken(path: str, why: str, *, cut: bool = False) -> BrokenSource:
    """The error for a damaged file, or one that is `cut` short."""
    return BrokenSource(
        f"{path} is {'cut short' if cut else 'damaged'}", why=why, fix="write or copy the file again, then repeat this"
    )


def some(items: Sequence[str]) -> str:
    """The first few of a list, and how many there are."""
    shown = ", ".join(items[:_SHOWN])
    return shown if len(items) <= _SHOWN else f"{shown} and {len(items) - _SHOWN} more"


def ranges(numbers: Iterable[int]) -> str:
    """Sorted numbers as `3, 7-9`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return some([str(a) if a == b else f"{a}-{b}" for a, b in runs])
