"""The elements of a DICOM file, walked before GDCM sees it: GDCM takes memory for any length that is written there."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TypeAlias

from wkconvert_core import UnsupportedSource
from wkconvert_core.toolkit.files import broken, open_file, reading

IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
"""Transfer syntaxes that are written otherwise than explicit and little endian."""

_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.2(\.1|\.1\.99|\.2|\.4\.[0-9]{2,3}|\.5)?")
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
"""Value representations whose length takes four bytes (PS3.5, 7.1.2)."""
_SHORT = (
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
)  # fmt: skip
"""The others, whose length takes two."""
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_ENDS, _SEQUENCE_ENDS = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_PIXELS = (0x7FE0, 0x0010)
_DEEPEST = 32


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM: a preamble of 128 bytes, then the magic."""
    return head[128:132] == b"DICM"


Tag: TypeAlias = tuple[int, int]
"""Group and element."""

SOP_CLASS, SYNTAX = (0x0002, 0x0002), (0x0002, 0x0010)
_LONGEST = 1024
"""Bytes of the longest value that is kept."""


@dataclass(frozen=True)
class Elements:
    """The short elements of a file that lie in no sequence, as their bytes; pixels are not among them."""

    path: str
    values: Mapping[Tag, bytes]
    order: str
    """`<` or `>`: the byte order of binary values."""

    @property
    def pixel_bytes(self) -> int | None:
        """Bytes of the pixels; a large number where they are compressed, None where there are none."""
        found = self.values.get(_PIXELS)
        return None if found is None else int.from_bytes(found, "little")

    def text(self, group: int, element: int) -> str:
        """A text without what fills it up; empty where there is none."""
        return self.values.get((group, element), b"").decode("utf-8", "replace").strip(" \0")

    def short(self, group: int, element: int, default: int | None = None) -> int:
        """A binary number of 16 bits. Raises BrokenSource where there is none and no default."""
        value = self.values.get((group, element), b"")
        if len(value) == 2:
            return int.from_bytes(value, "big" if self.order == ">" else "little")
        if default is None:
            raise broken(self.path, f"its element ({group:04x},{element:04x}) is {value!r}, which is no number")
        return default

    def whole(self, group: int, element: int, default: int) -> int:
        """A whole number that is written as text; the default where it is none."""
        text = self.text(group, element)
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,10}", text) else default

    def floats(self, group: int, element: int, count: int) -> tuple[float, ...] | None:
        """Parse numbers that are written as text; None where the element is missing or empty. Raises BrokenSource."""
        if not (text := self.text(group, element)):
            return None
        try:
            found = tuple(float(number) for number in text.split("\\"))
        except ValueError:
            found = ()
        if len(found) != count or not all(map(math.isfinite, found)):
            raise broken(
                self.path, f"its element ({group:04x},{element:04x}) is {text!r}; {count} numbers are expected"
            )
        return found


def read_elements(path: str) -> Elements:
    """Walk a file from element to element, past its pixels.

    Raises BrokenSource if it is no DICOM, or where a length leads beyond the end of what holds it, UnsupportedSource
    if it is deflated.
    """
    with reading(path), open_file(path) as file:
        if not is_dicom(file.read(132)):
            raise broken(path, "DICM does not stand at byte 128")
        size = file.seek(0, 2)
        file.seek(132)
        values = _file_meta(path, file, size)
        syntax = values.get(SYNTAX, b"").decode("ascii", "replace").strip(" \0")
        if not _SYNTAX.fullmatch(syntax):
            why = f"its transfer syntax is {syntax!r}, which DICOM does not know"
            raise broken(path, why)  # and GDCM would take it for another
        if syntax == DEFLATED:
            fix = "write it in another transfer syntax, for example with dcmtk's dcmconv"
            raise UnsupportedSource(f"{path} is deflated", why="its elements cannot be walked", fix=fix)
        order = ">" if syntax == BIG_ENDIAN else "<"
        _Walk(Path(path), file, order, is_explicit=syntax != IMPLICIT).elements(size, values)
    return Elements(path, values, order)


def _file_meta(path: str, file: BufferedReader, size: int) -> dict[Tag, bytes]:
    """The elements of group 2, which are always explicit and little endian (PS3.10, 7.1)."""
    found = {}
    while len(file.peek(2)) >= 2 and file.peek(2)[:2] == b"\x02\x00":
        tag, _, length = _Walk(Path(path), file, "<", is_explicit=True).header(size)
        found[tag] = file.read(length)
    return found


@dataclass(frozen=True)
class _Walk:
    """A file that is walked in one encoding."""

    path: Path
    file: BufferedReader
    order: str
    is_explicit: bool

    def header(self, end: int) -> tuple[tuple[int, int], bytes, int]:
        """Tag, value representation and length of the next element. Raises BrokenSource if it leads beyond `end`."""
        start = self.file.tell()
        head = self.file.read(8)
        if len(head) < 8:
            raise broken(self.path, f"an element at byte {start} has no length", cut=True)
        group, element = struct.unpack_from(self.order + "HH", head)
        kind = head[4:6] if self.is_explicit and group != 0xFFFE else b""
        if not kind:
            (length,) = struct.unpack_from(self.order + "I", head, 4)
        elif kind in _LONG:
            (length,) = struct.unpack(self.order + "I", self.file.read(4).ljust(4, b"\0"))
        elif kind in _SHORT:
            (length,) = struct.unpack_from(self.order + "H", head, 6)
        else:
            raise broken(self.path, f"its element ({group:04x},{element:04x}) has the value representation {kind!r}")
        if length != _UNDEFINED and (place := self.file.tell()) + length > end:
            why = f"its element ({group:04x},{element:04x}) ends at byte {place + length}, what holds it at {end}"
            raise broken(self.path, why, cut=True)
        return (group, element), kind, length

    def elements(self, end: int, found: dict[Tag, bytes] | None = None, depth: int = 0) -> None:
        """Walk the elements up to a byte, or to the end of an item of undefined length; put short ones into `found`."""
        while self.file.tell() < end:
            tag, kind, length = self.header(end)
            if tag in (_ITEM_ENDS, _SEQUENCE_ENDS):
                return
            starts = self.file.peek(4)[:4] == struct.pack(self.order + "HH", *_ITEM)
            if tag == _PIXELS and found is not None:
                found[tag] = length.to_bytes(4, "little")
            if tag == _PIXELS and length == _UNDEFINED:
                self._fragments(end)
            elif length == _UNDEFINED or (starts and kind in (b"", b"SQ", b"UN")):
                self._items(end if length == _UNDEFINED else self.file.tell() + length, depth + 1)
            elif found is not None and length <= _LONGEST and tag != _PIXELS:
                found[tag] = self.file.read(length)
            else:
                self.file.seek(length, 1)

    def _items(self, end: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise broken(self.path, f"its sequences are more than {_DEEPEST} deep")
        while self.file.tell() < end:
            tag, _, length = self.header(end)
            if tag != _ITEM:
                return
            self.elements(end if length == _UNDEFINED else self.file.tell() + length, depth=depth)

    def _fragments(self, end: int) -> None:
        """Compressed pixels: items of bytes, and the end of their sequence."""
        while (header := self.header(end))[0] != _SEQUENCE_ENDS:
            tag, _, length = header
            if tag != _ITEM or length == _UNDEFINED:
                raise broken(self.path, f"its compressed pixels go on with {tag[0]:04x},{tag[1]:04x}, which is no item")
            self.file.seek(length, 1)
