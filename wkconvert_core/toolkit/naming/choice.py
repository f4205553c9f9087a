"""Names that count what a stack does not have: which time, position or well is taken, and what is asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from wkconvert_core.contract.errors import OptionError, UnsupportedSource
from wkconvert_core.toolkit.naming.axes import KINDS, Axis, shown
from wkconvert_core.toolkit.naming.columns import Table
from wkconvert_core.toolkit.naming.words import axes as axes_in
from wkconvert_core.toolkit.naming.words import kinds, numbers, texts, with_fields
from wkconvert_core.toolkit.shortened import shorten

__all__ = ["Naming", "check_said", "check_used", "choose", "counted"]

_CHOSEN_BY = {"time": "timepoint", "position": "position", "well": "well"}
"""The option that chooses among what a dataset shows one of."""
_PLURALS = {"z": "slices", "time": "time points", "position": "positions", "well": "wells"}
_NEEDS = "(needs wkconvert[tiles])"
_EACH_A_SLICE = "-o names=z if each file is a slice, in the order of the names"


@dataclass(frozen=True)
class Naming:
    """The user's word on the numbers that run in the names, each by an option of its name."""

    names: str | None = None
    """The kind of each number, such as `z,channel`; `z` alone: each file is a slice, in the order of the names."""
    timepoint: int | None = None
    position: int | None = None
    well: str | None = None


def check_said(folder: str, found: Table, axes: Sequence[Axis]) -> None:
    """Raise UnsupportedSource for names of tiles, and for numbers of which nothing says what they count."""
    name = found.names[0]
    if {"y", "x"} <= {axis.kind for axis in axes}:
        said = kinds(texts(name)[:-1])
        running = [
            at for at, column in enumerate(zip(*map(numbers, found.names), strict=False)) if len(set(column)) > 1
        ]
        others = [at for at in running if said[at] not in ("y", "x")]
        depth = next((at for kind in ("z", "", *KINDS) for at in others if said[at] == kind), None)
        fields = {at: "z" if at == depth else axis for at, axis in enumerate(axes_in(name))}
        raise UnsupportedSource(
            f"{folder} holds tiles: {name} to {found.names[-1]}",
            why="their names say x and y, so a slice consists of several files",
            fix=f"say -o pattern={with_fields(name, fields)} {_NEEDS}; or {_EACH_A_SLICE}",
        )
    if all(axis.kind != "?" for axis in axes):
        return
    runs = [shown(column) for axis in axes for column in axis.columns]
    likely = KINDS if isinstance(axes[0].columns[0].values[0], int) else ("channel", *KINDS)
    free = iter([kind for kind in likely if all(axis.kind != kind for axis in axes)])
    example = [axis.kind if axis.kind != "?" else next(free, "-") for axis in axes for _ in axis.columns]
    raise UnsupportedSource(
        f"it is not clear what the names in {folder} count: {'; '.join(runs)} (as in {name} and {found.names[-1]})",
        why="no word says whether it is slices, channels, times, positions, or rows and columns of tiles",
        fix=f"say it, a word for each: -o names={','.join(example)} or the like, of {', '.join(KINDS)}; "
        f"{_EACH_A_SLICE}; for tiles -o pattern= {_NEEDS}",
    )


def choose(folder: str, found: Table, axes: Sequence[Axis], naming: Naming) -> tuple[list[int], frozenset[str]]:
    """The indices of the names of the chosen time, position and well, and the options that chose.

    Raises UnsupportedSource where a choice is needed, OptionError for one that does not exist.
    """
    left, used = list(range(len(found.names))), set[str]()
    asked: list[tuple[Axis, dict[str, Hashable]]] = []
    for axis in axes:
        option = _CHOSEN_BY.get(axis.kind)
        if option is None:
            continue
        labels, wanted = _labels(axis), getattr(naming, option)
        if wanted is None:
            asked.append((axis, labels))
            continue
        if (value := labels.get(_plain(str(wanted)))) is None:
            why = f"its names count {_listed(labels, axis)}"
            raise OptionError(f"-o {option}={wanted} does not exist in {folder}", fix=f"choose another: {why}")
        used.add(option)
        values = axis.values
        left = [at for at in left if values[at] == value]
    if asked:
        example = " ".join(f"-o {_CHOSEN_BY[axis.kind]}={next(iter(labels))}" for axis, labels in asked)
        kinds_of = ["z" if axis is asked[0][0] else axis.kind for axis in axes for _ in axis.columns]
        meant = "z" if len(axes) == 1 else ",".join(kinds_of) if kinds_of.count("z") == 1 else "z,channel"
        raise UnsupportedSource(
            f"the names in {folder} count {counted([axis for axis, _ in asked])}, as in {found.names[0]}",
            why="a dataset shows one of them",
            fix=f"choose, for example {example}; or, if the numbers count something else, say what each does, such as "
            f"-o names={meant}",
        )
    if not left:
        raise OptionError(f"no file in {folder} fits that choice", fix="choose another time point, position or well")
    return left, frozenset(used)


def check_used(path: str, naming: Naming, used: Collection[str]) -> None:
    """Raise OptionError for a choice among times, positions or wells that was not `used`, as the names count none."""
    for option in _CHOSEN_BY.values():
        wanted = getattr(naming, option)
        if wanted is not None and option not in used:
            raise OptionError(
                f"-o {option}={wanted} does not fit {path}",
                why="no names of files count anything of the kind",
                fix="leave it out, or say what the numbers in the names count, such as -o names=z,position",
            )


def counted(axes: Sequence[Axis]) -> str:
    """The axes that count no layers, in words: `2 wells (A1, B1) and 3 time points (t 0, 1, 2)`; empty without any."""
    return " and ".join(_listed(_labels(axis), axis) for axis in axes if axis.kind in _PLURALS)


def _labels(axis: Axis) -> dict[str, Hashable]:
    """The values of an axis by what users call them: a number, a well such as A1; several numbers by their rank."""
    values = axis.distinct
    if axis.kind == "well":
        are_letters = any(isinstance(column.values[0], str) for column in axis.columns)
        words = ["" if are_letters or len(column.word) > 1 else column.word for column in axis.columns]  # r01c02
        return {_plain("".join(f"{w}{v}" for w, v in zip(words, value, strict=True))): value for value in values}
    if len(axis.columns) == 1:
        return {str(value): (value,) for (value,) in values}
    return {str(rank): value for rank, value in enumerate(values)}


def _plain(label: str) -> str:
    """A label in capitals, without leading zeros.

    >>> _plain("a01"), _plain("0")
    ('A1', '0')
    """
    return re.sub(r"0*([0-9]+)", r"\1", label).upper()


def _listed(labels: dict[str, Hashable], axis: Axis) -> str:
    """`3 time points (t 0, 1, 2)`."""
    words = "-".join(column.word for column in axis.columns if column.word)
    if axis.kind == "well":
        listed = shorten(list(labels))
    elif len(axis.columns) == 1:
        listed = f"{words} {shorten(list(labels))}".strip()
    else:
        listed = shorten([f"{rank}: {'-'.join(map(str, value))}" for rank, value in enumerate(axis.distinct)])
    return f"{len(labels)} {_PLURALS[axis.kind]} ({listed})"
