"""Reading boxes of voxels from a tree of tiles."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

import numpy as np

from wkconvert_core import Box, BrokenSource, InconsistentStack, Vec3Like, VolumeInfo
from wkconvert_core.toolkit.files import reading
from wkconvert_images.facts import Array, Facts, Raster

from .grid import Grid
from .pattern import Part
from .tile import channels, described, open_tile

_LARGEST = 4
"""Largest border tile, in multiples of the usual size: larger ones are overviews, and a risk to memory."""


@dataclass(frozen=True)
class Tree:
    """The files of the tiles, found by their names."""

    root: str
    parts: tuple[Part, ...]
    zoom: int
    witness: str
    """A tile that exists; if it does not, the whole tree is gone, and no tile counts as missing."""
    colors: bool = True
    """Whether palettes are applied."""
    invert: bool = True
    """Whether tiles whose white is 0 are inverted."""

    def open(self, path: str) -> Raster:
        """Open a tile of this tree. Raises BrokenSource, SourceNotFound, UnsupportedSource."""
        return open_tile(path, colors=self.colors, invert=self.invert)

    def path(self, index: Vec3Like) -> str | None:
        """The file of the tile at index (x, y, z), or None if it is missing. Raises BrokenSource."""
        numbers = dict(zip("xyz", index, strict=True), zoom=self.zoom)
        path = self.root
        for depth, part in enumerate(self.parts):
            named = ((f"{path}/{name}", _mode(f"{path}/{name}")) for name in part.names(numbers))
            path, mode = next((found for found in named if found[1]), ("", 0))
            if not mode or (depth + 1 < len(self.parts) and stat.S_ISLNK(mode)):
                if not _mode(self.witness):
                    why, fix = f"{self.witness} is gone", "bring it back"
                    raise BrokenSource(f"{self.root} is not what it was", why=why, fix=fix)
                return None
        return path

    def follower(self, index: Vec3Like, axis: int) -> str | None:
        """The file of the next tile to the right (axis 0) or below (axis 1), if there is one. Raises BrokenSource."""
        x, y, z = index
        return self.path((x + 1, y, z) if axis == 0 else (x, y + 1, z))


def _mode(path: str) -> int:
    """Type and permissions of an entry, links not followed; 0 where there is none. Raises BrokenSource."""
    with reading(path):
        try:
            return os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return 0


@dataclass(frozen=True)
class TileSource:
    """A volume of tiles; missing ones are zero."""

    tree: Tree
    grid: Grid
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box. Raises BrokenSource, UnsupportedSource, InconsistentStack."""
        x, y, z = box.shape
        voxels: Array = np.zeros((self.info.channels, z, y, x), self.info.dtype).transpose(0, 3, 2, 1)
        for index in self.grid.touched(box):
            if (path := self.tree.path(index)) is None:
                continue
            found = self.tree.open(path)
            self.check(path, index, found.facts)
            tile = Box(self.grid.cell(index).start, (found.facts.width, found.facts.height, 1))
            part = tile.intersection(box)
            if part.volume:  # a border tile may be smaller than its cell
                columns, rows, _ = part.slices_in(tile)
                out = voxels[:, *part.slices_in(box)][..., 0].transpose(2, 1, 0)
                with reading(path, Exception):  # damaged data make decoders raise anything
                    found.fill(out, rows.start, columns.start, found.facts.kept[: self.info.channels])
        return voxels

    @property
    def read_cost(self) -> float:
        """Area of the largest border tile in usual tiles: it is decoded whole for any part of it."""
        (width, height), (last_width, last_height) = self.grid.tile, self.grid.border
        return max(width, last_width) * max(height, last_height) / (width * height)

    def check(self, path: str, index: Vec3Like, facts: Facts) -> None:
        """Raise InconsistentStack for a tile that does not fit the others."""
        # a palette of greys also fits among colours
        fits = self.info.channels == channels(facts) or (self.info.channels == 3 and facts.kind == "grey palette")
        if facts.dtype != self.info.dtype or not fits:
            found, expected = described(facts.dtype, channels(facts)), described(self.info.dtype, self.info.channels)
            raise InconsistentStack(
                f"{path} is {found}, other tiles are {expected}",
                why="the tiles of a layer hold the same kind of pixels",
                fix="convert it, or take it away: a tile that is missing is zero",
            )
        for axis, size in enumerate((facts.width, facts.height)):
            if why := self._misfit(index, axis, size):
                width, height = self.grid.tile
                raise InconsistentStack(
                    f"{path} is {facts.width} x {facts.height} pixels, other tiles are {width} x {height}",
                    why=why,
                    fix="make it anew, or take it away: a tile that is missing is zero",
                )

    def _misfit(self, index: Vec3Like, axis: int, size: int) -> str:
        """Why the width (axis 0) or height of a tile is impossible; empty if it is not."""
        word, line, usual = ("width", "height")[axis], ("column", "row")[axis], self.grid.tile[axis]
        is_last = index[axis] == self.grid.last[axis]
        if size < usual and self.tree.follower(index, axis):
            return f"a tile follows {('to the right', 'below')[axis]}, so its {word} should be {usual}"
        if size > usual and not is_last:
            return f"only in the last {line}, {self.grid.last[axis]}, may a {word} be above {usual}"
        if size > _LARGEST * usual:
            return f"the last {line} may be larger than the others, but not more than {_LARGEST} times"
        if is_last and size > self.grid.border[axis]:
            return f"by the headers that were read first, the last {line} ends {self.grid.border[axis]} after its start"
        return ""
