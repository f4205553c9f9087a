"""Voxel sizes and places: what the header says, and nothing where it does not."""

import pytest
from helpers.conversions import invoke, layers_of
from mrc_files import IMOD, source, write

from wkconvert_core import WarningNote
from wkconvert_core.testing import noise

VOXELS = noise(3, 4, 5, dtype="int16")


def info(tmp_path, **fields):
    return source(write(tmp_path / "a.mrc", VOXELS, **fields)).info


def test_the_size_is_the_cell_over_its_intervals_in_angstrom(tmp_path):
    found = info(tmp_path, intervals=(464, 232, 3), cell=(6184.192, 696.0, 2.1)).voxel_size
    assert (found.size, found.unit) == ((13.328, 3, 0.7), "Å")
    assert "cell" in found.origin


@pytest.mark.parametrize("length", [-1.0, float("nan"), float("inf")])
def test_a_length_that_is_none_leaves_its_axis_open_with_a_warning(tmp_path, length):
    found = info(tmp_path, cell=(10.0, length, 6.0))
    assert found.voxel_size.size == (2, None, 2)
    assert any("along y for 4 voxels" in note for note in found.notes if isinstance(note, WarningNote))


@pytest.mark.parametrize("count", [0, -3])
def test_intervals_that_are_none_leave_their_axis_open_with_a_warning(tmp_path, count):
    found = info(tmp_path, intervals=(5, 4, count))
    assert found.voxel_size.size == (2, 2, None)
    assert any(f"along z for {count} voxels" in note for note in found.notes)


def test_a_cell_of_0_is_not_stated(tmp_path):
    found = info(tmp_path, cell=(0.0, 0.0, 0.0))
    assert found.voxel_size is None
    assert not [note for note in found.notes if isinstance(note, WarningNote)]


def test_one_angstrom_is_doubted(tmp_path):
    found = info(tmp_path, cell=(5.0, 4.0, 3.0))
    assert found.voxel_size.size == (1, 1, 1)
    assert any("do not know the size" in note for note in found.notes if isinstance(note, WarningNote))


@pytest.mark.parametrize(
    ("angles", "is_told"), [((90.0,) * 3, False), ((0.0,) * 3, False), ((90.0, 90.0, 120.0), True)]
)
def test_angles_are_told_where_they_are_not_right(tmp_path, angles, is_told):
    assert any("90, 90, 120 degrees" in note for note in info(tmp_path, angles=angles).notes) == is_told


def test_the_direction_of_y_is_told(tmp_path):
    assert any("y runs up" in note and "--flip y,z" in note for note in info(tmp_path).notes)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, None),
        ({"origin": (20.0, 40.0, -60.0)}, (20, 40, -60)),
        ({"starts": (10, 20, 30)}, (20, 40, 60)),
        ({"starts": (10, 20, 30), "axes": (3, 1, 2)}, (40, 60, 20)),
        ({"starts": (10, 20, 30), "origin": (20.0, 40.0, 60.0)}, (20, 40, 60)),
        ({"origin": (20.0, 40.0, -60.0), "stamp": IMOD, "flags": 4, "version": 0}, (20, 40, -60)),
        ({"origin": (20.0, 40.0, -60.0), "stamp": IMOD, "flags": 0, "version": 0}, (-20, -40, 60)),
        ({"origin": (20.0, 40.0, -60.0), "stamp": IMOD, "flags": 0}, (20, 40, -60)),
        ({"origin": (20.0, 40.0, -60.0), "map": b""}, None),
        ({"origin": (float("nan"), 1.0, 2.0)}, None),
        ({"origin": (20.0, 40.0, -60.0), "angles": (90.0, 94.0, 90.0)}, None),
        ({"origin": (20.0, 40.0, -60.0), "cell": (0.0, 8.0, 6.0)}, None),
    ],
)
def test_the_place_of_the_first_voxel(tmp_path, fields, place):
    affine = info(tmp_path, **fields).affine
    assert (affine and affine.origin) == place
    if affine:
        assert (affine.x, affine.y, affine.z, affine.unit) == ((2, 0, 0), (0, 2, 0), (0, 0, 2), "Å")


def test_axes_as_stored_lead_where_the_header_says(tmp_path):
    path = write(tmp_path / "a.mrc", VOXELS, axes=(3, 1, 2), starts=(10, 20, 30), cell=(5.0, 8.0, 9.0))
    affine = source(path, orientation="stored").info.affine
    assert (affine.x, affine.y, affine.z, affine.origin) == ((0, 0, 3), (1, 0, 0), (0, 2, 0), (20, 60, 30))


def test_places_that_contradict_each_other_are_told_and_not_used(tmp_path):
    found = info(tmp_path, starts=(10, 20, 30), origin=(1.0, 2.0, 3.0))
    assert found.affine is None
    assert any("20, 40, 60 and 1, 2, 3 Å" in note for note in found.notes if isinstance(note, WarningNote))


def test_files_of_a_folder_are_placed_against_each_other(tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "em.rec", noise(20, 40, 50), origin=(-20.0, 0.0, 40.0))
    write(tmp_path / "in" / "labels.mrc", noise(5, 6, 7, dtype="uint16"), origin=(0.0, 6.0, 44.0))
    assert invoke("auto", tmp_path / "in", tmp_path / "out").exit_code == 0
    places = {name: layer["boundingBox"]["topLeft"] for name, layer in layers_of(tmp_path / "out").items()}
    assert places == {"em": [0, 0, 0], "labels": [10, 3, 2]}


@pytest.mark.parametrize(
    ("group", "sections", "is_stack"), [(0, 1, True), (0, 5, False), (1, 1, False)], ids=["images", "slices", "volume"]
)
def test_a_stack_of_images_has_no_distance_of_slices(tmp_path, group, sections, is_stack):
    cell = (14.0, 12.0, 2.0 * sections)
    path = write(tmp_path / "a.mrc", noise(5, 6, 7), group=group, intervals=(7, 6, sections), cell=cell)
    info = source(path).info
    assert info.voxel_size.size == (2, 2, None if is_stack else 2)
    assert ("stack of images (ISPG 0, MZ 1)" in " ".join(info.notes)) == is_stack
