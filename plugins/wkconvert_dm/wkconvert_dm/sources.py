"""The Sources: one image of a file, and a folder of slices."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wkconvert_core import Box, VolumeInfo
from wkconvert_core.toolkit.stacks import Gaps, with_gaps

from .choosing import choose
from .files import list_folder
from .images import read_images
from .kinds import Array, Component
from .messages import changed
from .voxels import State, Voxels, state_of


@dataclass(frozen=True)
class DmVolume:
    """One image of a DM file: a slice or a stack of them."""

    voxels: Voxels
    component: Component | None
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`; raises SourceNotFound, BrokenSource."""
        out = _empty(self.info, box)
        self.voxels.fill(out, box, self.component)
        return out.transpose(0, 3, 2, 1)


@dataclass(frozen=True)
class DmStack:
    """A folder of DM files, a slice each; holds names only, headers are read once in each process."""

    folder: str
    gaps: Gaps
    object: int | None
    component: Component | None
    digest: str
    """Of the files when they were opened."""
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`, zeros where slices are missing or too small.

        Raises SourceNotFound, BrokenSource.
        """
        out = _empty(self.info, box)
        files = files_of(self.folder, self.gaps, self.digest)
        for z, file in enumerate(files[box.start[2] : box.stop[2]]):
            if file is not None:
                self._fill(out[:, z : z + 1], slice_of(*file, self.object), box)
        return out.transpose(0, 3, 2, 1)

    def _fill(self, out: Array, found: Voxels, box: Box) -> None:
        """Fill `out[c, 1, y, x]` with a slice's part of a box, as far as the slice reaches."""
        (x, y, _), (width, height, _) = box.start, box.shape
        part = Box((x, y, 0), (width, height, 1)).intersection(Box((0, 0, 0), found.shape))
        if part.volume:
            found.fill(out[:, :, : part.shape[1], : part.shape[0]], part, self.component)


def _empty(info: VolumeInfo, box: Box) -> Array:
    """Zeros `[c, z, y, x]` for a box of a volume."""
    if box not in info.box:
        raise ValueError(f"{box} is not within {info.box}")
    return np.zeros((info.channels, *box.shape[::-1]), info.dtype)


@lru_cache(maxsize=8)
def files_of(folder: str, gaps: Gaps, digest: str) -> tuple[tuple[str, State] | None, ...]:
    """The files of a stack in order, None for each that is missing; raises BrokenSource if they have changed."""
    names = list_folder(folder).names
    states = states_of(folder, names)
    if digest_of(states) != digest:
        raise changed(folder, "files have come, gone or been written again")
    files = dict(zip(names, states.items(), strict=True))
    return tuple(None if name is None else files[name] for name in with_gaps(folder, names, gaps))


def states_of(folder: str, names: Sequence[str]) -> dict[str, State]:
    """The paths of a folder's files, each with its size and time."""
    paths = [os.path.join(folder, name) for name in names]  # noqa: PTH118 - there may be very many
    return {path: state_of(path) for path in paths}


def digest_of(states: Mapping[str, State]) -> str:
    """A fingerprint of files' paths, sizes and times."""
    found = hashlib.sha256()
    for path, state in states.items():
        found.update(os.fsencode(path) + b"\0%d\0%d\0" % state)
    return found.hexdigest()[:16]


@lru_cache(maxsize=1 << 14)
def slice_of(path: str, state: State, object: int | None) -> Voxels:
    """The image of one file of a stack, which is as it was when it was in that state."""
    return Voxels(path, state, choose(path, read_images(path), object))
