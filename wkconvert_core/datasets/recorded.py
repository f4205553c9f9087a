"""Mags whose shards are held against the checksums that runs recorded of them, while their voxels are read."""

from __future__ import annotations

import functools
import uuid
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from wkconvert_core.contract.geometry import Box, Mag, Vec3, Vec3Like
from wkconvert_core.contract.mag_format import ComparedMag, StoredMag
from wkconvert_core.contract.model import Checksum, Layer, Source
from wkconvert_core.datasets.checksums import records
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.toolkit.files import exists, state_of

S = TypeVar("S", bound=Source)


def compared(dataset: Path, layer: Layer) -> Layer:
    """A layer of a dataset whose mags, if their format can, raise DamagedData for a shard that is not as recorded."""
    return replace(layer, mags={mag: _compared(dataset, layer.name, mag, it) for mag, it in layer.mags.items()})


def open_compared(where: MagOnDisk) -> StoredMag:
    """The same of one mag, opened. Raises what `MagOnDisk.open` raises."""
    mag = where.open()
    return _compared(where.dataset, where.layer, where.mag, mag) if where.dataset else mag


def open_searched(where: MagOnDisk) -> tuple[StoredMag, list[Vec3]]:
    """A mag whose contents are looked for, compared with its record, and the first voxels of all of its shards.

    Recorded ones that are gone are among these, so that reading misses them. A mag that another program has made anew
    since is taken as it is. Raises what `MagOnDisk.open` raises.
    """
    mag = where.open()
    starts = [shard.start for shard in mag.shards()]
    if where.dataset is None or not isinstance(mag, ComparedMag):
        return mag, starts
    recorded = RecordedShards(where.dataset.resolve(), where.layer, where.mag, mag.shard_shape)
    if recorded.is_remade(mag):
        return mag, starts
    return mag.compared_with(recorded), list(dict.fromkeys([*starts, *recorded.starts()]))


def _compared(dataset: Path, layer: str | None, mag: Mag, source: S) -> S:
    if not isinstance(source, ComparedMag):
        return source
    return source.compared_with(RecordedShards(dataset.resolve(), layer or "", mag, source.shard_shape))


@dataclass(frozen=True)
class RecordedShards:
    """The newest checksums of a mag: read when they are first asked for, once in each process."""

    dataset: Path
    layer: str
    mag: Mag
    shard_shape: Vec3
    opened: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells openings apart: what was read of the dataset before may hold no more."""

    def of(self, start: Vec3Like) -> Checksum | None:
        """The checksum of the shard that begins at a voxel; None if none is recorded. Raises BrokenSource."""
        table = _table(self)
        place = table.place(start)
        return None if place is None else table.checksum(place)

    def overlaps(self, box: Box) -> bool:
        """Whether a shard is recorded that overlaps a box. Raises BrokenSource."""
        near = box.aligned(self.shard_shape)
        return _table(self).has_any(near)

    def starts(self) -> Iterator[Vec3]:
        """The first voxel of each shard. Raises BrokenSource."""
        table = _table(self)
        return (Vec3(x, y, z) for x, y, z in zip(table.x, table.y, table.z, strict=True))

    def is_remade(self, mag: StoredMag) -> bool:
        """Whether more than half of the shards have another size now: no flipped bit, and no single loss, does that."""
        sizes = zip(map(mag.shard_path, self.starts()), _table(self).size, strict=True)
        others = sum(exists(path) and state_of(path)[0] != size for path, size in sizes)
        return 2 * others > len(_table(self).size)

    def due(self, start: Vec3Like) -> Checksum | None:
        """The same, unless this process has compared the shard already."""
        table = _table(self)
        place = table.place(start)
        return None if place is None or table.compared[place] else table.checksum(place)

    def settle(self, start: Vec3Like) -> None:
        """Note that the shard that begins at a voxel is as recorded."""
        table = _table(self)
        if (place := table.place(start)) is not None:
            table.compared[place] = 1


class _Table(NamedTuple):
    """One row per shard, by z, y, x of its first voxel: some forty bytes, as there may be millions."""

    z: array[int]
    y: array[int]
    x: array[int]
    crc32: array[int]
    size: array[int]
    compared: bytearray

    def place(self, start: Vec3Like) -> int | None:
        """The row of the shard that begins at a voxel."""
        low, high = 0, len(self.z)
        for column, at in zip((self.z, self.y, self.x), reversed(start), strict=True):
            low, high = bisect_left(column, at, low, high), bisect_right(column, at, low, high)
        return low if low < high else None

    def checksum(self, place: int) -> Checksum:
        """The checksum in a row."""
        return Checksum(self.crc32[place], self.size[place])

    def has_any(self, box: Box) -> bool:
        """Whether a shard begins in a box."""
        low, high = bisect_left(self.z, box.start[2]), bisect_left(self.z, box.stop[2])
        x, y = (np.frombuffer(column, np.int64)[low:high] for column in (self.x, self.y))
        inside = (box.start[1] <= y) & (y < box.stop[1]) & (box.start[0] <= x) & (x < box.stop[0])
        return bool(inside.any())


@functools.lru_cache(maxsize=16)
def _table(recorded: RecordedShards) -> _Table:
    found = records(recorded.dataset, recorded.layer).checksums(recorded.mag)
    shards = []
    for start, checksum in found.shards.items() if found else ():
        x, y, z = Box(start, (1, 1, 1)).aligned(recorded.shard_shape).start
        if max(x, y, z) < 1 << 60:  # others begin where no extent reaches
            shards.append((z, y, x, checksum.crc32, min(checksum.size, 1 << 60)))
    columns = zip(*sorted(shards), strict=True) if shards else [()] * 5
    zs, ys, xs, sums, sizes = (array("q", column) for column in columns)
    return _Table(zs, ys, xs, sums, sizes, bytearray(len(shards)))
