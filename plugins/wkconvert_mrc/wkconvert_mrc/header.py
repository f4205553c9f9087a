"""The header of an MRC file: 1024 bytes, in either byte order, behind it an extended header, then the voxels.

The layout is that of MRC2014 (https://www.ccpem.ac.uk/mrc_format/mrc2014.php); stamp, flags, colours and 4-bit values
are IMOD's (https://bio3d.colorado.edu/imod/doc/mrc_format.txt).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wkconvert_core import Confidence, Match
from wkconvert_core.toolkit.files import broken, is_folder
from wkconvert_core.toolkit.folders import list_folder
from wkconvert_core.toolkit.volumes.inflated import bytes_of, inflated

HEADER_BYTES = 1024
_LAYOUT = "10i 6f 3i 3f 2i 12x i 40x 2i 36x 3f 4s"
_AXES = slice(64, 76)
"""The bytes of MAPC, MAPR and MAPS."""
_NAMED = (".mrc", ".mrcs")
_SUFFIXES = (*_NAMED, ".rec", ".st", ".ali", ".map")
_IMOD = 1146047817
"""The stamp of IMOD."""
_STANDARD = range(20140, 30000)
"""Versions of files that keep to MRC2014: ten times the year, and a number; others have anything in this place."""

MODES = {
    0: "bytes",
    1: "int16",
    2: "float32",
    3: "complex numbers of int16",
    4: "complex numbers of float32",
    6: "uint16",
    12: "float16",
    16: "colours",
    101: "values of 4 bits",
}
"""The voxels of each mode."""


@dataclass(frozen=True)
class Header:
    """The facts of a header. Columns are fastest in the file, then rows, then sections."""

    byte_order: Literal["<", ">"]
    lengths: tuple[int, int, int]
    """Number of columns, rows and sections."""
    mode: int
    starts: tuple[int, int, int]
    """Where the first column, row and section lie in the cell, in voxels."""
    intervals: tuple[int, int, int]
    """Number of voxels along the x, y and z of the cell."""
    cell: tuple[float, float, float]
    """Length of the cell along x, y and z, in Å."""
    angles: tuple[float, float, float]
    """Between y and z, x and z, x and y, in degrees."""
    axes: tuple[int, int, int]
    """The axes (0: x, 1: y, 2: z) along which columns, rows and sections are counted."""
    smallest: float
    largest: float
    """Least and greatest value, as the program that wrote the file says."""
    space_group: int
    extended_bytes: int
    version: int
    flags: int | None
    """IMOD's; None in files of other programs."""
    origin: tuple[float, float, float]
    """As stored, in Å; none in files from before 2000."""

    @property
    def start(self) -> int:
        """The first byte of the voxels."""
        return HEADER_BYTES + self.extended_bytes

    @property
    def keeps_to_standard(self) -> bool:
        """Whether the file says that it keeps to MRC2014."""
        return self.version in _STANDARD

    @property
    def is_stack_of_images(self) -> bool:
        """Whether its sections are images that lie in no order in space, such as tilts and particles."""
        return self.space_group == 0 and self.intervals[2] == 1 and self.lengths[2] > 1

    @property
    def is_plausible(self) -> bool:
        """Whether the numbers can be those of a header, which they are not in the wrong byte order."""
        is_volume = self.mode in MODES and min(self.lengths) > 0
        return is_volume and self.extended_bytes >= 0 and sorted(self.axes) == [0, 1, 2]


def detect(path: Path, head: bytes) -> Match | None:
    """The claim to a file by its header or, as far as nothing else is called so, its name; to a folder of slices."""
    if is_folder(path):
        count = len(slices(path))
        return Match("mrc", Confidence.CONTENT, f"{count} MRC files of one section each") if count else None
    name, head = path.name.lower().removesuffix(".gz"), inflated(head, HEADER_BYTES)
    header, is_marked = parse(head), _is_marked(head)
    if header and is_marked:
        return Match("mrc", Confidence.CONTENT, f"it has the header of an MRC file of {MODES[header.mode]}")
    if header and name.endswith(_SUFFIXES) and any(head[_AXES]):  # too many other files begin with a few small numbers
        return Match("mrc", Confidence.SUFFIX, "its name, and a header of MRC as before 2000")
    if name.endswith(_NAMED) or (is_marked and name.endswith(_SUFFIXES)):
        return Match("mrc", Confidence.SUFFIX, "its name ends like that of an MRC file")
    return None


def slices(folder: Path) -> list[str]:
    """The files of a folder that are slices of one stack: of one section each, their names alike but for numbers.

    Raises SourceNotFound, BrokenSource.
    """
    alike: dict[str, list[str]] = {}
    for name in list_folder(folder, (*_SUFFIXES, *(f"{suffix}.gz" for suffix in _SUFFIXES))).names:
        alike.setdefault(re.sub("[0-9]+", "0", name), []).append(name)
    numbered = max(alike.values(), key=len, default=[])
    if len(numbered) < 2:
        return []
    first = parse(_head(folder / numbered[0]))
    return numbered if first and first.lengths[2] == 1 else []


def read_header(path: Path) -> Header:
    """The header of a file. Raises SourceNotFound, BrokenSource."""
    head = _head(path)
    if len(head) < HEADER_BYTES:
        raise broken(path, f"its header has {len(head)} of {HEADER_BYTES} bytes", cut=True)
    if header := parse(head):
        return header
    wrong = _unpack(head, "<"), _unpack(head, ">")
    told = "; ".join(
        f"{name} endian it would be {' x '.join(map(str, one.lengths))} of mode {one.mode}, with its axes along "
        f"{', '.join(str(axis + 1) for axis in one.axes)} and an extended header of {one.extended_bytes} bytes"
        for name, one in zip(("little", "big"), wrong, strict=True)
    )
    modes = ", ".join(map(str, MODES))
    raise broken(path, f"its header is none of MRC, which has lengths above 0 and a mode of {modes}; {told}")


def _head(path: Path) -> bytes:
    """The first 1024 bytes of a file, inflated if it is compressed. Raises SourceNotFound, BrokenSource."""
    return inflated(bytes_of(path, 4096), HEADER_BYTES)


def parse(head: bytes) -> Header | None:
    """The header in the byte order in which it makes sense; None if it does in neither.

    >>> parse(bytes(1024)) is None
    True
    """
    if len(head) < struct.calcsize(f"<{_LAYOUT}"):
        return None
    found = [header for order in ("<", ">") if (header := _unpack(head, order)).is_plausible]
    return min(found, key=lambda header: max(header.lengths), default=None)  # 60 in the wrong order is 1,006,632,960


def _is_marked(head: bytes) -> bool:
    """Whether a file has the word that files from before 2000 lack, which have something else in its place."""
    return head[208:211] == b"MAP"


def _unpack(head: bytes, order: Literal["<", ">"]) -> Header:
    values = struct.unpack_from(order + _LAYOUT, head)
    mapped = values[16:19] if any(values[16:19]) else (1, 2, 3)  # old files say nothing
    is_of_imod = values[25] == _IMOD
    return Header(
        order,
        values[:3],
        values[3],
        values[4:7],
        values[7:10],
        values[10:13],
        values[13:16],
        (mapped[0] - 1, mapped[1] - 1, mapped[2] - 1),
        smallest=values[19],
        largest=values[20],
        space_group=values[22],
        extended_bytes=values[23],
        version=values[24],
        flags=values[26] if is_of_imod else None,
        origin=values[27:30] if _is_marked(head) else (0.0, 0.0, 0.0),
    )
