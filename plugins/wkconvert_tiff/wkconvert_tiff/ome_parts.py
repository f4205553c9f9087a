"""Parts of an OME-TIFF file that is being written: tiles as they will be in it, a file for each box of voxels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import Box, BrokenSource, Checksum, MagSpec, Vec3, Vec3Like, VolumeInfo, VoxelSize
from wkconvert_core.toolkit.atomic import file_checksum, replacing
from wkconvert_core.toolkit.files import open_file
from wkconvert_images.facts import Array

from .writing import LEVEL, Compression, deflated

TILE = 512
"""Pixels of a tile along x and y, in images that are not smaller; a multiple of 16, as TIFF demands."""
SHARD: Vec3Like = (2 * TILE, 2 * TILE, 16)
"""Most voxels of a part along x, y, z."""


@dataclass(frozen=True)
class OmeTiffSink:
    """Parts of an OME-TIFF: a file for each box, with its tiles as they will be in the TIFF.

    A part begins with the offsets of its tiles and its own length, 64 bits each; the tiles of a channel follow each
    other, then those of a slice, then those of a row.
    """

    folder: Path
    spec: MagSpec
    name: str
    """Of the image."""
    voxel_size: VoxelSize
    """Of this mag."""
    compression: Compression = "deflate"
    level: int = LEVEL

    @property
    def samples(self) -> int:
        """Values side by side in a pixel: 3 of colours."""
        return 3 if self.spec.channels == 3 and self.spec.dtype == np.uint8 else 1

    @property
    def axes(self) -> dict[str, int]:
        """The axes of the image and their lengths, the slowest first."""
        x, y, z = self.spec.box.shape
        lengths = {"C": self.spec.channels // self.samples, "Z": z, "Y": y, "X": x, "S": self.samples}
        return {axis: length for axis, length in lengths.items() if length > 1 or axis in "ZYX"}

    @property
    def tile(self) -> tuple[int, int]:
        """Pixels of a tile along x and y."""
        x, y, _ = self.spec.box.shape
        return min(TILE, x + -x % 16), min(TILE, y + -y % 16)

    @property
    def shard_shape(self) -> Vec3Like:
        """The box of a part: whole tiles."""
        (x, y), (most_x, most_y, z) = self.tile, SHARD
        return max(x, most_x - most_x % x), max(y, most_y - most_y % y), min(z, self.spec.box.stop[2])

    def most_bytes(self, shards: int, voxels: int) -> int:
        """Upper bound on the bytes on disk: the parts, and the file that is made of them."""
        (x, y, z), (width, height) = self.spec.box.shape, self.tile
        padded = voxels * (x + -x % width) * (y + -y % height) / (x * y)
        tables = 1024 * self.spec.channels * z + 64 * shards
        return int(2.01 * padded * self.spec.channels * self.spec.dtype.itemsize) + tables

    def has(self, box: Box) -> bool:
        """Whether the part of a box is there and as long as it says."""
        path = self._path(box)
        try:
            with open_file(path) as file:
                return self._offsets(file, box)[-1] == path.stat().st_size
        except (OSError, EOFError):
            return False

    def checksum(self, box: Box) -> Checksum:
        """The checksum of the part of a box, as it lies there. Raises OSError."""
        return file_checksum(self._path(box))

    def write(self, box: Box, data: Array) -> Checksum:
        """Write a part from `data[c, x, y, z]`, atomically; returns its file's checksum. Raises OSError."""
        encoded = [self._encoded(data[channels, *part.slices_in(box)]) for channels, part in self._tiles_of(box)]
        offsets = [8 * (len(encoded) + 1)]
        for content in encoded:
            offsets.append(offsets[-1] + len(content))
        path = self._path(box)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            with temporary.open("xb") as file:
                file.write(struct.pack(f"<{len(offsets)}Q", *offsets))
                file.writelines(encoded)
            return file_checksum(temporary)

    def tiles(self) -> Iterator[bytes]:
        """All tiles, encoded, in the order of the TIFF file. Raises BrokenSource, OSError."""
        width, height = self.tile
        for channel in range(self.spec.channels // self.samples):
            for part in self.spec.box.tiles((width, height, 1)):
                yield self._content(channel, part)

    def source(self) -> OmeTiffParts:
        """A Source of the written voxels."""
        return OmeTiffParts(self)

    def decoded(self, channel: int, part: Box) -> Array:
        """A tile that is written, `[c, x, y, z]`, clipped to the image. Raises BrokenSource, OSError."""
        content, (width, height) = self._content(channel, part), self.tile
        try:
            pixels = zlib.decompress(content) if self.compression == "deflate" else content
            tile = np.frombuffer(pixels, self.spec.dtype.newbyteorder("<")).reshape(height, width, self.samples)
        except (zlib.error, ValueError) as error:
            raise BrokenSource(f"{self._path(part)} is damaged", why=str(error)) from error
        x, y, _ = part.shape
        return tile[:y, :x, :, np.newaxis].transpose(2, 1, 0, 3)

    def _encoded(self, tile: Array) -> bytes:
        """The bytes of `tile[c, x, y, 1]` in the file: whole, with zeros behind the image's border."""
        width, height = self.tile
        _, x, y, _ = tile.shape
        whole = np.zeros((height, width, self.samples), self.spec.dtype.newbyteorder("<"))
        whole[:y, :x] = tile[..., 0].transpose(2, 1, 0)
        return deflated(whole.tobytes(), self.level) if self.compression == "deflate" else whole.tobytes()

    def _path(self, box: Box) -> Path:
        x, y, z = box.start // self.shard_shape
        return self.folder / str(z) / f"{x}_{y}.tiles"

    def _tiles_of(self, box: Box) -> Iterator[tuple[slice, Box]]:
        """Channels and boxes of the tiles of a part, in its order."""
        for channel in range(0, self.spec.channels, self.samples):
            for part in box.tiles((*self.tile, 1)):
                yield slice(channel, channel + self.samples), part

    def _content(self, channel: int, part: Box) -> bytes:
        """The encoded tile of a channel at a box. Raises BrokenSource, OSError."""
        whole = part.aligned(self.shard_shape).intersection(self.spec.box)
        across = whole.coarsened((*self.tile, 1))
        x, y, z = Vec3(*part.start) // (*self.tile, 1) - across.start
        width, height, depth = across.shape
        number = ((channel * depth + z) * height + y) * width + x
        with open_file(self._path(part)) as file:
            offsets = self._offsets(file, whole)
            file.seek(offsets[number])
            content = file.read(offsets[number + 1] - offsets[number])
        if len(content) < offsets[number + 1] - offsets[number]:
            raise BrokenSource(f"{self._path(part)} is cut short")
        return content

    def _offsets(self, file: Any, box: Box) -> tuple[int, ...]:
        """Where the tiles of the part of a box begin, and where the last one ends. Raises EOFError, OSError."""
        count = self.spec.channels // self.samples * box.count_tiles((*self.tile, 1)) + 1
        content = file.read(8 * count)
        if len(content) < 8 * count:
            raise EOFError(f"{8 * count} bytes expected, {len(content)} found")
        return struct.unpack(f"<{count}Q", content)


@dataclass(frozen=True)
class OmeTiffParts:
    """The voxels that an OmeTiffSink has written; voxel (0, 0, 0) is the first of its extent."""

    sink: OmeTiffSink

    @property
    def info(self) -> VolumeInfo:
        """Shape, dtype and voxel size."""
        spec, (width, height) = self.sink.spec, self.sink.tile
        chunk = min(width, spec.box.shape[0]), min(height, spec.box.shape[1]), 1
        return VolumeInfo(spec.box.shape, spec.dtype, spec.channels, self.sink.voxel_size, chunk)

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`. Raises BrokenSource, OSError."""
        sink, cell = self.sink, (*self.sink.tile, 1)
        out = np.zeros((sink.spec.channels, *box.shape), sink.spec.dtype)
        for part in box.tiles(cell):
            tile = part.aligned(cell).intersection(sink.spec.box)
            for channel in range(sink.spec.channels // sink.samples):
                found = sink.decoded(channel, tile)[:, *part.slices_in(tile)]
                out[channel * sink.samples :][: sink.samples, *part.slices_in(box)] = found
        return out
