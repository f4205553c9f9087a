"""The size of voxels, and where the first one lies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from wkconvert_core import Affine, WarningNote

from .header import Header

_INVERTED_ORIGIN = 4
"""IMOD's flag for an origin with the sign of MRC2014; IMOD's own is that of the origin as seen from the first voxel."""


def voxel_size(header: Header) -> tuple[list[float | None], list[str]]:
    """The size of voxels along the cell's x, y and z in Å, None where the header gives none, and notes.

    It is the cell's length over MX, MY, MZ, which need not be the number of voxels in the file.
    """
    sizes: list[float | None] = []
    notes: list[str] = []
    for axis, length, count in zip("xyz", header.cell, header.intervals, strict=True):
        is_size = count > 0 and math.isfinite(length) and length > 0
        # float32 holds seven digits: 6184.192 / 464 is 13.328
        sizes.append(float(f"{float(str(np.float32(length))) / count:.7g}") if is_size else None)
        if not is_size and length != 0:
            notes.append(WarningNote(f"{length:g} Å along {axis} for {count} voxels (CELLA, MX, MY, MZ) is no size"))
    if header.is_stack_of_images:
        sizes[header.axes[2]] = None
        told = "its sections are a stack of images (ISPG 0, MZ 1), such as tilts or particles: taken as slices"
        notes.append(WarningNote(f"{told}, whose distance the header does not give"))
    if sizes == [1.0, 1.0, 1.0]:
        notes.append(WarningNote("voxels of 1 x 1 x 1 Å are what many programs write who do not know the size"))
    if _is_skewed(header):
        told = ", ".join(f"{angle:g}" for angle in header.angles)
        notes.append(WarningNote(f"the cell's angles are {told} degrees: voxels are taken as boxes all the same"))
    return sizes, notes


def affine(header: Header, sizes: Sequence[float | None], leads: Sequence[int]) -> tuple[Affine | None, list[str]]:
    """Where the voxels lie, None if the header does not say it; and a note on that.

    `leads` are the cell's axes along which the layer's x, y and z run. ORIGIN counts, or NXSTART and so on, where the
    other is 0, as in most files; a first voxel at 0, 0, 0 is what all programs write that know nothing of it.
    """
    if None in sizes or _is_skewed(header):
        return None, []
    steps = [size or 0.0 for size in sizes]
    starts = [header.starts[header.axes.index(axis)] * steps[axis] for axis in range(3)]
    is_own_sign = header.flags is not None and not header.flags & _INVERTED_ORIGIN and not header.keeps_to_standard
    origin = [-number if is_own_sign else number for number in header.origin]
    if any(starts) and any(origin) and not np.allclose(starts, origin, atol=0.1 * min(steps)):
        told = " and ".join(", ".join(f"{number:g}" for number in point) for point in (starts, origin))
        return None, [WarningNote(f"NXSTART and ORIGIN lay the first voxel at {told} Å: neither is used")]
    point, by = (origin, "ORIGIN") if any(origin) else (starts, "NXSTART, NYSTART, NZSTART")
    if not any(point) or not all(map(math.isfinite, point)):
        return None, []
    x, y, z = ((steps[0] * (axis == 0), steps[1] * (axis == 1), steps[2] * (axis == 2)) for axis in leads)
    first = (point[0], point[1], point[2])
    note = f"{by} lays the first voxel at {', '.join(f'{number:g}' for number in point)} Å"
    return Affine(x, y, z, first, "Å", by), [f"{note}, which counts beside other files that state it"]


def _is_skewed(header: Header) -> bool:
    """Whether the cell has other angles than 90 degrees; 0, and NaN, say none."""
    return any(abs(angle - 90) > 1e-3 for angle in header.angles if angle != 0)
