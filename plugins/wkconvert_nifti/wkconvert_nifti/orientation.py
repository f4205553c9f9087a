"""How a file's axes lie in space, and how they become x, y, z.

`canonical`: x runs to the subject's right, y to the front, z to the top (RAS+), as closely as mirrored and exchanged
axes come to it. Nothing is resampled: a note gives the rotation that remains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wkconvert_core import Affine, Box, Turn, Vec3Like, WarningNote

from .axes import Axes
from .bytestream import Array
from .header import Header

Orientation = Literal["canonical", "stored"]
Form = Literal["sform", "qform"]

_SEEN = 0.05
"""Degrees from which an angle is noted; smaller ones come from rounding to float32."""
_OFF = 0.25
"""By how many voxels sform and qform may differ anywhere in the volume."""


@dataclass(frozen=True)
class Pose:
    """How the stored axes become x, y, z, and where the volume lies in space."""

    axes: Axes
    form: str = ""
    """The form that counts; empty if none does."""
    affine: Affine | None = None
    """None where no form states it, or both contradict each other."""
    turned: Turn | None = None
    notes: tuple[str, ...] = ()


def pose_of(header: Header, wanted: Orientation | None, form: Form | None) -> Pose:
    """How a volume lies: by `form`, else by the sform where it has a code, else by the qform, as in nibabel.

    `wanted` None is canonical, which a layer of another format beside it may contradict.
    """
    x, y, z = header.shape[:3]
    stored = Axes((x, y, z))
    forms: dict[str, Array] = {
        name: affine for name in ("sform", "qform") if (affine := getattr(header, name)) is not None
    }
    counts = form if form in forms else next(iter(forms), "")
    if not counts or (directions := _directions(forms[counts])) is None:
        is_no_rotation = int(header.fields["qform_code"]) > 0
        why = "the file's qform is no rotation" if is_no_rotation else "the file states no orientation"
        if counts:
            why = f"the file's {counts} is singular"
        return Pose(stored, notes=(WarningNote(f"{why}: x, y, z are its axes as stored"),))
    order, mirrored = _closest(directions)
    name = _name(order, mirrored)
    told, agree = _contradiction(header, forms) if form is None else ([], True)
    notes = [*_angles(directions, order, mirrored, counts), *told]
    if wanted == "stored":
        notes.insert(0, f"x, y, z are the file's axes as stored, which run {name} ({counts})")
        return Pose(stored, counts, _affine(header, stored, counts) if agree else None, None, tuple(notes))
    axes, turned = Axes(stored.shape, order, mirrored), None
    if name != "RAS":
        notes.insert(0, f"axes turned from {name} ({counts}) to RAS: x runs to the right, y to the front, z to the top")
        fix = "say -o orientation=stored to take the axes as they are stored, or canonical to turn them nevertheless"
        turned = Turn(f"from {name} to RAS", fix) if wanted is None else None
    return Pose(axes, counts, _affine(header, axes, counts) if agree else None, turned, tuple(notes))


def _affine(header: Header, axes: Axes, form: str) -> Affine:
    """Where x, y, z lead in space, and where their first voxel lies."""
    stored: Array = getattr(header, form)
    corner = axes.stored(Box((0, 0, 0), (1, 1, 1))).start
    origin = stored[:3, :3] @ corner + stored[:3, 3]
    steps = stored[:3, list(axes.order)] * np.where(axes.mirrored, -1, 1)
    x, y, z, first = (_point(vector) for vector in (*steps.T, origin))
    return Affine(x, y, z, first, header.unit, f"{form}, {header.space(form)}")


def _point(vector: Array) -> tuple[float, float, float]:
    x, y, z = (float(number) + 0.0 for number in vector)  # no -0.0
    return x, y, z


def _contradiction(header: Header, forms: Mapping[str, Array]) -> tuple[list[str], bool]:
    """A note if both forms are there and lay the volume elsewhere; and whether its axes run alike by both."""
    runs = {form: _name(*_closest(found)) for form, it in forms.items() if (found := _directions(it)) is not None}
    if len(runs) < 2:
        return [], True
    told = "the sform counts; -o form=qform takes the qform"
    if runs["sform"] != runs["qform"]:
        by_form = " and ".join(f"{run} by the {form}" for form, run in runs.items())
        return [WarningNote(f"sform and qform contradict each other: its axes run {by_form}; {told}")], False
    far = np.append(np.array(header.shape[:3]) - 1, 1)
    corners = np.array([(i, j, k, 1) for i in (0, far[0]) for j in (0, far[1]) for k in (0, far[2])])
    between = np.linalg.inv(forms["sform"]) @ forms["qform"] @ corners.T - corners.T
    off = float(np.abs(between).max())
    if off <= _OFF:
        return [], True
    spaces = {header.space(form) for form in forms}
    text = f"sform ({header.space('sform')}) and qform ({header.space('qform')}) differ by up to {off:.3g} voxels"
    return [WarningNote(f"{text}: {told}") if len(spaces) == 1 else f"{text}: {told}"], True


def _directions(affine: Array) -> Array | None:
    """Unit vectors `[space, stored axis]` of i, j, k; None if they do not span the space."""
    axes = affine[:3, :3]
    with np.errstate(all="ignore"):
        lengths = np.sqrt((axes**2).sum(axis=0))
        directions = axes / lengths
        sound = np.isfinite(directions).all() and abs(np.linalg.det(directions)) > 1e-6
    return directions if sound else None


def _closest(directions: Array) -> tuple[Vec3Like, tuple[bool, bool, bool]]:
    """The stored axis that becomes each of x, y, z, and whether it is mirrored."""
    from nibabel import orientations

    untyped: Any = orientations
    leads = untyped.io_orientation(np.pad(directions, (0, 1))).tolist()
    x, y, z = sorted(range(3), key=lambda stored: leads[stored][0])
    return (x, y, z), (leads[x][1] < 0, leads[y][1] < 0, leads[z][1] < 0)


def _name(order: Vec3Like, mirrored: tuple[bool, bool, bool]) -> str:
    """The directions in which i, j, k run: `LAS` is left, anterior, superior.

    >>> _name((0, 1, 2), (True, False, False)), _name((2, 0, 1), (False, False, False))
    ('LAS', 'ASR')
    """
    letters = {order[axis]: ("RAS", "LPI")[mirrored[axis]][axis] for axis in range(3)}
    return "".join(letters[stored] for stored in range(3))


def _angles(directions: Array, order: Vec3Like, mirrored: tuple[bool, bool, bool], form: str) -> list[str]:
    """Notes on the rotation and shear that remain after turning by 90 degrees and mirroring."""
    rotation, _, back = np.linalg.svd(directions)
    straight = rotation @ back  # the rotation closest to the directions, which may be sheared (polar decomposition)
    left = straight[:, list(order)] * np.where(mirrored, -1, 1)
    angle = _degrees((np.trace(left) - 1) / 2)
    inner = directions.T @ directions
    shear = max(abs(90 - _degrees(inner[a, b])) for a, b in ((0, 1), (0, 2), (1, 2)))
    notes: list[str] = []
    if angle > _SEEN:
        notes.append(WarningNote(f"the {form} turns the volume by another {angle:.1f} degrees, which is not applied"))
    if shear > _SEEN:
        notes.append(WarningNote(f"the {form} skews the axes by up to {shear:.1f} degrees, which is not applied"))
    return notes


def _degrees(cosine: float) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
