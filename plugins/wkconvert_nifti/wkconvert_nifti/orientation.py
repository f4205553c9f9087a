"""How a file's axes lie in space, and how they become x, y, z.

`canonical`: x runs to the subject's right, y to the front, z to the top (RAS+), as closely as mirrored and exchanged
axes come to it. Nothing is resampled: a note gives the rotation that remains.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from wkconvert_core import Vec3

from .axes import Axes
from .bytestream import Array
from .header import Header

Orientation = Literal["canonical", "stored"]

_SEEN = 0.05
"""Degrees from which an angle is noted; smaller ones come from rounding to float32."""


def axes_of(header: Header, wanted: Orientation) -> tuple[Axes, list[str]]:
    """How the stored axes become x, y, z, and notes on it."""
    x, y, z = header.shape[:3]
    stored = Axes((x, y, z))
    affine, form = header.affine()
    directions = None if affine is None else _directions(affine)
    if directions is None:
        why = form if affine is None else f"the file's {form} is singular"
        return stored, [f"{why}: x, y, z are its axes as stored"]
    order, mirrored = _closest(directions)
    notes = _angles(directions, order, mirrored, form)
    name = _name(order, mirrored)
    if wanted == "stored":
        return stored, [f"x, y, z are the file's axes as stored, which run {name} ({form})", *notes]
    if name != "RAS":
        notes.insert(0, f"axes turned from {name} ({form}) to RAS: x runs to the right, y to the front, z to the top")
    return Axes(stored.shape, order, mirrored), notes


def _directions(affine: Array) -> Array | None:
    """Unit vectors `[space, stored axis]` of i, j, k; None if they do not span the space."""
    with np.errstate(all="ignore"):
        lengths = np.sqrt((affine**2).sum(axis=0))
        directions = affine / lengths
        sound = np.isfinite(directions).all() and abs(np.linalg.det(directions)) > 1e-6
    return directions if sound else None


def _closest(directions: Array) -> tuple[Vec3, tuple[bool, bool, bool]]:
    """The stored axis that becomes each of x, y, z, and whether it is mirrored."""
    from nibabel import orientations

    untyped: Any = orientations
    leads = untyped.io_orientation(np.pad(directions, (0, 1))).tolist()
    x, y, z = sorted(range(3), key=lambda stored: leads[stored][0])
    return (x, y, z), (leads[x][1] < 0, leads[y][1] < 0, leads[z][1] < 0)


def _name(order: Vec3, mirrored: tuple[bool, bool, bool]) -> str:
    """The directions in which i, j, k run: `LAS` is left, anterior, superior.

    >>> _name((0, 1, 2), (True, False, False)), _name((2, 0, 1), (False, False, False))
    ('LAS', 'ASR')
    """
    letters = {order[axis]: ("RAS", "LPI")[mirrored[axis]][axis] for axis in range(3)}
    return "".join(letters[stored] for stored in range(3))


def _angles(directions: Array, order: Vec3, mirrored: tuple[bool, bool, bool], form: str) -> list[str]:
    """Notes on the rotation and shear that remain after turning by 90 degrees and mirroring."""
    rotation, _, back = np.linalg.svd(directions)
    straight = rotation @ back  # the rotation closest to the directions, which may be sheared (polar decomposition)
    left = straight[:, list(order)] * np.where(mirrored, -1, 1)
    angle = _degrees((np.trace(left) - 1) / 2)
    inner = directions.T @ directions
    shear = max(abs(90 - _degrees(inner[a, b])) for a, b in ((0, 1), (0, 2), (1, 2)))
    notes = []
    if angle > _SEEN:
        notes.append(f"the {form} turns the volume by another {angle:.1f} degrees, which is not applied")
    if shear > _SEEN:
        notes.append(f"the {form} skews the axes by up to {shear:.1f} degrees, which is not applied")
    return notes


def _degrees(cosine: float) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
