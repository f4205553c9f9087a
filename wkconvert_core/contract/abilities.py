"""Abilities that a Source, a Sink or a DatasetSink may have beside its duties: eleven, each a protocol of its own.

An object has an ability by having the member; a member that is None is as good as none, so that a Source that wraps
another can pass on what the inner one has. Core asks through the functions `…_of`, and does without where there is
none.

Source: `stream` (read in order), `occupied` (where nothing is), `read_cost` (memory), `reference` (to list it).
Sink: `begin` (once, before the first shard), `omits` (shards of zeros), `most_bytes` (on disk), `write_cost` (memory),
`checksum` (of what an earlier run wrote), `copy_encoded` (without decoding to voxels).
DatasetSink: `file` (it makes one file).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.model import Checksum, DatasetSink, Sink, Source

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

Stream: TypeAlias = "Callable[[], Iterator[tuple[Box, Array]]]"
"""The `stream` of a StreamSource."""
Occupied: TypeAlias = "Callable[[Box], bool]"
"""The `occupied` of a SparseSource."""
Observe: TypeAlias = "Callable[[Array], None]"
"""Is shown voxels, in arrays of any shape."""
CopyEncoded: TypeAlias = "Callable[[Box, Source, Observe], Checksum | None]"
"""The `copy_encoded` of a CopyingSink."""


@runtime_checkable
class StreamSource(Source, Protocol):
    """A source that can only be read in order, such as one compressed stream; `read` works, but each call starts anew.

    Core streams it once into a buffer or a scratch file, and takes its chunk for the whole volume.
    """

    def stream(self) -> Iterator[tuple[Box, Array]]:
        """Yield every voxel exactly once, in the order in which it is stored: boxes and their voxels `[c, x, y, z]`.

        The boxes count from 0 as those of `read` do. Raises BrokenSource.
        """
        ...


@runtime_checkable
class SparseSource(Source, Protocol):
    """A source that knows, without reading, where it holds nothing but zeros."""

    def occupied(self, box: Box) -> bool:
        """Whether any voxel of a box, in the source's own voxels, may be other than 0.

        Must be cheap and sure: where it says no, core neither reads nor writes. True is always right.
        """
        ...


@runtime_checkable
class CostlySource(Source, Protocol):
    """A source whose `read` takes clearly more memory than the array that it returns."""

    @property
    def read_cost(self) -> float:
        """Bytes that `read` holds at its peak per byte that it returns, the result included: at least 1.

        Chunks that `VolumeInfo.chunk_shape` announces are accounted for already.
        """
        ...


class Reference(NamedTuple):
    """Where the voxels of a source lie in a mag format, so that a dataset can list them as a mag without a copy."""

    data_format: str
    """The mag format by its name; it may be one that WEBKNOSSOS reads and no plugin stores."""
    place: Path | str
    """A folder, or a URL."""
    entry: Mapping[str, Any]
    """The entries of the dataset's metadata for the mag beside its factors and path, as from `MagFormat.entry`."""
    start: Vec3
    """Where the source's first voxel lies in the mag: a dataset lists the mag only if it lies there in the dataset."""


@runtime_checkable
class ReferableSource(Source, Protocol):
    """A source whose voxels are stored as a mag format stores them."""

    def reference(self) -> Reference:
        """Where they lie. Voxel (0, 0, 0) of the mag is that of the dataset.

        Raises UnsupportedSource, which says why the dataset would show other voxels than the source does.
        """
        ...


@runtime_checkable
class BeginningSink(Sink, Protocol):
    """A sink that writes something before the first shard, such as a header."""

    def begin(self) -> None:
        """Is called once before anything is written, again when an interrupted run is continued. May raise OSError."""
        ...


@runtime_checkable
class SparseSink(Sink, Protocol):
    """A sink that reads zeros where no shard was written."""

    def omits(self, box: Box) -> bool:
        """Whether a box, where it lies in the dataset, need not be written if all its voxels are zero."""
        ...


@runtime_checkable
class CompressingSink(Sink, Protocol):
    """A sink whose shards take other than their voxels' bytes: compressed, padded, with tables."""

    def most_bytes(self, shards: int, voxels: int) -> int:
        """Upper bound on the bytes that so many shards take on disk, with so many voxels within the extent."""
        ...


@runtime_checkable
class CostlySink(Sink, Protocol):
    """A sink whose `write` takes clearly more memory than a shard twice: in its own order, and encoded."""

    @property
    def write_cost(self) -> float:
        """Bytes that `write` holds at its peak beside the voxels that it is given, per byte of a shard: at least 2."""
        ...


@runtime_checkable
class RecheckedSink(Sink, Protocol):
    """A sink that reads the file of a shard again: a run that was interrupted goes on only from shards as recorded."""

    def checksum(self, box: Box) -> Checksum:
        """The checksum as `write` returns it, of a shard's file as it lies there now. May raise OSError."""
        ...


@runtime_checkable
class CopyingSink(Sink, Protocol):
    """A sink that can write a shard straight from a source that stores it in the sink's own form."""

    def copy_encoded(self, box: Box, source: Source, observe: Observe) -> Checksum | None:
        """Write one shard without laying out its voxels; None where `write` has to do it.

        `box` lies in the dataset; the source's voxel (0, 0, 0) is `spec.box.start`. `observe` must be shown all voxels
        of the shard, for the value range in the metadata. What the source gives is not checked by core: raise its
        errors as BrokenSource. The same atomicity and the same bytes as for `write`.
        """
        ...


@runtime_checkable
class FileDataset(DatasetSink, Protocol):
    """A DatasetSink that makes one file of a layer; beside it may lie parts, which `finish` need not remove."""

    @property
    def file(self) -> Path:
        """The file that is there after `finish`: `DatasetSpec.file` in the writer's folder."""
        ...

    def takes(self, mags: Sequence[Mag], box: Box) -> Sequence[Mag]:
        """Those of a layer's mags, the finest first, that it holds of a box in voxels of mag 1; at least the finest."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """Notes for the user on what `layer` was asked for and the format holds otherwise, a sentence each."""
        ...


def stream_of(source: Source) -> Stream | None:
    """How to read a source in order; None if boxes may be read in any order."""
    return getattr(source, "stream", None)


def occupied_of(source: Source) -> Occupied | None:
    """How to ask a source where it holds anything; None if that may be everywhere."""
    return getattr(source, "occupied", None)


def read_cost_of(source: Source) -> float:
    """Bytes that a read holds at its peak, per byte that it returns; 1 if the source states nothing."""
    return float(getattr(source, "read_cost", None) or 1.0)


def reference_of(source: Source) -> Callable[[], Reference] | None:
    """How to ask where a source is stored in a mag format; None if it is in none."""
    return getattr(source, "reference", None)


def begin_of(sink: Sink) -> Callable[[], None] | None:
    """The call to make before the first shard; None if there is nothing to prepare."""
    return getattr(sink, "begin", None)


def omits_of(sink: Sink) -> Callable[[Box], bool] | None:
    """How to ask a sink whether zeros need not be written; None if they must be."""
    return getattr(sink, "omits", None)


def most_bytes_of(sink: Sink, shards: int, voxels: int) -> int:
    """Upper bound on the bytes that so many shards take; their voxels' own and a hundredth if the sink states none."""
    most: Callable[[int, int], int] | None = getattr(sink, "most_bytes", None)
    return most(shards, voxels) if most else int(1.01 * voxels * sink.spec.channels * sink.spec.dtype.itemsize)


def write_cost_of(sink: Sink) -> float:
    """Bytes that writing a shard holds at its peak, per byte of it; 2 if the sink states nothing."""
    return float(getattr(sink, "write_cost", None) or 2.0)


def checksum_of(sink: Sink) -> Callable[[Box], Checksum] | None:
    """How to read a shard's checksum anew; None if the sink cannot."""
    return getattr(sink, "checksum", None)


def file_dataset_of(writer: DatasetSink) -> FileDataset | None:
    """A writer that makes one file of a layer; None for any other."""
    return writer if isinstance(writer, FileDataset) else None


def copy_encoded_of(sink: Sink) -> CopyEncoded | None:
    """How to copy shards in their encoded form; None if the sink takes voxels only."""
    return getattr(sink, "copy_encoded", None)
