"""A WKW mag on disk: `header.wkw` and the shards `z{Z}/y{Y}/x{X}.wkw`, read as a Source, written as a Sink."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wkconvert_core.disk import sync, target_error, temporary_name, write_atomically, writing
from wkconvert_core.errors import BrokenSource, DamagedData, OptionError, SourceNotFound, TargetError, TargetExists
from wkconvert_core.geometry import Box, Vec3, minus
from wkconvert_core.model import MagSpec, VolumeInfo
from wkconvert_core.voxel_size import VoxelSize
from wkconvert_core.wkw_codec import HC_LEVELS, Shard, empty_voxels, encode_shard
from wkconvert_core.wkw_header import HEADER_BYTES, BlockType, Buffer, Header

if TYPE_CHECKING:
    from wkconvert_core.model import Array, DType

__all__ = ["COMPRESSIONS", "WkwSink", "WkwSource", "fit_file_len", "open_mag"]

HEADER_FILE = "header.wkw"
BLOCK_LEN = 32
"""What we write: the WEBKNOSSOS server reads no other."""
COMPRESSIONS: dict[str, BlockType] = {"none": "raw", "lz4": "lz4", "lz4hc": "lz4hc"}
"""The names that `MagSpec.compression` takes."""

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


def open_mag(folder: Path) -> Header:
    """Read a mag's `header.wkw`. Raises SourceNotFound, BrokenSource, DamagedData."""
    path = folder / HEADER_FILE
    try:
        header = Header.parse(_head(path))
        if header.data_offset != 0:
            raise DamagedData(f"it says that blocks begin at byte {header.data_offset}", why="it has none")
    except FileNotFoundError:
        raise SourceNotFound(f"{folder} is no mag of WKW", why=f"there is no {HEADER_FILE} in it") from None
    except OSError as error:
        raise BrokenSource(f"{path} cannot be read", why=_reason(error)) from error
    except DamagedData as error:
        raise _damaged(path, error) from None
    return header


@dataclass(frozen=True)
class WkwSource:
    """A mag to be read, as a Source: voxel (0, 0, 0) is `box.start`. A shard that is not there is zero."""

    folder: Path
    header: Header
    """The mag's, as `open_mag` reads it; every shard is held against it."""
    box: Box
    """The extent, where it lies in the dataset, in this mag's voxels."""
    voxel_size: VoxelSize | None = None

    @property
    def info(self) -> VolumeInfo:
        """What it holds."""
        header = self.header
        return VolumeInfo(self.box.shape, header.dtype, header.channels, self.voxel_size, offset=self.box.start)

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`, x fastest in memory. Raises DamagedData, BrokenSource."""
        placed = box.shifted(self.box.start)
        if placed not in self.box:
            raise ValueError(f"box {box} is not within {self.info.box}")
        out = empty_voxels(box.shape, self.header)
        for part in placed.tiles((self.header.side,) * 3):
            self._read_shard(part, out[:, *part.slices_in(placed)])
        return out

    def occupied(self, box: Box) -> bool:
        """Whether any shard that touches a box is there: a link counts, whatever it points to.

        What cannot be looked at counts, too, so that reading it says what is wrong.
        """
        shards = box.shifted(self.box.start).coarsened((self.header.side,) * 3)
        columns, rows, layers = (range(a, b) for a, b in zip(shards.start, shards.stop, strict=True))
        try:
            there = any(
                True
                for layer in _numbered(self.folder, "z{}", layers)
                for row in _numbered(layer, "y{}", rows)
                for _ in _numbered(row, "x{}.wkw", columns)
            )
            return there or not (self.folder / HEADER_FILE).exists()
        except OSError:
            return True

    def _read_shard(self, part: Box, out: Array) -> None:
        path, corner = locate(self.folder, part.start, self.header.side)
        try:
            with path.open("rb") as file:
                Shard(Fetching(file), _size(file), self.header).read_into(out, part.shifted(minus(corner)))
        except FileNotFoundError:
            if path.is_symlink() or not (self.folder / HEADER_FILE).exists():
                gone = "the mag's folder, or what a link points to, is gone"
                raise BrokenSource(f"{path} has vanished", why=gone) from None
            out[...] = 0
        except OSError as error:
            raise BrokenSource(f"{path} cannot be read", why=_reason(error)) from error
        except DamagedData as error:
            raise _damaged(path, error) from None


@dataclass(frozen=True)
class WkwSink:
    """A mag to be written, as a Sink. Raises OptionError, TargetError for a spec that WKW cannot fulfil."""

    folder: Path
    spec: MagSpec

    def __post_init__(self) -> None:
        """Refuse wrong options before anything is written."""
        name, level = self.spec.compression, self.spec.compression_level
        if name not in COMPRESSIONS:
            raise OptionError(f"--compression {name} is unknown", fix=f"take one of {', '.join(COMPRESSIONS)}")
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
        spec = self.spec
        length = spec.file_len if spec.file_len is not None else fit_file_len(spec.box, spec.dtype, spec.channels)
        return Header(BLOCK_LEN, length, COMPRESSIONS[spec.compression], spec.dtype, spec.channels)

    @property
    def shard_shape(self) -> Vec3:
        """A cube."""
        return (self.header.side,) * 3

    def path(self, box: Box) -> Path:
        """The file of the shard in which a box begins."""
        return locate(self.folder, box.start, self.header.side)[0]

    def begin(self) -> None:
        """Write `header.wkw`: a mag without any shard is a mag. Raises TargetExists, NoSpace, TargetNotWritable."""
        self._put_header(self.header.pack())

    def omits(self, box: Box) -> bool:
        """A shard that is not there is zero."""
        return True

    def has(self, box: Box) -> bool:
        """Whether the shard in which `box` begins is there with a sound header and jump table, not cut short."""
        try:
            with self.path(box).open("rb") as file:
                Shard(Fetching(file), _size(file), self.header)
        except (FileNotFoundError, DamagedData):
            return False
        except OSError as error:
            raise target_error(self.path(box), error) from error
        return True

    def write(self, box: Box, data: Array) -> str:
        """Write one shard from `data[c, x, y, z]`, atomically; returns `crc32:{8 hex digits}:{bytes}` of its file.

        The file is not synced: `sync` does that for many at once. Raises NoSpace, TargetNotWritable, TargetError.
        """
        header = self.header
        path, corner = locate(self.folder, box.start, header.side)
        if box != Box(corner, self.shard_shape).intersection(self.spec.box) or data.shape[1:] != box.shape:
            raise ValueError(f"box {box} with voxels {data.shape} is no shard of {header.side}^3 in {self.spec.box}")
        pieces = encode_shard(data, header, box.shifted(minus(corner)).start, self.spec.compression_level)
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
            found = _head(path)
        if found != content:
            raise TargetExists(
                f"{path} belongs to another mag",
                why=f"it says {found.hex()}; this mag's says {content.hex()}",
                fix="choose another DST, or another layer name",
            )


def _put(path: Path, pieces: Iterable[Buffer]) -> str:
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
    return f"crc32:{crc:08x}:{size}"


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


class Fetching:
    """Reads exactly the bytes asked for from an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __call__(self, start: int, stop: int) -> bytes:
        self._file.seek(start)
        data = self._file.read(stop - start)
        if len(data) != stop - start:
            raise DamagedData(f"the file ended at byte {start + len(data)} while it was read")
        return data


def locate(folder: Path, start: Vec3, side: int) -> tuple[Path, Vec3]:
    """The file of the shard that holds a voxel, and the shard's first voxel."""
    x, y, z = (a // side for a in start)
    return folder / f"z{z}" / f"y{y}" / f"x{x}.wkw", (x * side, y * side, z * side)


_FEW = 16
"""Names that are looked up one by one; of more, the folder is listed."""


def _numbered(folder: Path, name: str, numbers: range) -> Iterator[Path]:
    """What in a folder has such a name with one of these numbers. Raises OSError where that cannot be told."""
    for number in numbers[:_FEW]:
        with suppress(FileNotFoundError):
            path = folder / name.format(number)
            path.lstat()
            yield path
    if len(numbers) > _FEW:
        (before, after), rest = name.split("{}"), numbers[_FEW:]
        with suppress(FileNotFoundError):
            found = [each.name.removeprefix(before).removesuffix(after) for each in folder.iterdir()]
            known = sorted(int(each) for each in found if each.isascii() and each.isdigit())
            yield from (folder / name.format(number) for number in known if number in rest)


def _head(path: Path) -> bytes:
    """The content of a `header.wkw`, and one byte more if there is one."""
    with path.open("rb") as file:
        return file.read(HEADER_BYTES + 1)


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _damaged(path: Path, error: DamagedData) -> DamagedData:
    return DamagedData(f"{path} is damaged", why=str(error), fix="convert it again, or restore the file from a copy")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
