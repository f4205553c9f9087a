"""The images of a file, as ncempy gives them: each fault of the file is an error of wkconvert."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wkconvert_core import Box, UnsupportedSource, Vec3Like, VolumeInfo
from wkconvert_core.toolkit.files import broken, reading, state_of

Array = np.ndarray[Any, np.dtype[Any]]
Kind = Literal["ser", "smv", "dm"]

_SER_HEADER = 50
"""Bytes before the values of an image in a SER file: two calibrations, the type and the lengths."""
_SER_TYPES = {1: "u1", 2: "<u2", 3: "<u4", 4: "i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8"}


@dataclass(frozen=True)
class Image:
    """Facts about the images of a file, which all have one size."""

    kind: Kind
    shape: Vec3Like
    dtype: np.dtype[Any]
    count: int
    """Images of a series, each of which is read by itself."""
    sizes: tuple[tuple[float, str], ...]
    """Size and unit of a pixel along x, y, and perhaps z, as they stand in the file."""
    planned: tuple[int, ...] = ()
    """Number of images that a series was to have along its one axis, or a map along its two."""


@dataclass(frozen=True)
class NcemVolume:
    """A volume of a file: one image, or the images of a series as slices."""

    path: Path
    kind: Kind
    first: int
    """The number of the first image."""
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels of a box `[1, x, y, z]`. Raises SourceNotFound, BrokenSource."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        out = np.empty((1, *box.shape), self.info.dtype)
        x, y, z = box.slices_in(self.info.box)
        if self.kind != "ser":
            out[0] = _pixels(self.path, self.kind, 0)[x, y, z]
            return out
        for depth, number in enumerate(range(z.start, z.stop)):
            found = _pixels(self.path, self.kind, self.first + number)
            if found.shape[:2] != tuple(self.info.shape[:2]):
                raise broken(self.path, f"image {self.first + number} has {found.shape[:2]} pixels, others differ")
            out[0, ..., depth] = found[x, y, 0]
        return out


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """Turn whatever ncempy answers to a damaged file into BrokenSource: it raises errors of every kind."""
    with reading(path, Exception):
        yield


def _pixels(path: Path, kind: Kind, number: int) -> Array:
    """The values of an image `[x, y, z]`. Raises SourceNotFound, BrokenSource."""
    with _faults_of(path):
        if kind == "ser":
            from ncempy.io import ser

            with ser.fileSER(path) as file:
                file._dictDataType = _SER_TYPES  # ncempy's own has a blank before `<u1`, which numpy refuses
                found, _ = file.getDataset(number)
        elif kind == "smv":
            from ncempy.io import smv

            with smv.fileSMV(path) as file:
                found = file.getDataset()["data"]
        else:
            from ncempy.io import dm

            with dm.fileDM(path) as file:
                found = file.getDataset(0)["data"]
        return np.asarray(found.reshape((1, *found.shape)[-3:]).T)


def look(path: Path) -> Image:
    """Describe a file by its headers. Raises SourceNotFound, BrokenSource, UnsupportedSource."""
    with reading(path), path.open("rb") as file:
        head = file.read(64)
    with _faults_of(path):
        if head.startswith(b"II"):
            return _look_at_ser(path)
        return _look_at_smv(path) if head.startswith(b"{") else _look_at_dm(path)


def _look_at_ser(path: Path) -> Image:
    from ncempy.io import ser

    with ser.fileSER(path) as file:
        head: Mapping[str, Any] = file.head
        if head["DataTypeID"] != 0x4122:
            raise UnsupportedSource(f"{path} holds spectra, no images", why="images are read")
        count, size = int(head["ValidNumberElements"]), state_of(path)[0]
        if not count:
            raise broken(path, "it holds no image that is valid")
        offsets = head["DataOffsetArray"]
        if len(offsets) != count or len(head["TagOffsetArray"]) != count:
            raise broken(path, f"its list of {count} images ends early", cut=True)
        shapes = {_ser_image(path, offset, size) for offset in offsets}
        if len(shapes) > 1:
            raise UnsupportedSource(
                f"{path} holds images that differ: {', '.join(map(str, sorted(shapes)))}", why="a layer is one volume"
            )
        kind, x, y = shapes.pop()
        file._dictDataType = _SER_TYPES
        _, meta = file.getDataset(0)
    sizes = tuple((float(each["CalibrationDelta"]), "m") for each in meta["Calibration"])
    planned = tuple(int(one["DimensionSize"]) for one in head["Dimensions"])
    return Image("ser", (x, y, 1), np.dtype(_SER_TYPES[kind]).newbyteorder("="), count, sizes, planned)


def _ser_image(path: Path, offset: int, size: int) -> tuple[int, int, int]:
    """The type, and the lengths along x and y, of the image at a byte of a file of so many bytes."""
    with path.open("rb") as file:
        file.seek(offset)
        head = file.read(_SER_HEADER)
    if len(head) < _SER_HEADER:
        raise broken(path, f"an image begins at byte {offset} of {size}", cut=True)
    kind, x, y = struct.unpack_from("<hii", head, 40)
    if kind not in _SER_TYPES:
        raise UnsupportedSource(f"{path} holds values of the type {kind}", why="1 to 8 are read, no complex numbers")
    end = offset + _SER_HEADER + x * y * np.dtype(_SER_TYPES[kind]).itemsize
    if not (0 < x < 2**20 and 0 < y < 2**20) or end > size:
        raise broken(path, f"an image of {x} x {y} pixels at byte {offset} ends at {end}, the file at {size}", cut=True)
    return kind, x, y


def _look_at_smv(path: Path) -> Image:
    from ncempy.io import smv

    with smv.fileSMV(path) as file:
        said, start = file.header_info, file.num_header_bytes
    order, dim, (x, y) = said.get("BYTE_ORDER"), said.get("DIM", 2), (said["SIZE1"], said["SIZE2"])
    if order != "little_endian" or dim != 2 or said["TYPE"] != "unsigned_short":
        raise UnsupportedSource(
            f"{path} holds {said['TYPE']} in {order}, of {dim} axes",
            why="ncempy reads unsigned_short in little_endian, of 2 axes",
        )
    if not (isinstance(x, int) and isinstance(y, int) and 0 < x < 2**20 and 0 < y < 2**20):
        raise broken(path, f"its image has {x} x {y} pixels (SIZE1, SIZE2)")
    if (end := start + 2 * x * y) > (size := state_of(path)[0]):
        raise broken(path, f"{end} bytes expected, {size} found", cut=True)
    return Image("smv", (x, y, 1), np.dtype(np.uint16), 1, ())


def _look_at_dm(path: Path) -> Image:
    from ncempy.io import dm

    with dm.fileDM(path, on_memory=False) as file:
        found = file.getDataset(0)
    shape, dtype = (1, *found["data"].shape)[-3:], found["data"].dtype
    if found["data"].ndim > 3 or dtype.char not in "bBhHiIlLqQfd" or not math.prod(shape):
        raise UnsupportedSource(
            f"{path} holds {dtype} {found['data'].shape}", why="real numbers of 2 or 3 axes are read"
        )
    sizes = zip(map(float, found["pixelSize"][::-1]), map(str, found["pixelUnit"][::-1]), strict=True)
    z, y, x = shape
    return Image("dm", (x, y, z), dtype.newbyteorder("="), 1, tuple(sizes))
