"""The whole story: detect, open, plan, copy every mag, write the metadata. The Python API behind `auto` and `cube`."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from wkconvert_core.cluster.session import Sought
from wkconvert_core.contract.errors import NoSpace
from wkconvert_core.contract.model import LayerSpec
from wkconvert_core.conversion.opening import Opened
from wkconvert_core.conversion.prepare import Conversion, check_target, prepare
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets import destination as target
from wkconvert_core.datasets.journal import FOLDER, Journal, locked
from wkconvert_core.engine import loop as engine
from wkconvert_core.engine.consumers import VerifyShards, WriteShards
from wkconvert_core.engine.loop import Finished
from wkconvert_core.engine.progress import Listener, Meter, Progress
from wkconvert_core.engine.workers import Workers, at_work, stopped
from wkconvert_core.planning.route import Budget, Route
from wkconvert_core.planning.step import AnyStep, Consumer, Step
from wkconvert_core.sources.intensity_range import intensity_range
from wkconvert_core.toolkit.atomic import writing
from wkconvert_core.toolkit.byte_sizes import size_text

R = TypeVar("R")

log = logging.getLogger(__name__)

__all__ = ["Done", "Listener", "Progress", "Settings", "convert", "execute", "prepare"]


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


def convert(
    src: Path, dst: Path, settings: Settings | None = None, *, command: str = "auto", listen: Listener | None = None
) -> Done:
    """Convert whatever is at `src` into a dataset at `dst`. Raises errors of `wkconvert_core.contract.errors`."""
    return execute(prepare(src, dst, settings or Settings(), command=command), listen)


def execute(conversion: Conversion, listen: Listener | None = None) -> Done:
    """Write what was decided, or go on where an earlier run of the same command stopped."""
    if not conversion.steps:
        return Done(conversion, [], 0, 0, 0, 0)
    began = time.monotonic()
    _check_space(conversion)
    with contextlib.ExitStack() as stack:
        for place in conversion.places:
            stack.enter_context(locked(place))
        target.sweep_replaced(conversion.dst)
        check_target(conversion)  # again: somebody else may have written there before the lock was ours
        crew = stack.enter_context(contextlib.ExitStack())
        workers = crew.enter_context(_workers(conversion, listen))
        journals = stack.enter_context(_journals(conversion))
        with stopped(workers):  # before what they leave is swept away
            resumed = _copy_all(conversion, journals, workers, listen)
            if conversion.settings.verify:
                _verify_all(conversion, workers, listen)
        crew.close()  # jobs of a cluster need not wait for the metadata
        layers = [_described(conversion, layer, journals[layer.name]) for layer in conversion.layers]
        for journal in journals.values():
            journal.finish()
        with writing(conversion.building):
            conversion.sink.finish(layers)
        settled = conversion.settle(conversion.building, conversion.dst) if conversion.settle else ""
        if not conversion.settle and conversion.building != conversion.dst:
            target.swap(conversion.building, conversion.dst)
    tallies = [tally for journal in journals.values() for tally in journal.done.values()]
    count, stored = (sum(getattr(tally, name) for tally in tallies) for name in ("count", "stored_bytes"))
    notes = (
        *filter(None, [settled]),
        *_extents(layers),
        *(note for layer in conversion.layers for note in _notes(conversion, layer, journals[layer.name])),
    )
    return Done(conversion, layers, time.monotonic() - began, resumed, count, stored, notes)


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
        for name, journal in journals.items():
            sinks = [sink for planned in conversion.steps if planned.layer.name == name for sink in planned.step.sinks]
            if conversion.in_place and journal.is_finished and not journal.is_of(plan, [s.spec.mag for s in sinks]):
                journal.set_aside()  # some mags that it finished have been taken away, or there would be nothing to do
            stack.callback(journal.close)
            journal.begin(plan, sinks)
        yield journals


@contextlib.contextmanager
def _workers(conversion: Conversion, listen: Listener | None) -> Iterator[Workers]:
    """The run's workers; those of a cluster are checked."""
    settings, steps = conversion.settings, [planned.step for planned in conversion.steps]
    kernels = {step.kernel for step in steps} | {getattr(step.source, "kernel", "") for step in steps}
    formats = {*conversion.plan.get("readers", ()), settings.to}
    logs = conversion.building / FOLDER / "logs"
    sought = Sought(settings.cluster, sorted(formats), sorted(kernels - {""}), [conversion.src], logs, writes=True)
    with at_work(settings.strategy, conversion.jobs, sought, _waiting(listen, len(steps))) as workers:
        yield workers


@contextlib.contextmanager
def readers_at_work(
    settings: Settings, budget: Budget, paths: Sequence[Path], listen: Listener | None, kernels: Collection[str] = ()
) -> Iterator[Workers]:
    """Workers that only read; the logs of a cluster's jobs go where the command was given. Raises ResourceError."""
    sought = Sought(settings.cluster, [], sorted(kernels), paths, Path.cwd() / "wkconvert-logs")
    with at_work(settings.strategy, budget.workers, sought, _waiting(listen, 1)) as workers:
        yield workers


def _waiting(listen: Listener | None, steps: int) -> Callable[[str], None]:
    """Tells a listener, if there is one, what the run waits for."""
    return lambda text: listen(Progress("", 0, steps, 0, 0, 1, waiting=text)) if listen else None


def _check_space(conversion: Conversion) -> None:
    journals = (Journal(conversion.building, layer.name, conversion.command) for layer in conversion.layers)
    needed = conversion.needed - sum(journal.stored_bytes() for journal in journals)
    if needed > conversion.free and not conversion.settings.force:
        raise NoSpace(
            f"{conversion.dst} may take {size_text(needed)}, and {size_text(conversion.free)} are free",
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
    conversion: Conversion, step: Step[Consumer[R]], route: Route, workers: Workers, done: Finished
) -> Iterator[R]:
    log.info("%s: %s", step.title, route)
    return engine.run(step, route, workers, target.scratch(conversion.building), done)


def _meter(
    listen: Listener | None, step: AnyStep, title: str, place: tuple[int, int], total: int, done: int, workers: Workers
) -> Meter:
    done, total = (done, total) if total else (step.voxels, step.voxels)  # nothing to do is all done
    return Meter(listen, title, place, total, step.voxel_bytes, done=done, workers=workers)


def _described(conversion: Conversion, layer: Opened, journal: Journal) -> LayerSpec:
    """The layer's metadata, from what was written."""
    sinks = [sink for planned in conversion.steps if planned.layer is layer for sink in planned.step.sinks]
    finest = sinks[0].spec
    low, high = journal.done[finest.mag].low, journal.done[finest.mag].high
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


def _notes(conversion: Conversion, layer: Opened, journal: Journal) -> Iterator[str]:
    for note in layer.notes:
        yield f"{layer.name}: {note}"
    if nans := journal.done[min(journal.done)].nans:
        made = len(journal.done) > 1 and not conversion.keeps_metadata
        coarser = "; coarser mags leave them out where they can" if made else ""
        yield f"{layer.name}: {nans:,} voxel{'s are' if nans > 1 else ' is'} not a number (NaN){coarser}"
