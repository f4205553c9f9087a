"""Detection, from a few bytes and from names."""

from __future__ import annotations

import struct
from pathlib import Path

from wkconvert_core import Confidence, Match, SourceError
from wkconvert_core.toolkit.files import list_folder

SUFFIXES = (".dm3", ".dm4")


def detect(path: Path, head: bytes) -> Match | None:
    """Claim a file by its content or, failing that, its name; a folder by the files right in it."""
    if path.is_dir():
        return _folder(path)
    if version := version_of(head):
        return Match("dm", Confidence.EXACT, f"it starts like a DM{version} file")
    if path.name.lower().endswith(SUFFIXES):
        return Match("dm", Confidence.SUFFIX, "its name ends like that of a DM file")
    return None


def version_of(head: bytes) -> int | None:
    """The version, 3 or 4, if `head` is the start of a DM file, else None.

    Version, size and byte order come first, then the root of the tag tree: two flags, the number of its tags, and the
    kind of the first, a group (20) or a value (21).
    """
    version = int.from_bytes(head[:4])
    layout = {3: ">II2BI", 4: ">QI2BQ"}.get(version)
    if layout is None or len(head) <= 4 + struct.calcsize(layout):
        return None
    _, little, is_sorted, is_open, tags = struct.unpack_from(layout, head, 4)
    flags = all(flag in (0, 1) for flag in (little, is_sorted, is_open))
    return version if flags and tags and head[4 + struct.calcsize(layout)] in (20, 21) else None


def _folder(path: Path) -> Match | None:
    try:
        listing = list_folder(path, SUFFIXES)
    except SourceError:
        return None
    names = listing.names
    if not names or (len(names) == 1 and listing.folders):
        return None  # one file beside folders is one layer among others: core looks at each
    try:
        with (path / names[0]).open("rb") as file:
            version = version_of(file.read(64))
    except OSError:
        version = None
    reason = f"{len(names)} DM {'files' if len(names) > 1 else 'file'}"
    return Match("dm", Confidence.CONTENT if version else Confidence.SUFFIX, reason)
