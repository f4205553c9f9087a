"""One layer's entry in the metadata: made for mags that the metadata do not list, refreshed, or edited fact by fact."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import BrokenSource, OptionError
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.model import Category, LayerSpec, MagSpec
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.checksums import records
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.datasets.properties import Properties, StoredLayer, mag_entries, mag_folder, mag_of, stored_layer
from wkconvert_core.datasets.records.lines import extent_in
from wkconvert_core.engine.progress import Listener
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.contents import Contents, find_contents
from wkconvert_core.planning.costs import Budget
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.sources.category import classify
from wkconvert_core.sources.intensity_range import intensity_range
from wkconvert_core.toolkit.files import listed

Mags = Mapping[Mag, MagOnDisk]
"""The mags of one layer."""


@dataclass(frozen=True)
class Change:
    """A fact in the metadata that has changed, been added (`old` is None) or been dropped (`new` is None).

    >>> print(Change("largest_segment_id", "labels", "7", "249"))
    labels: largest segment id: 7 becomes 249
    >>> print(Change("mag", "labels", None, "4-4-1"), Change("name", None, "brain", None), sep="; ")
    labels: mag added: 4-4-1; name dropped: brain
    """

    what: str
    """`name`, `voxel_size`, `layer`; of a layer: `mag`, `bounding_box`, `category`, `element_class`, `shard_side`,
    `largest_segment_id`, `mapping`."""
    layer: str | None
    old: str | None
    new: str | None

    def __str__(self) -> str:
        """A line for people."""
        fact = f"{self.layer}: " * (self.layer is not None) + self.what.replace("_", " ")
        if self.old is None:
            return f"{fact} added: {self.new}"
        return f"{fact} dropped: {self.old}" if self.new is None else f"{fact}: {self.old} becomes {self.new}"


@dataclass(frozen=True)
class ContentsCache:
    """Contents of mags, which are read once, on all workers, however often they are asked for."""

    budget: Budget
    workers: Callable[[], Workers]
    """Starts the workers: jobs on a cluster are submitted only if any mag has to be read."""
    listen: Listener | None
    known: dict[tuple[Path, bool], Contents] = field(default_factory=dict)

    def __call__(self, where: MagOnDisk, *, outline: bool = False) -> Contents:
        """Contents of a mag; with `outline`, only the bounding box of its non-zero voxels."""
        key = where.folder, outline
        if key not in self.known:
            self.known[key] = find_contents(where, self.budget, self.workers(), self.listen, outline=outline)
        return self.known[key]


@dataclass
class EntryEditor:
    """Makes and edits layers' entries, and records what changes."""

    dst: Path
    contents_of: ContentsCache
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note_change(self, what: str, layer: str | None, old: Any, new: Any) -> None:
        """Record a fact that has changed; nothing if both texts are equal."""
        old, new = (None if value is None else str(value) for value in (old, new))
        if old != new:
            self.changes.append(Change(what, layer, old, new))

    # --- layers and mags

    def added(self, name: str, found: Mags, category: Category | None, *, measure: bool) -> Properties | None:
        """The entry of a layer that the metadata do not list; None, with a note, if it holds no shard.

        Its extent is the one that our run recorded, or, with `measure` or without a record, that of its non-zero
        voxels. Raises BrokenSource where the mags differ in format or dtype, DamagedData, and what reading raises.
        """
        mags, finest = _opened(found), found[min(found)]
        recorded, value_range = _recorded(self.dst, finest, mags[finest.mag])
        box = self._measured(finest, mags[finest.mag]) if measure or not recorded else recorded
        if box is None:
            self.notes.append(WarningNote(f"{self.dst / name} is left out: it holds no shard"))
            return None
        sources = {mag: stored.within(box.coarsened(mag)) for mag, stored in mags.items()}
        info = sources[finest.mag].info
        decision = classify(sources[finest.mag], option=category, names=[name])
        is_labels = decision.category == "segmentation"
        needs_range = not is_labels and info.dtype != "uint8"
        spec = LayerSpec(
            name,
            decision.category,
            box,
            info.dtype,
            info.channels,
            [MagSpec(name, decision.category, mag, box, info.dtype, info.channels) for mag in sources],
            largest_segment_id=int(value_range[1]) if is_labels and value_range else None,
            value_range=value_range if needs_range else None,
            intensity_range=intensity_range(sources[max(sources)]) if needs_range else None,
        )
        entries = [self._mag_entry(found[mag], stored) for mag, stored in sources.items()]
        entry = properties_file.layer_entry(spec, finest.format.name, entries)
        facts = f"{entry['elementClass']}, {box}, mags {', '.join(map(str, sources))}"
        self.note_change("layer", None, None, f"{name}, {facts}; {decision.category}: {decision.reason}")
        return entry

    def _measured(self, where: MagOnDisk, mag: StoredMag) -> Box | None:
        """The extent of non-zero voxels, in mag-1 voxels; that of the shards if all are zero; None without shards."""
        found = self.contents_of(where, outline=True).box
        if found is None:
            found = mag.box if mag.box.volume else None
            self.notes.append(f"{where.layer} holds no voxel that is not zero: its bounding box is that of its shards")
        return found and found.refined(where.mag)

    def _mag_entry(self, where: MagOnDisk, mag: StoredMag) -> Properties:
        path = where.folder.relative_to(self.dst).as_posix()
        return properties_file.mag_entry(where.mag, path, where.format.entry(mag))

    def refreshed(self, entry: Properties, found: Mags) -> Properties | None:
        """A layer's entry with the mags on disk, as their headers describe them; None if there are none."""
        layer, name = stored_layer(entry, self.dst), entry["name"]
        own = plugins().mag_formats()[layer.data_format]
        folders = {mag: mag_folder(self.dst, layer, mag) for mag in layer.mags}
        elsewhere = {mag for mag, folder in folders.items() if folder is None}
        listed = [MagOnDisk(name, mag, folder, own) for mag, folder in folders.items() if folder]
        on_disk = {where.mag: where for where in (*found.values(), *listed) if where.exists}
        if not on_disk:
            if elsewhere:  # these cannot be checked from here
                return entry
            self.note_change("layer", None, name, None)
            return None
        mags = _opened(on_disk)
        for mag in sorted((layer.mags.keys() ^ mags.keys()) - elsewhere):
            self.note_change("mag", name, *((mag, None) if mag in layer.mags else (None, mag)))
        new = self._with_mags(entry, on_disk, mags, elsewhere)

        info = next(iter(mags.values())).info
        typed = properties_file.with_kind(new, info.dtype, info.channels)
        was, now = ((each["elementClass"], each.get("numChannels")) for each in (new, typed))
        if was == now or (was == (now[0], None) and info.channels == 1):  # one channel need not be stated
            return new
        kinds = (f"{kind}, {channels or 'unknown'} channels" for kind, channels in (was, now))
        self.note_change("element_class", name, *kinds)
        return typed

    def _with_mags(
        self, entry: Properties, on_disk: Mags, mags: Mapping[Mag, StoredMag], elsewhere: Collection[Mag]
    ) -> Properties:
        """The entry with mags that are on disk or lie elsewhere; the list takes today's form only if it changes."""
        old = {mag_of(mag): mag for mag in mag_entries(entry)}
        new = {mag: old[mag] for mag in elsewhere}
        has_changed = new.keys() | mags.keys() != old.keys()
        for mag, stored in mags.items():
            where, known = on_disk[mag], old.get(mag, {})
            stated = where.format.entry(stored)
            if "axisOrder" in known:  # by which an array without names of axes is read
                stated = {key: value for key, value in stated.items() if key != "axisOrder"}
            new[mag] = {**self._mag_entry(where, stored), **known, **stated}
            for key in (key for key, value in stated.items() if known and known.get(key) != value):
                has_changed, what = True, "shard_side" if key == "cubeLength" else key
                before = f"{known.get(key) or 'unknown'} in mag {mag}"
                self.note_change(what, entry["name"], before, stated[key])
        if not has_changed:
            return entry
        kept = {key: value for key, value in entry.items() if key != "wkwResolutions"}
        return {**kept, "mags": properties_file.finest_first(new.values())}

    # --- single facts

    def with_category(self, entry: Properties, category: Category) -> Properties:
        """The entry of a layer with another category; keys that only segmentations have are added or removed."""
        if category == entry["category"]:
            return entry
        self.note_change("category", entry["name"], entry["category"], category)
        of_labels: Properties = {"largestSegmentId": None, "mappings": []}
        if category == "segmentation":
            return {**of_labels, **entry, "category": category}
        return {**{key: value for key, value in entry.items() if key not in of_labels}, "category": category}

    def with_extent(self, entry: Properties) -> Properties:
        """The entry with the smallest bounding box of all non-zero voxels; unchanged if there are none."""
        layer = stored_layer(entry, self.dst)
        finest = self._finest(layer)
        found = self.contents_of(finest, outline=True).box
        if found is None:
            self.notes.append(f"{layer.name}: the bounding box stays, there is no voxel that is not zero")
            return entry
        # a mag coarser than 1 cannot tell apart boxes that it rounds to the same one
        if found == layer.box.coarsened(finest.mag):
            return entry
        box = found.refined(finest.mag)
        self.note_change("bounding_box", layer.name, layer.box, box)
        return {**entry, "boundingBox": properties_file.bounding_box(box)}

    def with_largest_id(self, entry: Properties, largest: int | None) -> Properties:
        """The entry with this largest segment id (None: the largest value is measured); 0 becomes null."""
        layer = stored_layer(entry, self.dst)
        largest = (self.contents_of(self._finest(layer)).largest if largest is None else largest) or None
        if largest == layer.largest_segment_id:
            return entry
        self.note_change("largest_segment_id", layer.name, layer.largest_segment_id, largest)
        return {**entry, "largestSegmentId": largest}

    def with_mappings(self, entry: Properties) -> Properties:
        """The entry with the mappings `LAYER/mappings/NAME.json`; listed names may have the suffix or not."""
        named = list(entry.get("mappings") or [])
        known = [name.removesuffix(".json") for name in named]
        on_disk = sorted(path.stem for path in listed(self.dst / entry["name"] / "mappings", "*.json"))
        added = [name for name in on_disk if name not in known]
        kept = [name for name in named if name.removesuffix(".json") in on_disk]
        for name in added:
            self.note_change("mapping", entry["name"], None, name)
        for name in (name for name in named if name not in kept):
            self.note_change("mapping", entry["name"], name, None)
        return {**entry, "mappings": kept + added} if added or kept != named else entry

    def _finest(self, layer: StoredLayer) -> MagOnDisk:
        """The finest mag that lies in the dataset. Raises BrokenSource where there is none."""
        for mag in sorted(layer.mags):
            if folder := mag_folder(self.dst, layer, mag):
                form = plugins().mag_formats()[layer.data_format]
                return MagOnDisk(layer.name, mag, folder, form, layer, dataset=self.dst)
        raise BrokenSource(f"no mag of layer {layer.name} of {self.dst} can be read", why="all of them lie elsewhere")


# --- what mags and records say of a layer ----------------------------------------------------------------------------


def _opened(found: Mags) -> dict[Mag, StoredMag]:
    """Open mags, the finest first. Raises BrokenSource where they differ in format or dtype, DamagedData."""
    mags = {mag: found[mag].open() for mag in sorted(found)}
    formats = {mag: found[mag].format.name for mag in mags}
    kinds = {mag: f"{stored.info.channels} x {stored.info.dtype}" for mag, stored in mags.items()}
    for what, by_mag in (("format", formats), ("channels or dtype", kinds)):
        if len(set(by_mag.values())) > 1:
            raise BrokenSource(
                f"the mags of {found[min(found)].folder.parent} differ in {what}",
                why="; ".join(f"mag {mag}: {kind}" for mag, kind in by_mag.items()),
                fix="remove the mags that do not belong to the layer",
            )
    return mags


def _recorded(dataset: Path, where: MagOnDisk, mag: StoredMag) -> tuple[Box | None, tuple[float, float] | None]:
    """The layer's extent in mag-1 voxels and the range of values, as the run that wrote a mag recorded them.

    Both are None where the shards on disk are not the recorded ones.
    """
    on_disk = {shard.path for shard in mag.shards()}
    holding = [(record, record.mags[where.mag]) for record in records(dataset, where.layer).holding(where.mag)]
    valid = [
        (extent_in(record.plan, where.layer), sums)
        for record, sums in holding
        if {mag.shard_path(start) for start in sums.shards} == on_disk
    ]
    if not valid:
        return None, None
    sums = valid[0][1]
    value_range = (sums.low, sums.high) if sums.low is not None and sums.high is not None else None
    return next((box for box, _ in valid if box), None), value_range


def recorded_voxel_sizes(dataset: Path, layers: Sequence[str]) -> Iterator[VoxelSize]:
    """The voxel sizes that the sources of layers stated when our runs converted them."""
    for layer in layers:
        for record in records(dataset, layer).all:
            try:
                yield from (VoxelSize((x, y, z), unit) for x, y, z, unit in record.plan.get("voxel_sizes", ()))
            except (ArithmeticError, TypeError, ValueError, OptionError):
                continue
