"""Sources that wrap a source, against what numpy says of the same arrays."""

import numpy as np
import pytest
from helpers.sources import InMemory, whole
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wkconvert_core import Box, ConversionError, OptionError
from wkconvert_core.contract.abilities import stream_of
from wkconvert_core.sources.views import Cast, Flipped, as_dtype, transformed

INTEGERS = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]


START = (1, 2, 3)


class InOrder(InMemory):
    def stream(self):
        return ((box, self.read(box)) for box in self.info.box.tiles((7, 6, 2)))


def volume(*values, dtype):
    return InMemory(np.array(values, dtype).reshape(1, len(values), 1, 1), START)


DATA = np.random.default_rng(0).integers(0, 255, (3, 7, 6, 5)).astype("uint8")
PLAIN = {"channel": None, "box": None, "skip_z": 0, "flip": ""}


def viewed(source, *, dtype=None, fit="exact", **options):
    return as_dtype(transformed(source, **{**PLAIN, **options}), dtype, fit)


VIEWS = pytest.mark.parametrize(
    ("options", "expected", "offset"),
    [
        ({"channel": 1}, DATA[1:2], (1, 2, 3)),
        ({"skip_z": 2}, DATA[..., 2:], (1, 2, 3)),
        ({"flip": "xz"}, DATA[:, ::-1, :, ::-1], (1, 2, 3)),
        ({"flip": "y"}, DATA[:, :, ::-1], (1, 2, 3)),
        ({"box": Box((1, 0, 2), (3, 4, 2))}, DATA[:, 1:4, 0:4, 2:4], (2, 2, 5)),
        ({"dtype": "uint16"}, DATA.astype("uint16"), (1, 2, 3)),
        ({"channel": 2, "skip_z": 1, "flip": "y", "dtype": "int64"}, DATA[2:, :, ::-1, 1:].astype("int64"), (1, 2, 3)),
    ],
)


@VIEWS
def test_a_view_is_what_numpy_says(options, expected, offset):
    source = viewed(InMemory(DATA, START), **options)
    np.testing.assert_array_equal(whole(source), expected)
    info = source.info
    assert (info.channels, *info.shape) == expected.shape
    assert info.dtype == expected.dtype
    assert info.offset == offset
    for box in info.box.tiles((3, 2, 2)):
        np.testing.assert_array_equal(source.read(box), expected[:, *box.slices_in(info.box)])


@VIEWS
def test_a_view_streams_what_it_reads(options, expected, offset):
    source = viewed(InOrder(DATA, START), **options)
    result, times = np.zeros_like(expected), np.zeros(expected.shape[1:], int)
    for box, data in stream_of(source)():
        assert data.shape[1:] == box.shape
        result[:, *box.slices_in(source.info.box)] = data
        times[box.slices_in(source.info.box)] += 1
    np.testing.assert_array_equal(result, expected)
    assert (times == 1).all()


def test_a_view_of_what_need_not_be_streamed_does_not_stream():
    assert stream_of(Flipped(InMemory(DATA, START), "x")) is None


def test_without_options_a_source_stays_as_it_is():
    source = InMemory(DATA, START)
    assert viewed(source) is source


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel": 3}, "no channel 3"),
        ({"skip_z": 5}, "--skip-first-z-slices asks for"),
        ({"box": Box((0, 0, 0), (8, 1, 1))}, "--bbox asks for x 0:8"),
    ],
)
def test_a_part_that_is_not_there_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        viewed(InMemory(DATA, START), **options)


def exactly(value, dtype):
    """Whether a value is one of the dtype's, by Python's own exact numbers."""
    if np.dtype(dtype).kind == "f":
        return value == int(np.dtype(dtype).type(value)) if isinstance(value, int) else True
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return value == value and abs(value) != float("inf") and value == int(value) and low <= int(value) <= high


@given(
    st.data(), st.sampled_from([*INTEGERS, "float32", "float64"]), st.sampled_from([*INTEGERS, "float32", "float64"])
)
def test_an_exact_cast_keeps_every_value_or_refuses(data, own, target):
    values = data.draw(hnp.arrays(own, (1, 4, 1, 1), elements=hnp.from_dtype(np.dtype(own))))
    source = InMemory(values, START)
    if own == "float64" and target == "float32":
        with np.errstate(over="ignore"):
            fits = bool((np.isfinite(values.astype("float32")) | ~np.isfinite(values)).all())
    else:
        fits = all(exactly(value, target) for value in values.ravel().tolist())
    if fits:
        result = whole(Cast(source, target))
        assert result.dtype == target
        if np.dtype(target).kind != "f":
            assert [int(v) for v in values.ravel().tolist()] == result.ravel().tolist()
        else:
            np.testing.assert_array_equal(result, values.astype(target))
    else:
        with pytest.raises(ConversionError, match=f"does not fit {target}"):
            whole(Cast(source, target))


@given(st.data(), st.sampled_from([*INTEGERS, "float32", "float64"]), st.sampled_from(INTEGERS))
def test_clip_takes_the_nearest_value_that_there_is(data, own, target):
    values = data.draw(hnp.arrays(own, (1, 4, 1, 1), elements=hnp.from_dtype(np.dtype(own), allow_nan=False)))
    low, high = np.iinfo(target).min, np.iinfo(target).max
    expected = [high if v > high else low if v < low else round(v) for v in (x for x in values.ravel().tolist())]
    assert whole(Cast(InMemory(values, START), target, "clip")).ravel().tolist() == expected


def test_clip_takes_the_largest_float_for_one_beyond_it_and_keeps_nan_and_infinity():
    values = np.array([1e300, -1e300, np.inf, -np.inf, np.nan, 0.1]).reshape(1, 6, 1, 1)
    most = np.finfo("float32").max
    found = whole(Cast(InMemory(values, START), "float32", "clip")).ravel()
    np.testing.assert_array_equal(found, np.array([most, -most, np.inf, -np.inf, np.nan, 0.1], "float32"))


def test_clip_makes_nan_zero():
    assert whole(Cast(volume(np.nan, 3.4, dtype="float32"), "uint8", "clip")).ravel().tolist() == [0, 3]


@pytest.mark.parametrize(
    ("own", "values", "target", "expected"),
    [
        ("uint16", [0, 65535, 257], "uint8", [0, 255, 1]),
        ("uint8", [0, 255, 1], "uint16", [0, 65535, 257]),
        ("int8", [-128, 127], "uint8", [0, 255]),
        ("float32", [0, 1, 0.5], "uint8", [0, 255, 128]),
        ("bool", [False, True], "uint8", [0, 255]),
        ("uint8", [0, 255], "float32", [0, 1]),
    ],
)
def test_scale_maps_range_to_range(own, values, target, expected):
    assert whole(Cast(volume(*values, dtype=own), target, "scale")).ravel().tolist() == expected


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan])
def test_floats_outside_of_0_to_1_are_not_scaled(value):
    with pytest.raises(ConversionError, match="cannot be scaled"):
        whole(Cast(volume(0.5, value, dtype="float32"), "uint8", "scale"))


def test_large_boxes_are_cast_in_pieces(monkeypatch):
    monkeypatch.setattr("wkconvert_core.sources.casting.PIECE", 10)
    np.testing.assert_array_equal(whole(Cast(InMemory(DATA, START), "int32")), DATA.astype("int32"))


@pytest.mark.parametrize(("own", "value"), [("uint64", 2**53 + 1), ("int64", -(2**53) - 1), ("uint64", 2**64 - 1)])
def test_an_id_that_has_no_float_is_refused(own, value):
    with pytest.raises(ConversionError, match=f"the value {value} of dtype {own} does not fit float64"):
        whole(Cast(volume(1, value, dtype=own), "float64"))


def test_an_exact_cast_names_the_value_and_the_place():
    with pytest.raises(ConversionError, match="the value 256 of dtype uint16 does not fit uint8") as caught:
        whole(Cast(volume(1, 256, dtype="uint16"), "uint8"))
    assert "0 to 255" in caught.value.fix


def test_bool_becomes_0_and_1():
    assert whole(Cast(volume(True, False, dtype="bool"), "uint8")).ravel().tolist() == [1, 0]


def test_flipping_twice_is_nothing():
    source = InMemory(DATA, START)
    np.testing.assert_array_equal(whole(Flipped(Flipped(source, "xyz"), "xyz")), DATA)


@pytest.mark.parametrize("own", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_infinity_is_no_integer(own, value):
    with pytest.raises(ConversionError, match="does not fit int32"):
        whole(Cast(volume(value, dtype=own), "int32"))


def test_a_stream_is_cast_in_pieces(monkeypatch):
    monkeypatch.setattr("wkconvert_core.sources.casting.PIECE", 10)
    parts = [box.volume for box, _ in stream_of(Cast(InOrder(DATA, START), "float64"))()]
    assert max(parts) <= 10
    assert sum(parts) == DATA[0].size


class Knowing(InMemory):
    def occupied(self, box):
        return bool(self.read(box).any())


DOT = np.zeros((3, 7, 6, 5), "uint8")
DOT[:, 5, 1, 3] = 100


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channel": 1},
        {"skip_z": 2},
        {"flip": "xz"},
        {"box": Box((1, 0, 2), (6, 4, 2))},
        {"dtype": "int16", "fit": "clip"},
        {"dtype": "float32", "fit": "scale"},
        {"channel": 2, "skip_z": 1, "flip": "yz", "dtype": "int64", "box": Box((2, 2, 0), (5, 4, 3))},
    ],
)
def test_a_view_knows_where_there_is_anything(options):
    source = viewed(Knowing(DOT, START), **options)
    tiles = list(source.info.box.tiles((2, 2, 2)))
    assert [source.occupied(box) for box in tiles] == [bool(source.read(box).any()) for box in tiles]
    assert sum(map(source.occupied, tiles)) == 1
    assert viewed(InMemory(DOT, START), flip="x").occupied is None


@pytest.mark.parametrize("dtypes", [("uint8", "int8"), ("int16", "uint8"), ("float32", "int8")])
def test_where_zero_becomes_another_value_nothing_is_known(dtypes):
    source = Cast(Knowing(DOT.astype(dtypes[0]) // 100, START), dtypes[1], "scale")
    assert source.read(Box((0, 0, 0), (1, 1, 1))).any()
    assert source.occupied is None
    assert Cast(source.inner, dtypes[1], "clip").occupied is not None
