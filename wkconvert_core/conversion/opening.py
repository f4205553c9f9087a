"""From a path to layers: their sources, names, categories and voxel size. Writes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TypeAlias

import numpy as np

from wkconvert_core.contract.abilities import stream_of
from wkconvert_core.contract.errors import OptionError, ResourceError, UnknownFormat
from wkconvert_core.contract.geometry import Vec3
from wkconvert_core.contract.model import Confidence, Layer, Match, Source, VolumeInfo
from wkconvert_core.contract.notes import WarningNote, about
from wkconvert_core.contract.reader_options import UnknownOption
from wkconvert_core.conversion.settings import FINEST, Settings
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.conversion.stored_dtype import check_ids, dtype_to_write, scaled_values
from wkconvert_core.datasets.checksums import mags_without_shards, told_of_empty_mags
from wkconvert_core.datasets.dataset import Dataset, check_described
from wkconvert_core.datasets.naming import PROPERTIES_FILE, suggest
from wkconvert_core.datasets.reader import layers_of
from wkconvert_core.datasets.recorded import compared
from wkconvert_core.datasets.records.existing_layers import Grid, recorded_grids
from wkconvert_core.planning.costs import Budget
from wkconvert_core.registry import detection
from wkconvert_core.registry.answers import Found
from wkconvert_core.registry.known_shapes import check_no_slices, told_of_files
from wkconvert_core.registry.plugins import Plugins
from wkconvert_core.sources.category import Decision, by_name, classify, is_for_labels
from wkconvert_core.sources.views import InSpace, as_dtype, transformed
from wkconvert_core.toolkit.byte_sizes import size_text
from wkconvert_core.toolkit.dyes import dye_color
from wkconvert_core.toolkit.files import is_file, is_folder, listed, stem

Opened: TypeAlias = tuple[Found, Layer, Settings]
"""A layer, where it was found, and the settings that its reader has left."""


def open_source(
    src: Path | str, settings: Settings, plugins: Plugins, budget: Budget | None = None
) -> list[SourceLayer]:
    """Open all layers of `src`, a path or a URL, as the settings ask; within a budget if there is one.

    Raises OptionError, ResourceError and the readers' errors.
    """
    try:
        found_all = detection.find(src, plugins, settings.reader, settings.reader_options)
    except UnknownFormat:
        if isinstance(src, Path):
            check_described(src)  # a dataset without metadata is no unknown format
        raise
    layers = _open_all(found_all, settings, plugins)
    if settings.reader is None and isinstance(src, Path) and "layers" not in settings.reader_options.values():
        layers = _one_file_each(layers)
    _check_options(src, [layer.source.info for _, layer, _ in layers], settings)
    if budget:  # what only looks at a few voxels does not wait for whole shards
        layers = [(it, compared(Path(it.path), layer) if _is_dataset(it) else layer, how) for it, layer, how in layers]
        _check_chunks([layer for _, layer, _ in layers], budget)
    opened: dict[str, SourceLayer] = {}
    for found, layer, wanted in layers:
        layer, decision = _decided(found, layer, settings, plugins)
        made = _as_written(found, layer, decision, wanted, is_alone=len(layers) == 1)
        named = _named(made, "_".join(part for part in (found.layer, layer.name) if part), settings.layer_name, opened)
        opened[named.name] = named
    return list(opened.values())


def _check_options(src: Path | str, infos: Sequence[VolumeInfo], settings: Settings) -> None:
    """Raise OptionError for options that fit one layer, or layers of one extent, where there are others."""
    if len(infos) > 1 and (settings.layer_name or settings.category):
        option = "--layer-name" if settings.layer_name else "--category"
        raise OptionError(
            f"{option} fits one layer, and {src} holds {len(infos)}",
            fix="convert them one by one, the later ones with --add",
        )
    differ = len({info.extent for info in infos}) > 1
    if settings.flip and settings.bbox and differ and not all(info.affine for info in infos):
        raise OptionError(
            "--bbox counts voxels of each mirrored layer, and the layers differ in extent",
            fix="convert them one by one, the later ones with --add, and numbers of their own",
        )


def _named(layer: SourceLayer, said: str, asked: str | None, taken: Collection[str]) -> SourceLayer:
    """The layer with a name that is not `taken`: as asked, as folder and reader have `said`, else its category."""
    base = asked or (suggest(said, layer.category) if said else layer.category)
    name = next(each for each in chain([base], (f"{base}_{number}" for number in count(2))) if each not in taken)
    note = f"{said!r} is called {name}" if said not in ("", name) and not asked else ""
    if said and name != base:
        note = WarningNote(f"it is called {name}, as another layer is {base}: remove one if they are the same twice")
    return replace(layer, name=name, notes=(*layer.notes, *filter(None, [note])))


def _one_file_each(layers: list[Opened]) -> list[Opened]:
    """The layers, with a warning if they are numbered files of one folder. Raises as `told_of_files` does."""
    paths = list(dict.fromkeys(Path(found.path) for found, _, _ in layers))
    names, folder = [stem(path) for path in paths], paths[0].parent
    if len(paths) == 1 and is_folder(paths[0]):
        names, folder = [layer.name or "" for _, layer, _ in layers], paths[0]
    if (are_slices := all(layer.source.info.shape[2] == 1 for _, layer, _ in layers)) and is_folder(paths[0]):
        check_no_slices(paths)
    if len(names) < 2 or not {*names} <= {stem(path) for path in listed(folder) if is_file(path)}:
        return layers
    notes = told_of_files(folder, names, layers[0][0].match.format, are_slices=are_slices)
    return [(replace(found, notes=(*found.notes, *notes)), layer, how) for found, layer, how in layers]


def _decided(found: Found, layer: Layer, settings: Settings, plugins: Plugins) -> tuple[Layer, Decision]:
    """The layer and its category; what turns out to be labels is opened as such if its reader tells of a change."""
    names = _telling_names(found, layer)
    decision = classify(layer.source, option=settings.category, hint=layer.category, names=names)
    is_found_by_look = not (settings.category or layer.category or by_name(names))
    if decision.category == "segmentation" and is_found_by_look and layer.source.info.notes:
        again = _open_all([found], replace(settings, category="segmentation"), plugins)
        layer = next((labels for _, labels, _ in again if labels.name == layer.name), layer)
    return layer, decision


def _as_written(found: Found, layer: Layer, decision: Decision, settings: Settings, *, is_alone: bool) -> SourceLayer:
    """The layer, as yet without a name, as the settings cut, mirror and cast it, with all that there is to note."""
    own, finest = layer.source, min(layer.mags)
    channels = own.info.channels if settings.channel is None else 1
    of_dtype, dtype, fit = dtype_to_write(own.info.dtype, settings, decision.category, channels)
    if decision.category == "segmentation" and not _is_dataset(found):
        check_ids(np.dtype(dtype or own.info.dtype), channels)
    try:
        source = _transformed(own, settings)
    except OptionError as error:
        if is_alone:
            raise
        fix = f"{error.fix}; or convert the layers one by one, the later ones with --add"
        name = layer.name or found.layer or stem(Path(found.path))
        raise OptionError(about(name, error.what), why=error.why, fix=fix) from None
    values, of_range = scaled_values(source, settings)
    source = as_dtype(source, dtype, fit, values)
    notes = [*found.notes, *layer.notes, *own.info.notes]
    if finest != FINEST:
        notes.append(f"the source has no mag 1; its finest is {finest}")
    named = by_name(_telling_names(found, layer))
    if decision.category == "color" and own.info.channels > 1 and named and named.category == "segmentation":
        notes.append(
            WarningNote(
                f"it holds colours, though {named.reason}: if these are labels, save their ids as one number a voxel; "
                "of a palette, -o palette=indices takes the numbers"
            )
        )
    size = own.info.voxel_size
    is_size_open = settings.voxel_size is None or settings.voxel_size.missing()
    if size and is_size_open and (oddity := size.refined(finest).oddity()):
        notes.append(WarningNote(f"the voxel size {size} ({size.origin}) cannot be right: {oddity}"))
    is_grey = decision.category == "color" and source.info.channels == 1
    return SourceLayer(
        "",
        decision,
        # Coarser mags of the source do not fit a finest mag that was cropped, flipped or cast.
        layer.mags if source is own else {finest: source},
        found,
        layer.color or (dye_color(found.layer) if found.layer and is_grey and not is_alone else None),
        (*notes, *of_dtype, *of_range),
        start=Vec3(*own.info.offset),
        shift=Vec3(0, 0, settings.start_z),
        lies=_lies(found, layer, settings),
        intensity_range=layer.intensity_range if fit == "exact" else None,
    )


def _transformed(source: Source, settings: Settings) -> Source:
    box, skip_z = settings.bbox, settings.skip_first_z_slices
    return transformed(source, channel=settings.channel, box=box, skip_z=skip_z, flip=settings.flip)


def _lies(found: Found, layer: Layer, settings: Settings) -> Grid:
    """Where a layer's first voxel lies as it will be written, by its source or the records of its dataset."""
    own = layer.source.info
    stated = Grid(own.affine, own.turned.how if own.turned else "", "", own.stage, own.first_slice)
    if _is_dataset(found):
        stated = Grid.parse(recorded_grids(Path(found.path)).get(layer.name or "", {}))
        affine = stated.affine and stated.affine.coarsened(min(layer.mags)).moved(own.offset)
        stated = replace(stated, affine=affine)
    # the affine goes the way of the voxels
    affine = _transformed(InSpace(layer.source, stated.affine), settings).info.affine
    return replace(stated, affine=affine, flip="".join(sorted({*stated.flip} ^ {*settings.flip})))


def open_dataset(dataset: Dataset, names: Collection[str], budget: Budget) -> list[SourceLayer]:
    """Open the layers of these names (none: all) of a finished dataset, as they are.

    Raises UnsupportedSource for a layer that cannot be worked on, OptionError for one that does not exist,
    BrokenSource, DamagedData, ResourceError.
    """
    wanted = dict.fromkeys(where.layer for where in dataset.choose(list(names)))
    match = Match("webknossos", Confidence.EXACT, f"{PROPERTIES_FILE}, {len(wanted)} layer{'s' * (len(wanted) != 1)}")
    opened = (compared(dataset.path, layer) for layer in layers_of(dataset, wanted))
    layers = dict(zip(wanted, opened, strict=True))
    _check_chunks(list(layers.values()), budget)
    return [
        SourceLayer(
            name,
            Decision(dataset.layers[name].category, f"{PROPERTIES_FILE} says so"),
            layer.mags,
            Found(dataset.path, match),
            layer.color,
            (*layer.notes, *told_of_empty_mags(mags_without_shards(dataset, name))),
        )
        for name, layer in layers.items()
    ]


def _is_dataset(found: Found) -> bool:
    return found.match.format == "webknossos"


def _check_chunks(layers: Sequence[Layer], budget: Budget) -> None:
    """Raise ResourceError if one chunk of a layer does not fit in memory, before any is decoded."""
    for info in (layer.source.info for layer in layers if not stream_of(layer.source)):
        x, y, z = info.chunk_shape or (0, 0, 0)
        needed = budget.base + 2 * x * y * z * info.voxel_bytes
        if x and needed > budget.memory:
            raise ResourceError(
                f"{budget.given} is too little",
                why=f"{x} x {y} x {z} voxels are decoded at a time, and the program takes {size_text(budget.base)}",
                fix=budget.enough(needed * 1.25),
            )


def _open_all(found: Sequence[Found], settings: Settings, plugins: Plugins) -> list[Opened]:
    """Open every layer of every path; its settings are without the channel if the reader has chosen it.

    An option that some readers lack is an error only if all of them lack it.
    """
    core = {
        "gaps": settings.gaps if settings.gaps != "error" else None,
        "pad": "true" if settings.pad else None,
        "mix_dtypes": "true" if settings.dtype else None,
        "category": settings.category,
        "channel": None if settings.channel is None else str(settings.channel),
        "follow": "true" if settings.follow else None,
    }
    options = {name: text for name, text in core.items() if text is not None}
    options.update(settings.reader_options)
    layers: list[Opened] = []
    rejected: list[dict[str, UnknownOption]] = []
    for item in found:
        opened, unknown = _open_one(item, options, settings.reader_options if len(found) == 1 else {}, plugins)
        labels = [
            not layer.category and (named := by_name(_telling_names(item, layer))) and named.category == "segmentation"
            for layer in opened
        ]
        if settings.category is None and any(labels):  # some readers treat labels differently: open these as such
            given = {name: text for name, text in options.items() if name not in unknown}
            with contextlib.suppress(UnknownOption):
                again = detection.open_layers(item, plugins, given | {"category": "segmentation"})
                if all(labels):
                    opened = again
                elif len(again) == len(opened):  # else it is unknown which layer became which
                    opened = [new if label else old for old, new, label in zip(opened, again, labels, strict=True)]
        left = settings if "channel" in unknown else replace(settings, channel=None)
        known = [layer.mags for other, layer, _ in layers if other.match.format == item.match.format]
        layers += [(item, layer, left) for layer in opened if layer.mags not in known]  # .hdr and .img are one volume
        rejected.append(unknown)
    if nobodys := [name for name in settings.reader_options if all(name in unknown for unknown in rejected)]:
        fixes = dict.fromkeys(unknown[name].fix for unknown in rejected for name in nobodys)
        raise OptionError(f"unknown reader option {', '.join(nobodys)}", fix="; ".join(fixes))
    return layers


def _open_one(
    found: Found, options: dict[str, str], required: Collection[str], plugins: Plugins
) -> tuple[list[Layer], dict[str, UnknownOption]]:
    """Open a path's layers without the options that its reader lacks, which are returned.

    Raises OptionError if the reader lacks a `required` one.
    """
    unknown: dict[str, UnknownOption] = {}
    while True:
        try:
            return detection.open_layers(found, plugins, options), unknown
        except UnknownOption as error:
            if not set(error.names) & set(options):
                raise
            if nobodys := [name for name in error.names if name in required]:
                raise OptionError(f"unknown reader option {', '.join(nobodys)}", fix=error.fix) from None
            unknown |= dict.fromkeys(error.names, error)
            options = {name: text for name, text in options.items() if name not in unknown}


def _telling_names(found: Found, layer: Layer) -> list[str]:
    """Names that may say whether a layer is color or segmentation, the most telling first."""
    names = [layer.name, found.layer, stem(Path(found.path).absolute())]
    if found.layers == 1 and is_for_labels(found.source) and Path(found.path).parent.name == found.source:
        names.insert(1, found.source)
    elif found.layers == 1 or ((told := by_name([found.source])) and told.category == "segmentation"):
        names.append(found.source)  # of several layers, a folder of images may hold labels, too
    return [name for name in names if name]
