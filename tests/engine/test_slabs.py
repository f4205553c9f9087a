"""Slabs in a folder of pieces, which several machines fill and read."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core import VolumeInfo
from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.contract.geometry import Box
from wkconvert_core.engine.slabs import SharedSlab


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 30)] * 3),
    part=st.tuples(*[st.integers(1, 20)] * 3),
    start=st.tuples(*[st.integers(-5, 5)] * 3),
    corner=st.tuples(*[st.integers(0, 9)] * 3),
    channels=st.integers(1, 2),
)
def test_a_slab_of_pieces_gives_what_was_filled_in(tmp_path_factory, shape, part, start, corner, channels):
    voxels = np.random.default_rng(0).integers(0, 1000, (channels, *shape)).astype("uint16")
    box = Box(corner, shape)
    info = VolumeInfo(tuple(a + b for a, b in zip(corner, shape, strict=True)), voxels.dtype, channels)
    folder = tmp_path_factory.mktemp("slab") / "slab"
    slab = SharedSlab(info, box, folder, (8, 8, 8), (3, 0, 5), part, start)
    slab.reserve()
    for piece in slab.parts():
        slab.fill(piece, voxels[:, *piece.slices_in(box)])
    assert len(list(folder.iterdir())) == len(list(slab.parts()))
    for cell in box.shifted(slab.origin).tiles(slab.cell):
        wanted = cell.shifted(tuple(-a for a in slab.origin))
        np.testing.assert_array_equal(slab.read(wanted), voxels[:, *wanted.slices_in(box)])


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_piece_that_is_lost_or_cut_is_named(tmp_path, harm):
    voxels = np.ones((1, 20, 20, 20), "uint16")
    box = Box((0, 0, 0), (20, 20, 20))
    info = VolumeInfo(box.shape, voxels.dtype)
    slab = SharedSlab(info, box, tmp_path / "slab", (8, 8, 8), (0, 0, 0), (20, 20, 20), (0, 0, 0))
    slab.reserve()
    slab.fill(box, voxels)
    (piece,) = (tmp_path / "slab").iterdir()
    harm(piece)
    with pytest.raises(ResourceError, match=f"scratch file {piece} was lost"):
        slab.read(box)
