"""Writing a WEBKNOSSOS dataset: mags in any format that a plugin stores, and at the end the metadata."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wkconvert_core.contract.abilities import Reference
from wkconvert_core.contract.errors import DamagedData, SourceError, TargetError
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.mag_format import ListedLayer, ListingFormat, MagFormat
from wkconvert_core.contract.model import DatasetSpec, LayerSpec, MagSpec, Sink
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.naming import PROPERTIES_FILE, layer_name, layer_name_problem
from wkconvert_core.datasets.properties import (
    Properties,
    check_same_voxel_size,
    is_inside,
    mag_folder,
    stated_range,
    stored_layer,
    voxel_size,
)
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.atomic import sync
from wkconvert_core.toolkit.files import exists, files_below


@dataclass(frozen=True)
class DatasetWriter:
    """A DatasetSink that stores each mag in the format that its spec names, and writes the metadata."""

    path: Path
    spec: DatasetSpec
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the mag formats, by name."""
    original: Properties | None = None
    """Metadata to begin with, of the dataset that is copied; None: begin anew."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """Files to copy as they are, by the path that they get in the dataset."""
    listed: Sequence[Properties] = ()
    """Entries of layers whose mags lie elsewhere, made by `referenced_entry`; mags that are written join them."""

    def check(self) -> None:
        """Raise InconsistentStack if the folder holds a dataset with another voxel size."""
        if exists(file := self.path / PROPERTIES_FILE):
            check_same_voxel_size(properties_file.read(file, DamagedData), self.spec)

    def layer(self, spec: MagSpec) -> Sink:
        """The sink of one mag.

        Raises OptionError, and TargetError for what its format cannot hold, or a link that leads out of the dataset.
        """
        if not is_inside(self.path, f"{layer_name(spec.layer)}/{spec.mag}"):
            raise TargetError(
                f"{self._folder(spec)} leads out of the dataset",
                why="it, or the layer's folder, is a link",
                fix="put what the link points to in its place",
            )
        return self._format(spec).sink(self._folder(spec), spec, self.options)

    def finish(self, layers: Sequence[LayerSpec]) -> None:
        """Sync every shard to disk; then write the metadata, or add the layers to existing ones.

        Without a voxel size, metadata are only added to, never begun. Users' edits are kept. Raises DamagedData for a
        missing mag, TargetError.
        """
        for spec in (spec for layer in layers for spec in layer.mags):
            sync(files_below(self._folder(spec)))
        for name, source in self.beside.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, self.path / name)
        file = self.path / PROPERTIES_FILE
        existing = properties_file.read(file, DamagedData) if exists(file) else self.original
        if existing is None and self.spec.voxel_size is None:
            return
        if self.listed:
            existing = properties_file.merge(existing, self.spec, self.listed)
        entries = [self._entry(layer) for layer in layers]
        merged = properties_file.merge(existing, self.spec, entries, same="extend")
        list_mags(self.path, merged, [layer.name for layer in layers])
        properties_file.write(file, merged)
        properties_file.sweep(self.path)

    def _entry(self, layer: LayerSpec) -> Properties:
        """A layer's entry in the metadata, from what the mags' formats state of the written folders."""
        try:
            formats = {spec.mag: self._format(spec) for spec in layer.mags}
            opened = {spec.mag: formats[spec.mag].open(self._folder(spec), spec.box) for spec in layer.mags}
        except SourceError as error:
            raise DamagedData(error.what, why=error.why, fix=error.fix) from error
        path = f"{layer_name(layer.name)}/{{}}"
        mags = [properties_file.mag_entry(mag, path.format(mag), formats[mag].entry(it)) for mag, it in opened.items()]
        return properties_file.layer_entry(layer, layer.mags[0].data_format, mags)

    def _format(self, spec: MagSpec) -> MagFormat:
        return plugins().mag_formats()[spec.data_format]

    def _folder(self, spec: MagSpec) -> Path:
        return self.path / layer_name(spec.layer) / str(spec.mag)


def referenced_entry(layer: LayerSpec, mags: Mapping[Mag, Reference], dataset: Path) -> Properties:
    """The entry of a layer whose mags lie elsewhere: in folders, by their paths from the dataset's, or at URLs."""
    entries = []
    for mag, (_, place, stated, _) in mags.items():
        path = place if isinstance(place, str) else Path(os.path.relpath(place.resolve(), dataset)).as_posix()
        entries.append({**properties_file.mag_entry(mag, path, stated), "path": path})
    return properties_file.layer_entry(layer, mags[min(mags)].data_format, entries)


def list_mags(dataset: Path, properties: Properties, layers: Collection[str] = ()) -> None:
    """Write the files in which some formats list a layer's mags, for some layers (none: all).

    `properties` are the metadata that are about to be written. Layers whose folder is a link that leads out of the
    dataset are left alone. Raises TargetError, SourceError.
    """
    formats = plugins().mag_formats()
    for entry in properties["dataLayers"]:
        form, name = formats.get(entry["dataFormat"]), entry["name"]
        is_wanted = not layers or name in layers
        if is_wanted and isinstance(form, ListingFormat) and not layer_name_problem(name) and is_inside(dataset, name):
            form.list_mags(dataset, _listed(dataset, properties, entry))


def _listed(dataset: Path, properties: Properties, entry: Properties) -> ListedLayer:
    layer, view = stored_layer(entry, dataset), entry.get("defaultViewConfiguration") or {}
    folders = {mag: mag_folder(dataset, layer, mag) for mag in sorted(layer.mags)}
    return ListedLayer(
        layer.name,
        layer.category,
        layer.dtype,
        layer.channels,
        voxel_size(properties),
        {mag: folder.relative_to(dataset).as_posix() for mag, folder in folders.items() if folder},
        layer.color,
        value_range=stated_range([view.get("min"), view.get("max")]),
        intensity_range=layer.intensity_range,
    )
