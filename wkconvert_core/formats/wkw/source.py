"""A WKW mag on disk, read: `header.wkw` and the shards `z{Z}/y{Y}/x{X}.wkw`, as a StoredMag."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.abilities import Reference
from wkconvert_core.contract.errors import BrokenSource, DamagedData, SourceNotFound
from wkconvert_core.contract.geometry import Box, Vec3, Vec3Like
from wkconvert_core.contract.mag_format import Recorded, ShardCheck, ShardFile
from wkconvert_core.contract.model import Checksum, Source, VolumeInfo
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.formats.wkw import HEADER_FILE
from wkconvert_core.formats.wkw.blocks import empty_voxels, parts_of, run_of_blocks
from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.header import COMPRESSIONS, HEADER_BYTES, Header
from wkconvert_core.formats.wkw.same_blocks import Blocks, comparable, hold_the_same
from wkconvert_core.formats.wkw.shard_file import check_bytes, check_shard, open_shard
from wkconvert_core.toolkit.files import check_absent, exists, listed, open_file, reason
from wkconvert_core.toolkit.shards import numbered

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


def open_mag(folder: Path) -> Header:
    """Read a mag's `header.wkw`. Raises SourceNotFound, BrokenSource, DamagedData."""
    path = folder / HEADER_FILE
    try:
        header = Header.parse(read_header(path))
        if header.data_offset != 0:
            raise DamagedData(f"it says that blocks begin at byte {header.data_offset}", why="it has none")
    except FileNotFoundError:
        raise SourceNotFound(f"{folder} is no mag of WKW", why=f"there is no {HEADER_FILE} in it") from None
    except OSError as error:
        raise BrokenSource(f"{path} cannot be read", why=reason(error)) from error
    except DamagedData as error:
        raise _damaged(path, error) from None
    return header


def read_header(path: Path) -> bytes:
    """The content of a `header.wkw`, at most one byte too long: enough to notice that there are too many."""
    with open_file(path) as file:
        return file.read(HEADER_BYTES + 1)


def open_source(folder: Path, box: Box | None, voxel_size: VoxelSize | None) -> WkwSource:
    """Open the mag in a folder; see `Wkw.open`."""
    source = WkwSource(folder, open_mag(folder), box or Box((0, 0, 0), (0, 0, 0)), voxel_size)
    if box is None and (shards := [Box(shard.start, source.shard_shape) for shard in source.shards()]):
        return source.within(functools.reduce(Box.spanning, shards))
    return source


@dataclass(frozen=True)
class WkwSource:
    """A mag on disk, as a StoredMag. Its voxel (0, 0, 0) is `box.start`; a missing shard reads as zeros."""

    folder: Path
    header: Header
    """The mag's, as `open_mag` reads it; every shard's own header must agree with it."""
    box: Box
    """The extent, in voxels of this mag, where it lies in the dataset."""
    voxel_size: VoxelSize | None = None
    recorded: Recorded | None = None
    """The records that shards are compared with when they are read; None: no comparison."""

    # --- a Source

    @property
    def info(self) -> VolumeInfo:
        """Shape, dtype, channels, voxel size, offset."""
        header = self.header
        return VolumeInfo(self.box.shape, header.dtype, header.channels, self.voxel_size, offset=self.box.start)

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box, x fastest in memory. Raises DamagedData, BrokenSource."""
        placed = box.shifted(self.box.start)
        if placed not in self.box:
            raise ValueError(f"box {box} is not within {self.info.box}")
        out = empty_voxels(box.shape, self.header)
        for part in placed.tiles(self.shard_shape):
            voxels = out[:, *part.slices_in(placed)]
            with self._shard(part) as (shard, inside):
                if shard:
                    shard.read_into(voxels, inside)
                else:
                    voxels[...] = 0
        return out

    def occupied(self, box: Box) -> bool:
        """Whether any shard that overlaps a box exists. A link counts even if it is broken.

        True also where this cannot be found out, so that `read` raises the error.
        """
        shards = box.shifted(self.box.start).coarsened(self.shard_shape)
        columns, rows, layers = (range(a, b) for a, b in zip(shards.start, shards.stop, strict=True))
        try:
            found = any(
                True
                for layer in numbered(str(self.folder), "z{}", layers)
                for row in numbered(layer, "y{}", rows)
                for _ in numbered(row, "x{}.wkw", columns)
            )
            lost = not found and self.recorded and self.recorded.overlaps(box.shifted(self.box.start))
            return found or bool(lost) or not exists(self.description)
        except OSError:
            return True

    def reference(self) -> Reference:
        """The mag's own folder."""
        return Reference("wkw", self.folder, {"cubeLength": self.header.side}, self.box.start)

    # --- a StoredMag

    @property
    def description(self) -> Path:
        """`header.wkw`."""
        return self.folder / HEADER_FILE

    @property
    def shard_shape(self) -> Vec3:
        """A cube of `file_len` blocks."""
        return Vec3(1, 1, 1) * self.header.side

    @property
    def block_shape(self) -> Vec3:
        """A cube."""
        return Vec3(1, 1, 1) * self.header.block_len

    @property
    def compression(self) -> str:
        """`none`, `lz4` or `lz4hc`."""
        return COMPRESSIONS[self.header.block_type]

    def within(self, box: Box) -> WkwSource:
        """The same mag with another extent."""
        return replace(self, box=box)

    def compared_with(self, recorded: Recorded) -> WkwSource:
        """The same mag, whose shards are compared with what was recorded of them: each once in each process."""
        return replace(self, recorded=recorded)

    def shards(self) -> Iterator[ShardFile]:
        """All shards that exist, inside the extent or not. Raises BrokenSource."""
        for z, layer in _listed(self.folder, _Z):
            for y, row in _listed(layer, _Y):
                for x, path in _listed(row, _X):
                    yield ShardFile(Vec3(x, y, z) * self.header.side, path)

    def shard_path(self, start: Vec3Like) -> Path:
        """The file of the shard that contains a voxel, whether it exists or not."""
        return locate(self.folder, start, self.header.side)[0]

    def check(self, start: Vec3, recorded: Checksum | None) -> ShardCheck:
        """Read a shard completely and strictly. Raises ResourceError if memory runs out."""
        return check_shard(self.shard_path(start), self.header, start, recorded)

    @property
    def check_bytes(self) -> int:
        """Peak memory of `check`, in bytes."""
        return check_bytes(self.header)

    # --- a ComparableMag, and the source of `WkwSink.copy_encoded`

    def compares_with(self, other: Source, side: int) -> bool:
        """Whether aligned cubes of `side` voxels can be compared with those of `other` block by block."""
        return isinstance(other, WkwSource) and comparable(self.header, other.header, side)

    def holds_the_same(self, other: Source, cube: Box) -> bool:
        """Whether a cube of the dataset is undamaged and equal in both, as far as its blocks tell."""
        assert isinstance(other, WkwSource), "compares_with allows no other"
        with suppress(DamagedData, BrokenSource), self._blocks(cube) as ours, other._blocks(cube) as theirs:
            return hold_the_same(ours, theirs)
        return False  # reading the voxels raises the error

    def blocks(self, cube: Box) -> Iterator[Array]:
        """The blocks of a cube of the dataset in Morton order, in parts `[block, voxel]` as `Shard.blocks` returns.

        The cube lies within the extent, is aligned to its side, and has a power of two of blocks a side, at most a
        shard. Raises DamagedData, BrokenSource.
        """
        header = self.header
        words = header.block_len**3 * header.channels
        with self._shard(cube) as (shard, inside):
            for numbers in parts_of(run_of_blocks(inside, header), header):
                yield shard.blocks(numbers) if shard else np.zeros((len(numbers), words), header.dtype)

    @contextmanager
    def _blocks(self, cube: Box) -> Iterator[Blocks]:
        with self._shard(cube) as (shard, inside):
            yield (shard, run_of_blocks(inside, self.header)) if shard else None

    @contextmanager
    def _shard(self, box: Box) -> Iterator[tuple[Shard | None, Box]]:
        """The shard that contains a box of the dataset (None if it does not exist), and the box in the shard's voxels.

        Errors inside the context, too, become BrokenSource and DamagedData that name the file.
        """
        path, corner = locate(self.folder, box.start, self.header.side)
        recorded = self.recorded
        due = recorded.due(corner) if recorded else None
        try:
            with ExitStack() as stack:
                try:
                    shard = stack.enter_context(open_shard(path, self.header, due))
                except FileNotFoundError:
                    if recorded and recorded.of(corner):
                        raise DamagedData("it is missing, though it was recorded") from None
                    check_absent(path)
                    if not exists(self.description):
                        raise BrokenSource(f"{path} has vanished", why="the mag's folder is gone") from None
                    shard = None
                yield shard, box - corner
            if recorded and due:
                recorded.settle(corner)
        except OSError as error:
            raise BrokenSource(f"{path} cannot be read", why=reason(error)) from error
        except DamagedData as error:
            raise _damaged(path, error) from None


# --- names of shards -------------------------------------------------------------------------------------------------


def locate(folder: Path, start: Vec3Like, side: int) -> tuple[Path, Vec3]:
    """The file of the shard of `side` voxels that contains a voxel, and the shard's first voxel.

    >>> path, corner = locate(Path("color/1"), (70, 5, 130), side=64)
    >>> path.as_posix(), corner
    ('color/1/z2/y0/x1.wkw', (64, 0, 128))
    """
    shard = Vec3(*start) // side
    return folder / f"z{shard.z}" / f"y{shard.y}" / f"x{shard.x}.wkw", shard * side


_Z, _Y, _X = re.compile(r"z([0-9]+)"), re.compile(r"y([0-9]+)"), re.compile(r"x([0-9]+)\.wkw")


def _listed(folder: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """Numbers and paths of entries whose names match, by number; not `x01.wkw`, which no reader looks for."""
    matches = [match for path in listed(folder) if (match := pattern.fullmatch(path.name))]
    if not matches:
        check_absent(folder / "x0.wkw")
    return sorted((int(m[1]), folder / m[0]) for m in matches if m[1] == str(int(m[1])))


def _damaged(path: Path, error: DamagedData) -> DamagedData:
    """The error for a shard. One that decodes, but is not as recorded, need not be damaged, and `error` has a fix."""
    if error.fix:
        return DamagedData(f"{path} is damaged, or has changed since wkconvert wrote it", why=error.what, fix=error.fix)
    fix = "convert it again, or restore the file from a copy; `wkconvert verify` finds all damage"
    return DamagedData(f"{path} is damaged", why=str(error), fix=fix)
