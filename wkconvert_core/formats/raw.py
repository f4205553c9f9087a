"""Raw volumes (`.raw`, `.vol`): voxels without a header, described by options, a file beside them, or their name.

Headers beside `a.vol`: `a.vol.info` or `a.info` of ESRF's PyHST (`NUM_X = 512`; voxelSize in µm; x fastest; no dtype,
but it writes float32, 16 bits or bytes); `a.json` or `a.vol.json` of the Open SciVis Datasets (size, type, spacing; x
fastest, little endian), where names say it, too: `foot_256x256x256_uint8.raw`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from wkconvert_core.contract.errors import BrokenSource, OptionError, UnsupportedSource
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.model import Confidence, Layer, Match, VolumeInfo
from wkconvert_core.contract.reader_options import parse_options
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.toolkit.files import reading, reason
from wkconvert_core.toolkit.raw_rows import cheap_run, read_box

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

FORMATS = {"raw": "raw volumes (.raw, .vol), with -o shape=x,y,z -o dtype=uint8 or a header beside them"}

DTypeName = Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]

_DTYPES: tuple[str, ...] = get_args(DTypeName)
_OF_PYHST = {1: "uint8", 2: "uint16", 4: "float32"}  # by the bytes that a voxel takes
_NAMED = re.compile(r"(?<!\d)([1-9]\d{0,8})x([1-9]\d{0,8})x([1-9]\d{0,8})(?:_([a-z]+\d+))?(?![0-9a-z])", re.ASCII)
_CUBE_FOLDERS = re.compile(r"x\d{4,}/y\d{4,}/z\d{4,}/[^/]+")


@dataclass(frozen=True)
class Layout:
    """Shape and dtype of a raw volume, and who says so."""

    shape: Vec3
    dtype: str | None
    origin: str
    big: bool = False
    voxel_size: VoxelSize | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawSource:
    """A file of voxels, opened anew for each read."""

    path: Path
    info: VolumeInfo
    stored_dtype: str
    order: Literal["F", "C"]
    offset: int

    def read(self, box: Box) -> Array:
        """The voxels of a box `[1, x, y, z]`, in memory as in the file. Raises BrokenSource, SourceNotFound."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        with reading(self.path), FileIO(self.path) as file:
            if self.order == "F":
                return read_box(file, box, self.info.shape, self.stored_dtype, start=self.offset)
            # z fastest is x fastest with the axes the other way round
            turned, shape = Box(box.start[::-1], box.shape[::-1]), self.info.shape[::-1]
            return read_box(file, turned, shape, self.stored_dtype, start=self.offset).transpose(0, 3, 2, 1)


@hookimpl
def wkconvert_detect(path: Path, head: bytes) -> Match | None:
    """Claim files by their suffix, but for cubes in a KNOSSOS tree: each is a piece of a volume."""
    if not head or path.suffix.lower() not in (".raw", ".vol") or _CUBE_FOLDERS.search(path.absolute().as_posix()):
        return None
    return Match("raw", Confidence.SUFFIX, f"its name ends in {path.suffix}")


@hookimpl
def wkconvert_open(format: str, path: Path, options: Mapping[str, str]) -> list[Layer] | None:
    """Open a raw volume."""
    return [Layer({Mag(1, 1, 1): open_raw(path, **parse_options(open_raw, options))})] if format == "raw" else None


def open_raw(
    path: Path,
    *,
    shape: str | None = None,
    dtype: DTypeName | None = None,
    order: Literal["F", "C"] = "F",
    byteorder: Literal["little", "big"] | None = None,
    offset: int = 0,
) -> RawSource:
    """A volume of `shape` x,y,z after `offset` bytes of header.

    With `order` F the first of these axes, x, is fastest in the file (as in a C array [z, y, x]); with C the last, z.
    `shape` and `dtype` override headers and names. Raises BrokenSource, UnsupportedSource, OptionError.
    """
    if not path.is_file():
        raise UnsupportedSource(f"{path} is no file", why="a raw volume is a single file", fix="give the .raw file")
    if offset < 0:
        raise OptionError(f"-o offset={offset} is not a number of bytes", fix="say 0 or more")
    size = path.stat().st_size
    layout = Layout(_shape(shape), None, "-o shape") if shape else _described(path, size - offset, dtype)
    if layout is None:
        raise OptionError(
            f"{path} does not say its shape",
            why="no header lies beside it, and its name says nothing that fits its size",
            fix=f"say -o shape=x,y,z -o dtype=uint8 (or {', '.join(_DTYPES[1:])}), perhaps order, byteorder, offset",
        )
    kind = dtype or layout.dtype
    _check_size(path, size, offset, layout, kind)
    big = byteorder == "big" or (layout.big and byteorder is None)
    notes = [f"read as {kind}, {'x' if order == 'F' else 'z'} fastest ({layout.origin})", *layout.notes]
    run = cheap_run(layout.shape[0 if order == "F" else 2], np.dtype(kind).itemsize)
    chunk = (run, 1, 1) if order == "F" else (1, 1, run)
    info = VolumeInfo(layout.shape, np.dtype(kind), voxel_size=layout.voxel_size, chunk_shape=chunk, notes=tuple(notes))
    return RawSource(path, info, np.dtype(kind).newbyteorder(">" if big else "<").str, order, offset)


def _shape(text: str) -> Vec3:
    """Parse `-o shape=`. Raises OptionError."""
    try:
        return _vec3(re.split("[,x]", text))
    except ValueError as error:
        fix = "say three whole numbers above 0: -o shape=512,512,300"
        raise OptionError(f"-o shape={text} is not a shape", fix=fix) from error


def _vec3(said: Iterable[object]) -> Vec3:
    """Three whole numbers from texts or from numbers. Raises ValueError."""
    texts = [str(one).strip() for one in said]
    if len(texts) != 3 or not all(re.fullmatch(r"0*[1-9]\d{0,8}", text, re.ASCII) for text in texts):
        raise ValueError(f"{', '.join(texts)} is not a shape: three whole numbers from 1 to 999999999")
    x, y, z = map(int, texts)
    return x, y, z


def _bytes(shape: Vec3, dtype: str) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _check_size(path: Path, size: int, offset: int, layout: Layout, dtype: str | None) -> None:
    """Check that the file is as long as its voxels; else raise an error that lists the dtypes and shapes that fit."""
    (x, y, z), held = layout.shape, size - offset
    fitting = ", ".join(name for name in _DTYPES if _bytes(layout.shape, name) == held)
    if dtype not in _DTYPES:
        raise (UnsupportedSource if dtype else OptionError)(
            f"{layout.origin} says that {path} holds {dtype}" if dtype else f"{path} does not say its dtype",
            why=f"{held} bytes for {x} x {y} x {z} voxels ({layout.origin}) fit {fitting or 'none of the dtypes'}",
            fix=f"say -o dtype= with one of {fitting}" if fitting else "say another -o shape=, or -o offset=",
        )
    wanted, slab = _bytes(layout.shape, dtype), _bytes((x, y, 1), dtype)
    ways = [f"-o dtype= with {fitting}", f"-o shape={x},{y},{held // slab}", f"-o offset={size - wanted}"]
    ways = [
        w for w, good in zip(ways, (fitting, held >= slab and held % slab == 0, size >= wanted), strict=True) if good
    ]
    if held != wanted:
        raise BrokenSource(
            f"{path} has {size} bytes, {offset + wanted} expected",
            why=f"{x} x {y} x {z} voxels ({layout.origin}) of {dtype} take {wanted} bytes after byte {offset}",
            fix=f"its size would fit {'; or '.join(ways)}" if ways else "correct shape and dtype: nothing near it fits",
        )


def _described(path: Path, held: int, dtype: str | None) -> Layout | None:
    """Layout from a header beside the file, else from its name, if that gives the `held` bytes of voxels."""
    for name in (f"{path.name}.info", f"{path.stem}.info", f"{path.stem}.json", f"{path.name}.json"):
        header = path.with_name(name)
        if header.is_file() and (layout := _header(header, held)):
            return layout
    named = _NAMED.search(path.stem.lower())
    layout = Layout(_vec3(named.groups()[:3]), dtype or named[4], "its name") if named else None
    return layout if layout and layout.dtype in _DTYPES and _bytes(layout.shape, layout.dtype) == held else None


def _header(header: Path, held: int) -> Layout | None:
    """Layout from a header file; None if the file is about something else. Raises BrokenSource."""
    try:
        with header.open("rb") as file:
            text = file.read(1 << 20).decode("utf-8", "replace")
        return _scivis(header, json.loads(text)) if header.suffix == ".json" else _pyhst(header, text, held)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        fix = "correct it, or say -o shape=x,y,z -o dtype=uint8"
        raise BrokenSource(f"{header} cannot be read", why=reason(error), fix=fix) from error


def _scivis(header: Path, said: Any) -> Layout | None:
    if not isinstance(said, dict) or "size" not in said or "type" not in said:
        return None
    if not isinstance(said["size"], list):
        raise ValueError(f"its size is {said['size']!r}, not a list of three whole numbers")
    notes = (f"spacing {said['spacing']} in {header.name} has no unit and is not taken",) if "spacing" in said else ()
    return Layout(_vec3(said["size"]), str(said["type"]), header.name, notes=notes)


def _pyhst(header: Path, text: str, held: int) -> Layout | None:
    said = {key.strip().lower(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())}
    if not {"num_x", "num_y", "num_z"} <= said.keys():
        return None
    shape = _vec3(said[f"num_{axis}"] for axis in "xyz")
    dtype = _OF_PYHST.get(held // math.prod(shape)) if held % math.prod(shape) == 0 else None
    layout = Layout(shape, dtype, header.name, said.get("byteorder", "").upper() == "HIGHBYTEFIRST")
    edge = float(said.get("voxelsize", 0))
    return replace(layout, voxel_size=VoxelSize((edge,) * 3, "µm", header.name)) if 0 < edge < math.inf else layout
