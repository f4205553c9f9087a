"""The voxel size that TIFF tiles state as ImageJ does.

Pixels per unit in the resolution, `unit` and `spacing` in the description: ImageJ's FileSaver. Resolutions without that
are no voxel size: programs write them knowing nothing.
"""

from __future__ import annotations

from typing import Any

from wkconvert_core import VoxelSize, unit_symbol

from .plain_tiff import table


def voxel_size(path: str) -> VoxelSize | None:
    """What one tile says; None if it does not, or is no TIFF."""
    try:
        _, tags, _ = table(path)
        (description,), (x,), (y,) = (tags.get(tag, ("",)) for tag in (270, 282, 283))
        lines = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
        x, y = _pixel(x), _pixel(y)
    except Exception:  # a calibration is no reason to refuse a tile: whoever reads its pixels says what is wrong
        return None
    if not description.startswith("ImageJ="):
        return None
    unit = unit_symbol(lines.get("unit", ""))
    if unit in (None, "inch") or not (x or y):
        return None
    return VoxelSize((x, y, _depth(lines.get("spacing", ""))), unit, "ImageJ tags of the tiles")


def _pixel(density: Any) -> float | None:
    """Units per pixel: the fraction of pixels per unit, turned over as it stands, so that it is rounded once."""
    pixels, units = getattr(density, "numerator", 0), getattr(density, "denominator", 0)
    return units / pixels if pixels > 0 and units > 0 else None


def _depth(text: str) -> float | None:
    try:
        depth = abs(float(text))
    except ValueError:
        return None
    return depth if 0 < depth < float("inf") else None
