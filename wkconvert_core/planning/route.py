"""How one source gets into one sink within a memory budget: decided, and priced, before anything runs.

A task owns whole shards, so tasks need no locks and can be run again. Where a task's voxels make up whole shards of
coarser mags, too, it writes those from the same voxels: nothing is read back. What differs is how often a source's
chunk (the box that one decode yields) is decoded:

direct   tasks so large that each chunk is decoded (nearly) once; needs a task's voxels per worker
buffer   slab by slab: decode each chunk once into memory that all workers share, then encode shard by shard
spool    the same through a scratch file: for slabs too large for memory, and for workers that share none
re-read  shard by shard, decoding chunks again for each: when there is neither memory nor scratch space

A source that streams is one chunk: it fills a slab as large as the volume, in its own order, once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, TypeVar

from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.contract.geometry import Vec3, ceil_div
from wkconvert_core.contract.model import Source, stream_of
from wkconvert_core.planning.step import AnyStep, Consumer, Step, factor_between
from wkconvert_core.toolkit.byte_sizes import size_text

C = TypeVar("C", bound=Consumer[Any])
Way = Literal["direct", "buffer", "spool", "re-read"]

TOLERATED = 1.25
"""Decoding this many times the voxels is still called direct: it costs less than moving everything twice."""
WORKER_BYTES = 110_000_000
"""What a worker process holds before it reads anything: interpreter, numpy, a format library."""
FILL_BYTES = 8_000_000
"""Chunks are decoded into a slab in batches of about this size: a task has to be worth its dispatch."""
HELD_BYTES = 48 << 20
"""For the sake of coarser mags, a task reads this much at most."""
KERNEL_BYTES = 24 << 20
"""What making a coarser mag of voxels in memory takes beside them and the result."""


LAYER = 32
"""Voxels: how deep a layer of blocks is."""


@dataclass(frozen=True)
class Budget:
    """What a run may use."""

    memory: int
    """Bytes, of all processes together; on a cluster, of one worker."""
    workers: int
    """On a cluster: threads of one worker."""
    shared: bool
    """Whether the workers share memory: threads do."""
    scratch: int
    """Free bytes where a scratch file would lie."""
    base: int
    """Bytes that this process already holds; on a cluster, a worker."""
    machines: int = 0
    """Workers of a cluster, each with memory and threads of its own; 0 where all run here."""

    @property
    def each(self) -> int:
        """Bytes that every worker holds before it reads anything; threads hold none."""
        return 0 if self.shared or self.machines else WORKER_BYTES

    @property
    def given(self) -> str:
        """The memory that there is, in the words of who gave it."""
        size = size_text(self.memory)
        return f"the {size} that a worker may take" if self.machines else f"--memory {size}"

    def enough(self, needed: float) -> str:
        """What to do for so many bytes."""
        size = size_text(needed)
        if not self.machines:
            return f"say --memory {size} or more"
        return f"let a worker take {size} or more: --memory, within what it has (a job of Slurm: its mem)"

    def at_once(self, workers: int) -> int:
        """How many tasks run at a time where a machine has so many workers."""
        return workers * max(1, self.machines)


@dataclass(frozen=True)
class Route:
    """The chosen way from a source to a sink, and what it costs."""

    way: Way
    workers: int
    """Tasks at a time; on a cluster, of each worker."""
    task: Vec3
    """The box of one task, in whole shards."""
    slab: Vec3 | None
    """The box that is buffered or spooled at a time."""
    fill: Vec3 | None
    """The box that one task decodes into the slab, in whole chunks."""
    tasks: int
    memory: int
    """Peak bytes, of all processes together; on a cluster, of one worker."""
    amplification: float
    """Voxels decoded per voxel written."""
    scratch: int = 0
    """Bytes of the scratch file."""


def planned(source: Source, consumers: Sequence[C], kernel: str, budget: Budget) -> tuple[Step[C], Route]:
    """The step that hands a source to the first consumer, and to coarser ones after it while that costs little more.

    `kernel` makes each of them from the one before. Raises ResourceError, naming the smallest budget that would do.
    """
    alone = Step(source, (consumers[0],))
    chosen = route(alone, budget)
    for count in range(len(consumers), 1, -1):
        step = Step(source, tuple(consumers[:count]), kernel)
        way = _affordable(step, budget)
        if way and _little_more(step, way, chosen, budget):
            return step, way
    return alone, chosen


def _little_more(step: AnyStep, way: Route, alone: Route, budget: Budget) -> bool:
    """Whether making coarser mags on the way leaves the way as it is, its tasks small, and all workers busy."""
    cost = step.read_cost if way.slab is None else 1  # of a slab, tasks read what is decoded already
    read_bytes = math.prod(map(min, way.task, step.box.shape)) * step.voxel_bytes * cost
    is_same = (way.way, way.workers) == (alone.way, alone.workers)
    is_parallel = way.tasks >= min(alone.tasks, budget.at_once(way.workers)) or step.raw_bytes <= FILL_BYTES
    return is_same and is_parallel and read_bytes <= HELD_BYTES


def route(step: AnyStep, budget: Budget) -> Route:
    """Choose the cheapest way that the budget allows.

    Raises ResourceError, naming the smallest budget that would do.
    """
    if way := _affordable(step, budget):
        return way
    rereads = [Costs(step, budget, workers).reread() for workers in _halved(budget.workers)]
    for reread in rereads:
        if reread.memory <= budget.memory:
            return reread
    least = rereads[-1].memory
    raise ResourceError(
        f"{step.title} does not fit in {budget.given}",
        why=f"one worker needs {size_text(least)} to decode one chunk of the source and encode one shard",
        fix=f"{budget.enough(least + least // 20)}, or take a smaller --file-len",
    )


def _affordable(step: AnyStep, budget: Budget) -> Route | None:
    """The cheapest way that decodes as little twice as is possible; None if the budget allows none."""
    for workers in _halved(budget.workers):
        for way in Costs(step, budget, workers).ways():
            if way.memory <= budget.memory:
                return way
    return None


class Costs:
    """What each way would cost for one step with a number of workers."""

    def __init__(self, step: AnyStep, budget: Budget, workers: int) -> None:
        self.step, self.budget, self.workers = step, budget, workers
        self.cell = step.cell
        self.streams = stream_of(step.source) is not None
        x, y, z = step.source.info.shape if self.streams else step.source.info.chunk_shape or (1, 1, 1)
        self.chunk: Vec3 = (x, y, z)
        self.base = budget.base + workers * budget.each

    def ways(self) -> list[Route]:
        """The ways that decode as little twice as is possible, cheapest first.

        A buffer moves every voxel once more than direct tasks do, so it comes first only where it saves memory: where
        tasks are larger than cells.
        """
        direct, buffer, spool = self.direct(), self.buffer(), self.spool()
        if direct and buffer and direct.task != self._clipped(self.cell) and buffer.memory < direct.memory:
            direct, buffer = buffer, direct
        return [way for way in (direct, buffer, spool) if way]

    def direct(self) -> Route | None:
        """The smallest task that decodes hardly anything twice; None if only a slab would."""
        if self.streams:
            return None
        good = [route for route in self._direct_routes() if route.amplification <= TOLERATED]
        return min(good, key=lambda route: route.memory, default=None)

    def reread(self) -> Route:
        """One cell a task, whatever that decodes twice."""
        return self._direct(self._clipped(self.cell), "re-read")

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
            for n, s, c in zip(self._extent(), self.cell, self.chunk, strict=True)
        ]
        return (self._direct(self._clipped((x, y, z)), "direct") for x, y, z in product(*lengths))

    def _direct(self, task: Vec3, way: Way) -> Route:
        memory = self.base + self.workers * (self._read_bytes(task) + self._write_bytes(task))
        tasks = self.step.count_tasks(task)
        return Route(way, self.workers, task, None, None, tasks, memory, self._amplification(task))

    def _slab_route(self, way: Way) -> Route:
        extent, depth = self._extent(), self.cell[2]
        deep = extent[2] if self.streams else ceil_div(self.chunk[2], depth) * depth
        slab = self._clipped((extent[0], extent[1], deep))
        fill = self._fill(slab)
        reading = FILL_BYTES if self.streams else self._read_bytes(fill)
        writing = self._write_bytes(self.cell) + self._held(self.cell)
        memory = self.base + self.workers * max(reading, writing) + (self._held(slab) if way == "buffer" else 0)
        tasks = self.step.count_tasks(self.cell)
        scratch = self._bytes(slab) if way == "spool" else 0
        return Route(way, self.workers, self.cell, slab, fill, tasks, memory, self._amplification(slab), scratch)

    def _fill(self, slab: Vec3) -> Vec3:
        """As many chunks as make a task worth its dispatch: whole rows first, then slices, one for every worker."""
        x, y, z = self.chunk
        x *= self._repeats(self.chunk, slab[0] // x)
        y *= self._repeats((x, y, z), slab[1] // y)
        z *= self._repeats((x, y, z), slab[2] // (z * self.budget.at_once(self.workers)))
        return x, y, z

    def _repeats(self, shape: Vec3, most: int) -> int:
        return max(1, min(most, FILL_BYTES // max(1, self._bytes(shape))))

    def _extent(self) -> Vec3:
        """The extent in whole cells: a task is never larger."""
        return self.step.box.aligned(self.cell).shape

    def _clipped(self, shape: Vec3) -> Vec3:
        x, y, z = map(min, shape, self._extent())
        return x, y, z

    def _bytes(self, shape: Vec3) -> int:
        return math.prod(shape) * self.step.voxel_bytes

    def _held(self, shape: Vec3) -> int:
        """Bytes of the voxels in a box: no more than there are."""
        return math.prod(map(min, shape, self.step.box.shape)) * self.step.voxel_bytes

    def _read_bytes(self, shape: Vec3) -> int:
        chunk = 2 * self._bytes(self.chunk) if self.chunk != (1, 1, 1) else 0
        return int((self._held(shape) + chunk) * self.step.read_cost)

    def _write_bytes(self, task: Vec3) -> int:
        """A shard in block order, and its encoded form; and the first coarser mag, of which the next is made."""
        shard = max(self._shard_bytes(consumer.grid) for consumer in self.step.consumers)
        if len(self.step.consumers) == 1:
            return shard
        factor = factor_between(self.step.finest.mag, self.step.consumers[1].mag)
        return shard + KERNEL_BYTES + 2 * self._held(task) // math.prod(factor)

    def _shard_bytes(self, shape: Vec3) -> int:
        """Of one that is longer than the extent, no more than a layer of blocks is laid out at a time."""
        x, y, z = shape
        return min(2 * self._bytes(shape), 2 * self._held(shape) + 2 * self._bytes((x, y, min(z, LAYER))))

    def _amplification(self, task: Vec3) -> float:
        """Voxels decoded per voxel written if tasks have this shape."""
        result = 1.0
        for axis in range(3):
            result *= self._amplification_along(axis, task[axis])
        return result

    def _amplification_along(self, axis: int, task: int) -> float:
        """The same along one axis: a chunk through which a border between two tasks goes is decoded once more."""
        extent, chunk, before = self.step.box.shape[axis], self.chunk[axis], self.step.box.start[axis] % self.cell[axis]
        first = self.step.source.info.chunk_start[axis] % chunk  # chunks are cut off before this, and from `last` on
        borders = ceil_div(extent + before, task) - 1  # at `n * task - before`, n from 1 on
        if extent <= first:
            return 1 + borders
        last = first + (extent - first) // chunk * chunk
        low = min(max(0, ceil_div(first + before, task) - 1), borders)
        high = max(low, min((last + before) // task, borders))
        between = high - low - _count_congruent(task, before + first, chunk, low, high)
        return (extent + low * first + between * chunk + (borders - high) * (extent - last)) / extent


def _count_congruent(step: int, place: int, chunk: int, low: int, high: int) -> int:
    """How many n there are, `low < n <= high`, with `n * step` at `place` modulo `chunk`."""
    common = math.gcd(step, chunk)
    if place % common:
        return 0
    every = chunk // common
    one = place // common * pow(step // common, -1, every) % every
    return (high - one) // every - (low - one) // every


def _halved(workers: int) -> list[int]:
    """`8` gives 8, 4, 2, 1: fewer workers need less memory."""
    counts = [workers]
    while counts[-1] > 1:
        counts.append(counts[-1] // 2)
    return counts
