"""The Sources: one image of a file, and a folder of slices. No handle stays open between two reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wkconvert_core import Box, InconsistentStack, UnsupportedSource, Vec3Like, VolumeInfo
from wkconvert_core.toolkit.files import State, changed, raw_file, reading, state_of
from wkconvert_core.toolkit.folders import digest, list_folder
from wkconvert_core.toolkit.raw_rows import cheap_run, pieces, read_box
from wkconvert_core.toolkit.stacks import Gaps, Naming, with_gaps

from .choosing import choose
from .detection import SUFFIXES
from .images import Image, read_images
from .kinds import KINDS, Array, Component, decoded, size_of

_PIECE = 1 << 20
"""Bytes of stored values that are held beside the result."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in a file whose header was read."""

    path: str
    state: State
    """Of the file when its header was read."""
    image: Image

    @property
    def shape(self) -> Vec3Like:
        """Along x, y, z."""
        x, y, z = [*self.image.size, 1][:3]
        return x, y, z

    @property
    def run(self) -> int:
        """Voxels along x that cost about as much to read as one."""
        return cheap_run(self.shape[0], size_of(self.image.kind))

    def fill(self, out: Array, box: Box, component: Component | None) -> None:
        """Fill `out[c, x, y, z]` with a box of the image. Raises SourceNotFound, BrokenSource."""
        stored = np.dtype(self.image.order + KINDS[self.image.kind].stored)
        with reading(self.path), raw_file(self.path) as file:
            now = os.fstat(file.fileno())
            if (now.st_size, now.st_mtime_ns) != self.state:
                how = f"it had {self.state[0]} bytes and has {now.st_size}, or was written again"
                raise changed(self.path, how)
            for piece in pieces(box, _PIECE // stored.itemsize):
                voxels = read_box(file, piece, self.shape, stored, start=self.image.offset)
                out[:, *piece.slices_in(box)] = decoded(voxels[0], self.image.kind, component)


@dataclass(frozen=True)
class DmVolume:
    """One image of a DM file: a slice or a stack of them."""

    stored: StoredImage
    component: Component | None
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`. Raises SourceNotFound, BrokenSource."""
        out = _zeros(self.info, box)
        self.stored.fill(out, box, self.component)
        return out


@dataclass(frozen=True)
class DmStack:
    """A folder with a DM file per slice. Holds no names: files are listed and headers read once in each process."""

    folder: str
    gaps: Gaps
    naming: Naming
    object: int | None
    component: Component | None
    digest: str
    """Of the files when they were opened."""
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`, zeros where slices are missing or too small.

        Raises SourceNotFound, BrokenSource.
        """
        out = _zeros(self.info, box)
        for z, file in enumerate(
            files_of(self.folder, self.gaps, self.naming, self.digest)[box.start[2] : box.stop[2]]
        ):
            if file is None:
                continue
            found = slice_of(*file, self.object)
            part = Box((*box.start[:2], 0), (*box.shape[:2], 1)).intersection(Box((0, 0, 0), found.shape))
            if part.volume:
                found.fill(out[:, : part.shape[0], : part.shape[1], z : z + 1], part, self.component)
        return out


def _zeros(info: VolumeInfo, box: Box) -> Array:
    """Zeros `[c, x, y, z]` for a box of a volume, x contiguous."""
    if box not in info.box:
        raise ValueError(f"{box} is not within {info.box}")
    return np.zeros((info.channels, *box.shape[::-1]), info.dtype).transpose(0, 3, 2, 1)


@lru_cache(maxsize=8)
def files_of(folder: str, gaps: Gaps, naming: Naming, expected: str) -> tuple[tuple[str, State] | None, ...]:
    """Path and state of each slice in order, None for each that is missing. Raises BrokenSource if they have changed.

    `expected` is their digest when they were opened.
    """
    how = "files have come, gone or been written again"
    try:
        entries = with_gaps(folder, list_folder(folder, SUFFIXES).names, gaps, naming)
    except (InconsistentStack, UnsupportedSource) as error:  # the names of the files no longer make the stack
        raise changed(folder, how) from error
    states = states_of(folder, [name for name in entries if name is not None])
    if digest(states.items()) != expected:
        raise changed(folder, how)
    files = iter(states.items())
    return tuple(None if name is None else next(files) for name in entries)


def states_of(folder: str, names: Sequence[str]) -> dict[str, State]:
    """The state of each of a folder's files, by its path. Raises SourceNotFound, BrokenSource."""
    paths = [os.path.join(folder, name) for name in names]  # noqa: PTH118 - there may be very many
    return {path: state_of(path) for path in paths}


@lru_cache(maxsize=1 << 14)
def slice_of(path: str, state: State, object: int | None) -> StoredImage:
    """The image of one file of a stack, cached as long as the file is in that state."""
    return StoredImage(path, state, choose(path, read_images(path), object))
