"""One pass over a source: what is read, and which mags are written of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from wkconvert_core.geometry import Box, Mag, Vec3, minus
from wkconvert_core.model import Sink, Source

BLOCK_VOXELS = 32**3
"""Of a block of WKW; each has an entry in its shard's table, and is written even if it is empty."""


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
        x, y, z = map(math.lcm, *(_in_finest(sink, self.sink) for sink in self.sinks))
        return x, y, z

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
        return sum(_most_bytes(sink, self.voxel_bytes) for sink in self.sinks)

    @property
    def read_cost(self) -> float:
        """Bytes that a read takes at its peak, per byte that it returns."""
        return float(getattr(self.source, "read_cost", 1.0))

    def shards(self, box: Box | None = None) -> Iterator[tuple[Sink, Box]]:
        """The shards of every mag, of the whole extent or of a box of whole cells."""
        for sink in self.sinks:
            part = (box or self.box).coarsened(factor_between(self.sink.spec.mag, sink.spec.mag))
            yield from ((sink, shard) for shard in part.tiles(sink.shard_shape))

    def tasks(self, shape: Vec3, within: Box | None = None) -> Iterator[Box]:
        """The boxes of a shape of whole cells, on a grid through the extent's first cell."""
        return (within or self.box).tiles(shape, self.box.aligned(self.cell).start)

    def count_tasks(self, shape: Vec3) -> int:
        """How many boxes `tasks` yields."""
        return self.box.count_tiles(shape, self.box.aligned(self.cell).start)

    def in_source(self, box: Box) -> Box:
        """A box of the dataset, in the source's voxels."""
        return box.shifted(minus(self.box.start))


def factor_between(finer: Mag, coarser: Mag) -> Vec3:
    """How many voxels of the finer mag make one of the coarser, along x, y, z."""
    return coarser.x // finer.x, coarser.y // finer.y, coarser.z // finer.z


def _in_finest(sink: Sink, finest: Sink) -> Vec3:
    """A sink's shard, in voxels of the finest mag."""
    factor = factor_between(finest.spec.mag, sink.spec.mag)
    return Box((0, 0, 0), sink.shard_shape).refined(factor).shape


def _most_bytes(sink: Sink, voxel_bytes: int) -> int:
    box, shard = sink.spec.box, sink.shard_shape
    padded = box.aligned(shard).volume
    if sink.spec.compression == "none":
        return padded * voxel_bytes
    tables = 16 * box.count_tiles(shard) + 32 * (padded // BLOCK_VOXELS)
    return int(1.01 * box.volume * voxel_bytes) + padded * voxel_bytes // 250 + tables
