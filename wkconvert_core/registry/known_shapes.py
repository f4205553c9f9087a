"""Recognising what missing readers would read, by names alone: a folder is the same thing, whatever is installed.

Without this, `{z}/{y}/{x}.jpg` would be a layer from each folder for those who lack the reader of tiles.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.errors import InconsistentStack, UnsupportedSource
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.registry.plugins import Plugins
from wkconvert_core.toolkit.naming.axes import axes_of
from wkconvert_core.toolkit.naming.choice import counted
from wkconvert_core.toolkit.naming.columns import Column, table
from wkconvert_core.toolkit.naming.words import axes
from wkconvert_core.toolkit.shortened import shorten

SUFFIXES = {
    "bioio": (".czi", ".dv", ".lif", ".nd2", ".oir", ".sldy"),
    "dm": (".dm3", ".dm4"),
    "hdf5": (".h5", ".hdf5", ".ims", ".emd", ".mat"),
    "itk": (".nrrd", ".nhdr", ".mha", ".mhd", ".gipl", ".gipl.gz", ".dcm"),
    "knossos": (".conf", ".zip"),
    "mrc": (".mrc", ".mrcs", ".rec", ".st", ".ali", ".map", ".mrc.gz", ".map.gz"),
    "ncem": (".ser",),
    "nifti": (".nii", ".nii.gz", ".hdr", ".img"),
    "tiff": (
        *(".tif", ".tiff", ".lsm", ".stk", ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".avif", ".jxl"),
        *(".jp2", ".j2k", ".jpx", ".pnm", ".pgm", ".ppm", ".pbm"),
    ),
    "tiles": (".jpg", ".jpeg", ".png", ".tif", ".tiff"),
    "zarr": (".zarr", ".ozx", ".n5"),
}
"""Suffixes of the files that the readers of each extra, `wkconvert[...]`, take; its first reader has its name."""
_PICTURE = r"\.(?i:jpe?g|jpe|png|tiff?|bmp|gif|webp|avif|jxl|jp2|j2k|jpx|tga|p[pgbn]m)"
_CUBES = re.compile(
    r"(?:(?:[^/]*mag)?[0-9]{1,9}/)?(?:x[0-9]{4,}/)?(?:y[0-9]{4,}/)?z[0-9]{4,}/[^/]+\.(?:raw|png|jpe?g|seg\.sz\.zip|jp2|j2k|seg)"
)
_TILES = (
    re.compile(rf"[0-9]+/[0-9]+/[0-9]+{_PICTURE}"),
    re.compile(rf"[0-9]+/[0-9]+_[0-9]+_[0-9]+{_PICTURE}"),
    re.compile(rf"[0-9]+/[0-9]+/[0-9]+_[0-9]+{_PICTURE}"),
    re.compile(rf"[0-9]+/[0-9]+/[0-9]+/[0-9]+{_PICTURE}"),
)
"""`{z}/{y}/{x}`, and CATMAID's types 1, 4 and 5, as wkconvert-tiles knows them."""
_PAIR = re.compile(rf"([0-9]+)/([0-9]+)_([0-9]+){_PICTURE}")
_ROW = re.compile(rf"([0-9]+)/([0-9]+){_PICTURE}")
_STAGE_GRID = re.compile(r"(?i)(pos_[0-9]+)_([0-9]+)$")
"""Folders of Micro-Manager's grid of positions, such as `1-Pos_000_001`."""
_ROW_OF_WELLS = re.compile("^(?=[A-P][0-9]{1,2}$)")
_DEPTH, _FOLDERS, _ENTRIES = 4, 100, 300
"""The part of a tree that is looked at: levels, folders, and entries of each."""
_DOZEN = 12
"""Up to so many numbered folders may be layers, if each holds more pictures than this."""


@dataclass(frozen=True)
class Tree:
    """A folder whose files belong together in a way that one reader knows."""

    reader: str
    what: str


def tree_at(folder: Path) -> Tree | None:
    """The tree that the names below a folder say it is as a whole; None for a folder of layers, or of anything else."""
    paths = list(_paths(folder))
    if any(map(_CUBES.fullmatch, paths)):
        return Tree("knossos", "a dataset of KNOSSOS")
    pictures = [path for path in paths if re.search(f"{_PICTURE}$", path)]
    numbered = sum(path.split("/")[0].isdecimal() for path in pictures)
    if 2 * numbered >= len(pictures) > 0:
        shape = next((path for path in pictures for one in _TILES if one.fullmatch(path)), None)
        if shape or _is_grid(pictures):
            return Tree("tiles", f"a tree of tiles, such as {shape or pictures[0]}")
        if _are_rows(pictures):
            return Tree("tiles", f"the tiles of a slice, or layers, such as {pictures[0]}")
    worded = [path for path in pictures if _says_x_and_y(path)]
    return Tree("tiles", f"a tree of tiles, such as {worded[0]}") if 2 * len(worded) > len(pictures) else None


def counted_by(folders: Sequence[str]) -> str:
    """Name what folders count that is not layers, by a word that leaves no doubt; empty for others.

    >>> counted_by(["t000", "t001", "t002"]), counted_by(["ch0", "ch1"]), counted_by(["raw", "labels"])
    ('3 time points (t 0, 1, 2)', '', '')
    >>> counted_by(["A1", "A2", "B1"])
    '3 wells (A1, A2, B1)'
    """
    columns = _columns([_ROW_OF_WELLS.sub("well ", _STAGE_GRID.sub(r"\1_Pos_\2", folder)) for folder in folders])
    said = [column for column in columns if column.kind and (column.is_firm or column.kind == "z")]
    return counted([axis for axis in axes_of(said) if axis.kind == axis.columns[0].kind]) if said else ""


def are_numbered(folders: Sequence[str]) -> bool:
    """Whether the names of folders differ in numbers that are no channels, as `scan1` and `scan2`."""
    return any(isinstance(column.values[0], int) and column.kind != "channel" for column in _columns(folders))


def told_of_files(folder: Path, names: Sequence[str], reader: str, *, are_slices: bool) -> list[WarningNote]:
    """The warning for files of a folder that become a layer each, if their names are numbered.

    Raises UnsupportedSource for names that count times, positions or wells, and, if all `are_slices`, for numbers.
    """
    fix = f"or, if each is a layer, put each into a folder of its name, or say so with --reader {reader}"
    if counts := counted_by(names):
        raise UnsupportedSource(
            f"the files in {folder} count {counts}, not layers: {shorten(names)}",
            why="a dataset shows one time, position or well, and slices are not joined from such files",
            fix=f"convert one of them, or join slices into one file; {fix}",
        )
    if not are_numbered(names):
        return []
    if are_slices:
        raise UnsupportedSource(
            f"the files in {folder} are numbered and hold one slice each: {shorten(names)}",
            why="they seem to be the slices of one stack, which are not joined from such files",
            fix=f"join them along z in one file, or save them as a stack of TIFF or PNG; {fix}",
        )
    told = f"each file of {folder.name} is a layer: {shorten(names)}"
    return [WarningNote(f"{told}; if their numbers count regions, runs or times, convert one of them")]


def check_no_slices(paths: Sequence[Path]) -> None:
    """Raise UnsupportedSource for folders with numbers for names, if no layer in them is deeper than a slice."""
    names = [path.name for path in paths]
    if len(names) > 1 and all(map(str.isdecimal, names)) and len({path.parent for path in paths}) == 1:
        raise UnsupportedSource(
            f"the folders in {paths[0].parent} are numbered and hold one slice each: {shorten(names)}",
            why="they seem to be the slices of one stack, in several channels",
            fix="put the pictures into one folder, the slice's number in each name, such as z0_ch0.png; or, if each is "
            "a layer, say so with --reader pictures (for TIFF --reader tiff)",
        )


def _columns(folders: Sequence[str]) -> Sequence[Column]:
    """The columns in which folders' names differ; none for T1 and T2 of magnetic resonance, and for unlike names."""
    try:
        found = table("", folders) if len(folders) > 1 else None
    except (InconsistentStack, UnsupportedSource):
        return ()
    if found is None or found.strays or any(one.word == "t" and {*one.values} <= {1, 2} for one in found.columns):
        return ()
    return found.columns


def names_below(folder: Path) -> list[str]:
    """The names of some of the files and folders below a folder."""
    return [part for path in _paths(folder) for part in path.split("/")]


def hints(names: Iterable[str], plugins: Plugins) -> list[str]:
    """Commands that install missing readers for files of these names, such as `pip install "wkconvert[nifti]"`."""
    files = [name.lower() for name in names]
    known = plugins.formats()
    return [
        f'pip install "wkconvert[{extra}]"'
        for extra, suffixes in SUFFIXES.items()
        if extra not in known and any(name.endswith(suffixes) for name in files)
    ]


def _paths(folder: Path) -> Iterator[str]:
    """Some of the files below a folder, as paths from there, without what is hidden or linked."""
    waiting = [("", 0)]
    for _ in range(_FOLDERS):
        if not waiting:
            return
        above, depth = waiting.pop()
        try:
            with os.scandir(folder / above) as found:
                shown = [entry for entry in itertools.islice(found, _ENTRIES) if not entry.name.startswith(".")]
                inner = [entry.name for entry in shown if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue  # opening it will say why
        yield from sorted(f"{above}{entry.name}" for entry in shown if entry.name not in inner)
        if depth < _DEPTH:
            waiting += [(f"{above}{name}/", depth + 1) for name in sorted(inner, reverse=True)]


def _says_x_and_y(path: str) -> bool:
    """Whether words in a path say x and y, one at least in the picture's name, as in `slice_5/row2_col3.png`."""
    *above, picture = (axes(part) for part in path.split("/"))
    places = {"x", "y"}
    return bool(above) and all(above) and bool(places & {*picture}) and places <= {*picture}.union(*above)


def _is_grid(pictures: Iterable[str]) -> bool:
    """Whether names are `{z}/{row}_{col}`: in a folder, several rows and columns, and each number comes again."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    for match in filter(None, map(_PAIR.fullmatch, pictures)):
        pairs.setdefault(match[1], []).append((match[2], match[3]))
    return any(all(1 < len({pair[at] for pair in inside}) < len(inside) for at in (0, 1)) for inside in pairs.values())


def _are_rows(pictures: Iterable[str]) -> bool:
    """Whether names are `{y}/{x}`, and rather rows of one slice than a few layers of many slices."""
    found = [match.groups() for match in map(_ROW.fullmatch, pictures) if match]
    rows = Counter(row for row, _ in found)
    if not found or (len(rows) <= _DOZEN and min(rows.values()) > _DOZEN):
        return False
    return max(Counter(int(column) for _, column in found).values()) > 1
