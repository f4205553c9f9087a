"""The grid of tiles: cells of one size, except that the last column and the last row may be smaller or larger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wkconvert_core import Box, Vec3, Vec3Like


@dataclass(frozen=True)
class Grid:
    """The cells of a tree of tiles; its voxels count from the corner of the first cell.

    Two columns and two rows of tiles of 16 x 12 pixels, the last column 5 and the last row 20 pixels large:

    >>> grid = Grid(first=(3, 0, 7), last=(4, 1, 7), tile=(16, 12), border=(5, 20))
    >>> grid.shape, grid.offset, grid.cells
    ((21, 32, 1), (48, 0, 7), 4)
    >>> str(grid.cell((4, 1, 7)))
    'x 16:21, y 12:32, z 0:1'
    >>> list(grid.touched(Box((0, 0, 0), (17, 5, 1))))
    [(3, 0, 7), (4, 0, 7)]
    """

    first: Vec3Like
    """The smallest index of a tile along x, y, z."""
    last: Vec3Like
    """The largest index."""
    tile: tuple[int, int]
    """Width and height of a tile, except in the last column or row."""
    border: tuple[int, int]
    """Width of the last column and height of the last row, in pixels."""

    @property
    def shape(self) -> Vec3Like:
        """Extent of the volume in voxels."""
        _, _, z = self._corner((0, 0, self.last[2] + 1))
        x, y, _ = self._corner(self.last)
        return x + self.border[0], y + self.border[1], z

    @property
    def offset(self) -> Vec3:
        """Position of the first voxel if tile (0, 0) begins at the origin."""
        return Vec3(*self.first) * (*self.tile, 1)

    @property
    def cells(self) -> int:
        """Number of cells, with or without a tile."""
        return (Vec3(*self.last) - self.first + (1, 1, 1)).volume

    def cell(self, index: Vec3Like) -> Box:
        """The voxels of a cell."""
        start = self._corner(index)
        sizes = [self.border[axis] if index[axis] == self.last[axis] else self.tile[axis] for axis in (0, 1)]
        return Box(start, (sizes[0], sizes[1], 1))

    def touched(self, box: Box) -> Iterator[Vec3Like]:
        """The indices of the cells that a box touches."""
        (x0, y0, z0), (x1, y1, z1) = self._index(box.start), self._index(box.stop - (1, 1, 1))
        if box.volume:
            yield from ((x, y, z) for z in range(z0, z1 + 1) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1))

    def _corner(self, index: Vec3Like) -> Vec3:
        return (Vec3(*index) - self.first) * (*self.tile, 1)

    def _index(self, voxel: Vec3) -> Vec3:
        """The cell of a voxel; the last column and row are one cell however large they are."""
        return (voxel // (*self.tile, 1) + self.first).min(self.last)
