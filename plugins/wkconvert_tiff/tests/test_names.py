"""Folders whose names count more than slices: channels as layers, a chosen time, position or well, copies, tiles."""

import itertools
import pickle

import numpy as np
import pytest
import tifffile
from pictures_of import layers, source, volume, voxels
from PIL import Image

from wkconvert_core import BrokenSource, InconsistentStack, OptionError, UnsupportedSource
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import noise, read_checked

PLANES = noise(4, 3, 9, 7)  # z, channel, y, x


@pytest.fixture
def folder(tmp_path):
    """Writes a picture for each combination of numbers, under the name that a pattern makes of them."""

    def write(pattern, pictures, *fields):
        target = tmp_path / "stack"
        target.mkdir()
        for at in itertools.product(*map(enumerate, fields)):
            path = target / pattern.format(*(value for _, value in at))
            picture = pictures[tuple(index for index, _ in at)]
            tifffile.imwrite(path, picture) if path.suffix == ".tif" else Image.fromarray(picture).save(path)
        return target

    return write


def voxels_of(layer):
    return read_checked(pickle.loads(pickle.dumps(layer.source)))


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_channels_in_names_become_layers(folder, suffix):
    where = folder("Series012_z{:02}_ch{:02}." + suffix, PLANES, range(4), range(3))
    found = layers(where)
    assert [layer.name for layer in found] == ["channel0", "channel1", "channel2"]
    for channel, layer in enumerate(found):
        np.testing.assert_array_equal(voxels_of(layer), volume(*PLANES[:, channel]))
    np.testing.assert_array_equal(voxels(where, channel=2), volume(*PLANES[:, 2]))
    with pytest.raises(OptionError, match="channel 3 does not exist"):
        layers(where, channel=3)


def test_dyes_in_names_are_names_and_colours_of_layers(folder):
    found = layers(folder("z{}_{}.tif", PLANES, range(4), ["DAPI", "GFP", "mCherry"]))
    assert {layer.name: layer.color for layer in found} == {
        "DAPI": (0, 0, 255),
        "GFP": (0, 255, 0),
        "mCherry": (255, 0, 0),
    }


def test_channels_may_differ_in_dtype_and_colour(folder):
    where = folder("z{}_{}.tif", PLANES[:, :2].astype("uint16"), range(4), ["DAPI", "GFP"])
    for z in range(4):
        tifffile.imwrite(where / f"z{z}_bf.tif", noise(9, 7, 3))
    found = {layer.name: layer for layer in layers(where)}
    assert {name: layer.source.info.channels for name, layer in found.items()} == {"DAPI": 1, "GFP": 1, "bf": 3}
    assert found["DAPI"].source.info.dtype == np.uint16


def test_a_time_a_position_and_a_well_are_chosen(folder):
    pictures = noise(2, 2, 2, 3, 9, 7)
    where = folder("P_{}_t{}_s{}_z{}.tif", pictures, ["A01", "B02"], [0, 5], [1, 2], range(3))
    with pytest.raises(UnsupportedSource, match=r"2 wells \(A1, B2\) and 2 time points \(t 0, 5\) and 2 positions"):
        layers(where)
    np.testing.assert_array_equal(voxels(where, well="B2", timepoint=5, position=1), volume(*pictures[1, 1, 0]))


def test_pictures_have_the_same_choices(folder):
    pictures = noise(2, 3, 9, 7)
    where = folder("t{}_z{}.png", pictures, [0, 1], range(3))
    np.testing.assert_array_equal(voxels(where, timepoint=1), volume(*pictures[1]))
    np.testing.assert_array_equal(voxels(where, names="z"), volume(*pictures.reshape(6, 9, 7)))


@pytest.mark.parametrize("option", [{"position": 1}, {"well": "A1"}, {"timepoint": 0}])
def test_a_choice_that_chooses_nothing_is_an_error(folder, option):
    where = folder("s{}.png", noise(3, 9, 7), range(3))
    for path in (where, where / "s0.png"):
        with pytest.raises(OptionError, match="does not fit"):
            layers(path, **option)


def test_a_time_may_be_in_the_names_or_in_the_files(tmp_path):
    for number in range(2):
        tifffile.imwrite(tmp_path / f"t{number}.tif", PLANES[:, number], photometric="minisblack")
    with pytest.raises(UnsupportedSource, match="hold several pages each"):
        layers(tmp_path)
    np.testing.assert_array_equal(voxels(tmp_path, timepoint=1), volume(*PLANES[:, 1]))


def test_volumes_whose_names_count_channels_are_layers(tmp_path):
    for channel in range(2):
        tifffile.imwrite(tmp_path / f"brain_ch{channel:02}.tif", PLANES[:, channel], photometric="minisblack")
    first, second = layers(tmp_path)
    np.testing.assert_array_equal(voxels_of(first), volume(*PLANES[:, 0]))
    np.testing.assert_array_equal(voxels_of(second), volume(*PLANES[:, 1]))


def test_a_set_of_ome_tiff_is_read_as_its_description_says_whatever_the_names_count(tmp_path):
    text = "".join(
        f'<TiffData FirstC="{c}" FirstZ="{z}" IFD="0" PlaneCount="1"><UUID '
        f'FileName="x_t{z}_s{c}.ome.tif">u{z}{c}</UUID></TiffData>'
        for z in range(4)
        for c in range(2)
    )
    for z, c in itertools.product(range(4), range(2)):
        xml = (
            f'<?xml version="1.0"?><OME UUID="u{z}{c}"><Image><Pixels DimensionOrder="XYZCT" SizeX="7" SizeY="9" '
            f'SizeZ="4" SizeC="2" SizeT="1" Type="uint8"><Channel/><Channel/>{text}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"x_t{z}_s{c}.ome.tif", PLANES[z, c], description=xml, metadata=None)
    found = layers(tmp_path)
    for channel, layer in enumerate(found):
        np.testing.assert_array_equal(voxels_of(layer), volume(*PLANES[:, channel]))


def test_a_gap_is_filled_in_the_channel_that_has_it(folder):
    where = folder("z{}_ch{}.tif", PLANES, range(4), range(3))
    (where / "z2_ch1.tif").unlink()
    with pytest.raises(InconsistentStack, match="channel1 lacks 2"):
        layers(where)
    expected = PLANES.copy()
    expected[2, 1] = 0
    for channel, layer in enumerate(layers(where, gaps="fill")):
        np.testing.assert_array_equal(voxels_of(layer), volume(*expected[:, channel]))


def test_a_copy_of_a_slice_is_refused(folder):
    where = folder("s{:03}.png", noise(8, 9, 7), range(8))
    Image.fromarray(PLANES[0, 0]).save(where / "s003 (1).png")
    with pytest.raises(InconsistentStack, match=r"s003\.png twice, it seems: s003 \(1\)\.png"):
        layers(where)


def test_the_preview_of_a_scanner_is_left_out(folder):
    pictures = noise(8, 50, 60)
    where = folder("H 1-4_rec{:08}.bmp", pictures, range(120, 128))
    Image.fromarray(noise(90, 70)).save(where / "H 1-4_rec_spr.bmp")
    of = source(where)
    np.testing.assert_array_equal(read_checked(pickle.loads(pickle.dumps(of))), volume(*pictures))
    assert "H 1-4_rec_spr.bmp" in of.info.notes[0]


def test_names_that_come_to_count_something_else_are_noticed(folder):
    where = folder("s{}.tif", noise(4, 9, 7), range(4))
    of = pickle.dumps(source(where))
    tifffile.imwrite(where / "s3 - Copy.tif", PLANES[0, 0])
    with pytest.raises(BrokenSource, match="has changed since it was opened"):
        read_checked(pickle.loads(of))


@pytest.mark.parametrize("name", ["{}_{}.tif", "z1_y{}_x{}.tif"])
def test_names_that_may_be_tiles_are_refused_unless_each_file_is_said_to_be_a_slice(folder, name):
    where = folder(name, PLANES, range(4), range(3))
    with pytest.raises(UnsupportedSource, match=r"holds tiles|is not clear") as caught:
        layers(where)
    assert "-o pattern=" in caught.value.fix
    np.testing.assert_array_equal(voxels(where, names="z"), volume(*PLANES.reshape(12, 9, 7)))


def test_layers_from_folders_named_after_dyes_have_their_colours(tmp_path):
    where = tmp_path / "src"
    for channel, dye in enumerate(["DAPI", "GFP", "labels"]):
        (where / dye).mkdir(parents=True)
        for z in range(4):
            tifffile.imwrite(where / dye / f"z{z}.tif", PLANES[z, channel])
    opened = open_source(where, Settings(), plugins())
    assert {layer.name: layer.color for layer in opened} == {"DAPI": (0, 0, 255), "GFP": (0, 255, 0), "labels": None}
