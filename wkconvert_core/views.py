"""Sources that wrap a source: a part of it, one channel, mirrored, or with another dtype."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from wkconvert_core.errors import ConversionError, OptionError
from wkconvert_core.geometry import Box, Vec3, minus
from wkconvert_core.model import Source, Stream, VolumeInfo, stream_of

if TYPE_CHECKING:
    from wkconvert_core.model import Array, DType

Fit = Literal["exact", "clip", "scale"]

PIECE = 500_000
"""Voxels that are cast at a time."""


@dataclass(frozen=True)
class Wrapper:
    """A source that says what its inner source says; the views below change some of it."""

    inner: Source

    @property
    def info(self) -> VolumeInfo:
        """What it holds."""
        return self.inner.info

    @property
    def read_cost(self) -> float:
        """Bytes that a read takes at its peak, per byte that it returns."""
        return float(getattr(self.inner, "read_cost", 1.0))

    @property
    def stream(self) -> Stream | None:
        """How to read it in order; None if the inner source can be read in any order."""
        inner = stream_of(self.inner)
        return inner and partial(self._streamed, inner)

    def _streamed(self, inner: Stream) -> Iterator[tuple[Box, Array]]:
        return (self._seen(box, data) for box, data in inner())

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        """A box of the inner source and its voxels `[c, x, y, z]`, as they are here."""
        return box, data

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]`. Raises what the inner source raises."""
        return self.inner.read(box)


@dataclass(frozen=True)
class Cropped(Wrapper):
    """A part of a source."""

    box: Box
    """In the inner source's voxels."""

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner one's, as large as the box."""
        return replace(self.inner.info, shape=self.box.shape)

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]` of a box within the part."""
        return self.inner.read(box.shifted(self.box.start))

    def _streamed(self, inner: Stream) -> Iterator[tuple[Box, Array]]:
        return (seen for seen in super()._streamed(inner) if seen[0].volume)

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        part = box.intersection(self.box)
        return part.shifted(minus(self.box.start)), data[:, *part.slices_in(box)]


@dataclass(frozen=True)
class Moved(Wrapper):
    """A source at another place in the dataset."""

    offset: Vec3

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner one's, elsewhere."""
        return replace(self.inner.info, offset=self.offset)


@dataclass(frozen=True)
class OneChannel(Wrapper):
    """One channel of a source."""

    channel: int

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner one's, with one channel."""
        return replace(self.inner.info, channels=1)

    @property
    def read_cost(self) -> float:
        """All channels are read for one."""
        return self.inner.info.channels * super().read_cost

    def read(self, box: Box) -> Array:
        """Voxels `[1, x, y, z]`."""
        return self.inner.read(box)[self.channel : self.channel + 1]

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        return box, data[self.channel : self.channel + 1]


@dataclass(frozen=True)
class Flipped(Wrapper):
    """A source mirrored along some axes."""

    axes: str
    """Some of `x`, `y`, `z`."""

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]` of a box of the mirrored volume."""
        return self._flipped(self.inner.read(self._opposite(box)))

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        return self._opposite(box), self._flipped(data)

    def _opposite(self, box: Box) -> Box:
        start = [
            self.info.shape[i] - box.stop[i] if axis in self.axes else box.start[i] for i, axis in enumerate("xyz")
        ]
        return Box((start[0], start[1], start[2]), box.shape)

    def _flipped(self, data: Array) -> Array:
        return np.flip(data, tuple(i + 1 for i, axis in enumerate("xyz") if axis in self.axes))


@dataclass(frozen=True)
class Cast(Wrapper):
    """A source with another dtype: `exact` refuses what does not fit, `clip` clips, `scale` maps range to range.

    Floats are rounded to the nearest integer by `clip` and `scale`; `exact` refuses fractions and NaN. `scale` maps the
    whole range of an integer dtype, or 0 to 1 of floats and bools, to the whole range of the other; it refuses other
    floats.
    """

    dtype: str
    fit: Fit = "exact"

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner one's, with the new dtype."""
        return replace(self.inner.info, dtype=np.dtype(self.dtype))

    @property
    def read_cost(self) -> float:
        """Bytes that a read takes at its peak, per byte that it returns."""
        return 1 + super().read_cost * self.inner.info.dtype.itemsize / np.dtype(self.dtype).itemsize

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]` in the new dtype, x fastest in memory. Raises ConversionError."""
        return self._seen(box, self.inner.read(box))[1]

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        target = np.dtype(self.dtype)
        if data.dtype == target:
            return box, data
        result = np.empty((len(data), *box.shape[::-1]), target).transpose(0, 3, 2, 1)
        for piece in Box((0, 0, 0), box.shape).tiles(_piece(box.shape)):
            where = (slice(None), *piece.slices_in(Box((0, 0, 0), box.shape)))
            result[where] = self._cast(data[where], target, piece.shifted(box.start))
        return box, result

    def _cast(self, data: Array, target: DType, box: Box) -> Array:
        if self.fit == "scale":
            return _scaled(data, target, box)
        if self.fit == "clip":
            return _clipped(data, target)
        return self._exact(data, target, box)

    def _exact(self, data: Array, target: DType, box: Box) -> Array:
        with np.errstate(invalid="ignore", over="ignore"):
            result = data.astype(target)
        if _always_fits(data.dtype, target):
            return result
        fits = _same_value(data, result)
        if not fits.all():
            value = data[~fits].flat[0]
            raise ConversionError(
                f"the value {value} of dtype {data.dtype} does not fit {target} ({box})",
                why="a conversion that changes values is never made unasked",
                fix=f"take another --dtype, or say --convert clip or --convert scale; {target} holds {_range(target)}",
            )
        return result


def _piece(shape: Vec3) -> Vec3:
    """A part of a box of about PIECE voxels: casting takes several times its voxels' memory."""
    x, y, z = shape
    rows = max(1, min(y, PIECE // x))
    return x, rows, max(1, min(z, PIECE // (x * rows)))


def _always_fits(own: DType, target: DType) -> bool:
    """Whether every value of a dtype is one of the other's; numpy calls 64-bit integers to float64 safe, too."""
    return bool(np.can_cast(own, target, "safe")) and not (
        own.kind in "iu" and own.itemsize == 8 and target.kind == "f"
    )


def _same_value(data: Array, result: Array) -> Array:
    """Where a cast kept the value; NaN and inf keep theirs only among floats."""
    if result.dtype.kind == "f":
        # a float32 of a float64 is rounded, which is what a smaller float means: only overflow changes the value
        return np.isfinite(result) | ~np.isfinite(data) if data.dtype.kind == "f" else _equal_integers(data, result)
    same: Array
    if data.dtype.kind == "f":
        low, high = _limits(result.dtype)
        same = (data == np.trunc(data)) & (data >= low) & (data < float(high) + 1)
    else:
        same = (result.astype(data.dtype) == data) & ((result < 0) == (data < 0))
    return same


def _equal_integers(data: Array, result: Array) -> Array:
    """Where an integer survived as a float; the way back is only defined inside the integer's range."""
    low, high = _limits(data.dtype)
    inside = (result >= low) & (result < float(high) + 1)
    same: Array = inside & (np.where(inside, result, 0).astype(data.dtype) == data)
    return same


def _limits(dtype: DType) -> tuple[int, int]:
    if dtype.kind == "b":
        return 0, 1
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _range(dtype: DType) -> str:
    return "fractions" if dtype.kind == "f" else "{} to {}".format(*_limits(dtype))


def _clipped(data: Array, target: DType) -> Array:
    if target.kind == "f":
        return data.astype(target)
    low, high = _limits(target)
    if data.dtype.kind == "f":
        rounded = np.rint(np.where(np.isnan(data), 0, data))
        # the largest 64-bit integers have no float of their own: what reaches a limit is set to it, not cast
        result = np.where((rounded > low) & (rounded < float(high)), rounded, 0).astype(target)
        result[rounded >= float(high)] = high
        result[rounded <= low] = low
        return result
    own_low, own_high = _limits(data.dtype)
    bounded: Array = np.clip(data, max(low, own_low), min(high, own_high)).astype(target)
    return bounded


def _scaled(data: Array, target: DType, box: Box) -> Array:
    low, high = (0, 1) if data.dtype.kind == "f" else _limits(data.dtype)
    if data.dtype.kind == "f" and not ((data >= 0) & (data <= 1)).all():
        value = data[~((data >= 0) & (data <= 1))].flat[0]
        raise ConversionError(
            f"the value {value} cannot be scaled ({box})",
            why="--convert scale maps 0 to 1 of floats to the whole range of an integer",
            fix="scale the values to 0 to 1 first, or say --convert clip",
        )
    unit = (data.astype(np.float64) - low) / (high - low)
    if target.kind == "f":
        return unit.astype(target)
    new_low, new_high = _limits(target)
    return _clipped(unit * (new_high - new_low) + new_low, target)


def transformed(
    source: Source, *, channel: int | None, box: Box | None, skip_z: int, flip: str, dtype: str | None, fit: Fit
) -> Source:
    """Wrap a source as the options say; raises OptionError for a part or channel that it does not have."""
    if channel is not None:
        source = _picked(source, channel)
    if skip_z:
        source = cropped(source, Box.between((0, 0, skip_z), source.info.shape), "--skip-first-z-slices")
    if flip:
        source = Flipped(source, flip)
    if box is not None:
        source = _placed_crop(source, box)
    if dtype is not None and np.dtype(dtype) != source.info.dtype:
        source = Cast(source, dtype, fit)
    return source


def _picked(source: Source, channel: int) -> Source:
    count = source.info.channels
    if not 0 <= channel < count:
        raise OptionError(f"there is no channel {channel}", fix=f"the channels are 0 to {count - 1}")
    return source if count == 1 else OneChannel(source, channel)


def cropped(source: Source, box: Box, option: str) -> Source:
    """A part of a source. Raises OptionError, naming the option, where there is no such part."""
    if not box.volume or box not in source.info.box:
        raise OptionError(f"{option} asks for {box}", why=f"the source holds {source.info.box}")
    return Cropped(source, box)


def _placed_crop(source: Source, box: Box) -> Source:
    """The part of a source that keeps its place in the dataset."""
    x, y, z = (o + s for o, s in zip(source.info.offset, box.start, strict=True))
    return Moved(cropped(source, box, "--bbox"), (x, y, z))
