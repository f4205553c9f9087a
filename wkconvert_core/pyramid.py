"""Coarser mags for a dataset that is there: the same loop, in place. Behind `wkconvert downsample`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wkconvert_core import __version__, target
from wkconvert_core.conversion import Conversion, Planned, budget_of, kernel_of, open_layers, spec_of, together
from wkconvert_core.downsample import Downsampled
from wkconvert_core.errors import TargetExists
from wkconvert_core.geometry import Mag
from wkconvert_core.journal import Journal, fingerprint
from wkconvert_core.layers import Opened
from wkconvert_core.mags import schedule
from wkconvert_core.model import DatasetSpec, Sink, Source
from wkconvert_core.names import check_known
from wkconvert_core.plan import Budget
from wkconvert_core.plugins import plugins
from wkconvert_core.settings import Settings
from wkconvert_core.step import factor_between
from wkconvert_core.stored import StoredLayer, mag_folder, stored_layers
from wkconvert_core.voxel_size import VoxelSize
from wkconvert_core.wkw_dataset import WkwDataset


def prepare(dst: Path, settings: Settings, *, names: Sequence[str] = (), start: Mag | None = None) -> Conversion:
    """Decide which coarser mags a dataset gets, and write nothing; mags that are there stay as they are.

    `names` are the layers (none: all), `start` the mag from which to begin (None: each layer's finest). Raises
    SourceNotFound where there is no dataset, OptionError for a layer or a mag that it does not have, TargetExists for
    a mag that lies there without being listed.
    """
    place = opened(dst, settings, names)
    taken = {mag for layer in place.stored.values() for mag in layer.mags}
    steps: list[Planned] = []
    for layer in place.layers:
        first = start_of(layer, start)
        mags = schedule(
            place.proportions,
            place.stored[layer.name].box.shape,
            max_mag=settings.max_mag,
            sampling_mode=settings.sampling_mode,
            start=first,
            existing=[mag for mag in taken if max(mag) > max(first)],
        )
        steps += _steps(layer, [first, *mags], place.writer, settings, place.budget)
        taken |= set(mags)
    return in_place(place, "downsample", settings, start, steps)


@dataclass(frozen=True)
class Place:
    """A finished dataset, and those of its layers that are to get mags."""

    dst: Path
    stored: Mapping[str, StoredLayer]
    layers: Sequence[Opened]
    size: VoxelSize | None
    writer: WkwDataset
    budget: Budget

    @property
    def proportions(self) -> tuple[float, float, float]:
        """The size of a voxel along x, y, z; 1 where it is not known."""
        x, y, z = (side or 1.0 for side in self.size.size) if self.size else (1.0, 1.0, 1.0)
        return x, y, z


def opened(dst: Path, settings: Settings, names: Sequence[str]) -> Place:
    """Open a dataset to add mags to it. Raises SourceNotFound where there is none, OptionError for a wrong name."""
    loaded, dst = plugins(), dst.resolve()
    settings.check(loaded)
    stored = {layer.name: layer for layer in stored_layers(target.finished(dst), dst)}
    size, budget = target.stored_voxel_size(dst), budget_of(settings, target.free_bytes(dst))
    layers = open_layers(dst, names, loaded, budget)
    return Place(dst, stored, layers, size, WkwDataset(dst, DatasetSpec(dst.name, size)), budget)


def in_place(place: Place, verb: str, settings: Settings, start: Mag | None, steps: Sequence[Planned]) -> Conversion:
    """The conversion that adds the steps' mags to the dataset.

    Raises TargetExists for a mag that lies there without being listed.
    """
    dst, stored, budget = place.dst, place.stored, place.budget
    changed = [layer for layer in place.layers if any(planned.layer is layer for planned in steps)]
    new = sorted((sink.spec.mag, planned.layer.name) for planned in steps for sink in planned.step.sinks)
    command = f"{verb}-{new[0][0]}" if new else verb
    first = {name: mag for mag, name in reversed(new)}
    sources = [(stored[layer.name], _source_mag(layer, start, first[layer.name])) for layer in changed]
    plan = _plan(dst, command, settings, sources)
    _check_target(dst, steps, command, plan)
    extents = {layer.name: stored[layer.name].box for layer in changed}
    where = dst, dst, dst, command, settings, changed, place.size, place.writer, steps
    return Conversion(*where, budget.workers, plan, budget.scratch, extents, in_place=True, keeps_metadata=True)


def start_of(layer: Opened, wanted: Mag | None) -> Mag:
    """The mag from which a layer's mags are made. Raises OptionError for one that it does not have."""
    start = wanted or layer.finest
    check_known("from-mag", [start], sorted(layer.mags), f"is not in the layer {layer.name}")
    return start


def _steps(
    layer: Opened, mags: Sequence[Mag], writer: WkwDataset, settings: Settings, budget: Budget
) -> Iterator[Planned]:
    """Make each mag after the first, unless it is there, of the one before it."""
    kernel, finer = kernel_of(layer, settings), mags[0]
    source, sources, sinks = layer.mags[finer], list[Source](), list[Sink]()
    for mag in mags[1:]:
        if mag in layer.mags:
            yield from together(layer, sources, sinks, kernel, budget)
            source, sources, sinks = layer.mags[mag], [], []
        else:
            box = source.info.box.shifted(source.info.offset)
            made = Downsampled(source, box, factor_between(finer, mag), kernel, sources[-1] if sources else source)
            sink = writer.layer(spec_of(layer, settings, made, mag, made.box))
            source, sources, sinks = sink.source(), [*sources, made], [*sinks, sink]
        finer = mag
    yield from together(layer, sources, sinks, kernel, budget)


def _source_mag(layer: Opened, start: Mag | None, new: Mag) -> Mag:
    """The mag of those that are there of which the first new one is made."""
    begin = start or layer.finest
    return max((mag for mag in layer.mags if begin <= mag < new), default=begin)


def _plan(dst: Path, command: str, settings: Settings, sources: Sequence[tuple[StoredLayer, Mag]]) -> dict[str, Any]:
    """The request, and what the mags of which the new ones are made were like."""
    were = {layer.name: fingerprint(mag_folder(dst, layer, mag)) for layer, mag in sources}
    return {"command": command, "fingerprint": were, "settings": settings.plan(), "version": __version__}


def _check_target(dst: Path, steps: Sequence[Planned], command: str, plan: Mapping[str, Any]) -> None:
    """Raise TargetExists for a mag in the way that this command has not begun."""
    for planned in steps:
        for spec in (sink.spec for sink in planned.step.sinks):
            journal, folder = Journal(dst, spec.layer, command), dst / spec.layer / str(spec.mag)
            if folder.exists() and not (journal.is_begun and journal.matches(plan)):
                raise TargetExists(
                    f"{folder} is there, but not listed in the dataset",
                    why="what it holds, and whether it is complete, is not to be known",
                    fix="finish the command that began it, list it with `wkconvert metadata`, or remove it",
                )
