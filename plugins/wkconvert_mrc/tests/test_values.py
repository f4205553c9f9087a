"""Voxels of every mode, the signs of bytes, axes and stacks; mrcfile and ncempy as oracles."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mrc_files import IMOD, detect, layers, seen, source, voxels, write

from wkconvert_core import Box, UnsupportedSource, WarningNote
from wkconvert_core.testing import noise, read_checked

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def warnings(path, **options):
    return [note for note in source(path, **options).info.notes if isinstance(note, WarningNote)]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "float16", "float32"])
def test_every_mode_in_both_byte_orders(tmp_path, order, dtype):
    stored = noise(5, 4, 3, dtype="int16").astype(dtype)
    stored[0, 0, :2] = (-128, 127) if dtype == "int8" else (0, 200)
    path = write(tmp_path / "a.mrc", stored, order, extended=bytes(1000))
    found = source(path).info.dtype
    assert (found, found.isnative) == (np.dtype(dtype), True)
    np.testing.assert_array_equal(voxels(path), seen(stored))


def test_colours_are_three_channels(tmp_path):
    stored = noise(2, 4, 3, 3).reshape(2, 4, 3, 3)
    path = write(tmp_path / "a.mrc", stored.tobytes(), lengths=(3, 4, 2), mode=16)
    np.testing.assert_array_equal(voxels(path), stored.transpose(3, 2, 1, 0))


@pytest.mark.parametrize("mode", [3, 4])
def test_complex_numbers_are_refused_with_the_reason(tmp_path, mode):
    path = write(tmp_path / "a.mrc", bytes(800), lengths=(5, 5, 4), mode=mode)
    assert detect(path)
    with pytest.raises(UnsupportedSource, match=f"mode {mode}, complex numbers") as caught:
        layers(path)
    assert "transform" in caught.value.why


def test_a_file_may_be_larger_than_4_gib(tmp_path):
    path = write(tmp_path / "a.mrc", b"", lengths=(2000, 2000, 1700), mode=2)
    with path.open("r+b") as file:
        file.truncate(1024 + 4 * 2000 * 2000 * 1700)
        file.seek(1024 + 4 * (2000 * 2000 * 1699 + 2000 * 1000 + 7))
        file.write(np.float32(1.5).tobytes())
    assert path.stat().st_size > 27e9
    found = source(path).read(Box((0, 1000, 1698), (20, 1, 2)))
    assert np.argwhere(found).tolist() == [[0, 7, 0, 1]]
    assert found.max() == 1.5


# --- 4 bits -----------------------------------------------------------------------------------------------------------


@FEW
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_rows_of_4_bit_values_begin_with_a_byte(tmp_path, width, height, depth, is_big):
    stored = noise(depth, height, width) & 15
    padded = np.pad(stored, ((0, 0), (0, 0), (0, width % 2)))
    packed = padded[..., ::2] | padded[..., 1::2] << 4
    path = write(tmp_path / "a.mrc", packed.tobytes(), ">" if is_big else "<", lengths=(width, height, depth), mode=101)
    np.testing.assert_array_equal(read_checked(source(path)), seen(stored))


def test_bytes_that_imod_marks_as_packed_are_two_columns_each(tmp_path):
    packed = noise(3, 4, 5)
    path = write(tmp_path / "a.mrc", packed, stamp=IMOD, flags=16, intervals=(5, 4, 3), cell=(10.0, 8.0, 6.0))
    found = voxels(path)[0].T
    assert found.shape == (3, 4, 10)
    np.testing.assert_array_equal(found[..., ::2], packed & 15)
    np.testing.assert_array_equal(found[..., 1::2], packed >> 4)
    assert source(path).info.voxel_size.size == (2, 2, 2), "the cell is counted in halved columns, too"


# --- signs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "dtype", "told"),
    [
        ({"stamp": IMOD, "flags": 1, "range": (0.0, 255.0, 9.0)}, "int8", ""),
        ({"stamp": IMOD, "flags": 0, "range": (-128.0, 127.0, 9.0)}, "uint8", ""),
        ({"stamp": 7, "flags": 1, "range": (0.0, 255.0, 9.0), "version": 0}, "uint8", ""),
        ({"range": (-5.0, 90.0, 9.0), "version": 0}, "int8", ""),
        ({"range": (-5.0, 255.0, 9.0), "version": 0}, "uint8", ""),
        ({"range": (-128.0, 128.0, 9.0), "version": 0}, "int8", ""),
        ({"range": (0.0, 255.0, 9.0)}, "uint8", "greatest value is 255, though the standard has them signed"),
        ({"range": (3.0, 90.0, 9.0)}, "int8", ""),
        ({"range": (3.0, 90.0, 9.0), "version": 0}, "uint8", ""),
        ({"range": (0.0, -1.0, -2.0)}, "int8", ""),
        ({"range": (0.0, -1.0, -2.0), "version": 0}, "uint8", "header does not say it"),
        ({"range": (0.0, 0.0, 0.0), "version": 19}, "uint8", "header does not say it"),
        ({"range": (float("nan"), 200.0, 0.0), "version": 0}, "uint8", "header does not say it"),
    ],
)
def test_bytes_are_signed_as_imod_the_range_or_the_standard_say(tmp_path, fields, dtype, told):
    path = write(tmp_path / "a.mrc", bytes(range(100, 160)), lengths=(5, 4, 3), mode=0, **fields)
    assert source(path).info.dtype == dtype
    assert [told in note for note in warnings(path)] == [True] * bool(told)
    for said, other in (("signed", "int8"), ("unsigned", "uint8")):
        np.testing.assert_array_equal(voxels(path, bytes=said).ravel("F"), np.arange(100, 160, dtype="u1").view(other))
        assert not warnings(path, bytes=said)


# --- axes and stacks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)])
def test_columns_rows_and_sections_become_the_axes_that_they_run_along(tmp_path, axes):
    stored = noise(3, 4, 5, dtype="int16")
    path = write(tmp_path / "a.map", stored, axes=axes, intervals=(10, 10, 10), cell=(20.0, 30.0, 40.0))
    found = source(path)
    expected = stored.T.transpose([axes.index(axis) for axis in (1, 2, 3)])
    np.testing.assert_array_equal(read_checked(found)[0], expected)
    assert found.info.voxel_size.size == (2, 3, 4)
    assert bool(found.info.turned) == (axes != (1, 2, 3))
    np.testing.assert_array_equal(voxels(path, orientation="stored"), seen(stored))
    as_stored = source(path, orientation="stored").info
    assert as_stored.voxel_size.size == tuple((2, 3, 4)[axis - 1] for axis in axes)
    assert not as_stored.turned


def test_axes_that_are_not_said_are_those_of_columns_rows_and_sections(tmp_path):
    stored = noise(3, 4, 5, dtype="int16")
    path = write(tmp_path / "a.rec", stored, axes=(0, 0, 0), map=b"\0\0\0\0", machine=b"\0\0\0\0", version=0)
    np.testing.assert_array_equal(voxels(path), seen(stored))


def test_a_stack_of_volumes_is_refused_until_one_is_chosen(tmp_path):
    stored = noise(6, 4, 5, dtype="int16")
    path = write(tmp_path / "a.mrc", stored, group=401, intervals=(5, 4, 2))
    with pytest.raises(UnsupportedSource, match="stack of 3 volumes of 2 sections") as caught:
        layers(path)
    assert caught.value.fix == "take one with -o volume=N, 0 to 2"
    np.testing.assert_array_equal(voxels(path, volume="1"), seen(stored[2:4]))


@pytest.mark.parametrize("group", [0, 1, 400, 631])
def test_other_space_groups_are_one_volume_however_large_the_cell(tmp_path, group):
    stored = noise(6, 4, 5, dtype="int16")
    path = write(tmp_path / "a.mrc", stored, group=group, intervals=(5, 4, 2), cell=(10.0, 8.0, 6.0))
    np.testing.assert_array_equal(voxels(path), seen(stored))
    assert source(path).info.voxel_size.size == (2, 2, 3)


# --- oracles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
def test_what_mrcfile_writes_is_what_it_reads(tmp_path, order, dtype):
    mrcfile = pytest.importorskip("mrcfile")
    stored = noise(5, 4, 3, dtype="int16").astype(dtype)
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(stored.astype(np.dtype(dtype).newbyteorder(order)))
        file.voxel_size = (1.5, 2.5, 13.328)
        file.set_extended_header(np.zeros(7, "V16"))
    with mrcfile.open(tmp_path / "a.mrc") as file:
        np.testing.assert_array_equal(voxels(tmp_path / "a.mrc"), seen(file.data))
    size = source(tmp_path / "a.mrc").info.voxel_size
    assert (size.size, size.unit) == ((1.5, 2.5, 13.328), "Å")


def test_stacks_of_mrcfile_are_taken_volume_by_volume(tmp_path):
    mrcfile = pytest.importorskip("mrcfile")
    stored = noise(2, 3, 4, 5, dtype="int16")
    mrcfile.write(tmp_path / "a.mrc", stored, voxel_size=2)
    for number, one in enumerate(stored):
        np.testing.assert_array_equal(voxels(tmp_path / "a.mrc", volume=str(number)), seen(one))
    assert source(tmp_path / "a.mrc", volume="1").info.voxel_size.size == (2, 2, 2)


@pytest.mark.slow
def test_ncempy_reads_the_same(tmp_path):
    mrc = pytest.importorskip("ncempy.io.mrc")
    path = write(tmp_path / "a.mrc", noise(3, 4, 5, dtype="int16"), cell=(10.0, 12.0, 15.0), intervals=(5, 4, 3))
    found = mrc.mrcReader(str(path))
    np.testing.assert_array_equal(voxels(path), seen(found["data"]))
    np.testing.assert_allclose(source(path).info.voxel_size.to("Å").size[::-1], found["pixelSize"])
