"""Where voxels lie in a space that several files share: a scanner's, a stage's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

from wkconvert_core.contract.voxel_size import METRES

Point: TypeAlias = tuple[float, float, float]
"""Along the axes of the space, in the unit of the affine."""


@dataclass(frozen=True)
class Turn:
    """How a reader turned axes because a file says where they lead, though nobody asked for it.

    Layers that do not state where they lie are not turned, so that both in one dataset would not fit on each other.
    """

    how: str
    """For people: `from LAS to RAS`."""
    fix: str
    """The remedy: `say -o orientation=stored to take the axes as they are stored`."""


@dataclass(frozen=True)
class Affine:
    """The centre of voxel (i, j, k) lies at `origin + i * x + j * y + k * z`.

    Layers whose files state this are placed by it, where they agree up to a shift in whole voxels.

    >>> affine = Affine((2, 0, 0), (0, 2, 0), (0, 0, 5), origin=(-40, -44, -50), unit="µm", stated="the header")
    >>> affine.at((1, 0, 10))
    (-38, -44, 0)
    """

    x: Point
    """Where one voxel along x leads."""
    y: Point
    z: Point
    origin: Point
    """The centre of the source's voxel (0, 0, 0)."""
    unit: str | None = None
    """A key of `METRES`; None if the file does not say it."""
    stated: str = ""
    """The part of the file that states it, for people: `sform, scanner`."""

    @property
    def spans(self) -> bool:
        """Whether x, y and z lead in three directions, so that a point has one place in voxels.

        >>> Affine((4, 0, 0), (0, 4, 0), (4, 4, 0), origin=(0, 0, 0)).spans
        False
        """
        (a, b, c), (d, e, f), (g, h, i) = self.x, self.y, self.z
        volume = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
        return abs(volume) > 1e-6 * math.prod(math.hypot(*step) for step in (self.x, self.y, self.z))

    def at(self, place: Sequence[float]) -> Point:
        """The point of a place in voxels; (0, 0, 0) is the centre of the first one."""
        i, j, k = place
        x, y, z = (o + i * a + j * b + k * c for o, a, b, c in zip(self.origin, self.x, self.y, self.z, strict=True))
        return x, y, z

    def moved(self, by: Sequence[float]) -> Self:
        """The affine of a source whose first voxel is this one's voxel `by`."""
        return replace(self, origin=self.at(by))

    def mirrored(self, shape: Sequence[int], axes: str) -> Self:
        """The affine of a volume of this shape mirrored along some of `x`, `y`, `z`.

        >>> affine = Affine((2, 0, 0), (0, 2, 0), (0, 0, 5), origin=(0, 0, 0))
        >>> mirrored = affine.mirrored((10, 10, 10), "x")
        >>> mirrored.x, mirrored.origin
        ((-2, 0, 0), (18, 0, 0))
        """
        corner = [side - 1 if axis in axes else 0 for axis, side in zip("xyz", shape, strict=True)]
        x, y, z = (
            (-step[0], -step[1], -step[2]) if axis in axes else step
            for axis, step in zip("xyz", (self.x, self.y, self.z), strict=True)
        )
        return replace(self, x=x, y=y, z=z, origin=self.at(corner))

    def refined(self, factor: Sequence[int]) -> Self:
        """The affine of voxels `factor` times smaller and fill the same space; their first centres lie elsewhere.

        >>> Affine((4, 0, 0), (0, 4, 0), (0, 0, 5), origin=(0, 0, 0)).refined((2, 2, 1)).origin
        (-1.0, -1.0, 0.0)
        """
        x, y, z = (
            (step[0] / f, step[1] / f, step[2] / f) for step, f in zip((self.x, self.y, self.z), factor, strict=True)
        )
        return replace(self, x=x, y=y, z=z, origin=self.at([0.5 / f - 0.5 for f in factor]))

    def coarsened(self, factor: Sequence[int]) -> Self:
        """The affine of voxels `factor` times larger and fill the same space, as those of a coarser mag.

        >>> Affine((4, 0, 0), (0, 4, 0), (0, 0, 5), origin=(0, 0, 0)).coarsened((2, 2, 1)).origin
        (2.0, 2.0, 0.0)
        """
        x, y, z = (
            (step[0] * f, step[1] * f, step[2] * f) for step, f in zip((self.x, self.y, self.z), factor, strict=True)
        )
        return replace(self, x=x, y=y, z=z, origin=self.at([(f - 1) / 2 for f in factor]))

    def __str__(self) -> str:
        """`x (2, 0, 0), y (0, 2, 0), z (0, 0, 5) from (-40, -44, -50) µm by the header`."""
        points = (self.x, self.y, self.z, self.origin)
        x, y, z, origin = (f"({', '.join(f'{number + 0.0:.6g}' for number in point)})" for point in points)
        by = f" by the {self.stated}" if self.stated else ""
        return f"x {x}, y {y}, z {z} from {origin}{' ' + self.unit if self.unit else ''}{by}"

    @property
    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"x": self.x, "y": self.y, "z": self.z, "origin": self.origin, "unit": self.unit, "stated": self.stated}

    @classmethod
    def parse(cls, document: Any) -> Self | None:
        """Read the JSON form; None if it is malformed.

        >>> affine = Affine((4, 0, 0), (0, 4, 0), (0, 0, 5), origin=(0, 0, 0), unit="nm", stated="the header")
        >>> Affine.parse(affine.document) == affine, Affine.parse({"x": [4, 0]})
        (True, None)
        """
        try:
            x, y, z, origin = (_point(document[key]) for key in ("x", "y", "z", "origin"))
            unit, stated = document["unit"], str(document["stated"])
            return cls(x, y, z, origin, unit if unit in METRES else None, stated)
        except (TypeError, ValueError, LookupError, OverflowError):
            return None


def _point(numbers: Any) -> Point:
    """Three finite numbers. Raises ValueError, TypeError, OverflowError."""
    x, y, z = map(float, numbers)
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError(f"{numbers} is no point")
    return x, y, z
