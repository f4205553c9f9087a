"""The one loop: copies a Source into a Sink by a Route, task by task; yields what was done, prints nothing."""

from __future__ import annotations

import pickle
import shutil
import traceback
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from wkconvert_core.backends import Workers
from wkconvert_core.errors import PluginError, ResourceError, WkconvertError
from wkconvert_core.geometry import Box, Vec3
from wkconvert_core.model import MagSpec, Sink, Source, StreamSource
from wkconvert_core.plan import Route, Step
from wkconvert_core.slab import FileSlab, MemorySlab, Slab

if TYPE_CHECKING:
    from wkconvert_core.model import Array

T = TypeVar("T")


@dataclass(frozen=True)
class ShardDone:
    """A finished shard: a few numbers, whatever its size."""

    start: Vec3
    checksum: str
    low: float | int | None
    """Smallest finite value; None if there is none."""
    high: float | int | None
    nans: int
    voxels: int

    @property
    def stored_bytes(self) -> int:
        """Bytes that the shard takes, as its checksum tells."""
        return int(self.checksum.rsplit(":", 1)[-1])


@dataclass(frozen=True)
class Failed:
    """A task's error, as a value: the tasks that are running may finish before it stops the run."""

    error: BaseException


@dataclass(frozen=True)
class Copy:
    """A task: read a box of whole shards, write those of them that are not done."""

    source: Source
    sink: Sink
    box: Box
    """In the dataset."""
    done: Collection[Vec3] = ()
    """Where shards start that are finished already."""

    def __call__(self) -> list[ShardDone]:
        """Do it. Raises the source's and the sink's errors."""
        x, y, z = self.sink.spec.box.start
        shards = [box for box in self.box.tiles(self.sink.shard_shape) if box.start not in self.done]
        data = checked_read(self.source, self.box.shifted((-x, -y, -z)))
        return [self._write(shard, data[:, *shard.slices_in(self.box)]) for shard in shards]

    def _write(self, shard: Box, data: Array) -> ShardDone:
        checksum = self.sink.write(shard, data)
        return ShardDone(shard.start, checksum, *_range(data, self.sink.spec), shard.volume)


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
    data, info = source.read(box), source.info
    found = getattr(data, "dtype", None), getattr(data, "shape", None)
    if found != (info.dtype, (info.channels, *box.shape)):
        raise PluginError(
            f"{type(source).__name__}.read gave {found[0]} {found[1]} for {box}",
            why=f"its info says {info.dtype}, axes c, x, y, z: {(info.channels, *box.shape)}",
            fix="tell the author of the reader; `wkconvert check` says more",
        )
    return data


def run(step: Step, route: Route, workers: Workers, scratch: Path, done: Collection[Vec3]) -> Iterator[ShardDone]:
    """Copy `step.source` into `step.sink`; yields each finished shard. `done` names shards to leave alone.

    Raises the first error, after the tasks that were running have finished.
    """
    if route.slab is None:
        boxes = step.tasks(route.task)
        yield from _perform(_copies(step, step.source, boxes, done), route, workers)
        return
    for box in step.tasks(route.slab):
        if all(shard.start in done for shard in box.tiles(step.sink.shard_shape)):
            continue
        yield from _through_slab(step, route, workers, box, scratch, done)


def _through_slab(
    step: Step, route: Route, workers: Workers, box: Box, scratch: Path, done: Collection[Vec3]
) -> Iterator[ShardDone]:
    inner, info = step.in_source(box), replace(step.source.info, chunk_shape=None)
    path = scratch / "slab"
    slab: MemorySlab | FileSlab
    if route.way == "buffer":
        slab = MemorySlab.reserve(info, inner)
    else:
        slab = FileSlab(info, inner, path, step.sink.shard_shape, step.box.start)
        slab.reserve()
    try:
        if isinstance(step.source, StreamSource):
            for part, data in step.source.stream():
                slab.fill(part, data)
        else:
            fills = (Fill(step.source, slab, part) for part in inner.tiles(route.fill or inner.shape))
            yield from _perform(fills, route, workers)
        yield from _perform(_copies(step, slab, step.tasks(route.task, box), done), route, workers)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copies(step: Step, source: Source, boxes: Iterable[Box], done: Collection[Vec3]) -> Iterator[Copy]:
    for box in boxes:
        starts = [shard.start for shard in box.tiles(step.sink.shard_shape)]
        finished = frozenset(start for start in starts if start in done)
        if len(finished) < len(starts):
            yield Copy(source, step.sink, box, finished)


def _perform(tasks: Iterable[Copy | Fill], route: Route, workers: Workers) -> Iterator[ShardDone]:
    failures: list[BaseException] = []
    for result in workers.map(_attempt, _until(failures, tasks), route.workers):
        if isinstance(result, Failed):
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


def _range(data: Array, spec: MagSpec) -> tuple[float | int | None, float | int | None, int]:
    """Smallest and largest finite value, and how many are not a number; nothing where no metadata tell of it."""
    if spec.category == "color" and data.dtype == np.uint8:
        return None, None, 0
    if data.dtype.kind != "f":
        return int(data.min()), int(data.max()), 0
    finite = np.isfinite(data)
    if finite.all():
        return float(data.min()), float(data.max()), 0
    values = data[finite]
    low, high = (float(values.min()), float(values.max())) if values.size else (None, None)
    return low, high, int(np.isnan(data).sum())
