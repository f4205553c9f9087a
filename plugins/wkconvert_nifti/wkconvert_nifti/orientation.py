"""How a NIfTI file's axes lie in space: by its sform, or by its qform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from wkconvert_core import WarningNote
from wkconvert_core.toolkit.volumes.orientation import Orientation, Pose, as_stored, pose, runs

from .header import Array, Header

Form = Literal["sform", "qform"]

_OFF = 0.25
"""The voxels by which sform and qform may differ anywhere in the volume."""


def pose_of(header: Header, wanted: Orientation | None, form: Form | None) -> tuple[Pose, str]:
    """How a volume lies, and the form that counts: `form`, else the sform where it has a code, else the qform.

    The form is empty where none spans the space. `wanted` None is canonical, which a layer of another format beside it
    may contradict.
    """
    x, y, z = header.shape[:3]
    forms: dict[str, Array] = {
        name: affine for name in ("sform", "qform") if (affine := getattr(header, name)) is not None
    }
    counts = form if form in forms else next(iter(forms), "")
    if not counts:
        is_no_rotation = int(header.fields["qform_code"]) > 0
        why = "the file's qform is no rotation" if is_no_rotation else "the file states no orientation"
        if header.kind.version == 0:
            why = "a header of Analyze 7.5 does not say where x runs (nibabel and SPM: to the left; --flip x turns it)"
        return as_stored((x, y, z), why), ""
    stated = f"{counts}, {header.space(counts)}"
    found = pose((x, y, z), forms[counts], wanted, unit=header.unit, by=counts, stated=stated)
    if found.affine is None:
        return found, ""
    told, agree = _contradiction(header, forms) if form is None else ([], True)
    return replace(found, affine=found.affine if agree else None, notes=(*found.notes, *told)), counts


def _contradiction(header: Header, forms: Mapping[str, Array]) -> tuple[list[str], bool]:
    """A note if both forms are there and lay the volume elsewhere; and whether its axes run alike by both."""
    names = {form: name for form, matrix in forms.items() if (name := runs(matrix))}
    if len(names) < 2:
        return [], True
    told = "the sform counts; -o form=qform takes the qform"
    if names["sform"] != names["qform"]:
        by_form = " and ".join(f"{run} by the {form}" for form, run in names.items())
        return [WarningNote(f"sform and qform contradict each other: its axes run {by_form}; {told}")], False
    far = np.append(np.array(header.shape[:3]) - 1, 1)
    corners = np.array([(i, j, k, 1) for i in (0, far[0]) for j in (0, far[1]) for k in (0, far[2])])
    with np.errstate(all="ignore"):  # forms so large that nothing finite lies between them contradict each other, too
        between = np.linalg.inv(forms["sform"]) @ forms["qform"] @ corners.T - corners.T
        off = float(np.abs(between).max())
    if off <= _OFF:
        return [], True
    spaces = {header.space(form) for form in forms}
    text = f"sform ({header.space('sform')}) and qform ({header.space('qform')}) differ by up to {off:.3g} voxels"
    return [WarningNote(f"{text}: {told}") if len(spaces) == 1 else f"{text}: {told}"], True
