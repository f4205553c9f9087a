"""The metadata of mags that are there: made, brought up to date, corrected. Behind `wkconvert metadata`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core import datasource
from wkconvert_core.amend import Amending, Change, Looker
from wkconvert_core.bare import recorded_sizes
from wkconvert_core.comparing import at_work
from wkconvert_core.conversion import budget_of
from wkconvert_core.convert import Listener
from wkconvert_core.errors import BrokenSource, OptionError, SourceNotFound
from wkconvert_core.inventory import MagFolder, found_mags, properties_of, unfinished
from wkconvert_core.journal import FOLDER, locked
from wkconvert_core.model import Category, DatasetSpec
from wkconvert_core.names import PROPERTIES_FILE, dataset_name, layer_name_problem
from wkconvert_core.plugins import plugins
from wkconvert_core.settings import Settings
from wkconvert_core.stored import Properties, voxel_size
from wkconvert_core.voxel_size import VoxelSize

__all__ = ["Change", "Updated", "Wanted", "update"]


@dataclass(frozen=True)
class Wanted:
    """What is to become of a dataset's metadata."""

    name: str | None = None
    voxel_size: VoxelSize | None = None
    """An open axis stays as it is."""
    category: Category | None = None
    layers: Sequence[str] = ()
    """The layers that are meant; none: all."""
    refresh: bool = False
    """Layers and mags are taken from the folder; else the entries that there are stay, but for what is wanted here."""
    extent: bool = False
    """The bounding boxes are measured anew."""
    compute_max_id: bool = False
    max_id: int | None = None
    dry_run: bool = False

    @property
    def edits(self) -> bool:
        """Whether single facts are to be changed."""
        facts = self.name, self.voxel_size, self.category, self.max_id
        return self.extent or self.compute_max_id or any(fact is not None for fact in facts)


@dataclass(frozen=True)
class Updated:
    """What became of a dataset's metadata."""

    path: Path
    created: bool
    written: bool
    changes: Sequence[Change]
    notes: Sequence[str]


def update(dst: Path, wanted: Wanted, settings: Settings | None = None, *, listen: Listener | None = None) -> Updated:
    """Make a dataset's metadata, or bring them up to date; whatever else they hold stays.

    Where there are none, every folder `LAYER/MAG` with a `header.wkw` joins; a voxel size is needed. Where there are
    some and nothing single is wanted, they are refreshed. Of `settings`, jobs, memory and strategy count. Raises
    SourceNotFound where there is no mag, BrokenSource for mags that do not fit together or an unfinished dataset,
    DamagedData, OptionError, TargetError.
    """
    settings, dst = settings or Settings(), dst.resolve()
    settings.check(plugins())
    properties, found = properties_of(dst), found_mags(dst)
    if properties is None and not found:
        raise SourceNotFound(f"{dst} is no WKW dataset", why=f"it holds neither {PROPERTIES_FILE} nor a folder of mags")
    budget = budget_of(settings, 0)
    with at_work(settings, budget) as workers, contextlib.nullcontext() if wanted.dry_run else locked(dst):
        amend = Amending(dst, Looker(budget, workers, listen))
        work = _Work(dst, wanted, found, amend)
        new = work.created() if properties is None else work.updated(properties)
        written = new != properties and not wanted.dry_run
        if written:
            datasource.write(dst / PROPERTIES_FILE, new)
    return Updated(dst, properties is None, written, amend.changes, amend.notes)


@dataclass(frozen=True)
class _Work:
    """One update."""

    dst: Path
    wanted: Wanted
    found: Sequence[MagFolder]
    amend: Amending

    def created(self) -> Properties:
        """Metadata for a dataset that has none."""
        self._check_finished()
        self._check_layers([place.layer for place in self.found])
        entries = list(self._added(()))
        if not entries:
            raise SourceNotFound(f"{self.dst} holds no layer that can be described", why="; ".join(self.amend.notes))
        self._check_largest(entries)
        size = self.wanted.voxel_size or VoxelSize((None, None, None))
        for other in recorded_sizes(self.dst, [entry["name"] for entry in entries]):
            size = size.filled(other)
        name = dataset_name(self.wanted.name or self.dst.name)
        created = datasource.merge(None, DatasetSpec(name, size), entries)
        self.amend.tell("name", None, None, name)
        self.amend.tell("voxel_size", None, None, size)
        return {**created, "dataLayers": [self._with_ids(entry, refresh=True) for entry in entries]}

    def updated(self, properties: Properties) -> Properties:
        """The metadata with what is wanted, and, where that is wanted, what is new and without what is gone."""
        new, entries, names = dict(properties), list(properties["dataLayers"]), datasource.layer_names(properties)
        refresh = self.wanted.refresh or not self.wanted.edits
        self._check_layers([*names, *(place.layer for place in self.found)])
        if refresh:
            self._check_finished()
            kept = [self.amend.refreshed(entry, self.found) if self._means(entry) else entry for entry in entries]
            entries = [*(entry for entry in kept if entry is not None), *self._added(names)]
        if not entries:
            raise BrokenSource(f"no layer of {self.dst} is left", fix="restore its folders, or remove the dataset")
        self._check_largest(entries)
        new["dataLayers"] = [self._edited(entry, entry["name"] not in names, refresh=refresh) for entry in entries]
        if self.wanted.name is not None:
            name = dataset_name(self.wanted.name)
            self.amend.tell("name", None, new["id"].get("name"), name)
            new["id"] = {**new["id"], "name": name}
        if self.wanted.voxel_size is not None:
            old = voxel_size(properties)
            size = self.wanted.voxel_size.filled(old)
            if (size.size, size.unit) != (old.size, old.unit):
                self.amend.tell("voxel_size", None, old, size)
                new["scale"] = datasource.scale(size)
        return new

    def _means(self, entry: Properties) -> bool:
        """Whether a layer is meant, and WKW."""
        return entry["dataFormat"] == "wkw" and (not self.wanted.layers or entry["name"] in self.wanted.layers)

    def _added(self, known: Sequence[str]) -> Iterator[Properties]:
        """The layers that lie there and are not known yet."""
        for name in dict.fromkeys(place.layer for place in self.found):
            if name in known or (self.wanted.layers and name not in self.wanted.layers):
                continue
            if problem := layer_name_problem(name):
                self.amend.notes.append(f"{self.dst / name} is left out: as a layer's name, it {problem}")
                continue
            there = {place.mag: place for place in self.found if place.layer == name}
            if entry := self.amend.added(name, there, self.wanted.category, measure=self.wanted.extent):
                yield entry

    def _edited(self, entry: Properties, is_new: bool, *, refresh: bool) -> Properties:
        """A layer's entry with the facts that are wanted."""
        if not self._means(entry):
            return entry
        if self.wanted.category is not None:
            entry = self.amend.with_category(entry, self.wanted.category)
        if self.wanted.extent and not is_new:
            entry = self.amend.with_extent(entry)
        return self._with_ids(entry, refresh=refresh)

    def _with_ids(self, entry: Properties, *, refresh: bool) -> Properties:
        """A layer's entry with what is wanted of its labels, if it has any."""
        if entry["category"] != "segmentation":
            return entry
        if self.wanted.max_id is not None or self.wanted.compute_max_id:
            entry = self.amend.with_largest(entry, self.wanted.max_id)
        return self.amend.with_mappings(entry) if refresh else entry

    def _check_finished(self) -> None:
        if begun := unfinished(self.dst):
            raise BrokenSource(
                f"{self.dst} is not finished: {begun[0]}",
                fix=f"run the command that began it again; or, to give its work up, remove it and its plan in {FOLDER}",
            )

    def _check_layers(self, known: Sequence[str]) -> None:
        if missing := [name for name in self.wanted.layers if name not in known]:
            listed = ", ".join(dict.fromkeys(known))
            raise OptionError(f"--layer-name {missing[0]} is not in the dataset", fix=f"take one of {listed}")

    def _check_largest(self, entries: Sequence[Properties]) -> None:
        """Raise OptionError where a largest id is wanted, and it is not clear for which layer."""
        meant = [each for each in entries if self._means(each)]
        names = [each["name"] for each in meant if (self.wanted.category or each["category"]) == "segmentation"]
        if self.wanted.compute_max_id and not names:
            raise OptionError("--compute-max-id needs a segmentation layer", why="there is none")
        if self.wanted.max_id is not None and len(names) != 1:
            raise OptionError(
                f"--max-id {self.wanted.max_id} fits one segmentation layer",
                why=f"there are {len(names)}: {', '.join(names)}" if names else "there is none",
                fix="name it with --layer-name",
            )
