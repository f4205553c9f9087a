"""A WKW mag being written: `header.wkw` and the shards `z{Z}/y{Y}/x{X}.wkw`, as a Sink."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from wkconvert_core.contract.abilities import Observe
from wkconvert_core.contract.errors import DamagedData, OptionError, TargetError, TargetExists
from wkconvert_core.contract.geometry import Box, Vec3
from wkconvert_core.contract.model import Checksum, MagSpec, Source
from wkconvert_core.formats.wkw import HEADER_FILE
from wkconvert_core.formats.wkw.encoding import HC_LEVELS, encode_blocks, encode_shard
from wkconvert_core.formats.wkw.header import COMPRESSIONS, Buffer, Header
from wkconvert_core.formats.wkw.shard_file import open_shard
from wkconvert_core.formats.wkw.source import WkwSource, locate, read_header
from wkconvert_core.toolkit.atomic import file_checksum, replacing, sync, target_error, write_atomically, writing
from wkconvert_core.toolkit.files import exists
from wkconvert_core.toolkit.shards import crc32, shard_side

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

BLOCK_LEN = 32
"""Voxels along a block's side: the WEBKNOSSOS server reads no other length."""
BLOCK_TYPES = {name: kind for kind, name in COMPRESSIONS.items()}
"""By their names for `--compression`."""

_WRITE_BYTES = 1 << 20


@dataclass(frozen=True)
class WkwSink:
    """A mag being written, as a Sink. Raises OptionError, and TargetError for a spec that WKW cannot hold."""

    folder: Path
    spec: MagSpec
    compression: str = "lz4"
    """`none`, `lz4` or `lz4hc`."""
    level: int | None = None
    """Compression level of lz4hc; None: the default."""
    file_len: int | None = None
    """Blocks along a shard's side; None: `shard_side`, and as near to `spec.shard_shape` as that allows."""

    def __post_init__(self) -> None:
        """Check all options, before anything is written."""
        name, level = self.compression, self.level
        if level is not None and name != "lz4hc":
            raise OptionError(f"--compression {name} has no levels", fix="leave --compression-level out, or take lz4hc")
        if level is not None and level not in HC_LEVELS:
            legal = f"{HC_LEVELS[0]} to {HC_LEVELS[-1]}"
            raise OptionError(f"--compression-level {level} does not exist", fix=f"lz4hc has levels {legal}")
        if min(self.spec.box.start) < 0:
            raise TargetError(f"WKW has no place for an extent at {self.spec.box}", why="its voxels count from 0")
        _ = self.header  # checks dtype, channels and file length

    @cached_property
    def header(self) -> Header:
        """The content of `header.wkw`."""
        spec, length = self.spec, self.file_len
        if length is None:
            length = shard_side(spec.box, spec.dtype, spec.channels) // BLOCK_LEN
            if spec.shard_shape:  # a larger shard keeps one worker busy, and takes several times its size in memory
                length = min(2 * length, max(1, spec.shard_shape[0] // BLOCK_LEN))
        return Header(BLOCK_LEN, length, BLOCK_TYPES[self.compression], spec.dtype, spec.channels)

    @property
    def shard_shape(self) -> Vec3:
        """A cube."""
        return Vec3(1, 1, 1) * self.header.side

    def path(self, box: Box) -> Path:
        """The file of the shard that contains the first voxel of a box."""
        return locate(self.folder, box.start, self.header.side)[0]

    def begin(self) -> None:
        """Write `header.wkw`, which makes the folder a mag even without shards.

        Raises TargetExists, NoSpace, TargetNotWritable.
        """
        self._put_header(self.header.pack())

    def omits(self, box: Box) -> bool:
        """True: a missing shard reads as zeros."""
        return True

    def most_bytes(self, shards: int, voxels: int) -> int:
        """Upper bound on the bytes of `shards` shards with `voxels` voxels inside the extent.

        >>> import numpy as np
        >>> from wkconvert_core import Mag
        >>> box = Box((0, 0, 0), (64, 64, 64))
        >>> spec = MagSpec("em", "color", Mag(1, 1, 1), box, np.dtype("uint8"), 1)
        >>> WkwSink(Path("em/1"), spec, "none", file_len=2).most_bytes(shards=1, voxels=1000)  # padded to 64^3
        262144
        >>> WkwSink(Path("em/1"), spec, "lz4", file_len=2).most_bytes(shards=1, voxels=1000)
        2330
        """
        header = self.header
        padded = shards * header.blocks * header.block_bytes
        if self.compression == "none":
            return padded
        # Incompressible voxels grow by less than 1 %; zeros that pad a shard shrink to 1/250. A shard has a header of
        # 16 bytes; a block has an entry in the jump table and LZ4's constant overhead, 32 bytes at most.
        tables = 16 * shards + 32 * shards * header.blocks
        return int(1.01 * voxels * header.voxel_bytes) + padded // 250 + tables

    def has(self, box: Box) -> bool:
        """Whether the shard of `box` exists with a sound header and jump table, and is not cut short."""
        try:
            with open_shard(self.path(box), self.header):
                return True
        except (FileNotFoundError, DamagedData):
            return False
        except OSError as error:
            raise target_error(self.path(box), error) from error

    def checksum(self, box: Box) -> Checksum:
        """The checksum of the file of a shard, as it lies there. Raises OSError."""
        return file_checksum(self.path(box))

    def write(self, box: Box, data: Array) -> Checksum:
        """Write one shard from `data[c, x, y, z]` atomically; returns the checksum of its file.

        The file is not synced: `sync` does that for many files at once. Raises NoSpace, TargetNotWritable, TargetError.
        """
        header = self.header
        path, corner = locate(self.folder, box.start, header.side)
        if box != Box(corner, self.shard_shape).intersection(self.spec.box) or data.shape[1:] != box.shape:
            raise ValueError(f"box {box} with voxels {data.shape} is no shard of {header.side}^3 in {self.spec.box}")
        pieces = encode_shard(data, header, box.start - corner, self.level)
        self._put_header(header.pack())
        return _put(path, pieces)

    def copy_encoded(self, box: Box, source: Source, observe: Observe) -> Checksum | None:
        """Write one shard from the decoded blocks of another WKW mag, without putting voxels in order.

        `observe` sees all voxels, part by part. Returns what `write` does; None if `write` has to do it, because the
        source is no WKW with the same extent and equally shaped blocks, or the shard is longer than the source's or
        lies at the edge of the extent. Raises what `read` and `write` raise.
        """
        header, path = self.header, self.path(box)
        if not (isinstance(source, WkwSource) and source.box == self.spec.box and source.header.has_blocks_of(header)):
            return None
        if box.shape != self.shard_shape or header.side > source.header.side:
            return None

        def observed() -> Iterator[Array]:
            for part in source.blocks(box):
                observe(part)
                yield part

        pieces = encode_blocks(observed(), header, self.level)
        self._put_header(header.pack())
        return _put(path, pieces)

    def source(self) -> WkwSource:
        """The mag as written so far."""
        return WkwSource(self.folder, self.header, self.spec.box)

    def _put_header(self, content: bytes) -> None:
        """Write `header.wkw` if it does not exist: every worker writes the same one."""
        path = self.folder / HEADER_FILE
        with writing(path):
            if not exists(path):
                self.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)
                sync([path])
            found = read_header(path)
        if found != content:
            raise TargetExists(
                f"{path} belongs to another mag",
                why=f"it holds {found.hex()}; this mag's would hold {content.hex()}",
                fix="choose another DST, or another layer name",
            )


def _put(path: Path, pieces: Iterable[Buffer]) -> Checksum:
    """Write a shard's file atomically; returns its checksum."""
    crc = size = 0
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("xb") as file:
            for content in _gathered(pieces):
                file.write(content)
                crc = crc32(content, crc)
                size += len(content)
            file.flush()
            # let the disk work while the next shard is encoded: left alone, it may do nothing until `sync`
            if hasattr(os, "posix_fadvise"):
                with suppress(OSError):
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return Checksum(crc, size)


def _gathered(pieces: Iterable[Buffer]) -> Iterator[bytes]:
    """The same bytes in pieces of about 1 MiB: one such write is several times as fast as one for each block."""
    group: list[Buffer] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += len(piece)
        if size >= _WRITE_BYTES:
            yield b"".join(group)
            group, size = [], 0
    yield b"".join(group)
