"""Arrays of plain files: which is taken, what its axes are, dtypes, chunks, filters, and files that lie elsewhere."""

import itertools
import json
import sys

import h5py
import numpy as np
import pytest
from hdf5_files import ilastik, layers, matlab, plain, seen, source, voxels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wkconvert_core import OptionError, SourceNotFound, UnsupportedSource, WarningNote
from wkconvert_core.testing import noise, read_checked

GIVEN = noise(6, 7, 8, dtype="uint16")
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def warnings(layer):
    return [note for note in layer.notes if isinstance(note, WarningNote)]


# --- which array ------------------------------------------------------------------------------------------------------


def test_the_only_volume_is_taken_wherever_it_lies_and_told(tmp_path):
    path = plain(tmp_path / "a.h5", GIVEN, "volumes/raw")
    plain(path, noise(7, 8), "picture")
    plain(path, noise(900), "row")
    plain(path, np.zeros((3, 4, 5), "c8"), "waves")
    plain(path, np.array([["a"]], "S1"), "words")
    np.testing.assert_array_equal(voxels(path), seen(GIVEN))
    assert "read from volumes/raw" in layers(path)[0].notes


def test_minc_is_refused_until_its_stored_numbers_are_asked_for(tmp_path):
    path = plain(tmp_path / "a.mnc", GIVEN, "minc-2.0/image/0/image")
    with pytest.raises(UnsupportedSource, match=r"MINC 2.*mnc2nii"):
        layers(path)
    (layer,) = layers(path, dataset="minc-2.0/image/0/image")
    np.testing.assert_array_equal(read_checked(layer.source), seen(GIVEN))
    assert "image-min and image-max scale them" in warnings(layer)[0]


def test_a_scale_that_is_not_applied_is_warned_of(tmp_path):
    path = plain(tmp_path / "a.nc", GIVEN, "ct")
    assert not warnings(layers(path)[0])
    with h5py.File(path, "a") as file:
        file["ct"].attrs.update(scale_factor=0.5, add_offset=-1024)
    assert "scale_factor 0.5 and add_offset -1024 scale them" in warnings(layers(path)[0])[0]


def test_a_layer_is_called_after_its_array(tmp_path):
    path = plain(tmp_path / "a.h5", GIVEN, "volumes/raw/data")
    plain(path, GIVEN, "volumes/labels/neuron_ids")
    assert [layers(path, dataset=name)[0].name for name in ("volumes/raw/data", "volumes/labels/neuron_ids")] == [
        "raw",
        "neuron_ids",
    ]
    assert layers(plain(tmp_path / "b.h5", GIVEN, "volume"))[0].name is None


@pytest.mark.parametrize("name", ["DataSet", "Data/Image", "Data/Image/a", "s00", "t00000", "data"])
def test_an_array_may_be_called_like_a_part_of_another_kind(tmp_path, name):
    path = plain(tmp_path / "a.h5", GIVEN, name, {"emd_group_type": 1})
    plain(path, noise(3), "t00001")
    np.testing.assert_array_equal(voxels(path), seen(GIVEN))


def test_several_volumes_are_listed_and_one_is_chosen(tmp_path):
    path = plain(tmp_path / "a.h5", GIVEN, "volumes/raw")
    plain(path, GIVEN.astype("uint64"), "volumes/labels/ids")
    with pytest.raises(UnsupportedSource, match=r"2 volumes: .*volumes/labels/ids \(6 x 7 x 8 uint64\)") as caught:
        layers(path)
    assert "-o dataset=PATH" in caught.value.fix
    assert source(path, dataset="volumes/labels/ids").info.dtype == np.uint64
    np.testing.assert_array_equal(voxels(path, dataset="/volumes/raw"), seen(GIVEN))
    with pytest.raises(OptionError, match="has no data set volumes"):
        layers(path, dataset="volumes")


def test_a_file_without_volumes_says_so_and_takes_a_picture_by_its_name(tmp_path):
    path = plain(tmp_path / "a.h5", GIVEN[0], "picture")
    with pytest.raises(UnsupportedSource, match="holds no volume"):
        layers(path)
    np.testing.assert_array_equal(voxels(path, dataset="picture"), seen(GIVEN[:1]))


def test_a_file_with_too_many_groups_is_asked_for_the_name(tmp_path, monkeypatch):
    path = plain(tmp_path / "a.h5", GIVEN)
    for number in range(10):
        plain(path, noise(3), f"more{number}")
    monkeypatch.setattr("wkconvert_hdf5.plain._MOST", 10)
    with pytest.raises(UnsupportedSource, match="more than 10 groups"):
        layers(path)
    np.testing.assert_array_equal(voxels(path, dataset="volume"), seen(GIVEN))


# --- axes -------------------------------------------------------------------------------------------------------------


@FEW
@given(st.permutations("ctzyx"), st.integers(2, 5), st.booleans())
def test_axes_are_taken_in_any_order(tmp_path, letters, count, is_tagged):
    axes = "".join(letters[:count])
    axes += "".join(axis for axis in "xy" if axis not in axes)
    lengths = dict(zip("ctzyx", (2, 3, 4, 5, 6), strict=True))
    stored = noise(*(lengths[axis] for axis in axes), dtype="int16")
    path = tmp_path / "a.h5"
    path.unlink(missing_ok=True)
    (ilastik if is_tagged else plain)(path, stored, *([axes] if is_tagged else []))
    options = {} if is_tagged else {"axes": axes, "dataset": "volume"}
    if is_tagged and len(axes) == 2:
        options = {"dataset": "exported_data"}
    if "t" in axes:
        options["timepoint"] = "1"
    whole = np.moveaxis(stored, [axes.index(axis) for axis in "ctzyx" if axis in axes], range(len(axes)))
    for place, axis in enumerate("ctz"):
        whole = whole if axis in axes else np.expand_dims(whole, place)
    whole = whole[:, min(1, whole.shape[1] - 1)]
    found = layers(path, **options)
    assert len(found) == len(whole)
    for layer, expected in zip(found, whole, strict=True):
        np.testing.assert_array_equal(read_checked(layer.source), seen(expected))


@pytest.mark.parametrize("shape", [(1, 6, 7, 8), (6, 7, 8, 1), (1, 1, 6, 7, 8), (1, 6, 7, 8, 1), (1, 7, 8)])
def test_axes_of_the_length_1_stand_for_nothing(tmp_path, shape):
    stored = noise(*shape)
    path = plain(tmp_path / "a.h5", stored)
    expected = stored.reshape([side for side in shape if side > 1]) if len(shape) > 3 else stored
    np.testing.assert_array_equal(voxels(path), seen(expected))


@pytest.mark.parametrize(
    "shape", [(2, 6, 7, 8), (6, 7, 8, 3), (2, 2, 6, 7, 8), (2, 1, 6, 7, 8), (6, 7, 3), (6, 7, 1, 1)]
)
def test_axes_that_may_be_anything_are_asked_for(tmp_path, shape):
    path = plain(tmp_path / "a.h5", noise(*shape))
    with pytest.raises(UnsupportedSource, match=r"the axes of /volume in .* are unknown") as caught:
        layers(path)
    assert "-o axes=" in caught.value.fix


def test_labels_of_dimensions_are_axes(tmp_path):
    path = plain(tmp_path / "a.h5", GIVEN)
    with h5py.File(path, "a") as file:
        for dimension, label in zip(file["volume"].dims, "xzy", strict=True):
            dimension.label = label
    np.testing.assert_array_equal(voxels(path)[0], GIVEN.transpose(0, 2, 1))


@pytest.mark.parametrize(
    "tags", [{"axes": [{"key": "z"}]}, {"axes": "zyx"}, {"axes": [1, 2, 3]}, [1], {"axes": [{}] * 3}]
)
def test_axistags_that_do_not_fit_are_refused(tmp_path, tags):
    path = plain(tmp_path / "a.h5", GIVEN, attributes={"axistags": json.dumps(tags)})
    with pytest.raises(UnsupportedSource, match="axistags does not fit"):
        layers(path)
    np.testing.assert_array_equal(voxels(path, axes="zyx"), seen(GIVEN))


def test_an_array_of_matlab_is_rows_columns_and_slices(tmp_path):
    array = noise(7, 8, 6, dtype="int16")  # A(y, x, z)
    path = matlab(tmp_path / "a.mat", array)
    np.testing.assert_array_equal(voxels(path)[0], array.transpose(1, 0, 2))
    assert any("A(y, x, z)" in note for note in warnings(*layers(path)))
    np.testing.assert_array_equal(voxels(path, axes="zyx")[0], array)


def test_colours_of_matlab_are_not_taken_for_slices(tmp_path):
    array = noise(7, 8, 3)
    path = matlab(tmp_path / "a.mat", array)
    with pytest.raises(UnsupportedSource, match="axes of /A"):
        layers(path)
    np.testing.assert_array_equal(voxels(path, axes="cxy")[..., 0], array.transpose(2, 1, 0))


# --- channels and times -----------------------------------------------------------------------------------------------


def test_three_channels_of_uint8_are_colours_and_others_layers(tmp_path):
    stored = noise(3, 6, 7, 8)
    path = ilastik(tmp_path / "a.h5", stored, "czyx")
    np.testing.assert_array_equal(voxels(path), stored.transpose(0, 3, 2, 1))
    np.testing.assert_array_equal(voxels(path, channel="2"), seen(stored[2]))
    path = ilastik(tmp_path / "b.h5", stored.astype("float32"), "czyx")
    found = layers(path)
    assert [layer.name for layer in found] == ["channel_0", "channel_1", "channel_2"]
    assert [bool(layer.notes) for layer in found] == [True, False, False]
    assert len({layer.color for layer in found}) == 3
    with pytest.raises(OptionError, match="its channels are 0 to 2"):
        layers(path, channel="3")


def test_many_channels_are_asked_for(tmp_path):
    path = ilastik(tmp_path / "a.h5", noise(6, 7, 8, 101), "zyxc")
    with pytest.raises(UnsupportedSource, match=r"more than 100 layers.*--channel N"):
        layers(path)
    assert voxels(path, channel="100").shape == (1, 8, 7, 6)


def test_times_are_asked_for(tmp_path):
    stored = noise(4, 6, 7, 8)
    path = ilastik(tmp_path / "a.h5", stored, "tzyx")
    with pytest.raises(UnsupportedSource, match="4 time points") as caught:
        layers(path)
    assert caught.value.fix == "take one with -o timepoint=N, 0 to 3"
    np.testing.assert_array_equal(voxels(path, timepoint="3"), seen(stored[3]))
    with pytest.raises(OptionError, match="takes 0 to 3"):
        layers(path, timepoint="-1")


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_element_size_um_is_z_y_x(tmp_path):
    path = plain(tmp_path / "a.h5", GIVEN.transpose(2, 1, 0), attributes={"element_size_um": [4.0, 2.0, 0.5]})
    for axes in ("xyz", "zyx"):
        size = source(path, axes=axes).info.voxel_size
        assert (size.size, size.unit, size.origin) == ((0.5, 2, 4), "µm", "element_size_um")


@pytest.mark.parametrize("told", [[0.0, 2.0, 0.5], [np.nan, 2.0, 0.5], [-1.0, 2.0, 0.5]])
def test_an_element_size_that_is_none_leaves_its_axis_open(tmp_path, told):
    (layer,) = layers(plain(tmp_path / "a.h5", GIVEN, attributes={"element_size_um": told}))
    assert layer.source.info.voxel_size.size == (0.5, 2, None)
    assert any("not three sizes" in note for note in warnings(layer))


def test_a_resolution_without_a_unit_is_told_and_not_taken(tmp_path):
    (layer,) = layers(plain(tmp_path / "a.h5", GIVEN, attributes={"resolution": [40.0, 4.0, 4.0]}))
    assert layer.source.info.voxel_size is None
    assert any("40.0 4.0 4.0, names no unit" in note for note in layer.notes)


@pytest.mark.parametrize(
    ("resolution", "offset", "told"),
    [
        ([40.0, 4.0, 4.0], [80.0, 12.0, 4.0], "--top-left 1,3,2, by its resolution, lays"),
        ([40.0, 4.0, 4.0], [80.0, 13.0, 4.0], "--top-left x,y,z lays"),
        ([], [80, 12, 4], "--top-left x,y,z lays"),
        ([40.0, 4.0, 4.0], [0.0, 0.0, 0.0], ""),
        ([40.0, 4.0, 4.0], "middle", ""),
    ],
)
def test_an_offset_without_a_unit_is_warned_of_with_the_place_that_it_may_mean(tmp_path, resolution, offset, told):
    attributes = {"resolution": resolution, "offset": offset}
    found = warnings(*layers(plain(tmp_path / "a.h5", GIVEN, attributes=attributes)))
    assert len(found) == bool(told)
    assert all(told in note for note in found)


# --- dtypes, chunks, filters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_every_dtype_in_both_byte_orders(tmp_path, order, dtype):
    stored = noise(6, 7, 8, dtype="int16").astype(np.dtype(dtype).newbyteorder(order))
    path = plain(tmp_path / "a.h5", stored)
    found = source(path).info.dtype
    assert (found, found.isnative) == (np.dtype(dtype), True)
    np.testing.assert_array_equal(voxels(path), seen(stored))


def test_bools_are_0_and_1(tmp_path):
    stored = noise(6, 7, 8) > 99
    np.testing.assert_array_equal(voxels(plain(tmp_path / "a.h5", stored)), seen(stored))


@pytest.mark.parametrize(("axes", "chunk"), [("zyx", (7, 5, 3)), ("xyz", (3, 5, 7)), ("yzx", (5, 7, 3))])
def test_chunks_are_known_along_x_y_z(tmp_path, axes, chunk):
    path = plain(tmp_path / "a.h5", noise(20, 20, 20), chunks=chunk)
    assert source(path, axes=axes).info.chunk_shape == (3, 5, 7)


@pytest.mark.parametrize(("axes", "chunk"), [("zyx", (3, 1, 1)), ("xyz", (1, 1, 3))])
def test_an_array_in_one_piece_is_best_read_along_its_last_axis(tmp_path, axes, chunk):
    path = plain(tmp_path / "a.h5", noise(5, 4, 3))
    assert source(path, axes=axes).info.chunk_shape == chunk


def test_chunks_that_hold_other_channels_cost_more(tmp_path):
    path = ilastik(tmp_path / "a.h5", noise(6, 7, 8, 4, dtype="f4"), "zyxc", chunks=(3, 7, 8, 4))
    assert {layer.source.read_cost for layer in layers(path)} == {4}


def test_chunks_that_were_never_written_are_the_fill_value(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("volume", (6, 7, 8), "u2", chunks=(2, 7, 8), fillvalue=9)
        data[:2] = 5
    found = voxels(tmp_path / "a.h5")
    assert [found[0, 0, 0, z] for z in range(6)] == [5, 5, 9, 9, 9, 9]


def compressed(path):
    plugin = pytest.importorskip("hdf5plugin")
    return plain(path, GIVEN, chunks=(2, 7, 8), **plugin.Zstd())


def test_filters_of_hdf5plugin_are_used_where_it_is_installed(tmp_path):
    of = source(compressed(tmp_path / "a.h5"))
    np.testing.assert_array_equal(read_checked(of), seen(GIVEN))


def test_without_hdf5plugin_the_error_names_it(tmp_path, monkeypatch):
    path = compressed(tmp_path / "a.h5")
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != 32015)
    with pytest.raises(UnsupportedSource, match=r"compressed by .*\(32015\)") as caught:
        layers(path)
    assert caught.value.fix == "pip install hdf5plugin"


# --- files that lie elsewhere -----------------------------------------------------------------------------------------


def virtual(folder):
    layout = h5py.VirtualLayout((6, 7, 8), "u2")
    for number, part in enumerate(np.split(GIVEN, 2)):
        plain(folder / f"part{number}.h5", part)
        layout[3 * number : 3 * number + 3] = h5py.VirtualSource(f"part{number}.h5", "volume", (3, 7, 8))
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_virtual_dataset("volume", layout)
    return folder / "a.h5"


def test_an_array_of_several_files_is_read_if_all_are_there(tmp_path):
    path = virtual(tmp_path)
    np.testing.assert_array_equal(voxels(path), seen(GIVEN))
    (tmp_path / "part1.h5").unlink()
    with pytest.raises(SourceNotFound, match=r"part1\.h5 does not exist") as caught:
        layers(path)
    assert "zeros" in caught.value.why
    plain(tmp_path / "part1.h5", GIVEN, "other")
    with pytest.raises(SourceNotFound, match=r"volume in .*part1\.h5"):
        layers(path)


def test_an_array_in_an_external_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("volume", (6, 7, 8), "u2", external=[("a.raw", 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(UnsupportedSource, match=r"lie in other files: a\.raw"):
        layers(tmp_path / "a.h5")


def test_a_link_to_a_missing_file_is_told(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["volume"] = h5py.ExternalLink("missing.h5", "volume")
    with pytest.raises(SourceNotFound, match=r"volume in .*a\.h5 lies in missing\.h5"):
        layers(tmp_path / "a.h5", dataset="volume")


def test_h5py_reads_the_same_through_every_box(tmp_path):
    path = plain(tmp_path / "a.h5", GIVEN, chunks=(4, 5, 6), compression="lzf")
    of = source(path)
    with h5py.File(path, "r") as file:
        for start in itertools.product((0, 3), repeat=3):
            x, y, z = start
            found = of.read(type(of.info.box)(start, (2, 3, 3)))
            np.testing.assert_array_equal(found[0].T, file["volume"][z : z + 3, y : y + 3, x : x + 2])
