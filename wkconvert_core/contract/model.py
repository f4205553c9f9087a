"""The model that core and plugins share: a volume's description, the Source that is read, the Sink that is written.

A *Source* is anything with `info` and `read(box)`; a *Sink* writes whole shards. Voxels are arrays `[c, x, y, z]`.
Optional abilities of both are in `abilities`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, get_args, runtime_checkable

from wkconvert_core.contract.affine import Affine, Turn
from wkconvert_core.contract.geometry import Box, Mag, Vec3, Vec3Like
from wkconvert_core.contract.voxel_size import VoxelSize

if TYPE_CHECKING:  # `wkconvert --help` must not wait for numpy
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
    DType: TypeAlias = np.dtype[Any]

Category = Literal["color", "segmentation"]
DtypeName = Literal["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"]
DTYPES: tuple[DtypeName, ...] = get_args(DtypeName)
"""The dtypes that voxels of a dataset may have."""


class Confidence(IntEnum):
    """How sure a plugin is that it can read a path; the highest wins."""

    SUFFIX = 1
    """The name fits."""
    CONTENT = 2
    """The content fits: magic bytes, or files in an order that only this format has."""
    EXACT = 3
    """It cannot be any other format."""


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
    """Facts about a source, known from headers alone. Vectors may be plain tuples along x, y, z.

    >>> import numpy as np
    >>> info = VolumeInfo((512, 512, 60), np.dtype("uint16"), channels=2, offset=(0, 0, 100))
    >>> print(info.box, "|", info.extent, "|", info.voxel_bytes, "bytes per voxel")
    x 0:512, y 0:512, z 0:60 | x 0:512, y 0:512, z 100:160 | 4 bytes per voxel
    """

    shape: Vec3Like
    """Extent along x, y, z, in voxels."""
    dtype: DType
    """Of the arrays that `read` returns, in native byte order."""
    channels: int = 1
    voxel_size: VoxelSize | None = None
    """Size of these voxels (of a coarser mag: larger ones) as the source states it; None if it states none."""
    chunk_shape: Vec3Like | None = None
    """The box that one decode yields: a slice of PNG, a tile of TIFF. None: any box costs what its voxels cost."""
    offset: Vec3Like = (0, 0, 0)
    """Where voxel (0, 0, 0) of the source lies in the dataset."""
    notes: tuple[str, ...] = ()
    """Notes for the user on how the data are read: `alpha dropped`. A `WarningNote` is shown in any case."""
    chunk_start: Vec3Like = (0, 0, 0)
    """A corner of the grid of chunks, in the source's voxels; it may lie outside the volume."""
    affine: Affine | None = None
    """Where the voxels lie in a space that other files share; None if the file does not state it."""
    turned: Turn | None = None
    """How the stored axes were turned on account of the file alone; None: not, or the user decided it."""
    stage: str = ""
    """Where the stage stood, for people: `x 120.5 µm, y -3 µm`. It moves nothing; layers that differ in it are told."""
    first_slice: int | None = None
    """The number of the first slice where names of files count them. It moves nothing, and is told like `stage`."""

    @property
    def box(self) -> Box:
        """The whole volume in the source's own voxels, counted from 0."""
        return Box((0, 0, 0), self.shape)

    @property
    def extent(self) -> Box:
        """The whole volume where it lies in the dataset: `box` moved by `offset`."""
        return Box(self.offset, self.shape)

    @property
    def voxel_bytes(self) -> int:
        """Bytes per voxel, all channels together."""
        return self.channels * self.dtype.itemsize


@runtime_checkable
class Source(Protocol):
    """A volume that can be read: a frozen dataclass of paths and options, small when pickled, without open handles."""

    @property
    def info(self) -> VolumeInfo:
        """Shape, dtype and what else is known of the volume."""
        ...

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box in the source's own voxels, counted from 0; may return a view.

        May be called from several threads at once. Raises BrokenSource.
        """
        ...


@dataclass(frozen=True)
class Layer:
    """One layer that a reader found."""

    mags: Mapping[Mag, Source]
    """Mostly `{Mag(1, 1, 1): source}`; formats that store a pyramid give every mag."""
    name: str | None = None
    """None: core names it."""
    category: Category | None = None
    """None: core decides by the name, then by the values."""
    color: tuple[int, int, int] | None = None
    """Red, green, blue (0 to 255) in which the layer is shown."""
    notes: tuple[str, ...] = ()
    """Notes for the user on the layer as a whole: `mags that are listed are missing`."""
    intensity_range: tuple[float, float] | None = None
    """The values that are shown as black and as white, if the file says so; None: core finds them."""

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
    shard_shape: Vec3Like | None = None
    """The box that should be one file, for writers that can choose it: tiles of TIFF, a dataset's own shards when it is
    compressed. None: the writer's own."""
    data_format: str = ""
    """The mag format, as `--to` names it; empty where the writer knows only one."""
    affine: Affine | None = None
    """Where the voxels of `box` lie, from its first one on, for an export in a format that states it."""


@dataclass(frozen=True)
class LayerSpec:
    """A complete layer, for the metadata."""

    name: str
    category: Category
    box: Box
    """The extent in mag-1 voxels, not rounded up to coarser mags."""
    dtype: DType
    channels: int
    mags: Sequence[MagSpec]
    largest_segment_id: int | None = None
    value_range: tuple[float, float] | None = None
    """Smallest and largest finite value, for layers that are not 8-bit."""
    intensity_range: tuple[float, float] | None = None
    """The values that a viewer shows as black and as white."""
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset to be written."""

    name: str
    voxel_size: VoxelSize | None
    """None only if layers are added without writing metadata."""
    file: str = ""
    """The name that `wkconvert export` asks for, where the writer makes one file of a layer: it is to lie right in the
    writer's folder, and its ending may choose a variant of the format."""


class Checksum(NamedTuple):
    """The identity of a written file: the CRC-32 of its bytes, and how many there are.

    >>> checksum = Checksum.parse("crc32:1c291ca3:16424")
    >>> checksum.size
    16424
    >>> print(Checksum(0x1C291CA3, 16424))
    crc32:1c291ca3:16424
    """

    crc32: int
    size: int

    @classmethod
    def parse(cls, text: str) -> Checksum:
        """Read the form that `str` gives. Raises ValueError for any other text.

        >>> Checksum.parse("md5:1c29")
        Traceback (most recent call last):
        ValueError: 'md5:1c29' is no checksum; one reads crc32:1c291ca3:16424
        """
        match = re.fullmatch("crc32:([0-9a-f]{8}):([0-9]+)", text)
        if not match:
            raise ValueError(f"{text!r} is no checksum; one reads crc32:1c291ca3:16424")
        return cls(int(match[1], 16), int(match[2]))

    def unlike(self, recorded: Checksum) -> str:
        """Tell how a file with this checksum differs from what was recorded of it; empty if it does not.

        >>> Checksum(1, 16).unlike(Checksum(1, 20)), Checksum(1, 20).unlike(Checksum(2, 20))
        ('it has 16 bytes; 20 were recorded', 'its checksum is 00000001, not 00000002 as recorded')
        """
        if self.size != recorded.size:
            return f"it has {self.size} bytes; {recorded.size} were recorded"
        return "" if self == recorded else f"its checksum is {self.crc32:08x}, not {recorded.crc32:08x} as recorded"

    def __str__(self) -> str:
        """`crc32:1c291ca3:16424`: eight hexadecimal digits, and the number of bytes."""
        return f"crc32:{self.crc32:08x}:{self.size}"


NO_FILE = Checksum(0, 0)
"""The result of a Sink for a shard that needs no file: all its voxels are zero, and a missing shard reads as zeros."""


class Sink(Protocol):
    """One mag of one layer that is written shard by shard; small when pickled, without open handles."""

    @property
    def spec(self) -> MagSpec:
        """The mag that is written."""
        ...

    @property
    def shard_shape(self) -> Vec3Like:
        """Shape of the box that is one file, on a grid through 0. WKW: a cube; a stack of TIFF: one slice."""
        ...

    def has(self, box: Box) -> bool:
        """Whether the shard of this box has been written completely."""
        ...

    def write(self, box: Box, data: Array) -> Checksum:
        """Write one shard from `data[c, x, y, z]`, its box clipped to the extent; return the checksum of the file.

        Atomic: after a crash the shard exists completely or not at all. The same voxels give the same bytes. NO_FILE
        where zeros need no file. An OSError is turned into an error of wkconvert by core.
        """
        ...

    def source(self) -> Source:
        """A Source over what has been written; its voxel (0, 0, 0) is `spec.box.start`."""
        ...


class DatasetSink(Protocol):
    """A dataset that is written."""

    def layer(self, spec: MagSpec) -> Sink:
        """The sink of one mag of one layer."""
        ...

    def finish(self, layers: Sequence[LayerSpec]) -> None:
        """Write the metadata. Called last: only then does the dataset count as complete."""
        ...


@dataclass(frozen=True)
class Downsampler:
    """A way to compute a voxel of the next mag."""

    name: str
    kernel: Callable[[Array, Vec3], Array]
    """`(block[c, x, y, z], factor)` returns the coarser block; the shape of `block` is `factor` times the result's,
    plus `halo` voxels on every side."""
    halo: Vec3Like = (0, 0, 0)
    """Voxels that the kernel needs on either side along x, y, z; core mirrors the volume at its edge."""
    keeps_zeros: bool = False
    """True if a block of zeros always gives zeros: then shards are skipped where the finer mag holds nothing else."""
