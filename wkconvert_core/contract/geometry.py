"""Vectors, boxes and mags: where voxels are, in whole numbers along x, y, z."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, TypeAlias

from wkconvert_core.contract.numbers import is_power_of_two, whole_number

Vec3Like: TypeAlias = tuple[int, int, int]
"""Where a vector is taken in, a plain tuple will do: `Box((0, 0, 0), (4, 4, 1))`. Whatever core hands out is a Vec3."""


class Vec3(NamedTuple):
    """Three whole numbers along x, y, z. Arithmetic is element by element, with any tuple of three numbers.

    It is a tuple: equal to a plain one, hashed like it, unpacked like it. Only `+` and `*` differ, which would join and
    repeat plain tuples; `(1, *shape)` puts numbers before a vector.

    >>> shape = Vec3(100, 100, 30)
    >>> shape + (1, 1, 1), shape - (0, 0, 10), shape * 2, shape * (1, 1, 2), -shape
    ((101, 101, 31), (100, 100, 20), (200, 200, 60), (100, 100, 60), (-100, -100, -30))
    >>> shape // 32, shape.ceildiv(32), shape.volume
    ((3, 3, 0), (4, 4, 1), 300000)
    >>> shape == (100, 100, 30), (1, *shape)
    (True, (1, 100, 100, 30))
    """

    x: int
    y: int
    z: int

    # mypy: a tuple's `+` joins and its `*` repeats, which no vector is asked to do
    def __add__(self, other: Vec3Like) -> Vec3:  # type: ignore[override]
        x, y, z = other
        return Vec3(self.x + x, self.y + y, self.z + z)

    def __sub__(self, other: Vec3Like) -> Vec3:
        x, y, z = other
        return Vec3(self.x - x, self.y - y, self.z - z)

    def __mul__(self, other: int | Vec3Like) -> Vec3:  # type: ignore[override]
        x, y, z = (other, other, other) if isinstance(other, int) else other
        return Vec3(self.x * x, self.y * y, self.z * z)

    def __rmul__(self, other: int | Vec3Like) -> Vec3:  # type: ignore[override]
        return self * other

    def __floordiv__(self, other: int | Vec3Like) -> Vec3:
        x, y, z = (other, other, other) if isinstance(other, int) else other
        return Vec3(self.x // x, self.y // y, self.z // z)

    def __neg__(self) -> Vec3:
        return Vec3(-self.x, -self.y, -self.z)

    def ceildiv(self, other: int | Vec3Like) -> Vec3:
        """The quotients, rounded up: how many chunks of shape `other` cover an extent."""
        x, y, z = (other, other, other) if isinstance(other, int) else other
        return Vec3(-(-self.x // x), -(-self.y // y), -(-self.z // z))

    def min(self, other: Vec3Like) -> Vec3:
        """The smaller number of each axis.

        >>> Vec3(4, 4, 1).min((2, 8, 8))
        (2, 4, 1)
        """
        x, y, z = other
        return Vec3(self.x if self.x < x else x, self.y if self.y < y else y, self.z if self.z < z else z)

    def max(self, other: Vec3Like) -> Vec3:
        """The larger number of each axis.

        >>> Vec3(4, 4, 1).max((2, 8, 8))
        (4, 8, 8)
        """
        x, y, z = other
        return Vec3(self.x if self.x > x else x, self.y if self.y > y else y, self.z if self.z > z else z)

    @property
    def volume(self) -> int:
        """The product: how many voxels a box of this shape has."""
        return self.x * self.y * self.z

    def __repr__(self) -> str:
        """`(4, 4, 1)`, as messages show it and the plans of runs record it."""
        return tuple.__repr__(self)


class Mag(Vec3):
    """A magnification: how many mag-1 voxels one voxel spans along x, y, z.

    >>> Mag(4, 4, 2) // Mag(2, 2, 1)  # so many voxels of the finer mag make one of the coarser
    (2, 2, 2)
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Mag:
        """Read `2` or `4-4-1`; raises ValueError for anything but powers of two.

        >>> Mag.parse("2"), Mag.parse("4-4-1")
        (Mag(x=2, y=2, z=2), Mag(x=4, y=4, z=1))
        >>> Mag.parse("3")
        Traceback (most recent call last):
        ValueError: '3' is no mag; a mag is a power of two such as 2, or three of them such as 4-4-1
        """
        parts = []
        with contextlib.suppress(ValueError):
            parts = [whole_number(part) for part in text.strip().split("-")]
        if len(parts) == 1:
            parts *= 3
        if len(parts) != 3 or not all(map(is_power_of_two, parts)):
            raise ValueError(f"{text!r} is no mag; a mag is a power of two such as 2, or three of them such as 4-4-1")
        return cls(*parts)

    def __str__(self) -> str:
        """The name of the mag's folder.

        >>> print(Mag(2, 2, 2), Mag(2, 2, 1))
        2 2-2-1
        """
        return str(self.x) if self.x == self.y == self.z else f"{self.x}-{self.y}-{self.z}"

    def __repr__(self) -> str:
        """`Mag(x=4, y=4, z=1)`, as the plans of runs record it."""
        return f"Mag(x={self.x}, y={self.y}, z={self.z})"


@dataclass(frozen=True, slots=True, init=False)
class Box:
    """A bounding box: a cuboid of voxels. `start` lies in it, `stop` is the first corner beyond it.

    Made of vectors or plain tuples; it holds vectors. Whether its voxels are a source's own (counted from 0), those of
    a mag where it lies in the dataset, or mag-1 voxels, is for whoever holds the box to say.

    >>> box = Box((10, 0, 0), (4, 4, 1))
    >>> print(box, "has", box.volume, "voxels up to", box.stop)
    x 10:14, y 0:4, z 0:1 has 16 voxels up to (14, 4, 1)
    """

    start: Vec3
    shape: Vec3

    def __init__(self, start: Vec3Like, shape: Vec3Like) -> None:
        # the way around `frozen`; most boxes come from vectors, and only plain tuples are made anew
        object.__setattr__(self, "start", start if type(start) is Vec3 else Vec3(*start))
        object.__setattr__(self, "shape", shape if type(shape) is Vec3 else Vec3(*shape))

    @classmethod
    def between(cls, start: Vec3Like, stop: Vec3Like) -> Box:
        """The box from `start` to `stop`; empty along an axis where they cross.

        >>> print(Box.between((0, 0, 5), (4, 4, 3)))
        x 0:4, y 0:4, z 5:5
        """
        return cls(start, (Vec3(*stop) - start).max((0, 0, 0)))

    @property
    def stop(self) -> Vec3:
        """The first corner beyond the box."""
        return self.start + self.shape

    @property
    def volume(self) -> int:
        """The number of its voxels."""
        return self.shape.volume

    def __contains__(self, other: Box) -> bool:
        """Whether every voxel of `other` lies in this box.

        >>> cube = Box((0, 0, 0), (3, 3, 3))
        >>> Box((1, 1, 1), (2, 2, 2)) in cube, Box((1, 1, 1), (2, 2, 3)) in cube
        (True, False)
        """
        return self.intersection(other) == other

    def __add__(self, by: Vec3Like) -> Box:
        """The same box, moved.

        >>> print(Box((10, 0, 0), (4, 4, 1)) + (1, 2, 3))
        x 11:15, y 2:6, z 3:4
        """
        return Box(self.start + by, self.shape)

    def __sub__(self, by: Vec3Like) -> Box:
        """The same box, moved back: seen from `by`.

        >>> print(Box((10, 0, 0), (4, 4, 1)) - (10, 0, 0))
        x 0:4, y 0:4, z 0:1
        """
        return Box(self.start - by, self.shape)

    def shifted(self, by: Vec3Like) -> Box:
        """The same box, moved: `box + by`."""
        return self + by

    def intersection(self, other: Box) -> Box:
        """The voxels in both boxes (perhaps none).

        >>> print(Box((0, 0, 0), (4, 4, 4)).intersection(Box((2, 2, 2), (9, 1, 9))))
        x 2:4, y 2:3, z 2:4
        """
        return Box.between(self.start.max(other.start), self.stop.min(other.stop))

    def spanning(self, other: Box) -> Box:
        """The smallest box that holds both.

        >>> print(Box((0, 0, 0), (4, 4, 4)).spanning(Box((8, 0, 2), (1, 1, 9))))
        x 0:9, y 0:4, z 0:11
        """
        return Box.between(self.start.min(other.start), self.stop.max(other.stop))

    def grown(self, by: Vec3Like) -> Box:
        """The box with `by` more voxels on either side.

        >>> print(Box((4, 4, 4), (2, 2, 2)).grown((1, 0, 3)))
        x 3:7, y 4:6, z 1:9
        """
        return Box(self.start - by, self.shape + by + by)

    def refined(self, factor: Vec3Like) -> Box:
        """The same place, in voxels that are `factor` times smaller.

        >>> print(Box((1, 1, 1), (2, 2, 2)).refined((2, 2, 1)))
        x 2:6, y 2:6, z 1:3
        """
        return Box(self.start * factor, self.shape * factor)

    def coarsened(self, factor: Vec3Like) -> Box:
        """Every voxel of a `factor` times coarser grid that touches the box; none of an empty axis.

        >>> print(Box((1, 2, 3), (4, 2, 0)).coarsened((2, 2, 2)))
        x 0:3, y 1:2, z 1:1
        """
        start = self.start // factor
        # the last factor is 0 for an axis without voxels: it touches no cell, though it may lie in the middle of one
        return Box(start, (self.stop.ceildiv(factor) - start) * self.shape.min((1, 1, 1)))

    def aligned(self, grid: Vec3Like) -> Box:
        """The smallest box of whole cells of a grid through 0 that holds this one.

        >>> print(Box((1, 2, 3), (4, 2, 1)).aligned((2, 2, 2)))
        x 0:6, y 2:4, z 2:4
        """
        return self.coarsened(grid).refined(grid)

    def tiles(self, shape: Vec3Like, origin: Vec3Like = (0, 0, 0)) -> Iterator[Box]:
        """The cells of a grid through `origin` that touch the box, clipped to it, x fastest, z slowest, one by one.

        >>> for tile in Box((0, 0, 0), (10, 4, 1)).tiles((4, 4, 4), origin=(2, 0, 0)):
        ...     print(tile)
        x 0:2, y 0:4, z 0:1
        x 2:6, y 0:4, z 0:1
        x 6:10, y 0:4, z 0:1
        """
        cells = (self - origin).coarsened(shape)
        (x0, y0, z0), (x1, y1, z1) = cells.start, cells.stop
        for z, y, x in product(range(z0, z1), range(y0, y1), range(x0, x1)):
            yield Box(Vec3(x, y, z) * shape + origin, shape).intersection(self)

    def count_tiles(self, shape: Vec3Like, origin: Vec3Like = (0, 0, 0)) -> int:
        """The number of boxes that `tiles` yields.

        >>> Box((0, 0, 0), (10, 4, 1)).count_tiles((4, 4, 4), origin=(2, 0, 0))
        3
        """
        return (self - origin).coarsened(shape).volume

    def slices_in(self, outer: Box) -> tuple[slice, slice, slice]:
        """The indices of this box in an array [x, y, z] that holds `outer`.

        >>> Box((12, 0, 4), (2, 4, 1)).slices_in(Box((10, 0, 0), (8, 8, 8)))
        (slice(2, 4, None), slice(0, 4, None), slice(4, 5, None))
        """
        (x, y, z), (width, height, depth) = self.start - outer.start, self.shape
        return slice(x, x + width), slice(y, y + height), slice(z, z + depth)

    def __str__(self) -> str:
        """`x 0:10, y 0:10, z 4:5`."""
        return ", ".join(f"{axis} {a}:{b}" for axis, a, b in zip("xyz", self.start, self.stop, strict=True))
