"""WKW: cubes of compressed blocks in Morton order, strictly read. The format in which core stores mags by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wkconvert_core.contract.errors import TargetError
from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.reader_options import parse_options

if TYPE_CHECKING:
    from wkconvert_core.contract.geometry import Box
    from wkconvert_core.contract.mag_format import MagFormat, StoredMag
    from wkconvert_core.contract.model import DType, MagSpec
    from wkconvert_core.contract.voxel_size import VoxelSize
    from wkconvert_core.formats.wkw.sink import WkwSink
    from wkconvert_core.formats.wkw.source import WkwSource

_REMEDIES = {
    "b": "say --dtype uint8",
    "f": "say --dtype float32 or --dtype float64",
    "c": "convert real and imaginary parts, or magnitudes, as layers of their own",
}
"""What to do about an element type that WKW lacks, by numpy's letter for its kind."""


class Wkw:
    """WKW as a MagFormat."""

    name = "wkw"
    summary = "cubes of compressed blocks, for WEBKNOSSOS"

    def has_mag(self, folder: Path) -> bool:
        """Whether there is a `header.wkw`."""
        return (folder / "header.wkw").is_file()

    def open(self, folder: Path, box: Box | None = None, voxel_size: VoxelSize | None = None) -> WkwSource:
        """A mag to be read. Raises SourceNotFound, BrokenSource, DamagedData."""
        from wkconvert_core.formats.wkw.source import open_source

        return open_source(folder, box, voxel_size)

    def sink(self, folder: Path, spec: MagSpec, options: Mapping[str, str]) -> WkwSink:
        """A mag to be written. Raises OptionError and TargetError for what WKW does not have."""
        check_element_type(spec.dtype, spec.channels)
        given = parse_options(_sink, options, shown=lambda name, text: f"--{name.replace('_', '-')} {text}")
        return _sink(folder, spec, **given)

    def entry(self, mag: StoredMag) -> Mapping[str, Any]:
        """The length of a shard's side, as WEBKNOSSOS wants it."""
        return {"cubeLength": mag.shard_shape[0]}


def _sink(
    folder: Path,
    spec: MagSpec,
    *,
    compression: Literal["auto", "none", "lz4", "lz4hc"] = "auto",
    compression_level: int | None = None,
    file_len: Literal["auto", 1, 2, 4, 8, 16, 32, 64] = "auto",
) -> WkwSink:
    """The sink that the writer's options ask for."""
    from wkconvert_core.formats.wkw.sink import WkwSink

    if compression == "auto":  # more effort gains little for images, and halves labels
        compression = "lz4hc" if spec.category == "segmentation" or compression_level else "lz4"
    return WkwSink(folder, spec, compression, compression_level, None if file_len == "auto" else file_len)


def check_element_type(dtype: DType, channels: int) -> None:
    """Raise TargetError for voxels that WKW cannot hold."""
    if dtype.kind not in "iuf" or dtype.itemsize not in (1, 2, 4, 8) or dtype.name == "float16":
        raise TargetError(
            f"WKW has no element type {dtype}",
            why="it holds whole numbers of 8 to 64 bits, float32 and float64",
            fix=_REMEDIES.get(dtype.kind, "convert it to one of these first"),
        )
    if not 1 <= channels * dtype.itemsize <= 255:
        raise TargetError(
            f"WKW cannot hold {channels} channels of {dtype} in one layer",
            why=f"a voxel has 1 to 255 bytes, all channels together; these are {channels * dtype.itemsize}",
            fix="choose one with --channel, or convert the channels as layers of their own",
        )


@hookimpl
def wkconvert_mag_formats() -> Sequence[MagFormat]:
    """WKW."""
    return [Wkw()]
