"""What the examples in docstrings take for granted."""

import numpy as np
import pytest

from wkconvert_core import Box, VolumeInfo


class InMemory:
    """A Source over an array `[c, x, y, z]`."""

    def __init__(self, voxels):
        self.voxels = voxels
        self.info = VolumeInfo(voxels.shape[1:], voxels.dtype, len(voxels))

    def read(self, box: Box):
        """A view."""
        return self.voxels[:, *box.slices_in(self.info.box)]


@pytest.fixture(autouse=True)
def names(doctest_namespace):
    """Let examples say `in_memory([1, 2, 3])` for a Source of three voxels along x."""
    doctest_namespace["in_memory"] = lambda row, dtype="uint8": InMemory(np.array(row, dtype).reshape(1, -1, 1, 1))
