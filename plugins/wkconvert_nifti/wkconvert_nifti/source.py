"""The Sources: one volume of a NIfTI file, read from disk or out of a gzip stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from wkconvert_core import Box, VolumeInfo
from wkconvert_core.toolkit.raw_rows import pieces, read_box

from .axes import Axes
from .bytestream import Array, Reader, drain, opened
from .scaling import Scale

PIECE_BYTES = 2 << 20
"""Bytes that are read, scaled and turned at a time."""
TURNED_BYTES = 8 << 20
"""The same for a stream whose slowest axis is not z: each of its pieces touches every slice of the result."""


@dataclass(frozen=True)
class Stored:
    """How voxels lie in a file: i fastest, then j, then k."""

    dtype: str
    """As numpy writes it, with the byte order: `>i2`."""
    samples: int
    """Values side by side in each voxel; more than one are red, green, blue and alpha."""
    starts: tuple[int, ...]
    """The first byte of each channel's volume, in the order of the file."""
    scale: Scale | None = None

    @property
    def voxel_bytes(self) -> int:
        """Bytes of a voxel of one volume."""
        return self.samples * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class NiftiSource:
    """Channels of a volume in an uncompressed file."""

    path: Path
    """The file that holds the voxels."""
    stored: Stored
    axes: Axes
    info: VolumeInfo

    compressed: ClassVar[bool] = False

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`, x contiguous in memory. Raises SourceNotFound, BrokenSource."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        wanted = self.axes.stored(box)
        result = np.empty((self.info.channels, *box.shape[::-1]), self.info.dtype).transpose(0, 3, 2, 1)
        with opened(self.path, self.compressed) as file:
            for channel, start in enumerate(self.stored.starts):
                for piece in self._pieces(wanted, PIECE_BYTES):
                    voxels = self._voxels(file, start, piece)
                    part = self.axes.seen(piece).slices_in(box)
                    result[channel : channel + len(voxels), *part] = self.axes.turned(voxels)
        return result

    def _pieces(self, box: Box, most: int) -> Iterator[Box]:
        """Parts of a box of the stored axes, of about `most` bytes as stored or scaled."""
        return pieces(box, most // max(self.stored.voxel_bytes, 8 if self.stored.scale else 1))

    def _voxels(self, file: Reader, start: int, box: Box) -> Array:
        """A box of the stored axes, from the volume that begins at byte `start`, as `[c, i, j, k]`, scaled."""
        dtype, samples = self.stored.dtype, self.stored.samples
        return self._values(read_box(file, box, self.axes.shape, dtype, start=start, samples=samples)[:3])

    def _values(self, stored: Array) -> Array:
        """Apply slope and intercept. Raises UnsupportedSource for values that the dtype does not hold."""
        scale, dtype = self.stored.scale, self.info.dtype
        return scale.values(stored, dtype, self.path) if scale else stored.astype(dtype, copy=False)


@dataclass(frozen=True)
class GzipNiftiSource(NiftiSource):
    """The same in a gzip stream: reading a box inflates everything before it, `stream` inflates everything once."""

    compressed: ClassVar[bool] = True

    def stream(self) -> Iterator[tuple[Box, Array]]:
        """Every voxel once, in the order of the file, in pieces `[c, x, y, z]`.

        Channels are stored one after another: the file is opened once for each, and inflated side by side. Raises
        BrokenSource, also for a bad checksum.
        """
        with ExitStack() as stack:
            files = [(stack.enter_context(opened(self.path, True)), start) for start in self.stored.starts]
            most = PIECE_BYTES if self.axes.order[2] == 2 else TURNED_BYTES
            for piece in self._pieces(Box((0, 0, 0), self.axes.shape), most):
                channels = [self._voxels(file, start, piece) for file, start in files]
                voxels = np.concatenate(channels) if len(files) > 1 else channels.pop()
                yield self.axes.seen(piece), self.axes.turned(voxels)
                del voxels  # or two pieces would be held while the next is read
            drain(files[-1][0])
