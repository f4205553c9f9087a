"""The levels of an image, opened: which of them become mags, and why others do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wkconvert_core import BrokenSource, Mag, SourceError, Vec3, WarningNote
from wkconvert_core.toolkit.files import walk

from ..arrays import opened
from .axes import SPACE, Axes
from .formats.image import Image, Level
from .formats.store import DOCUMENTS
from .geometry import Sides, mag_of

if TYPE_CHECKING:
    import tensorstore as ts


@dataclass(frozen=True)
class OpenLevel:
    """A level and its array."""

    level: Level
    array: ts.TensorStore

    def shape(self, axes: Axes) -> Vec3:
        """Along x, y, z."""
        return Vec3(*(Axes(axes.names, tuple(self.array.shape)).size(name) for name in SPACE))


def opened_levels(image: Image) -> tuple[list[OpenLevel], list[str]]:
    """The levels of an image that can be opened, the finest first, and notes on the others.

    Raises the error of the finest.
    """
    arrays = opened([level.address for level in image.levels])
    found, notes = [], []
    for level, array in zip(image.levels, arrays, strict=True):
        if not isinstance(array, SourceError):
            found.append(OpenLevel(level, array))
        elif not found:
            raise array
        else:
            notes.append(WarningNote(f"level {level.path} is left out and made anew: {array}"))
    return found, [*notes, *_emptiness(found[0])]


def _emptiness(finest: OpenLevel) -> Iterator[str]:
    """A warning if no chunk is stored, so that all voxels are the fill value.

    Raises BrokenSource if there are files which are named otherwise than the metadata say.
    """
    array, address = finest.array, finest.level.address
    try:
        is_empty = array.storage_statistics(query_not_stored=True).result().not_stored
    except (ValueError, NotImplementedError):  # servers list nothing
        return
    if not is_empty:
        return
    place = address.place
    files = walk(place) if isinstance(place, Path) and address.inner is None else ()
    found = next((name for _, _, names in files for name in names if name not in DOCUMENTS), None)
    if found:
        raise BrokenSource(
            f"{place} has files such as {found}, but none that its metadata name as a chunk",
            why="all voxels would be read as the fill value, as where chunks are missing",
            fix="correct the metadata (the separator of a chunk's indices, mostly), or copy the array again",
        )
    yield WarningNote(f"{finest.level.path or place} stores no chunk: all its voxels have the fill value")


def mags_of(axes: Axes, levels: list[OpenLevel], start: Vec3) -> tuple[Mapping[Mag, OpenLevel], list[str]]:
    """The levels that are mags of the finest one, and notes on those that are not."""
    finest = levels[0]
    mags = {Mag(1, 1, 1): finest}
    left: dict[str, list[str]] = {}
    for level in levels[1:]:
        mag = _mag_of(axes, finest, level, start)
        if isinstance(mag, Mag) and any(max(mag) == max(other) for other in mags):
            mag = f"another level has the mag {mag}"
        if isinstance(mag, Mag):
            mags[mag] = level
        else:
            left.setdefault(mag, []).append(level.level.path)
    notes = [f"level {', '.join(paths)} is made anew: {why}" for why, paths in left.items()]
    return mags, notes


def _mag_of(axes: Axes, finest: OpenLevel, level: OpenLevel, start: Vec3) -> Mag | str:
    """The mag of a level, or why it is none."""
    if level.array.rank != finest.array.rank or level.array.dtype != finest.array.dtype:
        return f"it is {level.array.dtype.name} with {level.array.rank} axes"
    own = Axes(axes.names, tuple(level.array.shape))
    if any(own.shape[number] != axes.shape[number] for number in range(len(axes.names)) if number not in axes.spatial):
        return f"its axes are {own}"
    fine, coarse = Sides.of(axes, finest.level), Sides.of(axes, level.level)
    return mag_of(fine, coarse, finest.shape(axes), level.shape(axes), start)
