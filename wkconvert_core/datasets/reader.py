"""The reader of existing WEBKNOSSOS datasets, a plugin like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from wkconvert_core.contract.errors import BrokenSource, WkconvertError
from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.model import Confidence, Layer, Match
from wkconvert_core.contract.reader_options import parse_options
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.registry.plugins import plugins

FORMATS = {"webknossos": "datasets of WEBKNOSSOS, with mags in any format below that `--to` names"}


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim a folder whose metadata list a readable layer, or are damaged: then opening them explains the damage."""
    if isinstance(path, str) or head or not (path / PROPERTIES_FILE).is_file():
        return None
    try:
        formats = Counter(layer["dataFormat"] for layer in properties_file.read(path / PROPERTIES_FILE)["dataLayers"])
    except WkconvertError:
        return Match("webknossos", Confidence.CONTENT, f"{PROPERTIES_FILE}, damaged")
    known = [f"{n} {name} layer{'s' * (n != 1)}" for name, n in formats.items() if name in plugins().mag_formats()]
    return Match("webknossos", Confidence.EXACT, f"{PROPERTIES_FILE} with {', '.join(known)}") if known else None


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> list[Layer] | None:
    """Open the layers of a dataset with all their mags."""
    if format != "webknossos" or isinstance(path, str):
        return None
    return open_layers(path, **parse_options(open_layers, options))


def open_layers(path: Path, *, layers: str | None = None) -> list[Layer]:
    """Open a dataset's layers, or those with the names listed in `layers` (`em,labels`); each mag is a StoredMag.

    Raises SourceNotFound, BrokenSource, DamagedData.
    """
    dataset = Dataset.finished(path)
    names = layers.split(",") if layers else list(dataset.layers)
    opened = [open_layer(dataset, name) for name in dataset.layers if name in names]
    if not opened:
        raise BrokenSource(
            f"{path} holds no layer that can be read", why="; ".join(dataset.left_alone) or "it has none"
        )
    return opened


def open_layer(dataset: Dataset, name: str) -> Layer:
    """Open a layer with the mags that exist. Raises BrokenSource if the finest one is missing, DamagedData."""
    layer, mags = dataset.layers[name], dataset.of(name)
    there = {mag: where for mag, where in mags.items() if where.folder.is_dir()}
    if not layer.mags or min(layer.mags) not in there:
        finest = min(layer.mags, default=None)
        if finest is None:
            why = f"{PROPERTIES_FILE} lists no mag of it"
        else:
            why = dataset.foreign_mags.get((name, finest)) or f"{mags[finest].folder} is missing"
        raise BrokenSource(
            f"the layer {name} of {dataset.path} lacks its finest mag",
            why=why,
            fix=f"restore it, or run `wkconvert metadata {dataset.path}` to do without it; --layer-name selects others",
        )
    is_first = name == next(iter(dataset.layers))  # what is true of the whole dataset is said once
    notes = dataset.left_alone[: len(dataset.foreign)] if is_first else []
    notes += dataset.left_alone_of(name)
    if missing := [str(mag) for mag in mags if mag not in there]:
        notes.append(f"mags listed for layer {name}, but missing: {', '.join(missing)}")
    opened = {mag: where.open() for mag, where in there.items()}
    return Layer(opened, name, layer.category, layer.color, tuple(notes))
