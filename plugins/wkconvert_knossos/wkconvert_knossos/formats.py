"""Cubes as files: raw, pictures, overlays. What their headers say, and their voxels.

A cube of x * y * z voxels is stored with x fastest, z slowest; as a picture it is x wide and y * z high. Overlay cubes
are uint64, little endian, as raw snappy in a zip of one member.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from wkconvert_core import Box, SourceError, Vec3
from wkconvert_images.picture import PictureRaster, read_picture

from .messages import broken, cannot_open
from .tree import OVERLAYS, suffix_of

Array = np.ndarray[Any, np.dtype[Any]]


def expected(suffix: str, cube: Vec3) -> str:
    """What `found` must say of a sound cube."""
    x, y, z = cube
    if suffix == ".raw":
        return f"{x * y * z} bytes"
    return f"{8 * x * y * z} bytes unpacked" if suffix in OVERLAYS else f"{x} x {y * z} pixels of L"


def found(path: Path) -> str:
    """What a cube's file holds, from its size or header. Raises BrokenSource, SourceNotFound."""
    suffix = suffix_of(path.name)
    try:
        if suffix == ".raw":
            return f"{path.stat().st_size} bytes"
        if suffix in OVERLAYS:
            return f"{_unpacked(path)} bytes unpacked"
        return _pixels(_picture(path))
    except SourceError:
        raise
    except OSError as error:
        raise cannot_open(path, error) from error
    except Exception as error:  # damaged headers make parsers stumble in any way they can
        raise broken(path, f"its header cannot be read: {error or type(error).__name__}") from error


def read(path: Path, cube: Vec3, box: Box) -> Array:
    """The voxels [x, y, z] of a box within a cube. Raises BrokenSource, SourceNotFound."""
    suffix = suffix_of(path.name)
    try:
        if suffix == ".raw":
            return _read_raw(path, cube, box)
        whole = _read_overlay(path, cube) if suffix in OVERLAYS else _read_picture(path, cube)
        return whole.reshape(cube, order="F")[box.slices_in(Box((0, 0, 0), cube))]
    except SourceError:
        raise
    except OSError as error:
        raise cannot_open(path, error) from error
    except Exception as error:  # on damaged data, decoders raise whatever they run into
        raise broken(path, f"it cannot be decoded: {error or type(error).__name__}") from error


def _read_raw(path: Path, cube: Vec3, box: Box) -> Array:
    """Only the planes that the box needs are read."""
    x, y, _ = cube
    (start_x, start_y, first), (stop_x, stop_y, last) = box.start, box.stop
    voxels = np.fromfile(path, np.uint8, x * y * (last - first), offset=x * y * first)
    if voxels.size != x * y * (last - first):
        raise broken(path, f"it ends at byte {x * y * first + voxels.size}")
    return voxels.reshape((x, y, last - first), order="F")[start_x:stop_x, start_y:stop_y]


def _picture(path: Path) -> PictureRaster:
    """A picture of the kind that its suffix says, from its header. Raises BrokenSource, UnsupportedSource, OSError."""
    picture = read_picture(str(path))
    wanted = "PNG" if suffix_of(path.name) == ".png" else "JPEG"
    if picture.format != wanted:
        raise broken(path, f"it is a {picture.format}, not a {wanted}")
    return picture


def _pixels(picture: PictureRaster) -> str:
    return f"{picture.facts.width} x {picture.facts.height} pixels of {picture.mode}"


def _read_picture(path: Path, cube: Vec3) -> Array:
    picture = _picture(path)
    if (state := _pixels(picture)) != expected(".png", cube):
        raise broken(path, f"it holds {state}")
    pixels = np.empty((picture.facts.height, picture.facts.width, 1), np.uint8)
    picture.fill(pixels, 0, 0, (0,))
    return pixels.reshape(-1)


def _read_overlay(path: Path, cube: Vec3) -> Array:
    from cramjam import snappy

    if (state := found(path)) != expected(".seg.sz.zip", cube):
        raise broken(path, f"it holds {state}")
    voxels = np.zeros(cube[0] * cube[1] * cube[2], "<u8")
    with zipfile.ZipFile(path) as file:
        packed = file.read(_member(path, file, voxels.nbytes))
    count = snappy.decompress_raw_into(packed, voxels.data.cast("B"))
    if count != voxels.nbytes:
        raise broken(path, f"{count} bytes were unpacked, not {voxels.nbytes}")
    return voxels.astype(np.uint64, copy=False)


def _unpacked(path: Path) -> int:
    """Bytes that an overlay cube holds, as its snappy header says."""
    try:
        with zipfile.ZipFile(path) as file, file.open(_member(path, file, None)) as packed:
            return _varint(packed)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise broken(path, f"it is no sound zip: {error}") from error


def _member(path: Path, file: zipfile.ZipFile, voxel_bytes: int | None) -> zipfile.ZipInfo:
    """The one file in the zip, unless it claims more than snappy makes at most of `voxel_bytes`."""
    members = file.infolist()
    named = [member for member in members if member.filename.endswith(".seg.sz")] or members
    if len(named) != 1:
        raise broken(path, f"it holds {len(named)} files, not one")
    if voxel_bytes is not None and named[0].file_size > 32 + voxel_bytes * 7 // 6:
        raise broken(path, f"its file of {named[0].file_size} bytes cannot be a cube of {voxel_bytes}")
    return named[0]


def _varint(file: IO[bytes]) -> int:
    """The number with which raw snappy begins: seven bits a byte, the lowest first."""
    number = 0
    for place, byte in enumerate(file.read(5)):
        number |= (byte & 127) << (7 * place)
        if byte < 128:
            return number
    raise EOFError("it ends within its header")
