"""Compressing what is not compressed, in place. Behind `wkconvert compress`.

The compressed mags are built in the dataset's `.wkconvert`, as a dataset of their own: resumable, its metadata last.
Once those are there, its mags are moved, one by one, into the place of the old ones, which go when the new ones are
named. Every move can be done again; until all are done, the dataset says that it is not finished.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wkconvert_core.commands import recube
from wkconvert_core.contract.errors import DamagedData, TargetError, TargetExists
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.conversion.prepare import Conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets import destination as target
from wkconvert_core.datasets import properties_file as datasource
from wkconvert_core.datasets.checksums import records
from wkconvert_core.datasets.dataset import MagFolder, mags_of
from wkconvert_core.datasets.journal import FOLDER, keep_record, locked
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.datasets.properties import Properties, mag_entries, mag_folder, mag_of
from wkconvert_core.datasets.writer import COMPRESSED, is_half_compressed
from wkconvert_core.inspection.voxels_outside import outside
from wkconvert_core.toolkit.atomic import temporary_name, writing
from wkconvert_core.toolkit.byte_sizes import size_text
from wkconvert_core.toolkit.files import fingerprint

if TYPE_CHECKING:
    pass

COMMAND = "compress"


def prepare(
    src: Path, dst: Path | None, settings: Settings, *, names: Sequence[str] = (), mags: Collection[Mag] = ()
) -> Conversion:
    """Decide what is compressed: a copy of the whole at `dst`, or, without one, what is not, in place.

    Raises what `recube.prepare` raises, and TargetExists where what was begun in place does not fit this any more.
    """
    if dst is not None:
        return recube.prepare(src, dst, settings, names=names, mags=mags, keep_shards=True, command=COMMAND)
    src = src.resolve()
    try:
        conversion = recube.prepare(
            src,
            src / COMPRESSED,
            replace(settings, name=src.name),
            names=names,
            mags=mags,
            wanted=lambda header: header.block_type == "raw",
            keep_shards=True,
            command=COMMAND,
            in_place=True,
            noted={"places": _places(src)},
        )
    except TargetExists as error:
        raise TargetExists(
            f"{src} was being compressed in another way, or has changed since",
            why=error.why,
            fix=f"run the command that was begun again; or remove {src / COMPRESSED}: it holds nothing but copies",
        ) from None
    compressed = {(sink.spec.layer, sink.spec.mag) for planned in conversion.steps for sink in planned.step.sinks}
    for place in (place for place in mags_of(src) if (place.layer, place.mag) in compressed):
        _check_recorded(src, place)
        _check_outside(src, place)
    return replace(conversion, dst=src, settle=take_over)


def _check_recorded(dataset: Path, place: MagFolder) -> None:
    """Raise DamagedData for a shard that is missing or cut: what takes its place would look sound."""
    sums, side = records(dataset, place.layer).sums(place.mag), place.header().side
    for start, checksum in sums.of.items() if sums else ():
        path, recorded = place.shard_path(start, side), int(checksum.rpartition(":")[2])
        found = path.stat().st_size if path.exists() else 0
        if found != recorded:
            raise DamagedData(
                f"{path} has {found} bytes; {recorded} were recorded",
                why="in the compressed mag, nobody could see that any more",
                fix=f"`wkconvert verify {dataset}` tells more; restore the shard, or compress into a copy",
            )


def _check_outside(dataset: Path, place: MagFolder) -> None:
    """Raise TargetError for voxels outside the bounding box: only those within are compressed."""
    if cell := outside(place):
        raise TargetError(
            f"{place.title} of {dataset} has voxels outside its bounding box, within {cell}",
            why=f"the box is {place.box} in voxels of that mag; compressing in place would lose what lies outside",
            fix=f"`wkconvert metadata {dataset} --extent` makes the box fit; a copy leaves them out",
        )


def finish(dataset: Path) -> str:
    """Move what an earlier run has compressed, if it was interrupted; tells what came of it, or nothing.

    Raises TargetLocked, TargetError.
    """
    dataset = dataset.resolve()
    if not is_half_compressed(dataset):
        return ""
    with locked(dataset):
        return take_over(dataset / COMPRESSED, dataset)


def _places(dataset: Path) -> dict[str, dict[str, list[str]]]:
    """Where each raw mag lies, relative to the dataset, and what its files are like."""
    return {
        layer.name: {
            str(mag): [folder.relative_to(dataset).as_posix(), fingerprint(folder)]
            for mag in layer.mags
            if (folder := mag_folder(dataset, layer, mag)).is_dir()
        }
        for layer in target.stored(dataset)
        if layer.data_format == "wkw"
    }


@dataclass(frozen=True)
class _Move:
    """A compressed mag, the place of the old one, and what that was like."""

    new: Path
    place: Path
    seen: str

    @property
    def old(self) -> Path:
        """Where the old mag waits to be removed."""
        return self.new.with_name(f"{self.new.name}.old")

    def check(self) -> None:
        """Raise TargetError if the old mag is not what was compressed."""
        if self.new.exists() and self.place.exists() and fingerprint(self.place) != self.seen:
            raise TargetError(
                f"{self.place} has changed since compressing it was begun",
                why="the compressed mag would lose that",
                fix=f"remove {self.new.parent.parent}, and compress again",
            )

    def __call__(self) -> int:
        """Do it, whatever of it is done already; returns the bytes saved."""
        saved = 0
        if self.new.exists():
            saved = _bytes(self.place if self.place.exists() else self.old) - _bytes(self.new)
            if self.place.exists():
                self.place.rename(self.old)
            self.new.rename(self.place)
        shutil.rmtree(self.old, ignore_errors=True)
        return saved


def take_over(built: Path, dataset: Path) -> str:
    """Move the compressed mags into the dataset, which the caller holds; tells how much is saved.

    Raises TargetError for a mag that was changed after compressing it had begun.
    """
    with writing(dataset):
        moves = list(_moves(built, dataset))
        for move in moves:
            move.check()
        saved = sum(move() for move in moves)
        file = dataset / PROPERTIES_FILE
        ours, theirs = datasource.read(file), datasource.read(built / PROPERTIES_FILE)
        datasource.write(file, {**ours, "dataLayers": [_updated(entry, theirs) for entry in ours["dataLayers"]]})
        for plan in (built / FOLDER).glob(f"*.{COMMAND}.plan"):
            keep_record(plan, dataset / FOLDER)
        done = temporary_name(built)
        built.rename(done)
        shutil.rmtree(done)
    return f"{size_text(saved)} saved" if saved > 0 else f"{size_text(-saved)} more than before"


def _moves(built: Path, dataset: Path) -> Iterator[_Move]:
    plan = json.loads(next((built / FOLDER).glob(f"*.{COMMAND}.plan")).read_bytes())
    for entry in datasource.read(built / PROPERTIES_FILE)["dataLayers"]:
        for mag in map(mag_of, mag_entries(entry)):
            place, seen = plan["places"][entry["name"]][str(mag)]
            yield _Move(built / entry["name"] / str(mag), dataset / place, seen)


def _bytes(folder: Path) -> int:
    """What a folder takes in the dataset: nothing if it is a link."""
    return 0 if folder.is_symlink() else sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _updated(entry: Properties, compressed: Properties) -> Properties:
    """A layer's entry, with the shards' length of the mags that were compressed."""
    new = next((each for each in compressed["dataLayers"] if each["name"] == entry["name"]), None)
    if new is None:
        return entry
    lengths = {mag_of(mag): mag["cubeLength"] for mag in mag_entries(new)}
    kind = "mags" if "mags" in entry else "wkwResolutions"
    mags = [mag | ({"cubeLength": lengths[_mag(mag)]} if _mag(mag) in lengths else {}) for mag in entry[kind]]
    return {**entry, kind: mags}


def _mag(entry: Properties) -> Mag:
    return mag_of({"mag": entry.get("mag", entry.get("resolution"))})
