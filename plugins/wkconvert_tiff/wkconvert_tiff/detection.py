"""Recognising TIFF and pictures by their first bytes and by names."""

from __future__ import annotations

import re
from pathlib import Path

from wkconvert_core import Confidence, Match
from wkconvert_core.toolkit.files import is_folder
from wkconvert_core.toolkit.folders import first_of_stack
from wkconvert_images.headers.boxes import J2K, JP2, JXL
from wkconvert_images.headers.jpeg_xl import BARE

from .describing import described

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".tf2", ".lsm", ".stk")
PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".avif", ".jxl"),
    *(".jp2", ".j2k", ".jpx", ".pnm", ".pgm", ".ppm", ".pbm"),
)
COMPANION = ".companion.ome"
"""How the name of a file ends that holds the OME-XML of TIFF files beside it, and no pixels."""

_MAGICS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    JP2: "JPEG 2000",
    J2K: "JPEG 2000",
    JXL: "JPEG XL",
    BARE: "JPEG XL",
}
_SHORTEST = 8
"""Bytes of the shortest header: a magic number alone is not a picture."""


def kind_of(head: bytes) -> str | None:
    r"""TIFF, PNG or another kind of picture by the first 16 bytes, or None.

    >>> kind_of(b"II*\0\x08\0\0\0")
    'TIFF'
    """
    if len(head) < _SHORTEST:
        return None
    kind = next((kind for magic, kind in _MAGICS.items() if head.startswith(magic)), None)
    if kind == "BMP" and (len(head) < 14 or head[6:10] != bytes(4)):
        return None  # many a text starts with the same two letters
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF"
    return "PNM" if re.match(rb"P[1-6][ \t\r\n]+[0-9#]", head) else kind


def detect(path: Path, head: bytes) -> Match | None:
    """Claim a file by its content, else by its suffix; a folder by the pictures directly in it."""
    if is_folder(path):
        return _folder(path)
    if path.name.lower().endswith(COMPANION):
        is_ome = re.search(rb"<(\w+:)?OME[\s/>]", head) is not None
        return Match("tiff", Confidence.CONTENT, "OME-XML of TIFF files beside it") if is_ome else None
    if kind := kind_of(head):
        return Match(_format(kind), Confidence.CONTENT, _described(path, kind))
    return _by_suffix(path.name, "its name ends like that of a picture")


def _folder(path: Path) -> Match | None:
    found = first_of_stack(path, TIFF_SUFFIXES + PICTURE_SUFFIXES)
    if found is None:
        return None
    names, kind = found[0].names, kind_of(found[1])
    suffixes = sorted({Path(name).suffix.lower() for name in names})
    reason = f"{len(names)} {', '.join(suffixes)} {'files' if len(names) > 1 else 'file'}"
    if kind:
        first = _described(path / names[0], kind)
        as_named = first in ("TIFF of 1 page", f"{suffixes[0][1:].upper().replace('JPG', 'JPEG')} picture")
        return Match(_format(kind), Confidence.CONTENT, reason if as_named else f"{reason}, the first: {first}")
    return _by_suffix(names[0], reason)


def _described(path: Path, kind: str) -> str:
    return described(path) if kind == "TIFF" else f"{kind} picture"


def _format(kind: str) -> str:
    return "tiff" if kind == "TIFF" else "pictures"


def _by_suffix(name: str, reason: str) -> Match | None:
    lower = name.lower()
    if lower.endswith(TIFF_SUFFIXES):
        return Match("tiff", Confidence.SUFFIX, reason)
    return Match("pictures", Confidence.SUFFIX, reason) if lower.endswith(PICTURE_SUFFIXES) else None
