"""Trees of image tiles for wkconvert: the two hooks. Importing this imports no format library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import Confidence, Layer, Match, hookimpl, parse_options

__version__ = "0.1.0"

FORMATS = {"tiles": "trees of image tiles, such as {z}/{y}/{x}.jpg and CATMAID's types 1, 4 and 5"}


@hookimpl
def wkconvert_detect(path: Path, options: Mapping[str, str]) -> Match | None:
    """Claim folders with numbered folders in them that lead to numbered pictures, or to what `-o pattern=` says."""
    from .layout import fits, recognise

    if pattern := options.get("pattern"):
        return Match("tiles", Confidence.EXACT, f"tiles named {pattern}") if fits(path, pattern) else None
    layout = recognise(path)
    return Match("tiles", Confidence.CONTENT, f"tiles named {layout}") if layout else None


@hookimpl
def wkconvert_open(format: str, path: Path, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open a tree of tiles; None for other formats."""
    if format not in FORMATS:
        return None
    from .opening import open_tiles

    return open_tiles(path, **parse_options(open_tiles, options))
