"""The source that makes a coarser mag of a finer one, and core's kernels, registered like those of any plugin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.abilities import Occupied, occupied_of, read_cost_of
from wkconvert_core.contract.errors import PluginError
from wkconvert_core.contract.geometry import Box, Vec3, Vec3Like, ceil_div
from wkconvert_core.contract.model import Downsampler, Source, VolumeInfo
from wkconvert_core.registry.plugins import downsampler

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

PIECE_BYTES = 8 * 1024 * 1024
"""What a kernel gets at a time, so that its own memory does not grow with the box that is read."""

PIECE_EDGE = 128
"""The same for a kernel that needs the neighbourhood, in finer voxels along each axis."""


@dataclass(frozen=True)
class Downsampled:
    """A coarser mag: every voxel is made of a block of a finer source, on the grid of the dataset.

    Its voxel (0, 0, 0) is the first one that touches the extent. Blocks that reach beyond the extent see it mirrored,
    the edge voxel first, so that a volume keeps its brightness up to the edge. A voxel does not depend on the box that
    it is read with.
    """

    source: Source
    """The finer mag."""
    fine_box: Box
    """Its extent in its own voxels, where it lies in the dataset; its voxel (0, 0, 0) is the box's start."""
    factor: Vec3Like
    """How many finer voxels make one along x, y, z."""
    kernel: str
    """A name for `downsampler`."""
    known_by: Source | None = None
    """What tells where the finer mag holds anything, or will: itself, or what that is made of; None: nobody does."""

    def __getstate__(self) -> dict[str, Any]:
        """What a task carries: what is left out is decided where tasks are made."""
        return {**self.__dict__, "known_by": None}

    @property
    def occupied(self) -> Occupied | None:
        """How to ask, without reading, where anything but zeros may be: where the finer mag has something."""
        kernel, ask = downsampler(self.kernel), occupied_of(self.known_by) if self.known_by else None
        if ask is None or not kernel.keeps_zeros:
            return None
        return lambda box: ask(self._made_of(box, kernel.halo))

    def _made_of(self, box: Box, halo: Vec3Like) -> Box:
        """The finer voxels that `read` reads, counted from 0 as in the finer source."""
        (x, left), (y, top), (z, front) = (self._span(number, box, halo[number]) for number in range(3))
        return Box.between((x, y, z), (left, top, front))

    def _span(self, number: int, box: Box, halo: int) -> tuple[int, int]:
        factor, extent = self.factor[number], self.fine_box.shape[number]
        first = (self.box.start[number] + box.start[number]) * factor - self.fine_box.start[number] - halo
        stop = first + box.shape[number] * factor + 2 * halo
        return max(0, min(first, 2 * extent - stop)), min(extent, max(stop, -first))  # mirrored at the extent's edges

    @property
    def read_cost(self) -> float:
        """Bytes that a read takes at its peak, per byte that it returns: the finer voxels, the result, the pieces."""
        halo = downsampler(self.kernel).halo
        sides = ((64 * f + 2 * h) / 64 for f, h in zip(self.factor, halo, strict=True))
        return 1 + math.prod(sides) * read_cost_of(self.source)

    @property
    def box(self) -> Box:
        """The extent in coarse voxels, where it lies in the dataset."""
        return self.fine_box.coarsened(self.factor)

    @property
    def info(self) -> VolumeInfo:
        """What it holds; its chunks are what the finer source's chunks come down to."""
        fine = self.source.info
        chunk = fine.chunk_shape and Vec3(*fine.chunk_shape).ceildiv(self.factor)
        start, box = Vec3(*fine.chunk_start) // self.factor, self.box
        return replace(fine, shape=box.shape, offset=box.start, chunk_shape=chunk, chunk_start=start, voxel_size=None)

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`, in coarse voxels from 0; x is contiguous. Reads the finer source once.

        Raises what the finer source raises, OptionError for an unknown kernel, PluginError for one whose result does
        not have the shape or the dtype that it should.
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
        """How one axis of a box is read."""
        factor, count, extent = self.factor[number], box.shape[number], self.fine_box.shape[number]
        first = self.box.start[number] + box.start[number]
        begin = first * factor - self.fine_box.start[number] - halo
        voxels = _mirrored(np.arange(begin, begin + count * factor + 2 * halo), extent)
        inner = min(max(ceil_div(-begin, factor), 0), count)
        outer = min(max((extent - 2 * halo - begin) // factor, inner), count)
        return _Axis(voxels, factor, halo, [(a, b) for a, b in ((0, inner), (inner, outer), (outer, count)) if a < b])

    def _piece_shape(self, box: Box, kernel: Downsampler, voxel_bytes: int) -> Vec3:
        """How much of a box a kernel gets at a time: whole rows, or cubes if it needs the neighbourhood too."""
        if any(kernel.halo):
            edge = max(PIECE_EDGE, 4 * max(kernel.halo))
            return Vec3(edge, edge, edge).ceildiv(self.factor)
        width, height = box.shape[:2]
        row = max(1, width * math.prod(self.factor) * voxel_bytes)
        rows = min(max(1, PIECE_BYTES // row), max(1, height))
        return Vec3(max(1, width), rows, max(1, PIECE_BYTES // (row * rows)))

    def _made(self, kernel: Downsampler, window: Array) -> Array:
        """The kernel's result, if it is what the contract says."""
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
    """For each place of the kernels' windows, one after the other, the finer source's voxel that is seen there."""
    factor: int
    halo: int
    parts: list[tuple[int, int]]
    """The coarse voxels, from the box's first, in parts: those that see nothing mirrored, and those on either side."""

    @property
    def low(self) -> int:
        """The first finer voxel that is needed."""
        return int(self.voxels.min())

    @property
    def high(self) -> int:
        """The first that is not needed any more."""
        return int(self.voxels.max()) + 1


def _mirrored(places: Array, extent: int) -> Array:
    """The voxel of an extent that is seen at each place, inside or outside: 1 0 | 0 1 2 | 2 1 0 | 0 1."""
    places = np.mod(places, 2 * extent)
    return np.asarray(np.minimum(places, 2 * extent - 1 - places))


def _pieces(axes: list[_Axis], shape: Vec3) -> Iterator[Box]:
    """The parts of a box that are computed one by one."""
    for (x0, x1), (y0, y1), (z0, z1) in product(*(axis.parts for axis in axes)):
        yield from Box.between((x0, y0, z0), (x1, y1, z1)).tiles(shape)


def _window(fine: Array, axes: list[_Axis], piece: Box) -> Array:
    """What the kernel sees for a piece; a copy only where something is mirrored."""
    for number, (axis, first, count) in enumerate(zip(axes, piece.start, piece.shape, strict=True), 1):
        places = axis.voxels[first * axis.factor : (first + count) * axis.factor + 2 * axis.halo] - axis.low
        low, high = int(places.min()), int(places.max()) + 1
        fine = fine[(slice(None),) * number + (slice(low, high),)]
        if (np.diff(places) != 1).any():
            fine = fine.take(places - low, axis=number)
    return fine
