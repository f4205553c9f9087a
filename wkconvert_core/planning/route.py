"""How a source gets into its sinks within a memory budget: decided, and its cost known, before anything runs.

A task owns whole shards, so tasks need no locks and can be run again. Where a task's voxels make up whole shards of
coarser mags as well, it writes those from the same voxels: nothing is read back. The ways differ in how often a chunk
of the source (the box that one decode yields) is decoded:

direct   tasks so large that each chunk is decoded (nearly) once; needs a task's voxels per worker
buffer   slab by slab: decode each chunk once into memory that all workers share, then encode shard by shard
spool    the same through a scratch file: for slabs too large for memory, and for workers that share none
re-read  shard by shard, decoding chunks again for each: when there is neither memory nor scratch space

A source that streams counts as one chunk: it fills a slab of the whole volume once, in its own order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.contract.model import Source
from wkconvert_core.planning.costs import FILL_BYTES, Budget, Costs, Route
from wkconvert_core.planning.step import AnyStep, Consumer, Step
from wkconvert_core.toolkit.byte_sizes import size_text

C = TypeVar("C", bound=Consumer[Any])

HELD_BYTES = 64 << 20
"""A task that also makes coarser mags reads at most this much; eight times what it reads anyway, if that is more."""


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
    """Whether making coarser mags in passing keeps way and workers the same, tasks small, and all workers busy."""
    read_bytes, alone_bytes = (
        each.task.min(step.box.shape).volume * step.voxel_bytes * (step.read_cost if each.slab is None else 1)
        for each in (way, alone)  # from a slab, tasks read decoded voxels
    )
    is_same = (way.way, way.workers) == (alone.way, alone.workers)
    turns = 1 if read_bytes <= HELD_BYTES else 4  # of long tasks, the last ones would leave workers idle
    is_parallel = way.tasks >= min(alone.tasks, turns * budget.at_once(way.workers)) or step.raw_bytes <= FILL_BYTES
    limit = HELD_BYTES if alone_bytes <= HELD_BYTES else 8 * alone_bytes  # what is large is not to be read back
    return is_same and is_parallel and read_bytes <= limit


def route(step: AnyStep, budget: Budget) -> Route:
    """Choose the cheapest way that the budget allows.

    Raises ResourceError, naming the smallest budget that would do.

    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from wkconvert_core.contract.geometry import Mag
    >>> from wkconvert_core.contract.model import MagSpec, VolumeInfo
    >>> from wkconvert_core.engine.consumers import WriteShards
    >>> from wkconvert_core.formats.wkw.sink import WkwSink
    >>> def copying(shape, chunk):  # into shards of 64 x 64 x 64 voxels
    ...     info = VolumeInfo(shape, np.dtype("uint8"), chunk_shape=chunk)
    ...     spec = MagSpec("em", "color", Mag(1, 1, 1), info.box, info.dtype, 1)
    ...     return Step(SimpleNamespace(info=info), (WriteShards(WkwSink(Path("em"), spec, file_len=2)),))
    >>> budget = Budget(memory=4 << 30, workers=4, shared=True, scratch=100 << 30, base=100_000_000)

    Small chunks: shard by shard.

    >>> way = route(copying((1000, 1000, 1000), chunk=(32, 32, 32)), budget)
    >>> way.way, way.task, way.amplification
    ('direct', (64, 64, 64), 1.0)

    Slices, of which 64 fit in memory: a slab for all workers together.

    >>> way = route(copying((8192, 8192, 256), chunk=(8192, 8192, 1)), replace(budget, memory=6 << 30))
    >>> way.way, way.slab, way.task
    ('buffer', (8192, 8192, 64), (64, 64, 64))

    Slices, of which 64 do not fit: the same through a scratch file.

    >>> wide = copying((16384, 16384, 256), chunk=(16384, 16384, 1))
    >>> way = route(wide, budget)
    >>> way.way, way.slab, way.scratch == 16384 * 16384 * 64
    ('spool', (16384, 16384, 64), True)

    Neither memory nor scratch space: every shard decodes its 64 slices again.

    >>> way = route(wide, replace(budget, scratch=1 << 30))
    >>> way.way, way.amplification
    ('re-read', 65536.0)
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
    """The cheapest of the ways that decode (nearly) nothing twice; None if the budget allows none of them."""
    for workers in _halved(budget.workers):
        for way in Costs(step, budget, workers).ways():
            if way.memory <= budget.memory:
                return way
    return None


def _halved(workers: int) -> list[int]:
    """Numbers of workers to try, because fewer need less memory.

    >>> _halved(6)
    [6, 3, 1]
    """
    counts = [workers]
    while counts[-1] > 1:
        counts.append(counts[-1] // 2)
    return counts
