"""Where a run writes, and how the result is published: one Destination for each way to treat existing data."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.errors import TargetExists
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.model import Sink
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.datasets.naming import FOLDER, PROPERTIES_FILE
from wkconvert_core.datasets.places import REPLACED, holds_dataset, is_dataset, remove, sweep, sweep_replaced
from wkconvert_core.datasets.records.journal import Journal, Request
from wkconvert_core.datasets.records.lines import layer_and_command
from wkconvert_core.datasets.records.lock import LOCK, locked
from wkconvert_core.datasets.records.runs_without_shards import (
    has_finished_shards,
    holds_no_shard,
    plans_of,
    remove_run,
    runs_without_shards,
)
from wkconvert_core.datasets.records.unfinished_runs import lacking_metadata, unfinished
from wkconvert_core.toolkit.atomic import temporary_name, writing
from wkconvert_core.toolkit.files import exists, is_file, listed
from wkconvert_core.toolkit.shortened import shorten


@dataclass(frozen=True)
class Destination(ABC):
    """Where a run writes, and how the result is published; as it stands here, right in the target."""

    path: Path
    """The target as the user named it."""

    @property
    def building(self) -> Path:
        """The folder in which files are written until they are published."""
        return self.path

    @abstractmethod
    def check(self, request: Request) -> None:
        """Raise TargetExists unless this request may write here. Called before the run, and again under the lock."""

    def locked(self) -> AbstractContextManager[None]:
        """Lock the target, and the folder where it is built, for the run. Raises TargetLocked, TargetNotWritable."""
        return locked(self.path)

    def make_room(self, request: Request, journals: Mapping[str, Journal], mags: Mapping[str, Collection[Mag]]) -> None:
        """Put away what other requests left in `building`; journals, and the mags to be written, are given by layer."""
        return

    def give_up(self, journals: Mapping[str, Journal]) -> str:
        """Remove what the run has written: a voxel was refused, so that the same command can never finish it.

        Returns what is left for the user to do, or "".
        """
        return ""

    def publish(self) -> str:
        """Put the complete result, metadata included, in its final place; returns a note for the user, or ""."""
        return ""


@dataclass(frozen=True)
class NewDataset(Destination):
    """A free folder, or one in which the same request was begun; or a dataset to which layers are added.

    It is written in place: without metadata, it does not look complete.
    """

    add: bool = False
    remedy: str = "say --overwrite to replace the dataset, or choose another DST"
    """The remedy for a dataset in the way."""

    def check(self, request: Request) -> None:
        """Raise TargetExists unless the target is free, begun by this request, or may be added to."""
        path = self.path
        is_complete = exists(path / PROPERTIES_FILE)
        if not holds_dataset(path) or (not (self.add or is_complete) and holds_no_shard(path)):
            return
        begun = [journal for name in request.layers if (journal := Journal(path, name, request.command)).is_begun]
        if begun and all(journal.continues(request) for journal in begun):
            return
        if not self.add:
            if not is_complete:
                with locked(path):  # a run that is writing there now is reported as TargetLocked
                    pass
            raise TargetExists(
                f"{path} holds a dataset already{'' if is_complete else ', which is not finished'}, made by another"
                " command or from another source",
                why=self._made_by(request) + "only the same command again goes on with what it began",
                fix=self.remedy,
            )
        for name in request.layers:
            commands = {layer_and_command(plan)[1] for plan in plans_of(path, name)}
            is_begun_alike = commands == {request.command} and holds_no_shard(path, name)
            if (exists(path / name) or commands) and not is_begun_alike:
                raise TargetExists(f"{path} has a layer {name} already", fix="choose another name with --layer-name")
        if others := unfinished(path, besides=request.layers) or lacking_metadata(path, besides=request.layers):
            raise TargetExists(
                f"{path} is not finished: {others[0]} is only begun{'' if is_complete else ', or lost its metadata'}",
                fix="run the command that began it again, then add layers",
            )

    def make_room(self, request: Request, journals: Mapping[str, Journal], mags: Mapping[str, Collection[Mag]]) -> None:
        """Remove what other requests have begun here and of which no shard is finished."""
        own = [journal.plan for journal in journals.values() if journal.continues(request)]
        with writing(self.path):
            for plan in plans_of(self.path):
                layer = layer_and_command(plan)[0]
                if plan not in own and not has_finished_shards(plan) and holds_no_shard(self.path, layer):
                    remove_run(plan, [self.path / layer])

    def give_up(self, journals: Mapping[str, Journal]) -> str:
        """Remove the layers, all of which this run has begun; files of a format without folders of layers stay."""
        _remove_unfinished(journals, lambda layer: [self.path / layer])
        is_dataset_still = exists(self.path / PROPERTIES_FILE) or plans_of(self.path)
        left = [] if is_dataset_still else [path.name for path in listed(self.path, "[!.]*")]
        return f"before that, remove {self.path} with what was written of it: {shorten(left)}" if left else ""

    def _made_by(self, request: Request) -> str:
        """How the dataset that is there was made, as far as its plans tell; ends with a semicolon if not empty."""
        plans = listed(self.path / FOLDER, "*.plan")
        own = [plan for plan in plans if plan.name.endswith(f".{request.command}.plan")]
        told = request.differences_from((own or plans)[0]) if plans else "no run of wkconvert has made it"
        return f"{told}; " if told else ""


@dataclass(frozen=True)
class Replacement(Destination):
    """A dataset that is built beside the target and replaces it once complete."""

    @property
    def building(self) -> Path:
        """A hidden folder beside the target."""
        return self.path.with_name(f".{self.path.name}.wkconvert-new")

    def check(self, request: Request) -> None:
        """Raise TargetExists if the target is anything but a dataset."""
        holds_dataset(self.path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the target, if it exists, and the folder beside it."""
        with locked(self.building), locked(self.path) if is_dataset(self.path) else contextlib.nullcontext():
            yield

    def make_room(self, request: Request, journals: Mapping[str, Journal], mags: Mapping[str, Collection[Mag]]) -> None:
        """Empty the folder if another request was begun there: it was never complete."""
        own = {journal.plan for journal in journals.values() if journal.continues(request)}
        if set(listed(self.building / FOLDER, "*.plan")) - own:
            self._empty()

    def give_up(self, journals: Mapping[str, Journal]) -> str:
        """Remove all that is in the folder."""
        for journal in journals.values():
            journal.close()
        with writing(self.building):
            self._empty()
        return ""

    def _empty(self) -> None:
        for path in listed(self.building):
            if path.name != FOLDER:
                remove(path)
        for path in listed(self.building / FOLDER):
            if path.name != LOCK and is_file(path):
                path.unlink()

    def publish(self) -> str:
        """Swap the folders; the old dataset goes last."""
        with writing(self.path):
            if exists(self.path):
                self.path.rename(temporary_name(self.path.with_name(f"{self.path.name}{REPLACED}")))
            self.building.rename(self.path)
        left = " and ".join(map(str, sweep_replaced(self.path)))
        return WarningNote(f"the old dataset could not be removed: remove {left}") if left else ""


@dataclass(frozen=True)
class ExtendedDataset(Destination):
    """A finished dataset whose layers get more mags, in place: readers ignore mags that the metadata do not list."""

    folders: Sequence[tuple[str, Path]]
    """Layer and folder of each new mag."""

    def check(self, request: Request) -> None:
        """Raise TargetExists if a new mag's folder exists and was not begun by this request."""
        for layer, folder in self.folders:
            is_own = Journal(self.path, layer, request.command).continues(request)
            if exists(folder) and not is_own and not (runs_without_shards(self.path, layer) and holds_no_shard(folder)):
                raise TargetExists(
                    f"{folder} is there, but not listed in the dataset",
                    why="its content is unknown, and it may be incomplete",
                    fix="finish the command that began it, list it with `wkconvert metadata`, or remove it",
                )

    def make_room(self, request: Request, journals: Mapping[str, Journal], mags: Mapping[str, Collection[Mag]]) -> None:
        """Set a finished request's record aside if it is not for these mags: then some were removed since.

        Also remove what other requests have begun for these layers and of which no shard is finished.
        """
        for name, journal in journals.items():
            if journal.is_finished and not journal.is_of(request, mags[name]):
                journal.set_aside()
            for plan in runs_without_shards(self.path, name):
                if plan != journal.plan or not journal.continues(request):
                    remove_run(plan, [folder for folder in self._folders_of(name) if holds_no_shard(folder)])

    def give_up(self, journals: Mapping[str, Journal]) -> str:
        """Remove the mags, all of which this run has begun."""
        _remove_unfinished(journals, self._folders_of)
        return ""

    def _folders_of(self, layer: str) -> list[Path]:
        return [folder for name, folder in self.folders if name == layer]


def _remove_unfinished(journals: Mapping[str, Journal], folders_of: Callable[[str], list[Path]]) -> None:
    """Remove what a run has begun of the layers that it has not finished: their folders, then its record."""
    for layer, journal in journals.items():
        if not journal.is_finished:
            journal.close()
            remove_run(journal.plan, folders_of(layer))


@contextlib.contextmanager
def begun_journals(
    destination: Destination, request: Request, sinks: Mapping[str, Sequence[Sink]]
) -> Iterator[dict[str, Journal]]:
    """The journals of a request's layers, begun or continued for their sinks, once `building` has room for them.

    They are closed at the end, and temporary files of this or an earlier run are removed. Raises TargetExists,
    TargetError, DamagedData.
    """
    building = destination.building
    journals = {layer: Journal(building, layer, request.command) for layer in request.layers}
    with contextlib.ExitStack() as stack:
        destination.make_room(request, journals, {layer: [sink.spec.mag for sink in sinks[layer]] for layer in sinks})
        sweep(building, request.layers)
        stack.callback(sweep, building, request.layers)
        for layer, journal in journals.items():
            stack.callback(journal.close)
            journal.begin(request, sinks[layer])
        yield journals
