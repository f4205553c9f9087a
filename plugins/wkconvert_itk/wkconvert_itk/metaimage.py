"""MetaImage headers, `.mha` with the voxels in the same file and `.mhd` (ITK's wiki, MetaIO/Documentation)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wkconvert_core import UnsupportedSource, WarningNote, unit_symbol
from wkconvert_core.toolkit.files import broken
from wkconvert_core.toolkit.volumes.inflated import bytes_of
from wkconvert_core.toolkit.volumes.orientation import runs

from .header import MOST_HEADER, Header, Place, data_beside, extents, numbers, one_of
from .magic import LAST_FIELD, fields_of_metaimage

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
"""Numpy's name for each `ElementType`; MET_LONG has 32 bits wherever it was written."""
_FLIPPED = str.maketrans("RLAPSI", "LRPAIS")


def read_metaimage(path: Path) -> Header:
    """Read and check a header. Raises BrokenSource, UnsupportedSource."""
    matches = fields_of_metaimage(bytes_of(path, MOST_HEADER))
    named = {match[1].decode().lower(): match[2].decode("utf-8", "replace") for match in matches}
    if LAST_FIELD not in named:
        raise broken(path, "its header does not come to the field ElementDataFile, which ends it")
    if (kind := named.get("objecttype", "Image")) != "Image":
        raise UnsupportedSource(f"{path} holds the object {kind}", why="of MetaIO's objects, images are read")
    (axes,) = extents(path, "NDims", named.get("ndims", ""), 1)
    if axes > 16:
        raise broken(path, f"its NDims is {axes}; legal is 1 to 16")
    lengths = extents(path, "DimSize", named.get("dimsize", ""), axes)
    (samples,) = extents(path, "ElementNumberOfChannels", named.get("elementnumberofchannels", "1"), 1)
    dtype = np.dtype(one_of(path, "ElementType", named.get("elementtype", ""), _TYPES))
    is_big = _flag(path, named, "binarydatabyteordermsb") or _flag(path, named, "elementbyteordermsb")
    if not _flag(path, named, "binarydata", default=True):
        raise UnsupportedSource(f"{path} holds its voxels as text", why="BinaryData = True is read", fix=_WRITE_AGAIN)
    is_packed = _flag(path, named, "compresseddata")
    data, place = _data(path, named, matches[-1].end())
    if place is None and is_packed:
        raise broken(path, "its HeaderSize is -1, and its voxels are compressed")
    i, j, k = (*lengths, 1, 1)[:3]
    sized_by = next((name for name in ("ElementSpacing", "ElementSize") if name.lower() in named), "")
    sizes = numbers(path, sized_by, named[sized_by.lower()], axes) if sized_by else ()
    x, y, z = (*(abs(size) or None for size in sizes[:3]), None, None, None)[:3]
    found, notes = _place(path, named, axes, sizes)
    return Header(
        path,
        data,
        (i, j, k),
        dtype.newbyteorder(">" if is_big else "<"),
        samples=samples,
        volumes=math.prod(lengths[3:]),
        packing="zlib" if is_packed else "",
        base=place or 0 if is_packed else 0,
        start=0 if is_packed else place,
        sizes=(x, y, z),
        sized_by=sized_by,
        unit=unit_symbol(named.get("distanceunits", "")),
        place=found,
        notes=tuple(notes),
    )


_WRITE_AGAIN = "write it again with SimpleITK: WriteImage(ReadImage(old), new)"


def _flag(path: Path, named: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """A field that says yes or no, as MetaIO reads it: by its first letter. Raises BrokenSource."""
    text = named.get(name, str(default))
    if text[:1].lower() not in ("t", "f", "1", "0"):
        raise broken(path, f"its {name} is {text!r}; True or False are expected")
    return text[:1].lower() in ("t", "1")


def _data(path: Path, named: Mapping[str, str], end: int) -> tuple[Path, int | None]:
    """The file of the voxels, and where they begin in it; None where they end with the file. Raises SourceError."""
    name = named[LAST_FIELD]
    header_size = named.get("headersize", "0")
    if not re.fullmatch("-1|[0-9]{1,15}", header_size):
        raise broken(path, f"its HeaderSize is {header_size!r}; -1 or more is expected")
    skipped = int(header_size)
    if name.upper() == "LOCAL":
        return path, end + max(0, skipped)
    return data_beside(path, name, _WRITE_AGAIN), None if skipped < 0 else skipped


def _place(path: Path, named: Mapping[str, str], axes: int, sizes: Sequence[float]) -> tuple[Place | None, list[str]]:
    """Where the voxels lie, if the header says how its axes run, turned from ITK's LPS to RAS+; and notes."""
    by = next((it for it in ("TransformMatrix", "Orientation", "Rotation") if it.lower() in named), None)
    if by is None or axes < 3 or not sizes:
        return None, []
    matrix = np.eye(4)
    rows = np.reshape(numbers(path, by, named[by.lower()], axes**2), (axes, axes))  # each where an axis leads
    matrix[:3, :3] = rows[:3, :3].T * sizes[:3]  # a negative size turns its axis around, as in ITK
    offset = next((it for it in ("Offset", "Position", "Origin") if it.lower() in named), None)
    if offset:
        matrix[:3, 3] = numbers(path, offset, named[offset.lower()], axes)[:3]
    matrix[:2] *= -1
    # the letters say where an axis comes from, runs() where it leads
    said, led = named.get("anatomicalorientation", "").upper(), runs(matrix)
    notes: list[str] = []
    if led and re.fullmatch("(?=.*[RL])(?=.*[AP])(?=.*[SI])[RLAPSI]{3}", said) and said.translate(_FLIPPED) != led:
        told = f"AnatomicalOrientation says that its axes come from {said}, {by} that they run {led}: the latter counts"
        notes.append(WarningNote(told))
    return Place(matrix, by, of_body=True), notes
