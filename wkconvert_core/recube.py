"""A copy of a dataset with other shards, another compression or another dtype. Behind `wkconvert recube`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from wkconvert_core import datasource, target
from wkconvert_core.conversion import Conversion, Planned, budget_of, chosen, plan_of, spec_of
from wkconvert_core.errors import OptionError, SourceNotFound
from wkconvert_core.geometry import Mag
from wkconvert_core.layers import Opened, open_source
from wkconvert_core.model import DatasetSpec, Source
from wkconvert_core.names import PROPERTIES_FILE, dataset_name
from wkconvert_core.plan import planned
from wkconvert_core.plugins import plugins
from wkconvert_core.settings import Settings
from wkconvert_core.stored import Properties, element_class, mag_entries, mag_folder, mag_of, stored_layers, voxel_size
from wkconvert_core.views import Cast
from wkconvert_core.wkw_dataset import WkwDataset
from wkconvert_core.wkw_header import Header
from wkconvert_core.wkw_layer import BLOCK_LEN, open_mag

Wanted: TypeAlias = Callable[[Header], bool]

_OF_VALUES = ("min", "max", "intensityRange")
"""What a layer's view says of its values: another dtype has others."""


def prepare(
    src: Path,
    dst: Path,
    settings: Settings,
    *,
    names: Sequence[str] = (),
    mags: Collection[Mag] = (),
    wanted: Wanted = lambda header: True,
    keep_shards: bool = False,
    command: str = "recube",
) -> Conversion:
    """Decide how a dataset is copied, and write nothing.

    `names` are the layers, `mags` the mags to copy (none: all), as far as their header is `wanted`; `keep_shards`: in
    shards of the same length. Raises SourceNotFound where there is no dataset, OptionError for a layer or a mag that it
    does not have.
    """
    loaded = plugins()
    settings.check(loaded)
    src, dst = target.checked_places(src, dst)
    if not (src / PROPERTIES_FILE).is_file():
        raise SourceNotFound(f"{src} is no finished dataset", fix="give the folder of a dataset with its metadata")
    properties = datasource.read(src / PROPERTIES_FILE)
    budget = budget_of(settings, target.free_bytes(dst))
    opened = chosen(src, open_source(src, Settings(reader="wkw"), loaded, budget), names)
    if missing := set(mags) - {mag for layer in opened for mag in layer.mags}:
        raise OptionError(f"{src} has no mag {min(missing)}", fix="`wkconvert info` lists the mags of each layer")
    stored = {layer.name: layer for layer in stored_layers(properties, src)}
    headers = {(name, mag): open_mag(mag_folder(src, each, mag)) for name, each in stored.items() for mag in each.mags}
    layers = []
    for layer in opened:
        kept = [mag for mag in layer.mags if (not mags or mag in mags) and wanted(headers[layer.name, mag])]
        layers += [_with_mags(layer, kept, settings)] if kept else []
    plan = plan_of(src, settings, command, layers, loaded)
    target.check(dst, settings, command, [layer.name for layer in layers], plan)
    building = target.beside(dst) if settings.overwrite else dst
    name, size = dataset_name(settings.name or dst.name), voxel_size(properties)
    writer = WkwDataset(building, DatasetSpec(name, size), _described(properties, layers, name))
    steps = []
    for layer in layers:
        for mag, source in sorted(layer.mags.items()):
            box = source.info.box.shifted(source.info.offset)
            length = headers[layer.name, mag].side // BLOCK_LEN if keep_shards else settings.file_len
            sink = writer.layer(replace(spec_of(layer, settings, source, mag, box), file_len=length or None))
            steps.append(Planned(layer, *planned(source, [sink], "", budget)))
    extents = {name: layer.box for name, layer in stored.items()}
    where = src, dst, building, command, settings, layers, size, writer, steps
    return Conversion(*where, budget.workers, plan, budget.scratch, extents, keeps_metadata=True)


def _with_mags(layer: Opened, mags: Collection[Mag], settings: Settings) -> Opened:
    """The layer with some of its mags, each in the dtype that is asked for."""
    return replace(layer, mags={mag: _cast(layer.mags[mag], settings) for mag in mags})


def _cast(source: Source, settings: Settings) -> Source:
    return (
        source if settings.dtype in (None, source.info.dtype.name) else Cast(source, settings.dtype, settings.convert)
    )


def _described(properties: Properties, layers: Sequence[Opened], name: str) -> Properties:
    """The metadata of the copy, before its mags are written: what people and other tools put there stays."""
    entries = {entry["name"]: entry for entry in properties["dataLayers"]}
    described = [_layer_described(entries[layer.name], layer) for layer in layers]
    return {**properties, "id": {**properties["id"], "name": name}, "dataLayers": described}


def _layer_described(entry: Properties, layer: Opened) -> Properties:
    info = layer.info
    kept = {key: value for key, value in entry.items() if key != "wkwResolutions"}
    kept["mags"] = [
        {**mag, "path": f"./{layer.name}/{mag_of(mag)}"} for mag in mag_entries(entry) if mag_of(mag) in layer.mags
    ]
    wanted = element_class(info.dtype, info.channels)
    if wanted != entry["elementClass"] and "defaultViewConfiguration" in kept:
        view = kept["defaultViewConfiguration"]
        kept["defaultViewConfiguration"] = {key: value for key, value in view.items() if key not in _OF_VALUES}
    return {**kept, "elementClass": wanted, "numChannels": info.channels}
