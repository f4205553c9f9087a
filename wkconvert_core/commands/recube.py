"""A copy of a dataset with other shards, another compression or another dtype. Behind `wkconvert recube`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from wkconvert_core.contract.errors import check_known
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.model import DatasetSpec, Source
from wkconvert_core.conversion.opening import SourceLayer, open_dataset
from wkconvert_core.conversion.prepare import Conversion, Inputs
from wkconvert_core.conversion.prepare import prepare as prepare_conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.steps import MagRecipe, spec_of
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.checksums import known_provenance
from wkconvert_core.datasets.dataset import Dataset, found_mags
from wkconvert_core.datasets.destination import Destination, NewDataset, Replacement, checked_places, free_bytes
from wkconvert_core.datasets.naming import dataset_name
from wkconvert_core.datasets.properties import Properties, mag_entries, mag_of, stored_layer
from wkconvert_core.datasets.writer import DatasetWriter
from wkconvert_core.engine.resources import budget_of
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.contents import voxels_outside
from wkconvert_core.planning.route import Budget
from wkconvert_core.sources.views import Cast

_TAKEN_ALONG = "mappings"
"""The folder of a layer that goes along with its mags."""


def prepare(
    src: Path, dst: Path, settings: Settings, *, names: Sequence[str] = (), mags: Collection[Mag] = ()
) -> Conversion:
    """Decide how a dataset is copied, and write nothing. For the rest, see `prepare_copy`."""
    src, dst = checked_places(src, dst)
    destination = Replacement(dst) if settings.overwrite else NewDataset(dst)
    return prepare_copy("recube", src, destination, settings, names=names, mags=mags)


def prepare_copy(
    command: str,
    src: Path,
    destination: Destination,
    settings: Settings,
    *,
    names: Sequence[str] = (),
    mags: Collection[Mag] = (),
    wanted: Callable[[StoredMag], bool] = lambda mag: True,
    keep_shards: bool = False,
    in_place: bool = False,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Conversion:
    """Decide how a dataset is copied, and write nothing.

    `names` are the layers, `mags` the mags to copy (none: all), as far as they are `wanted`; `keep_shards`: in shards
    like theirs; `in_place`: the copies take the place of the mags in the dataset itself; `facts` join the request.
    Raises SourceNotFound where there is no dataset, OptionError for a layer or a mag that it does not have.
    """
    settings.check()
    dataset, budget = Dataset.finished(src), budget_of(settings, free_bytes(destination.path))
    opened = open_dataset(dataset, names, budget)
    check_known("mag", mags, sorted({mag for layer in opened for mag in layer.mags}), f"is not in {src}")
    layers, stored = [], {layer.name: layer.mags for layer in opened}
    for layer in opened:
        kept = [mag for mag, it in layer.mags.items() if (not mags or mag in mags) and wanted(_stored(it))]
        if kept:
            layers.append(replace(layer, mags={mag: _cast(layer.mags[mag], settings) for mag in kept}))
    name = dataset_name(settings.name or destination.path.name)
    folders: dict[str, Path] = {}
    if not in_place:  # there everything else stays where it is
        notes = {layer.name: _notes(dataset, layer, settings, budget) for layer in layers}
        layers = [replace(layer, notes=(*layer.notes, *notes[layer.name])) for layer in layers]
        paths = [f"{layer.name}/{_TAKEN_ALONG}" for layer in layers]
        folders = {path: src / path for path in paths if (src / path).is_dir()}
    described = _described(dataset, layers, name, settings)

    def recipe(layer: SourceLayer) -> Iterator[MagRecipe]:
        listed = dataset.layers[layer.name]
        known = known_provenance(dataset, layer.name) if layer.info.dtype == listed.dtype else {}
        for mag, source in sorted(layer.mags.items()):
            box = source.info.extent
            spec = spec_of(layer, settings, source, mag, box, listed.data_format)
            if keep_shards:
                spec = replace(spec, shard_shape=_stored(stored[layer.name][mag]).shard_shape)
            yield MagRecipe(spec, source, copied=known.get(mag))

    def writer(folder: Path) -> DatasetWriter:
        spec = DatasetSpec(name, dataset.voxel_size)
        return DatasetWriter(folder, spec, settings.writer_options, described, folders)

    extents = {layer.name: dataset.layers[layer.name].box for layer in layers}
    size = dataset.voxel_size
    inputs = Inputs(command, src, settings, layers, extents, size, budget, writer, facts=facts, keeps_metadata=True)
    return prepare_conversion(inputs, destination, recipe)


def _stored(source: Source) -> StoredMag:
    assert isinstance(source, StoredMag), "the mags of a dataset are"
    return source


def _notes(dataset: Dataset, layer: SourceLayer, settings: Settings, budget: Budget) -> Iterator[str]:
    """What of a layer is left behind, and what is not known of it any more."""
    entry = _entry(dataset, layer.name)
    if entry.get("attachments"):
        yield "its attachments (meshes, agglomerates, …) are not copied"
    if left := sorted(_other_folders(dataset, layer.name)):
        yield f"of its folder, {', '.join(left)} {'is' if len(left) == 1 else 'are'} not copied"
    for mag, where in dataset.of(layer.name).items():
        if mag in layer.mags and (found := voxels_outside(where, budget, Workers("threads", budget.workers))):
            yield f"mag {mag} has voxels outside the bounding box, within {found}: they are not copied"
    if entry.get("largestSegmentId") is not None and _has_other_ids(entry, layer, settings):
        yield "its largest segment id is not known any more: `wkconvert metadata --compute-max-id` finds it"


def _other_folders(dataset: Dataset, layer: str) -> Iterator[str]:
    """The names of the folders beside a layer's mags."""
    mags = [where.folder for where in (*dataset.of(layer).values(), *found_mags(dataset.path))]
    for path in (dataset.path / layer).glob("[!.]*/"):
        if path.name != _TAKEN_ALONG and not any(mag.is_relative_to(path) for mag in mags):
            yield path.name


def _has_other_ids(entry: Properties, layer: SourceLayer, settings: Settings) -> bool:
    """Whether the copy's values are others, so that nobody knows their largest."""
    return settings.convert != "exact" and stored_layer(entry).dtype != layer.info.dtype


def _cast(source: Source, settings: Settings) -> Source:
    same = settings.dtype in (None, source.info.dtype.name)
    return source if same or settings.dtype is None else Cast(source, settings.dtype, settings.convert)


def _entry(dataset: Dataset, layer: str) -> Properties:
    assert dataset.properties is not None, "the dataset is finished"
    return next(dict(entry) for entry in dataset.properties["dataLayers"] if entry["name"] == layer)


def _described(dataset: Dataset, layers: Sequence[SourceLayer], name: str, settings: Settings) -> Properties:
    """The metadata of the copy, before its mags are written: what people and other tools put there stays."""
    described = [_layer_described(_entry(dataset, layer.name), layer, settings) for layer in layers]
    properties = dataset.properties or {}
    return {**properties, "id": {**properties["id"], "name": name}, "dataLayers": described}


def _layer_described(entry: Properties, layer: SourceLayer, settings: Settings) -> Properties:
    whole = properties_file.with_kind(entry, layer.info.dtype, layer.info.channels)
    kept = {key: value for key, value in whole.items() if key not in ("wkwResolutions", "attachments")}
    kept["mags"] = [
        {**mag, "path": f"./{layer.name}/{mag_of(mag)}"} for mag in mag_entries(entry) if mag_of(mag) in layer.mags
    ]
    if "largestSegmentId" in kept and _has_other_ids(entry, layer, settings):
        kept["largestSegmentId"] = None
    return kept
