import numpy as np
from helpers.sources import InMemory
from hypothesis import given
from hypothesis import strategies as st

from wkconvert_core import Mag, VolumeInfo
from wkconvert_core.viewing.planes import fitting, plane


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
