"""Real files, each against what tifffile or imageio read, once orientation is honoured and alpha dropped."""

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from helpers.paths import SAMPLES, needs_samples
from pictures_of import layers, source, upright, volume, voxels

from wkconvert_core import InconsistentStack
from wkconvert_core.testing import read_checked

pytestmark = needs_samples
TIFF = SAMPLES / "tiff"
IMAGES = SAMPLES / "images"


@pytest.mark.parametrize(
    "name",
    [
        "big_endian_u16.tif",
        "em_slice_265_lzw.tiff",
        "rgb_32.tif",
        "single-channel.ome.tiff",
        "yxq_250x250x1.tif",
        "calibrated/test_loading_image_saved_with_DM.tif",
        "calibrated/test_loading_image_saved_with_imageJ.tif",
        "variants/12bit.cropped.tif",
        "variants/16bit.MM.deflate.tif",
        "variants/hopper_bigtiff.tif",
        "variants/tiff_tiled_raw.tif",
    ],
)
def test_a_picture_is_what_tifffile_reads(name):
    np.testing.assert_array_equal(voxels(TIFF / name), volume(tifffile.imread(TIFF / name).squeeze()))


@pytest.mark.parametrize(
    "name",
    [
        "imagej_zyx_30x32x32.tif",
        "labels_uint32_multipage.tif",
        "calibrated/test_loading_image_saved_with_imageJ_stack.tif",
    ],
)
def test_pages_are_slices(name):
    np.testing.assert_array_equal(voxels(TIFF / name), volume(*tifffile.imread(TIFF / name)))


def test_planes_of_samples_are_colours():
    planar = tifffile.imread(TIFF / "variants/tiff_strip_planar_lzw.tiff")
    np.testing.assert_array_equal(
        voxels(TIFF / "variants/tiff_strip_planar_lzw.tiff"), volume(planar.transpose(1, 2, 0))
    )


def test_16_bit_colours_are_layers_without_alpha():
    found = layers(TIFF / "variants/tiff_16bit_RGBa.tiff")
    assert [(layer.name, layer.color) for layer in found] == [
        ("red", (255, 0, 0)),
        ("green", (0, 255, 0)),
        ("blue", (0, 0, 255)),
    ]
    pixels = tifffile.imread(TIFF / "variants/tiff_16bit_RGBa.tiff")
    for number, layer in enumerate(found):
        np.testing.assert_array_equal(read_checked(layer.source), volume(pixels[..., number]))
        assert any("alpha dropped" in note for note in layer.source.info.notes)


def test_fax_is_turned_upright_and_white_is_bright():
    path = TIFF / "variants/g4_orientation_5.tif"
    stored = ~tifffile.imread(path)
    np.testing.assert_array_equal(voxels(path), volume(upright(stored, 5)))
    seen = iio.imread(path, plugin="pillow", rotate=True)
    np.testing.assert_array_equal(seen if seen.shape == (88, 590) else upright(seen, 5), upright(stored, 5))


def test_channels_of_ome_are_layers():
    path = TIFF / "multi-channel-z-series.ome.tif"
    found = layers(path)
    expected = tifffile.imread(path)
    assert [layer.color for layer in found] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    for layer, planes in zip(found, expected, strict=True):
        np.testing.assert_array_equal(read_checked(layer.source), volume(*planes))


def test_pages_of_two_sizes_are_refused_unless_one_is_chosen():
    path = TIFF / "variants/multipage.tiff"
    with pytest.raises(InconsistentStack, match=r"page 2 \(20 x 20\)"):
        layers(path)
    first = voxels(path, series=0)
    np.testing.assert_array_equal(first[:, 0, 0], np.array([[0, 128, 0], [255, 0, 0]]).T)
    np.testing.assert_array_equal(first, volume(*(iio.imread(path, plugin="pillow", index=i) for i in (0, 1))))
    np.testing.assert_array_equal(voxels(path, series=1), volume(iio.imread(path, plugin="pillow", index=2)))


@pytest.mark.parametrize("name", sorted(path.name for path in IMAGES.glob("*")))
def test_a_picture_is_what_imageio_reads(name):
    pixels = iio.imread(IMAGES / name, plugin="pillow", rotate=True)
    if name == "uncompressed_la.png":
        pixels = pixels[..., 0]
        assert source(IMAGES / name).info.notes == ("alpha dropped",)
    np.testing.assert_array_equal(voxels(IMAGES / name), volume(pixels))
