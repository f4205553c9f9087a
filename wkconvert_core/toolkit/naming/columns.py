"""The names of a folder as a table: a column for each number or word that varies, and names that do not fit."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wkconvert_core.contract.errors import InconsistentStack
from wkconvert_core.toolkit.dyes import CHANNEL_WORD
from wkconvert_core.toolkit.naming.numerals import in_decimals
from wkconvert_core.toolkit.naming.signs import Groups, with_signs
from wkconvert_core.toolkit.naming.words import FIRM, certain, kinds, numbers, stem, unit_after, words

__all__ = ["Column", "Table", "table"]

_DIGITS = re.compile(r"([0-9]+)")
_INTEGER = re.compile("-?[0-9]+")
_GUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_WELL_ROW = r"(?:(?<![A-Za-z0-9])|(?<=[Ww]ell))[A-P](?=(?: - )?[0-9]{1,2}(?![0-9]))"
_FIELDS = re.compile(rf"({_GUID}|(?<=[wW][0-9])[A-Za-z][^_]*|{CHANNEL_WORD}|{_WELL_ROW}|[0-9](?={_GUID})|[0-9]+)")
"""The parts that may differ from name to name beside numbers: identifiers, names of channels, the letters of wells."""
_WELL_LETTER = re.compile("[A-P]")
_CHANNEL_SAID = re.compile(rf"{CHANNEL_WORD}|^(?i:ch|chan|channel)[-_ ]?[A-Za-z]")
_FEW = ("c", "w", "wave", "cam", "camera", "laser")
_FEW_CHANNELS = 16
"""More numbers behind a `c` or the like that runs alone count slices."""
_UNNAMED = "unnamed"
"""The channel of names without the word that others have, as `s000` beside `s000_TL`."""
_LIGHT = range(350, 901)
"""Wavelengths in nm of light that is seen in microscopes."""
_MOSTLY = 10
"""If all but one in this many names are alike, the others are strays."""
_LARGE = 2
"""Patterns of names to which at least one in so many names of the commonest belong are no strays."""


@dataclass(frozen=True)
class Column:
    """A number or word of the names, in all of them."""

    values: Sequence[int | str]
    kind: str = ""
    """The kind of axis that its word says: z, channel, time, position, well, y or x; empty without such a word."""
    word: str = ""
    """The word before it, in lower case."""
    decimals: int = 0
    """The number of digits of `values` that stand behind a decimal point."""
    unit: str = ""
    """The unit right behind it, `um` or the like."""
    padded: bool = False
    """Whether each number has three digits or more."""
    is_certain: bool = False
    """Whether the names are of a known program, and it counts what they say and nothing else."""

    @property
    def is_firm(self) -> bool:
        """Whether it means what its word says also where it runs alone."""
        if (
            self.is_certain
            or isinstance(self.values[0], str)
            or self.kind == "well"
            or (self.unit and self.kind == "time")
        ):
            return True
        return self.word in FIRM or (self.word in _FEW and len(set(self.values)) <= _FEW_CHANNELS)


@dataclass(frozen=True)
class Table:
    """The names of one pattern, and the others."""

    names: Sequence[str]
    columns: Sequence[Column]
    """The columns in which the names differ, from left to right."""
    strays: Sequence[str]
    """Few names that are unlike the others."""
    numerals: str = ""
    """The kind of numerals, hexadecimal or Roman; empty for decimals."""


def table(folder: str, names: Sequence[str], said: str | None = None) -> Table:
    """The parts of names that vary; `said` is what users say that their numbers count.

    Raises InconsistentStack for several patterns of names, and for copies of files; UnsupportedSource for numbers that
    may be below zero.

    >>> found = table("brain", ["z1_DAPI.tif", "z1_GFP.tif", "z2_DAPI.tif", "z2_GFP.tif", "overview.tif"])
    >>> [(column.kind, column.values) for column in found.columns], found.strays
    ([('z', [1, 1, 2, 2]), ('channel', ['DAPI', 'GFP', 'DAPI', 'GFP'])], ['overview.tif'])
    """
    groups = _with_points(with_signs(folder, _grouped(_DIGITS, names), said))
    if len(groups) > 1 and (read := in_decimals(names, is_said=said is not None)):
        kind, original = read
        found = table(folder, list(original), said)
        return replace(found, names=[original[name] for name in found.names], numerals=kind)
    if _MOSTLY * _largest(groups) < (_MOSTLY - 1) * len(names):  # else the others are strays
        by_fields = with_signs(folder, _grouped(_FIELDS, names), said)
        if _largest(by_fields) > _largest(groups) and len(_large(by_fields)) == 1:
            groups = by_fields
    large = _large(groups)
    usual = [name for group in large.values() for name in group]
    strays = [name for key, group in groups.items() if key not in large for name in group]
    _refuse_copies(folder, usual, strays)
    columns = list(zip(*(row for group in large.values() for row in group.values()), strict=False))
    if len(large) > 1:
        return Table(usual, _of_several_patterns(folder, large, columns, said), strays)
    return Table(usual, _columns(next(iter(large)), columns), strays)


def _grouped(fields: re.Pattern[str], names: Sequence[str]) -> Groups:
    """Names by the texts around their fields, each with the fields."""
    found: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for name in names:
        pieces = fields.split(stem(name))
        found.setdefault(tuple(pieces[::2]), {})[name] = pieces[1::2]
    return found


def _with_points(groups: Groups) -> Groups:
    """Groups in which whole depths beside decimal ones are decimals, as `slice_1um` beside `slice_0.5um`.

    >>> _with_points({("z", ""): {"z1": ["1"]}, ("z", ".", ""): {"z0.5": ["0", "5"]}})
    {('z', '.', ''): {'z1': ['1', '0'], 'z0.5': ['0', '5']}}
    """
    found: dict[tuple[str, ...], dict[str, Sequence[str]]] = {}
    for key, group in groups.items():
        for at, kind in enumerate(kinds(key)):
            longer = (*key[: at + 1], ".", *key[at + 1 :])
            if kind == "z" and _LARGE * len(groups.get(longer, ())) >= len(group):
                key = longer
                group = {name: [*row[: at + 1], "0", *row[at + 1 :]] for name, row in group.items()}
                break
        found.setdefault(key, {}).update(group)
    return found


def _large(groups: Groups) -> Groups:
    """The groups that are no strays."""
    return {key: group for key, group in groups.items() if _LARGE * len(group) >= _largest(groups)}


def _largest(groups: Groups) -> int:
    return max(map(len, groups.values()))


def _columns(around: Sequence[str], columns: Sequence[Sequence[str]]) -> list[Column]:
    """The columns that vary, given the texts around them."""
    said, meant, sure = words(around), kinds(around), certain(around)
    if _is_micro_manager(around, columns):
        meant = ["time", *meant[1:-1], "z"]
    found: list[Column] = []
    at = 0
    while at < len(columns):
        texts, kind, word, decimals, is_certain = columns[at], meant[at], said[at], 0, sure[at]
        if at + 1 < len(columns) and _is_decimal(around[at : at + 3], kind, columns[at], columns[at + 1]):
            decimals = max(map(len, columns[at + 1]))
            texts = [a + b.ljust(decimals, "0") for a, b in zip(texts, columns[at + 1], strict=True)]
            kind, at = kind or meant[at + 1], at + 1
        at += 1
        values: Sequence[int | str] = list(map(int, texts)) if all(map(_INTEGER.fullmatch, texts)) else list(texts)
        if len(set(values)) > 1 and not re.fullmatch(_GUID, texts[0]):
            after = unit_after(around[at])
            is_light = after == "nm" and not word and len(set(values)) <= _FEW_CHANNELS and set(values) <= set(_LIGHT)
            kind = "channel" if is_light else _kind_of_words(texts) or kind
            found.append(Column(values, kind, word, decimals, after, min(map(len, texts)) > 2, is_certain))
    rows = [at for at, column in enumerate(found) if column.kind == "well" and isinstance(column.values[0], str)]
    for at in rows:  # the number right behind the letter of a well
        if at + 1 < len(found) and not found[at + 1].kind:
            found[at + 1] = Column(found[at + 1].values, "well")
    return found


def _kind_of_words(texts: Sequence[str]) -> str:
    """The kind of axis that words count: the letters of wells, or channels; empty for numbers, also among words."""
    if any(map(_INTEGER.fullmatch, texts)):
        return ""
    return "well" if all(map(_WELL_LETTER.fullmatch, texts)) else "channel"


def _is_micro_manager(around: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether names are like `img_000000000_DAPI_000`: time, channel, z."""
    is_framed = len(columns) > 1 and around[0].lower() == "img_" and not around[-1]
    return is_framed and len(columns[0][0]) == 9 and len(columns[-1][0]) == 3


def _is_decimal(around: Sequence[str], kind: str, whole: Sequence[str], fraction: Sequence[str]) -> bool:
    """Whether two numbers are one with a decimal point, as in `z=12.5`, `slice_0.5`, `12.5um`, `0,5um`."""
    if around[1] not in (".", ",") or not (_INTEGER.fullmatch(whole[0]) and fraction[0].isdecimal()):
        return False
    if around[1] == ",":
        return bool(unit_after(around[2]))
    is_signed = any(text.startswith("-") for text in whole)
    return is_signed or kind in ("z", "time") or around[0].endswith("=") or bool(unit_after(around[2]))


def _of_several_patterns(
    folder: str, groups: Groups, columns: Sequence[Sequence[str]], said: str | None
) -> list[Column]:
    """The columns of names whose patterns differ in one word, which some may lack. Raises InconsistentStack."""
    keys = list(groups)
    differing = [at for at in range(min(map(len, keys))) if len({key[at] for key in keys}) > 1]
    if len(set(map(len, keys))) > 1 or len(differing) != 1:
        raise _several_patterns(folder, groups)
    labels = _without_common([key[differing[0]] for key in keys])
    is_channel = any(map(_CHANNEL_SAID.search, labels)) or _is_micro_manager(keys[0], columns)
    is_channel |= {label.lower() for label in labels} == {"r", "g", "b"}
    is_crossed = len({frozenset(map(numbers, group)) for group in groups.values()}) == 1
    are_labels = all(labels) or is_channel or "channel" in (said or "")
    if not (are_labels if is_crossed else all(labels) and is_channel):
        raise _several_patterns(folder, groups, is_crossed=is_crossed)
    labels = [label.strip("_-. ") or _UNNAMED for label in labels]
    texts = [label for label, group in zip(labels, groups.values(), strict=True) for _ in group]
    slot = keys[0][differing[0]].replace(labels[0], "0")  # the label is no word for the number behind it
    found = _columns([*keys[0][: differing[0]], slot, *keys[0][differing[0] + 1 :]], columns)
    before = sum(len(set(column)) > 1 for column in columns[: differing[0]])
    return [*found[:before], Column(texts, "channel" if is_channel else ""), *found[before:]]


def _without_common(found: Sequence[str]) -> list[str]:
    """Texts without the whole words that all of them begin and end with.

    >>> _without_common(["_DAPI_", "_DIC_"])
    ['DAPI', 'DIC']
    """
    for _ in "before", "behind":
        shared = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*found, strict=False))
        start = max((at + 1 for at, (letter, *_) in enumerate(shared) if not letter.isalnum()), default=0)
        found = [text[start:][::-1] for text in found]
    return list(found)


def _several_patterns(folder: str, groups: Groups, *, is_crossed: bool = False) -> InconsistentStack:
    channels = "-o names=z,channel if they are channels of the same slices; " if is_crossed else ""
    listed = "; ".join(f"{next(iter(group))} ({len(group)})" for group in list(groups.values())[:5])
    return InconsistentStack(
        f"the files in {folder} are named in {len(groups)} ways: {listed}",
        why="nothing says whether they are one stack, or several",
        fix=f"{channels}give each series a folder of its own to make it a layer; or, if each file is a slice of one "
        "stack, in the order of the names, say -o names=z",
    )


def _refuse_copies(folder: str, usual: Sequence[str], strays: Sequence[str]) -> None:
    """Raise InconsistentStack for a stray whose name is that of another file with something before or behind it."""
    originals = {stem(name): name for name in usual} if strays else {}
    for stray in strays:
        text = stem(stray)
        for at in range(len(text) - 1, 0, -1):
            cut_in_number = text[at - 1].isdecimal() and text[at].isdecimal()
            original = originals.get(text[:at]) or originals.get(text[at:])
            if original and not cut_in_number:
                raise InconsistentStack(
                    f"{folder} holds {original} twice, it seems: {stray} is named like a copy of it",
                    why="a slice that is there twice would move all those behind it",
                    fix="move one away; or say -o names=z if each file is a slice, in the order of the names",
                )
