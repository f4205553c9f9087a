"""Missing slices: holes in the numbers of the names, told apart from numbers that rise in steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from wkconvert_core.contract.errors import InconsistentStack
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.toolkit.shortened import ranges_text, shorten

__all__ = ["Gaps", "in_slice_order"]

Gaps = Literal["error", "fill", "close"]
"""The treatment of missing slices, as `--gaps` has it."""

_MOST_FILLED = 1000
"""Most empty slices to fill in per existing one: if it takes more, the numbers do not count slices."""


def in_slice_order(
    folder: str, stacks: Mapping[str, Mapping[int, str]], gaps: Gaps, *, scale: int = 1, has_unit: bool = False
) -> tuple[dict[str, tuple[str | None, ...]], list[str]]:
    """The slices of each channel in the order of their numbers, None for missing ones that are to be filled; and notes.

    Numbers that rise by the same step, as those of names that count µm do, have no holes; `scale` is what they are
    divided by in messages, `has_unit` tells that a step is no wonder. Raises InconsistentStack for missing slices,
    unless they are to be filled or closed up; where channels lack different ones, they cannot be closed up.

    >>> in_slice_order("brain", {"": {0: "s0.tif", 25: "s25.tif", 75: "s75.tif", 100: "s100.tif"}}, "fill")[0]
    {'': ('s0.tif', 's25.tif', None, 's75.tif', 's100.tif')}
    """
    numbers = sorted({number for stack in stacks.values() for number in stack})
    step = _step(numbers, sure=has_unit or scale > 1)
    notes: list[str] = []
    if step > 1 and not has_unit and scale == 1:
        notes.append(WarningNote(f"the numbers in the names rise in steps of {step}: taken as consecutive slices"))
    holes = [(low + step, high - step) for low, high in itertools.pairwise(numbers) if high - low > step]
    missing = sum((last - first) // step + 1 for first, last in holes)
    names = [name for stack in stacks.values() for name in stack.values()]
    if holes and gaps == "error":
        raise InconsistentStack(
            f"slices are missing in {folder}: {ranges_text(holes, scale)} ({missing} in all)",
            why=f"the numbers in the {len(names)} names, from {names[0]} to {names[-1]}, have holes",
            fix="add the missing files, or say --gaps fill for empty slices, --gaps close to do without, also if the "
            "numbers are times of day or the like",
        )
    lacking = {
        channel: sorted(set(numbers) - set(stack)) for channel, stack in stacks.items() if len(stack) < len(numbers)
    }
    if lacking and gaps != "fill":
        told = [f"{channel} lacks {ranges_text([(n, n) for n in lack], scale)}" for channel, lack in lacking.items()]
        raise InconsistentStack(
            f"slices are missing in {folder}: {shorten(told)}",
            why="the channels do not have the same slices",
            fix="add the missing files, or say --gaps fill for empty slices",
        )
    if gaps == "fill" and missing > _MOST_FILLED * len(names):
        raise InconsistentStack(
            f"{missing} slices are missing between the {len(names)} in {folder}",
            why="so many cannot be filled: the numbers in the names do not seem to count slices",
            fix="say --gaps close to take the files as they come",
        )
    places: Sequence[int] = range(numbers[0], numbers[-1] + 1, step) if holes and gaps == "fill" else numbers
    return {channel: tuple(stack.get(number) for number in places) for channel, stack in stacks.items()}, notes


def _step(numbers: Sequence[int], *, sure: bool) -> int:
    """The step of numbers from slice to slice: 1, or the one that most of them rise by if all are multiples of it."""
    rises = [high - low for low, high in itertools.pairwise(numbers)]
    step = math.gcd(*rises)
    return step if len(rises) >= (1 if sure else 2) and 2 * rises.count(step) >= len(rises) else 1
