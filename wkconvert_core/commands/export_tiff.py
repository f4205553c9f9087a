"""Write one mag of one layer as TIFF files, with a plugin's sink. Behind `wkconvert export-tiff`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from wkconvert_core.contract.errors import OptionError, PluginError, ResourceError, TargetExists
from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.model import DatasetSink, DatasetSpec, MagSpec, Source, VolumeInfo
from wkconvert_core.contract.numbers import ceil_div
from wkconvert_core.conversion.opening import open_dataset
from wkconvert_core.conversion.prepare import Conversion, Inputs
from wkconvert_core.conversion.prepare import prepare as prepare_conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.steps import MagRecipe, kernel_of
from wkconvert_core.datasets.checksums import check_no_empty_mag
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk
from wkconvert_core.datasets.destination import NewDataset, Replacement
from wkconvert_core.datasets.naming import dataset_name
from wkconvert_core.datasets.places import checked_places, free_bytes
from wkconvert_core.datasets.recorded import open_compared
from wkconvert_core.datasets.records.journal import Journal, Request
from wkconvert_core.datasets.records.provenance import Provenance
from wkconvert_core.engine.resources import budget_of
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.sources import views
from wkconvert_core.sources.downsampled import Downsampled
from wkconvert_core.sources.views import Wrapper
from wkconvert_core.toolkit.files import fingerprint

COMMAND = "export-tiff"
FORMAT = "tiff"
"""The format that the writing hook is asked for."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Pictures:
    """Which voxels become pictures of which size."""

    mag: Mag | None = None
    """The mag to read; None: the finest."""
    downsample: int = 1
    """Voxels of that mag per pixel along x and along y: a power of two."""
    tile_size: Pair | None = None
    """Pixels of a tile along x and y; None: whole slices."""
    tiles_per_dimension: Pair | None = None
    """Number of tiles along x and y, instead of `tile_size`."""

    def check(self) -> None:
        """Raise OptionError for the first option that is out of range or contradicts another one."""
        if self.downsample < 1 or self.downsample & (self.downsample - 1):
            raise OptionError(f"--downsample {self.downsample} is not possible", fix="take a power of two: 1, 2, 4, …")
        if self.tile_size and self.tiles_per_dimension:
            raise OptionError("--tile-size and --tiles-per-dimension say the same twice", fix="take one of them")
        for option, pair in (("tile-size", self.tile_size), ("tiles-per-dimension", self.tiles_per_dimension)):
            if pair and min(pair) < 1:
                raise OptionError(f"--{option} {pair[0]},{pair[1]} is not possible", fix="take numbers from 1 on")

    def shard_shape(self, shape: Vec3Like) -> Vec3Like | None:
        """The box of one file of a volume of this shape; None: whole slices.

        >>> Pictures(tile_size=(512, 256)).shard_shape((1000, 1000, 60))
        (512, 256, 1)
        >>> Pictures(tiles_per_dimension=(3, 2)).shard_shape((1000, 1000, 60))
        (334, 500, 1)
        """
        if self.tiles_per_dimension:
            x, y = (ceil_div(n, parts) for n, parts in zip(shape, self.tiles_per_dimension, strict=False))
            return x, y, 1
        return self.tile_size and (*self.tile_size, 1)


@dataclass(frozen=True)
class Blocks(Wrapper):
    """A mag whose blocks count as chunks: read slice by slice, each block would be decoded as often as it is deep."""

    inner: StoredMag

    @cached_property
    def info(self) -> VolumeInfo:
        """The mag's, with its blocks as chunks, on the dataset's grid."""
        info = self.inner.info
        return replace(info, chunk_shape=self.inner.block_shape, chunk_start=-info.extent.start)


@dataclass(frozen=True)
class NewFiles(Replacement):
    """Files that are built beside OUT, because half a stack looks like a whole one: a Destination."""

    is_finished: bool
    """Whether an earlier run has written all of them."""

    @property
    def building(self) -> Path:
        """A folder beside OUT; OUT itself once it is finished."""
        return self.path if self.is_finished else super().building

    def check(self, request: Request) -> None:
        """Raise TargetExists unless OUT is free or holds this very export."""
        try:
            NewDataset(self.path).check(request)
        except TargetExists as error:
            why, fix = "it is not what this very command has written", "choose another OUT, or remove it"
            raise TargetExists(f"{self.path} is there already", why=why, fix=fix) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock OUT and the folder beside it."""
        with NewDataset(self.path).locked() if self.is_finished else super().locked():
            yield

    def publish(self) -> str:
        """Move the files to OUT."""
        return "" if self.is_finished else super().publish()


def prepare(src: Path, out: Path, settings: Settings, pictures: Pictures | None = None) -> Conversion:
    """Plan the export of a part of a dataset as TIFF files, and write nothing.

    Used of the settings are `layer_name` (None: the only layer), `bbox` (in mag-1 voxels), `name` (prefix of the files;
    None: the layer's), the writer's options and the resources. Raises OptionError, SourceNotFound, BrokenSource,
    TargetExists, ResourceError; PluginError if no plugin writes TIFF.
    """
    pictures = pictures or Pictures()
    settings.check()
    pictures.check()
    src, out = checked_places(Path(src), Path(out))
    dataset, budget = Dataset.finished(src, follow=settings.follow), budget_of(settings, free_bytes(out))
    name = settings.layer_name or _only_layer(dataset)
    layer = open_dataset(dataset, [name], budget)[0]
    mag = pictures.mag or layer.finest
    dataset.check_mag("mag", layer.name, mag)
    check_no_empty_mag(dataset, layer.name, [mag])
    where = dataset.of(layer.name)[mag]
    source = _part(open_compared(where), where, settings.bbox)
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
    prefix = settings.name or layer.name
    if prefix.startswith("."):
        raise OptionError(f"--name {prefix} starts with a dot", why="such files are hidden, and no reader takes them")
    files = DatasetSpec(dataset_name(prefix), size)
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
        {layer.name: layer.extent},
        size.coarsened(mag),
        budget,
        lambda folder: _writer(folder, files, settings),
        fingerprint=fingerprint(where.place),
        facts=facts,
        notes=dataset.left_alone_in([layer.name]),
    )
    destination = NewFiles(out, Journal(out, layer.name, COMMAND).is_finished)
    try:
        return prepare_conversion(inputs, destination, lambda layer: [MagRecipe(spec, source, copied=Provenance())])
    except ResourceError as error:
        enough = error.fix.partition(", or ")[0]  # the rest concerns the shards of datasets
        fix = f"{enough}; or write smaller files, for example --tile-size 2048,2048"
        raise ResourceError(error.what, why=error.why, fix=fix) from None


def _part(stored: StoredMag, where: MagOnDisk, bbox: Box | None) -> Source:
    """The part of a mag that `--bbox` asks for in mag-1 voxels, at its place. Raises OptionError if it reaches out."""
    box = stored.box if bbox is None else bbox.coarsened(where.mag)
    if box not in stored.box or not box.volume:
        raise OptionError(
            f"--bbox asks for {bbox}",
            why=f"the layer {where.layer} holds {stored.box.refined(where.mag)}, in voxels of mag 1",
            fix="ask for a part of that",
        )
    return views.Moved(views.Cropped(Blocks(stored), box - stored.box.start), box.start)


def _only_layer(dataset: Dataset) -> str:
    """The name of the only layer. Raises OptionError where there are several, UnsupportedSource for none."""
    names = list(dict.fromkeys(where.layer for where in dataset.choose()))
    if len(names) > 1:
        what = f"{dataset.path} has {len(names)} layers, and one is exported"
        raise OptionError(what, fix=f"--layer-name takes one of {', '.join(names)}")
    return names[0]


def _writer(folder: Path, spec: DatasetSpec, settings: Settings) -> DatasetSink:
    """A writer of TIFF. Raises PluginError, which says what to install, if no plugin has one."""
    loaded = plugins()
    options = settings.writer_options
    writer: DatasetSink | None = loaded.hook.wkconvert_create(format=FORMAT, path=folder, spec=spec, options=options)
    if writer is None:
        failed = [f"{plugin.name} failed to load: {plugin.error}" for plugin in loaded.loaded if plugin.error]
        why = "; ".join(["no plugin that is installed writes it", *failed])
        raise PluginError("TIFF cannot be written", why=why, fix='pip install "wkconvert[tiff]"')
    return writer
