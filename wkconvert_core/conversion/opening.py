"""From a path to layers: what is there, its names, its meaning, its voxel size. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.abilities import stream_of
from wkconvert_core.contract.errors import InconsistentStack, OptionError, ResourceError, UnsupportedSource
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.model import Category, Confidence, Layer, Match, Source, VolumeInfo
from wkconvert_core.contract.reader_options import UnknownOption
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.conversion.settings import DTYPES, FINEST, Settings
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.naming import PROPERTIES_FILE, suggest
from wkconvert_core.datasets.reader import open_layer
from wkconvert_core.planning.route import Budget
from wkconvert_core.registry import detection as detect
from wkconvert_core.registry.detection import Found
from wkconvert_core.registry.plugins import Plugins
from wkconvert_core.sources import views
from wkconvert_core.sources.casting import Fit
from wkconvert_core.sources.category import Decision, by_name, classify
from wkconvert_core.toolkit.byte_sizes import size_text
from wkconvert_core.toolkit.files import stem

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType


@dataclass(frozen=True)
class SourceLayer:
    """A layer as it will be written."""

    name: str
    """While it is opened: what the reader calls it."""
    decision: Decision
    mags: Mapping[Mag, Source]
    found: Found
    color: tuple[int, int, int] | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def category(self) -> Category:
        """What the layer means."""
        return self.decision.category

    @property
    def finest(self) -> Mag:
        """The finest mag that the source has."""
        return min(self.mags)

    @property
    def info(self) -> VolumeInfo:
        """What the finest mag holds."""
        return self.mags[self.finest].info

    @property
    def voxel_size(self) -> VoxelSize | None:
        """Of mag 1, as the source says it."""
        size = self.info.voxel_size
        return size and size.refined(self.finest)


def open_source(
    src: Path | str, settings: Settings, plugins: Plugins, budget: Budget | None = None
) -> list[SourceLayer]:
    """Open everything at `src`, as the settings want it; within a budget if there is one.

    Raises OptionError, ResourceError and the readers' errors.
    """
    found = detect.find(src, plugins, settings.reader, settings.reader_options)
    layers = _open_all(found, settings, plugins)
    if len(layers) > 1 and (settings.layer_name or settings.category):
        option = "--layer-name" if settings.layer_name else "--category"
        raise OptionError(
            f"{option} fits one layer, and {src} holds {len(layers)}",
            fix="convert them one by one, the later ones with --add",
        )
    if budget:
        _check_chunks([layer for _, layer, _ in layers], budget)
    return _named([_opened(item, layer, wanted) for item, layer, wanted in layers], settings)


def open_dataset(dataset: Dataset, names: Collection[str], budget: Budget) -> list[SourceLayer]:
    """The layers of these names (none: all) of a finished dataset, as they are.

    Raises UnsupportedSource for a layer that cannot be worked on, OptionError for one that is not there, BrokenSource,
    DamagedData.
    """
    wanted = dict.fromkeys(each.layer for each in dataset.choose(list(names)))
    match = Match("webknossos", Confidence.EXACT, f"{PROPERTIES_FILE}, {len(wanted)} layer{'s' * (len(wanted) != 1)}")
    layers = {name: open_layer(dataset, name) for name in wanted}
    _check_chunks(list(layers.values()), budget)
    return [
        SourceLayer(
            name,
            Decision(dataset.layers[name].category, f"{PROPERTIES_FILE} says so"),
            layer.mags,
            Found(dataset.path, match),
            layer.color,
            layer.notes,
        )
        for name, layer in layers.items()
    ]


def _check_chunks(layers: Sequence[Layer], budget: Budget) -> None:
    """Raise ResourceError before anything is decoded that does not fit in memory."""
    for info in (layer.source.info for layer in layers if not stream_of(layer.source)):
        x, y, z = info.chunk_shape or (0, 0, 0)
        needed = budget.base + 2 * x * y * z * info.voxel_bytes
        if x and needed > budget.memory:
            raise ResourceError(
                f"{budget.given} is too little",
                why=f"{x} x {y} x {z} voxels are decoded at a time, and the program takes {size_text(budget.base)}",
                fix=budget.enough(needed * 1.25),
            )


def _open_all(found: Sequence[Found], settings: Settings, plugins: Plugins) -> list[tuple[Found, Layer, Settings]]:
    """Every layer of every path, with the settings that are left to core for it.

    An option that one reader lacks is an error only if all lack it.
    """
    layers: list[tuple[Found, Layer, Settings]] = []
    rejected: list[dict[str, UnknownOption]] = []
    for item in found:
        opened, unknown = _open_one(item, settings, plugins, alone=len(found) == 1)
        if settings.category is None:
            opened = _with_labels(item, opened, settings, unknown, plugins)
        left = settings if "channel" in unknown else replace(settings, channel=None)
        known = [layer.mags for other, layer, _ in layers if other.match.format == item.match.format]
        layers += [(item, layer, left) for layer in opened if layer.mags not in known]  # .hdr and .img are one volume
        rejected.append(unknown)
    if nobodys := [name for name in settings.reader_options if all(name in unknown for unknown in rejected)]:
        fixes = dict.fromkeys(unknown[name].fix for unknown in rejected for name in nobodys)
        raise OptionError(f"unknown reader option {', '.join(nobodys)}", fix="; ".join(fixes))
    return layers


def _open_one(
    found: Found, settings: Settings, plugins: Plugins, *, alone: bool
) -> tuple[list[Layer], dict[str, UnknownOption]]:
    """A path's layers, and the options that its reader lacks; if it is `alone`, no other reader can have the user's."""
    options = {**_core_options(settings), **settings.reader_options}
    unknown: dict[str, UnknownOption] = {}
    while True:
        try:
            return detect.open_layers(found, plugins, options), unknown
        except UnknownOption as error:
            if not set(error.names) & set(options):
                raise
            if nobodys := [name for name in error.names if alone and name in settings.reader_options]:
                raise OptionError(f"unknown reader option {', '.join(nobodys)}", fix=error.fix) from None
            unknown |= dict.fromkeys(error.names, error)
            options = {name: text for name, text in options.items() if name not in unknown}


def _with_labels(
    found: Found, layers: Sequence[Layer], settings: Settings, unknown: Collection[str], plugins: Plugins
) -> list[Layer]:
    """The layers; those whose names say labels are opened as such, where the reader treats these differently."""
    labels = [layer.category is None and _says_labels(found, layer) for layer in layers]
    options = {**_core_options(settings), **settings.reader_options, "category": "segmentation"}
    try:
        given = {name: text for name, text in options.items() if name not in unknown}
        again = detect.open_layers(found, plugins, given) if any(labels) else layers
    except UnknownOption:
        return list(layers)
    if len(again) != len(layers):  # which is which is not to be known
        return list(layers)
    return [new if is_label else old for old, new, is_label in zip(layers, again, labels, strict=True)]


def _says_labels(found: Found, layer: Layer) -> bool:
    decision = by_name(_names(found, layer))
    return decision is not None and decision.category == "segmentation"


def _names(found: Found, layer: Layer) -> list[str]:
    """What may tell what a layer is, the most telling first."""
    return [name for name in (layer.name, found.layer, stem(Path(found.path))) if name]


def _core_options(settings: Settings) -> dict[str, str]:
    """The settings that only a reader can carry out, as the options that readers know them by."""
    wanted = {
        "gaps": settings.gaps if settings.gaps != "error" else None,
        "pad": "true" if settings.pad else None,
        "mix_dtypes": "true" if settings.dtype else None,
        "category": settings.category,
        "channel": None if settings.channel is None else str(settings.channel),
    }
    return {name: text for name, text in wanted.items() if text is not None}


def _opened(found: Found, layer: Layer, settings: Settings) -> SourceLayer:
    names = _names(found, layer)
    decision = classify(layer.source, option=settings.category, hint=layer.category, names=names)
    note, dtype, fit = _element_type(layer.source.info.dtype, settings, decision.category)
    source = _wanted(layer.source, settings, dtype, fit)
    finest = min(layer.mags)
    mags = {finest: source} if source is not layer.source else layer.mags
    coarse = [f"the source has no mag 1; its finest is {finest}"] if finest != FINEST else []
    notes = (*found.notes, *layer.notes, *layer.source.info.notes, *coarse, *note)
    return SourceLayer(layer.name or "", decision, mags, found, layer.color, notes)


def _element_type(own: DType, settings: Settings, category: Category) -> tuple[list[str], str | None, Fit]:
    """What to tell the user, the dtype to convert to (None: as it is), and how."""
    if settings.dtype is not None and own.kind in "biuf":
        return [], settings.dtype, settings.convert
    if own == np.bool_:
        shown: Fit = "exact" if category == "segmentation" else "scale"
        return [f"1-bit values are stored as uint8, {'0 and 1' if shown == 'exact' else '0 and 255'}"], "uint8", shown
    if own == np.float16:
        return ["float16 is stored as float32, which holds all its values"], "float32", "exact"
    if own.name not in DTYPES:
        raise UnsupportedSource(
            f"voxels of dtype {own} cannot be converted", fix=f"convert them to one of {', '.join(DTYPES)} first"
        )
    if own == np.float64 or (own.itemsize == 8 and category == "color"):
        return [f"{own} is kept; WEBKNOSSOS may not show it as color: --dtype chooses another"], None, "exact"
    return [], None, "exact"


def _wanted(source: Source, settings: Settings, dtype: str | None, fit: Fit) -> Source:
    return views.transformed(
        source,
        channel=settings.channel,
        box=settings.bbox,
        skip_z=settings.skip_first_z_slices,
        flip=settings.flip,
        dtype=dtype,
        fit=fit,
    )


def _named(layers: Sequence[SourceLayer], settings: Settings) -> list[SourceLayer]:
    """The layers with names of their own: as asked, as the reader or the folder says, else by category."""
    named: dict[str, SourceLayer] = {}
    for layer in layers:
        wanted = settings.layer_name or _base_name(layer)
        unique = next(n for n in (wanted, *(f"{wanted}_{i}" for i in range(2, len(layers) + 2))) if n not in named)
        said = _said_name(layer)
        note = [f"{said!r} is called {unique}"] if said not in ("", unique) and not settings.layer_name else []
        named[unique] = replace(layer, name=unique, notes=(*layer.notes, *note))
    return list(named.values())


def _base_name(layer: SourceLayer) -> str:
    said = _said_name(layer)
    return suggest(said, layer.category) if said else layer.category


def _said_name(layer: SourceLayer) -> str:
    """What folder and reader call a layer."""
    return "_".join(part for part in (layer.found.layer, layer.name) if part)


def voxel_size(layers: Sequence[SourceLayer], wanted: VoxelSize | None) -> VoxelSize:
    """The one voxel size of the dataset: as asked, its open axes as the sources say.

    Raises OptionError for an axis that nobody knows, InconsistentStack where sources differ.
    """
    sizes = [layer.voxel_size for layer in layers if layer.voxel_size]
    size = wanted or (sizes[0] if sizes else VoxelSize((None, None, None)))
    for other in sizes:
        size = size.filled(other)
    if wanted is None or wanted.missing():
        _check_agreement([layer for layer in layers if layer.voxel_size], wanted)
    flat = all(layer.info.shape[2] == 1 for layer in layers)
    x, y, z = size.size
    if flat and z is None and x is not None:
        size = VoxelSize((x, y, x), size.unit, f"{size.origin}; z of the single slice taken from x")
    if missing := size.missing():
        raise OptionError(
            f"the voxel size along {', '.join(missing)} is not known",
            why=_what_is_known(layers, size),
            fix=f"say it, for example --voxel-size {'4,4,35' if wanted else _example(size)}"
            + ("" if size.unit == "nm" else f" --unit {size.unit}"),
        )
    return size


def _what_is_known(layers: Sequence[SourceLayer], size: VoxelSize) -> str:
    """Why there is no voxel size: the axes that are known, and what the readers noted, perhaps of a unit."""
    known = f" (known: {size}, {size.origin})" if any(size.size) else ""
    notes = [note for layer in layers for note in layer.info.notes if "size" in note or "unit" in note]
    return "; ".join([f"the source does not say it{known}", *notes[:3]])


def _example(size: VoxelSize) -> str:
    return ",".join(
        "" if known is not None else guess for known, guess in zip(size.size, ("4", "4", "35"), strict=True)
    )


def _check_agreement(layers: Sequence[SourceLayer], wanted: VoxelSize | None) -> None:
    """Raise if the sources' sizes differ along an axis that `wanted` leaves to them."""
    open_axes = [i for i in range(3) if wanted is None or wanted.size[i] is None]
    for i in open_axes:
        known = {layer.name: s.to("nm").size[i] for layer in layers if (s := layer.voxel_size)}
        values = [value for value in known.values() if value is not None]
        if values and max(values) - min(values) > 1e-6 * max(values):
            listed = "; ".join(f"{layer.name}: {layer.voxel_size}" for layer in layers)
            raise InconsistentStack(
                f"the layers differ in voxel size: {listed}",
                why="a dataset has one voxel size",
                fix="decide with --voxel-size",
            )
