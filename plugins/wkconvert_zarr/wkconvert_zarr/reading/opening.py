"""From a place and options to layers: what the open hook of this plugin calls."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wkconvert_core import DTYPES, Layer, OptionError, UnsupportedSource, Vec3, VolumeInfo

from .axes import SPACE, Axes, axes_of
from .channels import groups_of, named
from .formats.finding import Choice, images_at
from .formats.image import Channel, Image
from .formats.store import store_at
from .geometry import place, voxel_size
from .levels import OpenLevel, chunk_of, mags_of, opened_levels
from .source import ArraySource, start_of

_READ = (*DTYPES, "float16", "bool")
"""Dtypes that are read; core stores the last two as float32 and uint8."""


@dataclass(frozen=True)
class Wanted:
    """Options that hold for every image."""

    axes: str | None
    timepoint: int | None
    channel: int | None
    unit: str | None


def open_zarr(
    path: Path | str,
    *,
    image: str | None = None,
    axes: str | None = None,
    timepoint: int | None = None,
    channel: int | None = None,
    unit: str | None = None,
    labels: bool = True,
) -> list[Layer]:
    """The layers at a place. Raises SourceError, OptionError. The README explains each option."""
    found = images_at(store_at(path), Choice(image, timepoint, labels))
    wanted = Wanted(axes, timepoint, channel, unit)
    return [layer for each in found for layer in _layers(each, wanted, is_first=each is found[0])]


def _layers(image: Image, wanted: Wanted, *, is_first: bool) -> list[Layer]:
    """The layers of an image: one, or one for each channel. The first carries the notes.

    Core lays the images that follow beside the first, so that only its place needs a note.
    """
    where = str(image.store)
    levels, notes = opened_levels(image)
    array = levels[0].array
    axes = axes_of(where, array.shape, image.axes, image.usual, wanted.axes)
    if array.dtype.name not in _READ or not all(axes.shape):
        raise UnsupportedSource(
            f"{where} holds {array.dtype.name} voxels, {axes}", why=f"those of {', '.join(_READ)} are read, one or more"
        )
    picked = _picked(where, image, axes, wanted.timepoint)
    size, of_size = voxel_size(image, axes, wanted.unit)
    start, affine, of_place = place(image, axes, size)
    mags, of_mags = mags_of(axes, levels, start)
    info = VolumeInfo(levels[0].shape(axes), array.dtype.numpy_dtype, offset=start, voxel_size=size)
    notes = [*image.notes, *notes, *of_size, *(of_place if is_first else ()), *of_mags]
    groups = groups_of(where, axes.size("c"), array.dtype.name, image.channels, wanted.channel)
    channels = named(image.channels, axes.size("c"))
    layers = []
    for group in groups:
        sources = {
            mag: _source(
                level,
                axes,
                tuple(group[0] if name == "c" else place for name, place in zip(axes.names, picked, strict=True)),
                replace(
                    info,
                    shape=level.shape(axes),
                    channels=len(group),
                    offset=start // mag,
                    voxel_size=size and size.coarsened(mag),
                    affine=affine if level is levels[0] else None,
                    notes=tuple(notes) if level is levels[0] and group is groups[0] else (),
                ),
            )
            for mag, level in mags.items()
        }
        shown = channels[group[0]] if len(groups) > 1 or wanted.channel is not None else _only(image)
        name = "_".join(part for part in (image.name, shown.name) if part) or None
        layers.append(Layer(sources, name, image.category, shown.color, intensity_range=_window(shown, info)))
    return layers


def _only(image: Image) -> Channel:
    """How an image of one channel, or of colours, is shown: without a name, in grey unless a colour is stated."""
    if len(image.channels) != 1:
        return Channel()
    color = image.channels[0].color
    return Channel("", None if color is None or len(set(color)) == 1 else color, image.channels[0].shown)


def _window(channel: Channel, info: VolumeInfo) -> tuple[float, float] | None:
    """The stated values of black and white; None for those of the whole dtype, which say nothing of the image."""
    if channel.shown is None or info.dtype.kind not in "iu":
        return channel.shown
    ends = np.iinfo(info.dtype)
    return None if channel.shown[0] <= ends.min and channel.shown[1] >= ends.max else channel.shown


def _picked(where: str, image: Image, axes: Axes, timepoint: int | None) -> tuple[int, ...]:
    """The place along each axis that is none of c, x, y, z; 0 along those. Raises OptionError, UnsupportedSource."""
    times, is_chosen = axes.size("t"), image.levels[0].address.driver == "n5"  # by BigDataViewer's folders
    if timepoint is not None and not is_chosen and not 0 <= timepoint < times:
        why, fix = f"its axes are {axes}", f"-o timepoint takes 0 to {times - 1}"
        raise OptionError(f"{where} has no time point {timepoint}", why=why, fix=fix)
    if timepoint is None and times > 1:
        raise UnsupportedSource(
            f"{where} holds {times} time points",
            why="a dataset shows one",
            fix=f"choose it with -o timepoint=N, N from 0 to {times - 1}",
        )
    for name, length in zip(axes.names, axes.shape, strict=True):
        if name not in ("c", "t", *SPACE) and length > 1:
            raise UnsupportedSource(
                f"{where} has an axis {name or 'without a name'} of {length}",
                why="a layer has the axes x, y, z and channels",
                fix="if it is one of z, c or t, name the axes in the array's order with -o axes=",
            )
    return tuple(timepoint or 0 if name == "t" else 0 for name in axes.names)


def _source(level: OpenLevel, axes: Axes, picked: tuple[int, ...], info: VolumeInfo) -> ArraySource:
    """The Source of some channels of a level.

    A chunk is decoded whole: also what it holds of other channels and time points, and beyond the array.
    """
    array = level.array
    chunks = Axes(axes.names, chunk_of(array))
    x, y, z = Vec3(*(chunks.size(name) for name in SPACE)).min(info.shape)
    beside = math.prod(chunks.shape) / (x * y * z)
    return ArraySource(
        level.level.address,
        axes.names,
        tuple(array.shape),
        picked,
        start_of(array, axes.names),
        1.0 + max(1.0, beside / info.channels) + 2.0 * level.packed,
        replace(info, chunk_shape=(x, y, z)),
        level.packed,
    )
