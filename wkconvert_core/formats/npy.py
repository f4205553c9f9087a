"""Arrays of numpy: `.npy`, and `.npz`, a zip file of several (numpy.lib.format, versions 1 and 2), never pickled ones.

Axes are named in the order of the array's shape: `-o axes=zyx`. Where nobody names them, x is the one that is fastest
in the file, as in raw volumes: z, y, x in C order, x, y, z in Fortran's.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.errors import OptionError, UnsupportedSource
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.model import Confidence, Layer, Match, VolumeInfo
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.reader_options import parse_options
from wkconvert_core.toolkit.files import broken, is_file, open_file, reading, reason, state_of
from wkconvert_core.toolkit.volumes.axes import Axes
from wkconvert_core.toolkit.volumes.choosing import split_channels
from wkconvert_core.toolkit.volumes.inflated import Packing
from wkconvert_core.toolkit.volumes.stored import Stored, check_size, chunk_of, source_of

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType

FORMATS = {"npy": "arrays of numpy (.npy, .npz), with -o axes=zyx"}

_MAGIC, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_NAME_AT = 30
"""Where the name of the first member stands in a zip file."""
_KINDS = "?bBhHiIlLqQefd"
"""Numpy's characters for the dtypes that are read."""


@dataclass(frozen=True)
class _Array:
    """An array in a file, as its header describes it."""

    path: Path
    shape: tuple[int, ...]
    dtype: DType
    is_fortran: bool
    start: int
    """The first byte of its values: of the file, or of the compressed member."""
    packing: Packing = ""
    base: int = 0
    """Where the member begins in a zip file."""
    is_alone: bool = False
    """Whether the file ends with the array."""


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim files by their first bytes: a zip file if its first member is an array."""
    if head.startswith(_MAGIC):
        return Match("npy", Confidence.CONTENT, "it begins as numpy.save writes it")
    name = head[_NAME_AT : _NAME_AT + int.from_bytes(head[26:28], "little")] if head.startswith(_ZIP) else b""
    if name.endswith(b".npy"):
        return Match("npy", Confidence.CONTENT, f"a zip file that begins with {name.decode('utf-8', 'replace')}")
    if isinstance(path, str) or not head or path.suffix.lower() not in (".npy", ".npz"):
        return None
    return Match("npy", Confidence.SUFFIX, f"its name ends in {path.suffix}")


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> list[Layer] | None:
    """Open an array."""
    return None if format != "npy" or isinstance(path, str) else open_npy(path, **parse_options(open_npy, options))


def open_npy(
    path: Path, *, axes: str | None = None, array: str | None = None, channel: int | None = None
) -> list[Layer]:
    """An array as a layer, or as a layer for each channel, unless these are red, green and blue.

    `axes` names them in the order of the shape, `array` is one of a `.npz`. Raises SourceError, OptionError.
    """
    found = _array(path, array)
    named, notes = _named(found, axes)
    in_file = named if found.is_fortran else named[::-1]  # the fastest first
    lengths = dict(zip(named, found.shape, strict=True))
    count = lengths.get("c", 1)
    if "c" in in_file[1:-1]:
        raise UnsupportedSource(
            f"{path} has its channels between its other axes ({named})",
            why="channels are read that are the fastest or the slowest in the file",
            fix=f"write it again, for example with numpy.moveaxis(array, {named.index('c')}, 0)",
        )
    spatial = [axis for axis in in_file if axis != "c"]
    spatial += [axis for axis in "xyz" if axis not in spatial]
    i, j, k = (lengths.get(axis, 1) for axis in spatial)
    x, y, z = (spatial.index(axis) for axis in "xyz")
    placed = Axes((i, j, k), (x, y, z))
    is_interleaved = in_file[0] == "c"
    volume_bytes = i * j * k * found.dtype.itemsize
    if found.is_alone:
        notes += check_size(path, found.start + count * volume_bytes, "")
    layers = []
    for channels in split_channels(path, count, found.dtype, channel):
        first, width = channels[0], len(channels)
        starts = [found.start] if is_interleaved else [found.start + number * volume_bytes for number in channels]
        stored = Stored(
            found.dtype.str,
            count if is_interleaved else 1,
            tuple(starts),
            packing=found.packing,
            base=found.base,
            first=first if is_interleaved else 0,
        )
        info = VolumeInfo(
            placed.seen_shape,
            found.dtype.newbyteorder("="),
            width,
            chunk_shape=chunk_of(stored, placed),
            notes=tuple(notes),
        )
        name = f"channel_{first}" if width < count else None
        layers.append(Layer({Mag(1, 1, 1): source_of(path, stored, placed, info)}, name))
        notes = []  # one layer carries them
    return layers


def _named(found: _Array, axes: str | None) -> tuple[str, list[str]]:
    """The name of each axis, and a warning if nobody named them. Raises OptionError."""
    count, shape = len(found.shape), " x ".join(map(str, found.shape))
    if axes is None:
        if count not in (2, 3):
            raise OptionError(
                f"{found.path} has {count} axes ({shape}), and nobody says what they are",
                fix="name them in this order: -o axes=czyx (c are channels)",
            )
        axes = "xyz"[:count] if found.is_fortran else "zyx"[-count:]
        text = f"its axes ({shape}) are taken as {', '.join(axes)}: -o axes=… names them in this order"
        return axes, [WarningNote(text)]
    if len(axes) != count or len(set(axes)) < count or not {"x", "y"} <= set(axes) <= set("cxyz"):
        raise OptionError(
            f"-o axes={axes} does not name the {count} axes of {found.path} ({shape})",
            fix="name each by one letter of c, x, y and z, in the order of the shape: -o axes=zyx",
        )
    return axes, []


# --- headers ---------------------------------------------------------------------------------------------------------


def _array(path: Path, name: str | None) -> _Array:
    """The array of a `.npy`, or one of a `.npz`. Raises SourceError, OptionError."""
    if not is_file(path):
        raise UnsupportedSource(f"{path} is no file", why="an array is one", fix="give the .npy or .npz file")
    with reading(path), open_file(path) as file:
        if file.peek(4)[:4] == _ZIP:
            return _of_zip(path, file, name)
        if name is not None:
            raise OptionError(f"-o array={name} has no use", why=f"{path} is a single array")
        return _Array(path, *_header(path, file), start=file.tell(), is_alone=True)


def _header(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], DType, bool]:
    """Shape, dtype and whether it is in Fortran's order. Raises BrokenSource, UnsupportedSource."""
    formats: Any = np.lib.format
    try:
        version = formats.read_magic(file)
        read = {(1, 0): formats.read_array_header_1_0, (2, 0): formats.read_array_header_2_0}[version]
        shape, is_fortran, dtype = read(file)
    except KeyError as error:
        raise UnsupportedSource(
            f"{path} is an array of version {error} of its format", why="1 and 2 are read"
        ) from error
    except Exception as error:  # numpy answers a damaged header with ValueError, SyntaxError, TokenError and others
        raise broken(path, f"its header is none of an array: {reason(error)}") from error
    if dtype.char not in _KINDS or not all(side > 0 for side in shape):
        raise UnsupportedSource(
            f"{path} holds {dtype} {shape}",
            why="integers of 8 to 64 bits, float16 to float64 and bool are read, in axes that are not empty",
        )
    return tuple(map(int, shape)), dtype, is_fortran


def _of_zip(path: Path, file: BufferedReader, name: str | None) -> _Array:
    with _zip(path, file) as archive:
        members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        if not members or (name is None and len(members) > 1):
            raise UnsupportedSource(
                f"{path} holds {len(members)} arrays: {', '.join(members)}",
                why="a layer is one array",
                fix="choose one with -o array=NAME",
            )
        if name is not None and name not in members:
            raise OptionError(f"{path} holds no array {name}", fix=f"it holds {', '.join(members)}")
        entry = members[name if name is not None else next(iter(members))]
        with archive.open(entry) as member:
            shape, dtype, is_fortran = _header(path, member)
            start = member.tell()
        file.seek(entry.header_offset + 26)
        lengths = struct.unpack("<HH", file.read(4))  # of the name and what follows it, before the member's bytes
    held = start + dtype.itemsize * int(np.prod(shape, dtype=object))
    if entry.file_size != held or entry.compress_size > state_of(path)[0]:
        raise broken(path, f"{held} bytes expected for {entry.filename}, {entry.file_size} are promised", cut=True)
    if entry.compress_type == zipfile.ZIP_STORED:
        return _Array(path, shape, dtype, is_fortran, entry.header_offset + _NAME_AT + sum(lengths) + start)
    return _Array(path, shape, dtype, is_fortran, start, "zip", entry.header_offset)


@contextmanager
def _zip(path: Path, file: BufferedReader) -> Iterator[zipfile.ZipFile]:
    """The members of a zip file. Raises BrokenSource for a damaged one."""
    with reading(path, zipfile.BadZipFile, NotImplementedError, RuntimeError), zipfile.ZipFile(file) as archive:
        yield archive
