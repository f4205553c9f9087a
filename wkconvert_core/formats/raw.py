"""Raw volumes (`.raw`, `.vol`): voxels without a header, described by options, by a file beside them, or by their name.

Headers beside `a.vol` are `a.vol.info` or `a.info` of ESRF's PyHST (`NUM_X = 512`; voxelSize in µm; x fastest; no
dtype: it writes float32, uint16 or uint8), and `a.json` or `a.vol.json` of the Open SciVis Datasets (size, type,
spacing; x fastest, little endian), whose names hold shape and dtype, too: `foot_256x256x256_uint8.raw`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wkconvert_core.contract.errors import BrokenSource, OptionError, UnsupportedSource
from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.model import DTYPES, Confidence, DtypeName, Layer, Match, VolumeInfo
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.numbers import decimal_number
from wkconvert_core.contract.reader_options import parse_options
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.toolkit.files import is_file, open_file, reading, reason, state_of
from wkconvert_core.toolkit.raw_rows import cheap_run, read_box

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

FORMATS = {"raw": "raw volumes (.raw, .vol), with -o shape=x,y,z -o dtype=uint8 or a header beside them"}

_OF_PYHST = {1: "uint8", 2: "uint16", 4: "float32"}
"""The dtypes that PyHST writes, by bytes per voxel."""
_NAMED = re.compile(r"(?<!\d)([1-9]\d{0,8})x([1-9]\d{0,8})x([1-9]\d{0,8})(?:_([a-z]+\d+))?(?![0-9a-z])", re.ASCII)
_CUBE_FOLDERS = re.compile(r"x\d{4,}/y\d{4,}/z\d{4,}/[^/]+", re.ASCII)


@dataclass(frozen=True)
class Layout:
    """How the voxels of a raw volume are arranged, and where that is stated."""

    shape: Vec3Like
    dtype: str | None
    """None: not stated."""
    origin: str
    """For people: `-o shape`, a header's name."""
    big_endian: bool = False
    voxel_size: VoxelSize | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawSource:
    """A file of voxels, which each read opens."""

    path: Path
    info: VolumeInfo
    stored_dtype: str
    """With byte order: `>u2`."""
    order: Literal["F", "C"]
    """F: x is fastest in the file; C: z is."""
    offset: int
    """Bytes before the first voxel."""

    def read(self, box: Box) -> Array:
        """The voxels `[1, x, y, z]` of a box, in the file's memory order. Raises BrokenSource, SourceNotFound."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        with reading(self.path), FileIO(self.path) as file:
            if self.order == "F":
                return read_box(file, box, self.info.shape, self.stored_dtype, start=self.offset)
            # z fastest is x fastest with the axes reversed
            turned, shape = Box(box.start[::-1], box.shape[::-1]), self.info.shape[::-1]
            return read_box(file, turned, shape, self.stored_dtype, start=self.offset).transpose(0, 3, 2, 1)


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim files by their suffix, except cubes in a KNOSSOS tree, each of which is a part of a volume."""
    if isinstance(path, str) or not head:
        return None
    if path.suffix.lower() not in (".raw", ".vol") or _CUBE_FOLDERS.search(path.absolute().as_posix()):
        return None
    return Match("raw", Confidence.SUFFIX, f"its name ends in {path.suffix}")


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> list[Layer] | None:
    """Open a raw volume."""
    if format != "raw" or isinstance(path, str):
        return None
    return [Layer({Mag(1, 1, 1): open_raw(path, **parse_options(open_raw, options))})]


def open_raw(
    path: Path,
    *,
    shape: str | None = None,
    dtype: DtypeName | None = None,
    order: Literal["F", "C"] = "F",
    byteorder: Literal["little", "big"] | None = None,
    offset: int = 0,
) -> RawSource:
    """Open a volume of `shape` x,y,z that begins after `offset` bytes of header.

    With `order` F, x is fastest in the file (as in a C array [z, y, x]); with C, z is. `shape` and `dtype` override
    headers and names. Raises BrokenSource, UnsupportedSource, OptionError.
    """
    if not is_file(path):
        raise UnsupportedSource(f"{path} is no file", why="a raw volume is a single file", fix="give the .raw file")
    if offset < 0:
        raise OptionError(f"-o offset={offset} is not a number of bytes", fix="say 0 or more")
    size = state_of(path)[0]
    try:
        stated = _vec3(re.split("[,x]", shape)) if shape else None
    except ValueError as error:
        fix = "say three whole numbers above 0: -o shape=512,512,300"
        raise OptionError(f"-o shape={shape} is not a shape", fix=fix) from error
    layout = Layout(stated, None, "-o shape") if stated else _described(path, size - offset, dtype)
    if layout is None:
        raise OptionError(
            f"{path} does not say its shape",
            why="no header lies beside it, and its name says nothing that fits its size",
            fix=f"say -o shape=x,y,z -o dtype=uint8 (or {', '.join(DTYPES[1:])}), perhaps order, byteorder, offset",
        )
    kind = dtype or layout.dtype
    _check_size(path, size, offset, layout, kind)
    big_endian = byteorder == "big" or (layout.big_endian and byteorder is None)
    notes = [f"read as {kind}, {'x' if order == 'F' else 'z'} fastest ({layout.origin})", *layout.notes]
    run = cheap_run(layout.shape[0 if order == "F" else 2], np.dtype(kind).itemsize)
    chunk = (run, 1, 1) if order == "F" else (1, 1, run)
    info = VolumeInfo(layout.shape, np.dtype(kind), voxel_size=layout.voxel_size, chunk_shape=chunk, notes=tuple(notes))
    return RawSource(path, info, np.dtype(kind).newbyteorder(">" if big_endian else "<").str, order, offset)


def _vec3(numbers: Iterable[object]) -> Vec3Like:
    """A shape from three texts or numbers. Raises ValueError.

    >>> _vec3(["512", " 512", 300])
    (512, 512, 300)
    """
    texts = [str(number).strip() for number in numbers]
    if len(texts) != 3 or not all(re.fullmatch(r"0*[1-9]\d{0,8}", text, re.ASCII) for text in texts):
        raise ValueError(f"{', '.join(texts)} is not a shape: three whole numbers from 1 to 999999999")
    x, y, z = map(int, texts)
    return x, y, z


def _bytes(shape: Vec3Like, dtype: str) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _check_size(path: Path, size: int, offset: int, layout: Layout, dtype: str | None) -> None:
    """Raise an error that lists dtypes, shapes and offsets that would fit, unless the file is as long as its voxels."""
    (x, y, z), held = layout.shape, size - offset
    fitting = ", ".join(name for name in DTYPES if _bytes(layout.shape, name) == held)
    if dtype not in DTYPES:
        raise (UnsupportedSource if dtype else OptionError)(
            f"{layout.origin} says that {path} holds {dtype}" if dtype else f"{path} does not say its dtype",
            why=f"{held} bytes for {x} x {y} x {z} voxels ({layout.origin}) fit {fitting or 'none of the dtypes'}",
            fix=f"say -o dtype= with one of {fitting}" if fitting else "say another -o shape=, or -o offset=",
        )
    wanted, slice_bytes = _bytes(layout.shape, dtype), _bytes((x, y, 1), dtype)
    if held != wanted:
        ways = [f"-o dtype= with {fitting}"] * bool(fitting)
        if held >= slice_bytes and held % slice_bytes == 0:
            ways.append(f"-o shape={x},{y},{held // slice_bytes}")
        if size >= wanted:
            ways.append(f"-o offset={size - wanted}")
        raise BrokenSource(
            f"{path} has {size} bytes, {offset + wanted} expected",
            why=f"{x} x {y} x {z} voxels ({layout.origin}) of {dtype} take {wanted} bytes after byte {offset}",
            fix=f"its size would fit {'; or '.join(ways)}" if ways else "correct shape and dtype: nothing near it fits",
        )


def _described(path: Path, held: int, dtype: str | None) -> Layout | None:
    """The layout by a header beside the file, else by its name if that fits the `held` bytes of voxels."""
    for name in (f"{path.name}.info", f"{path.stem}.info", f"{path.stem}.json", f"{path.name}.json"):
        header = path.with_name(name)
        if is_file(header) and (layout := _header(header, held)):
            return layout
    named = _NAMED.search(path.stem.lower())
    layout = Layout(_vec3(named.groups()[:3]), dtype or named[4], "its name") if named else None
    return layout if layout and layout.dtype in DTYPES and _bytes(layout.shape, layout.dtype) == held else None


def _header(header: Path, held: int) -> Layout | None:
    """The layout by a header; None if the file describes something else. Raises BrokenSource."""
    try:
        with open_file(header) as file:
            text = file.read(1 << 20).decode("utf-8", "replace")
        return _scivis(header, json.loads(text)) if header.suffix == ".json" else _pyhst(header, text, held)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        fix = "correct it, or say -o shape=x,y,z -o dtype=uint8"
        raise BrokenSource(f"{header} cannot be read", why=reason(error), fix=fix) from error


def _scivis(header: Path, stated: Any) -> Layout | None:
    if not isinstance(stated, dict) or "size" not in stated or "type" not in stated:
        return None
    size, spacing = stated["size"], stated.get("spacing")
    if not isinstance(size, list):
        raise ValueError(f"its size is {size!r}, not a list of three whole numbers")
    untaken = WarningNote(f"spacing {spacing} in {header.name} has no unit and is not taken")
    return Layout(_vec3(size), str(stated["type"]), header.name, notes=(untaken,) if "spacing" in stated else ())


def _pyhst(header: Path, text: str, held: int) -> Layout | None:
    lines = (line.partition("=") for line in text.splitlines())
    stated = {key.strip().lower(): value.strip() for key, _, value in lines}
    if not {"num_x", "num_y", "num_z"} <= stated.keys():
        return None
    shape = _vec3(stated[f"num_{axis}"] for axis in "xyz")
    voxel_bytes, rest = divmod(held, math.prod(shape))
    dtype = None if rest else _OF_PYHST.get(voxel_bytes)
    layout = Layout(shape, dtype, header.name, stated.get("byteorder", "").upper() == "HIGHBYTEFIRST")
    edge = decimal_number(stated.get("voxelsize", "0"))
    return replace(layout, voxel_size=VoxelSize((edge,) * 3, "µm", header.name)) if 0 < edge < math.inf else layout
