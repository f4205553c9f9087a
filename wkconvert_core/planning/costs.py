"""The costs of each way from a source to its sinks: memory, scratch space, and how often chunks are decoded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from wkconvert_core.contract.abilities import stream_of, write_cost_of
from wkconvert_core.contract.geometry import Vec3, Vec3Like
from wkconvert_core.contract.numbers import ceil_div
from wkconvert_core.planning.step import AnyStep, Consumer
from wkconvert_core.toolkit.byte_sizes import size_text

Way = Literal["direct", "buffer", "spool", "re-read"]

TOLERATED = 1.25
"""Up to this amplification, direct is preferred: decoding a little twice costs less than moving every voxel twice."""
WORKER_BYTES = 110_000_000
"""Memory of a worker process before it reads anything: interpreter, numpy, a format library."""
FILL_BYTES = 8_000_000
"""Chunks are decoded into a slab in batches of about this size, so that a task is worth its dispatch."""
KERNEL_BYTES = 24 << 20
"""Working memory of a kernel, beyond its input and output."""
LAYER = 32
"""Depth of a layer of blocks, in voxels."""


@dataclass(frozen=True)
class Budget:
    """Memory, workers and scratch space of a run."""

    memory: int
    """Bytes of all processes together; on a cluster, of one worker."""
    workers: int
    """Tasks at a time; on a cluster, threads of one worker."""
    shared: bool
    """Whether the workers share memory: threads do."""
    scratch: int
    """Free bytes where a scratch file would lie."""
    base: int
    """Bytes that this process holds already; on a cluster, that a worker holds."""
    machines: int = 0
    """Workers of a cluster, each with memory and threads of its own; 0 if everything runs on this machine."""

    @property
    def each(self) -> int:
        """Bytes that each additional worker holds before it reads anything: 0 for threads."""
        return 0 if self.shared or self.machines else WORKER_BYTES

    @property
    def given(self) -> str:
        """The memory limit as the user knows it, for messages."""
        size = size_text(self.memory)
        return f"the {size} that a worker may take" if self.machines else f"--memory {size}"

    def enough(self, needed: float) -> str:
        """How to raise the limit to this many bytes, for messages."""
        size = size_text(needed)
        if not self.machines:
            return f"say --memory {size} or more"
        return f"let a worker take {size} or more: --memory, within what it has (a job of Slurm: its mem)"

    def at_once(self, workers: int) -> int:
        """Concurrent tasks over all machines, given workers per machine."""
        return workers * max(1, self.machines)


@dataclass(frozen=True)
class Route:
    """A way from a source to its sinks, and what it costs."""

    way: Way
    workers: int
    """Tasks at a time; on a cluster, per worker."""
    task: Vec3
    """Shape of one task's box, in whole shards."""
    slab: Vec3 | None
    """Shape of the box that is buffered or spooled at a time; None for direct and re-read."""
    fill: Vec3 | None
    """Shape of the box that one task decodes into the slab, in whole chunks."""
    tasks: int
    memory: int
    """Peak bytes of all processes together; on a cluster, of one worker."""
    amplification: float
    """Voxels decoded per voxel written."""
    scratch: int = 0
    """Bytes of the scratch file."""


class Costs:
    """Cost of each way for one step with a given number of workers."""

    def __init__(self, step: AnyStep, budget: Budget, workers: int) -> None:
        self.step, self.budget, self.workers = step, budget, workers
        self.cell = step.cell
        self.streams = stream_of(step.source) is not None
        info = step.source.info
        self.chunk = Vec3(*(info.shape if self.streams else info.chunk_shape or (1, 1, 1)))
        self.base = budget.base + workers * budget.each

    def ways(self) -> list[Route]:
        """The possible ways but re-read, the preferred first.

        A buffer moves every voxel once more than direct tasks do, so it comes first only where it saves memory: where
        direct tasks are larger than cells. Given boxes are read one by one: no slab holds what they have in common.
        """
        if self.step.boxes is not None:
            return [direct] if (direct := self.direct()) else []
        direct, buffer, spool = self.direct(), self.buffer(), self.spool()
        if direct and buffer and direct.task != self._clipped(self.cell) and buffer.memory < direct.memory:
            direct, buffer = buffer, direct
        return [way for way in (direct, buffer, spool) if way]

    def direct(self) -> Route | None:
        """Tasks just large enough that chunks are decoded (nearly) once; None if no task shape achieves that."""
        if self.streams:
            return None
        good = [route for route in self._direct_routes() if route.amplification <= TOLERATED]
        return min(good, key=lambda route: route.memory, default=None)

    def reread(self) -> Route:
        """Tasks of one cell, however often that decodes chunks again."""
        return self._direct(self._clipped(self.cell), "re-read")

    def buffer(self) -> Route | None:
        """A slab in memory; None if workers share no memory."""
        return self._slab_route("buffer") if self.budget.shared else None

    def spool(self) -> Route | None:
        """A slab in a scratch file; None if it does not fit on the disk."""
        route = self._slab_route("spool")
        return route if route.scratch < self.budget.scratch else None

    def _direct_routes(self) -> Iterator[Route]:
        # along each axis: one cell, about one, two or four chunks rounded up to cells, or the whole extent
        lengths = [
            {n, s, *(ceil_div(k * c, s) * s for k in (1, 2, 4))} if c > 1 else {s}
            for n, s, c in zip(self._extent(), self.cell, self.chunk, strict=True)
        ]
        return (self._direct(self._clipped(Vec3(*shape)), "direct") for shape in product(*lengths))

    def _direct(self, task: Vec3, way: Way) -> Route:
        memory = self.base + self.workers * (self._read_bytes(task) + self._write_bytes(task))
        tasks = self.step.count_tasks(task)
        return Route(way, self.workers, task, None, None, tasks, memory, self._amplification(task))

    def _slab_route(self, way: Way) -> Route:
        extent, depth = self._extent(), self.cell[2]
        # whole slices, as deep as one chunk: that decodes each chunk once, with the least memory
        deep = extent[2] if self.streams else ceil_div(self.chunk[2], depth) * depth
        slab = self._clipped(Vec3(extent.x, extent.y, deep))
        fill = self._fill(slab)
        reading = FILL_BYTES if self.streams else self._read_bytes(fill)
        writing = self._write_bytes(self.cell) + self._held(self.cell)
        memory = self.base + self.workers * max(reading, writing) + (self._held(slab) if way == "buffer" else 0)
        tasks = self.step.count_tasks(self.cell)
        scratch = self._bytes(slab) if way == "spool" else 0
        return Route(way, self.workers, self.cell, slab, fill, tasks, memory, self._amplification(slab), scratch)

    def _fill(self, slab: Vec3) -> Vec3:
        """Grow a box of chunks along x, y and z until a task is worth its dispatch; at least a task per worker."""
        x, y, z = self.chunk
        x *= self._repeats(self.chunk, slab[0] // x)
        y *= self._repeats((x, y, z), slab[1] // y)
        z *= self._repeats((x, y, z), slab[2] // (z * self.budget.at_once(self.workers)))
        return Vec3(x, y, z)

    def _repeats(self, shape: Vec3Like, most: int) -> int:
        return max(1, min(most, FILL_BYTES // max(1, self._bytes(shape))))

    def _extent(self) -> Vec3:
        """The extent in whole cells: the largest task."""
        return self.step.box.aligned(self.cell).shape

    def _clipped(self, shape: Vec3) -> Vec3:
        return shape.min(self._extent())

    def _bytes(self, shape: Vec3Like) -> int:
        return math.prod(shape) * self.step.voxel_bytes

    def _held(self, shape: Vec3Like) -> int:
        """Bytes of the voxels of a box as far as the extent goes."""
        return self.step.box.shape.min(shape).volume * self.step.voxel_bytes

    def _read_bytes(self, shape: Vec3) -> int:
        """The voxels that are read, and a chunk encoded and decoded on its way there."""
        chunk = 2 * self._bytes(self.chunk) if self.chunk != (1, 1, 1) else 0
        return int((self._held(shape) + chunk) * self.step.read_cost)

    def _write_bytes(self, task: Vec3) -> int:
        """A shard in block order and encoded; with coarser mags, the first of them and the kernel's memory as well."""
        shard = max(int(self._shard_bytes(it.grid) * _write_cost(it) / 2) for it in self.step.consumers)
        if len(self.step.consumers) == 1:
            return shard
        factor = self.step.consumers[1].mag // self.step.finest.mag
        return shard + KERNEL_BYTES + 2 * self._held(task) // math.prod(factor)

    def _shard_bytes(self, shape: Vec3Like) -> int:
        """A shard twice; of one that is longer than the extent, the encoder lays out a layer of blocks at a time."""
        x, y, z = shape
        return min(2 * self._bytes(shape), 2 * self._held(shape) + 2 * self._bytes((x, y, min(z, LAYER))))

    def _amplification(self, task: Vec3) -> float:
        """Voxels decoded per voxel written if tasks have this shape."""
        info, start = self.step.source.info, self.step.box.start
        return math.prod(
            _amplification_along(extent, chunk, length, begin % chunk, place % cell)
            for extent, chunk, length, begin, place, cell in zip(
                self.step.box.shape, self.chunk, task, info.chunk_start, start, self.cell, strict=True
            )
        )


def _write_cost(consumer: Consumer[Any]) -> float:
    """Bytes that writing a shard takes, per byte of it; what consumers of another kind take is counted the same."""
    sink = getattr(consumer, "sink", None)
    return write_cost_of(sink) if sink else 2.0


def _amplification_along(extent: int, chunk: int, task: int, first: int = 0, before: int = 0) -> float:
    """Voxels decoded per voxel written, along one axis.

    `first` is where the first whole chunk begins in the extent, `before` how many voxels of the first task lie before
    it. A chunk is decoded by each task that touches it: once, and once more for each border between tasks inside it.

    An extent of 10 voxels, chunks of 4, tasks of 3:

        voxels   0  1  2  3  4  5  6  7  8  9
        chunks  |           |           |     |
        tasks   |        |        |        |  |

    The borders at 3, 6 and 9 lie inside chunks of 4, 4 and 2 voxels, so 10 + 4 + 4 + 2 voxels are decoded:

    >>> _amplification_along(extent=10, chunk=4, task=3)
    2.0
    >>> _amplification_along(extent=10, chunk=4, task=4)
    1.0
    """
    borders = ceil_div(extent + before, task) - 1  # at voxels `n * task - before`, n = 1, 2, …, borders
    if extent <= first:  # a part of one chunk, cut off at both ends
        return 1 + borders
    # the first `low` borders lie in the cut-off chunk before `first`, those after `high` in the one from `last` on, the
    # others in whole chunks, except the ones that coincide with a border between two chunks and cost nothing
    last = first + (extent - first) // chunk * chunk
    low = min(max(0, ceil_div(first + before, task) - 1), borders)
    high = max(low, min((last + before) // task, borders))
    between = high - low - _count_congruent(task, before + first, chunk, low, high)
    return (extent + low * first + between * chunk + (borders - high) * (extent - last)) / extent


def _count_congruent(step: int, place: int, chunk: int, low: int, high: int) -> int:
    """Count the n with `low < n <= high` for which `n * step` is congruent to `place` modulo `chunk`.

    >>> [n for n in range(1, 10) if n * 6 % 4 == 2], _count_congruent(6, 2, 4, 0, 9)
    ([1, 3, 5, 7, 9], 5)
    """
    # divided by the common factor, `step` has an inverse, and the solutions are one residue class
    common = math.gcd(step, chunk)
    if place % common:
        return 0
    every = chunk // common
    one = place // common * pow(step // common, -1, every) % every
    return (high - one) // every - (low - one) // every
