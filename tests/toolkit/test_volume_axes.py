"""Axes that are exchanged and mirrored: boxes and voxels go with them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wkconvert_core import Box
from wkconvert_core.toolkit.volumes.axes import Axes


@st.composite
def axes_and_boxes(draw):
    shape = draw(st.tuples(*[st.integers(1, 6)] * 3))
    axes = Axes(shape, tuple(draw(st.permutations(range(3)))), draw(st.tuples(*[st.booleans()] * 3)))
    corners = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in axes.seen_shape]
    return axes, Box.between(tuple(a for a, _ in corners), tuple(b for _, b in corners))


@given(axes_and_boxes())
def test_a_box_and_its_voxels_turn_alike(drawn):
    axes, box = drawn
    stored = np.arange(np.prod(axes.shape)).reshape(1, *axes.shape)
    there = axes.stored(box)
    assert axes.seen(there) == box
    part = stored[:, *there.slices_in(Box((0, 0, 0), axes.shape))]
    np.testing.assert_array_equal(
        axes.turned(part), axes.turned(stored)[:, *box.slices_in(Box((0, 0, 0), axes.seen_shape))]
    )
