"""Which pictures these are, by their first bytes; imports no format library."""

from __future__ import annotations

_MAGICS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
}


_SHORTEST = 8
"""Bytes that are the least any of them starts with: a mark alone is no picture."""


def kind_of(head: bytes) -> str | None:
    """TIFF, PNG, JPEG or BMP, or None."""
    if len(head) < _SHORTEST:
        return None
    kind = next((kind for magic, kind in _MAGICS.items() if head.startswith(magic)), None)
    if kind == "BMP" and (len(head) < 14 or head[6:10] != bytes(4)):
        return None  # two letters alone are too easily the start of a text
    return kind
