"""Stacks with one file per slice: what the names count, and the order of the slices."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from wkconvert_core.contract.errors import InconsistentStack, UnsupportedSource
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.toolkit.naming.axes import Axis, axes_as_said, axes_of
from wkconvert_core.toolkit.naming.choice import Naming, check_said, check_used, choose
from wkconvert_core.toolkit.naming.columns import Column, Table, table
from wkconvert_core.toolkit.naming.missing_slices import Gaps, in_slice_order
from wkconvert_core.toolkit.naming.words import DYES, NO_DEPTH, numbers
from wkconvert_core.toolkit.shortened import ranges, shorten

__all__ = [
    "ChannelStacks",
    "Gaps",
    "Naming",
    "channel_stacks",
    "check_used",
    "filled_note",
    "left_out_note",
    "natural_key",
    "with_gaps",
]

_DIGITS = re.compile(r"([0-9]+)")
_TIMES = re.compile(r"(?i)(?<![a-z])(?:t-?series|time[-_ ]?(?:lapse|series))(?![a-z])")
_DATE = re.compile(r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)")
_OF = re.compile(r"(?i)(?<=\d)[\W_]*of[\W_]*(\d+)")
"""The number of all, as in `s_3_of_12.tif`."""
_MOST_PREVIEWS = 3
_MOST_USUAL = 5
"""Up to so many channels a letter is believed that stands before the only number."""
_FEW = 10
"""At most one in so many names may be a second one of a slice, for the names to count slices all the same."""


@dataclass(frozen=True)
class ChannelStacks:
    """The files of a folder as stacks of the same slices, one for each channel."""

    channels: dict[str, tuple[str | None, ...]]
    """By the channel's name, the files of its slices in their order, None for a missing one to be filled with zeros.
    Where the names count no channels, there is one without a name."""
    left_out: tuple[str, ...] = ()
    """Previews; `left_out_note` tells of them."""
    notes: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()
    """The options that chose among times, positions and wells in the names."""
    first_slice: int | None = None
    """The number of the first slice; None where the names do not count slices by one whole number."""


def natural_key(name: str) -> tuple[list[str | int], str]:
    """A sort key that compares numbers within names by their value.

    >>> sorted(["s10.tif", "s2.tif", "s1.tif"], key=natural_key)
    ['s1.tif', 's2.tif', 's10.tif']
    """
    parts = _DIGITS.split(name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def with_gaps(folder: str, names: Sequence[str], gaps: Gaps, naming: Naming | None = None) -> list[str | None]:
    """The names of the slices of one stack in their order, with None for each missing slice to be filled with zeros.

    It is `channel_stacks` for readers that take one stack: names that count several channels raise UnsupportedSource.

    >>> with_gaps("brain", ["s1.tif", "s2.tif", "s4.tif"], "fill")
    ['s1.tif', 's2.tif', None, 's4.tif']
    >>> with_gaps("brain", ["s1.tif", "s2.tif", "s4.tif"], "error")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    wkconvert_core.contract.errors.InconsistentStack: slices are missing in brain: 3 (1 in all)...
    """
    found = channel_stacks(folder, names, gaps, naming)
    check_used(folder, naming or Naming(), found.used)
    channels = found.channels
    if len(channels) > 1:
        raise UnsupportedSource(
            f"the names in {folder} count {len(channels)} channels: {shorten(list(channels))}",
            why="this reader takes one stack",
            fix="give the files of each channel a folder of its own",
        )
    return [name for slices in channels.values() for name in slices]


def channel_stacks(
    folder: str,
    names: Sequence[str],
    gaps: Gaps,
    naming: Naming | None = None,
    size_of: Callable[[str], Hashable] | None = None,
) -> ChannelStacks:
    """The files of a folder, given in natural order, as the stacks that their names say they are.

    Numbers that run in the names count depth, channels, times, positions or wells: by the words before them, and by how
    they vary together. Channels become stacks of their own; of times, positions and wells, `naming` chooses one.
    `size_of` gives a picture's size, by which a preview is told from a slice.

    Raises UnsupportedSource for names that count what a stack does not have, or do not say what they count;
    InconsistentStack for missing slices, for two of one number, and for names unlike the others; OptionError.

    >>> channel_stacks("brain", ["z1_DAPI.tif", "z1_GFP.tif", "z2_DAPI.tif", "z2_GFP.tif"], "error").channels
    {'DAPI': ('z1_DAPI.tif', 'z2_DAPI.tif'), 'GFP': ('z1_GFP.tif', 'z2_GFP.tif')}
    """
    naming = naming or Naming()
    if len(names) < 2:
        return ChannelStacks({"": tuple(names)})
    if naming.names == "z" and not _are_numbered(folder, names):
        order = f"as -o names=z says, the slices are in the order of the names: {', '.join(names[:4])} … {names[-1]}"
        return ChannelStacks({"": tuple(names)}, notes=(WarningNote(order),))
    found = table(folder, names, naming.names)
    left_out = _previews(folder, found, size_of)
    if twice := _second_names(found):
        if gaps != "close" or any(column.kind in ("channel", "well") for column in found.columns):
            raise _same_slice(folder, *twice)
        return ChannelStacks({"": tuple(name for name in names if name not in left_out)}, left_out)
    axes = axes_as_said(found.columns, naming.names) if naming.names else axes_of(found.columns)
    if [axis.kind for axis in axes] == ["z"] and not naming.names and _says_times(axes[0], found.names[0]):
        axes = [replace(axes[0], kind="time")]
    check_said(folder, found, axes)
    kept, used = choose(folder, found, axes, naming)
    by_kind = {axis.kind: axis for axis in axes}
    depth = by_kind.get("z")
    channels = _channel_names(by_kind.get("channel"), len(found.names))
    numbered = _numbered(depth, found)
    stacks: dict[str, dict[int, str]] = {channel: {} for channel in dict.fromkeys(channels[at] for at in kept)}
    for at in kept:
        stack = stacks[channels[at]]
        if (other := stack.setdefault(numbered[at], found.names[at])) != found.names[at]:
            raise _same_slice(folder, str(numbered[at]), other, found.names[at])
    column = depth.columns[0] if depth and len(depth.columns) == 1 else None
    scale, has_unit = (10**column.decimals, bool(column.unit)) if column else (1, False)
    counts_all_files = len(set(numbered)) == len(numbered)
    if counts_all_files and 1 < len(stacks) < len(numbered):
        in_slice_order(folder, {"": dict(zip(numbered, found.names, strict=True))}, gaps)
        stacks = {name: dict(enumerate(stack[n] for n in sorted(stack))) for name, stack in stacks.items()}
    slices, notes = in_slice_order(folder, stacks, gaps, scale=scale, has_unit=has_unit)
    if depth and len(depth.columns) > 1:
        notes.append(WarningNote(f"{len(depth.columns)} numbers run in the names: taken as one stack, in their order"))
    if not naming.names:
        notes += _doubts(found, column, slices)
        if not depth and (channel := by_kind.get("channel")):
            notes += _doubtful_channels(channel, len(slices))
    is_count = column is not None and isinstance(column.values[0], int) and scale == 1 and not has_unit
    counts_slices = is_count and not (counts_all_files and len(stacks) > 1)
    return ChannelStacks(
        slices, left_out, tuple(notes), used, min(map(min, stacks.values())) if counts_slices else None
    )


def _doubts(found: Table, depth: Column | None, slices: dict[str, tuple[str | None, ...]]) -> Iterator[WarningNote]:
    """Warn of numbers that are taken as depth by a guess."""
    if found.numerals:
        names = [name for channel in slices.values() for name in channel if name]
        yield WarningNote(f"the numbers in the names are taken as {found.numerals}, from {names[0]} to {names[-1]}")
    if depth and (word := {depth.word, depth.unit} & NO_DEPTH):
        counted = f"the numbers of {word.pop()!r} in the names are taken as depth"
        yield WarningNote(f"{counted}: if they are something else, this is no volume; -o names=z says it is")
    days = {date[0] for name in found.names if (date := _DATE.search(name))}
    if len(found.columns) == 1 and len(days) == len(found.names):
        yield WarningNote("the names differ in their dates alone, which are taken as depth: -o names=z says they are")
    counts = {int(count[1]) if (count := _OF.search(name)) else None for name in found.names}
    here = max(map(len, slices.values()))
    if len(counts) == 1 and (stated := counts.pop()) is not None and stated != here:
        yield WarningNote(f"the names say that there are {stated} slices, and {here} are here")


def _doubtful_channels(axis: Axis, count: int) -> Iterator[WarningNote]:
    """Warn of many channels of one slice that a letter alone says: it may as well stand before slices."""
    letters = {column.word for column in axis.columns} & {"c", "w"}
    if count > _MOST_USUAL and letters:
        told = f"the {count} numbers after {letters.pop()!r} in the names are taken as channels of one slice"
        yield WarningNote(f"{told}: if they are slices, say -o names=z")


def left_out_note(left_out: Sequence[str]) -> tuple[WarningNote, ...]:
    """The warning about files that are left out, if there are any.

    >>> left_out_note(["overview.tif"])
    ('left out, unlike the slices in name and size: overview.tif',)
    """
    told = f"left out, unlike the slices in name and size: {', '.join(left_out)}"
    return (WarningNote(told),) if left_out else ()


def filled_note(missing: Sequence[int]) -> tuple[str, ...]:
    """The note about missing slices that are filled, by their places along z from 0, if there are any.

    >>> filled_note([3, 7, 8])
    ('3 missing slices are filled with zeros: z 3, 7-8, counted from 0',)
    """
    told = (
        f"{len(missing)} missing slice{'s are' if len(missing) > 1 else ' is'} filled with zeros: z {ranges(missing)}"
    )
    return (f"{told}, counted from 0",) if missing else ()


def _says_times(axis: Axis, name: str) -> bool:
    """Whether a number without a word of its own stands in a name that says a series of times."""
    return not any(column.word for column in axis.columns) and _TIMES.search(name) is not None


def _are_numbered(folder: str, names: Sequence[str]) -> bool:
    """Whether names differ in one number alone, be it with a sign or a decimal point."""
    try:
        found = table(folder, names, "z")
    except InconsistentStack:
        return False
    return not found.strays and len(found.columns) == 1 and isinstance(found.columns[0].values[0], int)


def _previews(folder: str, found: Table, size_of: Callable[[str], Hashable] | None) -> tuple[str, ...]:
    """Strays without a running number whose size is not that of the slices. Raises InconsistentStack for others."""
    running, first = len(numbers(found.names[0])), found.names[0]
    if (
        size_of is not None
        and len(found.strays) <= _MOST_PREVIEWS
        and all(len(numbers(name)) < running and size_of(name) != size_of(first) for name in found.strays)
    ):
        return tuple(found.strays)
    if not found.strays:
        return ()
    one = len(found.strays) == 1
    raise InconsistentStack(
        f"{folder} holds {'a file' if one else 'files'} named unlike the others: {shorten(found.strays)}",
        why=f"the other {len(found.names)} are named like {first}; nothing says whether and where "
        f"{'this one belongs' if one else 'these belong'} in the stack",
        fix="move away or rename what is no slice; or say -o names=z if each file is one, in the order of the names",
    )


def _second_names(found: Table) -> tuple[str, str, str] | None:
    """Two names of one slice, with its number: equal in all numbers, or in all but one of no meaning that few have."""
    if not found.columns:  # s1.tif, s01.tif
        return ", ".join(map(str, numbers(found.names[0]))), found.names[0], found.names[1]
    rows: list[Hashable] = list(zip(*(column.values for column in found.columns), strict=True))
    if repeated := _repeated(rows, found.names, len(rows)):
        return repeated
    for column in found.columns:
        others = [other for other in found.columns if other is not column]
        are_stamps = any(len(set(other.values)) == len(rows) for other in others)
        if others and (are_stamps or not any(other.kind for other in others)):
            few = max(1, len(rows) // _FEW) if len(rows) > 3 else 0
            if repeated := _repeated(column.values, found.names, few):
                return repeated
    return None


def _repeated(keys: Sequence[Hashable], names: Sequence[str], most: int) -> tuple[str, str, str] | None:
    """The first key that comes again, with its names, if at most so many do."""
    if not 0 < len(keys) - len(set(keys)) <= most:
        return None
    seen: dict[Hashable, str] = {}
    for key, name in zip(keys, names, strict=True):
        if (other := seen.setdefault(key, name)) != name:
            return "-".join(map(str, key)) if isinstance(key, tuple) else str(key), other, name
    return None


def _same_slice(folder: str, number: str, first: str, second: str) -> InconsistentStack:
    return InconsistentStack(
        f"two slices in {folder} have the number {number}: {first} and {second}",
        why="nothing says which comes first, or whether both belong to the stack",
        fix="move one away, or say --gaps close to take both as they come",
    )


def _channel_names(axis: Axis | None, count: int) -> list[str]:
    """The name of each file's channel: the word in its name, `Cy3`, or `channel1`; empty where there is no axis."""
    if axis is None:
        return [""] * count
    words = [column.word.capitalize() if column.word in DYES.split() else "channel" for column in axis.columns]
    return [
        "_".join(one if isinstance(one, str) else f"{word}{one}" for word, one in zip(words, value, strict=True))
        for value in axis.values
    ]


def _numbered(depth: Axis | None, found: Table) -> list[int]:
    """The number of each file's slice; several numbers, or words, by their order."""
    if depth is None:
        return [0] * len(found.names)
    values = depth.values
    if len(depth.columns) == 1 and all(isinstance(value, int) for (value,) in values):
        return [int(value) for (value,) in values]
    ranks = {value: rank for rank, value in enumerate(depth.distinct)}
    return [ranks[value] for value in values]
