"""Files of cubes: raw, pictures, overlays. What their headers say, and their voxels.

A cube of x * y * z voxels is stored with x fastest, z slowest; as a picture it is x wide and y * z high. Overlay cubes
are uint64, little endian, compressed by snappy without a frame, in a zip with one member.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from wkconvert_core import Box, UnsupportedSource, Vec3Like
from wkconvert_core.toolkit.files import broken, open_file, raw_file, reading
from wkconvert_core.toolkit.raw_rows import read_box
from wkconvert_images.opening import raster
from wkconvert_images.picture import PictureRaster

from .tree import OVERLAYS, suffix_of

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jp2": "JPEG2000", ".j2k": "JPEG2000"}
"""Pillow's name of the format, by the suffix of cubes that are pictures."""

Array = np.ndarray[Any, np.dtype[Any]]


def expected(suffix: str, cube: Vec3Like) -> str:
    """Describe the content of a sound cube, in the words of `found`.

    >>> expected(".png", (128, 128, 128))
    '128 x 16384 pixels of L'
    """
    x, y, z = cube
    if suffix == ".raw":
        return f"{x * y * z} bytes"
    return f"{8 * x * y * z} bytes unpacked" if suffix in OVERLAYS else f"{x} x {y * z} pixels of L"


def found(path: Path) -> str:
    """Describe the content of a cube's file from its size or header. Raises BrokenSource, SourceNotFound."""
    suffix = suffix_of(path.name)
    with reading(path, Exception):  # damaged headers make parsers raise anything
        if suffix == ".raw":
            return f"{path.stat().st_size} bytes"
        if suffix in OVERLAYS:
            with open_file(path) as held, zipfile.ZipFile(held) as file, file.open(_member(path, file, None)) as packed:
                return f"{_varint(packed)} bytes unpacked"
        return _pixels(_picture(path))


def read(path: Path, cube: Vec3Like, box: Box) -> Array:
    """The voxels `[x, y, z]` of a box within a cube. Raises BrokenSource, SourceNotFound."""
    suffix = suffix_of(path.name)
    with reading(path, Exception):  # damaged data make decoders raise anything
        if suffix == ".raw":
            with raw_file(path) as file:
                raw: Array = read_box(file, box, cube, "u1")[0]
                return raw
        whole = _read_overlay(path, cube) if suffix in OVERLAYS else _read_picture(path, cube)
        return whole.reshape(cube, order="F")[box.slices_in(Box((0, 0, 0), cube))]


def lossy(path: Path) -> str:
    """The coding of a cube's file, if it changes numbers; else empty. Raises SourceError."""
    return _picture(path).facts.lossy if suffix_of(path.name) in _FORMATS else ""


def _picture(path: Path) -> PictureRaster:
    """A picture of the kind that its suffix says, from its header. Raises BrokenSource, UnsupportedSource."""
    picture = raster(str(path), format="pictures")
    assert isinstance(picture, PictureRaster)
    wanted = _FORMATS[suffix_of(path.name) or ""]
    if picture.format != wanted:
        raise broken(path, f"it is a {picture.format}, not a {wanted}")
    return picture


def _pixels(picture: PictureRaster) -> str:
    return f"{picture.facts.width} x {picture.facts.height} pixels of {picture.mode}"


def _read_picture(path: Path, cube: Vec3Like) -> Array:
    picture = _picture(path)
    if (state := _pixels(picture)) != expected(".png", cube):
        raise broken(path, f"it holds {state}")
    pixels = np.empty((picture.facts.height, picture.facts.width, 1), np.uint8)
    picture.fill(pixels, 0, 0, (0,))
    return pixels.reshape(-1)


def _read_overlay(path: Path, cube: Vec3Like) -> Array:
    from cramjam import snappy

    if (state := found(path)) != expected(".seg.sz.zip", cube):
        raise broken(path, f"it holds {state}")
    voxels = np.zeros(cube[0] * cube[1] * cube[2], "<u8")
    with open_file(path) as held, zipfile.ZipFile(held) as file:
        packed = file.read(_member(path, file, voxels.nbytes))
    count = snappy.decompress_raw_into(packed, voxels.data.cast("B"))
    if count != voxels.nbytes:
        raise broken(path, f"{count} bytes were unpacked, not {voxels.nbytes}")
    return voxels.astype(np.uint64, copy=False)


def _member(path: Path, file: zipfile.ZipFile, voxel_bytes: int | None) -> zipfile.ZipInfo:
    """The only file in the zip. Raises BrokenSource, also if it is longer than snappy makes `voxel_bytes` at worst."""
    members = file.infolist()
    named = [member for member in members if member.filename.endswith(".seg.sz")] or members
    if len(named) != 1:
        raise broken(path, f"it holds {len(named)} files, not one")
    if named[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # such as bzip2, of which a few bytes may unpack to gigabytes at once
        why = f"its zip has method {named[0].compress_type}; cubes are stored (0) or deflated (8)"
        raise UnsupportedSource(
            f"{path} is packed in a way that is not read", why=why, fix="pack it again with deflate"
        )
    if voxel_bytes is not None and named[0].file_size > 32 + voxel_bytes * 7 // 6:
        raise broken(path, f"its file of {named[0].file_size} bytes cannot be a cube of {voxel_bytes}")
    return named[0]


def _varint(file: IO[bytes]) -> int:
    """The uncompressed length with which snappy data begin: seven bits per byte, the lowest first.

    >>> import io
    >>> _varint(io.BytesIO(bytes([0b1010_1100, 0b0000_0010])))  # 0b10_0101100
    300
    """
    number = 0
    for place, byte in enumerate(file.read(5)):
        number |= (byte & 127) << (7 * place)
        if byte < 128:
            return number
    raise EOFError("it ends within its header")
