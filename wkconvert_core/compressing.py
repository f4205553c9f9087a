"""Compressing what is not compressed, in place. Behind `wkconvert compress`.

A copy of these mags is made beside the dataset: a dataset of its own, resumable, its metadata last. Once they are
there, its mags are moved into the dataset, one by one; an old one goes when the new one is named. Every move can be
done again.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from wkconvert_core import datasource, recube
from wkconvert_core.conversion import Conversion
from wkconvert_core.disk import temporary_name, writing
from wkconvert_core.geometry import Mag
from wkconvert_core.journal import FOLDER, locked
from wkconvert_core.names import PROPERTIES_FILE
from wkconvert_core.settings import Settings
from wkconvert_core.stored import Properties, mag_entries, mag_folder, mag_of, stored_layer, stored_layers

COMMAND = "compress"


def prepare(
    src: Path, dst: Path | None, settings: Settings, *, names: Sequence[str] = (), mags: Collection[Mag] = ()
) -> Conversion:
    """Decide what is compressed: a copy of the whole at `dst`, or, without one, what is not, beside the dataset.

    Raises what `recube.prepare` raises.
    """
    if dst is not None:
        return recube.prepare(src, dst, settings, names=names, mags=mags, keep_shards=True, command=COMMAND)
    src = src.resolve()
    settings = replace(settings, name=src.name)
    return recube.prepare(
        src,
        _beside(src),
        settings,
        names=names,
        mags=mags,
        wanted=lambda header: header.block_type == "raw",
        keep_shards=True,
        command=COMMAND,
    )


def _beside(dataset: Path) -> Path:
    return dataset.with_name(f".{dataset.name}.wkconvert-compressed")


def is_pending(dataset: Path) -> bool:
    """Whether compressed mags wait to take the place of the old ones."""
    return (_beside(dataset.resolve()) / PROPERTIES_FILE).exists()


def take_over(dataset: Path) -> int:
    """Move the compressed mags into the dataset; returns the bytes saved. Raises TargetLocked, TargetError."""
    dataset, saved = dataset.resolve(), 0
    beside, file = _beside(dataset), dataset / PROPERTIES_FILE
    with locked(dataset), writing(dataset):
        ours, theirs = datasource.read(file), datasource.read(beside / PROPERTIES_FILE)
        for layer in stored_layers(theirs, beside):
            old = next(each for each in ours["dataLayers"] if each["name"] == layer.name)
            for mag in layer.mags:
                saved += _move(mag_folder(beside, layer, mag), mag_folder(dataset, stored_layer(old, dataset), mag))
        datasource.write(file, {**ours, "dataLayers": [_updated(entry, theirs) for entry in ours["dataLayers"]]})
        for path in (beside / FOLDER).glob(f"*.{COMMAND}.*"):
            shutil.copy2(path, dataset / FOLDER / path.name)
        done = temporary_name(beside)
        beside.rename(done)
        shutil.rmtree(done)
    return saved


def _move(new: Path, place: Path) -> int:
    """Put a mag in the place of another; a run that was killed in between has done a part of it."""
    old = new.with_name(f"{new.name}.old")
    saved = _bytes(place) - _bytes(new) if new.exists() else 0
    if new.exists():
        if place.exists():
            place.rename(old)
        new.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    return saved


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _updated(entry: Properties, compressed: Properties) -> Properties:
    """A layer's entry, with the shards' length of the mags that were compressed."""
    new = next((each for each in compressed["dataLayers"] if each["name"] == entry["name"]), None)
    if new is None:
        return entry
    lengths = {mag_of(mag): mag["cubeLength"] for mag in mag_entries(new)}
    kind = "mags" if "mags" in entry else "wkwResolutions"
    mags = [{**mag, "cubeLength": lengths.get(_mag(mag), mag.get("cubeLength"))} for mag in entry[kind]]
    return {**entry, kind: mags}


def _mag(entry: Properties) -> Mag:
    return mag_of({"mag": entry.get("mag", entry.get("resolution"))})
