"""Writing TIFF: a stack with a file per slice, or a tree of tiles, as the Sink behind `wkconvert_create`.

Every file is one picture, in deflate and without a predictor: ImageJ ignores the predictor of deflate and would show
noise. The same voxels give the same bytes: no file holds a time, a host or a version.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wkconvert_core import (
    DTYPES,
    Box,
    Checksum,
    DatasetSpec,
    LayerSpec,
    MagSpec,
    OptionError,
    SourceError,
    UnsupportedSource,
    Vec3Like,
    VolumeInfo,
    VoxelSize,
)
from wkconvert_core.toolkit.atomic import file_checksum, sync, temporary_name
from wkconvert_core.toolkit.files import reading
from wkconvert_images.facts import Array
from wkconvert_images.opening import facts_of, raster

from .writing_tags import described

CLASSIC_BYTES = (1 << 32) - (1 << 25)
"""Files that may become larger are written as BigTIFF, because offsets in classic TIFF have 32 bits."""

Compression = Literal["deflate", "none"]

LEVEL = 1
"""Deflate level: higher ones are many times slower and gain little."""
_STRIP_BYTES = 1 << 18
_DIGITS = 5


@dataclass
class TiffDataset:
    """One mag of one layer, as TIFF files right in a folder; a DatasetSink."""

    path: Path
    spec: DatasetSpec
    compression: Compression = "deflate"
    level: int = LEVEL
    _sinks: list[TiffSink] = field(default_factory=list)

    def layer(self, spec: MagSpec) -> TiffSink:
        """The sink of the only mag. Raises OptionError for a second one, UnsupportedSource for other dtypes."""
        if self._sinks:
            first = self._sinks[0].spec
            raise OptionError(
                f"{self.path} cannot hold both {first.layer} mag {first.mag} and {spec.layer} mag {spec.mag}",
                why="a folder of TIFF files holds one mag of one layer",
                fix="say --no-downsample, and convert layers one by one",
            )
        check(spec)
        size = self.spec.voxel_size
        own = size and size.coarsened(spec.mag)
        self._sinks.append(TiffSink(self.path, spec, self.spec.name, own, self.compression, self.level))
        return self._sinks[0]

    def finish(self, layers: Sequence[LayerSpec]) -> None:
        """Wait until every file would survive a power cut. Raises TargetError."""
        for sink in self._sinks:
            sync(sink.files())


def dataset(
    path: Path, spec: DatasetSpec, *, compression: Compression = "deflate", compression_level: int = LEVEL
) -> TiffDataset:
    """The files that the writer's options ask for."""
    return TiffDataset(path, spec, compression, compression_level)


def check(spec: MagSpec) -> None:
    """Raise OptionError or UnsupportedSource for a mag that cannot be written."""
    if spec.shard_shape is not None and (spec.shard_shape[2] != 1 or min(spec.shard_shape) < 1):
        raise OptionError(f"TIFF files cannot be {spec.shard_shape}", why="each is one picture, 1 voxel deep")
    if spec.dtype.name not in DTYPES:
        raise UnsupportedSource(f"TIFF of {spec.dtype} is not written", fix=f"take --dtype {', '.join(DTYPES)}")


@dataclass(frozen=True)
class TiffSink:
    """TIFF files of one slice each, `NAME_00001.tif`; or, where the spec gives a shard's shape, tiles `z/y/x.tiff`.

    Slices count from 1, tiles from 0 along each axis, where the extent begins.
    """

    folder: Path
    spec: MagSpec
    name: str
    """Prefix of the names of slices."""
    voxel_size: VoxelSize | None
    """Voxel size of this mag."""
    compression: Compression = "deflate"
    level: int = LEVEL

    @property
    def shard_shape(self) -> Vec3Like:
        """A tile, or a whole slice."""
        x, y, _ = self.spec.box.stop
        return self.spec.shard_shape or (x, y, 1)

    def path(self, box: Box) -> Path:
        """The file of the shard that contains the first voxel of a box."""
        x, y, z = box.start // self.shard_shape - self.spec.box.start // self.shard_shape
        if self.spec.shard_shape:
            return self.folder / str(z) / str(y) / f"{x}.tiff"
        digits = max(_DIGITS, len(str(self.spec.box.shape[2])))
        return self.folder / f"{self.name}_{z + 1:0{digits}}.tif"

    def files(self) -> Iterator[Path]:
        """The files of all shards."""
        return (self.path(box) for box in self.spec.box.tiles(self.shard_shape))

    def has(self, box: Box) -> bool:
        """Whether the file of the shard exists and is as long as its header says."""
        path = self.path(box)
        try:
            (facts,) = facts_of(str(path), [0])
        except SourceError:
            return False
        return (*facts.size, 1) == box.shape and facts.dtype == self.spec.dtype

    def checksum(self, box: Box) -> Checksum:
        """The checksum of the file of a shard, as it lies there. Raises OSError."""
        return file_checksum(self.path(box))

    def write(self, box: Box, data: Array) -> Checksum:
        """Write one shard from `data[c, x, y, z]`, atomically; returns its file's checksum.

        Raises OSError, which core explains.
        """
        shard = Box(box.coarsened(self.shard_shape).start, (1, 1, 1)).refined(self.shard_shape)
        if box != shard.intersection(self.spec.box) or data.shape != (self.spec.channels, *box.shape):
            raise ValueError(f"box {box} with voxels {data.shape} is no shard of {self.shard_shape} in {self.spec.box}")
        path = self.path(box)
        temporary = temporary_name(self.folder / path.name)  # right in the folder, where core looks for leftovers
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._save(temporary, data[..., 0].transpose(2, 1, 0))
            checksum = file_checksum(temporary)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return checksum

    def source(self) -> TiffSource:
        """A Source of the written voxels."""
        return TiffSource(self)

    def _save(self, path: Path, picture: Array) -> None:
        """Write `picture[y, x, c]`, strip by strip."""
        import tifffile

        picture = np.ascontiguousarray(picture[..., 0] if self.spec.channels == 1 else picture)
        rows = max(1, min(len(picture), _STRIP_BYTES // picture[0].nbytes))
        stored: dict[str, Any] = {"data": picture}
        if self.compression == "deflate":
            strips = (deflated(picture[y : y + rows].tobytes(), self.level) for y in range(0, len(picture), rows))
            stored = {"data": strips, "shape": picture.shape, "dtype": picture.dtype, "compression": "zlib"}
        with path.open("xb") as file:
            tifffile.imwrite(
                file,
                bigtiff=picture.nbytes + picture.nbytes // 250 >= CLASSIC_BYTES,
                byteorder="<",
                rowsperstrip=rows,
                software=False,
                metadata=None,  # else tifffile writes a description of the shape
                maxworkers=1,  # several slices are written at a time anyway
                **self._colors(),
                **described(self.voxel_size),
                **stored,
            )

    def _colors(self) -> dict[str, Any]:
        """Three channels of uint8 are RGB; others are samples of unspecified meaning."""
        channels = self.spec.channels
        if channels == 3 and self.spec.dtype == np.uint8:
            return {"photometric": "rgb", "planarconfig": "contig"}
        if channels == 1:
            return {"photometric": "minisblack"}
        return {
            "photometric": "minisblack",
            "planarconfig": "contig",
            "extrasamples": ["unspecified"] * (channels - 1),
        }


@dataclass(frozen=True)
class TiffSource:
    """The voxels that a TiffSink has written; voxel (0, 0, 0) is the first of its extent."""

    sink: TiffSink

    @property
    def info(self) -> VolumeInfo:
        """Shape, dtype and voxel size."""
        spec = self.sink.spec
        x, y, _ = map(min, self.sink.shard_shape, spec.box.shape)
        return VolumeInfo(spec.box.shape, spec.dtype, spec.channels, self.sink.voxel_size, (x, y, 1), spec.box.start)

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`. Raises BrokenSource, SourceNotFound."""
        shape, placed = self.sink.shard_shape, box.shifted(self.sink.spec.box.start)
        width, height, depth = box.shape
        out = np.zeros((depth, height, width, self.sink.spec.channels), self.sink.spec.dtype)
        for part in placed.tiles(shape):
            x, y, z = part.slices_in(placed)
            corner = part.coarsened(shape).refined(shape).intersection(self.sink.spec.box).start
            path = str(self.sink.path(part))
            with reading(path, Exception):  # damaged data make decoders raise anything
                row, column = part.start[1] - corner[1], part.start[0] - corner[0]
                raster(path, format="tiff").fill(out[z.start, y, x], row, column, tuple(range(self.sink.spec.channels)))
        return out.transpose(3, 2, 1, 0)


def deflated(data: bytes, level: int) -> bytes:
    """Deflate bytes: the lowest level by ISA-L where there is a wheel of it, six times as fast as zlib."""
    with suppress(ImportError):
        from isal import isal_zlib

        if level == 1:
            return isal_zlib.compress(data, 2)  # its 2 is hardly slower than its 1
    return zlib.compress(data, level)
