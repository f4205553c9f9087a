"""The voxel size as ImageJ writes it: pixels per unit in the resolution tags, unit and depth in the description.

Source: ImageJ's FileSaver and TiffEncoder. The tags hold fractions of two 32-bit numbers; the description is ASCII, so
that µ is escaped. And what OME-XML says of an image, as tifffile takes it.
"""

from __future__ import annotations

import uuid
from fractions import Fraction
from typing import Any

from wkconvert_core import METRES, MagSpec, VoxelSize

_NAMES = {"µm": "\\u00B5m", "Å": "angstrom"}
_UNITS = ("nm", "µm", "mm", "m")
_MOST = (1 << 32) - 1
_HANDY = (1e-3, 1e4)
"""Range of sizes that a fraction of two 32-bit numbers represents to many digits."""


def described(size: VoxelSize | None) -> dict[str, Any]:
    """The arguments of `tifffile.imwrite` for a voxel size; none unless x and y are known."""
    if size is None or None in size.size[:2]:
        return {}
    size = in_handy_unit(size)
    depth = size.size[2]
    lines = ["ImageJ=1.11a", "images=1", f"unit={_NAMES.get(size.unit, size.unit)}"]
    lines += [f"spacing={depth!r}"] if depth is not None else []
    return {
        "description": "\n".join([*lines, "loop=false", ""]),
        "resolution": tuple(density(side) for side in size.size[:2] if side is not None),
        "resolutionunit": "none",
    }


def density(size: float) -> tuple[int, int]:
    """Pixels per unit, as the fraction closest to 1 / size; exact for sizes of up to nine digits.

    >>> density(11.24)
    (25, 281)
    """
    exact = Fraction(repr(size))
    if max(exact.as_integer_ratio()) > _MOST:
        exact = Fraction(size)
        if exact >= 1:
            exact = exact.limit_denominator(int(_MOST / exact))
        else:
            exact = 1 / (1 / exact).limit_denominator(int(_MOST * exact))
    return exact.denominator, exact.numerator


def in_handy_unit(size: VoxelSize) -> VoxelSize:
    """The same size in a unit that makes its numbers handy; inches, which ImageJ takes for dpi, in cm.

    >>> in_handy_unit(VoxelSize((4e-9, 4e-9, 3.5e-8), "m")).size
    (4.0, 4.0, 35.0)
    """
    if size.unit == "inch":
        size = size.to("cm")
    if all(side is None or _HANDY[0] <= side <= _HANDY[1] for side in size.size):
        return size
    # the largest unit below the smallest side
    metres = min(side for side in size.size if side is not None) * METRES[size.unit]
    unit = max((unit for unit in _UNITS if METRES[unit] <= metres), key=METRES.__getitem__, default="pm")
    return size.to(unit)


def ome_metadata(spec: MagSpec, name: str, size: VoxelSize, channels: int) -> dict[str, Any]:
    """The voxel size, the names of `channels` channels, and the place of each plane unless the first lies at 0.

    Its identifier follows from the rest, so that the same image has the same one.
    """
    facts = f"{spec.layer} {spec.box.shape} {spec.channels} {spec.dtype} {size} {spec.affine}"
    names = [spec.layer if channels == 1 else f"{spec.layer} {number}" for number in range(channels)]
    found: dict[str, Any] = {
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, facts)),
        "Creator": "wkconvert",
        "Name": name,
        "Channel": {"Name": names},
    }
    for axis, side in zip("XYZ", size.size, strict=True):
        found |= {f"PhysicalSize{axis}": side, f"PhysicalSize{axis}Unit": _ome_unit(size.unit)}
    if spec.affine and any(spec.affine.origin):
        places = [spec.affine.at((0, 0, plane)) for plane in range(spec.box.shape[2])] * channels
        unit = [_ome_unit(spec.affine.unit or "nm")] * len(places)
        along = dict(zip("XYZ", map(list, zip(*places, strict=True)), strict=True))
        found["Plane"] = {f"Position{axis}": every for axis, every in along.items()}
        found["Plane"] |= {f"Position{axis}Unit": unit for axis in along}
    return found


def _ome_unit(symbol: str) -> str:
    """OME's spelling of a unit."""
    return {"inch": "in"}.get(symbol, symbol)
