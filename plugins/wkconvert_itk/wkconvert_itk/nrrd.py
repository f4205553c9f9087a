"""NRRD headers, attached and detached (teem.sourceforge.net/nrrd/format.html, versions 1 to 5)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wkconvert_core import UnsupportedSource, unit_symbol
from wkconvert_core.toolkit.files import broken, open_file, reading
from wkconvert_core.toolkit.volumes.inflated import Packing, bytes_of

from .header import MOST_HEADER, Header, Place, data_beside, extents, numbers, one_of

_TYPES = {
    "signed char": "i1", "int8": "i1", "int8_t": "i1",
    "uchar": "u1", "unsigned char": "u1", "uint8": "u1", "uint8_t": "u1",
    "short": "i2", "short int": "i2", "signed short": "i2", "signed short int": "i2", "int16": "i2", "int16_t": "i2",
    "ushort": "u2", "unsigned short": "u2", "unsigned short int": "u2", "uint16": "u2", "uint16_t": "u2",
    "int": "i4", "signed int": "i4", "int32": "i4", "int32_t": "i4",
    "uint": "u4", "unsigned int": "u4", "uint32": "u4", "uint32_t": "u4",
    "longlong": "i8", "long long": "i8", "long long int": "i8", "signed long long": "i8",
    "signed long long int": "i8", "int64": "i8", "int64_t": "i8",
    "ulonglong": "u8", "unsigned long long": "u8", "unsigned long long int": "u8", "uint64": "u8", "uint64_t": "u8",
    "float": "f4", "double": "f8",
}  # fmt: skip
_ENCODINGS: dict[str, Packing] = {"raw": "", "gzip": "gzip", "gz": "gzip"}
_BODIES = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
"""Spaces of a body, and the signs that make RAS+ of them."""
_SPACES = ("scanner-xyz", "scannerxyz", "3d-right-handed", "3drh", "3d-left-handed", "3dlh")
"""Spaces of three dimensions whose axes have no such meaning."""
_IN_SPACE = ("domain", "space")
"""Kinds of axes that lead through space."""


@dataclass(frozen=True)
class Fields:
    """The fields of a header by name, without spaces and in lower case (`spacedirections`), and where it ends."""

    path: Path
    named: Mapping[str, str]
    end: int

    @property
    def space(self) -> str:
        """The name of the space in which the axes lead, in lower case; empty where it has none."""
        return self.named.get("space", "").lower()

    def words(self, name: str, count: int) -> list[str]:
        """A field's words, one for each axis; none if the field is not there. Raises BrokenSource."""
        text = self.named.get(name, "")
        found = re.findall(r"\([^)]*\)|\"[^\"]*\"|\S+", text)
        if found and len(found) != count:
            raise broken(self.path, f"its {name} is {text!r}; {count} are expected, one for each axis")
        return [word.strip('"') for word in found]

    def whole(self, name: str, least: int) -> int:
        """A whole number, 0 where the field is not there. Raises BrokenSource."""
        text = self.named.get(name, "0")
        if not re.fullmatch(r"-?[0-9]{1,15}", text) or int(text) < least:
            raise broken(self.path, f"its {name} is {text!r}; {least} or more is expected")
        return int(text)


def read_nrrd(path: Path) -> Header:
    """Read and check a header. Raises BrokenSource, UnsupportedSource."""
    fields = _fields(path)
    if not (axes := fields.whole("dimension", 1)) <= 16:
        raise broken(path, f"its dimension is {axes}; legal is 1 to 16")
    lengths = extents(path, "sizes", fields.named.get("sizes", ""), axes)
    dtype = np.dtype(one_of(path, "type", fields.named.get("type", "").lower(), _TYPES))
    endian = fields.named.get("endian", "").lower()
    if dtype.itemsize > 1:
        if endian not in ("little", "big"):
            raise broken(path, f"its endian is {endian!r}; little or big are expected")
        dtype = dtype.newbyteorder("<" if endian == "little" else ">")
    in_space = _axes_in_space(fields, lengths)
    first, last = in_space[0], in_space[-1] + 1
    if last - first != len(in_space) or first > 1:
        raise UnsupportedSource(
            f"{path} has the axes {' x '.join(map(str, lengths))}, of which those in space are not neighbours",
            why="values lie side by side in a voxel (one axis before those in space), or in volumes one after another",
            fix="write it again with its axes in another order, for example with `unu permute`",
        )
    i, j, k = (*lengths[first:last], 1, 1)[:3]
    kind = (fields.words("kinds", axes) or [""])[0].lower()
    directions = _directions(fields, in_space)
    sizes, sized_by = _sizes(fields, in_space, directions)
    packing, data, base, start = _data(fields)
    return Header(
        path,
        data,
        (i, j, k),
        dtype,
        samples=lengths[0] if first else 1,
        volumes=math.prod(lengths[last:]),
        packing=packing,
        base=base,
        start=start,
        sizes=sizes,
        sized_by=sized_by,
        unit=_unit(fields, in_space),
        place=_place(fields, directions),
        has_alpha=bool(first) and kind == "rgba-color",
    )


def _fields(path: Path) -> Fields:
    head = bytes_of(path, MOST_HEADER)
    line, *_ = head.split(b"\n", 1)
    if not re.fullmatch(rb"NRRD000[1-5]\r?", line):
        raise broken(path, f"it begins with {line[:20]!r}, not with NRRD0001 to NRRD0005")
    blank = re.search(rb"\n\r?\n", head)
    text = head[: blank.start() if blank else len(head)].decode("utf-8", "replace")
    named = {}
    for entry in text.splitlines()[1:]:
        name, colon, value = entry.partition(":")
        if entry.startswith("#") or value.startswith("="):  # a comment, or a key of the user's
            continue
        if not colon:
            raise broken(path, f"its header has the line {entry[:60]!r}, which is no field")
        named[name.lower().replace(" ", "")] = value.strip()
    return Fields(path, named, blank.end() if blank else len(head))


def _axes_in_space(fields: Fields, lengths: Sequence[int]) -> list[int]:
    """The numbers of the axes that lead through space: at most three. Raises UnsupportedSource, BrokenSource."""
    count = len(lengths)
    directions, kinds = fields.words("spacedirections", count), fields.words("kinds", count)
    found = list(range(count))
    if directions:
        found = [axis for axis in found if not re.search("none|nan", directions[axis], re.IGNORECASE)]
    elif kinds:
        found = [axis for axis in found if kinds[axis].lower() in (*_IN_SPACE, "???", "none")]
    if not found:
        raise UnsupportedSource(
            f"{fields.path} has no axis in space: {' x '.join(map(str, lengths))}",
            why="all of them are said to count something else (space directions, kinds)",
            fix="say in its field `kinds` which are of the kind `space`",
        )
    return found[:3]  # a fourth counts volumes


def _data(fields: Fields) -> tuple[Packing, Path, int, int | None]:
    """How the voxels are packed, their file, where the stream begins, and where in it they begin."""
    path, name = fields.path, fields.named.get("datafile")
    encoding = fields.named.get("encoding", "").lower()
    if encoding not in _ENCODINGS:
        raise UnsupportedSource(
            f"{path} has the encoding {encoding!r}",
            why=f"{', '.join(_ENCODINGS)} are read",
            fix="write it again, for example with `unu save -e gzip`",
        )
    packing, place = _ENCODINGS[encoding], fields.end
    if name is not None:
        path, place = data_beside(path, name, "write it again as one file, for example with `unu save -f nrrd`"), 0
    place = _behind_lines(path, place, fields.whole("lineskip", 0))
    skipped = fields.whole("byteskip", -1)
    if packing:
        if skipped < 0:
            raise broken(fields.path, f"its byte skip is {skipped}, which the encoding {encoding} does not know")
        return packing, path, place, skipped
    return packing, path, 0, None if skipped < 0 else place + skipped


def _behind_lines(path: Path, place: int, count: int) -> int:
    """The byte behind so many lines from a place on. Raises BrokenSource."""
    if count:
        with reading(path), open_file(path) as file:
            file.seek(place)
            for _ in range(count):
                if not file.readline(1 << 20).endswith(b"\n"):
                    raise broken(path, f"it has not the {count} lines that its header says to skip", cut=True)
            place = file.tell()
    return place


def _is_solid(fields: Fields) -> bool:
    """Whether the axes lead through a space of three dimensions."""
    return fields.space in (*_BODIES, *_SPACES) or fields.named.get("spacedimension") == "3"


def _directions(fields: Fields, in_space: Sequence[int]) -> list[tuple[float, ...]]:
    """The vector along which each axis leads through space; none where the header has none. Raises BrokenSource."""
    words = fields.words("spacedirections", fields.whole("dimension", 1))
    texts = [words[axis].strip("() ").replace(",", " ") for axis in in_space] if words else []
    count = 3 if _is_solid(fields) else max([1, *(len(text.split()) for text in texts)])
    return [numbers(fields.path, "space directions", text, count) for text in texts]


def _place(fields: Fields, directions: Sequence[Sequence[float]]) -> Place | None:
    """Where the voxels lie, if three axes lead through a space of three dimensions."""
    if len(directions) != 3 or not _is_solid(fields):
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = np.transpose(directions)
    if origin := fields.named.get("spaceorigin"):
        matrix[:3, 3] = numbers(fields.path, "space origin", origin.strip("() ").replace(",", " "), 3)
    matrix[:3] *= np.array(_BODIES.get(fields.space, (1, 1, 1)))[:, np.newaxis]
    return Place(matrix, f"space directions, {fields.space or 'space dimension 3'}", fields.space in _BODIES)


def _sizes(
    fields: Fields, in_space: Sequence[int], directions: Sequence[Sequence[float]]
) -> tuple[tuple[float | None, float | None, float | None], str]:
    """The size of a voxel along each axis in space, None where it is not said, and the field that says it."""
    spacings = fields.words("spacings", fields.whole("dimension", 1))
    found = [math.hypot(*vector) or None for vector in directions]
    if spacings and not directions:
        found = [_spacing(fields, spacings[axis]) for axis in in_space]
    i, j, k = (*found, None, None, None)[:3]
    return (i, j, k), "space directions" if directions else "spacings"


def _spacing(fields: Fields, text: str) -> float | None:
    """A spacing, which may be negative; None for NaN. Raises BrokenSource."""
    try:
        size = abs(float(text))
    except ValueError:
        raise broken(fields.path, f"its spacings hold {text!r}, which is no number") from None
    return size if 0 < size < math.inf else None


def _unit(fields: Fields, in_space: Sequence[int]) -> str | None:
    """The unit that the header names for all axes alike; None where it names none, or several."""
    axes = fields.whole("dimension", 1)
    if fields.named.get("spaceunits"):
        words = fields.words("spaceunits", 3)
    else:
        words = fields.words("units", axes)
        words = [words[axis] for axis in in_space] if words else []
    units = {unit_symbol(word) for word in words}
    return units.pop() if len(units) == 1 else None
