"""A mag in an array of Zarr, read strictly: a StoredMag whose voxel (0, 0, 0) of the array is that of the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core import (
    Box,
    BrokenSource,
    Checksum,
    DamagedData,
    Recorded,
    Reference,
    ShardCheck,
    ShardFile,
    Vec3,
    Vec3Like,
    VolumeInfo,
    VoxelSize,
)
from wkconvert_core.toolkit.atomic import file_checksum
from wkconvert_core.toolkit.files import check_absent, exists, is_stored, listed, reason
from wkconvert_core.toolkit.shards import numbered

from ..arrays import DESCRIPTIONS, refusal, shown
from .layout import Layout

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

_FEW = 64
"""Shards that are looked up one by one where their names are no paths; beyond that, listing is cheaper."""
_ELSE = "convert it again, or restore the file from a copy; `wkconvert verify` finds all damage"
_CHANGED = "if another program has changed it since, `wkconvert verify DATASET --write-checksums` takes it as it is"


@dataclass(frozen=True)
class ZarrMag:
    """A mag on disk, as a StoredMag; a missing shard reads as zeros, and so does what lies beyond the array."""

    folder: Path
    layout: Layout
    box: Box
    """The extent, in voxels of this mag, where it lies in the dataset."""
    voxel_size: VoxelSize | None = None
    recorded: Recorded | None = None
    """The records that shards are compared with when they are read; None: no comparison."""
    url: str = ""
    """Where the mag lies on a server, whose files cannot be listed; empty for one in `folder`."""

    # --- a Source

    @property
    def info(self) -> VolumeInfo:
        """Shape, dtype, channels, voxel size, chunks, offset."""
        grid, start = self.layout.grid, self.box.start
        begins = start - start // grid.block * grid.block
        return VolumeInfo(
            self.box.shape, grid.dtype, grid.channels, self.voxel_size, grid.block, start, chunk_start=-begins
        )

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box. Raises DamagedData, BrokenSource."""
        placed, grid = box + self.box.start, self.layout.grid
        if placed not in self.box:
            raise ValueError(f"box {box} is not within {self.info.box}")
        for shard in () if self.url else placed.coarsened(grid.shard).refined(grid.shard).tiles(grid.shard):
            self._look_at(shard.start)
        stored = placed.intersection(Box((0, 0, 0), grid.shape))
        voxels = self._stored(stored) if stored.volume else None
        if not (self.url or exists(self.description)):
            raise BrokenSource(f"{self.folder} has vanished", why="the mag's folder, or what a link points to, is gone")
        if voxels is not None and stored == placed:
            return voxels
        out = np.zeros((grid.channels, *box.shape), grid.dtype, order="F")
        if voxels is not None:
            out[:, *stored.slices_in(placed)] = voxels
        return out

    def occupied(self, box: Box) -> bool:
        """Whether any shard that overlaps a box exists. A link counts even if it is lost.

        True also where this cannot be found out, so that `read` raises the error.
        """
        placed = box + self.box.start
        try:
            lost = self.recorded and self.recorded.overlaps(placed)
            return bool(self.url or lost) or self._has_any(placed) or not exists(self.description)
        except (OSError, BrokenSource):
            return True

    def reference(self) -> Reference:
        """The mag's own folder."""
        return Reference(self.layout.driver, self.url or self.folder, self.layout.entry, self.box.start)

    # --- a StoredMag

    @property
    def description(self) -> Path:
        """`zarr.json` or `.zarray`."""
        return self.folder / DESCRIPTIONS[self.layout.driver]

    @property
    def shard_shape(self) -> Vec3:
        """The box that is one file: a chunk of the array."""
        return self.layout.grid.shard

    @property
    def block_shape(self) -> Vec3:
        """The box that one decode yields: a chunk within a shard, or the shard."""
        return self.layout.grid.block

    @property
    def compression(self) -> str:
        """`none`, or the name of the codec that compresses; of one channel of several never `none` alone."""
        return f"{self.layout.compression} beside other channels" if self.layout.channels else self.layout.compression

    def within(self, box: Box) -> ZarrMag:
        """The same mag with another extent."""
        return replace(self, box=box)

    def compared_with(self, recorded: Recorded) -> ZarrMag:
        """The same mag, whose shards are compared with what was recorded of them: each once in each process."""
        return replace(self, recorded=recorded)

    def shards(self) -> Iterator[ShardFile]:
        """All shards that exist, inside the extent or not; on a server, all that there may be. Raises BrokenSource.

        What is no file, but has the name of one, is listed, too, so that `check` tells of it.
        """
        if self.url:
            for part in Box((0, 0, 0), self.layout.grid.shape).tiles(self.shard_shape):
                yield ShardFile(part.start, self.shard_path(part.start))
            return
        for path in _entries(self.folder, self.layout.name_of((0, 0, 0)).count("/")):
            start = self.layout.start_of(path.relative_to(self.folder).as_posix())
            if start is not None:
                yield ShardFile(start, path)

    def shard_path(self, start: Vec3Like) -> Path:
        """The file of the shard that contains a voxel, whether it exists or not."""
        return self.folder / self.layout.name_of(start)

    @property
    def check_bytes(self) -> int:
        """Peak memory of `check`, in bytes: a layer of blocks, encoded and decoded."""
        grid = self.layout.grid
        return 3 * grid.shard.x * grid.shard.y * grid.block.z * grid.channels * grid.dtype.itemsize

    def check(self, start: Vec3, recorded: Checksum | None) -> ShardCheck:
        """Decode all blocks of a shard, and compare the checksum of its file with the recorded one, if there is one."""
        path, shard = self.shard_path(start), Box(start, self.shard_shape)
        size = 0
        try:
            found = file_checksum(path)
            size = found.size
            self._decode(shard)
        except OSError as error:
            return ShardCheck(start, size, problem=f"it cannot be read: {reason(error)}")
        except ValueError as error:
            unlike = f"{found.unlike(recorded)}: " if recorded and recorded.size != size else ""
            return ShardCheck(start, size, problem=unlike + shown(error))
        return ShardCheck(start, size, found, self.compression, found.unlike(recorded) if recorded else "")

    # --- reading

    def _stored(self, placed: Box) -> Array:
        """The voxels of a box that lies within the array. Raises DamagedData that names the shard, BrokenSource."""
        try:
            array = self.layout.address(self.url or self.folder).open()
            voxels: Array = array[self.layout.spans(placed)].read(order="F").result()
        except (ValueError, OSError) as error:
            if self.url:
                raise refusal(self.url, error) from error
            for part in placed.tiles(self.shard_shape):
                shard = part.aligned(self.shard_shape).start
                if exists(self.shard_path(shard)) and (problem := self.check(shard, None).problem):
                    raise DamagedData(f"{self.shard_path(shard)} is damaged", why=problem, fix=_ELSE) from error
            raise BrokenSource(f"{self.folder} cannot be read", why=shown(error)) from error
        return self.layout.seen(voxels)

    def _decode(self, shard: Box) -> None:
        """Decode every block of a shard, layer by layer. Raises ValueError."""
        shape, layer = self.layout.grid.shape.max(shard.stop), (*shard.shape[:2], self.block_shape.z)
        array = self.layout.resized(shape).address(self.folder).open()
        for part in shard.tiles(layer):
            array[self.layout.spans(part)].read(order="F").result()

    def _look_at(self, start: Vec3) -> None:
        """Raise DamagedData for a shard that is not as recorded, BrokenSource for what is no file in its place."""
        path, recorded = self.shard_path(start), self.recorded
        due = recorded.due(start) if recorded else None
        if is_stored(path):
            if recorded and due:
                try:
                    problem = file_checksum(path).unlike(due)
                except OSError as error:
                    raise BrokenSource(f"{path} cannot be read", why=reason(error)) from error
                if problem:
                    what = f"{path} is damaged, or has changed since wkconvert wrote it"
                    raise DamagedData(what, why=problem, fix=f"{_CHANGED}; else {_ELSE}")
                recorded.settle(start)
        elif recorded and recorded.of(start):
            raise DamagedData(f"{path} is damaged", why="it is missing, though it was recorded", fix=_ELSE)

    def _has_any(self, placed: Box) -> bool:
        """Whether a shard that overlaps a box of the dataset exists. Raises OSError, BrokenSource."""
        tree = self.layout.tree(placed)
        if tree:
            folder, levels = tree
            return _any_below(str(self.folder / folder), levels)
        shards = placed.coarsened(self.shard_shape)
        if shards.volume <= _FEW:
            return any(map(is_stored, map(self.shard_path, (part.start for part in placed.tiles(self.shard_shape)))))
        return any(Box(shard.start, self.shard_shape).intersection(placed).volume for shard in self.shards())


def _entries(folder: Path, depth: int) -> Iterator[Path]:
    """What lies so many folders deeper, in those whose names are numbers or `c`, as those of chunks are."""
    found = [path for path in listed(folder) if not depth or path.name == "c" or path.name.isdecimal()]
    if not found:
        check_absent(folder / "0")
    for path in found:
        yield from _entries(path, depth - 1) if depth else (path,)


def _any_below(folder: str, levels: Sequence[range]) -> bool:
    """Whether there is an entry with a number of each level, the last one's in the folders of those before."""
    found = numbered(folder, "{}", levels[0])
    return any(len(levels) == 1 or _any_below(path, levels[1:]) for path in found)


def open_mag(mag: ZarrMag, box: Box | None) -> ZarrMag:
    """A mag with an extent; without `box`, that of its shards as far as the array goes. Raises BrokenSource."""
    if box is not None:
        return mag.within(box)
    shards = [Box(shard.start, mag.shard_shape) for shard in mag.shards()]
    array = Box((0, 0, 0), mag.layout.grid.shape)
    return mag.within(reduce(Box.spanning, shards).intersection(array)) if shards else mag
