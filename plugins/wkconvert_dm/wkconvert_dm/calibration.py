"""From the calibration of an image's axes to a voxel size."""

from __future__ import annotations

import math

from wkconvert_core import METRES, VoxelSize, WarningNote, unit_symbol

from .images import Image, Scale


def voxel_size(image: Image) -> tuple[VoxelSize | None, tuple[str, ...]]:
    """The voxel size along those of x, y, z whose calibration is a length, and notes on the others."""
    lengths: list[tuple[float, str] | None] = []
    notes: list[str] = []
    # spectra lie along z of a spectrum image, along x of a line of spectra
    spectral = "xyz"[0 if len(image.size) < 3 else 2] if image.spectral else None
    for axis, scale in zip("xyz", image.scales, strict=False):
        length, note = (None, _SPECTRAL) if axis == spectral else _length(scale)
        lengths.append(length)
        notes += [WarningNote(f"{axis}: {note}")] if note else []
    x, y, z = [*lengths, None][:3]
    units = {length[1] for length in (x, y, z) if length}
    if not units:
        return None, tuple(notes)
    unit = units.pop() if len(units) == 1 else "nm"
    return VoxelSize((_in(unit, x), _in(unit, y), _in(unit, z)), unit, "DM calibration"), tuple(notes)


_SPECTRAL = "an axis of energies or wavelengths, which gives no voxel size"


def _length(scale: Scale | None) -> tuple[tuple[float, str] | None, str]:
    """Size and unit of an axis, None if it is not calibrated in a length; and a note, or an empty one."""
    if scale is None or (not scale.unit and scale.size in (0, 1)):
        return None, ""  # what a new image has: it was never calibrated
    if not scale.unit:
        return None, f"the calibration {scale.size:.6g} has no unit, and is left out"
    unit = unit_symbol(scale.unit)
    if unit is None:
        return None, f"the calibration {scale.size:.6g} {scale.unit} is no length, and is left out"
    if not math.isfinite(scale.size) or not scale.size:
        return None, f"a voxel cannot measure {scale.size:g} {unit}; this calibration is left out"
    note = f"the calibration {scale.size:.6g} {unit} is negative; its magnitude is taken" if scale.size < 0 else ""
    return (abs(scale.size), unit), note


def _in(unit: str, length: tuple[float, str] | None) -> float | None:
    if length is None or length[1] == unit:
        return length and length[0]
    return float(f"{length[0] * (METRES[length[1]] / METRES[unit]):.12g}")
