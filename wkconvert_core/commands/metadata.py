"""The metadata of mags that are there: made, brought up to date, corrected. Behind `wkconvert metadata`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.commands.metadata_entries import Change, ContentsCache, EntryEditor
from wkconvert_core.commands.metadata_new_layers import Mags, recorded_sizes
from wkconvert_core.contract.errors import BrokenSource, OptionError, SourceNotFound, UnsupportedSource, check_known
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.model import Category, DatasetSpec
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.dataset import MagOnDisk, found_mags, read_properties, unfinished
from wkconvert_core.datasets.journal import FOLDER, locked
from wkconvert_core.datasets.naming import PROPERTIES_FILE, dataset_name, layer_name_problem
from wkconvert_core.datasets.properties import Properties, is_inside, voxel_size
from wkconvert_core.engine.progress import Listener
from wkconvert_core.engine.resources import Resources, budget_of, readers_at_work
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.sources.category import by_name

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


def update(dst: Path, wanted: Wanted, resources: Resources | None = None, *, listen: Listener | None = None) -> Updated:
    """Make a dataset's metadata, or bring them up to date; whatever else they hold stays.

    Where there are none, every folder `LAYER/MAG` with a mag joins; a voxel size is needed. Where there are
    some and nothing single is wanted, they are refreshed.  Raises
    SourceNotFound where there is no mag, BrokenSource for mags that do not fit together or an unfinished dataset,
    DamagedData, OptionError, TargetError.
    """
    resources, dst = resources or Resources(), dst.resolve()
    resources.check()
    _check_dataset(dst)  # before a lock is put there
    budget = budget_of(resources, 0)
    with contextlib.ExitStack() as stack:
        if not wanted.dry_run:
            stack.enter_context(locked(dst))
            properties_file.sweep(dst)
        workers = functools.cache(lambda: stack.enter_context(readers_at_work(resources, budget, [dst], listen)))
        look = ContentsCache(budget, workers, listen)
        while True:
            properties, work = read_properties(dst), _Work(dst, wanted, EntryEditor(dst, look))
            new = work.created() if properties is None else work.updated(properties)
            if new == properties or wanted.dry_run or read_properties(dst) == properties:
                break  # else somebody edited them while voxels were read: the same again, with what is known by now
        written = new != properties and not wanted.dry_run
        if written:
            properties_file.write(dst / PROPERTIES_FILE, new)
    return Updated(dst, properties is None, written, work.editor.changes, work.editor.notes)


def _check_dataset(dst: Path) -> None:
    if read_properties(dst) is None and not found_mags(dst):
        raise SourceNotFound(
            f"{dst} is no dataset", why=f"it holds neither {PROPERTIES_FILE} nor a folder LAYER/MAG with a mag"
        )


@dataclass(frozen=True)
class _Work:
    """One update."""

    dst: Path
    wanted: Wanted
    editor: EntryEditor

    def created(self) -> Properties:
        """Metadata for a dataset that has none."""
        self._check_finished()
        found = self._found()
        self._check_layers(found, found)
        names = self._new(found, ())
        size = self.wanted.voxel_size or VoxelSize((None, None, None))
        for other in recorded_sizes(self.dst, names):
            size = size.filled(other)
        if names:
            properties_file.scale(size)  # nobody waits for all voxels to be read to be told that it is missing
        entries = self._with_new([], found, names)
        if not entries:
            raise SourceNotFound(f"{self.dst} holds no layer that can be described", why="; ".join(self.editor.notes))
        name = dataset_name(self.wanted.name or self.dst.name)
        created = properties_file.merge(None, DatasetSpec(name, size), entries)
        self.editor.tell("name", None, None, name)
        self.editor.tell("voxel_size", None, None, size)
        return {**created, "dataLayers": [self._with_ids(entry, refresh=True) for entry in entries]}

    def updated(self, properties: Properties) -> Properties:
        """The metadata with what is wanted, and, where that is wanted, what is new and without what is gone."""
        new, entries, known = dict(properties), list(properties["dataLayers"]), properties_file.layer_names(properties)
        refresh, there = self.wanted.refresh or not self.wanted.edits, {place.layer for place in found_mags(self.dst)}
        self._check_layers([*known, *sorted(there)] if refresh else known, there)
        self._check_formats(entries)
        if refresh:
            self._check_finished()
            found = self._found()
            kept = [self.editor.refreshed(e, found.get(e["name"], {})) if self._means(e) else e for e in entries]
            entries = self._with_new([entry for entry in kept if entry is not None], found, self._new(found, known))
        else:
            self._check_largest({entry["name"]: entry["category"] for entry in entries if self._means(entry)})
        if not entries:
            raise BrokenSource(f"no layer of {self.dst} is left", fix="restore its folders, or remove the dataset")
        new["dataLayers"] = [self._edited(entry, entry["name"] not in known, refresh=refresh) for entry in entries]
        if self.wanted.name is not None:
            name = dataset_name(self.wanted.name)
            self.editor.tell("name", None, new["id"].get("name"), name)
            new["id"] = {**new["id"], "name": name}
        if self.wanted.voxel_size is not None:
            old = voxel_size(properties)
            size = self.wanted.voxel_size.filled(old)
            if (size.size, size.unit) != (old.size, old.unit):
                self.editor.tell("voxel_size", None, old, size)
                new["scale"] = properties_file.scale(size)
        return new

    def _means(self, entry: Properties) -> bool:
        """Whether a layer is meant, and in a format that can be worked on."""
        return entry["dataFormat"] in plugins().mag_formats() and self._names(entry["name"])

    def _names(self, layer: str) -> bool:
        return not self.wanted.layers or layer in self.wanted.layers

    def _found(self) -> dict[str, dict[Mag, MagOnDisk]]:
        """The mags that lie there, by layer; not those behind a link out of the dataset, which no reader follows."""
        found: dict[str, dict[Mag, MagOnDisk]] = {}
        outside: dict[Path, None] = {}
        for place in found_mags(self.dst):
            mags = found.setdefault(place.layer, {})
            folders = place.folder.parent, place.folder
            out = [path for path in folders if not is_inside(self.dst, path.relative_to(self.dst).as_posix())]
            if out and self._names(place.layer):
                outside[out[0]] = None
            if not out:
                mags[place.mag] = place
        self.editor.notes += [f"{path} is left out: it is a link that leads out of the dataset" for path in outside]
        return found

    def _new(self, found: Mapping[str, Mags], known: Collection[str]) -> list[str]:
        """The names of the layers that lie there and are not known yet."""
        names = []
        for name in (name for name, mags in found.items() if mags and name not in known and self._names(name)):
            if problem := layer_name_problem(name):
                self.editor.notes.append(f"{self.dst / name} is left out: as a layer's name, it {problem}")
            else:
                names.append(name)
        return names

    def _with_new(
        self, entries: Sequence[Properties], found: Mapping[str, Mags], names: Sequence[str]
    ) -> list[Properties]:
        """The layers, and those of these names that can be described."""
        categories = {entry["name"]: entry["category"] for entry in entries if self._means(entry)}
        self._check_largest({**categories, **{name: _category(name) for name in names}})
        wanted = self.wanted.category, self.wanted.extent
        described = (self.editor.added(name, found[name], wanted[0], measure=wanted[1]) for name in names)
        added = [entry for entry in described if entry is not None]
        self._check_largest({**categories, **{entry["name"]: entry["category"] for entry in added}})
        return [*entries, *added]

    def _edited(self, entry: Properties, is_new: bool, *, refresh: bool) -> Properties:
        """A layer's entry with the facts that are wanted."""
        if not self._means(entry):
            return entry
        if self.wanted.category is not None:
            entry = self.editor.with_category(entry, self.wanted.category)
        if self.wanted.extent and not is_new:
            entry = self.editor.with_extent(entry)
        return self._with_ids(entry, refresh=refresh)

    def _with_ids(self, entry: Properties, *, refresh: bool) -> Properties:
        """A layer's entry with what is wanted of its labels, if it has any."""
        if entry["category"] != "segmentation":
            return entry
        if self.wanted.max_id is not None or self.wanted.compute_max_id:
            entry = self.editor.with_largest(entry, self.wanted.max_id)
        return self.editor.with_mappings(entry) if refresh else entry

    def _check_finished(self) -> None:
        if begun := unfinished(self.dst):
            raise BrokenSource(
                f"{self.dst} is not finished: {begun[0]}",
                fix=f"run the command that began it again; or, to give its work up, remove it and its plan in {FOLDER}",
            )

    def _check_layers(self, known: Collection[str], there: Collection[str]) -> None:
        known, problem = list(dict.fromkeys(known)), f"is not in {self.dst}"
        if unlisted := [name for name in self.wanted.layers if name in there and name not in known]:
            raise OptionError(
                f"--layer-name {unlisted[0]} {problem}",
                why="its folder is there, but the metadata do not list it",
                fix=f"take one of {', '.join(known)}, or add --refresh",
            )
        check_known("layer-name", self.wanted.layers, known, problem)

    def _check_formats(self, entries: Sequence[Properties]) -> None:
        for entry in entries:
            known = plugins().mag_formats()
            if entry["name"] in self.wanted.layers and entry["dataFormat"] not in known:
                raise UnsupportedSource(
                    f"the layer {entry['name']} of {self.dst} is {entry['dataFormat']}",
                    why=f"no installed plugin stores that; there are {', '.join(known)}",
                    fix="leave it out, or install a plugin for it",
                )

    def _check_largest(self, categories: Mapping[str, Category | None]) -> None:
        """Raise OptionError where a largest id is wanted, and it is not clear for which layer; None: not known yet."""
        kinds = {name: self.wanted.category or category for name, category in categories.items()}
        names, is_open = [name for name, kind in kinds.items() if kind == "segmentation"], None in kinds.values()
        if self.wanted.compute_max_id and not names and not is_open:
            raise OptionError("--compute-max-id needs a segmentation layer", why="there is none")
        if self.wanted.max_id is not None and (len(names) > 1 or not (names or is_open)):
            raise OptionError(
                f"--max-id {self.wanted.max_id} fits one segmentation layer",
                why=f"there are {len(names)}: {', '.join(names)}" if names else "there is none",
                fix="name it with --layer-name",
            )


def _category(name: str) -> Category | None:
    """What a layer's name says of it."""
    said = by_name([name])
    return said.category if said else None
