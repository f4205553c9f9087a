"""How one mag is stored in a folder: the form in which a WEBKNOSSOS dataset keeps its voxels.

A dataset is metadata plus mags. Core owns the metadata, journals, checksums, locks and publishing; a *mag format* owns
the files of one mag. WKW is core's own; others register through the hook `wkconvert_mag_formats`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, runtime_checkable

from wkconvert_core.contract.geometry import Box, Mag, Vec3, Vec3Like
from wkconvert_core.contract.model import Category, Checksum, MagSpec, Sink, Source
from wkconvert_core.contract.voxel_size import VoxelSize

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array, DType

UNCOMPRESSED = "none"
"""The name that every format gives to voxels that are stored as they are."""


class ShardFile(NamedTuple):
    """The file of one shard."""

    start: Vec3
    """The shard's first voxel, in voxels of its mag, on the grid of shards through 0."""
    path: Path


@dataclass(frozen=True)
class ShardCheck:
    """The findings of reading one shard from its first byte to its last."""

    start: Vec3
    stored_bytes: int = 0
    checksum: Checksum | None = None
    """Of the file as it is; None where it does not decode."""
    compression: str = ""
    """As the shard itself states it."""
    problem: str = ""
    """Why the shard is damaged, or unlike its record; empty if it is sound."""


@runtime_checkable
class StoredMag(Source, Protocol):
    """A mag as it lies on disk: a Source that reads strictly and knows its files. Small when pickled.

    Voxel (0, 0, 0) is `box.start`. Where there is no shard, voxels are 0. A ComparableMag can do more.
    """

    @property
    def folder(self) -> Path:
        """Where the mag lies."""
        ...

    @property
    def description(self) -> Path:
        """The file that says how the mag is stored: `header.wkw`."""
        ...

    @property
    def box(self) -> Box:
        """The extent that is read, in voxels of the mag, where it lies in the dataset."""
        ...

    @property
    def shard_shape(self) -> Vec3:
        """The box that is one file, on a grid through 0."""
        ...

    @property
    def block_shape(self) -> Vec3:
        """The box that one decode yields, on a grid through 0."""
        ...

    @property
    def compression(self) -> str:
        """As `--compression` names it; `none` if voxels are stored as they are."""
        ...

    @property
    def check_bytes(self) -> int:
        """Memory that `check` takes at its peak."""
        ...

    def within(self, box: Box) -> Self:
        """The same mag with another extent."""
        ...

    def shards(self) -> Iterator[ShardFile]:
        """Every shard that is there, inside the extent or not. Raises BrokenSource."""
        ...

    def shard_path(self, start: Vec3Like) -> Path:
        """The file of the shard that holds a voxel, whether it is there or not."""
        ...

    def check(self, start: Vec3, recorded: Checksum | None) -> ShardCheck:
        """Read a shard whole and strictly, and hold it against its recorded checksum, if there is one.

        Damage is a result, not an error. Raises ResourceError if memory runs out.
        """
        ...


@runtime_checkable
class ComparableMag(StoredMag, Protocol):
    """A mag whose cubes can be compared with another mag's as they are stored."""

    def compares_with(self, other: Source, side: int) -> bool:
        """Whether aligned cubes of `side` voxels can be compared with those of `other` as they are stored."""
        ...

    def holds_the_same(self, other: Source, cube: Box) -> bool:
        """Whether a cube is sound and the same in both. False: its voxels have to be compared to know."""
        ...


class Recorded(Protocol):
    """The records of runs on the shards of a mag; small when pickled. Boxes and starts lie in the dataset."""

    def of(self, start: Vec3Like) -> Checksum | None:
        """The checksum of the shard that begins at a voxel; None if none is recorded. Raises BrokenSource."""
        ...

    def overlaps(self, box: Box) -> bool:
        """Whether a shard is recorded that overlaps a box: one that is not there is lost. Raises BrokenSource."""
        ...

    def due(self, start: Vec3Like) -> Checksum | None:
        """The checksum with which the shard that begins at a voxel is to be compared; None if it was, or cannot be."""
        ...

    def settle(self, start: Vec3Like) -> None:
        """Note that the shard that begins at a voxel is as recorded, so that it need not be compared again."""
        ...


@runtime_checkable
class ComparedMag(StoredMag, Protocol):
    """A mag that can hold each shard that it reads against a recorded checksum: damage is not carried on then."""

    def compared_with(self, recorded: Recorded) -> Self:
        """The same mag, which raises DamagedData when it reads of a shard that is lost, or not as recorded."""
        ...


@runtime_checkable
class MagFormat(Protocol):
    """One way to store a mag: a value that a plugin's `wkconvert_mag_formats` returns."""

    @property
    def name(self) -> str:
        """As `dataFormat` in the metadata, and `--to`, name it: `wkw`."""
        ...

    @property
    def summary(self) -> str:
        """A few words for `wkconvert plugins`."""
        ...

    def has_mag(self, folder: Path) -> bool:
        """Whether a folder holds a mag of this format; a look at names, nothing is read."""
        ...

    def open(self, folder: Path, box: Box | None = None, voxel_size: VoxelSize | None = None) -> StoredMag:
        """Open the mag in a folder; `box` is its extent in voxels of the mag (None: all that lies there).

        Raises SourceNotFound where there is no mag, BrokenSource, DamagedData.
        """
        ...

    def sink(self, folder: Path, spec: MagSpec, options: Mapping[str, str]) -> Sink:
        """A mag to be written; `options` are those of `--to-option`, to be read with `parse_options`.

        Its `source()` is a StoredMag. `spec.shard_shape` is a wish. Raises OptionError, which lists what is legal, and
        TargetError for what the format cannot hold.
        """
        ...

    def entry(self, mag: StoredMag) -> Mapping[str, Any]:
        """Entries of the metadata for a mag beside its factors and its path: `{"cubeLength": 1024}`."""
        ...


@runtime_checkable
class PlacedFormat(MagFormat, Protocol):
    """A mag format that opens mags as the metadata list them: also on servers, and by what is stated of them."""

    def open_listed(
        self, place: Path | str, entry: Mapping[str, Any], box: Box, voxel_size: VoxelSize | None
    ) -> StoredMag:
        """Open the mag in a folder or at a URL. Raises what `open` raises.

        `entry` is its whole entry, with the `numChannels` of the layer's.
        """
        ...


@dataclass(frozen=True)
class ListedLayer:
    """A layer as the metadata of its dataset list it."""

    name: str
    category: Category
    dtype: DType
    channels: int
    voxel_size: VoxelSize
    """Of mag 1."""
    mags: Mapping[Mag, str]
    """The folder of each mag in the dataset, as a path from there: `color/2-2-1`. Mags elsewhere are left out."""
    color: tuple[int, int, int] | None = None
    """Red, green, blue (0 to 255) in which the layer is shown."""
    value_range: tuple[float, float] | None = None
    """Smallest and largest value, as far as they are known."""
    intensity_range: tuple[float, float] | None = None
    """The values that a viewer shows as black and as white, as far as they are known."""


@runtime_checkable
class ListingFormat(MagFormat, Protocol):
    """A mag format that lists the mags of a layer in a file of its own, for programs that know no other metadata."""

    def list_mags(self, dataset: Path, layer: ListedLayer) -> None:
        """Write that file, or bring it up to date; what others added to it stays. Raises TargetError, SourceError.

        Called before the metadata are written whenever they may change; all mags are there.
        """
        ...


@runtime_checkable
class SecondReader(MagFormat, Protocol):
    """A mag format that a library reads, too, which shares no code with ours: `wkconvert verify --with` asks both."""

    @property
    def library(self) -> str:
        """The name by which it is installed and imported, and which `--with` takes."""
        ...

    def read_by_library(self, mag: StoredMag, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box of the dataset, of a mag in a folder. May raise anything."""
        ...
