"""Voxel sizes: `pixdim[1:4]` in the unit of `xyzt_units`, along x, y, z."""

from __future__ import annotations

import math

from wkconvert_core import VoxelSize, WarningNote
from wkconvert_core.toolkit.volumes.axes import Axes
from wkconvert_core.toolkit.volumes.choosing import said_unit
from wkconvert_core.toolkit.volumes.orientation import lengths

from .header import Header


def voxel_size(header: Header, axes: Axes, unit: str | None, form: str) -> tuple[VoxelSize | None, list[str]]:
    """The voxel size from the header, None if it gives none, and notes on it. Raises OptionError.

    `unit` overrides the header's; `form` is the one that counts, `sform` or `qform`.
    """
    notes = _doubts(header, form)
    symbol = said_unit(unit) or header.unit
    if symbol is None:
        numbers = " x ".join(f"{header.pixdim[axis]:g}" for axis in axes.order)
        field = f"xyzt_units {int(header.fields['xyzt_units'])}" if header.kind.version else "vox_units"
        return None, [*notes, f"pixdim is {numbers}, and {field} names no unit: -o unit=mm would take it as mm"]
    if unit is not None and header.unit not in (None, symbol):
        notes.append(f"pixdim is taken as {symbol}, as -o unit says; the file says {header.unit}")
    x, y, z = (_size(header, axis) for axis in axes.order)
    if not any((x, y, z)):
        return None, notes
    stated = "xyzt_units" if header.kind.version else "vox_units"
    origin = f"pixdim, {stated if unit is None else '-o unit'}"
    return VoxelSize((x, y, z), symbol, origin), notes


def _size(header: Header, axis: int) -> float | None:
    """The size along a stored axis; None if the header gives none."""
    size = abs(header.pixdim[axis])
    return size if axis < header.axes and math.isfinite(size) and size > 0 else None


def _doubts(header: Header, form: str) -> list[str]:
    """Notes on sizes that are not positive numbers, or differ from the sform."""
    known = [axis for axis in range(min(3, header.axes)) if _size(header, axis) is not None]
    notes: list[str] = [
        WarningNote(f"pixdim[{axis + 1}] is {header.pixdim[axis]:g}, which is no size")
        for axis in range(min(3, header.axes))
        if axis not in known
    ]
    notes += [
        WarningNote(f"pixdim[{axis + 1}] is {header.pixdim[axis]:g}; its sign is left out")
        for axis in known
        if header.pixdim[axis] < 0
    ]
    if form == "sform" and (affine := header.sform) is not None:
        steps = lengths(affine)
        if any(abs(steps[axis] - abs(header.pixdim[axis])) > 1e-3 * steps[axis] for axis in known):
            told = f"the sform says {' x '.join(f'{n:g}' for n in steps)} per voxel, pixdim otherwise: it counts"
            notes.append(WarningNote(told))
    return notes
