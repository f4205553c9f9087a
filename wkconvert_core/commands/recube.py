"""Copy a dataset with other shards, another compression, dtype or mag format. Behind `wkconvert recube`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import check_known
from wkconvert_core.contract.geometry import Mag, Vec3
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.model import DatasetSpec
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.conversion.opening import open_dataset
from wkconvert_core.conversion.prepare import Conversion, Inputs
from wkconvert_core.conversion.prepare import prepare as prepare_conversion
from wkconvert_core.conversion.settings import Settings, checked_places
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.conversion.steps import MagRecipe, spec_of
from wkconvert_core.conversion.stored_dtype import scaled_values
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.checksums import known_provenance
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.destination import Destination, NewDataset, Replacement
from wkconvert_core.datasets.naming import FOLDER, PROPERTIES_FILE, dataset_name
from wkconvert_core.datasets.places import free_bytes
from wkconvert_core.datasets.properties import Properties, is_inside
from wkconvert_core.datasets.reader import folders_beside_mags
from wkconvert_core.datasets.records.existing_layers import GRIDS, recorded_grids
from wkconvert_core.datasets.writer import DatasetWriter
from wkconvert_core.engine.resources import budget_of
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.contents import voxels_outside
from wkconvert_core.planning.costs import Budget
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.sources.views import as_dtype
from wkconvert_core.toolkit.files import files_below, is_file, is_folder, is_link, walk
from wkconvert_core.toolkit.shortened import shorten

_MAPPINGS = "mappings"
"""The only folder of a layer that is copied along with its mags."""


def prepare(
    src: Path,
    dst: Path,
    settings: Settings,
    *,
    names: Sequence[str] = (),
    mags: Collection[Mag] = (),
    to: str | None = None,
) -> Conversion:
    """Plan the copy of a dataset, and write nothing.

    `to` is the mag format of the copy (None: each layer keeps its own); `settings.to` is ignored. For the other
    parameters and the errors, see `prepare_copy`.
    """
    src, dst = checked_places(src, dst)
    destination = Replacement(dst) if settings.overwrite else NewDataset(dst)
    return prepare_copy("recube", src, destination, settings, names=names, mags=mags, to=to)


def prepare_copy(
    command: str,
    src: Path,
    destination: Destination,
    settings: Settings,
    *,
    names: Sequence[str] = (),
    mags: Collection[Mag] = (),
    to: str | None = None,
    wanted: Callable[[StoredMag], bool] = lambda mag: True,
    keep_shards: bool = False,
    in_place: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> Conversion:
    """Plan the copy of a dataset, and write nothing.

    `names` and `mags` select layers and mags (empty: all), of which only those are copied for which `wanted` is True.
    `to` is the mag format of the copy (None: each layer keeps its own). With `keep_shards`, shards have the original's
    shape instead of the one that the format prefers. `in_place` means that the copies replace mags of the dataset
    itself, so that everything else stays where it is. A run with other `facts` does not continue this one.
    Raises SourceNotFound where there is no dataset, OptionError for a layer, mag or format that does not exist.
    """
    settings.check()
    dataset, budget = (
        Dataset.finished(src, follow=settings.follow and not in_place),
        budget_of(settings, free_bytes(destination.path)),
    )
    check_known("to", [to] if to else [], sorted(plugins().mag_formats()), "is no installed mag format")
    opened = open_dataset(dataset, names, budget)
    dataset.choose(list(names), list(mags))
    check_known("mag", mags, sorted({mag for layer in opened for mag in layer.mags}), f"is not in {src}")
    name = dataset_name(settings.name or destination.path.name)

    layers, shards = _with_mags(opened, settings, lambda mag, it: (not mags or mag in mags) and wanted(it))
    assert dataset.properties, "a finished dataset has metadata"
    entries = {entry["name"]: entry for entry in dataset.properties["dataLayers"]}
    described = [_described(entries[layer.name], dataset, layer, settings, to) for layer in layers]
    properties = {**dataset.properties, "id": {**dataset.properties["id"], "name": name}, "dataLayers": described}
    beside: dict[str, Path] = {}
    if not in_place:
        lacks = {layer.name: _lacks(entries[layer.name], dataset, layer, settings, budget) for layer in layers}
        layers = [replace(it, notes=(*it.notes, *map(WarningNote, lacks[it.name]))) for it in layers]
        own, _ = _mappings(dataset, [layer.name for layer in layers])
        for layer in layers:
            if not _has_other_ids(dataset, layer, settings):
                own += _attachments(entries[layer.name], dataset)[1]
        beside = {path.relative_to(src).as_posix(): path for path in own}

    def recipe(layer: SourceLayer) -> Iterator[MagRecipe]:
        listed = dataset.layers[layer.name]
        is_same = settings.range is None and layer.info.dtype == listed.dtype
        known = known_provenance(dataset, layer.name) if is_same else {}
        for mag, source in sorted(layer.mags.items()):
            spec = spec_of(layer, settings, source, mag, source.info.extent, to or listed.data_format)
            if keep_shards:
                spec = replace(spec, shard_shape=shards[layer.name, mag])
            yield MagRecipe(spec, source, copied=known.get(mag))

    def writer(folder: Path) -> DatasetWriter:
        spec = DatasetSpec(name, dataset.voxel_size)
        return DatasetWriter(folder, spec, settings.writer_options, properties, beside)

    extents = {layer.name: dataset.layers[layer.name].box for layer in layers}
    facts = {**(facts or {}), **({"to": to} if to else {})}  # `settings.to` does not tell a default from a choice
    if grids := {name: grid for name, grid in recorded_grids(dataset.path).items() if name in extents}:
        facts[GRIDS] = grids  # where the layers lie in space; a dataset that gets more layers is asked for it
    size = dataset.voxel_size
    inputs = Inputs(
        *(command, src, settings, layers, extents, size, budget, writer),
        facts=facts,
        notes=dataset.left_alone_in(names),
        keeps_metadata=True,
    )
    return prepare_conversion(inputs, destination, recipe)


def _with_mags(
    opened: Sequence[SourceLayer], settings: Settings, wanted: Callable[[Mag, StoredMag], bool]
) -> tuple[list[SourceLayer], dict[tuple[str, Mag], Vec3]]:
    """The layers that have wanted mags, with these alone, cast as asked; and the shape of each mag's shards."""
    layers: list[SourceLayer] = []
    shards: dict[tuple[str, Mag], Vec3] = {}
    for layer in opened:
        if kept := {mag: it for mag, it in layer.mags.items() if isinstance(it, StoredMag) and wanted(mag, it)}:
            shards |= {(layer.name, mag): it.shard_shape for mag, it in kept.items()}
            values, scaling = scaled_values(min(layer.mags.items())[1], settings)
            cast = {mag: as_dtype(it, settings.dtype, settings.convert, values) for mag, it in kept.items()}
            layers.append(replace(layer, mags=cast, notes=(*layer.notes, *scaling)))
    return layers, shards


def _has_other_ids(dataset: Dataset, layer: SourceLayer, settings: Settings) -> bool:
    """Whether casting may change values, so that the largest segment id of the copy is unknown."""
    is_cast = settings.range is not None or dataset.layers[layer.name].dtype != layer.info.dtype
    return settings.convert != "exact" and is_cast


def _described(
    entry: Properties, dataset: Dataset, layer: SourceLayer, settings: Settings, to: str | None
) -> Properties:
    """The entry of a layer in the copy, before its mags are written: whatever people and other tools added stays."""
    whole = properties_file.with_kind(entry, layer.info.dtype, layer.info.channels)
    kept = {key: value for key, value in whole.items() if key not in ("wkwResolutions", "attachments")}
    is_renumbered = _has_other_ids(dataset, layer, settings)
    if entry.get("largestSegmentId") is not None and is_renumbered:
        kept["largestSegmentId"] = None
    if (attachments := _attachments(entry, dataset)[0]) and not is_renumbered:
        kept["attachments"] = attachments
    return {**kept, "dataFormat": to or entry["dataFormat"], "mags": []}


def _mappings(dataset: Dataset, layers: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The files of the layers' mappings; and what else is there: links, which may lead anywhere, pipes and devices."""
    own, others = list[Path](), list[Path]()
    for folder in (dataset.path / layer / _MAPPINGS for layer in layers):
        if links := [path for path in (folder.parent, folder) if is_link(path)]:
            others += links[:1] if is_link(folder) or is_folder(folder) else []
            continue
        inside, odd = _files_of(folder)
        own, others = own + inside, others + odd
    return own, others


def _files_of(place: Path) -> tuple[list[Path], list[Path]]:
    """A file, or those below a folder; and the links, pipes and devices there."""
    if is_file(place):
        return [place], []
    paths = [Path(where, name) for where, folders, names in walk(place) for name in sorted((*folders, *names))]
    others = [path for path in paths if is_link(path) or not (is_file(path) or is_folder(path))]
    return [path for path in paths if path not in others and is_file(path)], others


def _attachments(entry: Properties, dataset: Dataset) -> tuple[Properties, list[Path], list[str]]:
    """The attachments of a layer that its copy can have, by kind; their files; and the names of the others.

    One at a URL stays as it is, one whose files lie in the dataset goes along. Links, and what lies elsewhere, do not.
    """
    kept: Properties = {}
    files, left = list[Path](), list[str]()
    found = entry.get("attachments")
    for kind, value in found.items() if isinstance(found, dict) else ():
        fitting = []
        for one in value if isinstance(value, list) else [value]:
            path = one.get("path") if isinstance(one, dict) else None
            own, others = _files_of(place) if (place := _beside_mags(dataset, path)) else ([], [])
            if (own and not others) or (isinstance(path, str) and "://" in path):
                fitting.append(one)
                files += own
            elif one is not None:
                left.append(f"{kind} {one.get('name', '') if isinstance(one, dict) else one}".strip())
        if fitting:
            kept[kind] = fitting if isinstance(value, list) else fitting[0]
    return kept, files, left


def _beside_mags(dataset: Dataset, path: object) -> Path | None:
    """The place in a dataset at a path from there, if it leads through no link and to nothing that core writes."""
    if not isinstance(path, str) or not is_inside(dataset.path, path):
        return None
    place, parts = dataset.path / path, Path(path).parts
    taken = [*(where.folder for where in dataset.mags), dataset.path / FOLDER, dataset.path / PROPERTIES_FILE]
    is_taken = any(place.is_relative_to(each) or each.is_relative_to(place) for each in taken)
    is_linked = any(is_link(dataset.path.joinpath(*parts[: count + 1])) for count in range(len(parts)))
    return None if is_taken or is_linked else place


def _lacks(
    entry: Properties, dataset: Dataset, layer: SourceLayer, settings: Settings, budget: Budget
) -> Iterator[str]:
    """Name what the copy of a layer lacks, a sentence each."""
    _, attached, missed = _attachments(entry, dataset)
    if entry.get("attachments") and _has_other_ids(dataset, layer, settings):
        attached = []
        yield "its attachments (meshes, agglomerates, …) are not copied: its ids may be others"
    elif missed:
        yield f"of its attachments, {shorten(missed)} not copied: no files of the dataset"
    for link in _mappings(dataset, [layer.name])[1]:
        yield f"{link.relative_to(dataset.path)} is not copied: it is a link, or no file"
    beside = [name for name in folders_beside_mags(dataset, layer.name) if name != _MAPPINGS]
    copied = [dataset.path / layer.name / name for name in beside if attached]
    whole = [folder.name for folder in copied if {*files_below(folder)} <= {*attached}]
    if left := [name for name in beside if name not in whole]:
        yield f"of its folder, {', '.join(left)} {'is' if len(left) == 1 else 'are'} not copied"
    for mag, where in dataset.of(layer.name).items():
        if mag in layer.mags and (found := voxels_outside(where, budget, Workers("threads", budget.workers))):
            yield f"mag {mag} has voxels outside the bounding box, within {found}: they are not copied"
    if entry.get("largestSegmentId") is not None and _has_other_ids(dataset, layer, settings):
        yield "its largest segment id is unknown after the conversion: `wkconvert metadata --compute-max-id` finds it"
