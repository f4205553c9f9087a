"""The Source: the cubes of one mag, read from the files that lie in their folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wkconvert_core import Box, SourceNotFound, Vec3Like, VolumeInfo
from wkconvert_core.toolkit.files import exists

from .cube_file import Array, read
from .tree import best_name, cube_folder, files


@dataclass(frozen=True)
class CubeSource:
    """A mag in cubes; missing ones are zero. Holds no list of cubes: each is looked for when it is read."""

    folder: Path
    """Of the mag: it holds `x0000` and so on."""
    given: int
    """Number of levels below `folder` that the opened path fixes; these may be links."""
    suffixes: tuple[str, ...]
    """Suffixes of the cubes; of several cubes in one place, the one with the first suffix is read."""
    cube: Vec3Like
    start: Vec3Like
    """The first voxel, in the voxels of the mag, counted from the first voxel of cube (0, 0, 0)."""
    witness: Path
    """A cube that existed: if it is gone, the dataset is out of reach, and missing cubes mean nothing."""
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels of a box `[1, x, y, z]`, x contiguous in memory. Raises BrokenSource, SourceNotFound."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        wanted = box.shifted(self.start)
        out = np.zeros(wanted.shape[::-1], self.info.dtype).T
        for part in wanted.tiles(self.cube):
            cell = part.aligned(self.cube)
            if path := self._find(cell.coarsened(self.cube).start):
                out[part.slices_in(wanted)] = read(path, self.cube, part - cell.start)
        return out[np.newaxis]

    def _find(self, index: Vec3Like) -> Path | None:
        folder = cube_folder(self.folder, index, self.given)
        name = best_name(files(folder), self.suffixes) if folder else None
        if folder and name:
            return folder / name
        if not exists(self.witness):
            raise SourceNotFound(
                f"{self.witness} is gone",
                why="it was there when the dataset was opened, so other cubes may have gone with it",
                fix="bring the dataset back, then repeat this",
            )
        return None
