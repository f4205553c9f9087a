"""The order of slices in files of their own, and the holes in their numbering."""

import pytest

from wkconvert_core import InconsistentStack, OptionError, UnsupportedSource
from wkconvert_core.toolkit.stacks import Naming, natural_key, with_gaps


def numbered(*numbers, pattern="s{}.tif"):
    return sorted((pattern.format(number) for number in numbers), key=natural_key)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (numbered(0, 1, 3), "2 (1 in all)"),
        (numbered(5, 9), "6-8 (3 in all)"),
        (numbered(1, 2, 4, pattern="x10_s{:04d}_t7.tif"), "3 (1 in all)"),
        (numbered(1, 2, 4, pattern="2024-01-01_{}.tif"), "3 (1 in all)"),
        (["s1_1699.tif", "s2_1742.tif", "s4_1801.tif"], "3 (1 in all)"),
        (["s1.tif", "s2.TIFF", "s4.tif"], "3 (1 in all)"),
        (numbered(0, 6, 10), "1-5, 7-9 (8 in all)"),
        (numbered(0, 1, 3, 5, 7, 9, 11, 13), "2, 4, 6, 8, 10 and 1 more (6 in all)"),
    ],
)
def test_holes_in_the_numbering_are_found(names, missing):
    with pytest.raises(InconsistentStack) as caught:
        with_gaps("here", names, "error")
    assert caught.value.what == f"slices are missing in here: {missing}"
    assert with_gaps("here", names, "close") == names
    filled = with_gaps("here", names, "fill")
    assert [name for name in filled if name] == names
    assert filled.count(None) == int(missing.split("(")[1].split()[0])


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["a.tif"],
        ["a.tif", "b.tif", "c.tif"],
        numbered(7, 8, 9, 10, 11),
        ["w1_s1.tif", "w1_s2.tif", "w2_s3.tif", "w2_s4.tif"],
        ["s1_1699.tif", "s2_1742.tif", "s3_1801.tif"],
        ["s1_v1.tif", "s2_v2.tif", "s3_v1.tif"],
    ],
)
def test_no_hole_is_found_where_none_is(names):
    assert with_gaps("here", names, "error") == names


def test_a_number_that_hardly_ever_changes_does_not_count_the_slices():
    names = ["s1_v1.tif", "s1_v2.tif", "s2_v1.tif", "s3_v1.tif"]
    with pytest.raises(InconsistentStack, match=r"two slices in here have the number 1: s1_v1\.tif and s1_v2\.tif"):
        with_gaps("here", names, "error")
    assert with_gaps("here", names, "close") == names


def test_readers_of_one_stack_refuse_channels_and_choices_that_choose_nothing():
    with pytest.raises(UnsupportedSource, match="count 2 channels: DAPI, GFP"):
        with_gaps("here", ["z1_DAPI.dm3", "z1_GFP.dm3", "z2_DAPI.dm3", "z2_GFP.dm3"], "error")
    with pytest.raises(OptionError, match="-o position=1 does not fit here"):
        with_gaps("here", numbered(0, 1, 2), "error", Naming(position=1))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["s10", "s2", "s1"], ["s1", "s2", "s10"]),
        (["b", "a10b", "a9b"], ["a9b", "a10b", "b"]),
        (["010", "9", "a"], ["9", "010", "a"]),
    ],
)
def test_names_are_sorted_as_people_count(names, expected):
    assert sorted(names, key=natural_key) == expected


def test_numbers_far_apart_cost_no_more_than_their_names():
    import tracemalloc

    names = numbered(*(number**3 for number in range(1000)))
    tracemalloc.start()
    with pytest.raises(InconsistentStack, match="slices are missing"):
        with_gaps("here", names, "error")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
