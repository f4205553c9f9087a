"""The one loop: copies a Source into a Sink by a Route, task by task; yields what was done, prints nothing."""

from __future__ import annotations

import pickle
import shutil
import traceback
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from uuid import uuid4

import numpy as np

from wkconvert_core.contract.abilities import Stream, begin_of, copy_encoded_of, stream_of
from wkconvert_core.contract.errors import PluginError, ResourceError, WkconvertError
from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.contract.model import Checksum, MagSpec, Sink, Source
from wkconvert_core.engine.slabs import FileSlab, MemorySlab, SharedSlab, Slab
from wkconvert_core.engine.workers import Workers
from wkconvert_core.planning.route import Route
from wkconvert_core.planning.step import ShardDone, Step, factor_between
from wkconvert_core.sources.downsampled import Downsampled
from wkconvert_core.toolkit.atomic import sync, writing

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

T = TypeVar("T")

Finished: TypeAlias = Container[tuple[Mag, Vec3Like]]
"""Shards that are done: mags, and where the shards start in them."""


@dataclass(frozen=True)
class Failed:
    """A task's error, as a value: the tasks that are running may finish before it stops the run."""

    error: BaseException


@dataclass(frozen=True)
class Copy:
    """A task: read a box of whole shards, write some of them; and those of coarser mags."""

    step: Step
    box: Box
    """In the dataset, in voxels of the finest mag."""
    wanted: frozenset[tuple[Mag, Vec3Like]]
    """The shards to write."""

    def __call__(self) -> list[ShardDone]:
        """Do it. Raises the source's and the sink's errors."""
        taken = list(self._taken())
        rest = replace(self, wanted=self.wanted - {(done.mag, done.start) for done in taken})
        return [*taken, *(done for sink, box, data in rest._mags() for done in rest._written(sink, box, data))]

    def _taken(self) -> Iterator[ShardDone]:
        """The shards that the sink writes from what the source has just as it is."""
        sink, spec = self.step.sink, self.step.sink.spec
        copy_encoded = copy_encoded_of(sink)
        if copy_encoded is None or self.step.coarser:
            return
        for shard in self.box.tiles(sink.shard_shape):
            if (spec.mag, shard.start) in self.wanted:
                values = _Values(spec)
                with writing(Path(spec.layer, str(spec.mag))):
                    checksum = copy_encoded(shard, self.step.source, values.add)
                if checksum:
                    yield values.done(shard, checksum)

    def _mags(self) -> Iterator[tuple[Sink, Box, Array]]:
        """Each mag's part of the box, and its voxels; a coarser one is made of the finer one's."""
        if not self.wanted:
            return
        step, box = self.step, self.box
        data = checked_read(step.source, step.in_source(box))
        yield step.sink, box, data
        for finer, sink in pairwise(step.sinks):
            factor = factor_between(finer.spec.mag, sink.spec.mag)
            coarser = Downsampled(MemorySlab.of(finer.spec, box, data), finer.spec.box, factor, step.kernel)
            box = box.coarsened(factor)
            data = checked_read(coarser, box - sink.spec.box.start)
            yield sink, box, data

    def _written(self, sink: Sink, box: Box, data: Array) -> Iterator[ShardDone]:
        for shard in box.tiles(sink.shard_shape):
            if (sink.spec.mag, shard.start) in self.wanted:
                part = data[:, *shard.slices_in(box)]
                with writing(Path(sink.spec.layer, str(sink.spec.mag))):  # a plugin may leave such errors to core
                    checksum = sink.write(shard, part)
                values = _Values(sink.spec)
                values.add(part)
                yield values.done(shard, checksum)


@dataclass(frozen=True)
class Fill:
    """A task: decode a box of the source into a slab."""

    source: Source
    slab: Slab
    box: Box
    """In the source."""

    def __call__(self) -> list[ShardDone]:
        """Do it. Raises the source's errors."""
        self.slab.fill(self.box, checked_read(self.source, self.box))
        return []


def checked_read(source: Source, box: Box) -> Array:
    """The voxels of a box `[c, x, y, z]`, if they are what `info` says. Raises PluginError, and the source's errors."""
    return _checked(source, box, source.read(box))


def checked_stream(source: Source, stream: Stream) -> Iterator[tuple[Box, Array]]:
    """What a source streams, if it is all of it, and what `info` says. Raises PluginError, and the source's errors."""
    voxels = 0
    for box, data in stream():
        yield box, _checked(source, box, data)
        voxels += box.volume
    if voxels != source.info.box.volume:
        raise PluginError(
            f"{type(source).__name__}.stream gave {voxels} voxels, and there are {source.info.box.volume}", fix=_TELL
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


def run(step: Step, route: Route, workers: Workers, scratch: Path, done: Finished) -> Iterator[ShardDone]:
    """Copy `step.source` into `step.sinks`; yields each finished shard. `done` names shards to leave alone.

    What is zero and need not be written for that is left out. Raises the first error, after the tasks that were running
    have finished.
    """
    for sink in step.sinks:
        if begin := begin_of(sink):
            with writing(Path(sink.spec.layer, str(sink.spec.mag))):
                begin()
    if route.slab is None:
        yield from _perform(_copies(step, step.tasks(route.task), done), route, workers)
        return
    for box in step.tasks(route.slab):
        if any(_copies(step, [box], done)):
            yield from _through_slab(step, route, workers, box, scratch, done)


def _through_slab(
    step: Step, route: Route, workers: Workers, box: Box, scratch: Path, done: Finished
) -> Iterator[ShardDone]:
    inner, info = step.in_source(box), replace(step.source.info, chunk_shape=None)
    path, cell, stream = scratch / f"slab-{uuid4().hex}", step.sink.shard_shape, stream_of(step.source)
    slab: MemorySlab | FileSlab | SharedSlab
    if route.way == "buffer":
        slab = MemorySlab.reserve(info, inner)
    elif workers.cluster and not stream:
        slab = SharedSlab(info, inner, path, cell, step.box.start, route.fill or inner.shape, info.chunk_start)
        slab.reserve()
    else:
        slab = FileSlab(info, inner, path, cell, step.box.start)
        slab.reserve()
    try:
        if stream:
            for part, data in checked_stream(step.source, stream):
                slab.fill(part, data)
            if workers.cluster:
                sync([path])  # other machines are to see it
        else:
            fills = (Fill(step.source, slab, part) for part in inner.tiles(route.fill or inner.shape, info.chunk_start))
            yield from _perform(fills, route, workers)
        yield from _perform(_copies(step, step.tasks(route.task, box), done, slab), route, workers)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copies(step: Step, boxes: Iterable[Box], done: Finished, slab: Source | None = None) -> Iterator[Copy]:
    """The tasks in which anything is left to do, reading the step's source or a slab of it."""
    copying = Step(slab or step.source, step.sink, step.coarser, step.kernel)
    for box in boxes:
        shards = ((sink.spec.mag, shard.start) for sink, shard in step.shards(box))
        if wanted := frozenset(shard for shard in shards if shard not in done):
            yield Copy(copying, box, wanted)


def _perform(tasks: Iterable[Copy | Fill], route: Route, workers: Workers) -> Iterator[ShardDone]:
    failures: list[BaseException] = []
    for result in workers.map(_attempt, _until(failures, tasks), route.workers):
        if isinstance(result, Failed):
            if not failures:
                workers.give_up()
            failures.append(result.error)
        else:
            yield from result
    if failures:
        raise failures[0]


def _until(failures: list[BaseException], tasks: Iterable[T]) -> Iterator[T]:
    """Hand out tasks while none has failed."""
    for task in tasks:
        if failures:
            return
        yield task


def _attempt(task: Copy | Fill) -> list[ShardDone] | Failed:
    try:
        return task()
    except WkconvertError as error:
        return Failed(error)
    except MemoryError:
        return Failed(
            ResourceError(f"no memory left while reading {task.box}", fix="give less --memory or fewer --jobs")
        )
    except Exception as error:  # a bug: its traceback must survive the way back from a worker process
        error.add_note(f"while converting {task.box}\n{traceback.format_exc()}")
        return Failed(_that_travels(error))


def _that_travels(error: Exception) -> Exception:
    """The error, or its text where it cannot be pickled: that would look as if the worker had died."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


@dataclass
class _Values:
    """What the values of a shard are; nothing where no metadata tell of it."""

    spec: MagSpec
    low: float | int | None = None
    high: float | int | None = None
    nans: int = 0

    def add(self, data: Array) -> None:
        """Count in some of its voxels, in any shape."""
        if self.spec.category == "color" and data.dtype == np.uint8:
            return
        if data.dtype.kind == "f" and not (finite := np.isfinite(data)).all():
            self.nans += int(np.isnan(data).sum())
            data = data[finite]
        if data.size:
            low, high = data.min().item(), data.max().item()
            self.low = low if self.low is None else min(low, self.low)
            self.high = high if self.high is None else max(high, self.high)

    def done(self, shard: Box, checksum: Checksum) -> ShardDone:
        """What to tell of the shard."""
        return ShardDone(self.spec.mag, shard.start, checksum, self.low, self.high, self.nans, shard.volume)
