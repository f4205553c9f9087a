"""Recognising tiles whose names are numbers alone, in numbered folders.

CATMAID's tile source types are those of its documentation: 1 `z/row_col_zoom`, 4 `z/zoom/row_col`, 5 `zoom/z/row/col`;
row is the tile's index along y, col that along x. `z/y/x` is what wkcuber reads.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.toolkit.files import is_folder, reading

PICTURES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp", ".avif", ".jxl"}
    | {".jp2", ".j2k", ".jpx", ".tga", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""Suffixes of pictures, in lower case."""
_LAYOUTS = {
    (2, 1): ("{z}/{y}/{x}", ""),
    (1, 3): ("{z}/{row}_{col}_{zoom}", "CATMAID type 1"),
    (2, 2): ("{z}/{zoom}/{row}_{col}", "CATMAID type 4"),
    (3, 1): ("{zoom}/{z}/{row}/{col}", "CATMAID type 5"),
}
"""Pattern and its name, by (number of numbered folders above a picture, number of numbers in its name)."""
_NUMBERS = re.compile(r"[0-9]+(?:_[0-9]+){0,2}")
_PAIRS = ("{z}/{row}_{col}", "CATMAID's without zoom")
DEPTH = 3
FOLDERS = 100
"""Folders to search for tiles: some may be empty."""
ENTRIES = 300
"""Entries of a folder to look at."""
DOZEN = 12
"""Up to so many numbered folders may be layers, if each holds more pictures than this."""


@dataclass(frozen=True)
class Layout:
    """How the tiles of a tree are named."""

    pattern: str
    """`{z}/{y}/{x}.jpg`."""
    name: str
    """The known name of this layout, such as `CATMAID type 4`, or empty."""

    def __str__(self) -> str:
        """`{z}/{zoom}/{row}_{col}.jpg (CATMAID type 4)`."""
        return self.pattern + (f" ({self.name})" if self.name else "")

    @property
    def is_flat(self) -> bool:
        """Whether the tiles lie directly in SRC, where they would otherwise be a stack."""
        return "/" not in self.pattern


@dataclass(frozen=True)
class Doubt:
    """Names that are, or may be, those of tiles, but do not say what each number counts."""

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
    """Paths of folders whose name is a number."""
    others: int
    """Number of its other folders and of its pictures."""
    tiles: list[tuple[tuple[int, ...], str]]
    """The numbers and the suffix of each picture whose name consists of numbers."""


def by_numbers(root: Path) -> Layout | Doubt | None:
    """Names that are numbers alone, in numbered folders."""
    waiting, rows = [(str(root), 0)], []
    for _ in range(FOLDERS):
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
        if depth < DEPTH:
            waiting += [(inner, depth + 1) for inner in reversed(folder.numbered)]
    return _one_slice(rows)


def _layout(depth: int, tiles: list[tuple[tuple[int, ...], str]]) -> tuple[str, str] | None:
    """Pattern and name of the layout of tiles in folders at a depth."""
    pairs = [(numbers[0], numbers[1]) for numbers, _ in tiles if len(numbers) == 2]
    if depth == 1 and len(tiles[0][0]) == 2 and is_grid(pairs):
        return _PAIRS
    return _LAYOUTS.get((depth, len(tiles[0][0])))


def is_grid(pairs: Sequence[tuple[int, int]]) -> bool:
    """Whether pairs of numbers are rows and columns: several of each, and each repeats.

    >>> is_grid([(0, 0), (0, 1), (1, 0), (1, 1)]), is_grid([(0, 5), (1, 6), (2, 7)])
    (True, False)
    """
    counts = [len({pair[at] for pair in pairs}) for at in (0, 1)]
    return all(1 < count < len(pairs) for count in counts)


def _one_slice(rows: list[list[tuple[tuple[int, ...], str]]]) -> Doubt | None:
    """The doubt about `{y}/{x}.png`, which may be layers as well; few folders of many pictures are taken for layers."""
    columns = Counter(numbers for row in rows for numbers, _ in row if len(numbers) == 1)
    are_layers = len(rows) <= DOZEN and all(len(row) > DOZEN for row in rows)
    if are_layers or max(columns.values(), default=0) < 2:
        return None
    suffix = rows[0][0][1]
    reader = "tiff" if suffix.lower() in (".tif", ".tiff") else "pictures"
    return Doubt(
        "numbered pictures in numbered folders are the tiles of one slice, or layers",
        f"say how they are named below SRC, -o pattern={{y}}/{{x}}{suffix} for one slice of tiles in rows (or such as "
        f"slice_{{z}}/{{y}}/{{x}}{suffix}), or --reader {reader} for a layer from each folder",
    )


def first_entries(path: str) -> list[os.DirEntry[str]]:
    """The first entries of a folder that are not hidden; none if it is no folder. Raises BrokenSource."""
    if not is_folder(path):
        return []
    with reading(path), os.scandir(path) as found:
        visible = [entry for entry in itertools.islice(found, ENTRIES) if not entry.name.startswith(".")]
        return sorted(visible, key=lambda entry: entry.name)


def _look(path: str) -> _Folder:
    visible = first_entries(path)
    folders = [entry for entry in visible if entry.is_dir(follow_symlinks=False)]
    pictures = [split for entry in visible if entry not in folders and (split := split_picture(entry.name))]
    numbered = [entry.path for entry in folders if entry.name.isascii() and entry.name.isdecimal()]
    tiles = [(tuple(map(int, stem.split("_"))), suffix) for stem, suffix in pictures if _NUMBERS.fullmatch(stem)]
    return _Folder(numbered, len(folders) - len(numbered) + len(pictures), tiles)


def split_picture(name: str) -> tuple[str, str] | None:
    """Stem and suffix of the name of a picture; None for other names.

    >>> split_picture("12_7.PNG"), split_picture("notes.txt")
    (('12_7', '.PNG'), None)
    """
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - there may be thousands of names
    return (stem, suffix) if suffix.lower() in PICTURES else None
