"""One TIFF page of every kind that is written in practice, against the picture that was written."""

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures_of import layers, source, upright, volume, voxels
from PIL import Image

from wkconvert_core import Box, UnsupportedSource, WarningNote
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import noise, read_checked

DTYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
ORIENTATION = 274


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_in_either_byte_order(tmp_path, dtype, byteorder):
    picture = noise(37, 53, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", picture, byteorder=byteorder)
    assert source(tmp_path / "a.tif").info.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(picture))


LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 8},
    "tiles": {"tile": (16, 32)},
    "BigTIFF": {"bigtiff": True, "rowsperstrip": 5},
}
CODINGS = {
    "raw": {},
    "LZW": {"compression": "lzw"},
    "LZW, predictor": {"compression": "lzw", "predictor": True},
    "deflate, predictor": {"compression": "zlib", "predictor": True},
    "PackBits": {"compression": "packbits"},
    "zstd": {"compression": "zstd"},
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_and_compression(tmp_path, layout, coding, dtype):
    picture = noise(50, 70, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", picture, byteorder=">", **LAYOUTS[layout], **CODINGS[coding])
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(picture))


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"tile": (16, 16)}, {"rowsperstrip": 7}], ids=str)
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colours_side_by_side_and_in_planes_with_and_without_alpha(tmp_path, samples, planar, options):
    picture = noise(33, 45, samples)
    stored = picture if planar == "contig" else picture.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, metadata=None, **options)
    assert source(tmp_path / "a.tif").info.notes == (("alpha dropped",) if samples == 4 else ())
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(picture[..., :3]))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_without_a_meaning_are_layers(tmp_path, planar):
    picture = noise(20, 30, 5, dtype="uint16")
    stored = picture if planar == "contig" else picture.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar, metadata=None)
    found = layers(tmp_path / "a.tif")
    assert [layer.name for layer in found] == [f"channel{n}" for n in range(5)]
    for number, layer in enumerate(found):
        np.testing.assert_array_equal(read_checked(layer.source), volume(picture[..., number]))


def test_samples_beside_colours_are_not_lost(tmp_path):
    picture = noise(20, 30, 5)
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb", extrasamples=["unspecified", "unassalpha"])
    colors, other = layers(tmp_path / "a.tif")
    assert (colors.name, colors.color, colors.category) == ("color", None, "color")
    assert (other.name, other.color, other.category) == ("channel3", (0, 255, 0), None)
    np.testing.assert_array_equal(read_checked(colors.source), volume(picture[..., :3]))
    np.testing.assert_array_equal(read_checked(other.source), volume(picture[..., 3]))


def test_grey_with_alpha_is_grey(tmp_path):
    picture = noise(20, 30, 2)
    tifffile.imwrite(
        tmp_path / "a.tif", picture, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]
    )
    assert source(tmp_path / "a.tif").info.notes == ("alpha dropped",)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(picture[..., 0]))


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_channel_of_colours_can_be_chosen(tmp_path, channel):
    picture = noise(20, 30, 3)
    tifffile.imwrite(tmp_path / "a.tif", picture, rowsperstrip=4, compression="lzw")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", channel=channel), volume(picture[..., channel]))


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 8}, {"tile": (16, 16)}, {"compression": "lzw"}], ids=str)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path, orientation, options):
    picture = noise(40, 29, dtype="uint16")
    tags = [(ORIENTATION, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", picture, extratags=tags, **options)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(upright(picture, orientation)))


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_colours_are_turned_upright_like_pillow_does(tmp_path, orientation):
    picture = noise(40, 29, 3)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    tifffile.imwrite(tmp_path / "a.tif", picture, extratags=[(ORIENTATION, "H", 1, orientation, True)])
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), voxels(tmp_path / "a.png"))


@pytest.mark.parametrize("bits", [1, 2, 4, 9, 12, 14])
def test_packed_bits_are_unpacked(tmp_path, bits):
    picture = noise(21, 37, dtype="uint16") >> (16 - bits)
    picture = picture.astype(bool if bits == 1 else "uint8" if bits < 8 else "uint16")
    _write_packed(tmp_path / "a.tif", picture, bits)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), picture)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(picture))


def _write_packed(path, picture, bits, **tags):
    digits = picture[..., np.newaxis].astype("uint16") >> np.arange(bits - 1, -1, -1, dtype="uint16") & 1
    rows = np.packbits(digits.reshape(len(picture), -1).astype("uint8"), axis=1)
    width = picture.shape[1]
    tifffile.imwrite(path, rows, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name, value in {"ImageWidth": width, "BitsPerSample": bits, **tags}.items():
            tiff.pages[0].tags[name].overwrite(value)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535), ("uint32", 2**32 - 1)])
def test_white_is_bright_where_0_is_white(tmp_path, dtype, top):
    picture = noise(21, 37, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="miniswhite", rowsperstrip=4)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(top - picture))
    (warning,) = source(tmp_path / "a.tif").info.notes
    assert isinstance(warning, WarningNote)
    assert "-o white=keep" in warning


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "uint32"])
@pytest.mark.parametrize("name", ["labels.tif", "a.tif"])
@pytest.mark.parametrize("apart", [False, True])
def test_ids_are_never_inverted_whether_a_name_or_a_look_tells_them(tmp_path, dtype, name, apart):
    ids = np.zeros((6, 64, 64), dtype)
    ids[:, 8:30, 8:30] = 1
    ids[:, 32:60, 10:50] = 1 if dtype == "bool" else 7
    path = tmp_path / (name[:-4] if apart else name)
    if apart:
        path.mkdir()
    for z, picture in enumerate(ids if apart else [ids]):
        target = path / f"s{z:02}.tif" if apart else path
        tifffile.imwrite(target, picture, photometric="miniswhite")
    (layer,) = open_source(path, Settings(), plugins())
    assert layer.category == "segmentation"
    np.testing.assert_array_equal(read_checked(layer.mags[min(layer.mags)]), volume(*ids))


def test_what_is_white_is_as_asked(tmp_path):
    picture = noise(21, 37)
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="miniswhite")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", white="keep"), volume(picture))
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", category="segmentation"), volume(picture))
    inverted = voxels(tmp_path / "a.tif", category="segmentation", white="invert")
    np.testing.assert_array_equal(inverted, volume(255 - picture))


def test_white_of_12_bits_is_4095(tmp_path):
    picture = noise(21, 37, dtype="uint16") >> 4
    _write_packed(tmp_path / "a.tif", picture, 12, PhotometricInterpretation=0)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(4095 - picture))


def test_floats_have_no_white_to_count_from(tmp_path):
    picture = noise(21, 37, dtype="float32")
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="miniswhite")
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(picture))
    assert "not inverted" in source(tmp_path / "a.tif").info.notes[0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_palette_is_its_colours_or_its_numbers(tmp_path, dtype):
    picture = noise(21, 37, dtype=dtype)
    colormap = noise(3, np.iinfo(dtype).max + 1, dtype="uint16")
    tifffile.imwrite(tmp_path / "a.tif", picture, colormap=colormap, compression="lzw")
    colors = (colormap >> 8).astype("uint8").T[picture]
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(colors))
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif", palette="indices"), volume(picture))


def test_a_palette_of_greys_is_grey(tmp_path):
    picture = noise(21, 37)
    grey = noise(256, dtype="uint16")
    tifffile.imwrite(tmp_path / "a.tif", picture, colormap=np.stack([grey] * 3))
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume((grey >> 8).astype("uint8")[picture]))


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "I;16", "F", "LA", "RGBA"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_what_pillow_writes_is_what_pillow_reads(tmp_path, mode, compression):
    if mode == "I;16":
        picture = Image.fromarray(noise(40, 50, dtype="uint16"))
    else:
        picture = Image.fromarray(noise(40, 50, 3)).convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression)
    expected = np.asarray(picture.convert("RGB") if mode == "P" else picture)
    expected = expected[..., 0] if mode == "LA" else expected[..., :3] if mode == "RGBA" else expected
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(expected))


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax_compressions(tmp_path, compression):
    picture = Image.fromarray(noise(40, 64, dtype=bool))
    picture.save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(np.asarray(picture)))


@pytest.mark.parametrize("options", [{}, {"tile": (32, 32)}, {"rowsperstrip": 16}], ids=str)
@pytest.mark.parametrize("samples", [1, 3])
def test_jpeg_in_tiff_is_what_tifffile_reads(tmp_path, samples, options):
    smooth = (np.mgrid[:70, :90].sum(0) % 256).astype("uint8")
    picture = smooth if samples == 1 else np.stack([smooth, 255 - smooth, smooth // 2], -1)
    tifffile.imwrite(tmp_path / "a.tif", picture, compression="jpeg", **options)
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(tifffile.imread(tmp_path / "a.tif")))


def test_tiles_that_were_never_written_are_blank(tmp_path):
    picture = np.zeros((64, 64), "uint8")
    picture[:32, :32] = noise(32, 32)
    tifffile.imwrite(tmp_path / "a.tif", picture, tile=(32, 32))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        tags = tiff.pages[0].tags
        tags["TileOffsets"].overwrite((tags["TileOffsets"].value[0], 0, 0, 0))
        tags["TileByteCounts"].overwrite((tags["TileByteCounts"].value[0], 0, 0, 0))
    np.testing.assert_array_equal(voxels(tmp_path / "a.tif"), volume(picture))


@pytest.mark.parametrize(
    ("picture", "options", "holds"),
    [
        (noise(8, 8).astype("complex64"), {}, "complex numbers"),
        (noise(8, 8, 4), {"photometric": "separated"}, "CMYK"),
        (noise(8, 8, 3), {"photometric": "ycbcr"}, "YCbCr"),
        (noise(8, 8, 3), {"photometric": "cielab"}, r"L\*a\*b\*"),
        (noise(4, 32, 32), {"volumetric": True, "tile": (4, 16, 16), "photometric": "minisblack"}, "4 slices each"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_cannot_become_voxels_is_refused_and_named(tmp_path, picture, options, holds):
    tifffile.imwrite(tmp_path / "a.tif", picture, metadata=None, **options)
    with pytest.raises(UnsupportedSource, match=holds):
        layers(tmp_path / "a.tif")


def test_a_compression_that_nobody_knows_is_refused_when_opened(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(16, 16), compression="lzw")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(60000)
    with pytest.raises(UnsupportedSource, match="compression 60000"):
        layers(tmp_path / "a.tif")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_box_of_any_layout_is_that_part_of_the_picture(tmp_path_factory, data):
    """Raw or compressed, in strips or tiles, in planes or not, turned or not."""
    height, width = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    samples = data.draw(st.sampled_from([1, 3]))
    options = data.draw(st.sampled_from([{}, {"rowsperstrip": 7}, {"tile": (16, 16)}, {"tile": (16, 48)}]))
    compression = data.draw(st.sampled_from([None, "zlib"]))
    orientation = data.draw(st.integers(1, 8))
    planar = data.draw(st.sampled_from(["contig", "separate"])) if samples == 3 else None
    picture = noise(height, width, samples) if samples == 3 else noise(height, width)
    path = tmp_path_factory.mktemp("box") / "a.tif"
    tifffile.imwrite(
        path,
        picture.transpose(2, 0, 1) if planar == "separate" else picture,
        photometric="rgb" if samples == 3 else "minisblack",
        planarconfig=planar,
        compression=compression,
        byteorder=">",
        extratags=[(ORIENTATION, "H", 1, orientation, True)],
        metadata=None,
        **options,
    )
    of, expected = source(path), volume(upright(picture, orientation))
    start = tuple(data.draw(st.integers(0, n - 1)) for n in of.info.shape)
    box = Box(start, tuple(data.draw(st.integers(1, n - a)) for a, n in zip(start, of.info.shape, strict=True)))
    np.testing.assert_array_equal(of.read(box), expected[:, *box.slices_in(of.info.box)])
