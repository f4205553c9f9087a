"""A dataset on disk: its metadata, its layers, and their mags in any format.

Layers in a format that no installed plugin stores, and mags on a server or outside the dataset's folder, are listed and
left alone; they never keep the rest from being worked on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wkconvert_core.contract.errors import BrokenSource, SourceNotFound, UnsupportedSource, check_known
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.mag_format import MagFormat, PlacedFormat, StoredMag
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.naming import FOLDER, PROPERTIES_FILE, layer_name_problem, shown
from wkconvert_core.datasets.properties import Properties, StoredLayer, mag_folder, stored_layer, voxel_size
from wkconvert_core.datasets.records.unfinished_runs import lacking_metadata, unfinished
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.files import exists, is_folder, listed

COMPRESSED = Path(FOLDER, "compressed")
"""Where `compress` builds the mags that will replace a dataset's own."""
_NEITHER = f"it holds neither {PROPERTIES_FILE} nor a folder LAYER/MAG with a mag"


@dataclass(frozen=True)
class MagOnDisk:
    """One mag of one layer in its folder, which need not exist."""

    layer: str
    mag: Mag
    folder: Path
    format: MagFormat
    stored: StoredLayer | None = None
    """The layer as the metadata describe it; None if they do not list it."""
    layer_voxel_size: VoxelSize | None = None
    """Voxel size of mag 1."""
    dataset: Path | None = None
    """The dataset whose records hold for the mag; None: none do."""
    url: str = ""
    """Where the mag lies on a server; empty for one in `folder`."""

    @property
    def title(self) -> str:
        """Layer and mag for messages: `color mag 2-2-1`."""
        return f"{self.layer} mag {self.mag}"

    @property
    def box(self) -> Box | None:
        """The extent in voxels of this mag, as the metadata state it; None if they do not list the layer."""
        return self.stored.box.coarsened(self.mag) if self.stored else None

    @property
    def voxel_size(self) -> VoxelSize | None:
        """Voxel size of this mag."""
        return self.layer_voxel_size and self.layer_voxel_size.coarsened(self.mag)

    @property
    def exists(self) -> bool:
        """Whether the folder holds a mag of the format."""
        return bool(self.url) or self.format.has_mag(self.folder)

    @property
    def place(self) -> Path | str:
        """The folder, or the URL."""
        return self.url or self.folder

    @property
    def is_there(self) -> bool:
        """Whether the folder exists; of a server, that is found out by opening."""
        return bool(self.url) or is_folder(self.folder)

    def open(self) -> StoredMag:
        """Open the mag. Without metadata, its extent is that of its shards.

        Raises SourceNotFound, DamagedData, and BrokenSource if dtype or channels differ from the metadata.
        """
        stored, form = self.stored, self.format
        if stored and self.box and isinstance(form, PlacedFormat):
            mag = form.open_listed(self.place, stored.entries.get(self.mag, {}), self.box, self.voxel_size)
        elif self.url:
            raise UnsupportedSource(f"{self.title} lies at {self.url}", why=f"{form.name} is read from folders only")
        else:
            mag = form.open(self.folder, self.box, self.voxel_size)
        if stored and (mag.info.dtype, mag.info.channels) != (stored.dtype, stored.channels):
            raise BrokenSource(
                f"{mag.description} says {mag.info.channels} x {mag.info.dtype}",
                why=f"{PROPERTIES_FILE} says {stored.channels} x {stored.dtype}",
            )
        return mag


@dataclass(frozen=True)
class Dataset:
    """A dataset as its metadata describe it or, without metadata, as the folders of its mags do; no mag is opened."""

    path: Path
    properties: Properties | None
    """The metadata; None if there are none yet."""
    layers: Mapping[str, StoredLayer] = field(default_factory=dict)
    """The layers that can be worked on, as and in the order in which the metadata list them."""
    mags: Sequence[MagOnDisk] = ()
    """The mags that can be worked on, layer by layer, finest first. Their folders may be missing."""
    foreign: Mapping[str, str] = field(default_factory=dict)
    """Layers that cannot be worked on: the reason by name."""
    foreign_mags: Mapping[tuple[str, Mag], str] = field(default_factory=dict)
    """Mags of `layers` that cannot be worked on: the reason by layer and mag."""

    @classmethod
    def open(cls, path: Path, *, follow: bool = False) -> Dataset:
        """Describe a folder: the layers in its metadata or, without metadata, the mags that are found in it.

        Raises SourceNotFound if it holds no dataset, BrokenSource for malformed metadata, for an unfinished dataset
        without metadata, and while `compress` is moving mags.
        """
        properties = read_properties(path)
        if properties is not None:
            return cls.listed(path, properties, follow=follow)
        if not (found := _finished_mags(path)):
            raise SourceNotFound(f"{path} is no dataset", why=_NEITHER)
        return cls(path, None, mags=found)

    @classmethod
    def finished(cls, path: Path, *, follow: bool = False) -> Dataset:
        """Describe a dataset with metadata; with `follow`, mags that lie elsewhere are among those to work on.

        Raises SourceNotFound if it is none, UnsupportedSource for mags without metadata, BrokenSource as `open` does.
        """
        properties = read_properties(path)
        if properties is None:
            check_described(path)
            raise SourceNotFound(f"{path} is no finished dataset", why=_NEITHER, fix="give the folder of a dataset")
        return cls.listed(path, properties, follow=follow)

    @classmethod
    def listed(cls, path: Path, properties: Properties, *, follow: bool = False) -> Dataset:
        """Describe a folder by its metadata. Raises BrokenSource for a layer that is malformed."""
        formats, size = plugins().mag_formats(), voxel_size(properties)
        layers: dict[str, StoredLayer] = {}
        mags: list[MagOnDisk] = []
        foreign: dict[str, str] = {}
        foreign_mags: dict[tuple[str, Mag], str] = {}
        for entry in properties["dataLayers"]:
            if problem := layer_name_problem(entry["name"]):
                foreign[entry["name"]] = f"as a layer's name, it {problem}"
                continue
            if entry["dataFormat"] not in formats:
                foreign[entry["name"]] = f"its format is {entry['dataFormat']}, which no installed plugin stores"
                continue
            layer = stored_layer(entry, path)
            layers[layer.name] = layer
            for mag in sorted(layer.mags):
                folder = mag_folder(path, layer, mag)
                place = str(layer.mags[mag])
                if folder is None and not follow:
                    foreign_mags[layer.name, mag] = f"it lies elsewhere, at {shown(place, quoted=False)}"
                    continue
                url = place if folder is None and "://" in place else ""
                folder = folder or (Path(url) if url else (path / place).resolve())
                mags.append(MagOnDisk(layer.name, mag, folder, formats[layer.data_format], layer, size, path, url))
        return cls(path, properties, layers, mags, foreign, foreign_mags)

    @property
    def voxel_size(self) -> VoxelSize | None:
        """Voxel size of mag 1; None without metadata."""
        return replace(voxel_size(self.properties), origin="the dataset's own") if self.properties else None

    def left_alone_in(self, layers: Collection[str] = ()) -> list[str]:
        """Name what cannot be worked on of these layers (none: of all), a sentence for each layer and mag.

        >>> Dataset(Path("em"), None, foreign={"raw": "its format is n5"}).left_alone_in()
        ['layer raw is left alone: its format is n5']
        """
        named = [(it, why) for it, why in self.foreign.items() if not layers or it in layers]
        wholes = [f"layer {shown(it, quoted=False)} is left alone: {why}" for it, why in named]
        mags = [(it, mag, why) for (it, mag), why in self.foreign_mags.items() if not layers or it in layers]
        parts = [f"mag {mag} of layer {it} is left alone: {why}" for it, mag, why in mags]
        return [WarningNote(note) for note in wholes + parts]

    def of(self, layer: str) -> dict[Mag, MagOnDisk]:
        """The mags of a layer that can be worked on, finest first."""
        return {each.mag: each for each in self.mags if each.layer == layer}

    def check_mag(self, option: str, layer: str, mag: Mag) -> None:
        """Raise UnsupportedSource if a mag of a layer cannot be worked on, OptionError if it is missing."""
        if why := self.foreign_mags.get((layer, mag)):
            raise UnsupportedSource(f"mag {mag} of layer {layer} of {self.path} cannot be read", why=why)
        there = sorted(mag for mag, where in self.of(layer).items() if where.is_there)
        check_known(option, [mag], there, f"is not in the layer {layer}")

    def choose(self, layers: Sequence[str] = (), mags: Sequence[Mag] = ()) -> list[MagOnDisk]:
        """Select mags by layer and factor; an empty selection means all.

        Raises OptionError for a layer or mag that the dataset lacks, UnsupportedSource for one that cannot be worked
        on, or if nothing can be.

        >>> wkw = plugins().mag_formats()["wkw"]
        >>> mags = [MagOnDisk("em", mag, Path("em", str(mag)), wkw) for mag in (Mag(1, 1, 1), Mag(2, 2, 1))]
        >>> [where.title for where in Dataset(Path("data"), None, mags=mags).choose(["em"], [Mag(2, 2, 1)])]
        ['em mag 2-2-1']
        >>> Dataset(Path("data"), None, mags=mags).choose(["en"])
        Traceback (most recent call last):
        wkconvert_core.contract.errors.OptionError: --layer-name en is not in data. take one of em
        """
        for name in layers:
            if name in self.foreign:
                raise UnsupportedSource(f"layer {name} of {self.path} cannot be read", why=self.foreign[name])
        problem = f"is not in {self.path}"
        check_known("layer-name", layers, list(self.layers or dict.fromkeys(each.layer for each in self.mags)), problem)
        found = [each for each in self.mags if not layers or each.layer in layers]
        for name, mag in self.foreign_mags:
            if mag in mags and (not layers or name in layers):
                self.check_mag("mag", name, mag)
        check_known("mag", mags, sorted({each.mag for each in found}), problem)
        if not found:
            why = "; ".join(self.left_alone_in(layers)) or "no mag"
            raise UnsupportedSource(f"{self.path} holds nothing to work on", why=why)
        return [each for each in found if not mags or each.mag in mags]


# --- what a folder holds ---------------------------------------------------------------------------------------------


def read_properties(dataset: Path) -> Properties | None:
    """Read a dataset's metadata; None if there are none.

    Raises SourceNotFound if the folder is missing, BrokenSource for malformed metadata and while `compress` moves mags.
    """
    if not is_folder(dataset):
        raise SourceNotFound(f"{dataset} is no folder", fix="give the folder of a dataset")
    check_not_half_compressed(dataset)
    file = dataset / PROPERTIES_FILE
    return properties_file.read(file) if exists(file) else None


def found_mags(dataset: Path) -> list[MagOnDisk]:
    """Find the mags in folders `LAYER/MAG`, whether or not the metadata list them. Hidden folders are ignored.

    If two folders name the same mag, such as `2` and `2-2-2`, the shorter name is taken.
    """
    formats, found = plugins().mag_formats().values(), dict[tuple[str, Mag], MagOnDisk]()
    folders = (folder for layer in listed(dataset, "[!.]*") for folder in listed(layer, "[0-9]*"))
    for folder in sorted(folders, key=lambda folder: (-len(folder.name), folder)):
        try:
            mag = Mag.parse(folder.name)
        except ValueError:
            continue
        if fitting := next((one for one in formats if one.has_mag(folder)), None):
            found[folder.parent.name, mag] = MagOnDisk(folder.parent.name, mag, folder, fitting, dataset=dataset)
    return [found[key] for key in sorted(found)]


def _finished_mags(dataset: Path) -> list[MagOnDisk]:
    """The mags of a folder without metadata. Raises BrokenSource if a run on them did not come to its end."""
    if begun := unfinished(dataset):
        raise BrokenSource(
            f"{dataset} is not finished: {begun[0]}",
            why="its metadata come last, when all shards are written",
            fix="run the command that began it again: it goes on where it stopped",
        )
    found = found_mags(dataset)
    if found and (lacking := lacking_metadata(dataset)):
        raise BrokenSource(
            f"{dataset} is not finished: {PROPERTIES_FILE} is missing",
            why=f"{lacking[0]} writes it last, and was stopped before that; or the file was lost since",
            fix="run the command that began it again: it goes on where it stopped; "
            f"or `wkconvert metadata {dataset} --voxel-size 4,4,35`, with your voxel size, makes the file anew",
        )
    return found


def check_described(folder: Path) -> None:
    """Without metadata: raise BrokenSource if a run is not finished, UnsupportedSource for mags that are there."""
    if mags := _finished_mags(folder):
        raise UnsupportedSource(
            f"{folder} holds mags of {mags[0].format.name} without metadata",
            why="`cube` writes none, nor do some other tools",
            fix=f"`wkconvert metadata {folder} --voxel-size 4,4,35` makes them, with your voxel size",
        )


def is_half_compressed(dataset: Path) -> bool:
    """Whether `compress` has finished new mags, but not yet moved all of them into the place of the old ones."""
    return exists(dataset / COMPRESSED / PROPERTIES_FILE)


def check_not_half_compressed(dataset: Path) -> None:
    """Raise BrokenSource while `compress` may be moving mags."""
    if is_half_compressed(dataset):
        raise BrokenSource(
            f"{dataset} is not finished: compress has still to move mags into their place",
            fix=f"run `wkconvert compress {dataset}` again: it goes on there",
        )
