"""Writing one NIfTI file: the Sink behind `wkconvert export --to nifti`.

Voxels go straight to their place in the file, from any box, so that memory does not depend on its size. A `.nii.gz` is
deflated when all of them are there. The same voxels give the same bytes: no file holds a time or a version.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wkconvert_core import (
    METRES,
    Affine,
    Box,
    Checksum,
    DatasetSpec,
    LayerSpec,
    Mag,
    MagSpec,
    OptionError,
    UnsupportedSource,
    Vec3Like,
    VolumeInfo,
    VoxelSize,
    WarningNote,
)
from wkconvert_core.toolkit.atomic import replacing, sync
from wkconvert_core.toolkit.files import open_file
from wkconvert_core.toolkit.shards import crc32
from wkconvert_core.toolkit.volumes.axes import Axes
from wkconvert_core.toolkit.volumes.stored import Stored, StoredVolume, chunk_of

from .header import LABEL, SPACES, UNITS, Array

SUFFIXES = (".nii", ".nii.gz")
SHARD: Vec3Like = (4096, 128, 32)
"""Most voxels of a task along x, y, z: 16 Mi voxels, in rows that are mostly whole, so that many are in one piece."""
LEVEL = 1
"""Deflate level of a `.nii.gz`."""
NIFTI1_SIDE = (1 << 15) - 1
"""Most voxels along an axis in NIfTI-1, whose lengths are int16; longer ones are written as NIfTI-2."""
_PIECE = 1 << 20
_ALIGNED = 2
"""Code of a space of which nothing is known but that files share it."""


@dataclass
class NiftiDataset:
    """One mag of one layer as one NIfTI file; a FileDataset."""

    folder: Path
    spec: DatasetSpec
    level: int = LEVEL
    notes: list[str] = field(default_factory=list)
    _sinks: list[NiftiSink] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """The file, right in the folder."""
        return self.folder / self.spec.file

    def takes(self, mags: Sequence[Mag], box: Box) -> Sequence[Mag]:
        """The finest mag alone."""
        return mags[:1]

    def layer(self, spec: MagSpec) -> NiftiSink:
        """The sink of the only mag. Raises UnsupportedSource for what NIfTI does not hold."""
        _check(spec)
        voxels = self.file.with_suffix("") if self.file.suffix == ".gz" else self.file
        sink = NiftiSink(voxels, spec, self.spec.name, voxels != self.file)
        self._sinks = [sink]
        self.notes[:] = _notes(sink)
        return sink

    def finish(self, layers: Sequence[LayerSpec]) -> None:
        """Deflate the file, if its name asks for it, and sync it. Raises TargetError."""
        (sink,) = self._sinks
        if sink.is_deflated:
            with (
                replacing(self.file) as temporary,
                temporary.open("xb") as raw,
                gzip.GzipFile("", "wb", self.level, raw, mtime=0) as file,
                open_file(sink.path) as voxels,
            ):
                while piece := voxels.read(_PIECE):
                    file.write(piece)
        sync([self.file])


def dataset(
    path: Path,
    spec: DatasetSpec,
    *,
    compression: Literal["deflate", "none"] | None = None,
    compression_level: int = LEVEL,
) -> NiftiDataset:
    """The file that the writer's options ask for. Raises OptionError for a name that does not end as NIfTI does."""
    if not spec.file.endswith(SUFFIXES):
        raise OptionError(f"{spec.file} is no name of a NIfTI file", fix=f"end it with {' or '.join(SUFFIXES)}")
    if compression and (compression == "deflate") != spec.file.endswith(".gz"):
        fix = "end it with .nii for voxels as they are, with .nii.gz for deflated ones"
        raise OptionError(f"{spec.file} and --compression {compression} contradict each other", fix=fix)
    return NiftiDataset(path, spec, compression_level)


def _check(spec: MagSpec) -> None:
    """Raise UnsupportedSource for a mag that NIfTI does not hold."""
    is_rgb = spec.channels == 3 and spec.dtype == np.uint8
    if spec.channels != 1 and not is_rgb:
        raise UnsupportedSource(
            f"{spec.layer} has {spec.channels} channels of {spec.dtype}",
            why="NIfTI holds one value per voxel, or red, green and blue of uint8",
            fix="wkconvert export-tiff writes all channels",
        )


def _notes(sink: NiftiSink) -> list[str]:
    """Notes on voxels that many programs do not read from NIfTI, and on what it rounds."""
    spec, notes = sink.spec, list[str]()
    if spec.dtype.name in ("uint64", "int64"):
        told = f"the voxels are {spec.dtype}, which many viewers of NIfTI do not read or round to 53 bits"
        notes.append(WarningNote(told))
    if max(spec.box.shape) > NIFTI1_SIDE:
        notes.append(WarningNote(f"it is written as NIfTI-2: NIfTI-1 ends at {NIFTI1_SIDE} voxels along an axis"))
    unit, sizes = sink.unit, sink.voxel_size.size
    if any(float(str(np.float32(size))) != size for size in sizes):
        notes.append(f"NIfTI holds voxel sizes as float32: {', '.join(str(np.float32(size)) for size in sizes)} {unit}")
    return notes


@dataclass(frozen=True)
class NiftiSink:
    """A NIfTI file without compression, of which each task writes a box where it lies."""

    path: Path
    spec: MagSpec
    name: str
    """Of the layer, for the header."""
    is_deflated: bool
    """Whether the file is deflated in the end, so that it takes its place twice."""

    @property
    def shard_shape(self) -> Vec3Like:
        """The box of a task."""
        x, y, z = (min(most, stop) for most, stop in zip(SHARD, self.spec.box.stop, strict=True))
        return x, y, z

    @property
    def affine(self) -> Affine:
        """Where the voxels lie, as `wkconvert export` states it."""
        assert self.spec.affine, "an export states where its voxels lie"
        return self.spec.affine

    @property
    def unit(self) -> str:
        """The unit in the file: that of the affine where NIfTI has it, else the nearest one that is larger."""
        own = self.affine.unit or "mm"
        known = sorted(UNITS.values(), key=METRES.__getitem__)
        return own if own in known else next(unit for unit in known if METRES[unit] > METRES[own])

    @cached_property
    def voxel_size(self) -> VoxelSize:
        """Along x, y, z, in `unit`."""
        x, y, z = (math.hypot(*step) for step in (self.affine.x, self.affine.y, self.affine.z))
        return VoxelSize((x, y, z), self.affine.unit or "mm").to(self.unit)

    @cached_property
    def header(self) -> bytes:
        """All bytes before the voxels."""
        import nibabel

        shape, affine = self.spec.box.shape, self.affine
        kind = nibabel.Nifti1Header if max(shape) <= NIFTI1_SIDE else nibabel.Nifti2Header
        header: Any = kind(endianness="<")  # type: ignore[no-untyped-call]
        header.set_data_dtype("RGB" if self.spec.channels == 3 else self.spec.dtype)
        header.set_data_shape(shape)
        scale = METRES[affine.unit or "mm"] / METRES[self.unit]
        matrix = np.eye(4)
        matrix[:3] = np.array([affine.x, affine.y, affine.z, affine.origin]).T * scale
        codes = (code for code, space in SPACES.items() if affine.stated.endswith(f", {space}"))
        code = next(codes, _ALIGNED)
        header.set_qform(matrix, code)
        if not np.allclose(
            header.get_qform(), matrix, atol=1e-3 * np.linalg.norm(matrix[:3, :3], axis=0).min()
        ):  # skewed
            header["qform_code"] = 0
        header.set_sform(matrix, code)
        header["pixdim"][1:4] = self.voxel_size.size
        header.set_xyzt_units({"µm": "micron", "m": "meter"}.get(self.unit, self.unit))
        header["descrip"] = self.name.encode("ascii", "replace")[:79]
        if self.spec.category == "segmentation":
            header["intent_code"] = LABEL
        header["magic"] = header.single_magic
        header["vox_offset"] = offset = {348: 352, 540: 544}[len(header.binaryblock)]
        return bytes(header.binaryblock).ljust(offset, b"\0")

    @property
    def bytes_of_file(self) -> int:
        """The length of the whole file."""
        return len(self.header) + self.spec.box.volume * self.spec.channels * self.spec.dtype.itemsize

    def most_bytes(self, shards: int, voxels: int) -> int:
        """Upper bound on the bytes on disk: voxels are stored as they are, and deflated ones beside them."""
        raw = voxels * self.spec.channels * self.spec.dtype.itemsize
        return len(self.header) + (int(2.01 * raw) if self.is_deflated else raw)

    def begin(self) -> None:
        """Make the file, as long as it will be and of zeros, unless it is there. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("r+b" if self.path.exists() else "xb") as file:
            file.write(self.header)
            file.truncate(self.bytes_of_file)

    def has(self, box: Box) -> bool:
        """Whether there is a whole file; `checksum` tells whether the box was written."""
        return self.path.exists() and self.path.stat().st_size == self.bytes_of_file

    def checksum(self, box: Box) -> Checksum:
        """The checksum of a box of voxels, as `write` returns it. Raises OSError."""
        crc = size = 0
        with open_file(self.path) as file:
            for start, count in self._runs(box):
                file.seek(start)
                content = file.read(count)
                crc, size = crc32(content, crc), size + len(content)
        return Checksum(crc, size)

    def write(self, box: Box, data: Array) -> Checksum:
        """Write a box from `data[c, x, y, z]` to its place. Raises OSError.

        A crash may leave it half written; it is not recorded then, and `checksum` differs.
        """
        stored = np.ascontiguousarray(data.transpose(3, 2, 1, 0).astype(self.spec.dtype.newbyteorder("<"), copy=False))
        left, crc = stored.reshape(-1).view(np.uint8).data, 0
        with self.path.open("r+b", buffering=0) as file:
            for start, count in self._runs(box):
                run, left = left[:count], left[count:]
                crc = crc32(run, crc)
                file.seek(start)
                while run:
                    run = run[file.write(run) :]
        return Checksum(crc, stored.nbytes)

    def source(self) -> StoredVolume:
        """A Source of the written voxels."""
        spec = self.spec
        axes = Axes(spec.box.shape)
        stored = Stored(spec.dtype.newbyteorder("<").str, spec.channels, (len(self.header),))
        chunk = chunk_of(stored, axes)
        info = VolumeInfo(spec.box.shape, spec.dtype, spec.channels, self.voxel_size, chunk, spec.box.start)
        return StoredVolume(self.path, stored, axes, info)

    def _runs(self, box: Box) -> Iterator[tuple[int, int]]:
        """The first byte and the number of bytes of each part of a box that is in one piece in the file, in order."""
        (width, height, _), voxel = self.spec.box.shape, self.spec.channels * self.spec.dtype.itemsize
        first, (x, y, z) = box.start - self.spec.box.start, box.shape
        rows = [(first[1], y)] if x == width else [(first[1] + row, 1) for row in range(y)]
        for plane in range(first[2], first[2] + z):
            for row, count in rows:
                yield len(self.header) + ((plane * height + row) * width + first[0]) * voxel, count * x * voxel
