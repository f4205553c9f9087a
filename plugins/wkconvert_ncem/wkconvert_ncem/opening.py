"""From a file to a layer."""

from __future__ import annotations

import math
from pathlib import Path

from wkconvert_core import (
    METRES,
    Layer,
    Mag,
    OptionError,
    UnsupportedSource,
    VolumeInfo,
    VoxelSize,
    WarningNote,
    unit_symbol,
)
from wkconvert_core.toolkit.files import is_file

from .images import Image, NcemVolume, look

_LONGEST = 1e-3
"""Metres that a pixel of an electron microscope does not reach: larger numbers count reciprocal metres."""


def open_ncem(path: Path, *, element: int | None = None) -> list[Layer]:
    """A file as a layer; of a series, `element` is the number of one image. Raises SourceError, OptionError."""
    if not is_file(path):
        raise UnsupportedSource(f"{path} is no file", why="a file is read at a time", fix="give the .ser or .img file")
    image = look(path)
    notes: list[str] = []
    if element is not None and not 0 <= element < image.count:
        raise OptionError(f"{path} has no image {element}", fix=f"-o element takes 0 to {image.count - 1}")
    x, y, z = image.shape
    if image.count > 1 and element is None:
        if len(image.planned) > 1:
            raise UnsupportedSource(
                f"{path} holds a map of {' x '.join(map(str, image.planned))} images",
                why="a layer has three axes",
                fix=f"take one image with -o element=N (0 to {image.count - 1})",
            )
        z = image.count
        text = f"the {z} images of a series, which may be times, are taken as slices; -o element=N takes one"
        notes.append(WarningNote(text))
        if image.planned and image.planned[0] > z:
            notes.append(WarningNote(f"of {image.planned[0]} images that were planned, {z} were recorded"))
    size, told = _voxel_size(image)
    info = VolumeInfo((x, y, z), image.dtype, voxel_size=size, chunk_shape=image.shape, notes=(*notes, *told))
    return [Layer({Mag(1, 1, 1): NcemVolume(path, image.kind, element or 0, info)})]


def _voxel_size(image: Image) -> tuple[VoxelSize | None, list[str]]:
    """The voxel size in nm, None along axes that are not measured in a length, and notes on these."""
    if image.kind == "smv":
        return None, ["its pixels are those of a detector in reciprocal space: they have no size in space"]
    sizes: list[float | None] = [None, None, None]
    others = []
    for axis, (size, unit) in enumerate(image.sizes[:3]):
        symbol = unit_symbol(unit)
        if symbol is None or not (math.isfinite(size) and 0 < size * METRES[symbol] < _LONGEST):
            others.append(f"{size:g} {unit}")
        else:
            sizes[axis] = float(f"{size * METRES[symbol] / METRES['nm']:.12g}")
    notes = [f"calibrations that are no size of a pixel are left out: {', '.join(others)}"] if others else []
    x, y, z = sizes
    return (VoxelSize((x, y, z), "nm", "calibration, by ncempy") if any(sizes) else None), notes
