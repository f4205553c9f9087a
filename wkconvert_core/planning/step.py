"""One pass over a source: what is read, and which mags are written of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import TypeAlias

from wkconvert_core.contract.abilities import Occupied, occupied_of, omits_of, read_cost_of
from wkconvert_core.contract.geometry import Box, Mag, Vec3, Vec3Like
from wkconvert_core.contract.model import Checksum, Sink, Source
from wkconvert_core.sources.downsampled import Downsampled

BLOCK_VOXELS = 32**3
"""Of a block of WKW; each has an entry in its shard's table, and is written even if it is empty."""
COUNTED_SHARDS = 100_000
"""As many are looked for to tell what a step takes, and a hundredth of them to tell its tasks; of more, all count."""


@dataclass(frozen=True, slots=True)
class ShardDone:
    """A finished shard: a few numbers, whatever its size."""

    mag: Mag
    start: Vec3Like
    checksum: Checksum
    low: float | int | None
    """Smallest finite value; None if there is none."""
    high: float | int | None
    nans: int
    voxels: int

    @property
    def stored_bytes(self) -> int:
        """Bytes of the shard's file."""
        return self.checksum.size


@dataclass(frozen=True)
class Step:
    """One source to be copied into one sink, and into those of coarser mags that are made on the way."""

    source: Source
    sink: Sink
    coarser: tuple[Sink, ...] = ()
    """Each is made of the one before, while its voxels are in memory: nothing is read back."""
    kernel: str = ""
    """The downsampler that makes them."""

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """All of them, the finest first."""
        return (self.sink, *self.coarser)

    @property
    def title(self) -> str:
        """The layer and the mags: `color mags 1, 2-2-1`."""
        mags = ", ".join(str(sink.spec.mag) for sink in self.sinks)
        return f"{self.sink.spec.layer} mag{'s' * bool(self.coarser)} {mags}"

    @property
    def box(self) -> Box:
        """The finest mag's extent, where it lies in the dataset."""
        return self.sink.spec.box

    @property
    def cell(self) -> Vec3:
        """The smallest box of whole shards of every mag, on a grid through 0, in voxels of the finest."""
        return Vec3(*map(math.lcm, *(_in_finest(sink, self.sink) for sink in self.sinks)))

    @property
    def voxel_bytes(self) -> int:
        """Bytes per voxel, all channels together."""
        return self.source.info.voxel_bytes

    @property
    def voxels(self) -> int:
        """Of all mags."""
        return sum(sink.spec.box.volume for sink in self.sinks)

    @property
    def raw_bytes(self) -> int:
        """Bytes of all voxels, uncompressed."""
        return self.voxels * self.voxel_bytes

    @property
    def most_bytes(self) -> int:
        """Bytes on disk at most: raw shards are written whole, and what does not compress grows a little."""
        return sum(self._most_bytes)

    @cached_property
    def _most_bytes(self) -> list[int]:
        return [
            _most_bytes(sink, self.voxel_bytes, list(islice(shards, COUNTED_SHARDS + 1)) if is_needed else None)
            for sink, is_needed, shards in self._of_each(self.box)
        ]

    @property
    def read_cost(self) -> float:
        """Bytes that a read takes at its peak, per byte that it returns."""
        return read_cost_of(self.source)

    def shards(self, box: Box | None = None) -> Iterator[tuple[Sink, Box]]:
        """The shards of every mag, of the whole extent or of a box of whole cells, in which there is anything."""
        for sink, _, shards in self._of_each(box or self.box):
            yield from ((sink, shard) for shard in shards)

    def tasks(self, shape: Vec3Like, within: Box | None = None) -> Iterator[Box]:
        """The boxes of a shape of whole cells, on a grid through the extent's first cell, that have such shards."""
        needed = list(self._needed())
        factors = [factor_between(self.sink.spec.mag, sink.spec.mag) for sink in self.sinks]

        def is_needed(box: Box) -> bool:
            return any(ask is None or ask(box.coarsened(f)) for ask, f in zip(needed, factors, strict=True))

        origin = self.box.aligned(self.cell).start
        return _tiles(within or self.box, shape, origin, None if None in needed else is_needed)

    def count_tasks(self, shape: Vec3Like) -> int:
        """How many boxes `tasks` yields, or more where counting them would take long."""
        most, few = self.box.count_tiles(shape, self.box.aligned(self.cell).start), COUNTED_SHARDS // 100
        if None in self._needed():
            return most
        count = sum(1 for _ in islice(Step.tasks(self, shape), few + 1))
        return count if count <= few else most

    def _of_each(self, box: Box) -> Iterator[tuple[Sink, Needed | None, Iterator[Box]]]:
        """The mags, and their shards in a box of whole cells."""
        for sink, is_needed in zip(self.sinks, self._needed(), strict=True):
            part = box.coarsened(factor_between(self.sink.spec.mag, sink.spec.mag))
            yield sink, is_needed, _tiles(part, sink.shard_shape, (0, 0, 0), is_needed)

    def _needed(self) -> Iterator[Needed | None]:
        """For each mag, how to ask whether anything is to be written in a box; None if everything is."""
        source = self.source
        yield _needed(source, self.sink)
        for finer, sink in pairwise(self.sinks):
            factor = factor_between(finer.spec.mag, sink.spec.mag)
            source = Downsampled(source, finer.spec.box, factor, self.kernel, source)
            yield _needed(source, sink)

    def in_source(self, box: Box) -> Box:
        """A box of the dataset, in the source's voxels."""
        return box - self.box.start


@dataclass(frozen=True)
class Within(Step):
    """A step that goes through some boxes only, each of which is a task: a part of a shard, or some of them."""

    boxes: Iterable[Box] = ()

    @property
    def voxels(self) -> int:
        """In the boxes."""
        return sum(box.volume for box in self.boxes)

    def tasks(self, shape: Vec3Like, within: Box | None = None) -> Iterator[Box]:
        """The boxes."""
        return iter(self.boxes)


Needed: TypeAlias = Occupied
"""Whether anything has to be written in a box, in voxels of a mag, where it lies in the dataset."""


def _needed(source: Source, sink: Sink) -> Needed | None:
    occupied, omits = occupied_of(source), omits_of(sink)
    if occupied is None or omits is None:
        return None
    return lambda box: occupied(box - sink.spec.box.start) or not omits(box)


def _tiles(box: Box, shape: Vec3Like, origin: Vec3Like, is_needed: Needed | None) -> Iterator[Box]:
    """The cells of a grid as `Box.tiles` yields them, but for those that are not needed."""
    if is_needed is None:
        return box.tiles(shape, origin)
    return _needed_tiles(box, (box - origin).coarsened(shape), shape, origin, is_needed)


def _needed_tiles(box: Box, cells: Box, shape: Vec3Like, origin: Vec3Like, is_needed: Needed) -> Iterator[Box]:
    """Half by half, so that large parts in which there is nothing cost one look."""
    part = cells.refined(shape).shifted(origin).intersection(box)
    if not part.volume or not is_needed(part):
        return
    if cells.volume == 1:
        yield part
        return
    axis = max(axis for axis in range(3) if cells.shape[axis] > 1)
    first, second = list(cells.shape), list(cells.shape)
    first[axis], second[axis] = (half := cells.shape[axis] // 2), cells.shape[axis] - half
    middle = [at + half * (number == axis) for number, at in enumerate(cells.start)]
    for start, sides in ((cells.start, first), (middle, second)):
        yield from _needed_tiles(box, Box(Vec3(*start), Vec3(*sides)), shape, origin, is_needed)


def factor_between(finer: Mag, coarser: Mag) -> Vec3:
    """How many voxels of the finer mag make one of the coarser, along x, y, z."""
    return coarser // finer


def _in_finest(sink: Sink, finest: Sink) -> Vec3:
    """A sink's shard, in voxels of the finest mag."""
    return factor_between(finest.spec.mag, sink.spec.mag) * sink.shard_shape


def _most_bytes(sink: Sink, voxel_bytes: int, needed: list[Box] | None) -> int:
    """What the shards that are needed take; None, or too many to be counted: all."""
    box, shard = sink.spec.box, sink.shard_shape
    count, voxels = box.count_tiles(shard), box.volume
    if needed is not None and len(needed) <= COUNTED_SHARDS:
        count, voxels = len(needed), sum(part.volume for part in needed)
    padded = count * math.prod(shard)
    if getattr(sink, "compression", "none") == "none":
        return padded * voxel_bytes
    tables = 16 * count + 32 * (padded // BLOCK_VOXELS)
    return int(1.01 * voxels * voxel_bytes) + padded * voxel_bytes // 250 + tables
