"""Reading boxes of voxels from a tree of tiles."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wkconvert_core import Box, BrokenSource, InconsistentStack, Vec3Like, VolumeInfo

from .grid import Grid
from .pattern import Part
from .picture import Array, Facts, Rectangle
from .tile import read_pixels

_LARGEST = 4
"""How many usual tiles wide or high a border tile may be: what is larger is an overview, and a risk to memory."""


@dataclass(frozen=True)
class Tree:
    """The names of the tiles."""

    root: str
    parts: tuple[Part, ...]
    zoom: int
    witness: str
    """A tile that was there; if it is not, the whole tree has gone, and nothing counts as missing."""

    def path(self, index: Vec3Like) -> str | None:
        """The file of the tile at x, y, z, or None where there is none. Raises BrokenSource."""
        numbers = dict(zip("xyz", index, strict=True), zoom=self.zoom)
        with _readable(self.root):
            path = Path(self.root)
            for depth, part in enumerate(self.parts):
                found = next((path / name for name in part.names(numbers) if _exists(path / name)), None)
                if found is None or (depth + 1 < len(self.parts) and found.is_symlink()):
                    self._check_there()
                    return None
                path = found
        return str(path)

    def follower(self, index: Vec3Like, axis: int) -> str | None:
        """The file of the next tile to the right (axis 0) or below (axis 1), if there is one. Raises BrokenSource."""
        x, y, z = index
        return self.path((x + 1, y, z) if axis == 0 else (x, y + 1, z))

    def _check_there(self) -> None:
        if not _exists(Path(self.witness)):
            raise BrokenSource(f"{self.root} is not what it was", why=f"{self.witness} is gone", fix="bring it back")


@contextlib.contextmanager
def _readable(root: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BrokenSource(f"{error.filename or root} cannot be read", why=error.strerror or str(error)) from error


def _exists(path: Path) -> bool:
    """Whether there is such an entry; `exists` of pathlib takes whatever error of the file system for a no."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@dataclass(frozen=True)
class TileSource:
    """A volume of tiles; what is missing is zero."""

    tree: Tree
    grid: Grid
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box. Raises BrokenSource, UnsupportedSource, InconsistentStack."""
        x, y, z = box.shape
        voxels: Array = np.zeros((self.info.channels, z, y, x), self.info.dtype).transpose(0, 3, 2, 1)
        for index in self.grid.touched(box):
            if path := self.tree.path(index):
                self._fill(voxels, box, path, index)
        return voxels

    @property
    def read_cost(self) -> float:
        """How many usual tiles the largest border tile covers: it is decoded whole, for whatever part of it."""
        (width, height), (last_width, last_height) = self.grid.tile, self.grid.border
        return max(width, last_width) * max(height, last_height) / (width * height)

    def _fill(self, voxels: Array, box: Box, path: str, index: Vec3Like) -> None:
        """Decode a tile and copy its part of a box into the voxels `[c, x, y, z]`."""
        cell = self.grid.cell(index)

        def choose(facts: Facts) -> Rectangle:
            self.check(path, index, facts)
            tile = Box(cell.start, (facts.width, facts.height, 1))
            x, y, _ = tile.intersection(box).slices_in(tile)
            return x.start, y.start, x.stop, y.stop

        pixels = read_pixels(path, choose)[..., : self.info.channels].transpose(2, 1, 0)[..., np.newaxis]
        part = Box(cell.intersection(box).start, (pixels.shape[1], pixels.shape[2], 1))
        voxels[:, *part.slices_in(box)] = pixels

    def check(self, path: str, index: Vec3Like, facts: Facts) -> None:
        """Raise InconsistentStack for a tile that does not fit with the others."""
        if not facts.fits(self.info.dtype, self.info.channels):
            expected = Facts(0, 0, self.info.dtype, self.info.channels, False, ())
            raise InconsistentStack(
                f"{path} is {facts}, other tiles are {expected}",
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
        """What is wrong with the width (axis 0) or height of a tile; empty where nothing is."""
        word, line, usual = ("width", "height")[axis], ("column", "row")[axis], self.grid.tile[axis]
        is_last = index[axis] == self.grid.last[axis]
        if size < usual and self.tree.follower(index, axis):
            return f"a tile follows {('to the right', 'below')[axis]}, so its {word} should be {usual}"
        if size > usual and not is_last:
            return f"only in the last {line}, {self.grid.last[axis]}, may a {word} be above {usual}"
        if size > _LARGEST * usual:
            return f"the last {line} may be larger than the others, but not more than {_LARGEST} times"
        if is_last and size > self.grid.border[axis]:
            return (
                f"by the headers that were read at first, the last {line} ends {self.grid.border[axis]} after its start"
            )
        return ""
