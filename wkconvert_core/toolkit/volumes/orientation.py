"""How a file's axes lie in space, and how they become x, y, z.

`canonical`: x runs to the subject's right, y to the front, z to the top (RAS+), as closely as mirrored and exchanged
axes come to it. Nothing is resampled: a note gives the rotation that remains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from wkconvert_core.contract.affine import Affine, Point, Turn
from wkconvert_core.contract.geometry import Box, Vec3Like
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.toolkit.volumes.axes import Axes

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

__all__ = ["Orientation", "Pose", "affine_of", "as_stored", "lengths", "pose", "runs"]

Orientation = Literal["canonical", "stored"]

_SEEN = 0.05
"""Degrees from which an angle is noted; smaller ones come from rounding to float32."""


@dataclass(frozen=True)
class Pose:
    """How the stored axes become x, y, z, and where the volume lies in space."""

    axes: Axes
    affine: Affine | None = None
    """None where the file does not state it, or contradicts itself."""
    turned: Turn | None = None
    notes: tuple[str, ...] = ()


def pose(
    shape: Vec3Like, matrix: Array, wanted: Orientation | None, *, unit: str | None, by: str, stated: str = ""
) -> Pose:
    """How a volume lies whose voxel (i, j, k) is at `matrix[4, 4] @ (i, j, k, 1)` of a space that runs RAS+.

    `wanted` None is canonical, which a layer of another format beside it may contradict. `by` and `stated` are what
    states the matrix, for notes and for the affine. A matrix that does not span the space leaves the axes as stored.

    >>> las = np.diag([-2.0, 3, 4, 1])
    >>> found = pose((10, 10, 10), las, None, unit="mm", by="sform")
    >>> found.axes.mirrored, found.affine.origin, found.notes[0]
    ((True, False, False), (-18.0, 0.0, 0.0), 'axes turned from LAS (sform) to RAS: x runs to the right, y to the \
front, z to the top')
    """
    directions = _directions(matrix)
    if directions is None:
        return as_stored(shape, f"the file's {by} is singular")
    order, mirrored = _closest(directions)
    name = _name(order, mirrored)
    notes, axes, turned = _angles(directions, order, mirrored, by), Axes(shape), None
    if wanted == "stored":
        notes.insert(0, f"x, y, z are the file's axes as stored, which run {name} ({by})")
    elif name != "RAS":
        axes = Axes(shape, order, mirrored)
        notes.insert(0, f"axes turned from {name} ({by}) to RAS: x runs to the right, y to the front, z to the top")
        fix = "say -o orientation=stored to take the axes as they are stored, or canonical to turn them nevertheless"
        turned = Turn(f"from {name} to RAS", fix) if wanted is None else None
    return Pose(axes, affine_of(matrix, axes, unit, stated or by), turned, tuple(notes))


def as_stored(shape: Vec3Like, why: str) -> Pose:
    """The axes as the file stores them, with a warning: it does not say for certain where they lead."""
    return Pose(Axes(shape), notes=(WarningNote(f"{why}: x, y, z are its axes as stored"),))


def affine_of(matrix: Array, axes: Axes, unit: str | None, stated: str) -> Affine:
    """Where x, y, z lead in the space of a matrix of stored axes, and where their first voxel lies."""
    corner = axes.stored(Box((0, 0, 0), (1, 1, 1))).start
    origin = matrix[:3, :3] @ corner + matrix[:3, 3]
    steps = matrix[:3, list(axes.order)] * np.where(axes.mirrored, -1, 1)
    x, y, z, first = (_point(vector) for vector in (*steps.T, origin))
    return Affine(x, y, z, first, unit, stated)


def lengths(matrix: Array) -> Array:
    """How long the steps along the stored axes are; NaN or infinite where the matrix holds no numbers."""
    with np.errstate(all="ignore"):
        found: Array = np.sqrt((matrix[:3, :3] ** 2).sum(axis=0))
    return found


def runs(matrix: Array) -> str | None:
    """The directions in which stored axes run: `LAS` is left, anterior, superior; None if they span no space.

    >>> runs(np.diag([-2.0, 3, 4, 1])), runs(np.zeros((4, 4)))
    ('LAS', None)
    """
    directions = _directions(matrix)
    return None if directions is None else _name(*_closest(directions))


def _point(vector: Array) -> Point:
    x, y, z = (float(number) + 0.0 for number in vector)  # no -0.0
    return x, y, z


def _directions(matrix: Array) -> Array | None:
    """Unit vectors `[space, stored axis]` of i, j, k; None if they do not span the space."""
    with np.errstate(all="ignore"):
        directions: Array = matrix[:3, :3] / lengths(matrix)
        sound = np.isfinite(directions).all() and abs(np.linalg.det(directions)) > 1e-6
    return directions if sound else None


def _closest(directions: Array) -> tuple[Vec3Like, tuple[bool, bool, bool]]:
    """The stored axis that becomes each of x, y, z, and whether it is mirrored.

    As nibabel's `io_orientation` decides it: by the rotation that is closest to the directions, the stored axis that
    runs along an axis of space most clearly first.
    """
    near = _rotation(directions)
    leads: dict[int, tuple[int, bool]] = {}
    for stored in np.argsort(np.min(-(near**2), axis=0), kind="stable").tolist():
        space = int(np.argmax(np.abs(near[:, stored])))
        leads[space] = (stored, bool(near[space, stored] < 0))
        near[space] = 0
    (x, left), (y, back), (z, down) = (leads[axis] for axis in range(3))
    return (x, y, z), (left, back, down)


def _rotation(directions: Array) -> Array:
    """The rotation, perhaps with a reflection, that is closest to directions that may be sheared."""
    left, _, right = np.linalg.svd(directions)  # polar decomposition
    found: Array = left @ right
    return found


def _name(order: Vec3Like, mirrored: tuple[bool, bool, bool]) -> str:
    """The directions in which i, j, k run: `LAS` is left, anterior, superior.

    >>> _name((0, 1, 2), (True, False, False)), _name((2, 0, 1), (False, False, False))
    ('LAS', 'ASR')
    """
    letters = {order[axis]: ("RAS", "LPI")[mirrored[axis]][axis] for axis in range(3)}
    return "".join(letters[stored] for stored in range(3))


def _angles(directions: Array, order: Vec3Like, mirrored: tuple[bool, bool, bool], by: str) -> list[str]:
    """Notes on the rotation and shear that remain after turning by 90 degrees and mirroring."""
    left = _rotation(directions)[:, list(order)] * np.where(mirrored, -1, 1)
    angle = _degrees((np.trace(left) - 1) / 2)
    inner = directions.T @ directions
    shear = max(abs(90 - _degrees(inner[a, b])) for a, b in ((0, 1), (0, 2), (1, 2)))
    notes: list[str] = []
    if angle > _SEEN:
        notes.append(WarningNote(f"the {by} turns the volume by another {angle:.1f} degrees, which is not applied"))
    if shear > _SEEN:
        notes.append(WarningNote(f"the {by} skews the axes by up to {shear:.1f} degrees, which is not applied"))
    return notes


def _degrees(cosine: float) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
