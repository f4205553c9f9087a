"""From DICOM to layers: slices in order, turned as their positions say, slope and intercept applied as for NIfTI."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from wkconvert_core import (
    Box,
    Category,
    InconsistentStack,
    Layer,
    Mag,
    OptionError,
    UnsupportedSource,
    VolumeInfo,
    VoxelSize,
    WarningNote,
)
from wkconvert_core.toolkit.files import changed
from wkconvert_core.toolkit.folders import digest
from wkconvert_core.toolkit.stacks import Gaps
from wkconvert_core.toolkit.volumes.axes import Axes
from wkconvert_core.toolkit.volumes.choosing import check_layers, groups
from wkconvert_core.toolkit.volumes.orientation import Orientation, as_stored, pose
from wkconvert_core.toolkit.volumes.scaling import Scale, Slope, meaning

from .header import Array, DType
from .series import Stack, stack_of
from .slices import Slice, pixels, stored_dtype


@dataclass(frozen=True)
class DicomVolume:
    """A volume of slices. Holds no names: files are listed, and headers read, once in each process."""

    path: Path
    series: str | None
    gaps: Gaps
    volume: int
    digest: str
    """Of the series' files when they were opened."""
    slope: Slope
    ids: bool
    """Whether the scaled values are ids."""
    axes: Axes
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`, zeros where slices are missing. Raises SourceNotFound, BrokenSource."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        out = np.zeros((self.info.channels, *box.shape[::-1]), self.info.dtype).transpose(0, 3, 2, 1)
        places = _places(self.path, self.series, self.gaps, self.digest)
        wanted = self.axes.stored(box)
        for plane in wanted.tiles((*wanted.shape[:2], 1), wanted.start):
            if place := places[plane.start[2]]:
                i, j, _ = plane.slices_in(Box((0, 0, 0), self.axes.shape))
                voxels = self._values(place[self.volume])[:, i, j, np.newaxis]
                out[:, *self.axes.seen(plane).slices_in(box)] = self.axes.turned(voxels)
        return out

    def _values(self, one: Slice) -> Array:
        stored = pixels(one)
        if self.slope == "ignore" or one.samples > 1 or one.scale == (1, 0):
            return stored.astype(self.info.dtype, copy=False)
        return Scale(*one.scale, ids=self.ids).values(stored, self.info.dtype, Path(one.path))


@lru_cache(maxsize=4)
def _places(path: Path, series: str | None, gaps: Gaps, expected: str) -> tuple[tuple[Slice, ...] | None, ...]:
    """The slices in order, as when they were opened. Raises BrokenSource if they have changed."""
    how = "files have come, gone or been written again"
    try:
        stack = stack_of(path, series, gaps)
    except (InconsistentStack, UnsupportedSource, OptionError) as error:
        raise changed(path, how) from error
    if _digest(stack) != expected:
        raise changed(path, how)
    return stack.places


def _digest(stack: Stack) -> str:
    return digest((one.path, one.state) for one in stack.slices)


def open_dicom(
    path: Path,
    *,
    series: str | None = None,
    orientation: Orientation | None = None,
    slope: Slope = "apply",
    volume: int | None = None,
    volumes: Literal["channels"] | None = None,
    gaps: Gaps = "error",
    category: Category | None = None,
) -> list[Layer]:
    """The layers of a series, or of a single file: one for each volume. Raises SourceError, OptionError."""
    stack = stack_of(path, series, gaps)
    first = stack.first
    shape = (*first.size, len(stack.places))
    by = "ImageOrientationPatient"
    if stack.matrix is None:
        lie = as_stored(shape, "no orientation is stated")
    else:
        lie = pose(shape, stack.matrix, orientation, unit="mm", by=by, stated=f"{by}, ImagePositionPatient")
    dtype, scaling = _scaling(path, stack, slope, ids=category == "segmentation")
    sizes = (*(first.spacing or (None, None)), stack.spacing)
    x, y, z = (sizes[axis] for axis in lie.axes.order)
    size = (
        VoxelSize((x, y, z), "mm", f"PixelSpacing{', positions of slices' if stack.spacing else ''}")
        if any(sizes)
        else None
    )
    notes = (*lie.notes, *stack.notes, *scaling)
    if first.inverted:
        bright = "photometric interpretation MONOCHROME1: small values are meant to be shown bright"
        notes += (WarningNote(f"{bright}, and are kept as stored"),)
    if stack.spacing is None:
        notes += ("the distance of slices is not known from their positions: --voxel-size ,,5 says it, in its unit",)
    count = len(first_place := next(place for place in stack.places if place))
    taken = groups(path, (*shape, count), count, volume, volumes)
    check_layers(path, len(taken))
    layers = []
    for (number,) in taken:
        info = VolumeInfo(
            lie.axes.seen_shape,
            dtype,
            first_place[number].samples,
            size,
            lie.axes.seen(Box((0, 0, 0), (*first.size, 1))).shape,
            notes=notes,
            affine=lie.affine if stack.spacing else None,
            turned=lie.turned,
        )
        source = DicomVolume(
            path, series, gaps, number, _digest(stack), slope, category == "segmentation", lie.axes, info
        )
        name = f"volume_{number}" if len(taken) > 1 else None
        layers.append(Layer({Mag(1, 1, 1): source}, name, category))
        notes = ()  # one layer carries them
    return layers


def _scaling(path: Path, stack: Stack, slope: Slope, *, ids: bool) -> tuple[DType, list[str]]:
    """The dtype of the voxels, and notes on what slope and intercept make of them. Raises UnsupportedSource."""
    native = stored_dtype(stack.first)
    scales = sorted({one.scale for one in stack.slices} - {(1.0, 0.0)})
    if not scales or stack.first.samples > 1:
        return native, []
    if any(factor == 0 for factor, _ in scales):
        raise UnsupportedSource(
            f"{path} has a RescaleSlope of 0", why="all values would be the same", fix="correct its header"
        )
    differ = len({one.scale for one in stack.slices}) > 1
    if differ and ids and slope == "apply":
        raise UnsupportedSource(
            f"{path} holds labels whose slope and intercept differ from slice to slice",
            why=f"they are {', '.join(map(str, scales[:5]))}",
            fix="say -o slope=ignore to take the ids as they are stored",
        )
    _, dtype, notes = meaning(path, native, scales[0], slope, ids=ids)
    if differ:
        notes = [f"slope and intercept differ from slice to slice; of the first: {notes[0]}"]
    return dtype, notes
