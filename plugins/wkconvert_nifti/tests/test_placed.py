"""A volume in a box that the user names."""

import numpy as np
import pytest
from niftis import LAS, layers, saved, source

from wkconvert_core import OptionError
from wkconvert_core.testing import check_boxes, check_pickle, check_stream, noise, read_checked


def expected(given, shape):
    """Cropped and filled up evenly in x and y, at the end in z."""
    for axis in range(3):
        more = shape[axis] - given.shape[axis]
        before = more // 2 if axis < 2 else 0
        given = np.take(given, range(max(0, -before), given.shape[axis] - max(0, before - more)), axis)
        pad = [(0, 0)] * 3
        pad[axis] = max(0, before), max(0, more - before)
        given = np.pad(given, pad)
    return given


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize(
    "shape", [(9, 8, 7), (20, 19, 18), (4, 3, 2), (20, 3, 7), (4, 19, 18), (10, 9, 2), (8, 7, 12), (1, 1, 1)]
)
def test_a_volume_is_cropped_or_filled_up_with_zeros(tmp_path, suffix, shape):
    given = noise(9, 8, 7, dtype="int16")
    path = saved(tmp_path / f"a.{suffix}", given, LAS)
    box = ",".join(map(str, (5, 6, 7, *shape)))
    of = source(path, enforce_bounding_box=box)
    assert (of.info.shape, of.info.offset) == (shape, (5, 6, 7))
    assert any("9 x 8 x 7 voxels put into" in note for note in of.info.notes)
    np.testing.assert_array_equal(read_checked(of)[0], expected(given[::-1], shape))
    options = {"enforce_bounding_box": box}
    check_boxes(path, options=options)
    check_pickle(path, options=options)
    if suffix == "nii.gz":
        check_stream(path, options=options)


@pytest.mark.parametrize("text", ["", "1,2,3", "0,0,0,5,5,0", "-1,0,0,5,5,5", "0,0,0,1.5,1,1", "0,0,0,5,1,٥"])
def test_what_is_no_box_is_refused(tmp_path, text):
    path = saved(tmp_path / "a.nii", noise(9, 8, 7))
    with pytest.raises(OptionError, match="is no bounding box"):
        layers(path, enforce_bounding_box=text)
