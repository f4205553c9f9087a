"""Where cubes lie: `mag1/x0001/y0000/z0000/`, seen from any folder of a dataset.

The layout is the one that KNOSSOS and its Python tools write; a mag's folder may also be called `1` or `NAME_mag1`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core import InconsistentStack, Vec3Like
from wkconvert_core.toolkit.files import entries, is_folder, reading

PICTURES = (".raw", ".png", ".jpg", ".jpeg", ".jp2", ".j2k")
"""Suffixes of the cubes of an image; of several for one cube, the first is read."""
OVERLAYS = (".seg.sz.zip",)
"""Suffixes of the cubes of labels."""
UNREAD = (".seg",)
"""Suffixes of cubes that show that a folder is from KNOSSOS, but cannot be read."""

_MAG = re.compile(r"(?:.*mag)?([0-9]{1,9})")
_NUMBER = r"([0-9]{4}|[1-9][0-9]{4,8})"
_AXES = tuple(re.compile(axis + _NUMBER) for axis in "xyz")


@dataclass(frozen=True)
class Tree:
    """The cubes below a path."""

    mags: dict[int | None, Path]
    """The folders that hold `x0000` and so on, by the number in their name; None: no number."""
    part: tuple[int, ...] = ()
    """The first of the cubes' indices x, y, z, as many as the path fixes."""
    suffix: str | None = None
    """Suffix of the only cube, if the path is one."""


def locate(path: Path) -> Tree | None:
    """The cubes at or below a path: a dataset, a mag's folder, a folder or a cube in it; None without any."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - of `.`, too, the name counts; links stay as they are
    if not is_folder(path):
        suffix, part = suffix_of(path.name), _part(path.parent)
        if suffix is None or len(part) < 3:
            return None
        return Tree({_named_mag(path.parents[3]): path.parents[3]}, part, suffix)
    if _holds_cubes(path, ()):
        return Tree({_named_mag(path): path})
    if part := _part(path):
        above = path.parents[len(part) - 1]
        return Tree({_named_mag(above): above}, part) if _holds_cubes(above, part) else None
    mags: dict[int | None, Path] = {}
    for name in _folders(path):
        folder = path / name
        number = _named_mag(folder)
        if number is None or not _holds_cubes(folder, ()):
            continue
        if number in mags:
            raise InconsistentStack(
                f"{path} has two folders for mag {number}: {mags[number].name} and {name}",
                why="nothing says which of them to read",
                fix="convert one of them by itself, or move the other away",
            )
        mags[number] = folder
    return Tree(mags) if mags else None


def _named_mag(folder: Path) -> int | None:
    """The mag in a folder's name. Bare numbers must be powers of two: others are years and the like."""
    match = _MAG.fullmatch(folder.name)
    if match is None:
        return None
    number = int(match[1])
    plausible = number > 0 and ("mag" in folder.name or number & (number - 1) == 0)
    return number if plausible else None


def _part(path: Path) -> tuple[int, ...]:
    """The cubes' indices in the last folders of a path.

    >>> _part(Path("ds/mag1/x0001/y0002"))
    (1, 2)
    """
    for depth in (3, 2, 1):
        names = path.parts[-depth:]
        found = [axis.fullmatch(name) for axis, name in zip(_AXES, names, strict=False)]
        if len(names) == depth and all(found):
            return tuple(int(match[1]) for match in found if match)
    return ()


def _holds_cubes(folder: Path, part: tuple[int, ...]) -> bool:
    """Whether at least one cube lies in a mag's folder."""
    return any(any(map(suffix_of, names)) for _, names in walk(folder, part, []))


def walk(folder: Path, part: tuple[int, ...], skipped: list[str]) -> Iterator[tuple[Vec3Like, list[str]]]:
    """The indices x, y, z of each cube's folder below a mag's, and the names of its files, folder by folder.

    Folders that are named otherwise, and links to folders, are added to `skipped`. Raises BrokenSource for a folder
    that cannot be read.
    """
    for x, in_x in _level(folder, 0, part, skipped):
        for y, in_y in _level(in_x, 1, part, skipped):
            for z, in_z in _level(in_y, 2, part, skipped):
                yield (x, y, z), files(in_z)


def _level(folder: Path, axis: int, part: tuple[int, ...], skipped: list[str]) -> Iterator[tuple[int, Path]]:
    if axis < len(part):
        yield part[axis], folder / f"{'xyz'[axis]}{part[axis]:04}"
        return
    for name in _folders(folder, skipped):
        if match := _AXES[axis].fullmatch(name):
            yield int(match[1]), folder / name
        else:
            skipped.append(f"{folder.name}/{name}")


def _folders(folder: Path, skipped: list[str] | None = None) -> list[str]:
    """The folders in a folder, sorted, without links, which may lead out of the dataset or in circles."""
    found = entries(folder)
    if skipped is not None:
        links = [entry for entry in found if entry.is_link]
        # a lost link counts, too, if it has the name of a folder of cubes
        links = [one for one in links if one.is_folder or any(axis.fullmatch(one.name) for axis in _AXES)]
        skipped += [f"{folder.name}/{link.name} (a link)" for link in links]
    return [entry.name for entry in found if entry.is_folder and not entry.is_link]


def files(folder: Path) -> list[str]:
    """The names of all that lies in a cube's folder, sorted: what has a cube's name without being a file is refused."""
    return [entry.name for entry in entries(folder)]


def suffix_of(name: str) -> str | None:
    """The suffix of a cube's file; None for other names and hidden files."""
    lower = name.lower()
    return next((suffix for suffix in PICTURES + OVERLAYS + UNREAD if lower.endswith(suffix) and lower[0] != "."), None)


def cube_folder(folder: Path, index: Vec3Like, given: int) -> Path | None:
    """The folder of one cube, None if `walk` would not find it; the first `given` levels may be links."""
    for level, number in enumerate(index):
        folder = folder / f"{'xyz'[level]}{number:04}"
        with reading(folder):
            try:
                status = folder.stat() if level < given else folder.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not stat.S_ISDIR(status.st_mode):
            return None
    return folder


def best_name(names: list[str], suffixes: tuple[str, ...]) -> str | None:
    """The cube among the files of a folder: the one whose suffix comes first in `suffixes`; None without any."""
    found = [name for name in names if suffix_of(name) in suffixes]
    return min(found, key=lambda name: suffixes.index(suffix_of(name) or ""), default=None)
