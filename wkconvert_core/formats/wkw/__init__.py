"""WKW: cubes of compressed blocks in Morton order, strictly read. The format in which core stores mags by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.reader_options import parse_options
from wkconvert_core.toolkit.files import is_file

if TYPE_CHECKING:
    from wkconvert_core.contract.geometry import Box
    from wkconvert_core.contract.mag_format import MagFormat, StoredMag
    from wkconvert_core.contract.model import Array, MagSpec
    from wkconvert_core.contract.voxel_size import VoxelSize
    from wkconvert_core.formats.wkw.sink import WkwSink
    from wkconvert_core.formats.wkw.source import WkwSource

HEADER_FILE = "header.wkw"
"""The file that makes a folder a mag."""


class Wkw:
    """WKW as a MagFormat."""

    name = "wkw"
    summary = "cubes of compressed blocks, for WEBKNOSSOS"
    library = "wkw"
    """The reference library."""

    def has_mag(self, folder: Path) -> bool:
        """Whether there is a `header.wkw`."""
        return is_file(folder / HEADER_FILE)

    def open(self, folder: Path, box: Box | None = None, voxel_size: VoxelSize | None = None) -> WkwSource:
        """Open a mag; without `box`, its extent is that of its shards.

        Raises SourceNotFound, BrokenSource, DamagedData.
        """
        from wkconvert_core.formats.wkw.source import open_source

        return open_source(folder, box, voxel_size)

    def sink(self, folder: Path, spec: MagSpec, options: Mapping[str, str]) -> WkwSink:
        """A mag to be written. Raises OptionError, and TargetError for a dtype or channels that WKW cannot hold."""
        given = parse_options(_sink, options, shown=lambda name, text: f"--{name.replace('_', '-')} {text}")
        return _sink(folder, spec, **given)

    def read_by_library(self, mag: StoredMag, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box as the reference library reads them. Raises what that raises."""
        from wkconvert_core.formats.wkw.second_reader import read

        return read(mag.folder, box)

    def entry(self, mag: StoredMag) -> Mapping[str, Any]:
        """The length of a shard's side in voxels, which WEBKNOSSOS requires."""
        return {"cubeLength": mag.shard_shape[0]}


def _sink(
    folder: Path,
    spec: MagSpec,
    *,
    compression: Literal["auto", "none", "lz4", "lz4hc"] = "auto",
    compression_level: int | None = None,
    file_len: Literal["auto", 1, 2, 4, 8, 16, 32, 64] = "auto",
) -> WkwSink:
    """The sink for these options of the writer."""
    from wkconvert_core.formats.wkw.sink import WkwSink

    if compression == "auto":  # more effort gains little for images, and halves labels
        compression = "lz4hc" if spec.category == "segmentation" or compression_level else "lz4"
    return WkwSink(folder, spec, compression, compression_level, None if file_len == "auto" else file_len)


@hookimpl
def wkconvert_mag_formats() -> Sequence[MagFormat]:
    """WKW."""
    return [Wkw()]
