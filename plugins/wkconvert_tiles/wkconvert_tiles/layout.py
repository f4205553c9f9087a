"""Recognising a tree of tiles by its names, from a few of them.

CATMAID's tile source types are those of its documentation: 1 `z/row_col_zoom`, 4 `z/zoom/row_col`, 5 `zoom/z/row/col`;
row is the tile's index along y, col that along x. `z/y/x` is what wkcuber reads.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core import OptionError

from .pattern import parse

PICTURES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp", ".avif"}
    | {".jp2", ".j2k", ".jpx", ".tga", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""Suffixes of pictures."""
_LAYOUTS = {
    (2, 1): ("{z}/{y}/{x}", ""),
    (1, 3): ("{z}/{row}_{col}_{zoom}", "CATMAID type 1"),
    (2, 2): ("{z}/{zoom}/{row}_{col}", "CATMAID type 4"),
    (3, 1): ("{zoom}/{z}/{row}/{col}", "CATMAID type 5"),
}
"""The pattern for a number of numbered folders above, and of numbers in, a picture's name."""
_NUMBERS = re.compile(r"[0-9]+(?:_[0-9]+){0,2}")
_DEPTH = 3
_FOLDERS = 100
"""Folders that are looked into: some may be empty."""
_ENTRIES = 300
"""Entries of a folder that are looked at."""


@dataclass(frozen=True)
class Layout:
    """How the tiles of a tree are named."""

    pattern: str
    """`{z}/{y}/{x}.jpg`."""
    name: str
    """Who names them so, if it is known: `CATMAID type 4`."""

    def __str__(self) -> str:
        """`{z}/{zoom}/{row}_{col}.jpg (CATMAID type 4)`."""
        return self.pattern + (f" ({self.name})" if self.name else "")


@dataclass(frozen=True)
class _Folder:
    """The first entries of a folder."""

    numbered: list[str]
    """Paths of its numbered folders."""
    others: int
    """How many other folders, and pictures, it has."""
    tile: tuple[int, str] | None
    """How many numbers the first picture with a name of numbers has, and its suffix."""


def recognise(root: Path) -> Layout | None:
    """How the tiles below a folder are named; None where they are not, or where there is something else, too."""
    waiting = [(str(root), 0)]
    for _ in range(_FOLDERS):
        if not waiting:
            return None
        path, depth = waiting.pop()
        folder = _look(path)
        if depth == 0 and len(folder.numbered) < max(1, folder.others):
            return None
        if folder.tile and (layout := _LAYOUTS.get((depth, folder.tile[0]))):
            return Layout(layout[0] + folder.tile[1], layout[1])
        if depth < _DEPTH:
            waiting += [(inner, depth + 1) for inner in reversed(folder.numbered)]
    return None


def fits(root: Path, pattern: str) -> bool:
    """Whether a file below a folder is named as a pattern says; also where it is none: opening it says why."""
    try:
        parts = parse(pattern)
    except OptionError:
        return root.is_dir()
    waiting = [(str(root), 0)]
    for _ in range(_FOLDERS):
        if not waiting:
            return False
        path, depth = waiting.pop()
        named = [entry for entry in _entries(path) if parts[depth].digits(entry.name)]
        if depth == len(parts) - 1:
            if any(entry.is_file() for entry in named):
                return True
        else:
            waiting += [(entry.path, depth + 1) for entry in reversed(named) if entry.is_dir(follow_symlinks=False)]
    return False


def _entries(path: str) -> list[os.DirEntry[str]]:
    """The first entries of a folder; none if it may not be read, which whoever opens it will say."""
    try:
        with os.scandir(path) as found:
            return sorted(itertools.islice(found, _ENTRIES), key=lambda entry: entry.name)
    except OSError:
        return []


def _look(path: str) -> _Folder:
    visible = [entry for entry in _entries(path) if not entry.name.startswith(".")]
    folders = [entry for entry in visible if entry.is_dir(follow_symlinks=False)]
    pictures = [split for entry in visible if entry not in folders and (split := _picture(entry.name))]
    numbered = [entry.path for entry in folders if entry.name.isascii() and entry.name.isdecimal()]
    tiles = [(stem.count("_") + 1, suffix) for stem, suffix in pictures if _NUMBERS.fullmatch(stem)]
    return _Folder(numbered, len(folders) - len(numbered) + len(pictures), tiles[0] if tiles else None)


def _picture(name: str) -> tuple[str, str] | None:
    """The stem and the suffix of a picture's name."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - there may be thousands of names
    return (stem, suffix) if suffix.lower() in PICTURES else None
