"""A slab that several machines fill: a file for each task that fills it, written once, by one machine.

A network file system shows what one machine wrote to all others once the file is closed, and promises nothing where two
machines write in the same page of one file: each may put back what it read of the other's part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.contract.geometry import Box, Vec3Like
from wkconvert_core.contract.model import VolumeInfo
from wkconvert_core.toolkit.atomic import temporary_name, writing

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class PiecesSlab:
    """A slab in the files of a folder, one for each box that is filled at a time; in each, cell after cell."""

    info: VolumeInfo
    box: Box
    folder: Path
    cell: Vec3Like
    """What lies in one run of bytes in a file: the slab is read in whole cells."""
    origin: Vec3Like
    """Where voxel (0, 0, 0) of the volume lies on the cells' grid."""
    part: Vec3Like
    """The shape of the boxes that are filled at a time."""
    start: Vec3Like
    """A corner of their grid."""

    def reserve(self) -> None:
        """Make the folder. Raises NoSpace, TargetError."""
        with writing(self.folder):
            self.folder.mkdir(parents=True)

    def parts(self, box: Box | None = None) -> Iterator[Box]:
        """The boxes to be filled; those that touch a box."""
        near = self.box if box is None else (box - self.start).aligned(self.part) + self.start
        return near.intersection(self.box).tiles(self.part, self.start)

    def fill(self, box: Box, data: Array) -> None:
        """Keep the voxels `[c, x, y, z]` of one of the `parts`."""
        path = self._path(box)
        temporary = temporary_name(path)
        with writing(path):
            with temporary.open("xb") as file:
                for piece in self._pieces(box):
                    file.write(data[:, *piece.slices_in(box)].transpose(0, 3, 2, 1).tobytes())
            temporary.replace(path)

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]`."""
        x, y, z = box.shape
        result = np.zeros((self.info.channels, z, y, x), self.info.dtype).transpose(0, 3, 2, 1)
        for part in self.parts(box):
            for piece, voxels in self._read_part(part, box):
                wanted = piece.intersection(box)
                result[:, *wanted.slices_in(box)] = voxels[:, *wanted.slices_in(piece)]
        return result

    def _read_part(self, part: Box, box: Box) -> Iterator[tuple[Box, Array]]:
        """The pieces of a part that touch a box, and their voxels. Raises ResourceError."""
        path, offset = self._path(part), 0
        try:
            with path.open("rb") as file:
                for piece in self._pieces(part):
                    if piece.intersection(box).volume:
                        yield piece, self._piece(file, offset, piece)
                    offset += piece.volume * self.info.voxel_bytes
        except (OSError, EOFError) as error:
            raise ResourceError(
                f"the scratch file {path} was lost while it was needed",
                why=str(error),
                fix="run the same command again; see that nothing clears that folder while it runs",
            ) from error

    def _piece(self, file: BinaryIO, offset: int, piece: Box) -> Array:
        x, y, z = piece.shape
        file.seek(offset)
        content = file.read(piece.volume * self.info.voxel_bytes)
        if len(content) < piece.volume * self.info.voxel_bytes:
            raise EOFError("it is cut short")
        voxels: Array = np.frombuffer(content, self.info.dtype).reshape(self.info.channels, z, y, x)
        return voxels.transpose(0, 3, 2, 1)

    def _pieces(self, part: Box) -> Iterator[Box]:
        """The parts of a box that lie in one cell each, in the order of their file."""
        return (placed - self.origin for placed in part.shifted(self.origin).tiles(self.cell))

    def _path(self, part: Box) -> Path:
        return self.folder / "-".join(map(str, part.start))
