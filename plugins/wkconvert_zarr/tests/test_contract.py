"""What each reader promises, held by the kit on arrays of zarr-python."""

import numpy as np
import pytest
from zarrs import saved, volume

from wkconvert_core.testing import Sample, SourceContract

VOXELS = volume(2, 70, 50, 40, dtype="uint16")

SAMPLE = {
    "c, x, y, z": lambda to: Sample(saved(to / "a", VOXELS), expected=VOXELS),
    "z, y, x, in shards": lambda to: Sample(
        saved(to / "a", VOXELS[0].T.copy(), axes="zyx", chunks=(16, 16, 16), shards=(32, 32, 32)),
        expected=VOXELS[:1],
    ),
}


class TestContract(SourceContract):
    @pytest.fixture(params=SAMPLE)
    def sample(self, request, tmp_path):
        return SAMPLE[request.param](tmp_path)


def test_the_names_of_axes_count_in_any_order(tmp_path):
    from zarrs import READER

    moved = np.ascontiguousarray(np.moveaxis(VOXELS, 0, 2))
    assert np.array_equal(READER.voxels(saved(tmp_path / "a", moved, axes="xycz")), VOXELS)
