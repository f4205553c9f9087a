"""What core and plugins exchange: the description of a volume, the Source that is read, the Sink that is written.

A *Source* is anything with `info` and `read(box)`; a *Sink* takes whole shards. Data are arrays `[c, x, y, z]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.voxel_size import VoxelSize

if TYPE_CHECKING:  # `wkconvert --help` must not wait for numpy
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
    DType: TypeAlias = np.dtype[Any]

Category = Literal["color", "segmentation"]


class Confidence(IntEnum):
    """How sure a plugin is that it can read a path; the highest wins."""

    SUFFIX = 1
    """The name fits."""
    CONTENT = 2
    """The content fits: magic bytes, or files in an order that only this format has."""
    EXACT = 3
    """It can be nothing else."""


@dataclass(frozen=True)
class Match:
    """A plugin's claim to a path."""

    format: str
    """Name of the reader, as `--reader` takes it."""
    confidence: Confidence
    reason: str
    """Why, for people: `12 TIFF files`."""


@dataclass(frozen=True)
class VolumeInfo:
    """What a source holds, known from headers alone."""

    shape: Vec3
    """Extent along x, y, z, in voxels."""
    dtype: DType
    """Of the arrays that `read` returns, in native byte order."""
    channels: int = 1
    voxel_size: VoxelSize | None = None
    """Of these voxels (of a coarser mag: larger ones), as the source says it, or None."""
    chunk_shape: Vec3 | None = None
    """The box that one decode yields: a slice of PNG, a tile of TIFF. None: any box costs what its voxels cost."""
    offset: Vec3 = (0, 0, 0)
    """Where voxel (0, 0, 0) of the source lies in the dataset."""
    notes: tuple[str, ...] = ()
    """What the user should know about how the data are read: `alpha dropped`."""
    chunk_start: Vec3 = (0, 0, 0)
    """A voxel where a chunk begins, or would: the chunks' grid goes through it."""

    @property
    def box(self) -> Box:
        """All of the volume, in the source's own voxels."""
        return Box((0, 0, 0), self.shape)

    @property
    def voxel_bytes(self) -> int:
        """Bytes per voxel, all channels together."""
        return self.channels * self.dtype.itemsize


@runtime_checkable
class Source(Protocol):
    """A volume that can be read. A frozen dataclass of paths and options: small when pickled, holds no open handle."""

    @property
    def info(self) -> VolumeInfo:
        """What it holds."""
        ...

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`, in the source's own voxels, from 0; perhaps a view.

        May be called from several threads at once. Raises BrokenSource.
        """
        ...


@runtime_checkable
class StreamSource(Source, Protocol):
    """A source that can only be read in order, such as one compressed stream."""

    def stream(self) -> Iterator[tuple[Box, Array]]:
        """Everything once, in the order in which it is stored: boxes and their voxels `[c, x, y, z]`."""
        ...


Stream: TypeAlias = "Callable[[], Iterator[tuple[Box, Array]]]"
"""A source's `stream`."""


def stream_of(source: Source) -> Stream | None:
    """How to read a source in order; None if boxes may be read in any order."""
    return getattr(source, "stream", None)


Occupied: TypeAlias = "Callable[[Box], bool]"
"""A source's optional `occupied(box)`: whether any voxel of a box, in the source's own voxels, may be other than 0."""


def occupied_of(source: Source) -> Occupied | None:
    """How to ask a source, without reading, where it holds anything; None if that may be everywhere."""
    return getattr(source, "occupied", None)


@dataclass(frozen=True)
class Layer:
    """One layer that a reader found."""

    mags: Mapping[Mag, Source]
    """Mostly `{Mag(1, 1, 1): source}`; formats that store a pyramid give every mag."""
    name: str | None = None
    """None: core names it."""
    category: Category | None = None
    """None: core decides by name, then by looking at the data."""
    color: tuple[int, int, int] | None = None
    """Red, green, blue (0 to 255) in which the layer is shown."""
    notes: tuple[str, ...] = ()
    """What the user should know of the layer as a whole: `mags that are listed are missing`."""

    @property
    def source(self) -> Source:
        """The finest mag."""
        return self.mags[min(self.mags)]


@dataclass(frozen=True)
class MagSpec:
    """One mag of one layer, to be written."""

    layer: str
    category: Category
    mag: Mag
    box: Box
    """The extent, in this mag's voxels, where it lies in the dataset."""
    dtype: DType
    channels: int
    shard_shape: Vec3 | None = None
    """The box that should be one file, for writers that can choose it: tiles of TIFF, a dataset's own shards when it is
    compressed. None: the writer's own."""
    data_format: str = ""
    """The mag format, as `--to` names it; empty where the writer knows only one."""


@dataclass(frozen=True)
class LayerSpec:
    """A complete layer, for the metadata."""

    name: str
    category: Category
    box: Box
    """The true extent in mag-1 voxels."""
    dtype: DType
    channels: int
    mags: Sequence[MagSpec]
    largest_segment_id: int | None = None
    value_range: tuple[float, float] | None = None
    """Smallest and largest finite value, for layers that are not 8-bit."""
    intensity_range: tuple[float, float] | None = None
    """The range of values that a viewer shows from black to white."""
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset to be written."""

    name: str
    voxel_size: VoxelSize | None
    """None only when layers are added without writing metadata."""


class Sink(Protocol):
    """One mag of one layer, being written, shard by shard; small when pickled, holds no open handle.

    One that reads zeros where nothing was written may have `omits(box) -> bool`: whether voxels of a box, where it lies
    in the dataset, need not be written if all are zero. It may have `begin()`, which is called once before anything is
    written. It may have `take(box, source, look)`: writes a shard straight from a source that stores it in the sink's
    own form, and returns what `write` does, or None where the source does not; `look` is to see all its voxels. `box`
    lies in the dataset, the source's voxel (0, 0, 0) is `spec.box.start`; what the source gives is not checked by core,
    and its errors are to be raised as BrokenSource.
    """

    @property
    def spec(self) -> MagSpec:
        """What is written."""
        ...

    @property
    def shard_shape(self) -> Vec3:
        """The box that is one file, on a grid through 0. WKW: a cube; a stack of TIFF: one slice."""
        ...

    def has(self, box: Box) -> bool:
        """Whether the shard of this box is there, whole."""
        ...

    def write(self, box: Box, data: Array) -> str:
        """Write one shard from `data[c, x, y, z]` (a shard's box, clipped to the extent).

        Return its checksum and size, such as `crc32:1c291ca3:16424`.

        Atomic: after a crash the shard is there whole or not at all. Writing the same voxels gives the same bytes.
        """
        ...

    def source(self) -> Source:
        """What has been written, to be read; its voxel (0, 0, 0) is `spec.box.start`."""
        ...


class DatasetSink(Protocol):
    """A dataset being written."""

    def layer(self, spec: MagSpec) -> Sink:
        """The sink of one mag of one layer."""
        ...

    def finish(self, layers: Sequence[LayerSpec]) -> None:
        """Write the metadata, last: only now does the dataset count as complete."""
        ...


@dataclass(frozen=True)
class Downsampler:
    """One way to make a voxel of the next mag."""

    name: str
    kernel: Callable[[Array, Vec3], Array]
    """`(block[c, x, y, z], factor)` to the coarser block; the block's shape is `factor` times the result's,
    plus `halo` voxels on every side."""
    halo: Vec3 = field(default=(0, 0, 0))
    """Voxels of neighbourhood that the kernel needs along x, y, z; core mirrors at the volume's edge."""
    keeps_zeros: bool = False
    """Whether a block of zeros always gives zeros: then nothing is made where the finer mag holds nothing."""
