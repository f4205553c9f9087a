"""What becomes of one layer's entry in the metadata, and what is to be told of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wkconvert_core.commands.metadata_new_layers import Mags, described, entry_of, opened, recorded
from wkconvert_core.contract.errors import BrokenSource
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.model import Category, VolumeInfo
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.datasets.properties import Properties, StoredLayer, mag_entries, mag_folder, mag_of, stored_layer
from wkconvert_core.engine.progress import Listener
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.contents import Contents, find_contents
from wkconvert_core.planning.route import Budget
from wkconvert_core.registry.plugins import plugins


@dataclass(frozen=True)
class Change:
    """A fact that is no longer what it was."""

    what: str
    """`name`, `voxel_size`, `layer`; of a layer: `mag`, `bounding_box`, `category`, `element_class`, `shard_side`,
    `largest_segment_id`, `mapping`."""
    layer: str | None
    old: str | None
    """None: there was none."""
    new: str | None

    def __str__(self) -> str:
        """`color: bounding box: x 0:10, y 0:10, z 0:4 becomes x 0:9, y 0:10, z 0:4`."""
        where = f"{self.layer}: " if self.layer else ""
        what = self.what.replace("_", " ")
        if self.old is None:
            return f"{where}{what} added: {self.new}"
        return (
            f"{where}{what} dropped: {self.old}"
            if self.new is None
            else f"{where}{what}: {self.old} becomes {self.new}"
        )


@dataclass(frozen=True)
class ContentsCache:
    """Looks at the voxels of mags, on all workers, once at each."""

    budget: Budget
    workers: Callable[[], Workers]
    """Brings them in: jobs of a cluster are asked for only when there is anything to look at."""
    listen: Listener | None
    seen: dict[tuple[Path, bool], Contents] = field(default_factory=dict)

    def __call__(self, place: MagOnDisk, *, outline: bool = False) -> Contents:
        """What a mag holds; `outline`: only where."""
        key = place.folder, outline
        if key not in self.seen:
            self.seen[key] = find_contents(place, self.budget, self.workers(), self.listen, outline=outline)
        return self.seen[key]


@dataclass
class EntryEditor:
    """Takes entries of layers to what they shall be, and notes what changes."""

    dst: Path
    look: ContentsCache
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def tell(self, what: str, layer: str | None, old: Any, new: Any) -> None:
        """Note a change, if it is one."""
        old, new = (None if value is None else str(value) for value in (old, new))
        if old != new:
            self.changes.append(Change(what, layer, old, new))

    # --- layers and mags

    def added(self, name: str, there: Mags, category: Category | None, *, measure: bool) -> Properties | None:
        """The entry of a layer that is not known yet; None, and a note, where there is nothing to be seen."""
        finest = there[min(there)]
        noted = recorded(self.dst, name, finest.mag, opened(there)[finest.mag])
        box = self._measured(finest) if measure or not noted.box else noted.box
        if box is None:
            self.notes.append(f"{self.dst / name} is left out: it holds no shard")
            return None
        entry, decision = described(self.dst, there, box, noted, category)
        facts = f"{entry['elementClass']}, {box}, mags {', '.join(map(str, sorted(there)))}"
        self.tell("layer", None, None, f"{name}, {facts}; {decision.category}: {decision.reason}")
        return entry

    def _measured(self, place: MagOnDisk) -> Box | None:
        """The extent in mag-1 voxels, by the voxels that are not zero; if all are, that of the shards; None of none."""
        found = self.look(place, outline=True).box
        if found is None:
            mag = place.open()
            shards = [Box(shard.start, mag.shard_shape) for shard in mag.shards()]
            found = functools.reduce(Box.spanning, shards) if shards else None
            self.notes.append(f"{place.layer} holds no voxel that is not zero: its bounding box is that of its shards")
        return found and found.refined(place.mag)

    def refreshed(self, entry: Properties, found: Mags) -> Properties | None:
        """A layer's entry with the mags that are there, as their headers say; None if there are none."""
        stored, name = stored_layer(entry, self.dst), entry["name"]
        own = plugins().mag_formats()[stored.data_format]
        folders = {mag: mag_folder(self.dst, stored, mag) for mag in stored.mags}
        elsewhere = {mag for mag, folder in folders.items() if folder is None}
        listed = [MagOnDisk(name, mag, folder, own) for mag, folder in folders.items() if folder]
        there = {place.mag: place for place in (*found.values(), *listed) if place.exists}
        if not there:
            if elsewhere:  # nothing here says anything about those
                return entry
            self.tell("layer", None, name, None)
            return None
        mags = opened(there)
        for mag in sorted({*stored.mags, *there} - elsewhere):
            if (mag in stored.mags) != (mag in there):
                self.tell("mag", name, *((mag, None) if mag in stored.mags else (None, mag)))
        new = self._with_mags(entry, there, mags, elsewhere)
        return self._with_kind(new, next(iter(mags.values())).info)

    def _with_mags(
        self, entry: Properties, there: Mags, mags: Mapping[Mag, StoredMag], elsewhere: Collection[Mag]
    ) -> Properties:
        """The entry with the mags that are there, or lie elsewhere; in the newer form if that changes anything."""
        old = {mag_of(mag): mag for mag in mag_entries(entry)}
        new = {mag: old[mag] for mag in elsewhere}
        changed = new.keys() | there.keys() != old.keys()
        for mag, where in there.items():
            stated = where.format.entry(mags[mag])
            known = old.get(mag, {})
            new[mag] = {**entry_of(self.dst, where, mags[mag]), **known, **stated}
            if known and any(known.get(key) != value for key, value in stated.items()):
                changed = True
                self._tell_shard(entry["name"], mag, known, stated)
        if not changed:
            return entry
        kept = {key: value for key, value in entry.items() if key != "wkwResolutions"}
        return {**kept, "mags": properties_file.finest_first(new.values())}

    def _tell_shard(self, layer: str, mag: Mag, known: Properties, stated: Mapping[str, Any]) -> None:
        """Note what the format says of a mag, and the metadata say otherwise."""
        for key, value in stated.items():
            if known.get(key) != value:
                what = "shard_side" if key == "cubeLength" else key
                self.tell(what, layer, f"{known.get(key) or 'unknown'} in mag {mag}", value)

    def _with_kind(self, entry: Properties, info: VolumeInfo) -> Properties:
        """The entry with the element type that the mags have; readers of today need the number of channels."""
        new = properties_file.with_kind(entry, info.dtype, info.channels)
        was, now = ((each["elementClass"], each.get("numChannels")) for each in (entry, new))
        if was == now or (was == (now[0], None) and info.channels == 1):
            return entry
        self.tell("element_class", entry["name"], *(f"{kind}, {n or 'unknown'} channels" for kind, n in (was, now)))
        return new

    # --- single facts

    def with_category(self, entry: Properties, category: Category) -> Properties:
        """The entry of a layer that means something else; what only labels have comes or goes."""
        if category == entry["category"]:
            return entry
        self.tell("category", entry["name"], entry["category"], category)
        of_labels: Properties = {"largestSegmentId": None, "mappings": []}
        if category == "segmentation":
            return {**of_labels, **entry, "category": category}
        return {**{key: value for key, value in entry.items() if key not in of_labels}, "category": category}

    def with_extent(self, entry: Properties) -> Properties:
        """The entry with the smallest bounding box that holds every voxel that is not zero."""
        stored = stored_layer(entry, self.dst)
        place = self._finest(stored)
        found = self.look(place, outline=True).box
        if found is None:
            self.notes.append(f"{stored.name}: the bounding box stays, there is no voxel that is not zero")
            return entry
        if found == stored.box.coarsened(place.mag):  # where there is no mag 1, what is there tells no more
            return entry
        box = found.refined(place.mag)
        self.tell("bounding_box", stored.name, stored.box, box)
        return {**entry, "boundingBox": properties_file.bounding_box(box)}

    def with_largest(self, entry: Properties, largest: int | None) -> Properties:
        """The entry with the largest id that is given, or else measured; null stands for none at all."""
        stored = stored_layer(entry, self.dst)
        if largest is None:
            largest = self.look(self._finest(stored)).largest
        if (largest or None) == stored.largest_segment_id:
            return entry
        self.tell("largest_segment_id", stored.name, stored.largest_segment_id, largest or None)
        return {**entry, "largestSegmentId": largest or None}

    def with_mappings(self, entry: Properties) -> Properties:
        """The entry with the mappings that lie in the layer's folder; readers add `.json` to their names."""
        listed = list(entry.get("mappings") or [])
        known = {name.removesuffix(".json") for name in listed}
        there = sorted(path.stem for path in (self.dst / entry["name"]).glob("mappings/*.json"))
        added = [name for name in there if name not in known]
        gone = [name for name in listed if name.removesuffix(".json") not in there]
        for name in added:
            self.tell("mapping", entry["name"], None, name)
        for name in gone:
            self.tell("mapping", entry["name"], name, None)
        return {**entry, "mappings": [name for name in listed if name not in gone] + added} if added or gone else entry

    def _finest(self, stored: StoredLayer) -> MagOnDisk:
        """The finest mag of a layer that can be read. Raises BrokenSource where there is none."""
        folders = {mag: folder for mag in sorted(stored.mags) if (folder := mag_folder(self.dst, stored, mag))}
        if not folders:
            raise BrokenSource(
                f"no mag of layer {stored.name} of {self.dst} can be read", why="all of them lie elsewhere"
            )
        mag, folder = next(iter(folders.items()))
        return MagOnDisk(stored.name, mag, folder, plugins().mag_formats()[stored.data_format], stored)
