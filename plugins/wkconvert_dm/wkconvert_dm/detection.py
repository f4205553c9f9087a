"""Detection, from a few bytes and from names."""

from __future__ import annotations

import struct
from pathlib import Path

from wkconvert_core import Confidence, Match
from wkconvert_core.toolkit.files import is_folder
from wkconvert_core.toolkit.folders import first_of_stack

SUFFIXES = (".dm3", ".dm4")


def detect(path: Path, head: bytes) -> Match | None:
    """Claim a file by its content or, failing that, its name; a folder by the files right in it."""
    if is_folder(path):
        if (found := first_of_stack(path, SUFFIXES)) is None:
            return None
        count, sure = len(found[0].names), version_of(found[1])
        reason = f"{count} DM {'files' if count > 1 else 'file'}"
        return Match("dm", Confidence.CONTENT if sure else Confidence.SUFFIX, reason)
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
