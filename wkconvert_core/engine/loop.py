"""The one loop: reads a Source along a Route, task by task, and hands its voxels to Consumers; yields their results."""

from __future__ import annotations

import contextlib
import pickle
import shutil
import traceback
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar
from uuid import uuid4

from wkconvert_core.contract.abilities import Stream, stream_of
from wkconvert_core.contract.errors import PluginError, ResourceError, WkconvertError
from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.contract.model import Source
from wkconvert_core.engine.slabs import FileSlab, MemorySlab, SharedSlab, Slab
from wkconvert_core.engine.workers import Workers
from wkconvert_core.planning.costs import Route
from wkconvert_core.planning.step import AnyStep, Consumer, Step
from wkconvert_core.sources.downsampled import Downsampled
from wkconvert_core.toolkit.atomic import sync

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

R = TypeVar("R")

Finished: TypeAlias = Container[tuple[Mag, Vec3Like]]
"""Finished shards: mag and first voxel of each."""


def run(
    step: Step[Consumer[R]], route: Route, workers: Workers, scratch: Path | None = None, done: Finished = frozenset()
) -> Iterator[R]:
    """Hand the voxels of `step.source` to the step's consumers; yields their results in no particular order.

    Left out are shards in `done`, and those that the source says are empty and the consumer skips. Slabs that are
    spooled lie in the folder `scratch`, which is removed after each; planned with a budget of no scratch space, a step
    needs none. Raises the first error, after the running tasks have finished.
    """
    for consumer in step.consumers:
        if begin := getattr(consumer, "begin", None):
            begin()
    slabs = iter([None]) if route.slab is None else step.tasks(route.slab)
    for slab in slabs:
        if slab is None or any(_tasks(step, [slab], done, step.source)):
            yield from _pass(step, route, workers, slab, scratch, done)


def _pass(
    step: Step[Consumer[R]], route: Route, workers: Workers, slab: Box | None, scratch: Path | None, done: Finished
) -> Iterator[R]:
    """Run the tasks of a slab, or of the whole extent. A function of its own: its return frees the slab's memory."""
    with _decoded(step, route, workers, slab, scratch) as source:
        yield from _perform(_tasks(step, step.tasks(route.task, slab), done, source), route, workers)


@contextlib.contextmanager
def _decoded(step: AnyStep, route: Route, workers: Workers, box: Box | None, scratch: Path | None) -> Iterator[Source]:
    """The source that tasks read: the step's, or a slab of its decoded voxels."""
    if box is None:
        yield step.source
        return
    stream, info = stream_of(step.source), replace(step.source.info, chunk_shape=None)
    inner = step.in_source(box)
    part, origin = route.fill or inner.shape, info.chunk_start
    slab: MemorySlab | FileSlab | SharedSlab
    if route.way == "buffer":
        slab = MemorySlab.reserve(info, inner)
    else:
        assert scratch, "a route that spools is planned with scratch space"
        path, grid = scratch / f"slab-{uuid4().hex}", step.finest.grid
        if workers.cluster and not stream:
            slab = SharedSlab(info, inner, path, grid, step.box.start, part, origin)
        else:
            slab = FileSlab(info, inner, path, grid, step.box.start)
        slab.reserve()
    try:
        if stream:
            for piece, voxels in checked_stream(step.source, stream):
                slab.fill(piece, voxels)
            if workers.cluster:
                sync([path])  # so that other machines see it
        else:
            fills = (Fill(step.source, slab, piece) for piece in inner.tiles(part, origin))
            for _ in _perform(fills, route, workers):
                pass
        yield slab
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)


# --- tasks -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Consume(Generic[R]):
    """A task: read a box, make its coarser mags, and hand them to the consumers, shard by shard."""

    step: Step[Consumer[R]]
    box: Box
    """Whole shards of every mag, in voxels of the finest, where they lie in the dataset."""
    wanted: frozenset[tuple[Mag, Vec3Like]]
    """The shards to hand over: mag and first voxel of each."""

    def __call__(self) -> list[R]:
        """The consumers' results. Raises the source's and the consumers' errors."""
        step, box, results, wanted = self.step, self.box, list[R](), set(self.wanted)
        take_encoded = getattr(step.finest, "take_encoded", None)
        if take_encoded and len(step.consumers) == 1:  # coarser mags need decoded voxels anyway
            for shard in box.tiles(step.finest.grid):
                key = step.finest.mag, shard.start
                if key in wanted and (result := take_encoded(shard, step.source)) is not None:
                    results.append(result)
                    wanted.remove(key)
        if not wanted:
            return results

        def handed_over(consumer: Consumer[R], box: Box, voxels: Array) -> Iterator[R]:
            for shard in box.tiles(consumer.grid):
                if (consumer.mag, shard.start) in wanted:
                    yield consumer(shard, voxels[:, *shard.slices_in(box)])

        voxels = checked_read(step.source, step.in_source(box))
        results += handed_over(step.finest, box, voxels)
        for finer, consumer in pairwise(step.consumers):
            factor = consumer.mag // finer.mag
            coarser = Downsampled(MemorySlab.of(finer.box, box, voxels), finer.box, factor, step.kernel)
            box = box.coarsened(factor)
            voxels = checked_read(coarser, box - consumer.box.start)
            results += handed_over(consumer, box, voxels)
        return results


@dataclass(frozen=True)
class Fill:
    """A task: decode a box of the source into a slab."""

    source: Source
    slab: Slab
    box: Box
    """In the source's voxels."""

    def __call__(self) -> list[Any]:
        """Decode; there is no result. Raises the source's errors."""
        self.slab.fill(self.box, checked_read(self.source, self.box))
        return []


def _tasks(step: Step[Consumer[R]], boxes: Iterable[Box], done: Finished, source: Source) -> Iterator[Consume[R]]:
    """A task for each box with unfinished shards, to be read from `source`: the step's own, or a slab of it."""
    carried = replace(step, source=source, boxes=None)
    for box in boxes:
        shards = ((consumer.mag, shard.start) for consumer, shard in step.shards(box))
        if wanted := frozenset(shard for shard in shards if shard not in done):
            yield Consume(carried, box, wanted)


def checked_read(source: Source, box: Box) -> Array:
    """The voxels `[c, x, y, z]` of a box. Raises PluginError if they contradict `info`, and the source's errors."""
    return _checked(source, box, source.read(box))


def checked_stream(source: Source, stream: Stream) -> Iterator[tuple[Box, Array]]:
    """The boxes and voxels of a stream. Raises PluginError if they are incomplete or not as `info` says."""
    voxels = 0
    for box, data in stream():
        yield box, _checked(source, box, data)
        voxels += box.volume
    if voxels != source.info.box.volume:
        raise PluginError(
            f"{type(source).__name__}.stream gave {voxels} voxels instead of {source.info.box.volume}", fix=_TELL
        )


_TELL = "tell the author of the reader; `wkconvert check` says more"


def _checked(source: Source, box: Box, data: Array) -> Array:
    info, found = source.info, (getattr(data, "dtype", None), getattr(data, "shape", None))
    if found != (info.dtype, (info.channels, *box.shape)) or box not in info.box:
        raise PluginError(
            f"{type(source).__name__} gave {found[0]} {found[1]} for {box}",
            why=f"its info says {info.dtype}, axes c, x, y, z: {(info.channels, *box.shape)}, within {info.box}",
            fix=_TELL,
        )
    return data


# --- failures --------------------------------------------------------------------------------------------------------


def _perform(tasks: Iterable[Consume[R] | Fill], route: Route, workers: Workers) -> Iterator[R]:
    """Run tasks and yield their results. After a failure no further task begins; the first error is raised last."""
    failures: list[Exception] = []
    for result in workers.map(_attempt, takewhile(lambda _: not failures, tasks), route.workers):
        if isinstance(result, Exception):
            if not failures:
                workers.cancel_waiting()
            failures.append(result)
        else:
            yield from result
    if failures:
        raise failures[0]


def _attempt(task: Consume[R] | Fill) -> list[R] | Exception:
    """The task's results, or its error as a value: a raised error would cancel the running tasks."""
    try:
        return task()
    except WkconvertError as error:
        return error
    except MemoryError:
        return ResourceError(f"no memory left while reading {task.box}", fix="give less --memory or fewer --jobs")
    except Exception as error:  # a bug: its traceback must survive the way back from a worker process
        error.add_note(f"while converting {task.box}\n{traceback.format_exc()}")
        return _picklable(error)


def _picklable(error: Exception) -> Exception:
    """The error, or its text if it cannot be pickled: joblib takes a failure to unpickle for the death of a worker."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
