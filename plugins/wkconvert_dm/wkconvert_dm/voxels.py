"""Reading a box of one image from its file: no more bytes than it needs, and no handle that stays open."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import FileIO

import numpy as np

from wkconvert_core import Box

from .images import Image
from .kinds import KINDS, Array, Component, decoded, size_of
from .messages import broken, cannot_open, changed

_BAND = 1 << 20
"""Bytes that are read at once where they hold more than the box."""
_ROW = 4 << 10
"""The part of a row that is read at least: less, about a page of memory, costs no less."""

State = tuple[int, int]
"""Size and time of a file."""


def state_of(path: str) -> State:
    """To tell whether a file is still what it was; raises SourceNotFound, BrokenSource."""
    try:
        found = os.stat(path)  # noqa: PTH116 - paths are strings here: there may be very many
    except OSError as error:
        raise cannot_open(path, error) from error
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True, slots=True)
class Voxels:
    """An image in a file that was looked at."""

    path: str
    state: State
    image: Image

    @property
    def shape(self) -> tuple[int, int, int]:
        """Along x, y, z."""
        x, y, z = [*self.image.size, 1][:3]
        return x, y, z

    @property
    def row(self) -> int:
        """Voxels of a row that cost about as much as one."""
        return min(self.shape[0], max(1, _ROW // size_of(self.image.kind)))

    def fill(self, out: Array, box: Box, component: Component | None) -> None:
        """Fill `out[c, z, y, x]` with a box of the image; raises SourceNotFound, BrokenSource."""
        try:
            with FileIO(self.path) as file:
                self._check(file)
                for z in range(box.shape[2]):
                    plane = self._plane(file, box, box.start[2] + z)
                    out[:, z] = decoded(plane, self.image.kind, component)
        except OSError as error:
            raise cannot_open(self.path, error) from error

    def _check(self, file: FileIO) -> None:
        found = os.fstat(file.fileno())
        if (found.st_size, found.st_mtime_ns) != self.state:
            raise changed(self.path, f"it had {self.state[0]} bytes and has {found.st_size}, or was written again")

    def _plane(self, file: FileIO, box: Box, z: int) -> Array:
        """One slice `[y, x]` of the box, as stored."""
        (width, height, _), (x, y, _) = self.shape, box.shape
        stored = np.dtype(self.image.order + KINDS[self.image.kind].stored)
        first = (z * height + box.start[1]) * width
        plane = np.empty((y, x), stored)
        if x == width:
            self._read(file, plane, first)
        elif width > self.row:
            for row in range(y):
                self._read(file, plane[row], first + row * width + box.start[0])
        else:
            rows = max(1, _BAND // (width * stored.itemsize))
            for row in range(0, y, rows):
                band = np.empty((min(rows, y - row), width), stored)
                self._read(file, band, first + row * width)
                plane[row : row + rows] = band[:, box.start[0] : box.start[0] + x]
        return plane

    def _read(self, file: FileIO, into: Array, voxel: int) -> None:
        """Fill a contiguous array with the image's values from the given one on."""
        file.seek(self.image.offset + voxel * into.itemsize)
        left = into.reshape(-1).view(np.uint8).data
        while left:
            count = file.readinto(left)
            if not count:
                raise broken(self.path, f"{len(left)} bytes are missing at byte {file.tell()}", cut=True)
            left = left[count:]
