"""The Source that computes a coarser mag from a finer one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.abilities import Occupied, occupied_of, read_cost_of
from wkconvert_core.contract.errors import PluginError
from wkconvert_core.contract.geometry import Box, Vec3, Vec3Like
from wkconvert_core.contract.model import Downsampler, Source, VolumeInfo
from wkconvert_core.contract.numbers import ceil_div
from wkconvert_core.registry.plugins import downsampler

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

PIECE_BYTES = 8 * 1024 * 1024
"""Input of a kernel per call, so that its working memory does not grow with the box that is read."""

PIECE_EDGE = 128
"""The same for a kernel with a halo, as finer voxels along each axis."""


@dataclass(frozen=True)
class Downsampled:
    """A coarser mag: each voxel is computed from a block of a finer source, on a grid through voxel 0 of the dataset.

    Its voxel (0, 0, 0) is the first that touches the extent. Blocks that reach beyond the extent see it mirrored, the
    edge voxel first, so that a volume keeps its brightness up to the edge. A voxel does not depend on the box with
    which it is read.

    Three voxels from x = 1 of the dataset on, by twos: the first block holds a mirrored 10 and the 10, the second 20
    and 30.

    >>> fine = in_memory([10, 20, 30])
    >>> coarse = Downsampled(fine, Box((1, 0, 0), (3, 1, 1)), (2, 1, 1), "mean")
    >>> print(coarse.box, coarse.read(coarse.info.box).ravel().tolist())
    x 0:2, y 0:1, z 0:1 [10, 25]
    """

    source: Source
    """The finer mag."""
    fine_box: Box
    """The finer mag's extent in its own voxels, where it lies in the dataset; voxel (0, 0, 0) is the box's start."""
    factor: Vec3Like
    """Finer voxels per coarse voxel along x, y, z."""
    kernel: str
    """The name of a Downsampler."""
    known_by: Source | None = None
    """The source whose `occupied` predicts where the finer mag will hold anything but zeros; None if unknown."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave out `known_by`: which shards are omitted is decided where tasks are made, not in workers."""
        return {**self.__dict__, "known_by": None}

    @property
    def occupied(self) -> Occupied | None:
        """Asks `known_by` about the finer voxels of a box; None if nobody knows, or zeros may not stay."""
        kernel, ask = downsampler(self.kernel), occupied_of(self.known_by) if self.known_by else None
        if ask is None or not kernel.keeps_zeros:
            return None
        return lambda box: ask(self._made_of(box, kernel.halo))

    def _made_of(self, box: Box, halo: Vec3Like) -> Box:
        """The finer voxels from which a box is computed, in the finer source's frame."""
        (x, left), (y, top), (z, front) = (self._span(number, box, halo[number]) for number in range(3))
        return Box.between((x, y, z), (left, top, front))

    def _span(self, number: int, box: Box, halo: int) -> tuple[int, int]:
        factor, extent = self.factor[number], self.fine_box.shape[number]
        first = (self.box.start[number] + box.start[number]) * factor - self.fine_box.start[number] - halo
        stop = first + box.shape[number] * factor + 2 * halo
        # voxels `-1, …, first` before the extent are its voxels `0, …, -first - 1`; those from `extent` on are its last
        # ones backwards, down to `2 * extent - stop`
        return max(0, min(first, 2 * extent - stop)), min(extent, max(stop, -first))

    @property
    def read_cost(self) -> float:
        """Bytes that a read holds at its peak, per byte that it returns: the result, and the finer voxels with halo."""
        halo = downsampler(self.kernel).halo
        sides = ((64 * f + 2 * h) / 64 for f, h in zip(self.factor, halo, strict=True))
        return 1 + math.prod(sides) * read_cost_of(self.source)

    @property
    def box(self) -> Box:
        """The extent in coarse voxels, where it lies in the dataset: all that touch the finer mag's."""
        return self.fine_box.coarsened(self.factor)

    @property
    def info(self) -> VolumeInfo:
        """The finer source's, coarsened, chunks included."""
        fine = self.source.info
        chunk = fine.chunk_shape and Vec3(*fine.chunk_shape).ceildiv(self.factor)
        start, box = Vec3(*fine.chunk_start) // self.factor, self.box
        coarse = replace(fine, shape=box.shape, offset=box.start, chunk_shape=chunk, chunk_start=start)
        return replace(coarse, voxel_size=None, affine=None)

    def read(self, box: Box) -> Array:
        """The coarse voxels `[c, x, y, z]` of a box, x contiguous. Reads the finer source once.

        Raises what the finer source raises, OptionError for an unknown kernel, PluginError for a kernel whose result
        has the wrong shape or dtype.
        """
        whole = Box((0, 0, 0), box.shape)
        if box not in self.info.box:
            raise ValueError(f"box {box} is not within {self.info.box}")
        kernel = downsampler(self.kernel)
        x, y, z = axes = [self._axis(number, box, kernel.halo[number]) for number in range(3)]
        fine = self.source.read(Box.between((x.low, y.low, z.low), (x.high, y.high, z.high)))
        coarse = np.empty((len(fine), *box.shape[::-1]), fine.dtype).transpose(0, 3, 2, 1)
        for piece in _pieces(axes, self._piece_shape(box, kernel, len(fine) * fine.itemsize)):
            coarse[:, *piece.slices_in(whole)] = self._made(kernel, _window(fine, axes, piece))
        return coarse

    def _axis(self, number: int, box: Box, halo: int) -> _Axis:
        """The finer voxels that the kernel sees along one axis of a box, and where none of them is mirrored."""
        factor, count, extent = self.factor[number], box.shape[number], self.fine_box.shape[number]
        first = self.box.start[number] + box.start[number]
        begin = first * factor - self.fine_box.start[number] - halo
        voxels = _mirrored(np.arange(begin, begin + count * factor + 2 * halo), extent)
        # coarse voxel i sees `factor + 2 * halo` voxels from `begin + i * factor` on: from i = `inner` on none of them
        # lies before 0, up to `outer` none beyond the extent; in between, windows are slices and need no copy
        inner = min(max(ceil_div(-begin, factor), 0), count)
        outer = min(max((extent - 2 * halo - begin) // factor, inner), count)
        return _Axis(voxels, factor, halo, [(a, b) for a, b in ((0, inner), (inner, outer), (outer, count)) if a < b])

    def _piece_shape(self, box: Box, kernel: Downsampler, voxel_bytes: int) -> Vec3:
        """The coarse voxels of one kernel call: whole rows, or a cube if the kernel has a halo."""
        if any(kernel.halo):
            edge = max(PIECE_EDGE, 4 * max(kernel.halo))
            return Vec3(edge, edge, edge).ceildiv(self.factor)
        width, height = box.shape[:2]
        row = max(1, width * math.prod(self.factor) * voxel_bytes)
        rows = min(max(1, PIECE_BYTES // row), max(1, height))
        return Vec3(max(1, width), rows, max(1, PIECE_BYTES // (row * rows)))

    def _made(self, kernel: Downsampler, window: Array) -> Array:
        """The kernel's result. Raises PluginError if its shape or dtype is wrong."""
        sides = zip(window.shape[1:], kernel.halo, self.factor, strict=True)
        shape = (len(window), *((n - 2 * halo) // factor for n, halo, factor in sides))
        made = kernel.kernel(window, Vec3(*self.factor))
        if made.shape != shape or made.dtype != window.dtype:
            raise PluginError(
                f"the kernel {kernel.name} made {made.dtype} {made.shape} of {window.dtype} {window.shape}",
                why=f"for the factor {self.factor} that should be {window.dtype} {shape}",
                fix="take another --interpolation-mode, and tell the plugin's author",
            )
        return made


@dataclass(frozen=True)
class _Axis:
    """One axis of a read."""

    voxels: Array
    """The finer voxel that is seen at each place, the halo on either side included."""
    factor: int
    halo: int
    parts: list[tuple[int, int]]
    """The box's coarse voxels in up to three intervals: mirrored at the start, not mirrored, mirrored at the end."""

    @property
    def low(self) -> int:
        """The first finer voxel to be read."""
        return int(self.voxels.min())

    @property
    def high(self) -> int:
        """The finer voxel after the last to be read."""
        return int(self.voxels.max()) + 1


def _mirrored(places: Array, extent: int) -> Array:
    """The voxel of an extent that is seen at each place inside or outside of it.

    >>> _mirrored(np.arange(-2, 8), 3).tolist()
    [1, 0, 0, 1, 2, 2, 1, 0, 0, 1]
    """
    places = np.mod(places, 2 * extent)
    return np.asarray(np.minimum(places, 2 * extent - 1 - places))


def _pieces(axes: list[_Axis], shape: Vec3) -> Iterator[Box]:
    """The boxes of coarse voxels that are computed one by one: tiles of each combination of the axes' parts."""
    for (x0, x1), (y0, y1), (z0, z1) in product(*(axis.parts for axis in axes)):
        yield from Box.between((x0, y0, z0), (x1, y1, z1)).tiles(shape)


def _window(fine: Array, axes: list[_Axis], piece: Box) -> Array:
    """The finer voxels `[c, x, y, z]` that the kernel sees for a piece; a copy only where something is mirrored."""
    for number, (axis, first, count) in enumerate(zip(axes, piece.start, piece.shape, strict=True), 1):
        places = axis.voxels[first * axis.factor : (first + count) * axis.factor + 2 * axis.halo] - axis.low
        low, high = int(places.min()), int(places.max()) + 1
        fine = fine[(slice(None),) * number + (slice(low, high),)]
        if (np.diff(places) != 1).any():
            fine = fine.take(places - low, axis=number)
    return fine
