"""One mag of one layer of a dataset as TIFF files: the same loop, with a sink of a plugin. Behind `export-tiff`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from wkconvert_core import __version__
from wkconvert_core.contract.errors import OptionError, PluginError, ResourceError, TargetExists, check_known
from wkconvert_core.contract.geometry import Box, Mag, Vec3, ceil_div, minus
from wkconvert_core.contract.model import (
    Confidence,
    DatasetSink,
    DatasetSpec,
    Layer,
    MagSpec,
    Match,
    Sink,
    Source,
    VolumeInfo,
)
from wkconvert_core.conversion.opening import Opened
from wkconvert_core.conversion.prepare import Conversion, budget_of
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.steps import Planned, kernel_of
from wkconvert_core.datasets import destination as target
from wkconvert_core.datasets.journal import Journal
from wkconvert_core.datasets.naming import PROPERTIES_FILE, dataset_name
from wkconvert_core.datasets.properties import Properties, mag_folder, stored_layers, voxel_size
from wkconvert_core.datasets.writer import open_dataset
from wkconvert_core.planning.route import Budget, planned
from wkconvert_core.registry.detection import Found
from wkconvert_core.registry.plugins import Plugins, plugins
from wkconvert_core.sources import views
from wkconvert_core.sources.category import Decision
from wkconvert_core.sources.downsampled import Downsampled
from wkconvert_core.sources.views import Wrapper
from wkconvert_core.toolkit.files import fingerprint

COMMAND = "export-tiff"
FORMAT = "tiff"
"""What the writing hook is asked for."""

BLOCK = (32, 32, 32)
"""What one decode of a WKW block yields."""

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

    def shard_shape(self, shape: Vec3) -> Vec3 | None:
        """The box of one tile of pictures of a shape; None for whole slices."""
        if self.tiles_per_dimension:
            x, y = (ceil_div(n, parts) for n, parts in zip(shape, self.tiles_per_dimension, strict=False))
            return x, y, 1
        return self.tile_size and (*self.tile_size, 1)


@dataclass(frozen=True)
class Blocks(Wrapper):
    """A mag of WKW that says what a decode yields: a slice alone would decode every block 32 times."""

    @cached_property
    def info(self) -> VolumeInfo:
        """The inner one's, with its blocks as chunks, on the dataset's grid."""
        info = self.inner.info
        return replace(info, chunk_shape=BLOCK, chunk_start=minus(info.offset))


def prepare(src: Path, out: Path, settings: Settings, pictures: Pictures | None = None) -> Conversion:
    """Decide how a part of a dataset becomes TIFF files, and write nothing.

    Of the settings, `layer_name` (None: the only layer), `bbox` (in mag-1 voxels), `name` (of the files; None: the
    layer's), `compression` and those of how to run count. `execute` of `convert` does it. Raises OptionError,
    SourceNotFound, BrokenSource, TargetExists, ResourceError; PluginError where no plugin writes TIFF.
    """
    pictures = pictures or Pictures()
    loaded = plugins()
    settings.check(loaded)
    pictures.check()
    src, out = target.checked_places(Path(src), Path(out))
    properties = target.finished(src)
    layer = _chosen(src, settings.layer_name)
    mag = pictures.mag or min(layer.mags)
    source, box = _part(layer, mag, settings)
    opened = _opened(src, layer, mag, source, box)
    factor = (pictures.downsample, pictures.downsample, 1)
    if pictures.downsample > 1:
        source = Downsampled(source, source.info.box, factor, kernel_of(opened, settings))
    name = _name(settings.name or opened.name)
    size = voxel_size(properties).coarsened(factor)
    plan = _plan(src, opened, mag, properties, settings, pictures, loaded)
    building = _building(out, settings, opened, plan)
    writer = _writer(loaded, building, DatasetSpec(name, size))
    sink = writer.layer(_spec(opened, mag, source, settings, pictures))
    budget = budget_of(settings, target.free_bytes(out))
    steps = [_planned(opened, source, sink, budget)]
    extents = {opened.name: box.refined(mag)}
    anew = replace(settings, overwrite=True)  # of what another command has begun beside OUT, and nothing else
    where = src, out, building, COMMAND, anew, [opened], size.coarsened(mag), writer, steps
    return Conversion(*where, budget.workers, plan, budget.scratch, extents)


def _chosen(src: Path, name: str | None) -> Layer:
    """The layer that is asked for. Raises BrokenSource, OptionError."""
    layers = {layer.name: layer for layer in open_dataset(src)}
    if name is not None:
        check_known("layer-name", [name], layers, f"is not in {src}")
        return layers[name]
    if len(layers) > 1:
        listed = ", ".join(map(str, layers))
        raise OptionError(
            f"{src} has {len(layers)} layers, and one is exported", fix=f"--layer-name takes one of {listed}"
        )
    return next(iter(layers.values()))


def _part(layer: Layer, mag: Mag, settings: Settings) -> tuple[Source, Box]:
    """What is exported of a mag, and where it lies in the dataset, in the mag's voxels. Raises OptionError."""
    check_known("mag", [mag], sorted(layer.mags), f"is not in the layer {layer.name}")
    source = layer.mags[mag]
    extent = source.info.box.shifted(source.info.offset)
    box = extent if settings.bbox is None else settings.bbox.coarsened(mag)
    if box not in extent or not box.volume:
        raise OptionError(
            f"--bbox asks for {settings.bbox}",
            why=f"the layer {layer.name} holds {extent.refined(mag)}, in voxels of mag 1",
            fix="ask for a part of that",
        )
    x, y, z = (a - o for a, o in zip(box.start, extent.start, strict=True))
    return views.Moved(views.Cropped(Blocks(source), Box((x, y, z), box.shape)), box.start), box


def _opened(src: Path, layer: Layer, mag: Mag, source: Source, box: Box) -> Opened:
    match = Match("wkw", Confidence.EXACT, f"mag {mag} of {src}, {box}")
    decision = Decision(layer.category or "color", f"{PROPERTIES_FILE} says so")
    name = layer.name or decision.category
    return Opened(name, decision, {mag: source}, Found(src, match), layer.color, source.info.notes)


def _name(text: str) -> str:
    """What the files' names begin with. Raises OptionError for what cannot be one, or would hide them."""
    if text.startswith("."):
        raise OptionError(f"--name {text} starts with a dot", why="such files are hidden, and no reader takes them")
    return dataset_name(text)


def _plan(
    src: Path,
    layer: Opened,
    mag: Mag,
    properties: Properties,
    settings: Settings,
    pictures: Pictures,
    loaded: Plugins,
) -> dict[str, Any]:
    size = voxel_size(properties)
    stored = next(each for each in stored_layers(properties, src) if each.name == layer.name)
    return {
        "command": COMMAND,
        "source": str(src),
        "layer": layer.name,
        "category": layer.category,
        "fingerprint": fingerprint(mag_folder(src, stored, mag)),
        "voxel_size": str((size.size, size.unit)),
        "pictures": str(replace(pictures, mag=mag)),
        "extent": str(layer.info.box.shifted(layer.info.offset)),
        "settings": settings.plan(),
        "version": __version__,
        "writer": loaded.version_of(FORMAT),
    }


def _building(out: Path, settings: Settings, layer: Opened, plan: dict[str, Any]) -> Path:
    """Where the files are written: beside OUT, as half a stack looks like a whole one; OUT if they are all there.

    Raises TargetExists unless OUT is free or holds this very export.
    """
    try:
        target.check(out, settings, COMMAND, [layer.name], plan)
    except TargetExists as error:
        why = "it is not what this very command has written"
        raise TargetExists(f"{out} is there already", why=why, fix="choose another OUT, or remove it") from error
    return out if Journal(out, layer.name, COMMAND).is_finished else target.beside(out)


def _writer(loaded: Plugins, out: Path, spec: DatasetSpec) -> DatasetSink:
    """The plugin that writes TIFF. Raises PluginError, which says what to install, where there is none."""
    writer: DatasetSink | None = loaded.hook.wkconvert_create(format=FORMAT, path=out, spec=spec)
    if writer is None:
        failed = [f"{plugin.name} failed to load: {plugin.error}" for plugin in loaded.loaded if plugin.error]
        why = "; ".join(["no plugin that is installed writes it", *failed])
        raise PluginError("TIFF cannot be written", why=why, fix='pip install "wkconvert[tiff]"')
    return writer


def _spec(layer: Opened, mag: Mag, source: Source, settings: Settings, pictures: Pictures) -> MagSpec:
    """What is written: pictures count from 0, wherever they lie in the dataset."""
    info = source.info
    compression = "none" if settings.compression == "none" else "deflate"
    return MagSpec(
        layer.name,
        layer.category,
        mag,
        info.box,
        info.dtype,
        info.channels,
        compression,
        shard_shape=pictures.shard_shape(info.shape),
    )


def _planned(layer: Opened, source: Source, sink: Sink, budget: Budget) -> Planned:
    """The way from the dataset to the files. Raises ResourceError, which says what would do."""
    try:
        step, way = planned(source, [sink], "", budget)
    except ResourceError as error:
        enough = error.fix.partition(", or ")[0]  # what else it offers is a choice that WKW alone has
        fix = f"{enough}; or write smaller files, for example --tile-size 2048,2048"
        raise ResourceError(error.what, why=error.why, fix=fix) from None
    return Planned(layer, step, way)
