"""Sources that wrap a Source: a part of it, one channel, mirrored, or with another dtype."""

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
from wkconvert_core.sources.casting import Fit, ValueRange, cast, pieces

if TYPE_CHECKING:
    from wkconvert_core.contract.affine import Affine
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class Wrapper:
    """Passes everything on from an inner source; the views below override what they change.

    A view has two frames: its own voxels, and those of the inner source. `_inside` maps a box of the view to the inner
    source, `_seen` maps a streamed box and its voxels back.
    """

    inner: Source

    @property
    def info(self) -> VolumeInfo:
        """The inner source's."""
        return self.inner.info

    @property
    def read_cost(self) -> float:
        """Bytes that a read holds at its peak, per byte that it returns."""
        return read_cost_of(self.inner)

    @property
    def stream(self) -> Stream | None:
        """Streams the inner source, if that is a StreamSource; else None."""
        inner = stream_of(self.inner)
        return inner and partial(self._streamed, inner)

    @property
    def occupied(self) -> Occupied | None:
        """Asks the inner source, if that is a SparseSource; else None."""
        inner = occupied_of(self.inner)
        return inner and (lambda box: inner(self._inside(box)))

    def _inside(self, box: Box) -> Box:
        """Map a box from this frame to the inner source's."""
        return box

    def _streamed(self, inner: Stream) -> Iterator[tuple[Box, Array]]:
        return (self._seen(box, data) for box, data in inner())

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        """Map a box and its voxels `[c, x, y, z]` from the inner source's frame to this one."""
        return box, data

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box. Raises what the inner source raises."""
        return self.inner.read(box)


@dataclass(frozen=True)
class Cropped(Wrapper):
    """A part of a source, whose first voxel becomes voxel (0, 0, 0); `offset` stays as it is.

    >>> part = Cropped(in_memory([0, 1, 2, 3, 4, 5]), Box((2, 0, 0), (3, 1, 1)))
    >>> part.read(part.info.box).ravel().tolist()
    [2, 3, 4]
    """

    box: Box
    """In the inner source's voxels."""

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner source's, with the shape of the box."""
        info, start = self.inner.info, self.box.start
        affine = info.affine and info.affine.moved(start)
        return replace(info, shape=self.box.shape, chunk_start=Vec3(*info.chunk_start) - start, affine=affine)

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box of the part. Raises what the inner source raises."""
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
    """Where its voxel (0, 0, 0) lies in the dataset."""

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner source's, with the other offset."""
        return replace(self.inner.info, offset=self.offset)


@dataclass(frozen=True)
class InSpace(Wrapper):
    """A source with another affine."""

    affine: Affine | None

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner source's, with the other affine."""
        return replace(self.inner.info, affine=self.affine)


@dataclass(frozen=True)
class OneChannel(Wrapper):
    """One channel of a source, counted from 0."""

    channel: int

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner source's, with one channel."""
        return replace(self.inner.info, channels=1)

    @property
    def read_cost(self) -> float:
        """The inner source's, times the number of channels: all are read for one."""
        return self.inner.info.channels * super().read_cost

    def read(self, box: Box) -> Array:
        """The voxels `[1, x, y, z]` of a box. Raises what the inner source raises."""
        return self.inner.read(box)[self.channel : self.channel + 1]

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        return box, data[self.channel : self.channel + 1]


@dataclass(frozen=True)
class Flipped(Wrapper):
    """A source mirrored along some axes.

    >>> mirrored = Flipped(in_memory([0, 1, 2, 3, 4, 5]), "x")
    >>> mirrored.read(Box((0, 0, 0), (2, 1, 1))).ravel().tolist()
    [5, 4]
    """

    axes: str
    """Some of `x`, `y`, `z`: `xz`."""

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner source's, with the grid of chunks mirrored as well."""
        info = self.inner.info
        sides = zip("xyz", info.shape, info.chunk_start, strict=True)
        start = Vec3(*(side - start if axis in self.axes else start for axis, side, start in sides))
        return replace(info, chunk_start=start, affine=info.affine and info.affine.mirrored(info.shape, self.axes))

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box of the mirrored volume. Raises what the inner source raises."""
        return self._flipped(self.inner.read(self._inside(box)))

    def _inside(self, box: Box) -> Box:
        """The mirror image of a box; the same from the inner source to here."""
        sides = zip("xyz", self.inner.info.shape, box.start, box.stop, strict=True)
        return Box(Vec3(*(side - b if axis in self.axes else a for axis, side, a, b in sides)), box.shape)

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        return self._inside(box), self._flipped(data)

    def _flipped(self, data: Array) -> Array:
        return np.flip(data, tuple(i + 1 for i, axis in enumerate("xyz") if axis in self.axes))


@dataclass(frozen=True)
class Cast(Wrapper):
    """A source with another dtype.

    `exact` refuses values that the dtype does not hold, fractions and NaN among them. `clip` sets them to the nearest
    value that it holds. `scale` maps the whole range of an integer dtype, or 0 to 1 of floats and bools, linearly to
    the whole range of the other, and refuses floats beyond 0 to 1; with `values`, it maps that range, and clips values
    beyond it. `clip` and `scale` round to the nearest integer.

    >>> source = in_memory([0, 256, 65535], "uint16")
    >>> [Cast(source, "uint8", fit).read(source.info.box).ravel().tolist() for fit in ("clip", "scale")]
    [[0, 255, 255], [0, 1, 255]]
    >>> Cast(source, "uint8").read(source.info.box)
    Traceback (most recent call last):
    wkconvert_core.contract.errors.ConversionError: the value 256 of dtype uint16 does not fit uint8 ...
    """

    dtype: str
    """A name of numpy: `uint8`."""
    fit: Fit = "exact"
    values: ValueRange | None = None

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner source's, with the new dtype."""
        return replace(self.inner.info, dtype=np.dtype(self.dtype))

    @property
    def read_cost(self) -> float:
        """Bytes that a read holds at its peak, per byte that it returns: result and original."""
        return 1 + super().read_cost * self.inner.info.dtype.itemsize / np.dtype(self.dtype).itemsize

    @property
    def occupied(self) -> Occupied | None:
        """The inner source's, unless 0 becomes another value, as the middle of a signed range does if scaled."""
        zero = np.zeros((1, 1, 1, 1), self.inner.info.dtype)
        becomes = cast(zero, np.dtype(self.dtype), self.fit, Box((0, 0, 0), (1, 1, 1)), self.values)
        return None if becomes.any() else super().occupied

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box, x fastest in memory. Raises ConversionError."""
        return self._seen(box, self.inner.read(box))[1]

    def _streamed(self, inner: Stream) -> Iterator[tuple[Box, Array]]:
        for box, data in inner():  # in pieces: in the new dtype the whole may be eight times as large
            for piece in pieces(box.shape):
                yield self._seen(piece.shifted(box.start), data[:, *piece.slices_in(Box((0, 0, 0), box.shape))])

    def _seen(self, box: Box, data: Array) -> tuple[Box, Array]:
        return box, cast(data, np.dtype(self.dtype), self.fit, box.shifted(self.inner.info.offset), self.values)


def transformed(source: Source, *, channel: int | None, box: Box | None, skip_z: int, flip: str) -> Source:
    """Wrap a source as the options ask. Raises OptionError for a part or a channel that it does not have."""
    if channel is not None:
        count = source.info.channels
        if not 0 <= channel < count:
            raise OptionError(f"there is no channel {channel}", fix=f"the channels are 0 to {count - 1}")
        source = source if count == 1 else OneChannel(source, channel)
    if skip_z:
        source = cropped(source, Box.between((0, 0, skip_z), source.info.shape), "--skip-first-z-slices")
    if flip:
        source = Flipped(source, flip)
    if box is not None:
        source = Moved(cropped(source, box, "--bbox"), box.start + source.info.offset)  # it keeps its place
    return source


def as_dtype(source: Source, dtype: str | None, fit: Fit, values: ValueRange | None = None) -> Source:
    """A source as `Cast` makes it; the very source where that changes nothing."""
    if dtype is None or (values is None and np.dtype(dtype) == source.info.dtype):
        return source
    return Cast(source, dtype, fit, values)


def cropped(source: Source, box: Box, option: str) -> Source:
    """A part of a source. Raises OptionError, naming the option, if the box is empty or reaches out of the source."""
    if not box.volume or box not in source.info.box:
        raise OptionError(
            f"{option} asks for {box}",
            why=f"the source holds {source.info.box}",
            fix="ask for a part of that",
        )
    return Cropped(source, box)
