"""The cubes of a mag and their headers, from one walk through its folder."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import Box, InconsistentStack, UnsupportedSource, Vec3, Vec3Like, WarningNote
from wkconvert_core.toolkit.shortened import shorten

from .cube_file import expected, found
from .tree import OVERLAYS, PICTURES, Tree, best_name, suffix_of, walk

KINDS = {"color": PICTURES, "segmentation": OVERLAYS}
"""The suffixes of the cubes of each category."""

_INDEX = re.compile(r"_x(\d+)_y(\d+)_z(\d+)\..*$")
_MODES = {"1": "black-and-white", "I": "32-bit", "F": "32-bit", "I;16": "16-bit", "I;16B": "16-bit"}
"""Names of Pillow's modes that are neither 8-bit grey nor colour."""
_AS_GREY = "write it again as an 8-bit grey picture"
_ANOTHER_EDGE = "write or copy it again; cubes of another edge need cube_edge_length in knossos.conf"


@dataclass
class Cubes:
    """The cubes of one category in one mag's folder."""

    folder: Path
    flat: array[int] = field(default_factory=lambda: array("i"))
    """x, y, z of one cube's index after another: 12 bytes for each of millions."""
    states: dict[tuple[str, str], Path] = field(default_factory=dict)
    """The first file for each suffix and content of the header (see `cube_file.found`)."""
    experiments: set[str] = field(default_factory=set)
    """Prefixes of the cubes' names, without the mag; none of cubes whose names are no cube's."""

    def __len__(self) -> int:
        """The number of cubes."""
        return len(self.flat) // 3

    @property
    def first(self) -> Path:
        """A cube."""
        return next(iter(self.states.values()))

    @property
    def experiment(self) -> str:
        """Prefix of the first cube's name, without the mag."""
        return _experiment(self.first.name)

    def add(self, index: Vec3Like, path: Path) -> None:
        """Add a cube, whose header is read. Raises BrokenSource, SourceNotFound, InconsistentStack."""
        if named := _INDEX.search(path.name):
            if tuple(map(int, named.groups())) != tuple(index):
                raise InconsistentStack(
                    f"{path} lies where another cube belongs",
                    why=f"its name says x {named[1]}, y {named[2]}, z {named[3]}",
                    fix="move it to the folder that its name says, or give it the name of its folder",
                )
            self.experiments.add(_experiment(path.name))
        self.flat.extend(index)
        self.states.setdefault((str(suffix_of(path.name)), found(path)), path)

    @property
    def _indices(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.array(self.flat, np.int64).reshape(-1, 3)

    def box(self, cube: Vec3Like) -> Box:
        """The smallest box that holds all cubes, in voxels."""
        low, high = self._indices.min(axis=0).tolist(), (self._indices.max(axis=0) + 1).tolist()
        return Box.between(Vec3(*low), Vec3(*high)).refined(cube)

    def inside(self, box: Box, cube: Vec3Like) -> int:
        """The number of cubes with voxels in a box."""
        return len(self._inside(box, cube))

    def lacking(self, finer: Cubes, factor: Vec3Like, box: Box, cube: Vec3Like) -> int:
        """The number of missing cubes where the `factor` times finer mag has cubes within `box` (in its voxels)."""
        places = np.unique(finer._inside(box, cube) // np.array(factor), axis=0)
        here = set(map(tuple, self._indices.tolist()))
        return sum(tuple(place) not in here for place in places.tolist())

    def _inside(self, box: Box, cube: Vec3Like) -> np.ndarray[Any, np.dtype[np.int64]]:
        starts = self._indices * np.array(cube)
        touching = (starts < np.array(box.stop)) & (starts + np.array(cube) > np.array(box.start)) & bool(box.volume)
        return self._indices.compress(touching.all(axis=1), axis=0)

    def check(self, cube: Vec3Like) -> None:
        """Raise UnsupportedSource for a file whose header is not that of a cube of this shape."""
        for (suffix, state), path in self.states.items():
            if state != (wanted := expected(suffix, cube)):
                right_edge = "pixels" in state and state.split(" of ")[0] == wanted.split(" of ")[0]
                raise UnsupportedSource(
                    f"{path} holds {state}",
                    why=f"a cube of {cube[0]} x {cube[1]} x {cube[2]} voxels holds {wanted}{_other_dtype(state, cube)}",
                    fix=_AS_GREY if right_edge else _ANOTHER_EDGE,
                )


def _experiment(name: str) -> str:
    """The experiment in a cube's name.

    >>> _experiment("ex_mag1_x0001_y0000_z0002.raw")
    'ex'
    """
    return re.sub(r"_mag\d+$", "", _INDEX.sub("", name))


def _other_dtype(state: str, cube: Vec3Like) -> str:
    """A guess at what else the file may be, as the end of a sentence."""
    if "pixels" in state and not state.endswith(" of L"):
        mode = state.rpartition(" ")[2]
        return f" (8-bit grey), and this is a {_MODES.get(mode, 'colour')} picture, which is not read"
    voxels, size = cube[0] * cube[1] * cube[2], state.removesuffix(" bytes")
    times = int(size) / voxels if size.isdecimal() else 0
    return f"; with {times:g} bytes a voxel it would fit, but KNOSSOS has one" if times in (2, 4, 8) else ""


@dataclass(frozen=True)
class Survey:
    """The cubes of a mag's folder."""

    cubes: dict[str, Cubes]
    """By category."""
    notes: list[str]
    """Notes on entries that are ignored."""


def survey(folder: Path, tree: Tree) -> Survey:
    """Walk through a mag's folder and read all headers. Raises BrokenSource, InconsistentStack for two of one cube."""
    cubes = {category: Cubes(folder) for category in KINDS}
    skipped: list[str] = []
    unread: Counter[str] = Counter()
    for index, names in walk(folder, tree.part, skipped):
        place = folder.joinpath(*(f"{axis}{number:04}" for axis, number in zip("xyz", index, strict=True)))
        chosen = {category: _chosen(place, names, suffixes, tree) for category, suffixes in KINDS.items()}
        for category, name in chosen.items():
            if name is not None:
                cubes[category].add(index, place / name)
        unread.update(_ending(name) for name in names if name not in chosen.values())
    kinds = [f"{count} {ending}" for ending, count in unread.most_common()]
    notes = [f"other files in {folder.name} left out ({unread.total()} in all): {shorten(kinds)}"] if kinds else []
    notes += [f"left out, as no cubes belong there: {shorten(skipped)}"] if skipped else []
    return Survey(cubes, list(map(WarningNote, notes)))


def _chosen(place: Path, names: list[str], suffixes: tuple[str, ...], tree: Tree) -> str | None:
    if tree.suffix is not None:
        suffixes = tuple(suffix for suffix in suffixes if suffix == tree.suffix)
    best = best_name(names, suffixes)
    twins = [name for name in names if best and suffix_of(name) == suffix_of(best)]
    if len(twins) > 1:
        raise InconsistentStack(
            f"two cubes lie in {place}: {twins[0]} and {twins[1]}",
            why="nothing says which of them to read",
            fix="move one away",
        )
    return best


def _ending(name: str) -> str:
    """The text behind the index in a cube's name; of other names, the last suffix.

    >>> _ending("ex_mag1_x0001_y0000_z0002.6.jp2"), _ending("notes.old.txt")
    ('.6.jp2', '.txt')
    """
    index = _INDEX.search(name)
    return name[name.index(".", index.start()) :] if index else Path(name).suffix or "without a suffix"
