"""Checks that the slices of a stack agree in size, dtype and voxel size, according to their headers.

A slice may be any object. The functions take callables that give its fact and its name for messages, so that a stack of
a million slices need not hold a million texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from wkconvert_core.contract.errors import InconsistentStack, UnsupportedSource
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.toolkit.shortened import shorten

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType
    from wkconvert_core.contract.voxel_size import VoxelSize

__all__ = ["agreed", "common_dtype", "common_size", "counted", "first_voxel_size", "made_alike", "stages_apart"]

S = TypeVar("S")
F = TypeVar("F", bound=Hashable)
Name = Callable[[S], str]


def agreed(
    path: str,
    slices: Sequence[S],
    fact: Callable[[S], F],
    name: Name[S],
    *,
    what: str,
    fix: str,
    shown: Callable[[F], object] = str,
    noun: str = "slices",
) -> F:
    """The fact that all slices share. Raises InconsistentStack, which names the slices that differ from the majority.

    `what` names the fact in messages, `shown` turns it into text; `noun` is the word for slices, such as `pages`.

    >>> bits = {"s1": 8, "s2": 8, "s3": 12}
    >>> agreed("brain", list(bits), bits.get, str, what="bits per voxel", fix="export s3 again")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    wkconvert_core.contract.errors.InconsistentStack: ... differ in bits per voxel: s3 (12). 2 of 3 are 8...
    """
    usual, count = Counter(map(fact, slices)).most_common(1)[0]
    if count < len(slices):
        odd = [f"{name(one)} ({shown(fact(one))})" for one in slices if fact(one) != usual]
        raise InconsistentStack(
            f"the {noun} of {path} differ in {what}: {shorten(odd)}",
            why=f"{count} of {len(slices)} are {shown(usual)}",
            fix=fix,
        )
    return usual


def common_size(
    path: str,
    slices: Sequence[S],
    size: Callable[[S], tuple[int, int]],
    name: Name[S],
    *,
    pad: bool,
    fix: str = "say --pad to fill up with zeros",
    noun: str = "slices",
) -> tuple[int, int]:
    """The size of all slices along x and y in pixels; with `pad`, the largest extent along each axis.

    Raises InconsistentStack if sizes differ without `pad`.

    >>> sizes = {"s1.tif": (512, 400), "s2.tif": (500, 410)}
    >>> common_size("brain", list(sizes), sizes.get, str, pad=True)
    (512, 410)
    """
    if not pad:
        agreed(path, slices, size, name, what="size", shown=lambda n: f"{n[0]} x {n[1]}", fix=fix, noun=noun)
    return max(size(one)[0] for one in slices), max(size(one)[1] for one in slices)


def common_dtype(path: str, slices: Sequence[S], dtype: Callable[[S], DType], name: Name[S], *, mix: bool) -> DType:
    """The dtype of all slices; with `mix`, the smallest that holds every value of each dtype exactly.

    Raises InconsistentStack if dtypes differ without `mix`; UnsupportedSource if no dtype holds all values, or if bool
    is mixed with numbers.

    >>> dtypes = {"s1.tif": np.dtype("uint8"), "s2.tif": np.dtype("int16")}
    >>> common_dtype("brain", list(dtypes), dtypes.get, str, mix=True)
    dtype('int16')
    """
    if not mix:
        return agreed(path, slices, dtype, name, what="dtype", fix="say --dtype for a common one")
    dtypes = set(map(dtype, slices))
    common = np.result_type(*dtypes)
    # for uint64 and int64, or int64 and float32, numpy answers float64, whose mantissa of 53 bits rounds large integers
    digits = np.finfo(common).nmant + 1 if common.kind == "f" else 64
    inexact = sorted(str(one) for one in dtypes if one.kind in "iu" and 8 * one.itemsize > digits)
    if np.dtype(bool) in dtypes and len(dtypes) > 1:
        why = f"they hold {shorten(sorted(map(str, dtypes)))}, and which number a bool stands for is unknown"
    elif inexact:
        why = f"{common} does not hold every value of {', '.join(inexact)}"
    else:
        return common
    raise UnsupportedSource(f"the slices of {path} have no common dtype", why=why, fix="save them with one dtype")


def first_voxel_size(sizes: Sequence[VoxelSize | None]) -> tuple[VoxelSize | None, list[str]]:
    """The voxel size of the first file, and a note if others give another one.

    >>> from wkconvert_core import VoxelSize
    >>> first_voxel_size([VoxelSize((4.0, 4.0, None), "nm", "TIFF"), None, None])[1]
    ['2 of 3 files give another voxel size (none); the first counts']
    """
    others = [size for size in sizes if size != sizes[0]]
    if not others:
        return sizes[0], []
    count = f"{len(others)} of {len(sizes)}"
    return sizes[0], [WarningNote(f"{count} files give another voxel size ({others[0] or 'none'}); the first counts")]


def counted(notes: Iterable[str], total: int, noun: str = "slices") -> list[str]:
    """Each distinct note once, with the number of slices that it applies to, unless it applies to all.

    >>> counted(["alpha dropped", "alpha dropped", "palette applied"], 2)
    ['alpha dropped', 'palette applied (1 of 2 slices)']
    """
    counts = Counter(notes).items()
    return [note if count == total else type(note)(f"{note} ({count} of {total} {noun})") for note, count in counts]


def made_alike(sizes: Iterable[object], dtypes: Iterable[object], size: tuple[int, int], dtype: object) -> list[str]:
    """Notes for slices whose sizes or dtypes differ: which size and dtype all have when they are read.

    >>> made_alike([(512, 410), (500, 410)], ["uint8", "uint8"], (512, 410), "uint8")
    ['smaller slices padded with zeros to 512 x 410']
    """
    notes = {f"slices of different dtypes become {dtype}": dtypes}
    notes[f"smaller slices padded with zeros to {size[0]} x {size[1]}"] = sizes
    return [note for note, found in notes.items() if len(set(found)) > 1]


def stages_apart(stages: Iterable[tuple[str, str]]) -> list[WarningNote]:
    """The warning for slices, by name, for which the stage stood at several places along x and y: they may be tiles.

    >>> stages_apart([("s1", "x 3 µm, z 1 µm"), ("s2", "x 3 µm, z 2 µm"), ("s3", "x 90 µm, z 3 µm")])
    ['the stage stood at 2 places, and slices are not moved: s1 at x 3 µm; s3 at x 90 µm']
    """
    places: dict[str, str] = {}
    for name, stage in stages:
        places.setdefault(", ".join(part for part in stage.split(", ") if not part.startswith("z ")), name)
    told = "; ".join(f"{name} at {place or 'an unknown one'}" for place, name in list(places.items())[:3])
    text = f"the stage stood at {len(places)} places, and slices are not moved: {told}"
    return [WarningNote(text)] if len(places) > 1 else []
