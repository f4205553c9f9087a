"""Axes come out as x to the right, y to the front, z to the top; sizes go with them; what is left of a turn is told."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import aff2axcodes
from niftis import LAS, RAS, image, patched, saved, source
from scipy.spatial.transform import Rotation

from wkconvert_core.testing import noise, read_checked
from wkconvert_core.toolkit.volumes.orientation import runs

CODES = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
SIZES = np.array([2.0, 3.0, 4.0])


def affine_of(order, signs, turn=None):
    """The affine of stored axes that run along space's axes `order`, with `signs`, 2, 3 and 4 mm per voxel."""
    directions = np.zeros((3, 3))
    for stored, (space, sign) in enumerate(zip(order, signs, strict=True)):
        directions[space, stored] = sign
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ directions * SIZES
    affine[:3, 3] = 7, -8, 9
    return affine


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize(("order", "signs"), CODES, ids=lambda value: "".join(map(str, value)))
def test_all_48_orientations_are_what_nibabel_makes_of_them(tmp_path, order, signs, suffix):
    stored = noise(9, 8, 7, dtype="int16")
    path = saved(tmp_path / f"a.{suffix}", stored, affine_of(order, signs))
    expected = nibabel.as_closest_canonical(nibabel.load(path))
    of = source(path)
    np.testing.assert_array_equal(read_checked(of)[0], np.asarray(expected.dataobj))
    np.testing.assert_allclose(of.info.voxel_size.size, expected.header.get_zooms(), rtol=1e-6)
    name = "".join(aff2axcodes(affine_of(order, signs)))
    assert any(name in note for note in of.info.notes) == (name != "RAS")
    as_is = source(path, orientation="stored")
    np.testing.assert_array_equal(read_checked(as_is)[0], stored)
    np.testing.assert_allclose(as_is.info.voxel_size.size, SIZES, rtol=1e-6)
    assert any(name in note for note in as_is.info.notes)


@pytest.mark.parametrize(("order", "signs"), CODES, ids=lambda value: "".join(map(str, value)))
def test_the_qform_counts_where_the_sform_has_no_code(tmp_path, order, signs):
    stored = noise(9, 8, 7)
    made = image(stored, LAS)
    made.set_qform(affine_of(order, signs), code=1)
    made.set_sform(np.diag([9.0, 9, 9, 1]), code=0)
    made.header.set_xyzt_units("mm")
    made.to_filename(tmp_path / "a.nii")
    expected = np.asarray(nibabel.as_closest_canonical(nibabel.load(tmp_path / "a.nii")).dataobj)
    np.testing.assert_array_equal(read_checked(source(tmp_path / "a.nii"))[0], expected)


def test_the_sform_counts_before_the_qform(tmp_path):
    made = image(noise(9, 8, 7), RAS)
    made.set_qform(LAS, code=1)
    made.set_sform(RAS, code=2)
    made.to_filename(tmp_path / "a.nii")
    np.testing.assert_array_equal(read_checked(source(tmp_path / "a.nii"))[0], noise(9, 8, 7))


def test_without_a_code_axes_stay_as_stored_and_a_note_says_so(tmp_path):
    made = image(noise(9, 8, 7), None)
    made.header.set_zooms((2, 3, 4))
    made.to_filename(tmp_path / "a.nii")
    of = source(tmp_path / "a.nii")
    np.testing.assert_array_equal(read_checked(of)[0], noise(9, 8, 7))
    assert of.info.notes == ("the file states no orientation: x, y, z are its axes as stored",)
    assert of.info.voxel_size.size == (2, 3, 4)


@pytest.mark.parametrize("values", [np.zeros(12), np.full(12, np.nan), np.tile([1, 1, 1, 0], 3)])
def test_an_sform_that_spans_no_space_is_told(tmp_path, values):
    path = patched(saved(tmp_path / "a.nii", noise(9, 8, 7)), 280, values.astype("<f4").tobytes())
    of = source(path)
    np.testing.assert_array_equal(read_checked(of)[0], noise(9, 8, 7))
    assert any("sform is singular" in note for note in of.info.notes)


def test_a_quaternion_that_is_none_is_told(tmp_path):
    path = saved(tmp_path / "a.nii", noise(9, 8, 7), sform_code=0, qform_code=1)
    patched(path, 252, np.array([1, 0], "<i2").tobytes())
    patched(path, 256, np.array([5, 5, 5], "<f4").tobytes())
    assert any("qform is no rotation" in note for note in source(path).info.notes)


@pytest.mark.parametrize("angle", [0.0, 1.5, 12.0, 30.0])
@pytest.mark.parametrize(("order", "signs"), CODES[::7])
def test_what_is_left_of_a_turn_is_told_in_degrees(tmp_path, angle, order, signs):
    turn = Rotation.from_rotvec(np.radians(angle) * np.array([0.6, 0, 0.8])).as_matrix()
    affine = affine_of(order, signs, turn)
    path = saved(tmp_path / "a.nii", noise(9, 8, 7), affine)
    told = [note for note in source(path).info.notes if "degrees" in note]
    assert told == (
        [f"the sform turns the volume by another {angle:.1f} degrees, which is not applied"] if angle else []
    )


def test_skewed_axes_are_told(tmp_path):
    affine = RAS.copy()
    affine[0, 1] = 3 * np.tan(np.radians(20))
    path = saved(tmp_path / "a.nii", noise(9, 8, 7), affine)
    assert any("skews the axes by up to 20.0 degrees" in note for note in source(path).info.notes)


def test_sizes_that_the_sform_says_otherwise_are_told(tmp_path):
    path = patched(saved(tmp_path / "a.nii", noise(9, 8, 7)), 80, np.array([5, 5, 5], "<f4").tobytes())
    of = source(path)
    assert of.info.voxel_size.size == (5, 5, 5)
    assert any("the sform says 2 x 3 x 4" in note for note in of.info.notes)


@given(st.lists(st.floats(-1, 1), min_size=9, max_size=9))
def test_where_axes_lead_is_decided_as_nibabel_does(numbers):
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(numbers, (3, 3))
    name = runs(matrix)
    if name is not None:
        assert name == "".join(aff2axcodes(matrix))
