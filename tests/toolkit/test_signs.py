"""Depths below zero in names: which minus is a sign, which is a hyphen, and what is asked."""

import pytest

from wkconvert_core import UnsupportedSource, WarningNote
from wkconvert_core.toolkit.stacks import Naming, channel_stacks, natural_key


def slices(pattern, depths, said=None):
    """The depths in the order in which the slices named so are taken."""
    by_name = {pattern.format(z): z for z in depths}
    found = channel_stacks("here", sorted(by_name, key=natural_key), "error", Naming(names=said))
    return [by_name[name] for stack in found.channels.values() for name in stack], found.notes


SIGNS = {
    "z and unit": ("img_z{}um.tif", range(-6, 0)),
    "a word and unit": ("depth_{}um.tif", (-12, -7, -2)),
    "across zero": ("img_z{}.tif", (-12, -8, -4, 0, 4)),
    "plus and minus": ("img_z{:+d}um.tif", (-12, -8, -4, 0, 4, 8)),
    "plus and minus without a word": ("stage{:+d}.tif", range(-3, 4)),
    "set apart": ("img_{}.tif", range(-12, -4)),
    "decimals": ("z{:.1f}.tif", (-1.0, -0.5, 0.0, 0.5)),
    "below zero in decimals": ("z={:.2f}nm.tif", (-12.5, -12.25, -12.0)),
    "one sign among many": ("z{}.tif", range(-1, 30)),
    "unit first": ("{}um.tif", (-30, -20, -10)),
    "whole among decimals": ("slice_{:g}um.tif", (0, 0.5, 1, 1.5, 2)),
    "quarters and signs": ("z{:g}.tif", (-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5)),
    "decimal comma": ("slice_{}um.tif", ("0,0", "0,5", "1,0")),
}


@pytest.mark.parametrize(("pattern", "depths"), SIGNS.values(), ids=SIGNS)
def test_slices_below_zero_are_in_the_order_of_their_depths(pattern, depths):
    assert slices(pattern, depths)[0] == list(depths)


HYPHENS = {
    "a count": ("stack-{}.tif", range(1, 13)),
    "planes counted": ("plane-{}.tif", range(1, 13)),
    "padded": ("z-{:03}.tif", range(20, 30)),
    "from zero": ("z-{}um.tif", range(0, 60, 5)),
    "sections": ("sec-{}.tif", range(100, 110)),
    "dates": ("2024-05-17-{}.tif", range(7, 12)),
    "a constant": ("run-0.5_z{}.tif", range(4)),
}


@pytest.mark.parametrize(("pattern", "depths"), HYPHENS.values(), ids=HYPHENS)
def test_what_counts_behind_a_hyphen_is_above_zero(pattern, depths):
    assert slices(pattern, depths)[0] == list(depths)


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("img_z-{}.tif", (4, 8, 12)),
        ("z-{}.tif", range(1, 7)),
        ("stage-{:.2f}.tif", (12.0, 12.25, 12.5)),
        ("scan-{}um.tif", (5, 10, 15)),
    ],
)
def test_a_minus_that_may_be_either_is_asked_about_and_both_answers_count(pattern, numbers):
    with pytest.raises(UnsupportedSource, match=r"not clear whether .* are below zero(?s:.*)names=-z(?s:.*)names=z"):
        slices(pattern, numbers)
    assert slices(pattern, numbers, "-z")[0] == list(reversed(numbers))
    assert slices(pattern, numbers, "z")[0] == list(numbers)


def test_signs_that_are_said_count_also_beside_channels():
    names = [f"stage-{z}um_ch{c}.tif" for z in (12, 7, 2) for c in (1, 2)]
    found = channel_stacks("here", sorted(names, key=natural_key), "error", Naming(names="-z,channel")).channels
    assert found == {f"channel{c}": tuple(f"stage-{z}um_ch{c}.tif" for z in (12, 7, 2)) for c in (1, 2)}


@pytest.mark.parametrize("pattern", ["img_z{:+d}um.tif", "img_z{}um.tif"])
def test_the_order_of_names_is_that_of_their_signs(pattern):
    assert slices(pattern, range(-6, 3), "z")[0] == list(range(-6, 3))


def test_an_order_of_names_that_no_number_gives_is_told():
    names = [f"slice_{word}.tif" for word in ("one", "two", "three", "four", "five", "six")]
    found = channel_stacks("here", sorted(names), "error", Naming(names="z"))
    assert [type(note) for note in found.notes] == [WarningNote]
    assert "slice_five.tif, slice_four.tif" in found.notes[0]
    assert "… slice_two.tif" in found.notes[0]
