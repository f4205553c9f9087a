"""Slabs hold decoded voxels until they are encoded: in memory, in a scratch file, or in a folder shared by machines.

A slab is a Source that can be filled.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.contract.geometry import Box, Vec3Like
from wkconvert_core.contract.model import Source, VolumeInfo
from wkconvert_core.toolkit.atomic import temporary_name, writing

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


class Slab(Source, Protocol):
    """A decoded part of a volume; boxes are in the frame of the whole volume."""

    def fill(self, box: Box, data: Array) -> None:
        """Store the voxels `[c, x, y, z]` of a box, as far as it lies in the slab."""
        ...


@dataclass(frozen=True, eq=False)
class MemorySlab:
    """A slab in memory that threads share.

    >>> info = VolumeInfo((4, 1, 1), np.dtype("uint8"))
    >>> slab = MemorySlab.reserve(info, Box((2, 0, 0), (2, 1, 1)))
    >>> slab.fill(Box((1, 0, 0), (2, 1, 1)), np.array([7, 8], "uint8").reshape(1, 2, 1, 1))
    >>> slab.read(Box((2, 0, 0), (2, 1, 1))).ravel().tolist()
    [8, 0]
    """

    info: VolumeInfo
    """The whole volume."""
    box: Box
    """The slab, in voxels of the volume."""
    voxels: Array
    """`[c, z, y, x]`, so that each slice is contiguous."""

    @classmethod
    def reserve(cls, info: VolumeInfo, box: Box) -> MemorySlab:
        """A slab of zeros for a box."""
        x, y, z = box.shape
        return cls(info, box, np.zeros((info.channels, z, y, x), info.dtype))

    @classmethod
    def of(cls, extent: Box, box: Box, data: Array) -> MemorySlab:
        """A slab around voxels `[c, x, y, z]` of a box of a volume; `extent` and `box` are positions in the dataset."""
        info = VolumeInfo(extent.shape, data.dtype, len(data))
        return cls(info, box - extent.start, data.transpose(0, 3, 2, 1))

    def fill(self, box: Box, data: Array) -> None:
        """Store the voxels `[c, x, y, z]` of a box, as far as it lies in the slab."""
        part = box.intersection(self.box)
        self.read(part)[...] = data[:, *part.slices_in(box)]

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box within the slab, a view."""
        return self.voxels.transpose(0, 3, 2, 1)[:, *box.slices_in(self.box)]


@dataclass(frozen=True)
class FileSlab:
    """A slab in a scratch file, cell after cell: a cell is contiguous, in whatever boxes it was filled."""

    info: VolumeInfo
    box: Box
    path: Path
    cell: Vec3Like
    """The box that is contiguous in the file: the slab is read in whole cells."""
    origin: Vec3Like
    """Where voxel (0, 0, 0) of the volume lies on the grid of cells."""

    @property
    def _grid(self) -> Box:
        """The slab in units of cells."""
        return self.box.shifted(self.origin).coarsened(self.cell)

    @property
    def _cell_bytes(self) -> int:
        return Box((0, 0, 0), self.cell).volume * self.info.voxel_bytes

    def reserve(self) -> None:
        """Allocate the disk space now: running out of it under a memory map kills the process.

        Raises NoSpace, TargetError.
        """
        with writing(self.path):
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, self._grid.volume * self._cell_bytes)
                else:
                    for _ in range(self._grid.volume):
                        file.write(bytes(self._cell_bytes))

    def fill(self, box: Box, data: Array) -> None:
        """Store the voxels `[c, x, y, z]` of a box, as far as it lies in the slab."""
        for piece, voxels in self._pieces(box.intersection(self.box), "r+"):
            voxels[...] = data[:, *piece.slices_in(box)]

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box within the slab."""
        x, y, z = box.shape
        result = np.empty((self.info.channels, z, y, x), self.info.dtype).transpose(0, 3, 2, 1)
        for piece, voxels in self._pieces(box, "r"):
            result[:, *piece.slices_in(box)] = voxels
        return result

    def _pieces(self, box: Box, mode: str) -> Iterator[tuple[Box, Array]]:
        """A box cut along the grid of cells, each piece with its voxels `[c, x, y, z]` in the file, mapped."""
        x, y, z = self.cell
        for placed in box.shifted(self.origin).tiles(self.cell):
            corner = placed.coarsened(self.cell)
            cells, (i, j, k) = self._grid, corner.start - self._grid.start
            offset = ((k * cells.shape.y + j) * cells.shape.x + i) * self._cell_bytes
            # mapped for this piece only: no handle outlives the call, and no more than a cell counts as our memory
            cell = np.memmap(self.path, self.info.dtype, mode, offset, (self.info.channels, z, y, x))  # type: ignore[call-overload]
            whole = corner.refined(self.cell)
            yield placed - self.origin, cell.transpose(0, 3, 2, 1)[:, *placed.slices_in(whole)]


@dataclass(frozen=True)
class SharedSlab:
    """A slab that several machines fill: one file for each box that is filled at a time, stored cell after cell.

    Each file is written once, by one machine. Network file systems guarantee that others see a file once it is closed,
    but nothing for two machines that write to the same page: each may overwrite the other's part with stale bytes.
    """

    info: VolumeInfo
    box: Box
    folder: Path
    cell: Vec3Like
    """Shape of the boxes that are contiguous in their file: the slab is read in whole cells."""
    origin: Vec3Like
    """Where voxel (0, 0, 0) of the volume lies on the grid of cells."""
    part: Vec3Like
    """Shape of the boxes that are filled at a time."""
    start: Vec3Like
    """A corner of the grid of parts, in voxels of the volume."""

    def reserve(self) -> None:
        """Make the folder. Raises NoSpace, TargetError."""
        with writing(self.folder):
            self.folder.mkdir(parents=True)

    def parts(self, box: Box | None = None) -> Iterator[Box]:
        """The boxes that are filled at a time: all, or those that overlap `box`."""
        near = self.box if box is None else (box - self.start).aligned(self.part) + self.start
        return near.intersection(self.box).tiles(self.part, self.start)

    def fill(self, box: Box, data: Array) -> None:
        """Write the voxels `[c, x, y, z]` of one of the `parts`. Raises NoSpace, TargetError."""
        path = self._path(box)
        temporary = temporary_name(path)
        with writing(path):
            with temporary.open("xb") as file:
                for piece in self._pieces(box):
                    file.write(data[:, *piece.slices_in(box)].transpose(0, 3, 2, 1).tobytes())
            temporary.replace(path)

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box. Raises ResourceError if a file is gone or cut short."""
        x, y, z = box.shape
        result = np.zeros((self.info.channels, z, y, x), self.info.dtype).transpose(0, 3, 2, 1)
        for part in self.parts(box):
            for piece, voxels in self._read_part(part, box):
                wanted = piece.intersection(box)
                result[:, *wanted.slices_in(box)] = voxels[:, *wanted.slices_in(piece)]
        return result

    def _read_part(self, part: Box, box: Box) -> Iterator[tuple[Box, Array]]:
        """The pieces of a part that overlap a box, and their voxels `[c, x, y, z]`. Raises ResourceError."""
        path, offset = self._path(part), 0
        try:
            with path.open("rb") as file:
                for piece in self._pieces(part):
                    size = piece.volume * self.info.voxel_bytes
                    if piece.intersection(box).volume:
                        file.seek(offset)
                        content = file.read(size)
                        if len(content) < size:
                            raise EOFError("it is cut short")
                        shape = (self.info.channels, *reversed(piece.shape))
                        yield piece, np.frombuffer(content, self.info.dtype).reshape(shape).transpose(0, 3, 2, 1)
                    offset += size
        except (OSError, EOFError) as error:
            raise ResourceError(
                f"the scratch file {path} was lost while it was needed",
                why=str(error),
                fix="run the same command again, and make sure that nothing clears that folder while it runs",
            ) from error

    def _pieces(self, part: Box) -> Iterator[Box]:
        """A part cut along the grid of cells, in the order of its file."""
        return (placed - self.origin for placed in part.shifted(self.origin).tiles(self.cell))

    def _path(self, part: Box) -> Path:
        return self.folder / "-".join(map(str, part.start))
