"""The Sources: a volume in one file, turned and scaled, read where it lies or out of a deflated stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.model import VolumeInfo
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.toolkit.files import broken, state_of
from wkconvert_core.toolkit.raw_rows import cheap_run, pieces, read_box
from wkconvert_core.toolkit.volumes.axes import Axes
from wkconvert_core.toolkit.volumes.inflated import MOST_INFLATED, Packing, Reader, bytes_of, drain, opened
from wkconvert_core.toolkit.volumes.scaling import Scale

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

__all__ = ["PIECE_BYTES", "InflatedVolume", "Stored", "StoredVolume", "check_size", "chunk_of", "source_of"]

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
    """Values side by side in each voxel, such as red, green, blue and alpha."""
    starts: tuple[int, ...]
    """The first byte of each volume that is taken, in what is inflated, in the order of the file."""
    scale: Scale | None = None
    packing: Packing = ""
    base: int = 0
    """The first byte of the compressed stream."""
    first: int = 0
    """The first of the samples that is taken."""

    @property
    def voxel_bytes(self) -> int:
        """Bytes of a voxel of one volume."""
        return self.samples * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class StoredVolume:
    """Channels of a volume in an uncompressed file."""

    path: Path
    """The file that holds the voxels."""
    stored: Stored
    axes: Axes
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`, x contiguous in memory. Raises SourceNotFound, BrokenSource."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        wanted = self.axes.stored(box)
        result = np.empty((self.info.channels, *box.shape[::-1]), self.info.dtype).transpose(0, 3, 2, 1)
        with opened(self.path, self.stored.packing, self.stored.base) as file:
            for number, start in enumerate(self.stored.starts):
                for piece in self._pieces(wanted, PIECE_BYTES):
                    voxels = self._voxels(file, start, piece)
                    part = self.axes.seen(piece).slices_in(box)
                    channel = number * len(voxels)
                    result[channel : channel + len(voxels), *part] = self.axes.turned(voxels)
        return result

    def _pieces(self, box: Box, most: int) -> Iterator[Box]:
        """Parts of a box of the stored axes, of about `most` bytes as stored or scaled."""
        return pieces(box, most // max(self.stored.voxel_bytes, 8 if self.stored.scale else 1))

    def _voxels(self, file: Reader, start: int, box: Box) -> Array:
        """A box of the stored axes, from the volume that begins at byte `start`, as `[c, i, j, k]`, scaled."""
        dtype, samples, first = self.stored.dtype, self.stored.samples, self.stored.first
        found = read_box(file, box, self.axes.shape, dtype, start=start, samples=samples)
        return self._values(found[first : first + self.info.channels // len(self.stored.starts)])

    def _values(self, stored: Array) -> Array:
        """Apply slope and intercept. Raises UnsupportedSource for values that the dtype does not hold."""
        scale, dtype = self.stored.scale, self.info.dtype
        return scale.values(stored, dtype, self.path) if scale else stored.astype(dtype, copy=False)


@dataclass(frozen=True)
class InflatedVolume(StoredVolume):
    """The same in a deflated stream: reading a box inflates everything before it, `stream` inflates everything once."""

    def stream(self) -> Iterator[tuple[Box, Array]]:
        """Every voxel once, in the order of the file, in pieces `[c, x, y, z]`.

        Channels are stored one after another: the file is opened once for each, and inflated side by side. Raises
        BrokenSource, also for a bad checksum.
        """
        packing, base = self.stored.packing, self.stored.base
        with ExitStack() as stack:
            files = [(stack.enter_context(opened(self.path, packing, base)), start) for start in self.stored.starts]
            most = PIECE_BYTES if self.axes.order[2] == 2 else TURNED_BYTES
            for piece in self._pieces(Box((0, 0, 0), self.axes.shape), most):
                channels = [self._voxels(file, start, piece) for file, start in files]
                voxels = np.concatenate(channels) if len(files) > 1 else channels.pop()
                yield self.axes.seen(piece), self.axes.turned(voxels)
                del voxels  # or two pieces would be held while the next is read
            drain(files[-1][0])


def check_size(data: Path, end: int, packing: Packing, base: int = 0) -> list[str]:
    """A note if a file holds more than voxels up to byte `end`, in what is inflated from byte `base` on.

    Raises BrokenSource if it is too short, or too short to hold them compressed.
    """
    found, _ = state_of(data)
    if not packing and found < end:
        raise broken(data, f"{end} bytes expected, {found} found", cut=True)
    if packing and (found - base) * MOST_INFLATED < end:
        why = f"{end} bytes expected, {max(0, found - base)} compressed bytes cannot hold them"
        raise broken(data, why, cut=True)
    if not packing:
        return [WarningNote(f"{found - end} bytes behind the voxels are left out")] if found > end else []
    if packing != "gzip":
        return []
    told = int.from_bytes(bytes_of(data, 4, max(0, found - 4)), "little")
    if told == end % 2**32:
        return []
    why = "what lies behind the voxels, if anything, is left out"
    return [WarningNote(f"its gzip ends with the length {told}, not {end}: {why}")]


def chunk_of(stored: Stored, axes: Axes) -> tuple[int, int, int]:
    """The `chunk_shape` of a volume: what one decode yields, along x, y, z."""
    run = cheap_run(axes.shape[0], stored.voxel_bytes)
    x, y, z = axes.seen_shape if stored.packing else axes.seen(Box((0, 0, 0), (run, 1, 1))).shape
    return x, y, z


def source_of(path: Path, stored: Stored, axes: Axes, info: VolumeInfo) -> StoredVolume:
    """The Source of a volume: it streams where its voxels are compressed."""
    return (InflatedVolume if stored.packing else StoredVolume)(path, stored, axes, info)
