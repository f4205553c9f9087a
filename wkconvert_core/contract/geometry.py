"""Boxes and mags: where voxels are, in whole numbers, axes x, y, z."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

Vec3 = tuple[int, int, int]
"""Three whole numbers along x, y, z."""


def minus(v: Vec3) -> Vec3:
    """The opposite vector."""
    return -v[0], -v[1], -v[2]


def ceil_div(a: int, b: int) -> int:
    """The quotient, rounded up."""
    return -(-a // b)


class Mag(NamedTuple):
    """A magnification: how many mag-1 voxels one voxel spans along x, y, z."""

    x: int
    y: int
    z: int

    @classmethod
    def parse(cls, text: str) -> Mag:
        """Read `2` or `4-4-1`; raises ValueError for anything but powers of two."""
        parts = [int(part) if part.isascii() and part.isdigit() else 0 for part in text.strip().split("-")]
        if len(parts) == 1:
            parts *= 3
        if len(parts) != 3 or any(part < 1 or part & (part - 1) for part in parts):
            raise ValueError(f"{text!r} is no mag; a mag is a power of two such as 2, or three of them such as 4-4-1")
        return cls(*parts)

    def __str__(self) -> str:
        """The name of the mag's folder."""
        return str(self.x) if self.x == self.y == self.z else f"{self.x}-{self.y}-{self.z}"


@dataclass(frozen=True, slots=True)
class Box:
    """A cuboid of voxels: `start` belongs to it, `stop` is the first corner beyond it."""

    start: Vec3
    shape: Vec3

    @classmethod
    def between(cls, start: Vec3, stop: Vec3) -> Box:
        """The box from `start` to `stop`; empty along an axis where they cross."""
        return cls(start, _vec(max(b - a, 0) for a, b in zip(start, stop, strict=True)))

    @property
    def stop(self) -> Vec3:
        """The first corner beyond the box."""
        return _vec(a + n for a, n in zip(self.start, self.shape, strict=True))

    @property
    def volume(self) -> int:
        """How many voxels there are in it."""
        return math.prod(self.shape)

    def __contains__(self, other: Box) -> bool:
        """Whether every voxel of `other` lies in this box."""
        return self.intersection(other) == other

    def intersection(self, other: Box) -> Box:
        """The voxels in both boxes (perhaps none)."""
        start = _vec(map(max, self.start, other.start))
        return Box.between(start, _vec(map(min, self.stop, other.stop)))

    def spanning(self, other: Box) -> Box:
        """The smallest box that holds both."""
        start = _vec(map(min, self.start, other.start))
        return Box.between(start, _vec(map(max, self.stop, other.stop)))

    def shifted(self, by: Vec3) -> Box:
        """The same box, moved."""
        return Box(_vec(a + d for a, d in zip(self.start, by, strict=True)), self.shape)

    def grown(self, by: Vec3) -> Box:
        """The box with `by` more voxels on either side."""
        start = _vec(a - d for a, d in zip(self.start, by, strict=True))
        return Box(start, _vec(n + 2 * d for n, d in zip(self.shape, by, strict=True)))

    def refined(self, factor: Vec3) -> Box:
        """The same place, in voxels that are `factor` times smaller."""
        start = _vec(a * f for a, f in zip(self.start, factor, strict=True))
        return Box(start, _vec(n * f for n, f in zip(self.shape, factor, strict=True)))

    def coarsened(self, factor: Vec3) -> Box:
        """Every voxel of a `factor` times coarser grid that touches the box."""
        start = _vec(a // f for a, f in zip(self.start, factor, strict=True))
        ends = (ceil_div(a + n, f) if n else a // f for a, n, f in zip(self.start, self.shape, factor, strict=True))
        return Box.between(start, _vec(ends))

    def aligned(self, grid: Vec3) -> Box:
        """The smallest box of whole grid cells that holds this one."""
        return self.coarsened(grid).refined(grid)

    def tiles(self, shape: Vec3, origin: Vec3 = (0, 0, 0)) -> Iterator[Box]:
        """The cells of a grid through `origin` that touch the box, clipped to it, x fastest, z slowest, one by one."""
        cells = self.shifted(minus(origin)).coarsened(shape)
        (x0, y0, z0), (x1, y1, z1) = cells.start, cells.stop
        for z, y, x in product(range(z0, z1), range(y0, y1), range(x0, x1)):
            yield Box((x, y, z), (1, 1, 1)).refined(shape).shifted(origin).intersection(self)

    def count_tiles(self, shape: Vec3, origin: Vec3 = (0, 0, 0)) -> int:
        """How many boxes `tiles` yields."""
        return self.shifted(minus(origin)).coarsened(shape).volume

    def slices_in(self, outer: Box) -> tuple[slice, slice, slice]:
        """The indices of this box in an array [x, y, z] that holds `outer`."""
        x, y, z = (slice(a - o, a - o + n) for a, o, n in zip(self.start, outer.start, self.shape, strict=True))
        return x, y, z

    def __str__(self) -> str:
        """`x 0:10, y 0:10, z 4:5`."""
        return ", ".join(f"{axis} {a}:{b}" for axis, a, b in zip("xyz", self.start, self.stop, strict=True))


def _vec(numbers: Iterator[int] | map[int]) -> Vec3:
    x, y, z = numbers
    return x, y, z
