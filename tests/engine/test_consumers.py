"""Consumers of a sink's shards: what is measured of them, and that what was written is what is there."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.npy_volumes import FileSink, FileSource

from wkconvert_core import Box
from wkconvert_core.contract.errors import DamagedData
from wkconvert_core.engine.consumers import VerifyShards, WriteShards

BOX = Box((0, 0, 0), (4, 4, 4))


def sink_of(tmp_path, voxels, category="color"):
    sink = FileSink.make(tmp_path / "sink", FileSource.make(tmp_path / "source.npy", voxels), (4, 4, 4))
    return replace(sink, spec=replace(sink.spec, category=category))


@pytest.mark.parametrize(
    ("dtype", "category", "measured"),
    [("uint8", "color", (None, None)), ("uint8", "segmentation", (3, 9)), ("int16", "color", (3, 9))],
)
def test_values_are_measured_where_the_metadata_state_them(tmp_path, dtype, category, measured):
    voxels = np.full((1, 4, 4, 4), 3, dtype)
    voxels[0, 1, 2, 3] = 9
    done = WriteShards(sink_of(tmp_path, voxels, category))(BOX, voxels)
    assert (done.low, done.high, done.voxels) == (*measured, 64)


def test_a_sink_that_copies_nothing_encoded_gets_voxels(tmp_path):
    voxels = np.ones((1, 4, 4, 4), "uint8")
    sink = sink_of(tmp_path, voxels)
    assert WriteShards(sink).take_encoded(BOX, sink) is None
    assert not sink.has(BOX)


def test_the_first_voxel_that_was_not_written_is_named(tmp_path):
    voxels = np.array([np.nan] * 63 + [5], "float32").reshape(1, 4, 4, 4)
    sink = sink_of(tmp_path, voxels)
    WriteShards(sink)(BOX, voxels)
    assert VerifyShards(sink)(BOX, voxels) == 64
    voxels[0, 3, 3, 3] = 6
    with pytest.raises(DamagedData, match="first at x 3, y 3, z 3") as caught:
        VerifyShards(sink)(BOX, voxels)
    assert "is 5.0 instead of 6.0" in caught.value.why
