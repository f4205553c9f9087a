"""A copy of a dataset with other shards, another compression or another dtype. Behind `wkconvert recube`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from wkconvert_core.contract.errors import check_known
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.model import DatasetSpec, Source
from wkconvert_core.conversion.opening import Opened
from wkconvert_core.conversion.prepare import Conversion, budget_of, open_layers, plan_of
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.steps import Planned, spec_of
from wkconvert_core.datasets import destination as target
from wkconvert_core.datasets import properties_file as datasource
from wkconvert_core.datasets.checksums import known_makings
from wkconvert_core.datasets.dataset import found_mags, mags_of
from wkconvert_core.datasets.naming import dataset_name
from wkconvert_core.datasets.properties import (
    Properties,
    StoredLayer,
    mag_entries,
    mag_folder,
    mag_of,
    stored_layer,
    stored_layers,
    voxel_size,
)
from wkconvert_core.datasets.writer import WkwDataset
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.engine.workers import Workers
from wkconvert_core.formats.wkw.header import Header
from wkconvert_core.formats.wkw.sink import BLOCK_LEN, fit_file_len
from wkconvert_core.formats.wkw.source import open_mag
from wkconvert_core.inspection.contents import voxels_outside
from wkconvert_core.planning.route import Budget, planned
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.sources.views import Cast

Wanted: TypeAlias = Callable[[Header], bool]

_TAKEN_ALONG = "mappings"
"""The folder of a layer that goes along with its mags."""


def prepare(
    src: Path,
    dst: Path,
    settings: Settings,
    *,
    names: Sequence[str] = (),
    mags: Collection[Mag] = (),
    wanted: Wanted = lambda header: True,
    keep_shards: bool = False,
    command: str = "recube",
    in_place: bool = False,
    noted: Mapping[str, object] = MappingProxyType({}),
) -> Conversion:
    """Decide how a dataset is copied, and write nothing.

    `names` are the layers, `mags` the mags to copy (none: all), as far as their header is `wanted`; `keep_shards`: in
    shards as long as they are, but at most twice as long as in a new dataset: a large shard keeps one worker busy, and
    takes several times its size; `in_place`: `dst` is a place in the dataset, to be moved over it; `noted`
    goes into the plan. Raises SourceNotFound where there is no dataset, OptionError for a layer or
    a mag that it does not have.
    """
    loaded = plugins()
    settings.check(loaded)
    src, dst = (src.resolve(), dst) if in_place else target.checked_places(src, dst)
    properties = target.finished(src)
    budget = budget_of(settings, target.free_bytes(dst))
    opened = open_layers(src, names, loaded, budget)
    check_known("mag", mags, sorted({mag for layer in opened for mag in layer.mags}), f"is not in {src}")
    stored = {layer.name: layer for layer in stored_layers(properties, src)}
    headers = {(la.name, mag): open_mag(mag_folder(src, stored[la.name], mag)) for la in opened for mag in la.mags}
    layers = []
    for layer in opened:
        kept = [mag for mag in layer.mags if (not mags or mag in mags) and wanted(headers[layer.name, mag])]
        layers += [_with_mags(layer, kept, settings)] if kept else []
    name, size = dataset_name(settings.name or dst.name), voxel_size(properties)
    extents = {layer.name: stored[layer.name].box for layer in layers}
    plan = plan_of(src, settings, command, layers, loaded) | {"made": _made(src, layers, stored)} | dict(noted)
    boxes = {layer: [*box.start, *box.shape] for layer, box in extents.items()}
    plan |= {"extents": boxes, "voxel_sizes": [[*size.size, size.unit]]}
    target.check(dst, settings, command, [layer.name for layer in layers], plan)
    building = target.beside(dst) if settings.overwrite else dst
    mappings: dict[str, Path] = {}
    if not in_place:  # there everything else stays where it is
        notes = {layer.name: _notes(src, layer, properties, settings, budget) for layer in layers}
        layers = [replace(layer, notes=(*layer.notes, *notes[layer.name])) for layer in layers]
        folders = [f"{layer.name}/{_TAKEN_ALONG}" for layer in layers]
        mappings = {folder: src / folder for folder in folders if (src / folder).is_dir()}
    writer = WkwDataset(building, DatasetSpec(name, size), _described(properties, layers, name, settings), mappings)
    steps = list(_steps(layers, settings, writer, headers if keep_shards else {}, budget))
    where = src, dst, building, command, settings, layers, size, writer, steps
    return Conversion(*where, budget.workers, plan, budget.scratch, extents, keeps_metadata=True)


def _steps(
    layers: Sequence[Opened],
    settings: Settings,
    writer: WkwDataset,
    kept: Mapping[tuple[str, Mag], Header],
    budget: Budget,
) -> Iterator[Planned]:
    """Copy each mag; where its header is given, in shards that are no longer than they are."""
    for layer in layers:
        for mag, source in sorted(layer.mags.items()):
            box = source.info.box.shifted(source.info.offset)
            spec = spec_of(layer, settings, source, mag, box)
            if (layer.name, mag) in kept and spec.file_len is None:
                fitted = fit_file_len(box, spec.dtype, spec.channels)
                own = max(1, kept[layer.name, mag].side // BLOCK_LEN)  # others may have smaller blocks than ours
                spec = replace(spec, file_len=min(2 * fitted, own))
            yield Planned(layer, *planned(source, [WriteShards(writer.layer(spec))], "", budget))


def _made(src: Path, layers: Sequence[Opened], stored: Mapping[str, StoredLayer]) -> dict[str, dict[str, list[str]]]:
    """How the mags were made that are copied as they are, for `verify`."""
    return known_makings(src, [layer.name for layer in layers if layer.info.dtype == stored[layer.name].dtype])


def _notes(src: Path, layer: Opened, properties: Properties, settings: Settings, budget: Budget) -> Iterator[str]:
    """What of a layer is left behind, and what is not known of it any more."""
    entry = next(each for each in properties["dataLayers"] if each["name"] == layer.name)
    if entry.get("attachments"):
        yield "its attachments (meshes, agglomerates, …) are not copied"
    if left := sorted(_other_folders(src, stored_layer(entry, src))):
        yield f"of its folder, {', '.join(left)} {'is' if len(left) == 1 else 'are'} not copied"
    copied = (place for place in mags_of(src) if place.layer == layer.name and place.mag in layer.mags)
    for place in copied:
        if found := voxels_outside(place, budget, Workers("threads", budget.workers)):
            yield f"mag {place.mag} has voxels outside the bounding box, within {found}: they are not copied"
    if entry.get("largestSegmentId") is not None and _has_other_ids(entry, layer, settings):
        yield "its largest segment id is not known any more: `wkconvert metadata --compute-max-id` finds it"


def _other_folders(src: Path, layer: StoredLayer) -> Iterator[str]:
    """The names of the folders beside a layer's mags."""
    mags = [mag_folder(src, layer, mag) for mag in layer.mags] + [place.folder for place in found_mags(src)]
    for path in (src / layer.name).glob("[!.]*/"):
        if path.name != _TAKEN_ALONG and not any(mag.is_relative_to(path) for mag in mags):
            yield path.name


def _has_other_ids(entry: Properties, layer: Opened, settings: Settings) -> bool:
    """Whether the copy's values are others, so that nobody knows their largest."""
    return settings.convert != "exact" and stored_layer(entry).dtype != layer.info.dtype


def _with_mags(layer: Opened, mags: Collection[Mag], settings: Settings) -> Opened:
    """The layer with some of its mags, each in the dtype that is asked for."""
    return replace(layer, mags={mag: _cast(layer.mags[mag], settings) for mag in mags})


def _cast(source: Source, settings: Settings) -> Source:
    return (
        source if settings.dtype in (None, source.info.dtype.name) else Cast(source, settings.dtype, settings.convert)
    )


def _described(properties: Properties, layers: Sequence[Opened], name: str, settings: Settings) -> Properties:
    """The metadata of the copy, before its mags are written: what people and other tools put there stays."""
    entries = {entry["name"]: entry for entry in properties["dataLayers"]}
    described = [_layer_described(entries[layer.name], layer, settings) for layer in layers]
    return {**properties, "id": {**properties["id"], "name": name}, "dataLayers": described}


def _layer_described(entry: Properties, layer: Opened, settings: Settings) -> Properties:
    whole = datasource.with_kind(entry, layer.info.dtype, layer.info.channels)
    kept = {key: value for key, value in whole.items() if key not in ("wkwResolutions", "attachments")}
    kept["mags"] = [
        {**mag, "path": f"./{layer.name}/{mag_of(mag)}"} for mag in mag_entries(entry) if mag_of(mag) in layer.mags
    ]
    if "largestSegmentId" in kept and _has_other_ids(entry, layer, settings):
        kept["largestSegmentId"] = None
    return kept
