"""Create, refresh or edit the metadata of mags on disk. Behind `wkconvert metadata`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.commands.metadata_entries import Change, ContentsCache, EntryEditor, Mags, recorded_voxel_sizes
from wkconvert_core.contract.errors import (
    BrokenSource,
    OptionError,
    SourceNotFound,
    UnsupportedSource,
    check_known,
    one_of,
)
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.model import Category, DatasetSpec
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk, found_mags, read_properties
from wkconvert_core.datasets.naming import FOLDER, PROPERTIES_FILE, dataset_name, layer_name_problem
from wkconvert_core.datasets.properties import Properties, is_inside, scale, voxel_size
from wkconvert_core.datasets.records.lock import locked
from wkconvert_core.datasets.records.unfinished_runs import unfinished
from wkconvert_core.datasets.writer import list_mags
from wkconvert_core.engine.progress import Listener
from wkconvert_core.engine.resources import Resources, budget_of, readers_at_work
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.sources.category import by_name

__all__ = ["Change", "Updated", "Wanted", "update"]


@dataclass(frozen=True)
class Wanted:
    """The edits that a dataset's metadata shall get; None and False leave a fact alone."""

    name: str | None = None
    voxel_size: VoxelSize | None = None
    """An axis that is None stays as it is."""
    category: Category | None = None
    layers: Sequence[str] = ()
    """Layers to work on; all if empty."""
    refresh: bool = False
    """Add the layers and mags that are on disk, and drop those that are gone."""
    extent: bool = False
    """Shrink or grow bounding boxes to the non-zero voxels."""
    compute_max_id: bool = False
    """Set the largest segment id to the largest value."""
    max_id: int | None = None
    dry_run: bool = False
    """Report the changes, and write nothing."""

    def __post_init__(self) -> None:
        """Read a voxel size that is given as text or as plain numbers. Raises OptionError."""
        if self.voxel_size is not None:
            object.__setattr__(self, "voxel_size", VoxelSize.of(self.voxel_size))

    @property
    def edits(self) -> bool:
        """Whether any single fact shall change."""
        facts = self.name, self.voxel_size, self.category, self.max_id
        return self.extent or self.compute_max_id or any(fact is not None for fact in facts)


@dataclass(frozen=True)
class Updated:
    """The result of `update`."""

    path: Path
    created: bool
    """Whether there were no metadata before."""
    written: bool
    changes: Sequence[Change]
    notes: Sequence[str]


def update(
    dst: Path | str, wanted: Wanted, resources: Resources | None = None, *, listen: Listener | None = None
) -> Updated:
    """Create a dataset's metadata, or update them; keys that this does not concern stay as they are.

    Without metadata, every folder `LAYER/MAG` that holds a mag is added, and a voxel size is needed. Existing metadata
    are refreshed if no single fact shall change. Raises SourceNotFound where there is no mag, BrokenSource for an
    unfinished dataset or mags that differ in format or dtype, DamagedData, OptionError, TargetError.
    """
    resources, dst = resources or Resources(), Path(dst).resolve()
    resources.check()
    if read_properties(dst) is None and not found_mags(dst):  # do not leave a lock in a folder that is no dataset
        raise SourceNotFound(
            f"{dst} is no dataset", why=f"it holds neither {PROPERTIES_FILE} nor a folder LAYER/MAG with a mag"
        )
    budget = budget_of(resources, 0)
    with contextlib.ExitStack() as stack:
        if not wanted.dry_run:
            stack.enter_context(locked(dst))
            properties_file.sweep(dst)
        workers = functools.cache(lambda: stack.enter_context(readers_at_work(resources, budget, [dst], listen)))
        contents_of = ContentsCache(budget, workers, listen)
        while True:
            properties, work = read_properties(dst), _Work(dst, wanted, EntryEditor(dst, contents_of))
            new = work.created() if properties is None else work.updated(properties)
            # someone may have edited the file while voxels were read: then start over, with the contents known by now
            if new == properties or wanted.dry_run or read_properties(dst) == properties:
                break
        written = new != properties and not wanted.dry_run
        if written:
            list_mags(dst, new)
            properties_file.write(dst / PROPERTIES_FILE, new)
    return Updated(dst, properties is None, written, work.editor.changes, work.editor.notes)


@dataclass(frozen=True)
class _Work:
    """One update of one dataset."""

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
        for other in recorded_voxel_sizes(self.dst, names):
            size = size.filled(other)
        if names:
            scale(size)  # raises if an axis is missing: before voxels are read, which takes time
        entries = self._with_new([], found, names)
        if not entries:
            raise SourceNotFound(f"{self.dst} holds no layer that can be described", why="; ".join(self.editor.notes))
        name = dataset_name(self.wanted.name or self.dst.name)
        created = properties_file.merge(None, DatasetSpec(name, size), entries)
        self.editor.note_change("name", None, None, name)
        self.editor.note_change("voxel_size", None, None, size)
        return {**created, "dataLayers": [self._with_labels(entry, refresh=True) for entry in entries]}

    def updated(self, properties: Properties) -> Properties:
        """The metadata with the edits; on refresh, also with new layers and mags and without those that are gone."""
        new, entries, known = dict(properties), list(properties["dataLayers"]), properties_file.layer_names(properties)
        refresh = self.wanted.refresh or not self.wanted.edits
        on_disk = {where.layer for where in found_mags(self.dst)}
        self._check_layers([*known, *sorted(on_disk)] if refresh else known, on_disk)
        for entry in entries:
            if entry["name"] in self.wanted.layers and entry["dataFormat"] not in plugins().mag_formats():
                raise UnsupportedSource(
                    f"the layer {entry['name']} of {self.dst} is {entry['dataFormat']}",
                    why=f"no installed plugin stores that; there are {', '.join(plugins().mag_formats())}",
                    fix="leave it out, or install a plugin for it",
                )
        if refresh:
            self._check_finished()
            found = self._found()
            self.editor.notes += Dataset.finished(self.dst).left_alone_in(self.wanted.layers)
            kept = [self.editor.refreshed(e, found.get(e["name"], {})) if self._selects(e) else e for e in entries]
            entries = self._with_new([entry for entry in kept if entry is not None], found, self._new(found, known))
        else:
            self._check_max_id({entry["name"]: entry["category"] for entry in entries if self._selects(entry)})
        if not entries:
            raise BrokenSource(f"no layer of {self.dst} is left", fix="restore its folders, or remove the dataset")
        new["dataLayers"] = [
            self._edited(entry, entry["name"] not in known, refresh) if self._selects(entry) else entry
            for entry in entries
        ]
        if self.wanted.name is not None:
            name = dataset_name(self.wanted.name)
            self.editor.note_change("name", None, new["id"].get("name"), name)
            new["id"] = {**new["id"], "name": name}
        if self.wanted.voxel_size is not None:
            old = voxel_size(properties)
            size = self.wanted.voxel_size.filled(old)
            if (size.size, size.unit) != (old.size, old.unit):
                self.editor.note_change("voxel_size", None, old, size)
                new["scale"] = scale(size)
        return new

    def _selects(self, entry: Properties) -> bool:
        """Whether a layer is to be worked on, and has a legal name and a format that an installed plugin stores."""
        is_known = entry["dataFormat"] in plugins().mag_formats() and not layer_name_problem(entry["name"])
        return is_known and self._names(entry["name"])

    def _names(self, layer: str) -> bool:
        return not self.wanted.layers or layer in self.wanted.layers

    def _found(self) -> dict[str, dict[Mag, MagOnDisk]]:
        """The mags on disk, by layer, except behind links that lead out of the dataset, which no reader follows."""
        found: dict[str, dict[Mag, MagOnDisk]] = {}
        outside: dict[Path, None] = {}
        for where in found_mags(self.dst):
            mags = found.setdefault(where.layer, {})
            folders = where.folder.parent, where.folder
            out = [path for path in folders if not is_inside(self.dst, path.relative_to(self.dst).as_posix())]
            if not out:
                mags[where.mag] = where
            elif self._names(where.layer):
                outside[out[0]] = None
        why = "is left out: it is a link that leads out of the dataset"
        self.editor.notes += [WarningNote(f"{path} {why}") for path in outside]
        return found

    def _new(self, found: Mapping[str, Mags], known: Collection[str]) -> list[str]:
        """The names of layers that are on disk, but not in the metadata."""
        new = [name for name, mags in found.items() if mags and name not in known and self._names(name)]
        problems = {name: problem for name in new if (problem := layer_name_problem(name))}
        for name, problem in problems.items():
            self.editor.notes.append(WarningNote(f"{self.dst / name} is left out: as a layer's name, it {problem}"))
        return [name for name in new if name not in problems]

    def _with_new(
        self, entries: Sequence[Properties], found: Mapping[str, Mags], names: Sequence[str]
    ) -> list[Properties]:
        """The entries, and one for each new layer that holds shards."""
        categories = {entry["name"]: entry["category"] for entry in entries if self._selects(entry)}
        decisions = {name: by_name([name]) for name in names}
        expected = {name: decision.category if decision else None for name, decision in decisions.items()}
        self._check_max_id({**categories, **expected})  # before voxels are read, as far as names tell
        category, measure = self.wanted.category, self.wanted.extent
        described = [self.editor.added(name, found[name], category, measure=measure) for name in names]
        added = [entry for entry in described if entry is not None]
        self._check_max_id({**categories, **{entry["name"]: entry["category"] for entry in added}})
        return [*entries, *added]

    def _edited(self, entry: Properties, is_new: bool, refresh: bool) -> Properties:
        if self.wanted.category is not None:
            entry = self.editor.with_category(entry, self.wanted.category)
        if self.wanted.extent and not is_new:
            entry = self.editor.with_extent(entry)
        return self._with_labels(entry, refresh=refresh)

    def _with_labels(self, entry: Properties, *, refresh: bool) -> Properties:
        """The entry with largest segment id and mappings; unchanged if it is no segmentation."""
        if entry["category"] != "segmentation":
            return entry
        if self.wanted.max_id is not None or self.wanted.compute_max_id:
            entry = self.editor.with_largest_id(entry, self.wanted.max_id)
        return self.editor.with_mappings(entry) if refresh else entry

    def _check_finished(self) -> None:
        if begun := unfinished(self.dst):
            raise BrokenSource(
                f"{self.dst} is not finished: {begun[0]}",
                fix=f"run the command that began it again; or, to give its work up, remove it and its plan in {FOLDER}",
            )

    def _check_layers(self, known: Collection[str], on_disk: Collection[str]) -> None:
        """Raise OptionError for a `--layer-name` that is not among the known ones."""
        known, problem = list(dict.fromkeys(known)), f"is not in {self.dst}"
        if unlisted := [name for name in self.wanted.layers if name in on_disk and name not in known]:
            raise OptionError(
                f"--layer-name {unlisted[0]} {problem}",
                why="its folder is there, but the metadata do not list it",
                fix=f"{one_of(known, unlisted[0])}, or add --refresh",
            )
        check_known("layer-name", self.wanted.layers, known, problem)

    def _check_max_id(self, categories: Mapping[str, Category | None]) -> None:
        """Raise OptionError unless there is one segmentation for `--max-id`, or any for `--compute-max-id`.

        `categories` are those of the layers to work on; None: not known before voxels are read.
        """
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
