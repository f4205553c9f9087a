import numpy as np
import pytest
from helpers.sources import InMemory
from hypothesis import given
from hypothesis import strategies as st

from wkconvert_core import Box, Mag, VolumeInfo
from wkconvert_core.viewing import planes
from wkconvert_core.viewing.planes import fitting, plane, sampled


class Slices(InMemory):
    """A volume that is decoded in boxes of `chunk`; `decoded` are their numbers."""

    def __init__(self, voxels, chunk):
        super().__init__(voxels)
        self.__dict__.update(chunk=chunk, decoded=set())

    @property
    def info(self):
        return VolumeInfo(self.voxels.shape[1:], self.voxels.dtype, len(self.voxels), chunk_shape=self.chunk)

    def read(self, box):
        self.decoded.update(cell.start // self.chunk for cell in box.aligned(self.chunk).tiles(self.chunk))
        return super().read(box)


@given(
    st.tuples(*[st.integers(1, 30)] * 3),
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(1, 20),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.data(),
)
def test_a_plane_is_every_nth_voxel_of_it(shape, channels, axis, pixels, chunk, data):
    voxels = np.random.default_rng(0).integers(0, 9999, (channels, *shape), np.uint16)
    index = data.draw(st.integers(0, shape[axis] - 1))
    expected = voxels.take(index, axis + 1)
    steps = [-(-n // pixels) for n in expected.shape[1:]]
    np.testing.assert_array_equal(
        plane(Slices(voxels, chunk), axis, index, pixels), expected[:, :: steps[0], :: steps[1]]
    )


def test_a_plane_across_a_stack_decodes_as_many_slices_as_it_has_pixels():
    source = Slices(np.zeros((1, 8, 8, 1000), np.uint8), (8, 8, 1))
    assert plane(source, 1, 4, pixels=100).shape == (1, 8, 100)
    assert len(source.decoded) == 100


def test_the_mag_that_fits_is_the_coarsest_with_enough_voxels():
    mags = {Mag(n, n, 1): InMemory(np.zeros((1, 800 // n, 300 // n, 9), np.uint8)) for n in (1, 2, 4)}
    assert fitting(mags, 400) == Mag(2, 2, 1)
    assert fitting(mags, 100) == Mag(4, 4, 1)
    assert fitting(mags, 5000) == Mag(1, 1, 1)


@pytest.mark.parametrize("start", [(0, 0, 0), (3, 1, 2)])
def test_a_box_that_would_fill_the_memory_is_read_in_parts_that_share_no_chunk(monkeypatch, start):
    monkeypatch.setattr(planes, "AT_ONCE", 1000)
    monkeypatch.setattr(planes, "SIDE", 10)  # of chunks of 4 x 4 x 4, two
    read = []

    class Watched(Slices):
        def read(self, box):
            read.append(box)
            return super().read(box)

    voxels = np.random.default_rng(0).integers(0, 255, (1, 40, 30, 20), np.uint8)
    taken = sampled(Watched(voxels, (4, 4, 4)), Box.between(start, (40, 30, 20)), (3, 2, 4))
    np.testing.assert_array_equal(taken, voxels[:, start[0] :: 3, start[1] :: 2, start[2] :: 4])
    assert max(box.volume for box in read) <= 8**3
    chunks = [cell for box in read for cell in box.aligned((4, 4, 4)).tiles((4, 4, 4))]
    assert len(chunks) == len(set(chunks))
