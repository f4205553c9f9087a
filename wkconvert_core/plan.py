"""How one source gets into one sink within a memory budget: decided, and priced, before anything runs.

A task owns whole shards, so tasks need no locks and can be run again. What differs is how often a source's chunk (the
box that one decode yields) is decoded:

direct   tasks so large that each chunk is decoded (nearly) once; needs a task's voxels per worker
buffer   slab by slab: decode each chunk once into memory that all workers share, then encode shard by shard
spool    the same through a scratch file: for slabs too large for memory, and for workers that share none
re-read  shard by shard, decoding chunks again for each: when there is neither memory nor scratch space

A source that streams is one chunk: it fills a slab as large as the volume, in its own order, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from wkconvert_core.errors import ResourceError
from wkconvert_core.geometry import Box, Vec3, ceil_div
from wkconvert_core.model import Sink, Source, StreamSource

Way = Literal["direct", "buffer", "spool", "re-read"]

TOLERATED = 1.25
"""Decoding this many times the voxels is still called direct: it costs less than moving everything twice."""
WORKER_BYTES = 110_000_000
"""What a worker process holds before it reads anything: interpreter, numpy, a format library."""
BLOCK_VOXELS = 32**3
"""Of a block of WKW; each has an entry in its shard's table, and is written even if it is empty."""
FILL_BYTES = 8_000_000
"""Chunks are decoded into a slab in batches of about this size: a task has to be worth its dispatch."""


@dataclass(frozen=True)
class Budget:
    """What a run may use."""

    memory: int
    """Bytes, of all processes together."""
    workers: int
    shared: bool
    """Whether the workers share memory: threads do."""
    scratch: int
    """Free bytes where a scratch file would lie."""
    base: int
    """Bytes that this process already holds."""


@dataclass(frozen=True)
class Route:
    """The chosen way from a source to a sink, and what it costs."""

    way: Way
    workers: int
    task: Vec3
    """The box of one task, in whole shards."""
    slab: Vec3 | None
    """The box that is buffered or spooled at a time."""
    fill: Vec3 | None
    """The box that one task decodes into the slab, in whole chunks."""
    tasks: int
    memory: int
    """Peak bytes, of all processes together."""
    amplification: float
    """Voxels decoded per voxel written."""
    scratch: int = 0
    """Bytes of the scratch file."""


@dataclass(frozen=True)
class Step:
    """One source to be copied into one sink."""

    title: str
    source: Source
    sink: Sink

    @property
    def box(self) -> Box:
        """The extent, where it lies in the dataset."""
        return self.sink.spec.box

    @property
    def voxel_bytes(self) -> int:
        """Bytes per voxel, all channels together."""
        return self.source.info.voxel_bytes

    @property
    def raw_bytes(self) -> int:
        """Bytes of all voxels, uncompressed."""
        return self.box.volume * self.voxel_bytes

    @property
    def most_bytes(self) -> int:
        """Bytes on disk at most: raw shards are written whole, and what does not compress grows a little."""
        if self.sink.spec.compression == "none":
            return self.box.aligned(self.sink.shard_shape).volume * self.voxel_bytes
        padded, shards = self.box.aligned(self.sink.shard_shape), self.box.count_tiles(self.sink.shard_shape)
        tables = 16 * shards + 32 * (padded.volume // BLOCK_VOXELS)
        return int(1.01 * self.raw_bytes) + padded.volume * self.voxel_bytes // 250 + tables

    @property
    def read_cost(self) -> float:
        """Bytes that a read takes at its peak, per byte that it returns."""
        return float(getattr(self.source, "read_cost", 1.0))

    def tasks(self, shape: Vec3, within: Box | None = None) -> Iterator[Box]:
        """The boxes of a shape of whole shards, on a grid through the extent's first shard."""
        origin = self.box.aligned(self.sink.shard_shape).start
        back = (-origin[0], -origin[1], -origin[2])
        return (box.shifted(origin) for box in (within or self.box).shifted(back).tiles(shape))

    def count_tasks(self, shape: Vec3) -> int:
        """How many boxes `tasks` yields."""
        origin = self.box.aligned(self.sink.shard_shape).start
        return self.box.shifted((-origin[0], -origin[1], -origin[2])).count_tiles(shape)

    def in_source(self, box: Box) -> Box:
        """A box of the dataset, in the source's voxels."""
        x, y, z = self.box.start
        return box.shifted((-x, -y, -z))


def route(step: Step, budget: Budget) -> Route:
    """Choose the cheapest way that the budget allows.

    Raises ResourceError, naming the smallest budget that would do.
    """
    for workers in _halved(budget.workers):
        costs = Costs(step, budget, workers)
        for way in costs.ways():
            if way.memory <= budget.memory:
                return way
    rereads = [Costs(step, budget, workers).reread() for workers in _halved(budget.workers)]
    for reread in rereads:
        if reread.memory <= budget.memory:
            return reread
    least = rereads[-1].memory
    raise ResourceError(
        f"{step.title} does not fit in --memory {size_text(budget.memory)}",
        why=f"one worker needs {size_text(least)} to decode one chunk of the source and encode one shard",
        fix=f"say --memory {size_text(least + least // 20)} or more, or take a smaller --file-len",
    )


class Costs:
    """What each way would cost for one step with a number of workers."""

    def __init__(self, step: Step, budget: Budget, workers: int) -> None:
        self.step, self.budget, self.workers = step, budget, workers
        self.shard = step.sink.shard_shape
        self.streams = isinstance(step.source, StreamSource)
        x, y, z = step.source.info.shape if self.streams else step.source.info.chunk_shape or (1, 1, 1)
        self.chunk: Vec3 = (x, y, z)
        self.base = budget.base + (0 if budget.shared else workers * WORKER_BYTES)

    def ways(self) -> list[Route]:
        """The ways that decode hardly anything twice, cheapest first.

        A buffer moves every voxel once more than direct tasks do, so it comes first only where it saves memory: where
        tasks are larger than shards.
        """
        direct, buffer, spool = self.direct(), self.buffer(), self.spool()
        if direct and buffer and direct.task != self._clipped(self.shard) and buffer.memory < direct.memory:
            direct, buffer = buffer, direct
        return [way for way in (direct, buffer, spool) if way]

    def direct(self) -> Route | None:
        """The smallest task that decodes hardly anything twice; None if only a slab would."""
        if self.streams:
            return None
        good = [route for route in self._direct_routes() if route.amplification <= TOLERATED]
        return min(good, key=lambda route: route.memory, default=None)

    def reread(self) -> Route:
        """One shard a task, whatever that decodes twice."""
        return self._direct(self._clipped(self.shard), "re-read")

    def buffer(self) -> Route | None:
        """A slab in memory; None where workers share no memory."""
        return self._slab_route("buffer") if self.budget.shared else None

    def spool(self) -> Route | None:
        """A slab in a scratch file; None where that does not fit on the disk."""
        route = self._slab_route("spool")
        return route if route.scratch < self.budget.scratch else None

    def _direct_routes(self) -> Iterator[Route]:
        lengths = [
            {n, s, *(ceil_div(k * c, s) * s for k in (1, 2, 4))} if c > 1 else {s}
            for n, s, c in zip(self._extent(), self.shard, self.chunk, strict=True)
        ]
        return (self._direct(self._clipped((x, y, z)), "direct") for x, y, z in product(*lengths))

    def _direct(self, task: Vec3, way: Way) -> Route:
        memory = self.base + self.workers * (self._read_bytes(task) + self._encode_bytes())
        tasks = self.step.count_tasks(task)
        return Route(way, self.workers, task, None, None, tasks, memory, self._amplification(task))

    def _slab_route(self, way: Way) -> Route:
        extent, depth = self._extent(), self.shard[2]
        slab = self._clipped((extent[0], extent[1], ceil_div(self.chunk[2], depth) * depth))
        slab_bytes = self._bytes(slab)
        fill = self._fill(slab)
        reading = FILL_BYTES if self.streams else self._read_bytes(fill)
        per_worker = max(reading, self._encode_bytes() + self._bytes(self._clipped(self.shard)))
        memory = self.base + self.workers * per_worker + (slab_bytes if way == "buffer" else 0)
        shards = self.step.box.count_tiles(self.shard)
        scratch = slab_bytes if way == "spool" else 0
        return Route(way, self.workers, self.shard, slab, fill, shards, memory, self._amplification(slab), scratch)

    def _fill(self, slab: Vec3) -> Vec3:
        """As many chunks as make a task worth its dispatch: whole rows first, then slices, one for every worker."""
        x, y, z = self.chunk
        x *= self._repeats(self.chunk, slab[0] // x)
        y *= self._repeats((x, y, z), slab[1] // y)
        z *= self._repeats((x, y, z), slab[2] // (z * self.workers))
        return x, y, z

    def _repeats(self, shape: Vec3, most: int) -> int:
        return max(1, min(most, FILL_BYTES // max(1, self._bytes(shape))))

    def _extent(self) -> Vec3:
        """The extent in whole shards: a task is never larger."""
        return self.step.box.aligned(self.shard).shape

    def _clipped(self, shape: Vec3) -> Vec3:
        x, y, z = map(min, shape, self._extent())
        return x, y, z

    def _bytes(self, shape: Vec3) -> int:
        return shape[0] * shape[1] * shape[2] * self.step.voxel_bytes

    def _read_bytes(self, shape: Vec3) -> int:
        chunk = 2 * self._bytes(self.chunk) if self.chunk != (1, 1, 1) else 0
        return int((self._bytes(shape) + chunk) * self.step.read_cost)

    def _encode_bytes(self) -> int:
        """A shard in block order, and its encoded form."""
        return 2 * self._bytes(self.shard)

    def _amplification(self, task: Vec3) -> float:
        """Voxels decoded per voxel written if tasks have this shape."""
        result = 1.0
        for axis in range(3):
            result *= self._amplification_along(axis, task[axis])
        return result

    def _amplification_along(self, axis: int, task: int) -> float:
        chunk, start = self.chunk[axis], self.step.box.start[axis]
        stop, shard = self.step.box.stop[axis], self.shard[axis]
        decoded = 0
        for begin in range(start // shard * shard, stop, task):
            low, high = max(begin, start) - start, min(begin + task, stop) - start
            decoded += min(ceil_div(high, chunk) * chunk, stop - start) - low // chunk * chunk
        return decoded / (stop - start)


def _halved(workers: int) -> list[int]:
    """`8` gives 8, 4, 2, 1: fewer workers need less memory."""
    counts = [workers]
    while counts[-1] > 1:
        counts.append(counts[-1] // 2)
    return counts


def size_text(size: float) -> str:
    """A number of bytes for people, in units that `--memory` takes: `1.5GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1000 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.3g}{unit}"


def parse_size(text: str) -> int:
    """Bytes from `2GiB`, `500 MB` or `1073741824`. Raises ValueError."""
    import re

    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if not match:
        raise ValueError(f"{text!r} is no size; write for example 2GiB or 500MB")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kmgt".index(prefix or " "))
