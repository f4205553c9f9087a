"""The reader of existing WEBKNOSSOS datasets, a plugin like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from wkconvert_core.contract.errors import BrokenSource, WkconvertError
from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.model import Confidence, Layer, Match
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.reader_options import parse_options
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.checksums import mags_without_shards, told_of_empty_mags
from wkconvert_core.datasets.dataset import Dataset, found_mags
from wkconvert_core.datasets.naming import PROPERTIES_FILE, shown
from wkconvert_core.datasets.properties import Properties
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.files import is_file, is_folder, listed

FORMATS = {"webknossos": "datasets of WEBKNOSSOS, with mags in any format below that `--to` names"}


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim a folder with metadata; if they are damaged or list no readable layer, opening it explains that."""
    if isinstance(path, str) or head or not is_file(path / PROPERTIES_FILE):
        return None
    try:
        formats = Counter(layer["dataFormat"] for layer in properties_file.read(path / PROPERTIES_FILE)["dataLayers"])
    except WkconvertError:
        return Match("webknossos", Confidence.CONTENT, f"{PROPERTIES_FILE}, damaged")
    known = [f"{n} {name} layer{'s' * (n != 1)}" for name, n in formats.items() if name in plugins().mag_formats()]
    if not known:
        return Match("webknossos", Confidence.CONTENT, f"{PROPERTIES_FILE} without a layer that a plugin stores")
    return Match("webknossos", Confidence.EXACT, f"{PROPERTIES_FILE} with {', '.join(known)}")


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> list[Layer] | None:
    """Open the layers of a dataset with all their mags."""
    if format != "webknossos" or isinstance(path, str):
        return None
    return open_layers(path, **parse_options(open_layers, options))


def open_layers(path: Path, *, layers: str | None = None, follow: bool = False) -> list[Layer]:
    """Open a dataset's layers, or those with the names listed in `layers` (`em,labels`); each mag is a StoredMag.

    Raises SourceNotFound, BrokenSource, DamagedData.
    """
    dataset, names = Dataset.finished(path, follow=follow), layers.split(",") if layers else []
    notes = dataset.left_alone_in(names)
    if lost := _not_taken_over(dataset.properties or {}, _TAKEN_OVER):
        notes.append(WarningNote(f"of the dataset's metadata, {lost} {_TELLS}"))
    opened = [_without_empty_mags(dataset, layer) for layer in layers_of(dataset, names)]
    return [replace(it, notes=(*notes, *it.notes, *_beyond(it), *_lost(dataset, it.name or ""))) for it in opened]


def _without_empty_mags(dataset: Dataset, layer: Layer) -> Layer:
    """The layer without coarser mags that would be taken for mags of zeros."""
    empty = mags_without_shards(dataset, layer.name or "")
    mags = {mag: source for mag, source in layer.mags.items() if mag not in empty}
    return replace(layer, mags=mags, notes=(*layer.notes, *told_of_empty_mags(empty, "are left out")))


def _beyond(layer: Layer) -> Iterator[WarningNote]:
    """Warn of shards beyond the bounding box, as those of a mag that is listed as a coarser one: they are not read."""
    for mag, source in layer.mags.items():
        if isinstance(source, StoredMag):
            boxes = (Box(shard.start, source.shard_shape) for shard in source.shards())
            if count := sum(not box.intersection(source.box).volume for box in boxes):
                shards = f"{count} shard{'s lie' if count > 1 else ' lies'}"
                yield WarningNote(
                    f"mag {mag}: {shards} beyond the bounding box, and {'are' if count > 1 else 'is'} not read"
                )


_TAKEN_OVER = ("id", "scale", "version", "dataLayers")
_TAKEN_OVER_OF_LAYER = (
    *("name", "category", "boundingBox", "elementClass", "numChannels", "dataFormat", "mags", "wkwResolutions"),
    "largestSegmentId",
)
_TAKEN_OVER_OF_VIEW = ("color", "intensityRange", "min", "max")
"""Keys of metadata that tell what the new dataset has again, copied or measured anew."""
_SHOWN_WHOLE = {"intensityRange": [0, 255], "min": 0, "max": 255}
"""The views of 8-bit layers that are shown as they are; a range of theirs is not measured anew."""
_NOTHING: tuple[object, ...] = (None, "", [], {})
_VIEW = "defaultViewConfiguration"
_TELLS = "not taken over: `wkconvert recube` copies a dataset with its metadata"


def _lost(dataset: Dataset, layer: str) -> Iterator[WarningNote]:
    """Warn of what a layer has beside its voxels that a conversion does not take over."""
    assert dataset.properties, "a finished dataset has metadata"
    entry = next(entry for entry in dataset.properties["dataLayers"] if entry["name"] == layer)
    view = entry.get(_VIEW) or {}
    is_narrowed = entry["elementClass"] in ("uint8", "uint24") and any(
        view.get(key, shown) != shown for key, shown in _SHOWN_WHOLE.items()
    )
    has_view = is_narrowed or bool(_not_taken_over(view, _TAKEN_OVER_OF_VIEW))
    if lost := _not_taken_over(entry, (*_TAKEN_OVER_OF_LAYER, *(() if has_view else (_VIEW,)))):
        yield WarningNote(f"of its metadata, {lost} {_TELLS}")
    if folders := folders_beside_mags(dataset, layer):
        yield WarningNote(f"of its folder, {', '.join(folders)} {'is' if len(folders) == 1 else 'are'} not copied")


def _not_taken_over(entry: Properties, known: Collection[str]) -> str:
    """The other keys that hold anything, listed as the subject of a sentence."""
    keys = sorted(
        shown(key, quoted=False) for key, value in entry.items() if key not in known and value not in _NOTHING
    )
    return f"{', '.join(keys)} {'is' if len(keys) == 1 else 'are'}" if keys else ""


def folders_beside_mags(dataset: Dataset, layer: str) -> list[str]:
    """The folders in that of a layer that hold no mag: mappings, meshes and the like."""
    mags = [where.folder for where in (*dataset.of(layer).values(), *found_mags(dataset.path))]
    beside = [path for path in listed(dataset.path / layer, "[!.]*") if is_folder(path)]
    return [path.name for path in beside if not any(mag.is_relative_to(path) for mag in mags)]


def layers_of(dataset: Dataset, names: Collection[str] = ()) -> list[Layer]:
    """Open the layers of these names (none: all) with the mags that exist, in the dataset's order.

    Raises BrokenSource if there is none, or if one has no voxels or lacks its finest mag, DamagedData.
    """
    there = dict.fromkeys(where.layer for where in dataset.mags)
    wanted = [name for name in there if not names or name in names]
    if not wanted:
        why = "; ".join(dataset.left_alone_in(names)) or "it lists no mag of one"
        raise BrokenSource(f"{dataset.path} holds no layer that can be read", why=why)
    return [_opened(dataset, name) for name in wanted]


def _opened(dataset: Dataset, name: str) -> Layer:
    layer, mags = dataset.layers[name], dataset.of(name)
    if not layer.box.volume:
        raise BrokenSource(
            f"the layer {name} of {dataset.path} has no voxels",
            why=f"its bounding box is {layer.box}",
            fix=f"`wkconvert metadata {dataset.path} --extent` makes the box fit; --layer-name selects others",
        )
    there = {mag: where for mag, where in mags.items() if where.is_there}
    if min(mags) not in there:
        raise BrokenSource(
            f"the layer {name} of {dataset.path} lacks its finest mag",
            why=f"{mags[min(mags)].folder} is missing",
            fix=f"restore it, or run `wkconvert metadata {dataset.path}` to do without it; --layer-name selects others",
        )
    missing = [str(mag) for mag in mags if mag not in there]
    notes = (WarningNote(f"mags listed for layer {name}, but missing: {', '.join(missing)}"),) if missing else ()
    return Layer({mag: where.open() for mag, where in there.items()}, name, layer.category, layer.color, notes)
