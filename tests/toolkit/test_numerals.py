"""Numbers of names in hexadecimal and in Roman digits are put in order by their value, or are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core import InconsistentStack, UnsupportedSource, WarningNote
from wkconvert_core.toolkit.stacks import Naming, channel_stacks, natural_key

ONES = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
ROMAN = [*ONES, "X", *(f"X{one}" for one in ONES), "XX"]


def stacks(names, gaps="error", said=None):
    return channel_stacks("here", sorted(names, key=natural_key), gaps, Naming(names=said))


@settings(max_examples=60, deadline=None)
@given(
    first=st.integers(0, 8),
    count=st.integers(17, 300),
    before=st.sampled_from(["", "s", "img_", "slice", "2024-05-17 face_", "a"]),
    behind=st.sampled_from(["", "_rec", " (1)"]),
    kind=st.sampled_from(["{:03x}", "{:04X}", "{:x}"]),
)
def test_hexadecimal_numbers_are_in_the_order_of_their_values(first, count, before, behind, kind):
    names = [f"{before}{kind.format(n)}{behind}.tif" for n in range(first, first + count)]
    found = stacks(names)
    assert found.channels == {"": tuple(names)}
    assert [type(note) for note in found.notes] == [WarningNote]
    assert f"hexadecimal, from {names[0]} to {names[-1]}" in found.notes[0]
    assert stacks(names, said="z").channels == found.channels


def test_hexadecimal_numbers_stand_beside_channels():
    names = [f"z{z:02x}_ch{c}.tif" for z in range(20) for c in (0, 1)]
    assert stacks(names).channels == {f"channel{c}": tuple(f"z{z:02x}_ch{c}.tif" for z in range(20)) for c in (0, 1)}


def test_hexadecimal_numbers_may_count_channels_of_one_slice():
    names = ["ch08.tif", "ch09.tif", "ch0a.tif", "ch0b.tif"]
    found = stacks(names)
    assert found.channels == {f"channel{n}": (name,) for n, name in enumerate(names, 8)}
    assert "are taken as hexadecimal" in found.notes[0]


def test_holes_in_hexadecimal_numbers_are_found():
    names = [f"s{n:02x}.tif" for n in range(40) if n != 0x1B]
    with pytest.raises(InconsistentStack, match="slices are missing in here: 27"):
        stacks(names)
    assert stacks(names, "fill").channels[""][26:29] == ("s1a.tif", None, "s1c.tif")
    few = [f"s{n:02x}.tif" for n in range(0, 40, 3)]
    with pytest.raises(InconsistentStack, match="named"):
        stacks(few)
    assert stacks(few, said="z").channels == {"": tuple(few)}


@pytest.mark.parametrize("pattern", ["slice_{}.tif", "{}.tif", "scan 3 {} b.tif"])
@pytest.mark.parametrize("written", [str.upper, str.lower])
def test_roman_numbers_are_in_the_order_of_their_values(pattern, written):
    names = [pattern.format(written(number)) for number in ROMAN]
    found = stacks(names)
    assert found.channels == {"": tuple(names)}
    assert "Roman" in found.notes[0]


@pytest.mark.parametrize(
    "names",
    [
        ["s1.tif", "s1a.tif", "s2.tif", "s3.tif"],
        ["s01a.tif", "s01b.tif", "s02a.tif", "s02b.tif", "s03.tif"],
        ["scan_bad.tif", "scan_12.tif", "scan_cafe.tif"],
        ["a_I.tif", "a_V.tif", "a_XX.tif"],
        ["a_mix.tif", "a_civil.tif", "a_di.tif"],
        ["s9.tif", "sa.tif"],
    ],
)
def test_letters_that_are_no_numerals_are_not_taken_for_any(names):
    with pytest.raises((InconsistentStack, UnsupportedSource)):
        stacks(names)


def test_single_letters_stay_in_the_order_of_the_alphabet():
    names = [f"s_{letter}.tif" for letter in "cdefghijklmnopqrstuvwx"]
    assert stacks(names).channels == {"": tuple(names)}
