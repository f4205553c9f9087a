"""WKW datasets: core's own writer, which `--to wkw` names, and the reader of datasets that are there already."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wkconvert_core.contract.errors import (
    BrokenSource,
    DamagedData,
    OptionError,
    SourceError,
    TargetError,
    WkconvertError,
)
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.model import (
    Confidence,
    DatasetSpec,
    Layer,
    LayerSpec,
    MagSpec,
    Match,
)
from wkconvert_core.contract.reader_options import parse_options
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets import properties_file as datasource
from wkconvert_core.datasets.naming import FOLDER, PROPERTIES_FILE, layer_name
from wkconvert_core.datasets.properties import Properties, StoredLayer, mag_folder, stored_layers, voxel_size
from wkconvert_core.formats.wkw.sink import COMPRESSIONS, WkwSink
from wkconvert_core.formats.wkw.source import WkwSource, open_mag
from wkconvert_core.toolkit.atomic import sync

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType

FORMATS = {"wkw": "WKW datasets of WEBKNOSSOS"}

FILE_LENS = (1, 2, 4, 8, 16, 32, 64)
"""Blocks along a shard's side, as `--file-len` takes them."""

_REMEDIES = {
    "b": "say --dtype uint8",
    "f": "say --dtype float32 or --dtype float64",
    "c": "convert real and imaginary parts, or magnitudes, as layers of their own",
}
"""What to do about an element type that WKW lacks, by numpy's letter for its kind."""


# --- writing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WkwDataset:
    """A WKW dataset being written, as a DatasetSink."""

    path: Path
    spec: DatasetSpec
    original: Properties | None = None
    """The metadata with which a copy begins."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """Folders that a copy takes along as they are, by where they go."""

    def layer(self, spec: MagSpec) -> WkwSink:
        """The sink of one mag of one layer. Raises OptionError and TargetError for what WKW cannot hold."""
        check_mag(spec)
        return WkwSink(self.path / layer_name(spec.layer) / str(spec.mag), spec)

    def finish(self, layers: Sequence[LayerSpec]) -> None:
        """Sync every shard to the disk; then write the metadata, or add the layers to those that are there.

        Without a voxel size no metadata are made, only added to. Edits that people made are kept. Raises DamagedData
        for a mag that is not there, TargetError.
        """
        for folder in (self.path / layer_name(layer.name) / str(spec.mag) for layer in layers for spec in layer.mags):
            sync(folder.rglob("*.wkw"))
        for name, folder in self.beside.items():
            shutil.copytree(folder, self.path / name, dirs_exist_ok=True)
        file = self.path / PROPERTIES_FILE
        existing = datasource.read(file, DamagedData) if file.exists() else self.original
        if existing is None and self.spec.voxel_size is None:
            return
        entries = [datasource.layer_entry(layer, self._cube_lengths(layer)) for layer in layers]
        datasource.write(file, datasource.merge(existing, self.spec, entries, same="extend"))
        datasource.sweep(self.path)

    def _cube_lengths(self, layer: LayerSpec) -> dict[Mag, int]:
        """Voxels along a shard's side, of each mag, as its `header.wkw` says."""
        folder = self.path / layer_name(layer.name)
        try:
            return {spec.mag: open_mag(folder / str(spec.mag)).side for spec in layer.mags}
        except SourceError as error:
            raise DamagedData(error.what, why=error.why, fix=error.fix) from error


def check_mag(spec: MagSpec) -> None:
    """Raise OptionError or TargetError, which list what is legal, for a mag that WKW cannot hold."""
    if spec.file_len is not None and spec.file_len not in FILE_LENS:
        raise OptionError(
            f"--file-len {spec.file_len} is not possible", fix=f"take auto or one of {', '.join(map(str, FILE_LENS))}"
        )
    if spec.compression not in COMPRESSIONS:
        raise OptionError(
            f"--compression {spec.compression} is not known to WKW", fix=f"take one of {', '.join(COMPRESSIONS)}"
        )
    check_element_type(spec.dtype, spec.channels)


def check_element_type(dtype: DType, channels: int) -> None:
    """Raise TargetError for voxels that WKW cannot hold."""
    if dtype.kind not in "iuf" or dtype.itemsize not in (1, 2, 4, 8) or dtype.name == "float16":
        raise TargetError(
            f"WKW has no element type {dtype}",
            why="it holds whole numbers of 8 to 64 bits, float32 and float64",
            fix=_REMEDIES.get(dtype.kind, "convert it to one of these first"),
        )
    if not 1 <= channels * dtype.itemsize <= 255:
        raise TargetError(
            f"WKW cannot hold {channels} channels of {dtype} in one layer",
            why=f"a voxel has 1 to 255 bytes, all channels together; these are {channels * dtype.itemsize}",
            fix="choose one with --channel, or convert the channels as layers of their own",
        )


@hookimpl
def wkconvert_create(format: str, path: Path, spec: DatasetSpec) -> WkwDataset | None:
    """Begin or continue a WKW dataset. Raises InconsistentStack where one is there with another voxel size."""
    if format != "wkw":
        return None
    if (file := path / PROPERTIES_FILE).exists():
        datasource.check_same_voxel_size(datasource.read(file, DamagedData), spec)
    return WkwDataset(path, spec)


# --- reading ---------------------------------------------------------------------------------------------------------


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim a folder whose metadata list a WKW layer; metadata that cannot be read are claimed to be explained."""
    if isinstance(path, str) or head or not (file := path / PROPERTIES_FILE).is_file():
        return None
    try:
        formats = [layer["dataFormat"] for layer in datasource.read(file)["dataLayers"]]
    except WkconvertError:
        return Match("wkw", Confidence.CONTENT, f"{PROPERTIES_FILE}, damaged")
    count = formats.count("wkw")
    plural = "s" * (count != 1)
    return Match("wkw", Confidence.EXACT, f"{PROPERTIES_FILE} with {count} WKW layer{plural}") if count else None


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> list[Layer] | None:
    """Open every WKW layer of a dataset with all its mags."""
    if format != "wkw" or isinstance(path, str):
        return None
    return open_dataset(path, **parse_options(open_dataset, options))


def open_dataset(path: Path, *, layers: str | None = None) -> list[Layer]:
    """The WKW layers of a dataset, each mag a WkwSource; `layers`: only those of these names, `em,labels`.

    Raises BrokenSource, DamagedData.
    """
    check_not_half_compressed(path)
    properties = datasource.read(path / PROPERTIES_FILE)
    found = stored_layers(properties, path)
    foreign = [f"layer {layer.name} is {layer.data_format} and is left out" for layer in found if not _is_wkw(layer)]
    names = layers.split(",") if layers else [layer.name for layer in found]
    wanted = [layer for layer in found if _is_wkw(layer) and layer.name in names]
    opened = [_open_layer(path, properties, layer, foreign) for layer in wanted]
    if not opened:
        raise BrokenSource(f"{path} holds no WKW layer", why="; ".join(foreign) or "it has no layer at all")
    return opened


COMPRESSED = Path(FOLDER, "compressed")
"""Where `compress` builds the mags that are to take the place of a dataset's."""


def is_half_compressed(dataset: Path) -> bool:
    """Whether compressed mags are complete and have still to be moved, all or some, into the place of the old ones."""
    return (dataset / COMPRESSED / PROPERTIES_FILE).exists()


def check_not_half_compressed(dataset: Path) -> None:
    """Raise BrokenSource while some mags may be between their old and their new form."""
    if is_half_compressed(dataset):
        raise BrokenSource(
            f"{dataset} is not finished: compress has still to move mags into their place",
            fix=f"run `wkconvert compress {dataset}` again: it goes on there",
        )


def _is_wkw(layer: StoredLayer) -> bool:
    return layer.data_format == "wkw"


def _open_layer(path: Path, properties: Properties, layer: StoredLayer, notes: Sequence[str]) -> Layer:
    folders = {mag: mag_folder(path, layer, mag) for mag in sorted(layer.mags)}
    missing = [mag for mag, folder in folders.items() if not folder.is_dir()]
    if not folders or min(folders) in missing:
        raise BrokenSource(
            f"the layer {layer.name} of {path} lacks its finest mag",
            why=f"{folders[missing[0]]} is missing" if missing else f"{PROPERTIES_FILE} lists no mag of it",
            fix=f"put it back, or `wkconvert metadata {path}` to do without it; other layers: --layer-name",
        )
    size = voxel_size(properties)
    sources = {mag: _open_mag(folders[mag], layer, mag, size) for mag in folders if mag not in missing}
    if missing:
        notes = [*notes, f"mags listed for layer {layer.name}, but missing: {', '.join(map(str, missing))}"]
    noted = {mag: replace(source, notes=tuple(notes)) for mag, source in sources.items()}
    return Layer(noted, layer.name, layer.category, layer.color)


def _open_mag(folder: Path, layer: StoredLayer, mag: Mag, size: VoxelSize) -> WkwSource:
    header = open_mag(folder)
    if (header.dtype, header.channels) != (layer.dtype, layer.channels):
        raise BrokenSource(
            f"{folder} holds {header.channels} x {header.dtype}",
            why=f"{PROPERTIES_FILE} says {layer.channels} x {layer.dtype}",
        )
    return WkwSource(folder, header, layer.box.coarsened(mag), size.coarsened(mag))
