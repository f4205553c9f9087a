"""Voxel sizes: a length along x, y, z, its unit, and where the numbers came from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wkconvert_core.contract.errors import OptionError

METRES = {
    "pm": 1e-12,
    "Å": 1e-10,
    "nm": 1e-9,
    "µm": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "m": 1.0,
    "inch": 0.0254,
}
"""Each unit that a voxel size can have, in metres."""

WEBKNOSSOS_UNITS = {
    "pm": "picometer",
    "Å": "angstrom",
    "nm": "nanometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "inch": "inch",
}
"""The name of each unit in `datasource-properties.json`."""

_SPELLINGS = {
    **{
        spelled + plural: symbol
        for symbol, full in WEBKNOSSOS_UNITS.items()
        for spelled in (full, full.replace("meter", "metre"))
        for plural in ("", "s")
    },
    "um": "µm",
    "\u03bcm": "µm",
    "\\u00b5m": "µm",
    "micron": "µm",
    "microns": "µm",
    "a": "Å",
    "\u212b": "Å",
    "ang": "Å",
    "in": "inch",
    "inches": "inch",
}


def unit_symbol(text: str) -> str | None:
    """The key of `METRES` for a unit of length, however it is spelled; None if it is no unit of length.

    >>> unit_symbol("um"), unit_symbol("microns"), unit_symbol("Nanometre"), unit_symbol("pixel")
    ('µm', 'µm', 'nm', None)
    """
    text = text.strip().strip("\0")
    if text in METRES:
        return text
    return _SPELLINGS.get(text) or _SPELLINGS.get(text.lower())


@dataclass(frozen=True)
class VoxelSize:
    """The size of a voxel along x, y, z. Raises OptionError for an unknown unit or a size that is no length."""

    size: tuple[float | None, float | None, float | None]
    """Along x, y, z, in `unit`; None where it is not known."""
    unit: str = "nm"
    """A key of `METRES`."""
    origin: str = ""
    """Where the numbers came from, for people: `ImageJ tags`."""

    def __post_init__(self) -> None:
        if self.unit not in METRES:
            raise OptionError(f"{self.unit!r} is no unit of length", fix=f"take one of {', '.join(METRES)} for --unit")
        for axis, size in zip("xyz", self.size, strict=True):
            if size is not None and not (math.isfinite(size) and size > 0):
                raise OptionError(
                    f"a voxel cannot measure {size:g} {self.unit} along {axis}",
                    why="a size is a positive, finite number",
                    fix="say the size with --voxel-size, for example --voxel-size 4,4,35",
                )

    @classmethod
    def parse(cls, text: str, unit: str = "nm") -> VoxelSize:
        """Read `4,4,35`; an empty place leaves that axis unknown. Raises OptionError.

        >>> print(VoxelSize.parse("4,4,35"), "|", VoxelSize.parse(",,0.5", "micron"))
        4 x 4 x 35 nm | ? x ? x 0.5 µm
        """
        parts = text.split(",")
        symbol = unit_symbol(unit)
        try:
            if len(parts) != 3:
                raise ValueError
            x, y, z = (float(part) if part.strip() else None for part in parts)
        except ValueError:
            raise OptionError(
                f"--voxel-size {text} is not three numbers", fix="write them as x,y,z, for example --voxel-size 4,4,35"
            ) from None
        return cls((x, y, z), symbol or unit, "--voxel-size")

    def to(self, unit: str) -> VoxelSize:
        """The same size in another unit, a key of `METRES`.

        >>> print(VoxelSize((4, 4, 35)).to("µm"))
        0.004 x 0.004 x 0.035 µm
        """
        scale = METRES[self.unit] / METRES[unit]
        # the last digits are what floating point leaves of a change of unit: 11.24 nm would be 0.011240000000000002 µm
        x, y, z = (None if size is None else float(f"{size * scale:.12g}") for size in self.size)
        return replace(self, size=(x, y, z), unit=unit)

    def refined(self, factor: Sequence[int]) -> VoxelSize:
        """The size of voxels that are `factor` times smaller along x, y, z.

        >>> print(VoxelSize((8, 8, 35)).refined((2, 2, 1)))
        4 x 4 x 35 nm
        """
        x, y, z = (None if size is None else size / f for size, f in zip(self.size, factor, strict=True))
        return replace(self, size=(x, y, z))

    def coarsened(self, factor: Sequence[int]) -> VoxelSize:
        """The size of voxels that are `factor` times larger along x, y, z: of a coarser mag.

        >>> print(VoxelSize((4, 4, 35)).coarsened((2, 2, 1)))
        8 x 8 x 35 nm
        """
        x, y, z = (None if size is None else size * f for size, f in zip(self.size, factor, strict=True))
        return replace(self, size=(x, y, z))

    def missing(self) -> str:
        """The axes without a size.

        >>> VoxelSize((4, 4, None)).missing()
        'z'
        """
        return "".join(axis for axis, size in zip("xyz", self.size, strict=True) if size is None)

    def oddity(self) -> str:
        """What no microscope makes of these voxels: x and y that differ more than 10-fold, or z more than 1000-fold.

        Mostly one of the units is wrong or missing. Empty for a plausible size, and along axes without one.

        >>> VoxelSize((16.5, 16500, 25000), "nm").oddity()
        'y is 1000 times x'
        >>> VoxelSize((4, 4, None)).oddity()
        ''
        """
        for a, b, most in (("x", "y", 10), ("x", "z", 1000), ("y", "z", 1000)):
            one, other = (self.size["xyz".index(axis)] for axis in (a, b))
            if one and other and max(one, other) > most * min(one, other) * (1 + 1e-9):
                small, large = sorted((a, b), key=lambda axis: self.size["xyz".index(axis)] or 0)
                return f"{large} is {max(one, other) / min(one, other):.6g} times {small}"
        return ""

    def filled(self, other: VoxelSize) -> VoxelSize:
        """This size, with unknown axes taken from `other`; the unit is this one's.

        >>> said = VoxelSize((None, None, 0.035), "µm", "--voxel-size")
        >>> size = VoxelSize((4, 4, None), "nm", "TIFF tags").filled(said)
        >>> print(size, "from", size.origin)
        4 x 4 x 35 nm from TIFF tags, --voxel-size
        """
        theirs = other.to(self.unit)
        x, y, z = (a if a is not None else b for a, b in zip(self.size, theirs.size, strict=True))
        used = any(a is None and b is not None for a, b in zip(self.size, theirs.size, strict=True))
        origins = [self.origin if any(self.size) else "", other.origin if used else ""]
        return VoxelSize((x, y, z), self.unit, ", ".join(filter(None, origins)))

    def __str__(self) -> str:
        """`4 x 4 x 35 nm`."""
        return " x ".join("?" if size is None else f"{size:.6g}" for size in self.size) + f" {self.unit}"


def proportions(size: VoxelSize | None) -> tuple[float, float, float]:
    """The sides of a voxel along x, y, z, for comparing axes: 1 where a side is not known.

    >>> proportions(VoxelSize((4, 4, None))), proportions(None)
    ((4, 4, 1.0), (1.0, 1.0, 1.0))
    """
    x, y, z = (side or 1.0 for side in size.size) if size else (1.0, 1.0, 1.0)
    return x, y, z
