"""Voxel sizes: a length along x, y, z, its unit, and where the numbers came from."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wkconvert_core.contract.errors import OptionError, one_of

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


_SIDE = re.compile(r"\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|)\s*([^\W0-9]*)\s*")
"""One side of a voxel in `--voxel-size`: a number and its unit, either of which may be left out."""


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
            raise OptionError(f"{self.unit!r} is no unit of length", fix=f"{one_of(METRES, self.unit)} for --unit")
        for axis, size in zip("xyz", self.size, strict=True):
            if size is not None and not (math.isfinite(size) and size > 0):
                raise OptionError(
                    f"a voxel cannot measure {size:g} {self.unit} along {axis}",
                    why="a size is a positive, finite number",
                    fix="say the size with --voxel-size, for example --voxel-size 4,4,35",
                )

    @property
    def unit_name(self) -> str:
        """The unit in full.

        >>> VoxelSize((4.0, 4.0, 35.0), "nm").unit_name
        'nanometer'
        """
        return WEBKNOSSOS_UNITS[self.unit]

    @classmethod
    def of(cls, said: VoxelSize | Sequence[float | None] | str | float) -> VoxelSize:
        """A voxel size as such, as text, or as numbers in nm: three, or one for a cube. Raises OptionError.

        >>> print(VoxelSize.of((4, 4, 35)), "|", VoxelSize.of("4,4,0.035 µm"), "|", VoxelSize.of(4))
        4 x 4 x 35 nm | 4 x 4 x 0.035 µm | 4 x 4 x 4 nm
        """
        if isinstance(said, VoxelSize):
            return said
        numbers = said if isinstance(said, Sequence) else [said]
        return cls.parse(said if isinstance(said, str) else ",".join("" if n is None else str(n) for n in numbers))

    @classmethod
    def parse(cls, text: str, unit: str | None = None) -> VoxelSize:
        """Read `4,4,35`: in `unit`, or that which the text names, or nm. An empty place leaves that axis unknown.

        `4x4x35` and `4 4 35` say the same, and `4` a cube. A unit behind the last number is that of all. Raises
        OptionError.

        >>> print(VoxelSize.parse("4,4,35"), "|", VoxelSize.parse(",,0.5", "micron"), "|", VoxelSize.parse("4x4x35 nm"))
        4 x 4 x 35 nm | ? x ? x 0.5 µm | 4 x 4 x 35 nm
        """
        parts = text.split(",") if "," in text else re.split(r"\s*[x×]\s*|(?<=\S)\s+(?=[-+.0-9])", text.strip())
        matches = [_SIDE.fullmatch(part) for part in parts * (3 if len(parts) == 1 else 1)]
        sides = [(match[1] and float(match[1]), match[2]) for match in matches if match]
        named = {word for _, word in sides if word}
        is_size = len(sides) == 3 and any(number for number, _ in sides) and not any(w and not n for n, w in sides)
        if not is_size or (named and not sides[-1][1]):
            raise OptionError(
                f"--voxel-size {text} is not three numbers",
                fix="write them as x,y,z, for example --voxel-size 4,4,35, with --unit if they are not in nm",
            )
        if len(named) > 1 or (named and unit and unit_symbol(unit) != unit_symbol(min(named))):
            words = ", ".join(sorted(named | {unit} if unit else named))
            raise OptionError(f"--voxel-size {text} is in several units: {words}", fix="write all sides in one unit")
        unit = min(named, default=unit or "nm")
        x, y, z = (number if number != "" else None for number, _ in sides)
        return cls((x, y, z), unit_symbol(unit) or unit, "--voxel-size")

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
        """Say why no microscope makes such voxels: x and y that differ more than 10-fold, or z more than 1000-fold.

        Nor are there voxels of more than 0.1 m, or of less than 0.01 pm. Mostly one of the units is wrong or missing.
        Empty for a plausible size, and along axes without one.

        >>> VoxelSize((16.5, 16500, 25000), "nm").oddity()
        'y is 1000 times x'
        >>> VoxelSize((4, 4, None)).oddity()
        ''
        >>> VoxelSize((1e6, 1e6, 1e6), "mm").oddity()
        'x is 1000 m'
        """
        for axis, side in zip("xyz", self.to("m").size, strict=True):
            if side and not 1e-14 <= side <= 0.1:
                return f"{axis} is {side:.6g} m"
        for a, b, most in (("x", "y", 10), ("x", "z", 1000), ("y", "z", 1000)):
            one, other = (self.size["xyz".index(axis)] for axis in (a, b))
            if one and other and max(one, other) > most * min(one, other) * (1 + 1e-9):
                small, large = sorted((a, b), key=lambda axis: self.size["xyz".index(axis)] or 0)
                return f"{large} is {max(one, other) / min(one, other):.6g} times {small}"
        return ""

    def filled(self, other: VoxelSize) -> VoxelSize:
        """This size, with unknown axes taken from `other`; the unit is this one's, if it has any side.

        >>> said = VoxelSize((None, None, 0.035), "µm", "--voxel-size")
        >>> size = VoxelSize((4, 4, None), "nm", "TIFF tags").filled(said)
        >>> print(size, "from", size.origin)
        4 x 4 x 35 nm from TIFF tags, --voxel-size
        """
        if not any(self.size):
            return other
        theirs = other.to(self.unit)
        x, y, z = (a if a is not None else b for a, b in zip(self.size, theirs.size, strict=True))
        used = any(a is None and b is not None for a, b in zip(self.size, theirs.size, strict=True))
        origins = [self.origin, other.origin if used else ""]
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
