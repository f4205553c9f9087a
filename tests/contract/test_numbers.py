"""Numbers in texts: nothing is read as another number than a person sees, and nothing without end."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wkconvert_core import Mag, OptionError, parse_options
from wkconvert_core.contract.numbers import decimal_number, whole_number
from wkconvert_core.datasets.properties import element_type
from wkconvert_core.toolkit.byte_sizes import parse_size

NONE = ["", "-", "--1", "+1", " 1", "1 ", "1_000", "1.0", "1e3", "0x10", "٣", "3٣", "२", "𝟑", "²", "½", "1\n", "9" * 21]
"""No whole numbers, though `int` takes most of them."""


@given(st.integers(-(10**20) + 1, 10**20 - 1))
def test_what_is_written_with_our_digits_is_read(number):
    assert whole_number(str(number)) == number


@given(st.text(st.characters(categories=["N"]) | st.sampled_from("+-_. 0123456789")))
def test_whatever_is_read_is_written_with_our_digits(text):
    if re.fullmatch(r"-?[0-9]{1,20}", text):
        assert whole_number(text) == int(text)
    else:
        with pytest.raises(ValueError, match="is no whole number; write it with digits 0 to 9"):
            whole_number(text)


@pytest.mark.parametrize("text", NONE)
def test_no_option_takes_another_number(text):
    def reader(path, *, level: int | None = None): ...

    with pytest.raises(OptionError, match="does not fit"):
        parse_options(reader, {"level": text})


@pytest.mark.parametrize(("text", "number"), [("0.5", 0.5), ("1e-3", 0.001), (" -2 ", -2.0), ("inf", math.inf)])
def test_decimal_numbers_are_those_of_float_in_our_digits(text, number):
    def reader(path, *, scale: float = 1.0): ...

    assert decimal_number(text) == number
    assert parse_options(reader, {"scale": text}) == {"scale": number}


@pytest.mark.parametrize("text", ["٣.٥", "1_0.5", "½", "", "x"])
def test_no_other_decimal_number_is_taken(text):
    def reader(path, *, scale: float = 1.0): ...

    with pytest.raises(ValueError, match=r"no number|could not convert"):
        decimal_number(text)
    with pytest.raises(OptionError, match="it takes: float"):
        parse_options(reader, {"scale": text})


@pytest.mark.parametrize("text", ["٢", "2-2-٢", "2_0", "²", "--2", "2-+2-2", "1" + "0" * 5000, ""])
def test_no_mag_is_written_otherwise(text):
    with pytest.raises(ValueError, match="is no mag; a mag is a power of two"):
        Mag.parse(text)


@pytest.mark.parametrize("text", ["uint٨", "uint8_", "float" + "3" * 5000])
def test_no_element_class_is_written_otherwise(text):
    with pytest.raises(ValueError, match="is not an element class"):
        element_type(text)


@pytest.mark.parametrize("text", ["٢GiB", "1_0", "9" * 400 + "TiB"])
def test_no_size_is_written_otherwise(text):
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)
