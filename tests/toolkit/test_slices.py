"""Whether the slices of a stack fit together."""

import numpy as np
import pytest

from wkconvert_core import InconsistentStack, UnsupportedSource, VoxelSize
from wkconvert_core.toolkit.slices import agreed, common_dtype, common_size, counted, first_voxel_size


def sizes(*found, pad=False, **more):
    return common_size("here", range(len(found)), lambda n: found[n], "s{}.tif".format, pad=pad, **more)


def dtypes(*found, mix=True):
    return common_dtype("here", range(len(found)), lambda n: np.dtype(found[n]), "s{}.tif".format, mix=mix)


def test_slices_of_one_size_agree():
    assert sizes((5, 4), (5, 4)) == (5, 4)


def test_slices_that_differ_from_most_are_named():
    with pytest.raises(InconsistentStack) as caught:
        sizes((5, 4), (6, 4), (5, 4), (5, 3), (5, 4))
    assert caught.value.what == "the slices of here differ in size: s1.tif (6 x 4), s3.tif (5 x 3)"
    assert caught.value.why == "3 of 5 are 5 x 4"
    assert "--pad" in caught.value.fix
    with pytest.raises(InconsistentStack, match=r"the pages of here differ.*take one series"):
        sizes((5, 4), (6, 4), noun="pages", fix="take one series")


def test_with_pad_the_largest_extent_of_either_axis_counts():
    assert sizes((5, 4), (3, 9), pad=True) == (5, 9)


def test_dtypes_that_differ_are_refused_unless_they_may_be_mixed():
    assert dtypes("uint8", "uint8", mix=False) == "uint8"
    with pytest.raises(
        InconsistentStack, match=r"differ in dtype: s1\.tif \(uint16\)\. 2 of 3 are uint8\. say --dtype"
    ):
        dtypes("uint8", "uint16", "uint8", mix=False)


@pytest.mark.parametrize(
    ("found", "common"),
    [
        (["uint8", "int8"], "int16"),
        (["uint16", "float32"], "float32"),
        (["int32", "float32"], "float64"),
        (["uint32", "int64"], "int64"),
        (["bool", "bool"], "bool"),
        (["uint64"], "uint64"),
    ],
)
def test_the_common_dtype_holds_every_value_of_each(found, common):
    assert dtypes(*found) == common


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (["uint64", "int8"], "float64 does not hold every value of uint64"),
        (["int64", "float32"], "float64 does not hold every value of int64"),
        (["bool", "uint8"], "they hold bool, uint8, and which number a bool stands for is unknown"),
    ],
)
def test_where_no_dtype_holds_all_values_nothing_is_guessed(found, why):
    with pytest.raises(UnsupportedSource) as caught:
        dtypes(*found)
    assert caught.value.why == why


def test_any_fact_may_have_to_agree():
    assert agreed("here", [1, 3], lambda n: n % 2, str, what="parity", fix="") == 1
    with pytest.raises(InconsistentStack, match=r"differ in parity: 4 \(even\)\. 2 of 3 are odd\. drop it"):
        agreed("here", [1, 3, 4], lambda n: n % 2, str, what="parity", fix="drop it", shown=["even", "odd"].__getitem__)


def test_the_first_voxel_size_counts_and_others_are_told():
    one, other = VoxelSize((1, 1, None), "nm", "a"), VoxelSize((2, 2, None), "nm", "a")
    assert first_voxel_size([one, one]) == (one, [])
    size, (note,) = first_voxel_size([one, other, None, one])
    assert size == one
    assert note == f"2 of 4 files give another voxel size ({other}); the first counts"


def test_notes_that_do_not_concern_all_slices_say_how_many():
    assert counted(["a", "b", "a"], 2) == ["a", "b (1 of 2 slices)"]
    assert counted(["b"], 2, "tiles") == ["b (1 of 2 tiles)"]
