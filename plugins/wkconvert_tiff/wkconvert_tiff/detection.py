"""Telling whether a path is ours, from a few bytes and from names."""

from __future__ import annotations

from pathlib import Path

from wkconvert_core import Confidence, Match, SourceError

from .files import PICTURE_SUFFIXES, TIFF_SUFFIXES, list_folder
from .magic import kind_of


def detect(path: Path, head: bytes) -> Match | None:
    """The claim to a file by its content or, failing that, its name; to a folder by the pictures right in it."""
    if path.is_dir():
        return _folder(path)
    if kind := kind_of(head):
        return Match(_format(kind), Confidence.CONTENT, f"it starts like a {kind} file")
    return _by_suffix(path.name, "its name ends like that of a picture")


def _folder(path: Path) -> Match | None:
    try:
        listing = list_folder(path, TIFF_SUFFIXES + PICTURE_SUFFIXES)
    except SourceError:
        return None
    names = listing.names
    if not names or (len(names) == 1 and listing.folders):
        return None  # one picture beside folders is a preview, or one layer among others: core looks at each
    try:
        with (path / names[0]).open("rb") as file:
            kind = kind_of(file.read(64))
    except OSError:
        kind = None
    suffixes = sorted({Path(name).suffix.lower() for name in names})
    reason = f"{len(names)} {', '.join(suffixes)} {'files' if len(names) > 1 else 'file'}"
    if kind:
        return Match(_format(kind), Confidence.CONTENT, f"{reason}, the first a {kind}")
    return _by_suffix(names[0], reason)


def _format(kind: str) -> str:
    return "tiff" if kind == "TIFF" else "pictures"


def _by_suffix(name: str, reason: str) -> Match | None:
    lower = name.lower()
    if lower.endswith(TIFF_SUFFIXES):
        return Match("tiff", Confidence.SUFFIX, reason)
    return Match("pictures", Confidence.SUFFIX, reason) if lower.endswith(PICTURE_SUFFIXES) else None
