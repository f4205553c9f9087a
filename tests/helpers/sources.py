"""Volumes in memory, and reading any source."""

from dataclasses import dataclass

import numpy as np

from wkconvert_core import Box, VolumeInfo


@dataclass(frozen=True, eq=False)
class InMemory:
    """A Source over an array `[c, x, y, z]`."""

    voxels: np.ndarray
    offset: tuple[int, int, int] = (0, 0, 0)

    @property
    def info(self):
        return VolumeInfo(self.voxels.shape[1:], self.voxels.dtype, len(self.voxels), offset=self.offset)

    def read(self, box: Box):
        """A view."""
        return self.voxels[:, *box.slices_in(self.info.box)]


def whole(source):
    """All voxels [c, x, y, z], in one read."""
    return source.read(source.info.box)
