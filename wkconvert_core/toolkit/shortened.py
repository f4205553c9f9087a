"""Names and numbers in a message, shortened where they are many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["ranges", "ranges_text", "shorten"]

_SHOWN = 5


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
    return ranges_text(runs)


def ranges_text(runs: Sequence[tuple[int, int]], scale: int = 1) -> str:
    """Ranges, given by their first and last numbers, as text; each number is divided by a scale.

    >>> ranges_text([(3, 3), (7, 9)])
    '3, 7-9'
    """
    shown = [(f"{first / scale:.12g}", f"{last / scale:.12g}") for first, last in runs]
    return shorten([first if first == last else f"{first}-{last}" for first, last in shown])
