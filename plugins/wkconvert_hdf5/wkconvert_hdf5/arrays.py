"""From an array and its axes to layers: channels, times, chunks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from wkconvert_core import Affine, Layer, Mag, OptionError, UnsupportedSource, Vec3Like, VolumeInfo, VoxelSize
from wkconvert_core.toolkit.dyes import view_colors
from wkconvert_core.toolkit.raw_rows import cheap_run
from wkconvert_core.toolkit.stacks import shorten

from .files import Dataset, check_array
from .source import HdfSource

T = TypeVar("T")
MOST_LAYERS = 100
"""Most layers of one source."""


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
    notes: tuple[str, ...] = ()
    shape: Vec3Like | None = None
    """Along x, y, z, of arrays that are filled up to whole chunks; None: that of the array."""
    is_unsigned: bool = False


def source_of(
    path: Path, data: Dataset, facts: Facts, *, time: int = 0, channel: int = 0, channels: int = 1
) -> HdfSource:
    """The Source of some channels of an array at one time. Raises UnsupportedSource, SourceNotFound, BrokenSource."""
    with_filters = check_array(path, data)
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
    if facts.is_unsigned:
        dtype = np.dtype(dtype.name.removeprefix("u").replace("int", "uint"))
    info = VolumeInfo((x, y, z), dtype, channels, facts.voxel_size, chunk, notes=facts.notes, affine=facts.affine)
    name = data.name.strip("/")
    return HdfSource(path, name, facts.axes, info, time, channel, facts.is_unsigned, with_filters, cost)


def layers_of(path: Path, data: Dataset, facts: Facts, choice: Choice) -> list[Layer]:
    """The layers of an array: one for each channel, or one in colour for three channels of uint8.

    Raises UnsupportedSource, OptionError, SourceNotFound, BrokenSource.
    """
    lengths = dict(zip(facts.axes, data.shape, strict=True))
    time = pick_time(path, list(range(lengths.get("t", 1))), choice.timepoint)
    count = lengths.get("c", 1)
    if choice.channel is not None:
        if not 0 <= choice.channel < count:
            raise no_channel(path, choice.channel, count)
        return [Layer({Mag(1, 1, 1): source_of(path, data, facts, time=time, channel=choice.channel)})]
    if count > MOST_LAYERS:
        raise UnsupportedSource(
            f"{data.name} in {path} has {count} channels",
            why=f"at most {MOST_LAYERS} layers are made at once",
            fix="take one with --channel N, or say -o axes= if these are no channels",
        )
    if count == 1 or (count == 3 and data.dtype == np.uint8):
        return [Layer({Mag(1, 1, 1): source_of(path, data, facts, time=time, channels=count)})]
    layers = []
    for number, shown in enumerate(view_colors([""] * count)):
        source = source_of(path, data, facts, time=time, channel=number)
        layers.append(Layer({Mag(1, 1, 1): source}, f"channel_{number}", color=shown))
        facts = replace(facts, notes=())  # the first layer carries them for all
    return layers


def pick_time(path: Path, times: Sequence[int], said: int | None) -> int:
    """The time that is taken of those that a file holds. Raises UnsupportedSource, OptionError."""
    shown = f"{times[0]} to {times[-1]}" if len(times) > 1 else str(times[0])
    if said is not None and said not in times:
        raise OptionError(f"{path} has no time point {said}", fix=f"-o timepoint takes {shown} for this file")
    if said is None and len(times) > 1:
        raise UnsupportedSource(
            f"{path} holds {len(times)} time points",
            why="a layer shows one",
            fix=f"take one with -o timepoint=N, {shown}",
        )
    return times[0] if said is None else said


def no_channel(path: Path, channel: int, count: int) -> OptionError:
    """The error for a channel that is not there."""
    return OptionError(f"channel {channel} does not exist in {path}", fix=f"its channels are 0 to {count - 1}")


def the_only(path: Path, found: Sequence[T], shown: Sequence[str], what: str) -> T:
    """The one that is there. Raises UnsupportedSource, which lists them, if there are several or none."""
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnsupportedSource(
            f"{path} holds no {what}",
            why="complex numbers, texts and empty groups are no voxels",
            fix="say which data set is meant with -o dataset=PATH; `h5ls -r` lists them",
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
