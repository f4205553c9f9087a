"""Mags for a dataset that is there: the same loop, in place. What `downsample` and `upsample` have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from wkconvert_core import __version__
from wkconvert_core.contract.errors import TargetExists, check_known
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import DatasetSpec, Sink, Source
from wkconvert_core.contract.voxel_size import VoxelSize, proportions
from wkconvert_core.conversion.opening import Opened
from wkconvert_core.conversion.prepare import Conversion, budget_of, open_layers
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.steps import Planned, spec_of
from wkconvert_core.datasets import destination as target
from wkconvert_core.datasets.journal import Journal
from wkconvert_core.datasets.properties import StoredLayer, mag_folder, stored_layers
from wkconvert_core.datasets.writer import WkwDataset
from wkconvert_core.planning.mag_schedule import schedule
from wkconvert_core.planning.route import Budget
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.files import fingerprint


@dataclass(frozen=True)
class Place:
    """A finished dataset, and those of its layers that are to get mags."""

    dst: Path
    settings: Settings
    stored: Mapping[str, StoredLayer]
    layers: Sequence[Opened]
    size: VoxelSize | None
    writer: WkwDataset
    budget: Budget

    def coarser(self, layer: Opened, start: Mag, taken: Collection[Mag], max_mag: int | None) -> list[Mag]:
        """The mags coarser than `start` that a layer should have, where the dataset's layers have those `taken`."""
        return schedule(
            proportions(self.size),
            self.stored[layer.name].box.shape,
            max_mag=max_mag,
            sampling_mode=self.settings.sampling_mode,
            start=start,
            existing=[mag for mag in taken if max(mag) > max(start)],
        )

    def sink(self, layer: Opened, source: Source, mag: Mag, box: Box) -> Sink:
        """Where a new mag of a layer is written, as the settings say."""
        return self.writer.layer(spec_of(layer, self.settings, source, mag, box))


Making: TypeAlias = Callable[[Place, Opened, Mag, Collection[Mag]], Iterator[Planned]]
"""The steps that make a layer's new mags of the mag to start from; the last value: the mags of all layers so far."""


def added(
    dst: Path, settings: Settings, verb: str, making: Making, names: Sequence[str], start: Mag | None
) -> Conversion:
    """Decide which mags a dataset gets, and write nothing; mags that are there stay as they are.

    `names` are the layers (none: all), `start` the mag of which the first new one is made (None: each layer's finest).
    Raises SourceNotFound where there is no dataset, OptionError for a layer or a mag that it does not have,
    TargetExists for a mag that lies there without being listed.
    """
    place = _opened(dst, settings, names)
    taken = {mag for layer in place.stored.values() for mag in layer.mags}
    steps: list[Planned] = []
    for layer in place.layers:
        made = list(making(place, layer, _start_of(layer, start), taken))
        taken |= {sink.spec.mag for planned in made for sink in planned.step.sinks}
        steps += made
    return _in_place(place, verb, start, steps)


def _opened(dst: Path, settings: Settings, names: Sequence[str]) -> Place:
    loaded, dst = plugins(), dst.resolve()
    settings.check(loaded)
    stored = {layer.name: layer for layer in stored_layers(target.finished(dst), dst)}
    size, budget = target.stored_voxel_size(dst), budget_of(settings, target.free_bytes(dst))
    layers = open_layers(dst, names, loaded, budget)
    return Place(dst, settings, stored, layers, size, WkwDataset(dst, DatasetSpec(dst.name, size)), budget)


def _start_of(layer: Opened, wanted: Mag | None) -> Mag:
    """The mag from which a layer's mags are made."""
    start = wanted or layer.finest
    check_known("from-mag", [start], sorted(layer.mags), f"is not in the layer {layer.name}")
    return start


def _in_place(place: Place, verb: str, start: Mag | None, steps: Sequence[Planned]) -> Conversion:
    """The conversion that adds the steps' mags to the dataset."""
    dst, settings, stored, budget = place.dst, place.settings, place.stored, place.budget
    changed = [layer for layer in place.layers if any(planned.layer is layer for planned in steps)]
    new = sorted((sink.spec.mag, planned.layer.name) for planned in steps for sink in planned.step.sinks)
    command = f"{verb}-{new[0][0]}" if new else verb
    first = {name: mag for mag, name in reversed(new)}
    sources = [(stored[layer.name], _source_mag(layer, start, first[layer.name])) for layer in changed]
    extents = {layer.name: stored[layer.name].box for layer in changed}
    plan = _plan(dst, command, settings, sources, extents)
    _check_target(dst, steps, command, plan)
    where = dst, dst, dst, command, settings, changed, place.size, place.writer, steps
    return Conversion(*where, budget.workers, plan, budget.scratch, extents, in_place=True, keeps_metadata=True)


def _source_mag(layer: Opened, start: Mag | None, new: Mag) -> Mag:
    """The mag of those that are there of which the first new one is made."""
    begin = start or layer.finest
    return max((mag for mag in layer.mags if begin <= mag < new), default=begin)


def _plan(
    dst: Path,
    command: str,
    settings: Settings,
    sources: Sequence[tuple[StoredLayer, Mag]],
    extents: Mapping[str, Box],
) -> dict[str, Any]:
    """The request, and what the mags of which the new ones are made were like."""
    were = {layer.name: fingerprint(mag_folder(dst, layer, mag)) for layer, mag in sources}
    boxes = {name: [*box.start, *box.shape] for name, box in extents.items()}
    request = {"command": command, "settings": settings.plan(), "version": __version__}
    return {**request, "fingerprint": were, "extents": boxes}


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
