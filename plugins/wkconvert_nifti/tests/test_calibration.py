"""Voxel sizes: what pixdim and xyzt_units say, and nothing where they do not."""

import nibabel
import numpy as np
import pytest
from niftis import image, patched, saved, source

from wkconvert_core.testing import noise

VOXELS = noise(4, 3, 2)


@pytest.mark.parametrize(("name", "symbol"), [("meter", "m"), ("mm", "mm"), ("micron", "µm")])
@pytest.mark.parametrize("version", [1, 2])
def test_units(tmp_path, name, symbol, version):
    path = saved(tmp_path / "a.nii", VOXELS, np.diag([0.1, 1 / 3, 4e-9, 1]), unit=name, version=version)
    size = source(path).info.voxel_size
    assert size.unit == symbol
    assert "pixdim" in size.origin
    np.testing.assert_allclose(size.size, nibabel.load(path).header.get_zooms(), rtol=1e-6)
    assert size.size[0] == 0.1, "no digits that float32 makes up"


def test_the_unit_of_time_is_no_unit_of_length(tmp_path):
    made = image(VOXELS)
    made.header.set_xyzt_units("micron", "msec")
    made.to_filename(tmp_path / "a.nii")
    assert source(tmp_path / "a.nii").info.voxel_size.unit == "µm"


@pytest.mark.parametrize("code", [0, 8, 4, 7])
def test_an_unknown_unit_is_no_size_unless_the_user_says_it(tmp_path, code):
    path = patched(saved(tmp_path / "a.nii", VOXELS), 123, bytes([code]))
    info = source(path).info
    assert info.voxel_size is None
    assert any(f"pixdim is 2 x 3 x 4, and xyzt_units {code} names no unit" in note for note in info.notes)
    size = source(path, unit="micron").info.voxel_size
    assert (size.size, size.unit, size.origin) == ((2, 3, 4), "µm", "pixdim, -o unit")


def test_the_user_may_contradict_the_file_with_a_note(tmp_path):
    info = source(saved(tmp_path / "a.nii", VOXELS), unit="nm").info
    assert info.voxel_size.unit == "nm"
    assert any("the file says mm" in note for note in info.notes)


@pytest.mark.parametrize(("value", "shown"), [(0, "0"), (np.nan, "nan"), (np.inf, "inf")])
def test_a_size_that_is_none_leaves_its_axis_open(tmp_path, value, shown):
    path = patched(saved(tmp_path / "a.nii", VOXELS), 84, np.float32(value).tobytes())
    info = source(path).info
    assert info.voxel_size.size == (2, None, 4)
    assert f"pixdim[2] is {shown}, which is no size" in info.notes


def test_no_size_at_all_is_none(tmp_path):
    path = patched(saved(tmp_path / "a.nii", VOXELS), 80, bytes(12))
    assert source(path).info.voxel_size is None


def test_a_negative_size_counts_without_its_sign(tmp_path):
    path = patched(saved(tmp_path / "a.nii", VOXELS), 84, np.float32(-3).tobytes())
    info = source(path).info
    assert info.voxel_size.size == (2, 3, 4)
    assert any("its sign is left out" in note for note in info.notes)


@pytest.mark.parametrize("qfac", [-1, 0, 1])
def test_qfac_is_no_size(tmp_path, qfac):
    path = patched(saved(tmp_path / "a.nii", VOXELS), 76, np.float32(qfac).tobytes())
    assert source(path).info.voxel_size.size == (2, 3, 4)
