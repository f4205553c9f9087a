"""Carrying out a conversion: lock, check, copy every mag, verify, write the metadata, publish."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wkconvert_core.cluster.session import Sought
from wkconvert_core.contract.errors import ConversionError, NoSpace, TargetLocked, TargetNotWritable
from wkconvert_core.contract.model import LayerSpec
from wkconvert_core.contract.notes import WarningNote, about, counted
from wkconvert_core.conversion.prepare import Conversion, prepare_conversion
from wkconvert_core.conversion.resuming import drop_unsound
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.datasets.destination import begun_journals
from wkconvert_core.datasets.naming import FOLDER
from wkconvert_core.datasets.places import has_leftovers, scratch, sweep, sweep_replaced
from wkconvert_core.datasets.records.journal import Journal
from wkconvert_core.engine import loop
from wkconvert_core.engine.consumers import VerifyShards
from wkconvert_core.engine.progress import Listener, Meter
from wkconvert_core.engine.resources import report_waiting
from wkconvert_core.engine.workers import Workers, at_work, stopped
from wkconvert_core.planning.step import Step
from wkconvert_core.sources.intensity_range import intensity_range
from wkconvert_core.toolkit.atomic import writing
from wkconvert_core.toolkit.byte_sizes import size_text
from wkconvert_core.toolkit.shortened import shorten

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Done:
    """The result of a conversion."""

    conversion: Conversion
    layers: Sequence[LayerSpec]
    seconds: float = 0
    resumed: int = 0
    """Shards that an earlier run had finished."""
    shards: int = 0
    stored_bytes: int = 0
    notes: tuple[str, ...] = ()
    """The notes of `conversion` from before the work, and those that only the work could know."""

    def __repr__(self) -> str:
        """`<Done em: layers color, labels; 6 mags, 1.2MiB, 0.4 s, 2 notes>`."""
        layers, mags = shorten([layer.name for layer in self.layers]), sum(len(layer.mags) for layer in self.layers)
        facts = f"{mags} mags, {size_text(self.stored_bytes)}, {self.seconds:.1f} s, {counted(self.notes)}"
        return f"<Done {self.conversion.dst}: layers {layers}; {facts}>"

    @property
    def late_notes(self) -> tuple[str, ...]:
        """The notes that only the work could know, such as the number of voxels that are NaN."""
        return self.notes[len(self.conversion.notes) :]


def convert(
    src: Path | str,
    dst: Path | str,
    settings: Settings | None = None,
    *,
    command: str = "auto",
    listen: Listener | None = None,
) -> Done:
    """Convert `src`, a path or a URL, into a dataset at `dst`. Raises errors of `wkconvert_core.contract.errors`."""
    conversion = prepare_conversion(src, Path(dst), settings or Settings(), command=command)
    return execute(conversion, listen)


def execute(conversion: Conversion, listen: Listener | None = None) -> Done:
    """Write what was decided, or continue an interrupted run of the same request.

    Raises errors of `wkconvert_core.contract.errors`; the shards finished by then are kept for the next run, unless it
    is a ConversionError, after which the same command would end in the same way.
    """
    began, destination, inputs = time.monotonic(), conversion.destination, conversion.inputs
    if not (conversion.steps or inputs.lists_mags):
        if has_leftovers(destination.path):  # of a run that was killed when all was done
            with contextlib.suppress(TargetLocked, TargetNotWritable), destination.locked():
                sweep(destination.path, ())
        return Done(conversion, [], notes=tuple(conversion.notes))
    _check_space(conversion)
    with destination.locked(), contextlib.ExitStack() as stack:
        sweep_replaced(destination.path)
        destination.check(conversion.request)  # again: another run may have written there before the lock was ours
        crew = stack.enter_context(contextlib.ExitStack())
        workers = crew.enter_context(_workers(conversion, listen))
        journals = stack.enter_context(begun_journals(destination, conversion.request, conversion.sinks))
        try:
            with stopped(workers):  # before their temporary files are removed
                resumed, damaged = _copy_all(conversion, journals, workers, listen)
                if inputs.settings.verify:
                    _verify_all(conversion, workers, listen)
        except ConversionError as error:  # this command can never finish; one that says what to do with the value shall
            if left := destination.give_up(journals):
                raise type(error)(error.what, why=error.why, fix=f"{error.fix}; {left}") from error
            raise
        crew.close()  # jobs of a cluster need not wait for the metadata
        shutil.rmtree(_logs(conversion), ignore_errors=True)  # they tell of machines, and the dataset may be published
        layers = [_described(conversion, layer, journals[layer.name]) for layer in conversion.layers]
        for journal in journals.values():
            journal.finish()
        with writing(destination.building):
            conversion.writer.finish(layers)
        published = destination.publish()
    notes = (*conversion.notes, *([published] if published else []), *_late_notes(conversion, journals, damaged))
    finished = [mag for journal in journals.values() for mag in journal.done.values()]
    count, stored = sum(mag.count for mag in finished), sum(mag.stored_bytes for mag in finished)
    return Done(conversion, layers, time.monotonic() - began, resumed, count, stored, notes)


def _late_notes(conversion: Conversion, journals: Mapping[str, Journal], damaged: int) -> Iterator[str]:
    """Notes that only the work could tell: shards of an earlier run that were `damaged`, and voxels that are NaN."""
    if damaged:
        was = "shards of an earlier run were" if damaged > 1 else "shard of an earlier run was"
        yield WarningNote(f"{damaged} {was} gone or not as recorded, and written again: look at the disk")
    for layer in conversion.layers:
        done = journals[layer.name].done
        if nans := done[min(done)].nans:
            made = len(done) > 1 and not conversion.inputs.keeps_metadata
            coarser = "; coarser mags leave them out where they can" if made else ""
            warning = WarningNote(f"{nans:,} voxel{'s are' if nans > 1 else ' is'} not a number (NaN){coarser}")
            yield about(layer.name, warning) if len(conversion.layers) > 1 else warning


def _workers(conversion: Conversion, listen: Listener | None) -> AbstractContextManager[Workers]:
    """The workers of the run; on a cluster, they must have its readers, writers and kernels, and see the source."""
    inputs, steps = conversion.inputs, [planned.step for planned in conversion.steps]
    kernels = {step.kernel for step in steps} | {getattr(step.source, "kernel", "") for step in steps}
    formats = {layer.found.match.format for layer in inputs.layers}
    formats |= {sink.spec.data_format for step in steps for sink in step.sinks}
    reads = [] if isinstance(inputs.src, str) else [inputs.src]  # a URL is no file to look for
    sought = Sought(
        inputs.settings.cluster,
        sorted(formats - {""}),
        sorted(kernels - {""}),
        reads,
        _logs(conversion),
        writes=True,
    )
    return at_work(inputs.settings.strategy, inputs.budget.workers, sought, report_waiting(listen, len(steps)))


def _logs(conversion: Conversion) -> Path:
    """Where a cluster's jobs write their logs, which stay if the run fails."""
    return conversion.destination.building / FOLDER / "logs"


def _check_space(conversion: Conversion) -> None:
    destination, request, free = conversion.destination, conversion.request, conversion.free
    journals = (Journal(destination.building, name, request.command) for name in request.layers)
    needed = conversion.needed - sum(journal.stored_bytes() for journal in journals)
    if needed > free and not conversion.inputs.settings.force:
        raise NoSpace(
            f"{destination.path} may take {size_text(needed)}, and {size_text(free)} are free",
            why="that is what is left to write, uncompressed; how much compression will save is not known in advance",
            fix="free some space, or say --force to try nevertheless: a run that fills the disk can be continued",
        )


def _copy_all(
    conversion: Conversion, journals: dict[str, Journal], workers: Workers, listen: Listener | None
) -> tuple[int, int]:
    """Write the shards of every mag that are not finished.

    Returns the number of those that were, and of those that were recorded, but are gone or not as recorded.
    """
    resumed, damaged, steps, slabs = 0, 0, conversion.steps, scratch(conversion.destination.building)
    for number, planned in enumerate(steps, 1):
        step, journal, done, total = planned.step, journals[planned.layer.name], 0, 0
        which, share = _which(conversion, number)
        if any(journal.done[sink.spec.mag].count for sink in step.sinks):
            title, here = f"{step.title}, checking what is there", (share[0], share[0])
            meter = Meter(listen, title, which, step.voxels, step.voxel_bytes, workers=workers, share=here)
            damaged += drop_unsound(step, journal, workers, meter)
        for writer, shard in step.shards():
            total += shard.volume
            if (writer.mag, shard.start) in journal.finished:
                resumed, done = resumed + 1, done + shard.volume
        log.info("%s: %s", step.title, planned.route)
        done, total = (done, total) if total else (step.voxels, step.voxels)  # nothing to do counts as all done
        meter = Meter(listen, step.title, which, total, step.voxel_bytes, done=done, workers=workers, share=share)
        for finished in loop.run(step, planned.route, workers, slabs, journal.finished):
            journal.add(finished)
            meter.advance(finished.voxels)
        if not all((writer.mag, shard.start) in journal.finished for writer, shard in step.shards()):
            raise RuntimeError(f"{step.title} ended with shards missing")  # a bug: never call it complete
        if total < step.voxels:
            for mag in journal.done.values():
                mag.include(0, 0)  # the value of the shards that are left out
    return resumed, damaged


def _which(conversion: Conversion, number: int) -> tuple[tuple[int, int], tuple[float, float]]:
    """A step's number, counted on where steps are verified, among all; and where it begins and ends in their bytes."""
    rounds = 2 if conversion.inputs.settings.verify else 1
    sizes = rounds * [planned.step.raw_bytes for planned in conversion.steps]
    return (number, len(sizes)), (sum(sizes[: number - 1]) / sum(sizes), sum(sizes[:number]) / sum(sizes))


def _verify_all(conversion: Conversion, workers: Workers, listen: Listener | None) -> None:
    """Read every mag back and compare it with what it was made of: the same loop, with consumers that compare."""
    steps, slabs = conversion.steps, scratch(conversion.destination.building)
    for number, planned in enumerate(steps, 1):
        step = Step(planned.step.source, tuple(map(VerifyShards, planned.step.sinks)), planned.step.kernel)
        log.info("%s: %s", step.title, planned.route)
        total = sum(shard.volume for _, shard in step.shards())
        done, total = (0, total) if total else (step.voxels, step.voxels)
        title, (which, share) = f"{step.title}, verifying", _which(conversion, len(steps) + number)
        meter = Meter(listen, title, which, total, step.voxel_bytes, done=done, workers=workers, share=share)
        for voxels in loop.run(step, planned.route, workers, slabs):
            meter.advance(voxels)


def _described(conversion: Conversion, layer: SourceLayer, journal: Journal) -> LayerSpec:
    """The layer as it was written, for the metadata."""
    sinks = conversion.sinks[layer.name]
    finest, is_color = sinks[0].spec, layer.category == "color"
    low, high = journal.done[finest.mag].low, journal.done[finest.mag].high
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
        intensity_range=layer.intensity_range or (intensity_range(sinks[-1].source()) if shown else None),
        color=layer.color,
    )
