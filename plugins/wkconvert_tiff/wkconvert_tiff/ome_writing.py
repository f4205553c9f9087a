"""Writing one OME-TIFF file: the Sink behind `wkconvert export --to ome-tiff`.

A TIFF file is written from its first tile to its last, the voxels come in boxes from several workers. So each box
becomes a file of encoded tiles, its part, and `finish` hands these to tifffile in the order of the file: nothing is
encoded twice, and memory does not grow with the volume. The same voxels give the same bytes: no dates, no versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wkconvert_core import Box, DatasetSpec, LayerSpec, Mag, MagSpec, OptionError, UnsupportedSource, Vec3
from wkconvert_core.toolkit.atomic import replacing, sync

from .ome_parts import OmeTiffSink
from .writing import CLASSIC_BYTES, LEVEL, Compression
from .writing_tags import ome_metadata

SUFFIXES = (".ome.tif", ".ome.tiff")
DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
"""The types of OME's data model that core has, too."""


@dataclass
class OmeTiffDataset:
    """A layer as one OME-TIFF file, coarser mags in the SubIFDs of the finest; a FileDataset."""

    folder: Path
    spec: DatasetSpec
    compression: Compression = "deflate"
    level: int = LEVEL
    notes: list[str] = field(default_factory=list)
    _sinks: list[OmeTiffSink] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """The file, right in the folder."""
        return self.folder / self.spec.file

    def takes(self, mags: Sequence[Mag], box: Box) -> Sequence[Mag]:
        """The mags that begin where the finest does and have as many slices; with a note on the others.

        Source: OME-TIFF's specification. The SubIFDs of a plane are its smaller copies, of the same extent.
        """
        first = mags[0]
        taken = [mag for mag in mags if mag.z == first.z and _start(box, mag) == _start(box, first)]
        left = [str(mag) for mag in mags if mag not in taken]
        if left:
            told = "OME-TIFF has smaller copies of a slice, of as many slices, from the same voxel on"
            self.notes.append(f"mag {', '.join(left)} left out: {told}")
        return taken

    def layer(self, spec: MagSpec) -> OmeTiffSink:
        """The sink of a mag. Raises UnsupportedSource for other dtypes than OME has."""
        if spec.dtype.name not in DTYPES:
            raise UnsupportedSource(
                f"OME-TIFF has no {spec.dtype}, of which {spec.layer} is",
                why=f"its data model knows {', '.join(DTYPES)}",
                fix="wkconvert recube --dtype uint32 makes a copy if the values fit; --to nifti and tiff have 64 bits",
            )
        assert self.spec.voxel_size, "an export has a voxel size"
        size = self.spec.voxel_size.coarsened(spec.mag)
        parts = self.folder / "parts" / str(spec.mag)
        self._sinks.append(OmeTiffSink(parts, spec, self.spec.name, size, self.compression, self.level))
        origin = spec.affine.origin if spec.affine else (0, 0, 0)
        if any(origin) and len(self._sinks) == 1:
            place = " x ".join(f"{number:.6g}" for number in origin)
            told = f"the first voxel's place, {place} {spec.affine.unit if spec.affine else ''}, is that of the planes"
            self.notes.append(f"{told}; auto notes such places, and --top-left lays the layer there")
        return self._sinks[-1]

    def finish(self, layers: Sequence[LayerSpec]) -> None:
        """Write the file from its parts, and sync it. Raises TargetError."""
        import tifffile

        raw = sum(sink.spec.box.volume * sink.spec.channels * sink.spec.dtype.itemsize for sink in self._sinks)
        with (
            replacing(self.file) as temporary,
            temporary.open("xb") as file,
            tifffile.TiffWriter(file, bigtiff=raw + raw // 250 >= CLASSIC_BYTES, byteorder="<", ome=True) as writer,
        ):
            for number, sink in enumerate(self._sinks):
                colors, axes = sink.samples > 1, sink.axes
                stored: dict[str, Any] = {"compression": "zlib"} if self.compression == "deflate" else {}
                stored |= {"planarconfig": "contig"} if colors else {}
                about = {"axes": "".join(axes), **ome_metadata(sink.spec, sink.name, sink.voxel_size, axes.get("C", 1))}
                level = {"subfiletype": 1} if number else {"subifds": len(self._sinks) - 1, "metadata": about}
                writer.write(
                    sink.tiles(),
                    shape=tuple(axes.values()),
                    dtype=sink.spec.dtype.newbyteorder("<"),
                    tile=sink.tile[::-1],
                    photometric="rgb" if colors else "minisblack",
                    software=False,
                    maxworkers=1,
                    **stored,
                    **level,
                )
        sync([self.file])


def dataset(
    path: Path, spec: DatasetSpec, *, compression: Compression = "deflate", compression_level: int = LEVEL
) -> OmeTiffDataset:
    """The file that the writer's options ask for. Raises OptionError for a name that does not end as OME-TIFF does."""
    if not spec.file.endswith(SUFFIXES):
        raise OptionError(f"{spec.file} is no name of an OME-TIFF file", fix=f"end it with {' or '.join(SUFFIXES)}")
    return OmeTiffDataset(path, spec, compression, compression_level)


def _start(box: Box, mag: Mag) -> Vec3:
    """The first voxel of mag 1 that the first voxel of a mag covers."""
    return box.coarsened(mag).refined(mag).start
