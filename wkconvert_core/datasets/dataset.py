"""What lies in a WKW dataset: layers, mags, the files of their shards, and what those take on the disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from wkconvert_core.contract.errors import BrokenSource, SourceNotFound, WkconvertError, check_known
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets import properties_file as datasource
from wkconvert_core.datasets.journal import FOLDER
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.datasets.properties import Properties, StoredLayer, mag_folder, stored_layers, voxel_size
from wkconvert_core.datasets.writer import check_not_half_compressed
from wkconvert_core.formats.wkw.header import Header
from wkconvert_core.formats.wkw.source import HEADER_FILE, WkwSource, locate, open_mag


class ShardFile(NamedTuple):
    """The file of one shard."""

    start: Vec3
    """The shard's first voxel, in voxels of its mag."""
    path: Path


@dataclass(frozen=True)
class MagFolder:
    """One mag of one layer, where it lies."""

    layer: str
    mag: Mag
    folder: Path
    stored: StoredLayer | None = None
    """What the metadata say of the layer; None where there are no metadata."""

    @property
    def title(self) -> str:
        """`color mag 2-2-1`."""
        return f"{self.layer} mag {self.mag}"

    @property
    def box(self) -> Box | None:
        """The extent in voxels of this mag, as the metadata say it."""
        return self.stored.box.coarsened(self.mag) if self.stored else None

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return (self.folder / HEADER_FILE).is_file()

    def header(self) -> Header:
        """Read `header.wkw` and hold it against the metadata. Raises SourceError, DamagedData."""
        header, stored = open_mag(self.folder), self.stored
        if stored and (header.dtype, header.channels) != (stored.dtype, stored.channels):
            raise BrokenSource(
                f"{self.folder / HEADER_FILE} says {header.channels} x {header.dtype}",
                why=f"{PROPERTIES_FILE} says {stored.channels} x {stored.dtype}",
            )
        return header

    def source(self) -> WkwSource:
        """The voxels within the extent. Raises SourceError, DamagedData."""
        assert self.box, "only metadata tell the extent"
        return WkwSource(self.folder, self.header(), self.box)

    def shards(self, side: int) -> Iterator[ShardFile]:
        """The files of all shards, wherever they lie, if a shard is a cube with this side. Raises BrokenSource."""
        for z, layer in _numbered(self.folder, _Z):
            for y, row in _numbered(layer, _Y):
                for x, path in _numbered(row, _X):
                    yield ShardFile((x * side, y * side, z * side), path)

    def shard_path(self, start: Vec3, side: int) -> Path:
        """The file of the shard that begins at a voxel."""
        return locate(self.folder, start, side)[0]


_Z, _Y, _X = re.compile(r"z([0-9]+)"), re.compile(r"y([0-9]+)"), re.compile(r"x([0-9]+)\.wkw")


def _numbered(folder: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """What in a folder has such a name, by number; a number with a zero in front is no name that readers look for."""
    try:
        matches = [match for path in folder.iterdir() if (match := pattern.fullmatch(path.name))]
    except NotADirectoryError:
        return []
    except OSError as error:
        raise BrokenSource(f"{folder} cannot be read", why=error.strerror or str(error)) from error
    return sorted((int(m[1]), folder / m[0]) for m in matches if m[1] == str(int(m[1])))


# --- which mags there are --------------------------------------------------------------------------------------------


def properties_of(dataset: Path) -> Properties | None:
    """A dataset's metadata; None where there are none.

    Raises SourceNotFound for no folder, BrokenSource for metadata that make no sense and while mags are being replaced.
    """
    if not dataset.is_dir():
        raise SourceNotFound(f"{dataset} is no folder", fix="give the folder of a WKW dataset")
    check_not_half_compressed(dataset)
    file = dataset / PROPERTIES_FILE
    return datasource.read(file) if file.exists() else None


def mags_of(dataset: Path) -> list[MagFolder]:
    """The WKW mags that the metadata list, whether they are there or not; without metadata, all that are found.

    Raises SourceNotFound where there is no dataset, BrokenSource for metadata that make no sense or an unfinished one.
    """
    properties = properties_of(dataset)
    if properties is not None:
        layers = [layer for layer in stored_layers(properties, dataset) if layer.data_format == "wkw"]
        return [MagFolder(la.name, mag, mag_folder(dataset, la, mag), la) for la in layers for mag in sorted(la.mags)]
    if begun := unfinished(dataset):
        raise BrokenSource(f"{dataset} is not finished: {begun[0]}", fix="run the command that began it again")
    if not (found := found_mags(dataset)):
        raise SourceNotFound(
            f"{dataset} is no WKW dataset", why=f"it holds neither {PROPERTIES_FILE} nor a folder of mags"
        )
    return found


def found_mags(dataset: Path) -> list[MagFolder]:
    """The WKW mags that lie in a folder `LAYER/MAG`, whatever the metadata say; those of hidden layers are not ours."""
    found = {
        (head.parent.parent.name, mag): MagFolder(head.parent.parent.name, mag, head.parent)
        for head in sorted(dataset.glob(f"*/*/{HEADER_FILE}"), reverse=True)  # `2` before `2-2-2`
        if (mag := _mag(head.parent.name)) is not None and not head.parent.parent.name.startswith(".")
    }
    return [found[key] for key in sorted(found)]


def unfinished(dataset: Path) -> list[str]:
    """The runs that were begun and did not end, for people: `auto of layer color`."""
    plans = sorted(path for path in (dataset / FOLDER).glob("*.plan") if not path.with_suffix(".shards").exists())
    parts = [path.name.removesuffix(".plan").rpartition(".") for path in plans]
    return [f"{command} of layer {layer}" for layer, _, command in parts]


def foreign_layers(dataset: Path) -> dict[str, str]:
    """Name and format of the layers that are not WKW."""
    properties = properties_of(dataset)
    layers = stored_layers(properties, dataset) if properties else []
    return {layer.name: layer.data_format for layer in layers if layer.data_format != "wkw"}


def _mag(name: str) -> Mag | None:
    try:
        return Mag.parse(name)
    except ValueError:
        return None


def chosen(dataset: Path, layers: Sequence[str], mags: Sequence[Mag], found: Sequence[MagFolder]) -> list[MagFolder]:
    """Those of some layers and mags; all, where none are named. Raises OptionError for one that is not there."""
    problem = f"is not in {dataset}"
    check_known("layer-name", layers, list(dict.fromkeys(each.layer for each in found)), problem)
    found = [each for each in found if not layers or each.layer in layers]
    check_known("mag", mags, sorted({each.mag for each in found}), problem)
    return [each for each in found if not mags or each.mag in mags]


# --- what they take --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """One mag of one layer, as it is stored."""

    place: MagFolder
    header: Header | None
    """None where it cannot be read."""
    shards: int
    stored_bytes: int
    voxel_size: VoxelSize | None
    """Of this mag's voxels."""
    problem: str | None = None
    """Why the mag cannot be read; None where it can."""

    @property
    def compression(self) -> str | None:
        """How its blocks are compressed: none, lz4 or lz4hc; None where it cannot be read."""
        kind = self.header.block_type if self.header else None
        return "none" if kind == "raw" else kind

    @property
    def raw_bytes(self) -> int | None:
        """Bytes of the voxels within the extent, uncompressed."""
        box = self.place.box
        return box.volume * self.header.voxel_bytes if box and self.header else None

    @property
    def ratio(self) -> float | None:
        """Raw bytes per byte on the disk; None where nothing is stored."""
        return self.raw_bytes / self.stored_bytes if self.raw_bytes is not None and self.stored_bytes else None


def inventory(dataset: Path) -> list[Stored]:
    """Every mag of a dataset, and what it takes on the disk; no shard is read. Raises what `mags_of` raises."""
    properties = properties_of(dataset)
    size = voxel_size(properties) if properties else None
    return [_stored(place, size) for place in mags_of(dataset)]


def _stored(place: MagFolder, size: VoxelSize | None) -> Stored:
    own = size and size.coarsened(place.mag)
    try:
        header = place.header()
        sizes = [shard.path.stat().st_size for shard in place.shards(header.side)]
    except WkconvertError as error:
        return Stored(place, None, 0, 0, own, error.what)
    except OSError as error:
        return Stored(place, None, 0, 0, own, f"{error.filename}: {error.strerror}")
    return Stored(place, header, len(sizes), sum(sizes), own)
