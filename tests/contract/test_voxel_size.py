"""Voxel sizes: units in every spelling, what is refused, what is filled in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wkconvert_core import METRES, OptionError, VoxelSize, unit_symbol
from wkconvert_core.contract.voxel_size import WEBKNOSSOS_UNITS

lengths = st.floats(1e-6, 1e6)
units = st.sampled_from(sorted(METRES))


def test_metres_of_each_unit() -> None:
    assert METRES["nm"] / METRES["Å"] == pytest.approx(10)
    assert METRES["inch"] / METRES["cm"] == pytest.approx(2.54)
    assert METRES["µm"] / METRES["pm"] == pytest.approx(1e6)
    assert METRES.keys() == WEBKNOSSOS_UNITS.keys()


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        *((symbol, symbol) for symbol in METRES),
        *((full, symbol) for symbol, full in WEBKNOSSOS_UNITS.items()),
        ("um", "µm"),
        ("\N{GREEK SMALL LETTER MU}m", "µm"),
        ("\N{MICRO SIGN}m", "µm"),
        ("micron", "µm"),
        ("Microns", "µm"),
        ("micrometre", "µm"),
        ("Nanometers", "nm"),
        ("millimetres", "mm"),
        ("\\u00B5m", "µm"),
        ("\N{ANGSTROM SIGN}", "Å"),
        ("A", "Å"),
        ("angstroms", "Å"),
        ("inches", "inch"),
        (" nm\0\0", "nm"),
    ],
)
def test_a_unit_is_known_however_it_is_spelled(text: str, symbol: str) -> None:
    assert unit_symbol(text) == symbol


@pytest.mark.parametrize("text", ["", "pixel", "px", "1/nm", "eV", "nM", "Mm", "Pm", "s"])
def test_what_is_no_length_has_no_symbol(text: str) -> None:
    assert unit_symbol(text) is None


@pytest.mark.parametrize("size", [0, -1, -1e-9, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("axis", "xyz")
def test_a_size_that_is_no_length_is_refused_with_its_axis(size: float, axis: str) -> None:
    x, y, z = (size if axis == name else 4.0 for name in "xyz")
    with pytest.raises(OptionError, match=f"a voxel cannot measure .* nm along {axis}") as caught:
        VoxelSize((x, y, z))
    assert "--voxel-size" in caught.value.fix


def test_an_unknown_unit_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="'px' is no unit of length") as caught:
        VoxelSize((1, 1, 1), "px")
    assert "nm, µm, mm" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4,4,35", (4, 4, 35)),
        ("11.24, 11.24 ,28", (11.24, 11.24, 28)),
        (",,35", (None, None, 35)),
        ("1e3,1,1", (1e3, 1, 1)),
    ],
)
def test_a_size_is_read(text: str, size: tuple[float | None, ...]) -> None:
    assert VoxelSize.parse(text, "um") == VoxelSize(size, "µm", "--voxel-size")


@pytest.mark.parametrize("text", ["", "4,4", "4,4,4,4", "4;4;4", "4,4,x", "4x4", "nm", "4,4,nm"])
def test_what_is_not_three_numbers_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(OptionError, match="is not three numbers") as caught:
        VoxelSize.parse(text)
    assert "--voxel-size 4,4,35" in caught.value.fix


def test_an_unknown_unit_is_refused_when_a_size_is_read() -> None:
    with pytest.raises(OptionError, match="'parsec' is no unit"):
        VoxelSize.parse("1,1,1", "parsec")


@given(st.tuples(lengths, lengths, lengths), units, units)
def test_another_unit_is_the_same_length(size: tuple[float, float, float], unit: str, other: str) -> None:
    converted = VoxelSize(size, unit, "test").to(other)
    assert (converted.unit, converted.origin) == (other, "test")
    metres = [length * METRES[unit] for length in size]
    assert [(length or 0) * METRES[other] for length in converted.size] == pytest.approx(metres, rel=1e-11)


def test_another_unit_leaves_no_stray_digits() -> None:
    assert VoxelSize((0.00324, 0.1, None), "µm").to("nm").size == (3.24, 100, None)


def test_missing_axes_are_named() -> None:
    assert VoxelSize((4, None, None)).missing() == "yz"
    assert VoxelSize((4, 4, 4)).missing() == ""


def test_open_axes_are_filled_in_the_own_unit_and_both_origins_are_told() -> None:
    ours = VoxelSize((None, 4, None), "nm", "--voxel-size")
    assert ours.filled(VoxelSize((0.5, 9, 0.03), "µm", "tags")) == VoxelSize((500, 4, 30), "nm", "--voxel-size, tags")


def test_what_is_not_used_is_not_told() -> None:
    full, empty = VoxelSize((4, 4, 4), "nm", "a"), VoxelSize((None, None, None), "nm", "b")
    assert full.filled(VoxelSize((1, 1, 1), "nm", "b")) == full
    assert full.filled(empty) == full
    assert VoxelSize((None, None, None)).filled(full).origin == "a"


def test_a_size_is_written_for_people() -> None:
    assert str(VoxelSize((4, 11.24, None), "µm")) == "4 x 11.24 x ? µm"


@pytest.mark.parametrize("text", ["4 4 35", "4x4x35", "4 x 4 x 35", "4×4×35", "4, 4, 35", "4,4,35nm", "4nm 4nm 35 nm"])
def test_spellings_that_all_mean_the_same(text):
    assert VoxelSize.parse(text) == VoxelSize.parse(text, "nm") == VoxelSize.parse("4,4,35")


@pytest.mark.parametrize(("text", "size", "unit"), [("4", (4, 4, 4), "nm"), (",,0.5um", (None, None, 0.5), "µm")])
def test_a_cube_and_a_unit_in_the_text(text, size, unit):
    found = VoxelSize.parse(text)
    assert (found.size, found.unit) == (size, unit)


@pytest.mark.parametrize(
    ("text", "unit", "said"),
    [
        ("4,4", None, "is not three numbers"),
        ("4nm,4,35", None, "is not three numbers"),
        ("4,4,35um", "nm", "is in several units: nm, um"),
        ("4nm,4nm,0.035um", None, "is in several units: nm, um"),
        ("4,4,35 furlongs", None, "'furlongs' is no unit of length"),
    ],
)
def test_what_is_no_voxel_size_says_why(text, unit, said):
    with pytest.raises(OptionError, match=said):
        VoxelSize.parse(text, unit)
