"""The place where a dataset is written: what may be there, and how a new dataset takes an old one's place."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import OptionError, SourceNotFound, TargetExists, TargetNotWritable
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets import properties_file as datasource
from wkconvert_core.datasets.journal import FOLDER, Journal, locked
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.datasets.properties import Properties, StoredLayer, stored_layers, voxel_size
from wkconvert_core.toolkit.atomic import TEMPORARY, temporary_name, writing

_REMEDIES = {
    "auto": "say --overwrite to replace the dataset, --add to add layers to it, or choose another DST",
    "compress": "remove it, or choose another TARGET",
}
"""What to do about a target that is taken, by command."""


def checked_places(src: Path, dst: Path) -> tuple[Path, Path]:
    """Source and target, links followed. Raises OptionError where one lies in the other or no path can be made."""
    try:
        source, target = src.resolve(), dst.resolve()
        source.exists(), target.exists()  # a loop of links, a name too long, a folder that may not be entered
    except (OSError, RuntimeError) as error:
        raise OptionError(f"{src} or {dst} cannot be reached", why=str(error), fix="check both paths") from None
    if target.is_relative_to(source):
        raise OptionError(f"DST {dst} lies in SRC {src}", why="the next run would read what this one writes")
    if source.is_relative_to(target):
        raise OptionError(f"SRC {src} lies in DST {dst}", why="a dataset's folder holds the dataset alone")
    return source, target


def beside(dst: Path) -> Path:
    """Where the dataset that will replace `dst` is built."""
    return dst.with_name(f".{dst.name}.wkconvert-new")


def _old(dst: Path) -> Path:
    return dst.with_name(f"{dst.name}.wkconvert-old")


def free_bytes(dst: Path) -> int:
    """Bytes free where the target lies or will lie. Raises TargetNotWritable."""
    place = dst
    while not place.exists():
        place = place.parent
    if place.is_dir() and not os.access(place, os.W_OK | os.X_OK):
        raise TargetNotWritable(f"{dst} cannot be written", why=f"there is no permission to write in {place}")
    return shutil.disk_usage(place).free


def is_dataset(path: Path) -> bool:
    """Whether a folder holds a dataset, finished or begun by us."""
    return (path / PROPERTIES_FILE).is_file() or (path / FOLDER).is_dir()


def _is_bare(dst: Path) -> bool:
    """Whether a folder holds nothing, or no more than a run leaves that was killed before it began."""
    return {path.name for path in dst.iterdir()} <= {FOLDER} and not any(dst.glob(f"{FOLDER}/*.plan"))


def check(dst: Path, settings: Settings, command: str, layers: Sequence[str], plan: Mapping[str, Any]) -> None:
    """Raise TargetExists unless `dst` is free, this command's own work, or to be replaced or added to."""
    if dst.is_symlink() and not dst.exists():
        raise TargetExists(f"{dst} is a link that leads nowhere", fix="remove it, or choose another DST")
    if dst.exists() and not dst.is_dir():
        raise TargetExists(f"{dst} is a file", fix="choose another DST")
    if not dst.exists() or _is_bare(dst):
        return
    if not is_dataset(dst):
        raise TargetExists(
            f"{dst} is a folder with other things in it",
            why="only a dataset is ever added to or replaced",
            fix="choose another DST",
        )
    if settings.overwrite:
        return
    begun = [journal for name in layers if (journal := Journal(dst, name, command)).is_begun]
    if begun and all(journal.matches(plan) for journal in begun):
        return
    if not settings.add:
        begun_only = "" if (dst / PROPERTIES_FILE).exists() else ", which is not finished"
        if begun_only and (dst / FOLDER).is_dir():
            with locked(dst):  # or another run is at it at this moment: that is told instead
                pass
        raise TargetExists(
            f"{dst} holds a dataset already{begun_only}, made by another command or from another source",
            why="only the same command again goes on with what it began",
            fix=_REMEDIES.get(command, "say --overwrite to replace the dataset, or choose another DST"),
        )
    for name in layers:
        if (dst / name).exists() or any(dst.glob(f"{FOLDER}/{glob.escape(name)}.*.plan")):
            raise TargetExists(f"{dst} has a layer {name} already", fix="choose another name with --layer-name")
    unfinished = [plan for plan in dst.glob(f"{FOLDER}/*.plan") if not plan.with_suffix(".shards").exists()]
    if unfinished:
        raise TargetExists(
            f"{dst} is not finished: layer {unfinished[0].name.split('.')[0]} is only begun",
            fix="run the command that began it again, then add layers",
        )


def discard_other_plans(building: Path, journals: Iterable[Journal], plan: Mapping[str, Any]) -> None:
    """Empty the place beside a target where another `--overwrite` was begun: it was never complete."""
    own = {path for journal in journals if journal.is_begun and journal.matches(plan) for path in [journal.plan_file]}
    if set(building.glob(f"{FOLDER}/*.plan")) - own:
        for path in building.iterdir():
            if path.name != FOLDER:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in (building / FOLDER).iterdir():
            if path.name != "lock" and path.is_file():
                path.unlink()


def stored(dst: Path) -> list[StoredLayer]:
    """A dataset's layers; none where there are no metadata."""
    properties = _properties(dst)
    return stored_layers(properties, dst) if properties else []


def stored_mags(dst: Path) -> set[Mag]:
    """The mags that a dataset's layers have; none where there are no metadata."""
    return {mag for layer in stored(dst) for mag in layer.mags}


def stored_voxel_size(dst: Path) -> VoxelSize | None:
    """The voxel size of a dataset; None where there are no metadata."""
    properties = _properties(dst)
    return replace(voxel_size(properties), origin="the dataset's own") if properties else None


def finished(dataset: Path) -> Properties:
    """The metadata of a dataset. Raises SourceNotFound where there are none."""
    if (properties := _properties(dataset)) is None:
        raise SourceNotFound(
            f"{dataset} is no finished dataset",
            why=f"there is no {PROPERTIES_FILE} in it",
            fix="give the folder of a dataset with its metadata",
        )
    return properties


def _properties(dst: Path) -> Properties | None:
    file = dst / PROPERTIES_FILE
    return datasource.read(file) if file.is_file() else None


def swap(new: Path, dst: Path) -> None:
    """Put a finished dataset in the place of the old one, which goes last."""
    with writing(dst):
        if dst.exists():
            dst.rename(temporary_name(_old(dst)))
        new.rename(dst)
    sweep_replaced(dst)


def sweep_replaced(dst: Path) -> None:
    """Remove what `swap` has put aside, if it was killed before that was gone; not while there is nothing else."""
    if is_dataset(dst):
        for old in dst.parent.glob(f".{glob.escape(_old(dst).name)}.*.tmp"):
            shutil.rmtree(old, ignore_errors=True)


def sweep(dataset: Path, layers: Sequence[str]) -> None:
    """Remove what a killed run left of temporary files."""
    with writing(dataset):
        shutil.rmtree(scratch(dataset), ignore_errors=True)
        for path in filter(Path.is_file, dataset.glob(TEMPORARY)):  # of writers whose files lie right in the folder
            path.unlink(missing_ok=True)
        for folder in (FOLDER, *layers):
            for path in list((dataset / folder).rglob(TEMPORARY)):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def scratch(dataset: Path) -> Path:
    """Where slabs wait while a dataset is written."""
    return dataset / FOLDER / "scratch"
