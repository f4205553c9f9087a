"""Imaris, BigDataViewer, Velox and Berkeley: levels, channels, sizes, places."""

import h5py
import numpy as np
import pytest
from hdf5_files import berkeley, halved, imaris, layers, letters, plain, seen, source, spim, velox, voxels
from helpers.conversions import invoke, layers_of, read

from wkconvert_core import BrokenSource, Mag, OptionError, SourceNotFound, UnknownOption, UnsupportedSource, WarningNote
from wkconvert_core.testing import noise

GIVEN = noise(10, 18, 20, dtype="uint16")
OTHER = noise(10, 18, 20, dtype="uint16") + np.uint16(1)


def warnings(layer):
    return [note for note in layer.notes if isinstance(note, WarningNote)]


# --- Imaris -----------------------------------------------------------------------------------------------------------


def test_channels_of_imaris_are_layers_with_names_colours_and_levels(tmp_path):
    path = imaris(tmp_path / "a.ims", [GIVEN, OTHER], colors=["0.000 1.000 0.000", "1.000 0.500 0.000"])
    first, second = layers(path)
    assert [(layer.name, layer.color) for layer in (first, second)] == [
        ("GFP", (0, 255, 0)),
        ("channel_1", (255, 128, 0)),
    ]
    for layer, stored in ((first, GIVEN), (second, OTHER)):
        assert set(layer.mags) == {Mag(1, 1, 1), Mag(2, 2, 2)}
        for mag, expected in ((Mag(1, 1, 1), stored), (Mag(2, 2, 2), halved(stored))):
            of = layer.mags[mag]
            np.testing.assert_array_equal(of.read(of.info.box), seen(expected))
    (alone,) = layers(path, channel="1")
    np.testing.assert_array_equal(alone.source.read(alone.source.info.box), seen(OTHER))


def test_channels_that_imaris_does_not_name_are_numbered(tmp_path):
    path = imaris(tmp_path / "a.ims", [GIVEN, OTHER])
    with h5py.File(path, "a") as file:
        for number in range(2):
            file[f"DataSetInfo/Channel {number}"].attrs["Name"] = letters("(name not specified)")
    assert [layer.name for layer in layers(path)] == ["channel_0", "channel_1"]


def test_the_extents_of_imaris_are_voxel_size_and_place(tmp_path):
    info = source(imaris(tmp_path / "a.ims", [GIVEN])).info
    assert (info.voxel_size.size, info.voxel_size.unit) == ((0.5, 0.5, 2), "µm")
    assert (info.affine.origin, info.affine.unit) == ((10.25, 20.25, 31), "µm")
    assert layers(tmp_path / "a.ims")[0].mags[Mag(2, 2, 2)].info.voxel_size.size == (1, 1, 4)
    assert source(imaris(tmp_path / "b.ims", [GIVEN], low=(0, 0, 0))).info.affine is None


@pytest.mark.parametrize("told", [{"ExtMax0": "nan"}, {"ExtMax0": "10"}, {"ExtMin2": ""}, {"Unit": "parsec"}])
def test_extents_of_imaris_that_are_none_are_told(tmp_path, told):
    (layer,) = layers(imaris(tmp_path / "a.ims", [GIVEN], **told))
    assert layer.source.info.voxel_size is None
    assert any("are no sizes" in note for note in warnings(layer))


def test_times_of_imaris_are_asked_for(tmp_path):
    path = imaris(tmp_path / "a.ims", [GIVEN])
    with h5py.File(path, "a") as file:
        for level in range(2):
            file.copy(f"DataSet/ResolutionLevel {level}/TimePoint 0", f"DataSet/ResolutionLevel {level}/TimePoint 1")
        file["DataSet/ResolutionLevel 0/TimePoint 1/Channel 0/Data"][:10, :18, :20] = OTHER
    with pytest.raises(UnsupportedSource, match="2 time points"):
        layers(path)
    np.testing.assert_array_equal(voxels(path, timepoint="1"), seen(OTHER))


def test_levels_of_imaris_that_are_no_mags_are_left_out_and_told(tmp_path):
    path = imaris(tmp_path / "a.ims", [GIVEN])
    with h5py.File(path, "a") as file:
        file["DataSet/ResolutionLevel 1/TimePoint 0/Channel 0"].attrs["ImageSizeX"] = letters(7)
    (layer,) = layers(path)
    assert set(layer.mags) == {Mag(1, 1, 1)}
    assert layer.notes[-1] == "resolution levels that are no mags are left out: 1"


@pytest.mark.parametrize("count", ["", "0", "-1", "x", "25", "1000000"])
def test_sizes_of_imaris_that_cannot_be_are_refused(tmp_path, count):
    path = imaris(tmp_path / "a.ims", [GIVEN])
    with h5py.File(path, "a") as file:
        file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"].attrs["ImageSizeX"] = letters(count)
    if count == "25":  # 32 are stored
        assert source(path).info.shape == (25, 18, 10)
        return
    with pytest.raises((BrokenSource, UnsupportedSource), match=r"a\.ims"):
        layers(path)


def test_an_imaris_file_is_converted_with_its_levels_and_without_what_fills_up_its_chunks(tmp_path):
    path = imaris(tmp_path / "a.ims", [GIVEN, OTHER])
    assert invoke("auto", path, tmp_path / "ds", "--max-mag", "2").exit_code == 0
    assert set(layers_of(tmp_path / "ds")) == {"GFP", "channel_1"}
    np.testing.assert_array_equal(read(tmp_path / "ds", "GFP"), seen(GIVEN))
    np.testing.assert_array_equal(read(tmp_path / "ds", "channel_1", "2"), seen(halved(OTHER)))


# --- BigDataViewer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["a.xml", "a.h5", "."])
def test_xml_its_file_and_their_folder_are_one_dataset(tmp_path, given):
    high = GIVEN | np.uint16(0x8000)  # beyond what signed numbers hold
    spim(tmp_path / "a", [high, OTHER], names=["DAPI", "DAPI"])
    first, second = layers(tmp_path / given)
    assert (first.name, second.name) == ("DAPI", "DAPI")
    assert first.source.info.dtype == np.uint16
    np.testing.assert_array_equal(first.source.read(first.source.info.box), seen(high))
    np.testing.assert_array_equal(second.source.read(second.source.info.box), seen(OTHER))
    coarse = first.mags[Mag(2, 2, 2)]
    np.testing.assert_array_equal(coarse.read(coarse.info.box), seen(halved(high)))
    size = first.source.info.voxel_size
    assert (size.size, size.unit) == ((0.5, 0.5, 2), "µm")
    assert coarse.info.voxel_size.size == (1, 1, 4)


@pytest.mark.parametrize("given", ["a.xml", "."])
def test_setups_become_layers_of_a_dataset_once(tmp_path, given):
    (tmp_path / "src").mkdir()
    spim(tmp_path / "src" / "a", [GIVEN, OTHER])
    assert invoke("auto", tmp_path / "src" / given, tmp_path / "ds").exit_code == 0
    assert set(layers_of(tmp_path / "ds")) == {"channel_0", "channel_1"}
    np.testing.assert_array_equal(read(tmp_path / "ds", "channel_1"), seen(OTHER))


def test_without_xml_the_size_is_not_known_and_a_warning_tells(tmp_path):
    spim(tmp_path / "a", [GIVEN]).unlink()
    (layer,) = layers(tmp_path / "a.h5")
    np.testing.assert_array_equal(layer.source.read(layer.source.info.box), seen(GIVEN))
    assert layer.source.info.voxel_size is None
    assert any("no XML beside it" in note for note in warnings(layer))


def test_setups_and_times_are_chosen(tmp_path):
    path = spim(tmp_path / "a", [GIVEN, OTHER], times=3)
    with pytest.raises(UnsupportedSource, match="3 time points"):
        layers(path)
    np.testing.assert_array_equal(voxels(path, timepoint="2", setup="1"), seen(OTHER + np.uint16(2)))
    with pytest.raises(OptionError, match="-o setup takes 0, 1"):
        layers(path, timepoint="2", setup="2")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["t00002/s01"]
    with pytest.raises(UnsupportedSource, match="setup 1 has no images at time point 2"):
        layers(path, timepoint="2")


@pytest.mark.parametrize("options", [{"channel": "0"}, {"axes": "zyx"}, {"dataset": "t00000/s00/0/cells"}])
def test_options_of_arrays_are_none_of_xml(tmp_path, options):
    path = spim(tmp_path / "a", [GIVEN, OTHER])
    with pytest.raises(UnknownOption, match="has no use for") as caught:
        layers(path, **options)
    assert caught.value.names == tuple(options)
    if "dataset" in options:  # signed, as nothing says of a plain array that it is not
        np.testing.assert_array_equal(voxels(tmp_path / "a.h5", **options), seen(GIVEN.view("int16")))


def test_the_type_is_what_the_file_says_where_it_says_one(tmp_path):
    path = spim(tmp_path / "a", [GIVEN.view("int16")])
    assert source(path).info.dtype == np.uint16
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["s00"].attrs["dataType"] = np.bytes_("int16")
    np.testing.assert_array_equal(voxels(path), seen(GIVEN.view("int16")))
    np.testing.assert_array_equal(voxels(spim(tmp_path / "b", [noise(10, 12, 14)])), seen(noise(10, 12, 14)))


def test_registrations_place_setups_and_the_last_transform_is_applied_first(tmp_path):
    calibration, moved = "1 0 0 0 0 1 0 0 0 0 4 0", "1 0 0 5 0 1 0 -3 0 0 1 8"
    path = spim(tmp_path / "a", [GIVEN, OTHER], affines=[[calibration], [moved, calibration]])
    first, second = (layer.source.info.affine for layer in layers(path))
    assert (first.origin, second.origin) == ((0, 0, 0), (5, -3, 8))
    assert (second.x, second.y, second.z) == ((1, 0, 0), (0, 1, 0), (0, 0, 4))
    assert invoke("auto", path, tmp_path / "ds").exit_code == 0
    places = {name: layer["boundingBox"]["topLeft"] for name, layer in layers_of(tmp_path / "ds").items()}
    assert places == {"channel_0": [0, 3, 0], "channel_1": [5, 0, 2]}


def test_registrations_that_turn_are_told(tmp_path):
    path = spim(tmp_path / "a", [GIVEN], affines=[["0 1 0 0 -1 0 0 0 0 0 1 0"]])
    assert any("turns, shears or mirrors" in note for note in warnings(*layers(path)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", ["inf", "nan", "1e300"])
def test_registrations_that_are_no_numbers_place_nothing(tmp_path, number):
    beyond = f"1 0 0 {number} 0 1 0 {number} {number} {number} 1 0"
    (layer,) = layers(spim(tmp_path / "a", [GIVEN], affines=[[beyond, beyond]]))
    assert layer.source.info.affine is None


@pytest.mark.parametrize(("unit", "is_warned"), [("pixel", False), ("parsec", True)])
def test_a_size_without_a_unit_of_length_is_none(tmp_path, unit, is_warned):
    (layer,) = layers(spim(tmp_path / "a", [GIVEN], unit=unit))
    assert layer.source.info.voxel_size is None
    assert any(f"0.5 x 0.5 x 2.0 {unit} of setup 0 is none" in note for note in layer.notes)
    assert bool(warnings(layer)) == is_warned


def test_xml_whose_file_is_missing_names_it(tmp_path):
    path = spim(tmp_path / "a", [GIVEN])
    (tmp_path / "a.h5").rename(tmp_path / "b.h5")
    with pytest.raises(SourceNotFound, match=r"a\.h5"):
        layers(path)


def test_what_else_lies_in_the_folder_is_left_out_with_a_warning(tmp_path):
    spim(tmp_path / "a", [GIVEN])
    for name in ("a.xml~1", "a-00-00.h5", "other.h5", "settings.xml"):
        (tmp_path / name).write_bytes(b"what is this")
    (layer,) = layers(tmp_path)
    assert [note for note in layer.notes if isinstance(note, WarningNote)] == [
        f"left out of {tmp_path.name}: other.h5, settings.xml"
    ]


def test_several_datasets_in_a_folder_are_refused(tmp_path):
    spim(tmp_path / "a", [GIVEN])
    spim(tmp_path / "b", [GIVEN])
    with pytest.raises(UnsupportedSource, match="2 datasets of BigDataViewer"):
        layers(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<SpimData", "<Spim"),
        ("</SpimData>", ""),
        ("<id>0</id>", "<id>x</id>"),
        ("<id>0</id>", ""),
        ("<size>0.5 0.5 2.0</size>", "<size>0.5 x 2.0</size>"),
        ('type="relative">a.h5', 'type="relative">'),
        ("<hdf5", "<hdf"),
        ("ViewSetups", "Setups"),
        (" 0 4 0<", " 0 4<"),
        (" 0 4 0<", " 0 x 0<"),
        ("UTF-8", "UTF-9"),
    ],
)
def test_damaged_xml_is_refused(tmp_path, before, after):
    path = spim(tmp_path / "a", [GIVEN])
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(BrokenSource, match=r"a\.(xml|h5)"):
        layers(path)


# --- Velox and Berkeley -----------------------------------------------------------------------------------------------


def test_an_image_of_velox_has_a_size_along_x_and_y(tmp_path):
    stored = noise(12, 9, 1, dtype="int32")
    of = source(velox(tmp_path / "a.emd", {"HAADF": stored}))
    np.testing.assert_array_equal(of.read(of.info.box)[0, :, :, 0], stored[..., 0].T)
    assert (of.info.voxel_size.size, of.info.voxel_size.unit) == ((2, 3, None), "nm")


def test_frames_of_velox_are_times(tmp_path):
    stored = noise(12, 9, 4, dtype="uint16")
    path = velox(tmp_path / "a.emd", {"HAADF": stored})
    with pytest.raises(UnsupportedSource, match="4 time points"):
        layers(path)
    np.testing.assert_array_equal(voxels(path, timepoint="3")[0, ..., 0], stored[..., 3].T)
    np.testing.assert_array_equal(voxels(path, axes="yxz")[0], stored.transpose(1, 0, 2))


def test_images_of_several_detectors_are_listed(tmp_path):
    path = velox(tmp_path / "a.emd", {"HAADF": noise(12, 9, 1), "BF": noise(12, 9, 1)})
    with pytest.raises(UnsupportedSource, match=r"2 images: Data/Image/0+/Data \(HAADF\), .*\(BF\)"):
        layers(path)


def test_segments_of_a_detector_are_told_apart(tmp_path):
    path = velox(tmp_path / "a.emd", {"DF4-A": noise(12, 9, 1), "DF4-B": noise(12, 9, 1)}, short="DF4")
    with pytest.raises(UnsupportedSource, match=r"\(DF4-A\), .*\(DF4-B\)"):
        layers(path)
    (layer,) = layers(path, dataset=f"Data/Image/{1:032x}/Data", axes="yxz")
    assert layer.name == "DF4-B"


def test_transforms_alone_are_no_choice_between_images(tmp_path):
    path = velox(tmp_path / "a.emd", {"FFT": noise(12, 9, 1).astype("c8")})
    with pytest.raises(UnsupportedSource, match="holds no images") as refused:
        layers(path)
    assert "real numbers" in refused.value.why


@pytest.mark.parametrize("told", [{"width": "0"}, {"width": "nan"}, {"unit": "1/m"}, {"unit": ""}])
def test_pixels_of_velox_without_a_size_are_told(tmp_path, told):
    (layer,) = layers(velox(tmp_path / "a.emd", {"HAADF": noise(12, 9, 1)}, **told))
    assert layer.source.info.voxel_size is None
    assert any("have no size" in note for note in warnings(layer))


@pytest.mark.parametrize("metadata", [b"", b"{", b"[]", b'{"BinaryResult": 3}', b'{"BinaryResult": {"PixelSize": []}}'])
def test_damaged_metadata_of_velox_say_no_size(tmp_path, metadata):
    path = velox(tmp_path / "a.emd", {"HAADF": noise(12, 9, 1)})
    with h5py.File(path, "a") as file:
        file[f"Data/Image/{0:032x}/Metadata"][:, 0] = np.frombuffer(metadata.ljust(2000, b"\0"), "u1")
    assert source(path).info.voxel_size is None


def test_axes_of_berkeley_are_those_that_their_names_say(tmp_path):
    stored = noise(5, 6, 7, dtype="float32")
    path = berkeley(tmp_path / "a.emd", stored, [("x ", "[n_m]", 2.0), ("[y]", "[u_m]", 0.003), ("z", "nm", 4.0)])
    of = source(path)
    np.testing.assert_array_equal(of.read(of.info.box)[0], stored)
    assert (of.info.voxel_size.size, of.info.voxel_size.unit) == ((2, 3, 4), "nm")


def test_axes_of_berkeley_with_other_names_are_taken_by_their_order_and_told(tmp_path):
    stored = noise(5, 6, 7)
    path = berkeley(tmp_path / "a.emd", stored, [("angle", "[deg]", 2.0), ("row", "[px]", 1.0), ("col", "[n_m]", 1.0)])
    (layer,) = layers(path)
    np.testing.assert_array_equal(layer.source.read(layer.source.info.box), seen(stored))
    assert layer.source.info.voxel_size.size == (1, None, None)
    assert any("(angle, row, col) are taken as z, y, x" in note for note in layer.notes)
    assert any("z runs from 0 to 8 deg, not in steps of one length" in note for note in warnings(layer))


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan")])
def test_axes_of_berkeley_without_steps_have_no_size(tmp_path, step):
    dims = [("z", "[n_m]", step), ("y", "[n_m]", 1.0), ("x", "[n_m]", 1.0)]
    (layer,) = layers(berkeley(tmp_path / "a.emd", noise(5, 6, 7), dims))
    assert layer.source.info.voxel_size.size == (1, 1, None)
    assert any("not in steps of one length" in note for note in warnings(layer))


def test_several_arrays_of_berkeley_are_listed_and_one_is_chosen(tmp_path):
    dims = [("z", "[n_m]", 4.0), ("y", "[n_m]", 1.0), ("x", "[n_m]", 1.0)]
    path = berkeley(tmp_path / "a.emd", GIVEN, dims)
    berkeley(path, OTHER, dims, "data/other")
    with pytest.raises(UnsupportedSource, match="2 arrays: data/other/data, data/volume/data"):
        layers(path)
    np.testing.assert_array_equal(voxels(path, dataset="data/other/data"), seen(OTHER))


def test_other_axes_of_berkeley_are_refused(tmp_path):
    dims = [(name, "", 1.0) for name in ("qx", "qy", "x", "y")]
    path = berkeley(tmp_path / "a.emd", noise(5, 6, 7, 8), dims)
    with pytest.raises(UnsupportedSource, match="are qx, qy, x, y"):
        layers(path)


# --- oracles ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ncempy_writes_what_is_read(tmp_path):
    emd = pytest.importorskip("ncempy.io.emd")
    emd.emdWriter(str(tmp_path / "a.emd"), GIVEN, pixel_size=(4, 1, 2), pixel_unit=("nm", "nm", "nm"))
    of = source(tmp_path / "a.emd")
    np.testing.assert_array_equal(of.read(of.info.box), seen(GIVEN))
    assert of.info.voxel_size.to("nm").size == (2, 1, 4)


def test_npy2bdv_writes_what_is_read(tmp_path):
    npy2bdv = pytest.importorskip("npy2bdv")
    made = npy2bdv.BdvWriter(str(tmp_path / "a.h5"), nchannels=2, subsamp=((1, 1, 1), (1, 2, 2)))
    for channel, stored in enumerate((GIVEN, OTHER)):
        made.append_view(stored, channel=channel, voxel_size_xyz=(0.5, 0.5, 2), voxel_units="um")
    made.write_xml()
    made.close()
    first, second = layers(tmp_path / "a.xml")
    for layer, stored in ((first, GIVEN), (second, OTHER)):
        np.testing.assert_array_equal(layer.source.read(layer.source.info.box), seen(stored))
        assert set(layer.mags) == {Mag(1, 1, 1), Mag(2, 2, 1)}
        assert layer.source.info.voxel_size.size == (0.5, 0.5, 2)


def test_an_array_beside_those_of_a_kind_is_taken_by_its_name(tmp_path):
    path = imaris(tmp_path / "a.ims", [GIVEN])
    plain(path, OTHER, "mine")
    np.testing.assert_array_equal(voxels(path, dataset="mine"), seen(OTHER))
