"""What a mag holds: where its voxels lie, the largest of them, and which lie outside the bounding box."""

import numpy as np
import pytest
from helpers.datasets import write_by_wkw
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core import Box, Mag, MagSpec
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.datasets.properties import StoredLayer
from wkconvert_core.engine.workers import Workers
from wkconvert_core.formats.wkw import Wkw
from wkconvert_core.formats.wkw.sink import WkwSink
from wkconvert_core.formats.wkw.source import WkwSource
from wkconvert_core.inspection.compare import CompareWith, Difference
from wkconvert_core.inspection.contents import FindContents, find_contents, voxels_outside
from wkconvert_core.planning.costs import Budget

BUDGET = Budget(1 << 30, 2, shared=True, scratch=0, base=0)
ONE = Mag(1, 1, 1)


def mag(folder, voxels, extent):
    """A mag in shards of 32 voxels a side, whose metadata state an extent."""
    box = Box((0, 0, 0), voxels.shape[1:])
    sink = WkwSink(folder, MagSpec("em", "color", ONE, box, voxels.dtype, len(voxels)), "none", file_len=1)
    for shard in box.tiles(sink.shard_shape):
        sink.write(shard, voxels[:, *shard.slices_in(box)])
    return MagOnDisk("em", ONE, folder, Wkw(), StoredLayer("em", "color", extent, voxels.dtype, len(voxels), "wkw", {}))


@pytest.fixture
def read(monkeypatch):
    """The boxes that are read, in the dataset."""
    boxes, real = [], WkwSource.read
    monkeypatch.setattr(
        WkwSource, "read", lambda self, box: (boxes.append(box.shifted(self.box.start)), real(self, box))[1]
    )
    return boxes


@pytest.mark.parametrize("strategy", ["sequential", "threads", "multiprocessing"])
def test_a_voxel_outside_the_bounding_box_is_found_by_all_kinds_of_workers(tmp_path, strategy):
    voxels = np.zeros((2, 96, 96, 64), "uint16")
    voxels[:, :50, :40, :30] = 7
    extent = Box((0, 0, 0), (50, 40, 30))
    assert voxels_outside(mag(tmp_path / "a", voxels, extent), BUDGET, Workers(strategy, 2)) is None
    voxels[1, 50, 3, 4] = 1
    found = voxels_outside(mag(tmp_path / "b", voxels, extent), BUDGET, Workers(strategy, 2))
    assert found == Box((50, 3, 4), (1, 1, 1))


def test_no_shard_within_the_bounding_box_is_read_for_what_lies_outside(tmp_path, read):
    where = mag(tmp_path, np.ones((1, 96, 64, 64), "uint8"), Box((0, 0, 0), (64, 64, 64)))
    (tmp_path / "z0" / "y0" / "x2.wkw").unlink()
    voxels_outside(where, BUDGET, Workers("sequential", 1))
    assert read
    assert all(box.start[0] == 64 for box in read)


def test_the_search_ends_with_the_first_voxel_that_is_found(tmp_path, read):
    where = mag(tmp_path, np.ones((1, 320, 64, 64), "uint8"), Box((0, 0, 0), (1, 1, 1)))
    assert voxels_outside(where, BUDGET, Workers("sequential", 1))
    assert len(read) < 10 * 2 * 2 / 4


def test_a_mag_without_shards_holds_nothing(tmp_path):
    where = mag(tmp_path, np.ones((1, 32, 32, 32), "uint8"), Box((0, 0, 0), (1, 1, 1)))
    (tmp_path / "z0" / "y0" / "x0.wkw").unlink()
    assert find_contents(where, BUDGET, Workers("sequential", 1)).box is None
    assert voxels_outside(where, BUDGET, Workers("sequential", 1)) is None


@pytest.mark.parametrize(("dtype", "largest"), [("int8", 0), ("float32", None)])
def test_the_largest_value_is_one_of_integers_and_not_negative(dtype, largest):
    box = Box((10, 20, 30), (4, 4, 4))
    find = FindContents("em", ONE, box, (4, 4, 4))
    found = find(box, np.full((1, 4, 4, 4), -3, dtype))
    assert (found.voxels, found.box, found.largest) == (64, box, largest)


def test_the_first_difference_is_the_lowest_in_z_then_y_x_and_c(tmp_path):
    ours = np.zeros((2, 32, 32, 32), "uint8")
    where = mag(tmp_path, ours, Box((0, 0, 0), (32, 32, 32)))
    compare = CompareWith(where.open(), "em", ONE, where.box, (32, 32, 32))
    ours[1, 5, 9, 3] = ours[0, 6, 9, 3] = ours[0, 1, 1, 4] = 8
    assert compare(where.box, ours) == (32**3, Difference(3, (5, 9, 3), 1, (8, 0)))


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.data())
def test_any_voxels_are_found_where_they_are(tmp_path_factory, data):
    points = data.draw(st.lists(st.tuples(st.integers(0, 150), *[st.integers(0, 90)] * 2), min_size=1, max_size=6))
    folder = tmp_path_factory.mktemp("contents") / "em" / "1"
    volume = np.zeros((2, 160, 96, 96), np.int16, order="F")  # else all of it is turned to be written
    for number, point in enumerate(points):
        volume[(number % 2, *point)] = number - 2 or 9
    write_by_wkw(
        folder, volume, file_len=data.draw(st.sampled_from([1, 4])), block_type=data.draw(st.sampled_from([1, 2]))
    )
    where, low, high = MagOnDisk("em", ONE, folder, Wkw()), np.min(points, axis=0), np.max(points, axis=0) + 1
    expected = Box(tuple(map(int, low)), tuple(map(int, high - low)))
    for outline in (True, False):
        found = find_contents(where, BUDGET, Workers("threads", 2), None, outline=outline)
        assert found.box == expected
    assert found.largest == max(0, int(volume.max()))


def test_an_outline_leaves_the_inside_unread(tmp_path, read):
    folder = write_by_wkw(tmp_path / "em/1", np.ones((1, 192, 192, 192), np.uint8), file_len=1)
    where = MagOnDisk("em", ONE, folder, Wkw())
    found = find_contents(where, BUDGET, Workers("sequential", 1), None, outline=True)
    assert found.box == Box((0, 0, 0), (192, 192, 192))
    assert len(read) <= 6**3 - 4**3
