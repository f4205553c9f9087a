"""A WKW mag on disk, read: `header.wkw` and the shards `z{Z}/y{Y}/x{X}.wkw`, as a Source."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from wkconvert_core.contract.errors import BrokenSource, DamagedData, SourceNotFound
from wkconvert_core.contract.geometry import Box, Vec3, Vec3Like
from wkconvert_core.contract.mag_format import ShardCheck, ShardFile
from wkconvert_core.contract.model import Checksum, Source, VolumeInfo
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.formats.wkw.blocks import empty_voxels, parts_of, run_of_blocks
from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.header import COMPRESSIONS, HEADER_BYTES, Header
from wkconvert_core.formats.wkw.same_blocks import comparable, hold_the_same
from wkconvert_core.formats.wkw.shard_check import check_bytes, check_shard

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

HEADER_FILE = "header.wkw"


def open_mag(folder: Path) -> Header:
    """Read a mag's `header.wkw`. Raises SourceNotFound, BrokenSource, DamagedData."""
    path = folder / HEADER_FILE
    try:
        header = Header.parse(head_of(path))
        if header.data_offset != 0:
            raise DamagedData(f"it says that blocks begin at byte {header.data_offset}", why="it has none")
    except FileNotFoundError:
        raise SourceNotFound(f"{folder} is no mag of WKW", why=f"there is no {HEADER_FILE} in it") from None
    except OSError as error:
        raise BrokenSource(f"{path} cannot be read", why=_reason(error)) from error
    except DamagedData as error:
        raise _damaged(path, error) from None
    return header


def open_source(folder: Path, box: Box | None, voxel_size: VoxelSize | None) -> WkwSource:
    """The mag in a folder; without an extent, that of its shards. Raises SourceNotFound, BrokenSource, DamagedData."""
    source = WkwSource(folder, open_mag(folder), box or Box((0, 0, 0), (0, 0, 0)), voxel_size)
    if box is None and (shards := [Box(shard.start, source.shard_shape) for shard in source.shards()]):
        return source.within(functools.reduce(Box.spanning, shards))
    return source


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
    def description(self) -> Path:
        """`header.wkw`."""
        return self.folder / HEADER_FILE

    @property
    def shard_shape(self) -> Vec3:
        """A cube."""
        return Vec3(1, 1, 1) * self.header.side

    @property
    def block_shape(self) -> Vec3:
        """A cube."""
        return Vec3(1, 1, 1) * self.header.block_len

    @property
    def compression(self) -> str:
        """Of the blocks: none, lz4 or lz4hc."""
        return COMPRESSIONS[self.header.block_type]

    @property
    def check_bytes(self) -> int:
        """Memory that `check` takes at its peak."""
        return check_bytes(self.header)

    @property
    def info(self) -> VolumeInfo:
        """What it holds."""
        header = self.header
        shape, start = self.box.shape, self.box.start
        return VolumeInfo(shape, header.dtype, header.channels, self.voxel_size, offset=start)

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

    def within(self, box: Box) -> WkwSource:
        """The same mag with another extent."""
        return replace(self, box=box)

    def shards(self) -> Iterator[ShardFile]:
        """Every shard `z{Z}/y{Y}/x{X}.wkw`. Raises BrokenSource."""
        side = self.header.side
        for z, layer in _listed(self.folder, _Z):
            for y, row in _listed(layer, _Y):
                for x, path in _listed(row, _X):
                    yield ShardFile(Vec3(x, y, z) * side, path)

    def shard_path(self, start: Vec3Like) -> Path:
        """The file of the shard that holds a voxel."""
        return locate(self.folder, start, self.header.side)[0]

    def check(self, start: Vec3, recorded: Checksum | None) -> ShardCheck:
        """Read a shard whole and strictly. Raises ResourceError if memory runs out."""
        return check_shard(self.shard_path(start), self.header, start, recorded)

    def compares_with(self, other: Source, side: int) -> bool:
        """Whether cubes of this side are runs of like blocks in both mags."""
        return isinstance(other, WkwSource) and comparable(self.header, other.header, side)

    def holds_the_same(self, other: Source, cube: Box) -> bool:
        """Whether a cube is sound and the same in both, told from its blocks."""
        assert isinstance(other, WkwSource), "compares_with allows no other"
        with suppress(DamagedData, BrokenSource), self._shard_of(cube) as ours, other._shard_of(cube) as theirs:
            return hold_the_same(ours, theirs)
        return False  # reading the voxels will say what is wrong

    @contextmanager
    def _shard_of(self, cube: Box) -> Iterator[tuple[Shard, range] | None]:
        """The shard in which a cube lies, and the numbers of its blocks there; None where there is no shard."""
        path, corner = locate(self.folder, cube.start, self.header.side)
        with self._shard(path) as shard:
            yield (shard, run_of_blocks(cube - corner, self.header)) if shard else None

    def blocks(self, cube: Box) -> Iterator[Array]:
        """The blocks of a cube of the dataset in Morton order, some at a time, as `Shard.blocks` gives them.

        The cube, a power of two of blocks a side and aligned to its side, lies in one shard and within the extent.
        Raises DamagedData, BrokenSource.
        """
        header = self.header
        path, corner = locate(self.folder, cube.start, header.side)
        with self._shard(path) as shard:
            words = header.block_len**3 * header.channels
            for numbers in parts_of(run_of_blocks(cube - corner, header), header):
                yield (shard.blocks(numbers) if shard else np.zeros((len(numbers), words), header.dtype))

    def _read_shard(self, part: Box, out: Array) -> None:
        path, corner = locate(self.folder, part.start, self.header.side)
        with self._shard(path) as shard:
            if shard:
                shard.read_into(out, part - corner)
            else:
                out[...] = 0

    @contextmanager
    def _shard(self, path: Path) -> Iterator[Shard | None]:
        """A shard to be read while the context lasts; None if it is not there."""
        try:
            try:
                file = path.open("rb")
            except FileNotFoundError:
                if path.is_symlink() or not (self.folder / HEADER_FILE).exists():
                    gone = "the mag's folder, or what a link points to, is gone"
                    raise BrokenSource(f"{path} has vanished", why=gone) from None
                yield None
                return
            with file:
                yield Shard(Fetching(file), size_of(file), self.header)
        except OSError as error:
            raise BrokenSource(f"{path} cannot be read", why=_reason(error)) from error
        except DamagedData as error:
            raise _damaged(path, error) from None


class Fetching:
    """Reads exactly the bytes asked for from an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __call__(self, start: int, stop: int) -> bytes:
        """Read them. Raises DamagedData where the file is shorter than it was."""
        self._file.seek(start)
        data = self._file.read(stop - start)
        if len(data) != stop - start:
            raise DamagedData(f"the file ended at byte {start + len(data)} while it was read")
        return data


def locate(folder: Path, start: Vec3Like, side: int) -> tuple[Path, Vec3]:
    """The file of the shard that holds a voxel, and the shard's first voxel."""
    shard = Vec3(*start) // side
    return folder / f"z{shard.z}" / f"y{shard.y}" / f"x{shard.x}.wkw", shard * side


_Z, _Y, _X = re.compile(r"z([0-9]+)"), re.compile(r"y([0-9]+)"), re.compile(r"x([0-9]+)\.wkw")


def _listed(folder: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """What in a folder has such a name, by number. `x01.wkw` is ignored: no reader looks for it."""
    try:
        matches = [match for path in folder.iterdir() if (match := pattern.fullmatch(path.name))]
    except NotADirectoryError:
        return []
    except OSError as error:
        raise BrokenSource(f"{folder} cannot be read", why=_reason(error)) from error
    return sorted((int(m[1]), folder / m[0]) for m in matches if m[1] == str(int(m[1])))


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


def head_of(path: Path) -> bytes:
    """The content of a `header.wkw`, and one byte more if there is one."""
    with path.open("rb") as file:
        return file.read(HEADER_BYTES + 1)


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def _damaged(path: Path, error: DamagedData) -> DamagedData:
    return DamagedData(f"{path} is damaged", why=str(error), fix="convert it again, or restore the file from a copy")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
