"""Kinds of pictures: their values, and what is refused because it would not be read right."""

import warnings

import numpy as np
import pytest
from helpers.paths import SAMPLES, needs_samples
from PIL import Image
from trees_of import noise, plant, refusal, save, source, volume, voxels

from wkconvert_core import Box, BrokenSource, SourceError, UnsupportedSource
from wkconvert_images.picture import _pillow

TILE = (16, 12)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "tga", "pgm", "webp"])
def test_8_bit_tiles(tmp_path, suffix):
    slices = noise(2, 30, 40)
    lossless = {"lossless": True} if suffix == "webp" else {}
    for z, picture in enumerate(slices):
        for x in range(2):
            save(tmp_path / f"{z}/0/{x}.{suffix}", picture[:, 20 * x : 20 * x + 20], **lossless)
    found = voxels(tmp_path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, volume(slices).repeat(len(found), axis=0))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_colour_tiles(tmp_path, suffix):
    slices = noise(2, 30, 40, 3)
    np.testing.assert_array_equal(voxels(plant(tmp_path, slices, TILE, name="{z}/{y}/{x}." + suffix)), volume(slices))


def test_16_bit_png(tmp_path):
    slices = noise(2, 30, 40, dtype="uint16")
    np.testing.assert_array_equal(voxels(plant(tmp_path, slices, TILE)), volume(slices))


def test_jpeg_is_what_imageio_reads(tmp_path):
    iio = pytest.importorskip("imageio.v3")
    for suffix, shape in (("jpg", (64, 48)), ("jpeg", (64, 48, 3))):
        path = save(tmp_path / suffix / "0/0" / f"0.{suffix}", noise(*shape))
        np.testing.assert_array_equal(voxels(tmp_path / suffix), volume(iio.imread(path, plugin="pillow")[np.newaxis]))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8"])
def test_tiff_is_read_right(tmp_path, dtype, compression, order):
    """Pillow takes some for others, and swaps no bytes of compressed big-endian files."""
    tifffile = pytest.importorskip("tifffile")
    picture = noise(12, 16, dtype="u8").view("u1")[:, : 16 * np.dtype(dtype).itemsize].copy().view(dtype)
    picture = np.nan_to_num(picture) if dtype[0] == "f" else picture
    (tmp_path / "0/0").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "0/0/0.tif", picture, compression=compression, byteorder=order, rowsperstrip=5)
    found = voxels(tmp_path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, volume(picture[np.newaxis]))
    np.testing.assert_array_equal(source(tmp_path).read(Box((3, 5, 0), (9, 6, 1))), found[:, 3:12, 5:11])


@pytest.mark.parametrize(
    "how",
    [
        {"predictor": True, "compression": "zlib"},
        {"compression": "lzw"},
        {"tile": (16, 16)},
        {"photometric": "miniswhite"},
    ],
    ids=str,
)
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tiff_of_64_bits_is_read_however_it_is_stored(tmp_path, how, bigtiff):
    tifffile = pytest.importorskip("tifffile")
    picture = noise(12, 16, dtype="u8").astype("f8" if "predictor" in how else "u8")
    path = save(tmp_path / "0/0/0.tif", noise(2, 2))
    tifffile.imwrite(path, picture, bigtiff=bigtiff, metadata=None, **how)
    np.testing.assert_array_equal(voxels(tmp_path), volume((~picture if "photometric" in how else picture)[np.newaxis]))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"planarconfig": "separate", "photometric": "rgb"}, "its pixels are uint64 in 3 samples"),
        ({"planarconfig": "contig", "photometric": "minisblack"}, "its pixels are uint64 in 16 samples"),
        ({"extratags": [(274, 3, 1, 6, True)]}, "orientation 6"),
        ({"append": True}, "holds several pictures"),
    ],
    ids=str,
)
def test_tiff_that_is_no_upright_single_grey_or_8_bit_rgb_picture_is_refused(tmp_path, how, message):
    tifffile = pytest.importorskip("tifffile")
    picture = noise(3, 12, 16, dtype="u8") if "planarconfig" in how else noise(12, 16, dtype="u8")
    path = save(tmp_path / "0/0/0.tif", noise(2, 2))
    twice = how.get("append", False)
    for again in range(1 + twice):
        tifffile.imwrite(path, picture, **{**how, "append": again > 0}, metadata=None)
    with pytest.raises(UnsupportedSource, match=message):
        source(tmp_path)


def test_8_bit_rgb_tiff_is_read_in_planes_and_with_a_fourth_sample(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    picture = noise(12, 16, 4)
    for z, how in enumerate(({"planarconfig": "separate"}, {"extrasamples": ["unspecified"]})):
        path = save(tmp_path / f"{z}/0/0.tif", noise(2, 2))
        stored = picture[..., :3].transpose(2, 0, 1) if z == 0 else picture
        tifffile.imwrite(path, stored, photometric="rgb", metadata=None, **how)
    np.testing.assert_array_equal(voxels(tmp_path), volume(np.stack([picture[..., :3]] * 2)))


@pytest.mark.parametrize("bits", [2, 4, 12])
def test_tiff_of_few_bits_keeps_its_numbers(tmp_path, bits):
    tifffile = pytest.importorskip("tifffile")
    picture = noise(12, 16, dtype="uint16") % (1 << bits)
    path = save(tmp_path / "0/0/0.tif", noise(2, 2))
    tifffile.imwrite(path, picture.astype("u1") if bits < 8 else picture, bitspersample=bits, photometric="minisblack")
    np.testing.assert_array_equal(voxels(tmp_path), volume(picture[np.newaxis]))


@pytest.mark.slow
def test_tiff_of_64_bits_that_is_cut_or_changed_is_refused(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "0/0/0.tif"
    path.parent.mkdir(parents=True)
    for compression in (None, "zlib"):
        tifffile.imwrite(path, noise(12, 16, dtype="u8"), compression=compression)
        whole = path.read_bytes()
        for size in range(4, len(whole), 97):
            path.write_bytes(whole[:size])
            assert isinstance(refusal(lambda: voxels(tmp_path)), SourceError), size
    for place in range(len(whole)):  # in deflate, whose own sum finds what is changed in it
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        refusal(lambda: voxels(tmp_path))  # whatever it is, it is one of ours


@pytest.mark.parametrize("samples", [3, 4])
def test_16_bit_colours_are_refused(tmp_path, samples):
    imagecodecs = pytest.importorskip("imagecodecs")
    (tmp_path / "0/0").mkdir(parents=True)
    (tmp_path / "0/0/0.png").write_bytes(imagecodecs.png_encode(noise(12, 16, samples, dtype="uint16")))
    with pytest.raises(UnsupportedSource, match=r"0/0/0\.png cannot be converted.*uint16 in 3 samples"):
        source(tmp_path)


def test_white_is_0(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    for dtype in ("uint8", "uint16"):
        path = tmp_path / dtype / "0/0/0.tif"
        path.parent.mkdir(parents=True)
        tifffile.imwrite(path, noise(12, 16, dtype=dtype), photometric="miniswhite")
        np.testing.assert_array_equal(voxels(tmp_path / dtype), ~volume(noise(1, 12, 16, dtype=dtype)))
        assert any("white is 0 in the file: inverted (-o white=keep" in n for n in source(tmp_path / dtype).info.notes)
        kept = voxels(tmp_path / dtype, white="keep")
        np.testing.assert_array_equal(kept, volume(noise(1, 12, 16, dtype=dtype)))


@pytest.mark.parametrize(("samples", "kept"), [(2, 1), (4, 3)])
def test_alpha_is_dropped_with_a_note(tmp_path, samples, kept):
    slices = noise(2, 30, 40, samples)
    plant(tmp_path, slices, TILE)
    np.testing.assert_array_equal(voxels(tmp_path), volume(slices[..., :kept]))
    assert "alpha dropped" in source(tmp_path).info.notes
    save(tmp_path / "0/0/0.png", slices[0, :12, :16, :kept].squeeze())
    np.testing.assert_array_equal(voxels(tmp_path), volume(slices[..., :kept]))
    assert "alpha dropped (17 of 18 tiles)" in source(tmp_path).info.notes


def palette_tile(path, colors, indices):
    picture = Image.fromarray(indices)
    picture.putpalette(colors.tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def test_a_palette_is_its_colours_and_grey_if_they_all_are(tmp_path):
    colors, indices = noise(256, 3), noise(12, 16)
    palette_tile(tmp_path / "a/0/0/0.png", colors, indices)
    np.testing.assert_array_equal(voxels(tmp_path / "a"), volume(colors[indices][np.newaxis]))
    grey = noise(256, 1).repeat(3, axis=1)
    palette_tile(tmp_path / "b/0/0/0.png", grey, indices)
    np.testing.assert_array_equal(voxels(tmp_path / "b"), volume(grey[indices][np.newaxis, ..., :1]))
    palette_tile(tmp_path / "a/1/0/0.png", grey, indices)
    palette_tile(tmp_path / "a/2/0/0.png", grey, indices)
    expected = np.stack([colors[indices], grey[indices], grey[indices]])
    np.testing.assert_array_equal(voxels(tmp_path / "a"), volume(expected))
    assert any(note.startswith("palette applied (-o") for note in source(tmp_path / "a").info.notes)
    np.testing.assert_array_equal(voxels(tmp_path / "a", palette="indices"), volume(np.stack([indices] * 3)))


def test_1_bit_tiles_are_bool(tmp_path):
    bits = noise(12, 16) > 100
    (tmp_path / "0/0").mkdir(parents=True)
    Image.fromarray(bits).save(tmp_path / "0/0/0.png")
    np.testing.assert_array_equal(voxels(tmp_path), volume(bits[np.newaxis]))


def test_what_is_no_upright_single_grey_or_rgb_picture_is_refused(tmp_path):
    grey = Image.fromarray(noise(12, 16))
    turned = Image.Exif()
    turned[274] = 6
    cases = {
        "cmyk/0/0/0.jpg": (lambda path: grey.convert("CMYK").save(path), "CMYK"),
        "turned/0/0/0.jpg": (lambda path: grey.save(path, exif=turned), "orientation 6"),
        "turned2/0/0/0.png": (lambda path: grey.save(path, exif=turned), "orientation 6"),
        "pages/0/0/0.tif": (
            lambda path: grey.save(path, save_all=True, append_images=[grey]),
            "holds several pictures",
        ),
    }
    for name, (write, message) in cases.items():
        (tmp_path / name).parent.mkdir(parents=True)
        write(tmp_path / name)
        with pytest.raises(UnsupportedSource, match=message):
            source((tmp_path / name).parents[2])


@needs_samples
@pytest.mark.parametrize("name", sorted(p.name for p in (SAMPLES / "images").glob("*")))
def test_real_pictures_are_what_imageio_reads_or_refused_with_a_reason(tmp_path, name):
    iio = pytest.importorskip("imageio.v3")
    path = SAMPLES / "images" / name
    (tmp_path / "0/0").mkdir(parents=True)
    (tmp_path / "0/0" / f"0{path.suffix}").symlink_to(path)
    if error := refusal(lambda: source(tmp_path)):
        assert isinstance(error, UnsupportedSource)
        assert error.why
    else:
        found = voxels(tmp_path)
        seen = volume(iio.imread(path, plugin="pillow")[np.newaxis])
        np.testing.assert_array_equal(found, seen[: len(found)])


@needs_samples
def test_real_tiles_lie_where_their_names_say():
    iio = pytest.importorskip("imageio.v3")
    root = SAMPLES / "tiles/temca2"
    of = source(root)
    assert (of.info.shape, of.info.offset) == ((6 * 1024, 2048, 40), (143360, 61440, 1))
    assert "468 of 480 tiles are missing: zero" in of.info.notes
    for path in root.rglob("*.jpg"):
        z, y, x = int(path.parts[-3]), int(path.parts[-2]), int(path.stem)
        box = Box(((x - 140) * 1024, (y - 60) * 1024, z - 1), (1024, 1024, 1))
        np.testing.assert_array_equal(of.read(box)[0, :, :, 0].T, iio.imread(path, plugin="pillow"))
    assert not of.read(Box((2048, 0, 0), (4096, 2048, 39))).any()


@pytest.mark.parametrize(
    ("suffix", "options"), [("jp2", {}), ("webp", {"lossless": True}), ("gif", {}), ("avif", {"quality": 80})]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_of_other_codings_are_what_imageio_reads(tmp_path, suffix, options, channels):
    iio = pytest.importorskip("imageio.v3")
    path = save(tmp_path / f"0/0/0.{suffix}", noise(16, 12, 3)[..., :channels].squeeze(), **options)
    save(tmp_path / f"0/0/1.{suffix}", noise(16, 12, 3)[::-1, :, :channels].squeeze(), **options)
    seen = [iio.imread(each, plugin="pillow", index=0) for each in (path, path.with_stem("1"))]
    found = voxels(tmp_path)
    assert len(found) == (3 if suffix == "webp" else channels)  # WebP knows no grey
    np.testing.assert_array_equal(found, volume(np.concatenate(seen, axis=1)[np.newaxis])[: len(found)])


@pytest.mark.parametrize("suffix", ["jp2", "jxl", "pgm"])
def test_tiles_of_16_bits_keep_them(tmp_path, suffix):
    imagecodecs, picture = pytest.importorskip("imagecodecs"), noise(16, 12, dtype="uint16")
    content = {
        "jp2": lambda: imagecodecs.jpeg2k_encode(picture, level=0),
        "jxl": lambda: imagecodecs.jpegxl_encode(picture, lossless=True),
        "pgm": lambda: b"P5 12 16 65535 " + picture.astype(">u2").tobytes(),
    }[suffix]()
    (tmp_path / "0/0").mkdir(parents=True)
    (tmp_path / f"0/0/0.{suffix}").write_bytes(content)
    np.testing.assert_array_equal(voxels(tmp_path), volume(picture[np.newaxis]))


PNM = {
    "P5 4 2 255 ": (bytes(range(8)), "uint8"),
    "P5\n# of 100\n4 2\n65535\n": (np.arange(8, dtype=">u2").tobytes(), "uint16"),
    "P2 4 2 65535 0 1 2 3 4 5 6 7 ": (b"", "uint16"),
    "P5 4 2 100 ": (bytes(range(8)), "uint8"),
    "P2 4 2 15 0 1 2 3 4 5 6 7 ": (b"", "uint8"),
    "P5 4 2 300 ": (np.arange(8, dtype=">u2").tobytes(), "uint16"),
    "P6 4 2 65535 ": (bytes(48), None),
    "Pf 4 2 1.0 ": (bytes(32), None),
}


@pytest.mark.parametrize("head", PNM)
def test_pnm_is_read_as_it_is_or_not_at_all(tmp_path, head):
    body, dtype = PNM[head]
    (tmp_path / "0/0").mkdir(parents=True)
    (tmp_path / "0/0/0.pgm").write_bytes(head.encode() + body)
    if dtype is None:
        with pytest.raises(UnsupportedSource, match=r"0\.pgm cannot be converted"):
            source(tmp_path)
    else:
        np.testing.assert_array_equal(voxels(tmp_path), volume(np.arange(8, dtype=dtype).reshape(1, 2, 4)))


@pytest.mark.parametrize("kind", ["sgi", "eps"])
def test_what_pillow_would_change_or_run_is_refused_unopened(tmp_path, kind, monkeypatch):
    """EPS would have it look for Ghostscript; SGI is cut to 8 bits if it has more."""
    path = save(tmp_path / "0/0/0.png", noise(16, 16, 3))
    if kind == "eps":
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")
        monkeypatch.setattr("PIL.EpsImagePlugin.EpsImageFile", None)
    else:
        Image.fromarray(noise(16, 16, 3)).save(path, format=kind)
    with pytest.raises(BrokenSource, match=r"0/0/0\.png .*none of PNG, JPEG, BMP"):
        source(tmp_path)


def test_only_warnings_of_the_libraries_of_pictures_are_silenced(tmp_path):
    _pillow.cache_clear()
    before = list(warnings.filters)
    voxels(plant(tmp_path, noise(1, 12, 16), TILE))
    silenced = [module for *_, module, _ in set(warnings.filters) - set(before)]
    assert any(module.match("PIL.TiffImagePlugin") for module in silenced)
    assert not any(module.match(other) for module in silenced for other in ("numpy", "wkconvert_core.api", "PILLAR"))


def test_reading_leaves_the_filters_of_warnings_alone(tmp_path):
    voxels(plant(tmp_path / "a", noise(1, 12, 16), TILE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        voxels(plant(tmp_path / "b", noise(1, 12, 16), TILE))
        assert warnings.filters == before
