"""The whole story: detect, open, plan, copy every mag, write the metadata. The Python API behind `auto` and `cube`."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wkconvert_core import engine, target
from wkconvert_core.backends import Workers
from wkconvert_core.conversion import Conversion, Planned, check_target, prepare
from wkconvert_core.disk import writing
from wkconvert_core.engine import Finished, ShardDone
from wkconvert_core.errors import NoSpace
from wkconvert_core.journal import Journal, locked
from wkconvert_core.layers import Opened
from wkconvert_core.model import LayerSpec
from wkconvert_core.settings import Settings
from wkconvert_core.sizes import size_text
from wkconvert_core.statistics import intensity_range, value_range
from wkconvert_core.step import Step
from wkconvert_core.verify import Verifying

log = logging.getLogger(__name__)

__all__ = ["Done", "Progress", "Settings", "convert", "execute", "prepare"]


@dataclass(frozen=True)
class Progress:
    """How far a step is."""

    step: str
    number: int
    steps: int
    voxels: int
    """Done so far, of `total`."""
    total: int
    voxel_bytes: int


@dataclass(frozen=True)
class Done:
    """What became of a conversion."""

    conversion: Conversion
    layers: Sequence[LayerSpec]
    seconds: float
    resumed: int
    """Shards that an earlier run had finished."""
    shards: int
    stored_bytes: int
    notes: tuple[str, ...] = ()


Listener = Callable[[Progress], None]


def convert(
    src: Path, dst: Path, settings: Settings | None = None, *, command: str = "auto", listen: Listener | None = None
) -> Done:
    """Convert whatever is at `src` into a dataset at `dst`. Raises errors of `wkconvert_core.errors`."""
    return execute(prepare(src, dst, settings or Settings(), command=command), listen or (lambda progress: None))


def execute(conversion: Conversion, listen: Listener) -> Done:
    """Write what was decided, or go on where an earlier run of the same command stopped."""
    if not conversion.steps:
        return Done(conversion, [], 0, 0, 0, 0)
    began = time.monotonic()
    _check_space(conversion)
    with contextlib.ExitStack() as stack:
        workers = stack.enter_context(_workers(conversion))
        for place in conversion.places:
            stack.enter_context(locked(place))
        check_target(conversion)  # again: somebody else may have written there before the lock was ours
        journals = stack.enter_context(_journals(conversion))
        resumed = _copy_all(conversion, journals, workers, listen)
        if conversion.settings.verify:
            _verify_all(conversion, workers, listen)
        layers = [_described(conversion, layer, journals[layer.name]) for layer in conversion.layers]
        for journal in journals.values():
            journal.finish()
        with writing(conversion.building):
            conversion.sink.finish(layers)
        if conversion.building != conversion.dst:
            target.swap(conversion.building, conversion.dst)
    done = [shard for journal in journals.values() for shards in journal.done.values() for shard in shards.values()]
    stored = sum(shard.stored_bytes for shard in done)
    notes = *_extents(layers), *(note for layer in conversion.layers for note in _notes(layer, journals[layer.name]))
    return Done(conversion, layers, time.monotonic() - began, resumed, len(done), stored, notes)


@contextlib.contextmanager
def _journals(conversion: Conversion) -> Iterator[dict[str, Journal]]:
    """The layers' journals, and no temporary file of this or an earlier run when it is over."""
    building, plan = conversion.building, conversion.plan
    with contextlib.ExitStack() as stack:
        journals = {layer.name: Journal(building, layer.name, conversion.command) for layer in conversion.layers}
        if conversion.settings.overwrite:
            target.discard_other_plans(building, journals.values(), plan)
        target.sweep(building, list(journals))
        stack.callback(target.sweep, building, list(journals))
        for journal in journals.values():
            if conversion.in_place and journal.is_finished and not journal.matches(plan):
                journal.discard()  # the mags that it finished have been taken away, or they would not be made again
            stack.callback(journal.close)
            journal.begin(plan)
        yield journals


@contextlib.contextmanager
def _workers(conversion: Conversion) -> Iterator[Workers]:
    """The run's workers; none is left behind when it ends early, whatever ends it."""
    workers = Workers(conversion.settings.strategy, conversion.jobs)
    try:
        yield workers
    except BaseException:
        workers.stop()
        raise


def _check_space(conversion: Conversion) -> None:
    journals = (Journal(conversion.building, layer.name, conversion.command) for layer in conversion.layers)
    needed = conversion.needed - sum(journal.stored_bytes() for journal in journals)
    if needed > conversion.free and not conversion.settings.force:
        raise NoSpace(
            f"{conversion.dst} may take {size_text(needed)}, and {size_text(conversion.free)} are free",
            why="that is what is left to write, uncompressed; how much compression saves is not known before",
            fix="free some space, or say --force to try nevertheless: a run that fills the disk can be continued",
        )


def _copy_all(conversion: Conversion, journals: dict[str, Journal], workers: Workers, listen: Listener) -> int:
    """Write every mag; returns how many shards were there already."""
    resumed = 0
    for number, planned in enumerate(conversion.steps, 1):
        step, journal = planned.step, journals[planned.layer.name]
        there = [shard for sink, box in step.shards() if (shard := journal.found(sink.spec.mag, box)) and sink.has(box)]
        resumed += len(there)
        meter = _Meter(step, step.title, number, len(conversion.steps), listen, sum(shard.voxels for shard in there))
        for shard in _run(conversion, planned, workers, {(shard.mag, shard.start) for shard in there}):
            journal.add(shard)
            meter.advance(shard.voxels)
        if not all(journal.found(sink.spec.mag, box) for sink, box in step.shards()):
            raise RuntimeError(f"{step.title} ended with shards missing")  # a bug: never call it complete
    return resumed


def _verify_all(conversion: Conversion, workers: Workers, listen: Listener) -> None:
    """Read every mag back and compare it with what it was made of: the same loop, with sinks that compare."""
    for number, planned in enumerate(conversion.steps, 1):
        first, *coarser = map(Verifying, planned.step.sinks)
        step = replace(planned.step, sink=first, coarser=tuple(coarser))
        meter = _Meter(step, f"{step.title}, verifying", number, len(conversion.steps), listen)
        for shard in _run(conversion, replace(planned, step=step), workers, frozenset()):
            meter.advance(shard.voxels)


def _run(conversion: Conversion, planned: Planned, workers: Workers, done: Finished) -> Iterator[ShardDone]:
    log.info("%s: %s", planned.step.title, planned.route)
    return engine.run(planned.step, planned.route, workers, target.scratch(conversion.building), done)


class _Meter:
    """Tells the listener how far a step is."""

    def __init__(self, step: Step, title: str, number: int, steps: int, listen: Listener, voxels: int = 0) -> None:
        self._now = Progress(title, number, steps, voxels, step.voxels, step.voxel_bytes)
        self._listen = listen
        listen(self._now)

    def advance(self, voxels: int) -> None:
        self._now = replace(self._now, voxels=self._now.voxels + voxels)
        self._listen(self._now)


def _described(conversion: Conversion, layer: Opened, journal: Journal) -> LayerSpec:
    """The layer's metadata, from what was written."""
    sinks = [sink for planned in conversion.steps if planned.layer is layer for sink in planned.step.sinks]
    finest = sinks[0].spec
    low, high, _ = value_range(journal.done[finest.mag].values())
    is_color = layer.category == "color"
    shown = is_color and finest.dtype != np.uint8 and not conversion.keeps_metadata
    return LayerSpec(
        layer.name,
        layer.category,
        conversion.extents[layer.name],
        finest.dtype,
        finest.channels,
        [sink.spec for sink in sinks],
        largest_segment_id=None if is_color or high is None or conversion.keeps_metadata else int(high),
        value_range=(low, high) if shown and low is not None and high is not None else None,
        intensity_range=intensity_range(sinks[-1].source()) if shown else None,
        color=layer.color,
    )


def _extents(layers: Sequence[LayerSpec]) -> Iterator[str]:
    """What to tell of layers that do not cover the same place."""
    if len({layer.box for layer in layers}) > 1:
        yield "the layers differ in extent: " + "; ".join(f"{layer.name} {layer.box}" for layer in layers)


def _notes(layer: Opened, journal: Journal) -> Iterator[str]:
    for note in layer.notes:
        yield f"{layer.name}: {note}"
    finest = journal.done[min(journal.done)]
    if nans := value_range(finest.values())[2]:
        yield f"{layer.name}: {nans:,} voxels are not a number (NaN); coarser mags leave them out where they can"
