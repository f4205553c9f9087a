"""Recognising a tree of tiles by its names, from a few of them.

CATMAID's tile source types are those of its documentation: 1 `z/row_col_zoom`, 4 `z/zoom/row_col`, 5 `zoom/z/row/col`;
row is the tile's index along y, col that along x. `z/y/x` is what wkcuber reads.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core import OptionError

from .pattern import parse
from .worded import is_grid, pattern_of, said_to_be_tiles, texts, with_fields

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
_PAIRS = ("{z}/{row}_{col}", "CATMAID's without zoom")
_DEPTH = 3
_FOLDERS = 100
"""Folders that are looked into: some may be empty."""
_ENTRIES = 300
"""Entries of a folder that are looked at."""
_DOZEN = 12
"""Numbered folders that may be layers, if each holds more pictures than this."""


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

    @property
    def is_flat(self) -> bool:
        """Whether the tiles lie in SRC itself, where they would else be a stack."""
        return "/" not in self.pattern


@dataclass(frozen=True)
class Doubt:
    """Names that are those of tiles, or may be, and leave open which number counts what."""

    why: str
    fix: str
    is_flat: bool = False

    def __str__(self) -> str:
        """The reason."""
        return self.why


@dataclass(frozen=True)
class _Folder:
    """The first entries of a folder."""

    numbered: list[str]
    """Paths of its numbered folders."""
    others: int
    """How many other folders, and pictures, it has."""
    tiles: list[tuple[tuple[int, ...], str]]
    """The numbers of each picture that has a name of numbers alone, and its suffix."""


def recognise(root: Path) -> Layout | Doubt | None:
    """How the tiles below a folder are named; None where they are not, or where there is something else, too."""
    return _by_numbers(root) or _by_words(root)


def _by_numbers(root: Path) -> Layout | Doubt | None:
    """Names that are numbers alone, in numbered folders."""
    waiting, rows = [(str(root), 0)], []
    for _ in range(_FOLDERS):
        if not waiting:
            break
        path, depth = waiting.pop()
        folder = _look(path)
        if depth == 0 and len(folder.numbered) < max(1, folder.others):
            return None
        if folder.tiles and (layout := _layout(depth, folder.tiles)):
            return Layout(layout[0] + folder.tiles[0][1], layout[1])
        if folder.tiles and depth == 1:
            rows.append(folder.tiles)
        if depth < _DEPTH:
            waiting += [(inner, depth + 1) for inner in reversed(folder.numbered)]
    return _one_slice(rows)


def _layout(depth: int, tiles: list[tuple[tuple[int, ...], str]]) -> tuple[str, str] | None:
    """The pattern of tiles in folders of a depth, and its name."""
    pairs = [(numbers[0], numbers[1]) for numbers, _ in tiles if len(numbers) == 2]
    if depth == 1 and len(tiles[0][0]) == 2 and is_grid(pairs):
        return _PAIRS
    return _LAYOUTS.get((depth, len(tiles[0][0])))


def _one_slice(rows: list[list[tuple[tuple[int, ...], str]]]) -> Doubt | None:
    """The doubt about `{y}/{x}.png`, which may as well be layers: few folders of many pictures each are."""
    columns = Counter(numbers for row in rows for numbers, _ in row if len(numbers) == 1)
    are_layers = len(rows) <= _DOZEN and all(len(row) > _DOZEN for row in rows)
    if are_layers or max(columns.values(), default=0) < 2:
        return None
    suffix = rows[0][0][1]
    reader = "tiff" if suffix.lower() in (".tif", ".tiff") else "pictures"
    return Doubt(
        "numbered pictures in numbered folders are the tiles of one slice, or layers",
        f"say how they are named below SRC, -o pattern={{y}}/{{x}}{suffix} for one slice of tiles in rows (or such as "
        f"slice_{{z}}/{{y}}/{{x}}{suffix}), or --reader {reader} for a layer from each folder",
    )


def _by_words(root: Path) -> Layout | Doubt | None:
    """Names with words that say what is counted, in folders that are named alike."""
    path, above = str(root), list[str]()
    for _ in range(_DEPTH + 1):
        visible = [entry for entry in _entries(path) if not entry.name.startswith(".")]
        folders = [entry.name for entry in visible if entry.is_dir(follow_symlinks=False)]
        names = [entry.name for entry in visible if entry.name not in folders and _picture(entry.name)]
        if len(names) >= len(folders):
            return _worded(above, names) if names else None
        alike = [name for name in folders if texts(name) == texts(folders[0])]
        if 2 * len(alike) < len(folders) + len(names) or len(texts(folders[0])) < 3:
            return None
        path, above = f"{path}/{folders[0]}", [*above, folders[0]]
    return None


def _worded(above: list[str], names: list[str]) -> Layout | Doubt | None:
    if pattern := pattern_of(above, names):
        return Layout(pattern, "")
    if not (places := said_to_be_tiles(names)) or any(len(texts(name)) != 3 for name in above):
        return None
    folder = "".join(with_fields(name, {0: "z"}) + "/" for name in above[:1])
    tiles = [folder + with_fields(names[0], dict(zip(places, fields, strict=True))) for fields in ("yx", "xy")]
    if len(above) > 1:
        tiles = ["{z}/tile_{y}_{x}.png"]
    return Doubt(
        f"{names[0]} says that it is a tile, but not which of its numbers is the row",
        f"say -o pattern={' or -o pattern='.join(tiles)}",
        is_flat=not above,
    )


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


def misnamed(root: Path, pattern: str | None) -> bool:
    """Whether there are pictures below a folder, though none in it or in the folders below is tiles of this name."""
    inner = [Path(entry.path) for entry in _entries(str(root)) if entry.is_dir(follow_symlinks=False)][:_DOZEN]
    if any(fits(path, pattern) if pattern else recognise(path) for path in inner):
        return False
    found = itertools.islice(os.walk(root), _FOLDERS)
    return any(_picture(name) for _, _, names in found for name in names[:_ENTRIES])


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
    tiles = [(tuple(map(int, stem.split("_"))), suffix) for stem, suffix in pictures if _NUMBERS.fullmatch(stem)]
    return _Folder(numbered, len(folders) - len(numbered) + len(pictures), tiles)


def _picture(name: str) -> tuple[str, str] | None:
    """The stem and the suffix of a picture's name."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - there may be thousands of names
    return (stem, suffix) if suffix.lower() in PICTURES else None
