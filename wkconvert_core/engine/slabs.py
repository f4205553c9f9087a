"""Where a slab of decoded voxels waits to be encoded: in memory, or in a scratch file. A Source that can be filled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from wkconvert_core.contract.geometry import Box, Vec3, minus
from wkconvert_core.contract.model import Source, VolumeInfo
from wkconvert_core.toolkit.atomic import writing

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


class Slab(Source, Protocol):
    """A part of a volume, decoded; its boxes are those of the whole volume."""

    def fill(self, box: Box, data: Array) -> None:
        """Keep the voxels `[c, x, y, z]` of a box, as far as it lies in the slab."""
        ...


@dataclass(frozen=True, eq=False)
class MemorySlab:
    """A slab in memory that threads share."""

    info: VolumeInfo
    box: Box
    voxels: Array
    """`[c, z, y, x]`: the order in which slices come."""

    @classmethod
    def reserve(cls, info: VolumeInfo, box: Box) -> MemorySlab:
        """An empty slab for a box."""
        x, y, z = box.shape
        return cls(info, box, np.zeros((info.channels, z, y, x), info.dtype))

    @classmethod
    def of(cls, extent: Box, box: Box, data: Array) -> MemorySlab:
        """The voxels `[c, x, y, z]` of a box of a volume; both boxes lie in the dataset."""
        info = VolumeInfo(extent.shape, data.dtype, len(data))
        return cls(info, box.shifted(minus(extent.start)), data.transpose(0, 3, 2, 1))

    def fill(self, box: Box, data: Array) -> None:
        """Keep the voxels `[c, x, y, z]` of a box, as far as it lies in the slab."""
        part = box.intersection(self.box)
        self.read(part)[...] = data[:, *part.slices_in(box)]

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]`, a view."""
        return self.voxels.transpose(0, 3, 2, 1)[:, *box.slices_in(self.box)]


@dataclass(frozen=True)
class FileSlab:
    """A slab in a scratch file, cell after cell: reading one cell is one run of bytes, whatever filled it."""

    info: VolumeInfo
    box: Box
    path: Path
    cell: Vec3
    """What lies in one piece in the file: the slab is read in whole cells."""
    origin: Vec3
    """Where voxel (0, 0, 0) of the volume lies on the cells' grid."""

    @property
    def _grid(self) -> Box:
        """The cells of the slab, as a box of a grid whose voxels are cells."""
        return self.box.shifted(self.origin).coarsened(self.cell)

    @property
    def _cell_bytes(self) -> int:
        return Box((0, 0, 0), self.cell).volume * self.info.voxel_bytes

    def reserve(self) -> None:
        """Take the disk space now: running out of it later would kill whoever writes. Raises NoSpace, TargetError."""
        with writing(self.path):
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, self._grid.volume * self._cell_bytes)
                else:
                    for _ in range(self._grid.volume):
                        file.write(bytes(self._cell_bytes))

    def fill(self, box: Box, data: Array) -> None:
        """Keep the voxels `[c, x, y, z]` of a box, as far as it lies in the slab."""
        for piece, voxels in self._pieces(box.intersection(self.box), "r+"):
            voxels[...] = data[:, *piece.slices_in(box)]

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]`."""
        x, y, z = box.shape
        result = np.empty((self.info.channels, z, y, x), self.info.dtype).transpose(0, 3, 2, 1)
        for piece, voxels in self._pieces(box, "r"):
            result[:, *piece.slices_in(box)] = voxels
        return result

    def _pieces(self, box: Box, mode: str) -> Iterator[tuple[Box, Array]]:
        """The parts of a box that lie in one cell each, and their voxels `[c, x, y, z]` in the file."""
        x, y, z = self.cell
        for placed in box.shifted(self.origin).tiles(self.cell):
            corner = placed.coarsened(self.cell)
            offset = _index(corner.start, self._grid) * self._cell_bytes
            # mapped for this piece only: no handle outlives the call, and no more than a cell counts as our memory
            cell = np.memmap(self.path, self.info.dtype, mode, offset, (self.info.channels, z, y, x))  # type: ignore[call-overload]
            whole = corner.refined(self.cell)
            yield placed.shifted(minus(self.origin)), cell.transpose(0, 3, 2, 1)[:, *placed.slices_in(whole)]


def _index(cell: Vec3, grid: Box) -> int:
    x, y, z = (c - s for c, s in zip(cell, grid.start, strict=True))
    return (z * grid.shape[1] + y) * grid.shape[0] + x
