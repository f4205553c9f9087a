"""A WKW mag on disk, written: `header.wkw` and the shards `z{Z}/y{Y}/x{X}.wkw`, as a Sink."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wkconvert_core.contract.abilities import Observe
from wkconvert_core.contract.errors import DamagedData, OptionError, TargetError, TargetExists
from wkconvert_core.contract.geometry import Box, Vec3
from wkconvert_core.contract.model import Checksum, MagSpec, Source
from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.encoding import HC_LEVELS, encode_blocks, encode_shard
from wkconvert_core.formats.wkw.header import COMPRESSIONS, Buffer, Header
from wkconvert_core.formats.wkw.source import HEADER_FILE, Fetching, WkwSource, head_of, locate, size_of
from wkconvert_core.toolkit.atomic import sync, target_error, temporary_name, write_atomically, writing

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array, DType

BLOCK_LEN = 32
"""What we write: the WEBKNOSSOS server reads no other."""
BLOCK_TYPES = {name: kind for kind, name in COMPRESSIONS.items()}
"""By the name that `--compression` takes."""

_LARGE_SHARD = 128 << 20
_SMALL_SHARD = 2 << 20
_ENOUGH_SHARDS = 256
_WRITE_BYTES = 1 << 20


def fit_file_len(box: Box, dtype: DType, channels: int) -> int:
    """Blocks along a shard's side that fit a mag of this extent: few files, yet tasks for every core.

    One shard of 32 voxels a side for a mag that is no larger; else at least 64. From there the side doubles while it is
    shorter than the extent and than twice its thinnest axis (empty blocks are stored, too), while a shard stays within
    128 MiB uncompressed, and while either 256 shards are left or a shard is so small that its file costs more than
    its voxels.
    """
    longest, thinnest = max(box.shape), max(min(box.shape), 2 * BLOCK_LEN)
    if longest <= BLOCK_LEN:
        return 1
    side = 2 * BLOCK_LEN
    while side < min(longest, 2 * thinnest) and 2 * side <= 32 * BLOCK_LEN:
        raw = side**3 * channels * dtype.itemsize
        many = box.count_tiles((2 * side,) * 3) >= _ENOUGH_SHARDS
        if 8 * raw > _LARGE_SHARD or not (many or raw < _SMALL_SHARD):
            break
        side *= 2
    return side // BLOCK_LEN


@dataclass(frozen=True)
class WkwSink:
    """A mag to be written, as a Sink. Raises OptionError, TargetError for a spec that WKW cannot fulfil."""

    folder: Path
    spec: MagSpec
    compression: str = "lz4"
    """none, lz4 or lz4hc."""
    level: int | None = None
    """Of lz4hc; None: the default."""
    file_len: int | None = None
    """Blocks along a shard's side; None: fitted to the extent, and to the wish of `spec.shard_shape`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be before anything is written."""
        name, level = self.compression, self.level
        if level is not None and name != "lz4hc":
            raise OptionError(f"--compression {name} has no levels", fix="leave --compression-level out, or take lz4hc")
        if level is not None and level not in HC_LEVELS:
            legal = f"{HC_LEVELS[0]} to {HC_LEVELS[-1]}"
            raise OptionError(f"--compression-level {level} does not exist", fix=f"lz4hc has levels {legal}")
        if min(self.spec.box.start) < 0:
            raise TargetError(f"WKW has no place for an extent at {self.spec.box}", why="its voxels count from 0")
        _ = self.header  # refuses dtype, channels and file length

    @property
    def header(self) -> Header:
        """What `header.wkw` says."""
        spec, length = self.spec, self.file_len
        if length is None:
            length = fit_file_len(spec.box, spec.dtype, spec.channels)
            if spec.shard_shape:  # a larger shard keeps one worker busy, and takes several times its size in memory
                length = min(2 * length, max(1, spec.shard_shape[0] // BLOCK_LEN))
        return Header(BLOCK_LEN, length, BLOCK_TYPES[self.compression], spec.dtype, spec.channels)

    @property
    def shard_shape(self) -> Vec3:
        """A cube."""
        return Vec3(1, 1, 1) * self.header.side

    def path(self, box: Box) -> Path:
        """The file of the shard in which a box begins."""
        return locate(self.folder, box.start, self.header.side)[0]

    def begin(self) -> None:
        """Write `header.wkw`: a mag without any shard is a mag. Raises TargetExists, NoSpace, TargetNotWritable."""
        self._put_header(self.header.pack())

    def omits(self, box: Box) -> bool:
        """A shard that is not there is zero."""
        return True

    def most_bytes(self, shards: int, voxels: int) -> int:
        """Upper bound on bytes on disk: raw shards are written whole, and incompressible voxels grow a little."""
        header = self.header
        padded = shards * header.blocks * header.block_bytes
        if self.compression == "none":
            return padded
        # Incompressible voxels grow by less than 1 %; zeros that pad a shard shrink to 1/250. A shard has a header of
        # 16 bytes; a block has an entry in the jump table and LZ4's constant overhead, 32 bytes at most.
        tables = 16 * shards + 32 * shards * header.blocks
        return int(1.01 * voxels * header.voxel_bytes) + padded // 250 + tables

    def has(self, box: Box) -> bool:
        """Whether the shard in which `box` begins is there with a sound header and jump table, not cut short."""
        try:
            with self.path(box).open("rb") as file:
                Shard(Fetching(file), size_of(file), self.header)
        except (FileNotFoundError, DamagedData):
            return False
        except OSError as error:
            raise target_error(self.path(box), error) from error
        return True

    def write(self, box: Box, data: Array) -> Checksum:
        """Write one shard from `data[c, x, y, z]`, atomically; returns its file's checksum.

        The file is not synced: `sync` does that for many at once. Raises NoSpace, TargetNotWritable, TargetError.
        """
        header = self.header
        path, corner = locate(self.folder, box.start, header.side)
        if box != Box(corner, self.shard_shape).intersection(self.spec.box) or data.shape[1:] != box.shape:
            raise ValueError(f"box {box} with voxels {data.shape} is no shard of {header.side}^3 in {self.spec.box}")
        pieces = encode_shard(data, header, box.start - corner, self.level)
        self._put_header(header.pack())
        return _put(path, pieces)

    def copy_encoded(self, box: Box, source: Source, observe: Observe) -> Checksum | None:
        """Write one shard from blocks that a source has just as they are; returns what `write` does.

        Voxels are laid out neither in rows nor in blocks again; `observe` is shown them, part by part. None if they
        have to be: the source is no WKW with the same blocks, or the shard reaches beyond it or beyond a shard of its
        own.
        Raises what `read` and `write` raise.
        """
        header, path = self.header, self.path(box)
        if not (isinstance(source, WkwSource) and source.box == self.spec.box and source.header.has_blocks_of(header)):
            return None
        if box.shape != self.shard_shape or header.side > source.header.side:
            return None
        pieces = encode_blocks(_seen(source.blocks(box), observe), header, self.level)
        self._put_header(header.pack())
        return _put(path, pieces)

    def source(self) -> WkwSource:
        """What has been written, to be read."""
        return WkwSource(self.folder, self.header, self.spec.box)

    def _put_header(self, content: bytes) -> None:
        """Write `header.wkw` if there is none: whichever worker comes first, it is the same."""
        path = self.folder / HEADER_FILE
        with writing(path):
            if not path.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)
                sync([path])
            found = head_of(path)
        if found != content:
            raise TargetExists(
                f"{path} belongs to another mag",
                why=f"it says {found.hex()}; this mag's says {content.hex()}",
                fix="choose another DST, or another layer name",
            )


def _put(path: Path, pieces: Iterable[Buffer]) -> Checksum:
    """Put a shard in place whole, or not at all; returns its checksum."""
    temporary = temporary_name(path)
    crc = size = 0
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                for content in _gathered(pieces):
                    file.write(content)
                    crc = zlib.crc32(content, crc)
                    size += len(content)
                file.flush()
                _start_writing_back(file)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return Checksum(crc, size)


def _start_writing_back(file: BinaryIO) -> None:
    """Let the disk work while the next shard is encoded: left alone, it may well do nothing until `sync`."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _gathered(pieces: Iterable[Buffer]) -> Iterator[bytes]:
    """The same bytes in larger pieces: one large write is several times as fast as many of a block each."""
    group: list[Buffer] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += len(piece)
        if size >= _WRITE_BYTES:
            yield b"".join(group)
            group, size = [], 0
    yield b"".join(group)


def _seen(parts: Iterable[Array], observe: Observe) -> Iterator[Array]:
    for part in parts:
        observe(part)
        yield part
