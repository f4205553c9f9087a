"""What each reader promises, held by the kit on images of several formats."""

import pytest
from images import coarser, n5, ome, zyx
from test_reading_plain import zipped
from zarrs import volume

from wkconvert_core.testing import Sample, SourceContract

VOXELS = volume(70, 50, 40, dtype="uint16")
LEVELS = [zyx(VOXELS), coarser(zyx(VOXELS), (1, 2, 2))]

SAMPLE = {
    "OME-Zarr, sharded": lambda to: ome(to / "a", LEVELS, factor=[1, 2, 2], chunks=(16, 16, 16), shards=(32, 32, 32)),
    "OME-Zarr, zipped": lambda to: zipped(ome(to / "folder", LEVELS[:1], version="0.4"), to / "a.ozx"),
    "N5": lambda to: n5(to / "a", VOXELS, block=32),
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLE)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return Sample(SAMPLE[request.param](tmp_path_factory.mktemp("sample")), expected=VOXELS[None])
