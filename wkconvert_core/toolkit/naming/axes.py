"""The axes that numbers in a folder's names count: depth, channels, times, positions, wells; or that it is unsaid.

Constant numbers count nothing. Numbers that vary together are one axis: a running number with a time stamp or a stage
position beside it. What is left are axes that cross each other, as z and channel do in `z01_ch1`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.toolkit.naming.columns import Column

__all__ = ["KINDS", "Axis", "axes_as_said", "axes_of", "shown"]

KINDS = ("z", "channel", "time", "position", "well", "y", "x")
"""The kinds of axis that a number may count."""
_DEPTH_LAST = ("", "y", "x", "well", "position", "time", "channel", "z")
"""Kinds in the order in which they are passed over, where one number follows from another."""
_MOST_CHANNELS = 64
_SPARSE = 2
"""Names are a grid if they fill at least one in so many of its places."""


@dataclass(frozen=True)
class Axis:
    """One or several numbers that count the same thing; with kind `?`, nobody said what."""

    kind: str
    columns: tuple[Column, ...]

    @property
    def values(self) -> list[tuple[int | str, ...]]:
        """The value of each name."""
        return list(zip(*(column.values for column in self.columns), strict=True))

    @property
    def distinct(self) -> list[tuple[int | str, ...]]:
        """The values that there are, sorted."""
        return sorted(set(self.values), key=lambda value: tuple((isinstance(one, str), one) for one in value))


def axes_of(columns: Sequence[Column]) -> list[Axis]:
    """The axes of names, given the columns in which they differ; at most one of each kind.

    >>> z, channel = Column([0, 0, 1, 1], "z", "z"), Column([0, 1, 0, 1], "channel", "ch")
    >>> [axis.kind for axis in axes_of([z, channel])]
    ['z', 'channel']
    >>> stamp = Column([1712, 1745, 1790, 1801])
    >>> [axis.kind for axis in axes_of([z, channel, stamp])]
    ['z', 'channel']
    """
    chosen = _independent(columns)
    if len(chosen) == 1:
        return [_alone(chosen[0])]
    if not any(column.kind == "z" for column in chosen):
        chosen = _with_depth(chosen)
    chosen = [replace(column, kind="") if _is_doubtful(column, chosen) else column for column in chosen]
    kinds = [column.kind for column in chosen]
    if ("y" in kinds) != ("x" in kinds):  # a row without columns is anything
        chosen = [replace(column, kind="") if column.kind in ("y", "x") else column for column in chosen]
    unsaid = [column for column in chosen if not column.kind]
    if unsaid and not _is_grid(unsaid):  # such as dates and times of day: they order the names, and cross nothing
        meant = "?" if "z" in kinds else "z"
        return [*_merged([column for column in chosen if column.kind]), Axis(meant, tuple(unsaid))]
    return _merged([replace(column, kind=column.kind or "?") for column in chosen])


def axes_as_said(columns: Sequence[Column], said: str) -> list[Axis]:
    """The axes as `-o names=` has them, a kind for each number that runs; `z` alone means that all of them are depth.

    `-z` is a depth of which `wkconvert_core.toolkit.naming.signs` has read the minus.
    Raises OptionError for an unknown kind, and where their number does not fit.
    """
    kinds = [kind.strip().lower() for kind in said.split(",")]
    kinds = ["z" if kind == "-z" else kind for kind in kinds]
    if unknown := [kind for kind in kinds if kind not in (*KINDS, "-")]:
        raise OptionError(
            f"-o names={said}: a number cannot count {unknown[0]!r}",
            fix=f"a word for each number that runs: {', '.join(KINDS)}, "
            "- for a number that counts nothing, or -z for slices below zero",
        )
    if kinds == ["z"]:
        return [Axis("z", tuple(columns))]
    chosen = columns if len(columns) == len(kinds) else _independent(columns)
    if len(kinds) != len(chosen):
        raise OptionError(
            f"-o names={said} has {len(kinds)} words, and {len(chosen)} numbers run in the names",
            why="; ".join(map(shown, chosen)),
            fix="give a word for each, from left to right",
        )
    pairs = zip(chosen, kinds, strict=True)
    return _merged([replace(column, kind=kind) for column, kind in pairs if kind != "-"])


def shown(column: Column) -> str:
    """The word before a number, and the values that it has, as text.

    >>> shown(Column([0, 1, 1, 7], "z", "z")), shown(Column([25, 25, 50], decimals=1))
    ('z 0, 1, 7', '2.5, 5')
    """
    values = sorted(set(column.values), key=lambda value: (isinstance(value, str), value))
    scale = 10**column.decimals
    texts = [value if isinstance(value, str) else f"{value / scale:.12g}" for value in values]
    few = texts if len(texts) <= 6 else [*texts[:3], "…", texts[-1]]
    return f"{column.word} {', '.join(few)}".strip()


def _independent(columns: Sequence[Column]) -> list[Column]:
    """The columns without those that merely accompany others."""
    said = [column for column in columns if column.kind]
    unsaid = sorted((column for column in columns if not column.kind), key=_skipped)
    counter = next((column for column in unsaid if _tells_apart([column])), None)
    counters = [column for column in [*unsaid, *said] if _tells_apart([column])]
    certain = [column for column in said if column.is_certain]
    if certain and _tells_apart(certain):
        chosen = certain
    elif counters and not any(column.kind in ("z", "channel", "well") for column in said):
        indices = [column for column in said if column.is_firm and _counts_on(column)]
        if indices:  # the number of a time or position, which a time stamp and the place of a stage are not
            return indices[:1]
        # a running number beside a time stamp, or beside the position of the stage
        counter = min(counters, key=_skipped)
        left = itertools.takewhile(lambda column: column is not counter, columns)
        before = [column for column in left if not column.kind]
        if _skipped(counter) and any(not _rises(column, counter) for column in before):
            return [*before, counter]  # a time of day, which begins anew with each day
        chosen = [*(column for column in said if _interleaves(column, counter)), counter]
    elif said and _tells_apart(said):
        chosen = said
    else:
        more = next((column for column in unsaid if _tells_apart([*said, column])), None)
        if more is None:
            chosen = [*said, *unsaid]
        elif more is counter:  # it counts all files: on through the channels, or with channels taking turns
            chosen = [*(column for column in said if _interleaves(column, counter)), counter]
        else:
            chosen = [*said, more]
    for column in sorted(chosen, key=_least_telling):
        others = [other for other in chosen if other is not column]
        if any(_follows(column, other) for other in others if not _belongs(column, other)):
            chosen = others
    return [column for column in columns if any(column is one for one in chosen)]


def _least_telling(column: Column) -> tuple[int, bool, float]:
    """A sort key by which columns that say less come first."""
    return _DEPTH_LAST.index(column.kind), isinstance(column.values[0], str), -_skipped(column)


def _belongs(column: Column, other: Column) -> bool:
    """Whether a column counts although it follows from another: half of a well, or what takes turns as files go on."""
    if column.kind == other.kind == "well":
        return True
    return column.kind not in ("", "z") and _tells_apart([other]) and _interleaves(column, other)


def _tells_apart(columns: Sequence[Column]) -> bool:
    """Whether no two names have the same values."""
    rows: list[Hashable] = list(zip(*(column.values for column in columns), strict=True))
    return bool(rows) and len(set(rows)) == len(rows)


def _follows(column: Column, other: Column) -> bool:
    """Whether one value is known from another: each value of `other` comes with one value of `column`."""
    return len(set(zip(other.values, column.values, strict=True))) == len(set(other.values))


def _interleaves(column: Column, counter: Column) -> bool:
    """Whether the values of a column take turns as a running number counts on, each as often as the others."""
    counts = Counter(column.values)
    runs = sum(1 for _ in itertools.groupby(_by(counter, column)))
    return len(set(counts.values())) == 1 and runs > len(counts)


def _rises(column: Column, counter: Column) -> bool:
    """Whether a column never falls as a running number counts on; words do not rise."""
    return all(
        isinstance(a, int) and isinstance(b, int) and a <= b for a, b in itertools.pairwise(_by(counter, column))
    )


def _by(counter: Column, column: Column) -> list[int | str]:
    """The values of a column in the order of a running number."""
    return [value for _, value in sorted(zip(counter.values, column.values, strict=True), key=lambda pair: pair[0])]


def _skipped(column: Column) -> float:
    """The number of steps between a column's least and largest number that no name has; infinite for words."""
    numbers = sorted({value for value in column.values if isinstance(value, int)})
    step = math.gcd(*(high - low for low, high in itertools.pairwise(numbers))) or 1
    return (numbers[-1] - numbers[0]) // step + 1 - len(numbers) if numbers else float("inf")


def _counts_on(column: Column) -> bool:
    """Whether a column numbers the names one by one.

    >>> _counts_on(Column([3, 1, 2])), _counts_on(Column([0, 30, 60])), _counts_on(Column([1, 1, 2]))
    (True, False, False)
    """
    numbers = sorted(value for value in column.values if isinstance(value, int))
    return numbers == list(range(numbers[0], numbers[0] + len(column.values))) if numbers else False


def _is_grid(columns: Sequence[Column]) -> bool:
    """Whether the values fill most of the places that they could have together, and each comes again."""
    rows = len(set(zip(*(column.values for column in columns), strict=True)))
    counts = [len(set(column.values)) for column in columns]
    return math.prod(counts) <= _SPARSE * rows and (len(columns) == 1 or max(counts) < rows)


def _alone(column: Column) -> Axis:
    """The axis of names in which one number runs: depth, unless its word says something else."""
    if isinstance(column.values[0], str) and not column.kind:
        letters = {str(value).lower() for value in column.values}
        return Axis("z" if max(map(len, letters)) == 1 else "?", (column,))
    if column.is_firm and _is_doubtful(column, [column]):
        return Axis("?", (column,))
    kind = column.kind if column.is_firm and column.kind not in ("y", "x") else "z"
    return Axis(kind or "z", (column,))


def _is_doubtful(column: Column, chosen: Sequence[Column]) -> bool:
    """Whether a word cannot be believed: one of two that say depth (slices and focal planes), or of 100 channels."""
    if column.kind == "channel":
        is_wafer = column.word == "w" and any(other.word in ("sec", "section") for other in chosen)
        return is_wafer or len(set(column.values)) > _MOST_CHANNELS
    return column.kind == "z" and column is not [other for other in chosen if other.kind == "z"][-1]


def _with_depth(chosen: Sequence[Column]) -> list[Column]:
    """Columns in which the only number without a word, or a long `s0001`, counts slices."""
    if long := [column for column in chosen if column.word == "s" and column.padded]:
        return [replace(column, kind="z") if column is long[-1] else column for column in chosen]
    unsaid = [column for column in chosen if not column.kind and isinstance(column.values[0], int)]
    if len(unsaid) != 1 or any(column.word in ("tile", "tiles") for column in chosen):  # of tiles, it may be a row
        return list(chosen)
    return [replace(column, kind="z") if column is unsaid[0] else column for column in chosen]


def _merged(columns: Sequence[Column]) -> list[Axis]:
    """One axis for each kind; numbers of which nobody knows what they count stay apart."""
    found: dict[Hashable, list[Column]] = {}
    for at, column in enumerate(columns):
        found.setdefault(at if column.kind == "?" else column.kind, []).append(column)
    return [Axis(alike[0].kind, tuple(alike)) for alike in found.values()]
