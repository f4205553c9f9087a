"""From an array and its axes to layers: channels, times, chunks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from wkconvert_core import Affine, Layer, Mag, UnsupportedSource, Vec3Like, VolumeInfo, VoxelSize
from wkconvert_core.toolkit.dyes import view_colors
from wkconvert_core.toolkit.files import broken
from wkconvert_core.toolkit.raw_rows import cheap_run
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.volumes.choosing import check_layers, pick_time, split_channels

from .files import Dataset, File, check_array
from .source import HdfSource

T = TypeVar("T")


@dataclass(frozen=True)
class Choice:
    """The options of the user, which are the same for every kind of file."""

    dataset: str | None = None
    axes: str | None = None
    timepoint: int | None = None
    channel: int | None = None
    setup: int | None = None


@dataclass(frozen=True)
class Facts:
    """Facts about an array beside its shape and dtype."""

    axes: str
    """The slowest first: c, t, x, y, z, and `1` for those of the length 1 that stand for nothing."""
    voxel_size: VoxelSize | None = None
    affine: Affine | None = None
    shape: Vec3Like | None = None
    """Along x, y, z, of arrays that are filled up to whole chunks; None: that of the array."""
    is_unsigned: bool = False
    """Whether integers of 16 bits are unsigned, whatever the file says."""


def source_of(
    path: Path, data: Dataset, facts: Facts, *, time: int = 0, channel: int = 0, channels: int = 1
) -> HdfSource:
    """The Source of some channels of an array at one time. Raises UnsupportedSource, SourceNotFound, BrokenSource."""
    check_array(path, data)
    lengths = dict(zip(facts.axes, data.shape, strict=True))
    stored = lengths.get("x", 1), lengths.get("y", 1), lengths.get("z", 1)
    x, y, z = facts.shape or stored
    if any(told > there for told, there in zip((x, y, z), stored, strict=True)) or min(x, y, z) < 1:
        raise UnsupportedSource(
            f"{data.name} in {path} should have {x} x {y} x {z} voxels",
            why=f"its array holds {' x '.join(map(str, stored))}",
            fix="write the file again",
        )
    run = cheap_run(data.shape[-1], data.dtype.itemsize)  # of an array in one piece, whose last axis is the fastest
    sides = dict(zip(facts.axes, data.chunks or (*(1 for _ in data.shape[1:]), run), strict=True))
    chunk = min(x, sides["x"]), min(y, sides["y"]), min(z, sides.get("z", 1))
    cost = max(1.0, math.prod(sides[axis] for axis in sides if axis not in "xyz") / channels)
    dtype = np.dtype(data.dtype.str).newbyteorder("=")  # without what h5py notes on enumerations
    is_unsigned = facts.is_unsigned and dtype == np.int16
    dtype = np.dtype(np.uint16) if is_unsigned else dtype
    info = VolumeInfo((x, y, z), dtype, channels, facts.voxel_size, chunk, affine=facts.affine)
    return HdfSource(path, data.name.strip("/"), facts.axes, info, time, channel, is_unsigned, cost)


def layers_of(
    path: Path, data: Dataset, facts: Facts, choice: Choice, notes: Sequence[str], name: str | None = None
) -> list[Layer]:
    """The layers of an array: one for each channel, or one in colour for three channels of uint8.

    Raises UnsupportedSource, OptionError, SourceNotFound, BrokenSource.
    """
    lengths = dict(zip(facts.axes, data.shape, strict=True))
    time = pick_time(path, range(lengths.get("t", 1)), choice.timepoint)
    channels = split_channels(path, lengths.get("c", 1), data.dtype, choice.channel)
    check_layers(path, len(channels), "take one with --channel N, or say -o axes= if these are no channels")
    are_several, layers = len(channels) > 1, list[Layer]()
    for number, (each, color) in enumerate(zip(channels, view_colors([""] * len(channels)), strict=True)):
        source = source_of(path, data, facts, time=time, channel=each[0], channels=len(each))
        shown, told = f"channel_{number}" if are_several else name, () if number else tuple(notes)
        layers.append(Layer({Mag(1, 1, 1): source}, shown, color=color if are_several else None, notes=told))
    return layers


def mags_of(
    path: Path, file: File, levels: Iterable[tuple[Sequence[float], str, Facts]]
) -> tuple[dict[Mag, HdfSource], list[str]]:
    """The mags of levels, and a note on those that are none.

    Of each level, how many times larger its voxels are along x, y, z, the name of its array, and its facts, with the
    voxel size of the finest. Raises UnsupportedSource, SourceNotFound, BrokenSource.
    """
    mags: dict[Mag, HdfSource] = {}
    left: list[str] = []
    for number, (factors, name, facts) in enumerate(levels):
        mag = mag_of(factors)
        if mag is None or mag in mags:
            left.append(str(number))
            continue
        size = facts.voxel_size and facts.voxel_size.coarsened(mag)
        placed = replace(facts, voxel_size=size, affine=None if mags else facts.affine)
        mags[mag] = source_of(path, file[name], placed)
    if not mags:
        raise broken(path, f"none of its {len(left)} levels is a mag, whose voxels are 1, 2, 4, … times larger")
    return mags, [f"resolution levels that are no mags are left out: {', '.join(left)}"] if left else []


def the_only(path: Path, found: Sequence[T], shown: Sequence[str], what: str) -> T:
    """The one that is there. Raises UnsupportedSource, which lists them, if there are several or none."""
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnsupportedSource(
            f"{path} holds no {what}",
            why="none of its data sets has real numbers and the axes of one; `h5ls -r` lists them",
            fix="say which data set is meant with -o dataset=PATH, and its axes with -o axes=",
        )
    raise UnsupportedSource(
        f"{path} holds {len(found)} {what}: {shorten(shown)}",
        why="a layer is one of them",
        fix="take one with -o dataset=PATH, and others with --add",
    )


def mag_of(factors: Sequence[float]) -> Mag | None:
    """The mag of a level whose voxels are so many times larger along x, y, z; None if it is no mag.

    >>> mag_of([2.0, 2.0, 1.0]), mag_of([3, 3, 1]), mag_of([0.5, 1, 1])
    (Mag(x=2, y=2, z=1), None, None)
    """
    if not all(1 <= factor <= 2**20 and math.log2(factor).is_integer() for factor in factors):
        return None
    x, y, z = map(int, factors)
    return Mag(x, y, z)


_MEANINGLESS = {"", "array", "cells", "data", "dataset", "exported_data", "image", "images", "main", "stack", "volume"}


def name_of(path: str) -> str | None:
    """A layer's name, by the path of its array in the file; None if that says nothing of what is in it.

    >>> name_of("/volumes/labels/neuron_ids"), name_of("/raw/data"), name_of("/volume")
    ('neuron_ids', 'raw', None)
    """
    parts = [part for part in path.split("/") if part.lower() not in _MEANINGLESS]
    return parts[-1] if parts else None
