"""The levels of an image, opened: which of them become mags, and why others do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wkconvert_core import BrokenSource, Mag, SourceError, UnsupportedSource, Vec3, WarningNote
from wkconvert_core.toolkit.files import files_below

from ..arrays import opened, without_keys
from .axes import SPACE, Axes
from .formats.image import Image, Level
from .formats.store import DOCUMENTS
from .geometry import Sides, mag_of
from .packed import is_packed

if TYPE_CHECKING:
    import tensorstore as ts


_MOST_CHUNK = 16 << 30
"""Most bytes of a chunk."""
_FEW = 1 << 30
"""Up to this many bytes, a chunk may be far larger than its array."""


@dataclass(frozen=True)
class OpenLevel:
    """A level and its array."""

    level: Level
    array: ts.TensorStore
    packed: bool = False
    """Whether the files of chunks are compressed once more."""

    def shape(self, axes: Axes) -> Vec3:
        """Along x, y, z."""
        return Vec3(*(Axes(axes.names, tuple(self.array.shape)).size(name) for name in SPACE))


def opened_levels(image: Image) -> tuple[list[OpenLevel], list[str]]:
    """The levels of an image that can be opened and store something, the finest first, and notes on the others.

    Raises the error of the finest.
    """
    arrays = opened([level.address for level in image.levels])
    found: list[OpenLevel] = []
    notes: list[str] = []
    for level, array in zip(image.levels, arrays, strict=True):
        if isinstance(array, SourceError):
            if not found:
                raise array
            notes.append(WarningNote(f"level {level.path} is left out and made anew: {array}"))
            continue
        _check_chunk(level, array)
        one = OpenLevel(level, array, _is_on_disk(level) and bool(is_packed(level.address, array)))
        if not _stores_nothing(one):
            found.append(one)
        elif found:
            notes.append(WarningNote(f"level {level.path} stores no chunk, and is made anew"))
        else:
            found.append(one)
            notes.append(
                WarningNote(f"{level.path or image.store} stores no chunk: all its voxels have the fill value")
            )
    return found, notes


def chunk_of(array: ts.TensorStore) -> tuple[int, ...]:
    """The lengths of a chunk, which is decoded whole, along the array's axes."""
    lengths = array.chunk_layout.read_chunk.shape or array.shape
    return tuple(length or whole for length, whole in zip(lengths, array.shape, strict=True))


def _check_chunk(level: Level, array: ts.TensorStore) -> None:
    """Raise UnsupportedSource for chunks that are no chunks: tensorstore would end the program for want of memory."""
    needed, size = (math.prod(shape) * array.dtype.numpy_dtype.itemsize for shape in (chunk_of(array), array.shape))
    if needed > _MOST_CHUNK or needed > max(_FEW, 8 * size):
        where = level.path or without_keys(str(level.address.place))
        raise UnsupportedSource(
            f"{where} has chunks of {' x '.join(map(str, chunk_of(array)))} voxels",
            why=f"each is decoded whole, and takes {needed / 2**30:.3g} GiB",
            fix="write it again with smaller chunks, such as 64 x 64 x 64; or correct the metadata if they are wrong",
        )


def _is_on_disk(level: Level) -> bool:
    """Whether it is a precomputed volume on this machine."""
    return level.address.driver == "neuroglancer_precomputed" and isinstance(level.address.place, Path)


def _stores_nothing(level: OpenLevel) -> bool:
    """Whether no chunk is stored, so that all voxels are the fill value; False where that cannot be told: on servers.

    Raises BrokenSource if there are files which are named otherwise than the metadata say.
    """
    array, address = level.array, level.level.address
    if _is_on_disk(level.level):
        return is_packed(address, array) is None
    if isinstance(address.place, str):  # a bucket would list all chunks
        return False
    try:
        if not array.storage_statistics(query_not_stored=True).result().not_stored:
            return False
    except (ValueError, NotImplementedError):
        return False
    place = address.place
    files = files_below(place) if isinstance(place, Path) and address.inner is None else ()
    if found := next((path.name for path in files if path.name not in DOCUMENTS), None):
        raise BrokenSource(
            f"{place} has files such as {found}, but none that its metadata name as a chunk",
            why="all voxels would be read as the fill value, as where chunks are missing",
            fix="correct the metadata (the separator of a chunk's indices, mostly), or copy the array again",
        )
    return True


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
