"""Sources that wrap a source: a part of it, one channel, mirrored, or with another dtype."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.abilities import Occupied, Stream, occupied_of, read_cost_of, stream_of
from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Box, Vec3, Vec3Like
from wkconvert_core.contract.model import Source, VolumeInfo
from wkconvert_core.sources.casting import Fit, cast, pieces

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


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
        return read_cost_of(self.inner)

    @property
    def stream(self) -> Stream | None:
        """How to read it in order; None if the inner source can be read in any order."""
        inner = stream_of(self.inner)
        return inner and partial(self._streamed, inner)

    @property
    def occupied(self) -> Occupied | None:
        """Where there may be other voxels than 0; None if that is not known."""
        inner = occupied_of(self.inner)
        return inner and (lambda box: inner(self._inside(box)))

    def _inside(self, box: Box) -> Box:
        """Where a box lies in the inner source."""
        return box

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
        info = self.inner.info
        return replace(info, shape=self.box.shape, chunk_start=Vec3(*info.chunk_start) - self.box.start)

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]` of a box within the part."""
        return self.inner.read(self._inside(box))

    def _inside(self, box: Box) -> Box:
        return box.shifted(self.box.start)

    def _streamed(self, inner: Stream) -> Iterator[tuple[Box, Array]]:
        return (seen for seen in super()._streamed(inner) if seen[0].volume)

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        part = box.intersection(self.box)
        return part - self.box.start, data[:, *part.slices_in(box)]


@dataclass(frozen=True)
class Moved(Wrapper):
    """A source at another place in the dataset."""

    offset: Vec3Like

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

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner one's; its chunks' grid is mirrored, too."""
        info = self.inner.info
        sides = zip("xyz", info.shape, info.chunk_start, strict=True)
        start = Vec3(*(side - start if axis in self.axes else start for axis, side, start in sides))
        return replace(info, chunk_start=start)

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]` of a box of the mirrored volume."""
        return self._flipped(self.inner.read(self._inside(box)))

    def _inside(self, box: Box) -> Box:
        """The mirror image of a box, in either direction."""
        sides = zip("xyz", self.inner.info.shape, box.start, box.stop, strict=True)
        return Box(Vec3(*(side - b if axis in self.axes else a for axis, side, a, b in sides)), box.shape)

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        return self._inside(box), self._flipped(data)

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

    @property
    def occupied(self) -> Occupied | None:
        """The inner one's, if 0 stays 0: the middle of signed numbers, scaled, is another."""
        zero = np.zeros((1, 1, 1, 1), self.inner.info.dtype)
        return None if cast(zero, np.dtype(self.dtype), self.fit, Box((0, 0, 0), (1, 1, 1))).any() else super().occupied

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]` in the new dtype, x fastest in memory. Raises ConversionError."""
        return self._seen(box, self.inner.read(box))[1]

    def _streamed(self, inner: Stream) -> Iterator[tuple[Box, Array]]:
        for box, data in inner():  # in pieces: in another dtype, the whole may be many times as large
            for piece in pieces(box.shape):
                yield self._seen(piece.shifted(box.start), data[:, *piece.slices_in(Box((0, 0, 0), box.shape))])

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        return box, cast(data, np.dtype(self.dtype), self.fit, box.shifted(self.inner.info.offset))


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
        source = Moved(cropped(source, box, "--bbox"), box.start + source.info.offset)  # it keeps its place
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
