"""Write a layer in another format, with a plugin's sink. Behind `wkconvert export` and its short forms."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from wkconvert_core.contract.abilities import FileDataset, file_dataset_of
from wkconvert_core.contract.affine import Affine
from wkconvert_core.contract.errors import OptionError, PluginError, ResourceError, TargetExists, one_of
from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.model import DatasetSink, DatasetSpec, MagSpec, Source, VolumeInfo
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.numbers import ceil_div
from wkconvert_core.contract.voxel_size import METRES
from wkconvert_core.conversion.opening import open_dataset
from wkconvert_core.conversion.prepare import Conversion, Inputs
from wkconvert_core.conversion.prepare import prepare as prepare_conversion
from wkconvert_core.conversion.settings import Settings, checked_places
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.conversion.steps import MagRecipe, kernel_of
from wkconvert_core.datasets.checksums import check_no_empty_mag
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk
from wkconvert_core.datasets.destination import NewDataset, Replacement
from wkconvert_core.datasets.naming import dataset_name
from wkconvert_core.datasets.places import free_bytes
from wkconvert_core.datasets.recorded import open_compared
from wkconvert_core.datasets.records.existing_layers import Grid, recorded_grids
from wkconvert_core.datasets.records.journal import Journal, Request
from wkconvert_core.datasets.records.provenance import Provenance
from wkconvert_core.engine.resources import budget_of
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.sources import views
from wkconvert_core.sources.downsampled import Downsampled
from wkconvert_core.sources.views import Wrapper
from wkconvert_core.toolkit.atomic import sync_folder, writing
from wkconvert_core.toolkit.folders import fingerprint

EXTRAS = {
    "tiff": ("TIFF", "tiff"),
    "ome-tiff": ("OME-TIFF", "tiff"),
    "nifti": ("NIfTI", "nifti"),
    "ozx": ("Zipped OME-Zarr", "zarr"),
}
"""The formats of this project's plugins: what they are called, and the extra that installs the writer."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Pictures:
    """The voxels that become pictures, and the pictures' size."""

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


@dataclass(frozen=True)
class NewFile(NewFiles):
    """One file, which is built in a folder beside OUT with its parts and the run's records: a Destination."""

    def publish(self) -> str:
        """Move the file to OUT, and remove the folder."""
        with writing(self.path):
            (self.building / self.path.name).rename(self.path)
            sync_folder(self.path.parent)
            shutil.rmtree(self.building)
        return ""


def prepare(
    src: Path, out: Path, settings: Settings, pictures: Pictures | None = None, *, to: str = "tiff"
) -> Conversion:
    """Plan the export of a part of a dataset in the format `to`, and write nothing.

    Used of the settings are `layer_name` (None: the only layer), `bbox` (in mag-1 voxels), `name` (prefix of the files
    of a stack, the image's name in others; None: the layer's), the writer's options and the resources. Raises
    OptionError, SourceNotFound, BrokenSource, UnsupportedSource, TargetExists, ResourceError; PluginError if no plugin
    writes the format.
    """
    pictures = pictures or Pictures()
    settings.check()
    pictures.check()
    src, out = checked_places(Path(src), Path(out))
    dataset, budget = Dataset.finished(src, follow=settings.follow), budget_of(settings, free_bytes(out))
    name = settings.layer_name or _only_layer(dataset)
    layer = open_dataset(dataset, [name], budget)[0]
    assert dataset.voxel_size, "the metadata state it"
    factor = (pictures.downsample, pictures.downsample, 1)
    size = dataset.voxel_size.coarsened(factor)
    prefix = settings.name or layer.name
    if prefix.startswith("."):
        raise OptionError(f"--name {prefix} starts with a dot", why="such files are hidden, and no reader takes them")
    files = DatasetSpec(dataset_name(prefix), size, out.name)
    file = file_dataset_of(_writer(to, out, files, settings))
    finest = pictures.mag or layer.finest
    dataset.check_mag("mag", layer.name, finest)
    mags = _mags(layer, finest, pictures, file, to, settings.bbox or layer.extent)
    check_no_empty_mag(dataset, layer.name, mags)
    stored = [dataset.of(layer.name)[mag] for mag in mags]
    parts = {where.mag: _part(open_compared(where), where, settings.bbox) for where in stored}
    layer = replace(layer, mags=parts)
    affine, notes = _affine(dataset, layer.name)

    def made(mag: Mag) -> MagRecipe:
        source = parts[mag]
        if pictures.downsample > 1:
            source = Downsampled(source, source.info.box, factor, kernel_of(layer, settings))
        info = source.info
        shape = pictures.shard_shape(info.shape)
        first = tuple(start * f for start, f in zip(parts[mag].info.offset, mag, strict=True))
        whole = tuple(a * b for a, b in zip(mag, factor, strict=True))
        where = affine.moved(first).coarsened(whole) if file else None
        # files count from 0, wherever their voxels lie in the dataset: that is what the affine states
        spec = MagSpec(layer.name, layer.category, mag, info.box, info.dtype, info.channels, shape, affine=where)
        return MagRecipe(spec, source, copied=Provenance())

    facts = {
        "category": layer.category,
        "voxel_size": str((dataset.voxel_size.size, dataset.voxel_size.unit)),
        "pictures": str(replace(pictures, mag=finest)),
        "extent": str(layer.info.extent),
        "writer": plugins().version_of(to),
        **({"affine": affine.document} if file else {}),
    }
    inputs = Inputs(
        f"export-{to}",
        src,
        settings,
        [layer],
        {layer.name: layer.extent},
        size.coarsened(finest),
        budget,
        lambda folder: _writer(to, folder, files, settings),
        fingerprint=" ".join(fingerprint(where.place) for where in stored),
        facts=facts,
        notes=[*dataset.left_alone_in([layer.name]), *((*notes, *file.notes) if file else ())],
    )
    is_finished = Journal(out, layer.name, inputs.command).is_finished
    destination = NewFile(out, False) if file else NewFiles(out, is_finished)
    try:
        conversion = prepare_conversion(inputs, destination, lambda _: map(made, mags))
    except ResourceError as error:
        enough = error.fix.partition(", or ")[0]  # the rest concerns the shards of datasets
        fix = enough if file else f"{enough}; or write smaller files, for example --tile-size 2048,2048"
        raise ResourceError(error.what, why=error.why, fix=fix) from None
    told = file_dataset_of(conversion.writer)
    return replace(conversion, inputs=replace(inputs, notes=[*inputs.notes, *told.notes])) if told else conversion


def _affine(dataset: Dataset, layer: str) -> tuple[Affine, list[str]]:
    """Where mag-1 voxels lie: as the file said that the layer was made of, else in the dataset; with notes on it."""
    size = dataset.voxel_size
    assert size, "the metadata state it"
    x, y, z = (float(side or 1) for side in size.size)  # those of a dataset are complete
    plain = Affine((x, 0.0, 0.0), (0.0, y, 0.0), (0.0, 0.0, z), (0.0, 0.0, 0.0), size.unit)
    found = Grid.parse(recorded_grids(dataset.path).get(layer, {})).affine
    if found is None or found.unit is None:
        return plain, []
    own = [math.hypot(*step) * METRES[found.unit] / METRES[size.unit] for step in (found.x, found.y, found.z)]
    if all(math.isclose(one, side, rel_tol=1e-3) for one, side in zip(own, (x, y, z), strict=True)):
        return found, []
    told = f"{layer} lay at {found}, which is not in voxels of {size}: it is left out"
    return plain, [WarningNote(told)]


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


def _mags(
    layer: SourceLayer, finest: Mag, pictures: Pictures, file: FileDataset | None, to: str, box: Box
) -> Sequence[Mag]:
    """The mags to export, the finest first. Raises OptionError for pictures that a single file does not take."""
    if not file:
        return [finest]
    if pictures.tile_size or pictures.tiles_per_dimension:
        fix = "leave --tile-size and --tiles-per-dimension out, or say --to tiff"
        raise OptionError(f"--to {to} writes one file, not tiles", fix=fix)
    if pictures.downsample > 1:  # the layer's coarser mags are none of those pixels
        return [finest]
    return file.takes([mag for mag in layer.mags if max(mag) >= max(finest)], box)


def _only_layer(dataset: Dataset) -> str:
    """The name of the only layer. Raises OptionError where there are several, UnsupportedSource for none."""
    names = list(dict.fromkeys(where.layer for where in dataset.choose()))
    if len(names) > 1:
        what = f"{dataset.path} has {len(names)} layers, and one is exported"
        raise OptionError(what, fix=f"--layer-name takes one of {', '.join(names)}")
    return names[0]


def _writer(to: str, folder: Path, spec: DatasetSpec, settings: Settings) -> DatasetSink:
    """A writer of the format. Raises OptionError for one that nobody writes, PluginError with what to install."""
    loaded = plugins()
    options = settings.writer_options
    writer: DatasetSink | None = loaded.hook.wkconvert_create(format=to, path=folder, spec=spec, options=options)
    if writer is None:
        failed = [f"{plugin.name} failed to load: {plugin.error}" for plugin in loaded.loaded if plugin.error]
        if to not in EXTRAS:
            raise OptionError(f"nothing is exported to {to!r}", fix=one_of(sorted({*loaded.exports(), *EXTRAS}), to))
        why = "; ".join(["no plugin that is installed writes it", *failed])
        raise PluginError(
            f"{EXTRAS[to][0]} cannot be written", why=why, fix=f'pip install "wkconvert[{EXTRAS[to][1]}]"'
        )
    return writer
