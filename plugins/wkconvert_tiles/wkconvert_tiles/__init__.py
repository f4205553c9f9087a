"""Trees of image tiles for wkconvert: the two hooks. Importing this imports no format library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import Confidence, Layer, Match, hookimpl, parse_options
from wkconvert_core.toolkit.files import is_folder

FORMATS = {"tiles": "trees of image tiles, such as {z}/{y}/{x}.jpg and CATMAID's types 1, 4 and 5"}


@hookimpl
def wkconvert_detect(path: Path | str, options: Mapping[str, str]) -> Match | None:
    """Claim folders with pictures in them that are named as tiles are, or as `-o pattern=` says.

    With an option that only this reader has, it also claims other folders of pictures, weakly, to report the error.
    """
    if isinstance(path, str) or not is_folder(path):
        return None
    from .numbered_layout import Doubt
    from .recognition import fits, misnamed, recognise

    pattern = options.get("pattern")
    if pattern and fits(path, pattern):
        return Match("tiles", Confidence.EXACT, f"tiles named {pattern}")
    found = None if pattern else recognise(path)
    if found:
        confidence = Confidence.EXACT if found.is_flat else Confidence.CONTENT
        return Match("tiles", confidence, f"{found}" if isinstance(found, Doubt) else f"tiles named {found}")
    if (pattern or "zoom" in options) and misnamed(path, pattern):
        return Match("tiles", Confidence.SUFFIX, "only this reader has the options `pattern` and `zoom`")
    return None


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open a tree of tiles; None for other formats."""
    if format not in FORMATS or isinstance(path, str):
        return None
    from .opening import open_tiles

    return open_tiles(path, **parse_options(open_tiles, options))
