"""Real files, each against what nibabel makes of it."""

import nibabel
import numpy as np
import pytest
from helpers.paths import needs_samples
from niftis import SAMPLES, layers, source

from wkconvert_core import UnsupportedSource
from wkconvert_core.testing import read_checked

pytestmark = needs_samples


def canonical(name):
    return nibabel.as_closest_canonical(nibabel.load(SAMPLES / name))


def test_an_anatomical_volume_is_turned_to_ras():
    of = source(SAMPLES / "anatomical.nii")
    np.testing.assert_array_equal(read_checked(of)[0], np.asarray(canonical("anatomical.nii").dataobj))
    assert (of.info.voxel_size.size, of.info.voxel_size.unit) == ((2, 2, 2), "mm")
    assert any("LAS" in note for note in of.info.notes)
    stored = source(SAMPLES / "anatomical.nii", orientation="stored")
    np.testing.assert_array_equal(read_checked(stored)[0], np.asarray(nibabel.load(SAMPLES / "anatomical.nii").dataobj))


@pytest.mark.parametrize(
    ("name", "count", "size", "dtype"),
    [("functional.nii", 20, (4, 4, 8), "float32"), ("example4d.nii.gz", 2, (2, 2, 2.2), "int16")],
)
def test_volumes_over_time_are_chosen_or_become_layers(name, count, size, dtype):
    with pytest.raises(UnsupportedSource, match=f"holds {count} volumes"):
        layers(SAMPLES / name)
    expected = canonical(name).get_fdata()
    last = source(SAMPLES / name, volume=count - 1)
    assert last.info.dtype == dtype
    np.testing.assert_array_equal(read_checked(last)[0], expected[..., -1].astype(dtype))
    np.testing.assert_allclose(last.info.voxel_size.size, size, rtol=1e-6)
    found = layers(SAMPLES / name, volumes="channels")
    assert len(found) == count
    whole = found[0].source
    np.testing.assert_array_equal(whole.read(whole.info.box)[0], expected[..., 0].astype(dtype))


def test_an_oblique_volume_tells_its_angle():
    assert any("another 9.3 degrees" in note for note in source(SAMPLES / "example4d.nii.gz", volume=0).info.notes)
