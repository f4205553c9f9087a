"""PNG, JPEG and BMP of every kind that is written in practice."""

import warnings
import zlib

import imagecodecs
import imageio.v3 as iio
import numpy as np
import pytest
from pictures_of import layers, source, upright, volume, voxels
from PIL import Image

from wkconvert_core import BrokenSource, UnsupportedSource, WarningNote
from wkconvert_core.testing import noise
from wkconvert_images import picture

ORIENTATION = 274


@pytest.mark.parametrize("suffix", ["png", "bmp"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_what_imageio_reads(tmp_path, suffix, mode):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(40, 50, 3)).convert(mode).save(path)
    np.testing.assert_array_equal(voxels(path), volume(iio.imread(path)))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_what_imageio_reads(tmp_path, mode):
    Image.fromarray(noise(40, 50, 3)).convert(mode).save(tmp_path / "a.jpg")
    np.testing.assert_array_equal(voxels(tmp_path / "a.jpg"), volume(iio.imread(tmp_path / "a.jpg")))


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_png_of_16_bits_keeps_them(tmp_path, samples):
    picture = noise(40, 50, samples, dtype="uint16")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(picture.squeeze()))
    found = layers(tmp_path / "a.png")
    assert [layer.source.info.dtype for layer in found] == ["uint16"] * (3 if samples > 2 else 1)
    for number, layer in enumerate(found):
        np.testing.assert_array_equal(layer.source.read(layer.source.info.box), volume(picture[..., number]))
    assert found[0].source.info.notes == (("alpha dropped",) if samples in (2, 4) else ())


@pytest.mark.parametrize(("mode", "kept"), [("LA", slice(0, 1)), ("RGBA", slice(0, 3))])
def test_alpha_is_dropped_with_a_note(tmp_path, mode, kept):
    Image.fromarray(noise(40, 50, 4)).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(voxels(tmp_path / "a.png"), volume(iio.imread(tmp_path / "a.png")[..., kept]))
    assert source(tmp_path / "a.png").info.notes == ("alpha dropped",)
    assert isinstance(source(tmp_path / "a.png").info.notes[0], WarningNote)


def test_transparency_of_a_palette_is_ignored_with_a_note(tmp_path):
    picture = Image.fromarray(noise(40, 50, 3)).convert("P")
    picture.save(tmp_path / "a.png", transparency=b"\0\x80\xff")
    np.testing.assert_array_equal(
        voxels(tmp_path / "a.png"), volume(iio.imread(tmp_path / "a.png", mode="RGBA")[..., :3])
    )
    assert "transparency ignored" in source(tmp_path / "a.png").info.notes


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_a_palette_of_greys_is_grey_and_its_numbers_can_be_had(tmp_path, suffix):
    numbers = noise(40, 50)
    grey = noise(256, seed=1)
    picture = Image.frombytes("P", (50, 40), numbers.tobytes())
    picture.putpalette(np.repeat(grey, 3).tobytes())
    path = tmp_path / f"a.{suffix}"
    picture.save(path)
    np.testing.assert_array_equal(voxels(path), volume(grey[numbers]))
    np.testing.assert_array_equal(voxels(path, palette="indices"), volume(numbers))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation, suffix):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(noise(40, 50, 3)).save(path, exif=exif)
    stored = iio.imread(path, rotate=False)
    np.testing.assert_array_equal(voxels(path), volume(upright(stored, orientation)))
    np.testing.assert_array_equal(voxels(path), volume(iio.imread(path, rotate=True)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
@pytest.mark.parametrize("keep", [0, 20, 60, 0.5, 0.99])
def test_a_file_cut_short_is_noticed_when_it_is_opened(tmp_path, suffix, keep):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(60, 80, 3)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(BrokenSource, match=r"a\.(png|jpg|bmp) is (cut short|damaged)") as caught:
        layers(path, reader="pictures")
    assert str(path.stat().st_size) in caught.value.why or keep in (20, 60)


def test_the_thumbnail_in_a_jpeg_does_not_hide_that_it_is_cut_short(tmp_path):
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "small.jpg")
    Image.fromarray(noise(400, 400, 3)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    small = (tmp_path / "small.jpg").read_bytes()
    comment = b"\xff\xfe" + (len(small) + 2).to_bytes(2, "big") + small
    (tmp_path / "a.jpg").write_bytes(content[:2] + comment + content[2:])
    voxels(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((content[:2] + comment + content[2:])[:-5000])
    with pytest.raises(BrokenSource, match="end marker is missing"):
        layers(tmp_path / "a.jpg")


def test_bytes_after_the_end_are_no_damage(tmp_path):
    for suffix in ("png", "jpg"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(noise(60, 80)).save(path)
        expected = voxels(path)
        path.write_bytes(path.read_bytes() + b"appended by a microscope" * 1000)
        np.testing.assert_array_equal(voxels(path), expected)


def test_damaged_pixels_name_file_and_slice(tmp_path):
    Image.fromarray(noise(60, 80)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[2000:2100] = bytes(100)
    (tmp_path / "a.png").write_bytes(content)
    of = source(tmp_path / "a.png")
    with pytest.raises(BrokenSource, match=r"slice 0: .*a\.png is damaged.*cannot be decoded"):
        of.read(of.info.box)


def test_16_bit_png_without_its_decoder_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(noise(40, 50).astype("uint16")))
    of = source(tmp_path / "a.png")
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    with pytest.raises(
        BrokenSource, match=r"a\.png cannot be decoded.*imagecodecs.*wkconvert-images\[tiff\]"
    ) as caught:
        of.read(of.info.box)
    assert "damaged" not in str(caught.value)


def test_cmyk_is_refused(tmp_path):
    Image.fromarray(noise(40, 50, 3)).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(UnsupportedSource, match="CMYK"):
        layers(tmp_path / "a.jpg")


def test_pillows_limit_is_ours(tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        Image.fromarray(noise(40, 50)).save(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)  # at that, it warns
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture._pillow.cache_clear()
        layers(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)  # beyond twice that, it refuses
    with pytest.raises(UnsupportedSource, match=r"too large a picture.*tiled TIFF"):
        layers(tmp_path / "b.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_that_claims_more_than_it_can_hold_is_refused(tmp_path):
    size = (12000).to_bytes(4, "big")
    header, pixels = size + size + b"\x08\0\0\0\0", zlib.compress(bytes(100))
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    stored = (tmp_path / "a.png").stat().st_size
    with pytest.raises(BrokenSource, match=f"144000000 bytes of pixels in {stored} bytes of file"):
        layers(tmp_path / "a.png")


def _chunk(name, data):
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
