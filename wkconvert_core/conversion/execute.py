"""Carrying out what was decided: lock, copy every mag, verify, write the metadata, publish."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from wkconvert_core.cluster.session import Sought
from wkconvert_core.contract.errors import NoSpace
from wkconvert_core.contract.model import LayerSpec
from wkconvert_core.conversion.opening import SourceLayer
from wkconvert_core.conversion.prepare import Conversion, prepare_conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.destination import scratch, sweep, sweep_replaced
from wkconvert_core.datasets.journal import FOLDER, Journal
from wkconvert_core.engine import loop
from wkconvert_core.engine.consumers import VerifyShards, WriteShards
from wkconvert_core.engine.progress import Listener, Meter
from wkconvert_core.engine.resources import report_waiting
from wkconvert_core.engine.workers import Workers, at_work, stopped
from wkconvert_core.planning.route import Route
from wkconvert_core.planning.step import AnyStep, Consumer, Step
from wkconvert_core.sources.intensity_range import intensity_range
from wkconvert_core.toolkit.atomic import writing
from wkconvert_core.toolkit.byte_sizes import size_text

R = TypeVar("R")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """What became of a conversion."""

    conversion: Conversion
    layers: Sequence[LayerSpec]
    seconds: float = 0
    resumed: int = 0
    """Shards that an earlier run had finished."""
    shards: int = 0
    stored_bytes: int = 0
    notes: tuple[str, ...] = ()


def convert(
    src: Path | str,
    dst: Path,
    settings: Settings | None = None,
    *,
    command: str = "auto",
    listen: Listener | None = None,
) -> Done:
    """Convert whatever is at `src` into a dataset at `dst`. Raises errors of `wkconvert_core.contract.errors`."""
    return execute(prepare_conversion(src, dst, settings or Settings(), command=command), listen)


def execute(conversion: Conversion, listen: Listener | None = None) -> Done:
    """Write what was decided, or go on where an earlier run of the same command stopped.

    Raises errors of `wkconvert_core.contract.errors`; what was finished by then is kept for the next run.
    """
    if not conversion.steps:
        return Done(conversion, [])
    began, destination, settings = time.monotonic(), conversion.destination, conversion.inputs.settings
    _check_space(conversion)
    with destination.locked(), contextlib.ExitStack() as stack:
        sweep_replaced(destination.path)
        destination.check(conversion.request)  # again: somebody may have written there before the lock was ours
        crew = stack.enter_context(contextlib.ExitStack())
        workers = crew.enter_context(_workers(conversion, listen))
        journals = stack.enter_context(_journals(conversion))
        with stopped(workers):  # before what they leave is swept away
            resumed = _copy_all(conversion, journals, workers, listen)
            if settings.verify:
                _verify_all(conversion, workers, listen)
        crew.close()  # jobs of a cluster need not wait for the metadata
        layers = [_described(conversion, layer, journals[layer.name]) for layer in conversion.layers]
        for journal in journals.values():
            journal.finish()
        with writing(destination.building):
            conversion.writer.finish(layers)
        published = destination.publish()
    finished = [mag for journal in journals.values() for mag in journal.done.values()]
    notes = [published] if published else []
    if len({layer.box for layer in layers}) > 1:
        notes.append("the layers differ in extent: " + "; ".join(f"{layer.name} {layer.box}" for layer in layers))
    for layer in conversion.layers:
        notes += _notes(conversion, layer, journals[layer.name])
    count, stored = sum(mag.count for mag in finished), sum(mag.stored_bytes for mag in finished)
    return Done(conversion, layers, time.monotonic() - began, resumed, count, stored, tuple(notes))


@contextlib.contextmanager
def _journals(conversion: Conversion) -> Iterator[dict[str, Journal]]:
    """The layers' journals; when it is over, no temporary file of this or an earlier run is left."""
    request, building = conversion.request, conversion.destination.building
    sinks = {
        name: [sink for planned in conversion.steps if planned.layer.name == name for sink in planned.step.sinks]
        for name in request.layers
    }
    journals = {name: Journal(building, name, request.command) for name in request.layers}
    mags = {name: [sink.spec.mag for sink in each] for name, each in sinks.items()}
    with contextlib.ExitStack() as stack:
        conversion.destination.make_room(request, journals, mags)
        sweep(building, request.layers)
        stack.callback(sweep, building, request.layers)
        for name, journal in journals.items():
            stack.callback(journal.close)
            journal.begin(request, sinks[name])
        yield journals


@contextlib.contextmanager
def _workers(conversion: Conversion, listen: Listener | None) -> Iterator[Workers]:
    """The run's workers; those of a cluster are checked."""
    inputs, steps = conversion.inputs, [planned.step for planned in conversion.steps]
    kernels = {step.kernel for step in steps} | {getattr(step.source, "kernel", "") for step in steps}
    formats = {layer.found.match.format for layer in inputs.layers}
    formats |= {sink.spec.data_format for step in steps for sink in step.sinks} - {""}
    logs = conversion.destination.building / FOLDER / "logs"
    reads = [] if isinstance(inputs.src, str) else [inputs.src]  # a URL is no path that a worker could look for
    sought = Sought(inputs.settings.cluster, sorted(formats), sorted(kernels - {""}), reads, logs, writes=True)
    waiting = report_waiting(listen, len(steps))
    with at_work(inputs.settings.strategy, inputs.budget.workers, sought, waiting) as workers:
        yield workers


def _check_space(conversion: Conversion) -> None:
    destination, request, free = conversion.destination, conversion.request, conversion.inputs.budget.scratch
    journals = (Journal(destination.building, name, request.command) for name in request.layers)
    needed = conversion.needed - sum(journal.stored_bytes() for journal in journals)
    if needed > free and not conversion.inputs.settings.force:
        raise NoSpace(
            f"{destination.path} may take {size_text(needed)}, and {size_text(free)} are free",
            why="that is what is left to write, uncompressed; how much compression saves is not known before",
            fix="free some space, or say --force to try nevertheless: a run that fills the disk can be continued",
        )


def _copy_all(conversion: Conversion, journals: dict[str, Journal], workers: Workers, listen: Listener | None) -> int:
    """Write every mag; returns how many shards were there already."""
    resumed = 0
    for number, planned in enumerate(conversion.steps, 1):
        step, journal = planned.step, journals[planned.layer.name]
        there, voxels, total = _found(step, journal)
        meter = _meter(listen, step, step.title, (number, len(conversion.steps)), total, voxels, workers)
        resumed += there
        for shard in _run(conversion, step, planned.route, workers, journal.finished):
            journal.add(shard)
            meter.advance(shard.voxels)
        if not all((each.mag, box.start) in journal.finished for each, box in step.shards()):
            raise RuntimeError(f"{step.title} ended with shards missing")  # a bug: never call it complete
        if total < step.voxels:
            _add_zero(journal)
    return resumed


def _add_zero(journal: Journal) -> None:
    """Shards that are left out hold a value, too."""
    for tally in journal.done.values():
        tally.low, tally.high = min(0, tally.low or 0), max(0, tally.high or 0)


def _found(step: Step[WriteShards], journal: Journal) -> tuple[int, int, int]:
    """How many shards are there from an earlier run, their voxels, and those of all that have to be there.

    What is recorded and not there is forgotten.
    """
    count = voxels = total = 0
    for writer, box in step.shards():
        total += box.volume
        if (writer.mag, box.start) not in journal.finished:
            continue
        if writer.sink.has(box):
            count, voxels = count + 1, voxels + box.volume
        else:
            journal.done[writer.mag].drop(box.start)
    return count, voxels, total


def _verify_all(conversion: Conversion, workers: Workers, listen: Listener | None) -> None:
    """Read every mag back and compare it with what it was made of: the same loop, with consumers that compare."""
    for number, planned in enumerate(conversion.steps, 1):
        step = Step(planned.step.source, tuple(map(VerifyShards, planned.step.sinks)), planned.step.kernel)
        total = sum(box.volume for _, box in step.shards())
        place = number, len(conversion.steps)
        meter = _meter(listen, step, f"{step.title}, verifying", place, total, 0, workers)
        for voxels in _run(conversion, step, planned.route, workers, frozenset()):
            meter.advance(voxels)


def _run(
    conversion: Conversion, step: Step[Consumer[R]], route: Route, workers: Workers, done: loop.Finished
) -> Iterator[R]:
    log.info("%s: %s", step.title, route)
    return loop.run(step, route, workers, scratch(conversion.destination.building), done)


def _meter(
    listen: Listener | None, step: AnyStep, title: str, place: tuple[int, int], total: int, done: int, workers: Workers
) -> Meter:
    done, total = (done, total) if total else (step.voxels, step.voxels)  # nothing to do is all done
    return Meter(listen, title, place, total, step.voxel_bytes, done=done, workers=workers)


def _described(conversion: Conversion, layer: SourceLayer, journal: Journal) -> LayerSpec:
    """The layer's metadata, from what was written."""
    sinks = [sink for planned in conversion.steps if planned.layer is layer for sink in planned.step.sinks]
    finest = sinks[0].spec
    low, high = journal.done[finest.mag].low, journal.done[finest.mag].high
    is_color = layer.category == "color"
    shown = is_color and finest.dtype != np.uint8 and not conversion.inputs.keeps_metadata
    return LayerSpec(
        layer.name,
        layer.category,
        conversion.request.extents[layer.name],
        finest.dtype,
        finest.channels,
        [sink.spec for sink in sinks],
        largest_segment_id=None if is_color or high is None or conversion.inputs.keeps_metadata else int(high),
        value_range=(low, high) if shown and low is not None and high is not None else None,
        intensity_range=intensity_range(sinks[-1].source()) if shown else None,
        color=layer.color,
    )


def _notes(conversion: Conversion, layer: SourceLayer, journal: Journal) -> Iterator[str]:
    for note in layer.notes:
        yield f"{layer.name}: {note}"
    if nans := journal.done[min(journal.done)].nans:
        made = len(journal.done) > 1 and not conversion.inputs.keeps_metadata
        coarser = "; coarser mags leave them out where they can" if made else ""
        yield f"{layer.name}: {nans:,} voxel{'s are' if nans > 1 else ' is'} not a number (NaN){coarser}"
