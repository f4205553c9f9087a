"""One mag of one layer of a dataset as TIFF files: the same loop, with a sink of a plugin. Behind `export-tiff`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from wkconvert_core.contract.errors import OptionError, PluginError, ResourceError, TargetExists, check_known
from wkconvert_core.contract.geometry import Box, Mag, Vec3Like, ceil_div
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.model import DatasetSink, DatasetSpec, MagSpec, Source, VolumeInfo
from wkconvert_core.conversion.opening import SourceLayer, open_dataset
from wkconvert_core.conversion.prepare import Conversion, Inputs
from wkconvert_core.conversion.prepare import prepare as prepare_conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.steps import MagRecipe, kernel_of
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.destination import NewDataset, Replacement, checked_places, free_bytes
from wkconvert_core.datasets.journal import Journal, Request
from wkconvert_core.datasets.naming import dataset_name
from wkconvert_core.datasets.provenance import Provenance
from wkconvert_core.engine.resources import budget_of
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.sources import views
from wkconvert_core.sources.downsampled import Downsampled
from wkconvert_core.sources.views import Wrapper
from wkconvert_core.toolkit.files import fingerprint

COMMAND = "export-tiff"
FORMAT = "tiff"
"""What the writing hook is asked for."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Pictures:
    """What becomes a picture."""

    mag: Mag | None = None
    """The mag that is read; None: the finest."""
    downsample: int = 1
    """How many voxels of that mag make a pixel, along x and along y: a power of two."""
    tile_size: Pair | None = None
    """Pixels along x and y of a tile; None: whole slices."""
    tiles_per_dimension: Pair | None = None
    """The same, as how many tiles there are along x and y."""

    def check(self) -> None:
        """Raise OptionError for the first option that is wrong."""
        if self.downsample < 1 or self.downsample & (self.downsample - 1):
            raise OptionError(f"--downsample {self.downsample} is not possible", fix="take a power of two: 1, 2, 4, …")
        if self.tile_size and self.tiles_per_dimension:
            raise OptionError("--tile-size and --tiles-per-dimension say the same twice", fix="take one of them")
        for option, pair in (("tile-size", self.tile_size), ("tiles-per-dimension", self.tiles_per_dimension)):
            if pair and min(pair) < 1:
                raise OptionError(f"--{option} {pair[0]},{pair[1]} is not possible", fix="take numbers from 1 on")

    def shard_shape(self, shape: Vec3Like) -> Vec3Like | None:
        """The box of one tile of pictures of a shape; None for whole slices."""
        if self.tiles_per_dimension:
            x, y = (ceil_div(n, parts) for n, parts in zip(shape, self.tiles_per_dimension, strict=False))
            return x, y, 1
        return self.tile_size and (*self.tile_size, 1)


@dataclass(frozen=True)
class Blocks(Wrapper):
    """A mag that states what a decode yields: a slice alone would decode every block as often as it is deep."""

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner one's, with its blocks as chunks, on the dataset's grid."""
        assert isinstance(self.inner, StoredMag), "it wraps a dataset's mag"
        info = self.inner.info
        return replace(info, chunk_shape=self.inner.block_shape, chunk_start=-info.extent.start)


@dataclass(frozen=True)
class NewFiles(Replacement):
    """Files that are built beside OUT, since half a stack looks like a whole one: a Destination."""

    is_finished: bool
    """Whether they are all there already."""

    @property
    def building(self) -> Path:
        """Beside OUT; OUT if all is there."""
        return self.path if self.is_finished else super().building

    def check(self, request: Request) -> None:
        """Raise TargetExists unless OUT is free or holds this very export."""
        try:
            NewDataset(self.path).check(request)
        except TargetExists as error:
            why = "it is not what this very command has written"
            raise TargetExists(
                f"{self.path} is there already", why=why, fix="choose another OUT, or remove it"
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold both."""
        with NewDataset(self.path).locked() if self.is_finished else super().locked():
            yield

    def publish(self) -> str:
        """Move the files to OUT."""
        return "" if self.is_finished else super().publish()


def prepare(src: Path, out: Path, settings: Settings, pictures: Pictures | None = None) -> Conversion:
    """Decide how a part of a dataset becomes TIFF files, and write nothing.

    Of the settings, `layer_name` (None: the only layer), `bbox` (in mag-1 voxels), `name` (of the files; None: the
    layer's), the writer's options and those of how to run count. Raises OptionError, SourceNotFound, BrokenSource,
    TargetExists, ResourceError; PluginError where no plugin writes TIFF.
    """
    pictures = pictures or Pictures()
    settings.check()
    pictures.check()
    src, out = checked_places(Path(src), Path(out))
    dataset, budget = Dataset.finished(src), budget_of(settings, free_bytes(out))
    name = settings.layer_name or _only_layer(dataset)
    layer = open_dataset(dataset, [name], budget)[0]
    mag = pictures.mag or layer.finest
    check_known("mag", [mag], sorted(layer.mags), f"is not in the layer {layer.name}")
    source, box = _part(layer, mag, settings)
    layer = replace(layer, mags={mag: source})
    factor = (pictures.downsample, pictures.downsample, 1)
    if pictures.downsample > 1:
        source = Downsampled(source, source.info.box, factor, kernel_of(layer, settings))
    info = source.info
    spec = MagSpec(  # pictures count from 0, wherever they lie in the dataset
        *(layer.name, layer.category, mag, info.box, info.dtype, info.channels),
        shard_shape=pictures.shard_shape(info.shape),
    )
    assert dataset.voxel_size, "the metadata state it"
    size = dataset.voxel_size.coarsened(factor)
    file_name = _file_name(settings.name or layer.name)
    facts = {
        "category": layer.category,
        "voxel_size": str((dataset.voxel_size.size, dataset.voxel_size.unit)),
        "pictures": str(replace(pictures, mag=mag)),
        "extent": str(layer.info.extent),
        "writer": plugins().version_of(FORMAT),
    }
    inputs = Inputs(
        COMMAND,
        src,
        settings,
        [layer],
        {layer.name: box.refined(mag)},
        size.coarsened(mag),
        budget,
        lambda folder: _writer(folder, DatasetSpec(file_name, size), settings),
        fingerprint=fingerprint(dataset.of(layer.name)[mag].folder),
        facts=facts,
    )
    destination = NewFiles(out, Journal(out, layer.name, COMMAND).is_finished)
    try:
        return prepare_conversion(inputs, destination, lambda layer: [MagRecipe(spec, source, copied=Provenance())])
    except ResourceError as error:
        enough = error.fix.partition(", or ")[0]  # what else it offers is a choice that a dataset's shards alone have
        fix = f"{enough}; or write smaller files, for example --tile-size 2048,2048"
        raise ResourceError(error.what, why=error.why, fix=fix) from None


def _only_layer(dataset: Dataset) -> str:
    """The name of the only layer. Raises OptionError where there are several, UnsupportedSource for none."""
    names = list(dict.fromkeys(where.layer for where in dataset.choose()))
    if len(names) > 1:
        raise OptionError(
            f"{dataset.path} has {len(names)} layers, and one is exported",
            fix=f"--layer-name takes one of {', '.join(names)}",
        )
    return names[0]


def _part(layer: SourceLayer, mag: Mag, settings: Settings) -> tuple[Source, Box]:
    """What is exported of a mag, and where it lies in the dataset, in the mag's voxels. Raises OptionError."""
    source = layer.mags[mag]
    extent = source.info.extent
    box = extent if settings.bbox is None else settings.bbox.coarsened(mag)
    if box not in extent or not box.volume:
        raise OptionError(
            f"--bbox asks for {settings.bbox}",
            why=f"the layer {layer.name} holds {extent.refined(mag)}, in voxels of mag 1",
            fix="ask for a part of that",
        )
    return views.Moved(views.Cropped(Blocks(source), box - extent.start), box.start), box


def _file_name(text: str) -> str:
    """What the files' names begin with. Raises OptionError for what cannot be one, or would hide them."""
    if text.startswith("."):
        raise OptionError(f"--name {text} starts with a dot", why="such files are hidden, and no reader takes them")
    return dataset_name(text)


def _writer(folder: Path, spec: DatasetSpec, settings: Settings) -> DatasetSink:
    """The plugin that writes TIFF. Raises PluginError, which says what to install, where there is none."""
    loaded = plugins()
    options = settings.writer_options
    writer: DatasetSink | None = loaded.hook.wkconvert_create(format=FORMAT, path=folder, spec=spec, options=options)
    if writer is None:
        failed = [f"{plugin.name} failed to load: {plugin.error}" for plugin in loaded.loaded if plugin.error]
        why = "; ".join(["no plugin that is installed writes it", *failed])
        raise PluginError("TIFF cannot be written", why=why, fix='pip install "wkconvert[tiff]"')
    return writer
