"""The first bytes of files: all that detection needs to know of the formats."""

from __future__ import annotations

import re

from wkconvert_core import BrokenSource
from wkconvert_core.toolkit.files import broken

NRRD = b"NRRD000"
GIPL_BYTES = 256
"""Bytes of a header of GIPL."""
DICOM_BYTES = 132
"""Bytes up to the end of the magic of DICOM."""
_GIPL = (0xEFFFE9B0, 0x2AE389B8)
_FIELD = re.compile(rb"[ \t]*([A-Za-z]\w*)[ \t]*=[ \t]*([^\r\n]*?)[ \t]*\r?\n")
LAST_FIELD = "elementdatafile"
"""The field that ends a header of MetaImage."""


def fields_of_metaimage(head: bytes) -> list[re.Match[bytes]]:
    """The fields that follow one another from the first byte on, up to the last one of a header."""
    found: list[re.Match[bytes]] = []
    place = 0
    while match := _FIELD.match(head, place):
        found.append(match)
        place = match.end()
        if match[1].lower() == LAST_FIELD.encode():
            break
    return found


def is_metaimage(head: bytes) -> bool:
    """Whether these first bytes are those of a MetaImage: fields, of which one says how many axes there are."""
    names = [match[1].lower() for match in fields_of_metaimage(head)]
    return b"ndims" in names and any(name in names for name in (b"dimsize", b"elementtype", b"elementdatafile"))


def is_gipl(head: bytes) -> bool:
    """Whether these first bytes are those of a GIPL file: its magic number ends the header."""
    return len(head) >= GIPL_BYTES and int.from_bytes(head[252:256], "big") in _GIPL


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM: a preamble of 128 bytes, then the magic (PS3.10, 7.1)."""
    return head[128:132] == b"DICM"


def check_dicom(path: str, head: bytes) -> None:
    """Raise BrokenSource unless a file begins as DICOM does."""
    if not head:
        raise BrokenSource(f"{path} is empty", why="the file has 0 bytes", fix="write or copy it again, or remove it")
    if len(head) < DICOM_BYTES:
        raise broken(path, f"it has {len(head)} bytes, and DICOM begins with {DICOM_BYTES}", cut=True)
    if not is_dicom(head):
        fix = "write or copy it again; if it is DICOM that begins with its elements, dcmtk's dcmconv adds the rest"
        raise broken(path, "DICM does not stand at byte 128", fix=fix)
