"""Where a run's work goes, and how it is published: each way to treat what is there already is a Destination."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wkconvert_core.contract.errors import OptionError, TargetExists, TargetNotWritable
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.datasets.journal import FOLDER, Journal, Request, locked
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.toolkit.atomic import TEMPORARY, temporary_name, writing


class Destination(Protocol):
    """Where a run's work goes."""

    @property
    def path(self) -> Path:
        """What the user named."""
        ...

    @property
    def building(self) -> Path:
        """Where files are written until they are published."""
        ...

    def check(self, request: Request) -> None:
        """Raise TargetExists unless this request may write here. Asked before the work, and again under the lock."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Hold the folders that must be ours alone while the run lasts. Raises TargetLocked, TargetNotWritable."""
        ...

    def make_room(self, request: Request, journals: Mapping[str, Journal], mags: Mapping[str, Collection[Mag]]) -> None:
        """Put away what other requests left where this one builds, layer by layer; `mags` are those to be written."""
        ...

    def publish(self) -> str:
        """Put what was built, metadata included, where the user wants it; returns what there is to say of that."""
        ...


@dataclass(frozen=True)
class NewDataset:
    """A folder that is free, or holds what the same request began; or a dataset to which layers are added."""

    path: Path
    add: bool = False
    remedy: str = "say --overwrite to replace the dataset, or choose another DST"
    """What to do about a dataset that is in the way."""

    @property
    def building(self) -> Path:
        """The place itself: without metadata, nobody takes it for complete."""
        return self.path

    def check(self, request: Request) -> None:
        """Raise TargetExists unless the place is free, this request's own work, or may be added to."""
        path = self.path
        if not _holds_dataset(path):
            return
        begun = [journal for name in request.layers if (journal := Journal(path, name, request.command)).is_begun]
        if begun and all(journal.continues(request) for journal in begun):
            return
        if not self.add:
            raise self._taken()
        for name in request.layers:
            if (path / name).exists() or any(path.glob(f"{FOLDER}/{glob.escape(name)}.*.plan")):
                raise TargetExists(f"{path} has a layer {name} already", fix="choose another name with --layer-name")
        unfinished = [plan for plan in path.glob(f"{FOLDER}/*.plan") if not plan.with_suffix(".shards").exists()]
        if unfinished:
            raise TargetExists(
                f"{path} is not finished: layer {unfinished[0].name.split('.')[0]} is only begun",
                fix="run the command that began it again, then add layers",
            )

    def _taken(self) -> TargetExists:
        path, begun_only = self.path, ""
        if not (path / PROPERTIES_FILE).exists():
            begun_only = ", which is not finished"
            with locked(path):  # or another run is at it at this moment: then that is the error
                pass
        return TargetExists(
            f"{path} holds a dataset already{begun_only}, made by another command or from another source",
            why="only the same command again goes on with what it began",
            fix=self.remedy,
        )

    def locked(self) -> AbstractContextManager[None]:
        """Hold the folder."""
        return locked(self.path)

    def make_room(self, request: Request, journals: Mapping[str, Journal], mags: Mapping[str, Collection[Mag]]) -> None:
        """Nothing else is there."""

    def publish(self) -> str:
        """It is in place."""
        return ""


@dataclass(frozen=True)
class Replacement:
    """A dataset that is built beside the target, and takes its place once it is complete."""

    path: Path

    @property
    def building(self) -> Path:
        """Beside the target."""
        return self.path.with_name(f".{self.path.name}.wkconvert-new")

    def check(self, request: Request) -> None:
        """Raise TargetExists where the target is anything but a dataset."""
        _holds_dataset(self.path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold both."""
        with locked(self.building), locked(self.path) if is_dataset(self.path) else contextlib.nullcontext():
            yield

    def make_room(self, request: Request, journals: Mapping[str, Journal], mags: Mapping[str, Collection[Mag]]) -> None:
        """Empty the place if another request was begun there: it was never complete."""
        own = {journal.plan_file for journal in journals.values() if journal.continues(request)}
        if set(self.building.glob(f"{FOLDER}/*.plan")) - own:
            for path in self.building.iterdir():
                if path.name != FOLDER:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            for path in (self.building / FOLDER).iterdir():
                if path.name != "lock" and path.is_file():
                    path.unlink()

    def publish(self) -> str:
        """Swap the folders; the old dataset goes last."""
        with writing(self.path):
            if self.path.exists():
                self.path.rename(temporary_name(_old(self.path)))
            self.building.rename(self.path)
        sweep_replaced(self.path)
        return ""


@dataclass(frozen=True)
class ExtendedDataset:
    """A finished dataset whose layers get more mags."""

    path: Path
    folders: Sequence[tuple[str, Path]]
    """Layer and folder of each new mag."""

    @property
    def building(self) -> Path:
        """The dataset itself: mags that the metadata do not list are not there for anybody."""
        return self.path

    def check(self, request: Request) -> None:
        """Raise TargetExists for a mag in the way that this request has not begun."""
        for layer, folder in self.folders:
            if folder.exists() and not Journal(self.path, layer, request.command).continues(request):
                raise TargetExists(
                    f"{folder} is there, but not listed in the dataset",
                    why="what it holds, and whether it is complete, cannot be known",
                    fix="finish the command that began it, list it with `wkconvert metadata`, or remove it",
                )

    def locked(self) -> AbstractContextManager[None]:
        """Hold the dataset."""
        return locked(self.path)

    def make_room(self, request: Request, journals: Mapping[str, Journal], mags: Mapping[str, Collection[Mag]]) -> None:
        """Keep the record of a finished request apart: some of its mags have been removed since, or none were due."""
        for name, journal in journals.items():
            if journal.is_finished and not journal.is_of(request, mags[name]):
                journal.set_aside()

    def publish(self) -> str:
        """They are in place."""
        return ""


# --- places ----------------------------------------------------------------------------------------------------------


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


def _holds_dataset(dst: Path) -> bool:
    """Whether a dataset is there; False: the place is free. Raises TargetExists where anything else is."""
    if dst.is_symlink() and not dst.exists():
        raise TargetExists(f"{dst} is a link that leads nowhere", fix="remove it, or choose another DST")
    if dst.exists() and not dst.is_dir():
        raise TargetExists(f"{dst} is a file", fix="choose another DST")
    if not dst.exists() or (
        {path.name for path in dst.iterdir()} <= {FOLDER} and not any(dst.glob(f"{FOLDER}/*.plan"))
    ):
        return False  # a run that was killed before it began leaves no more than that
    if not is_dataset(dst):
        raise TargetExists(
            f"{dst} is a folder with other things in it",
            why="only a dataset is ever added to or replaced",
            fix="choose another DST",
        )
    return True


def _old(dst: Path) -> Path:
    return dst.with_name(f"{dst.name}.wkconvert-old")


def sweep_replaced(dst: Path) -> None:
    """Remove what `Replacement.publish` has put aside, if it was killed before; not while there is nothing else."""
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
