"""JPEG 2000, WebP, AVIF, JPEG XL, PNM and GIF: the numbers that were saved, or a refusal; what is lossy is told."""

import io

import imagecodecs
import imageio.v3 as iio
import numpy as np
import pytest
from pictures_of import detect, layers, source, volume, voxels
from PIL import Image

from wkconvert_core import BrokenSource, Confidence, SourceError, UnsupportedSource, WarningNote, WkconvertError
from wkconvert_core.testing import noise
from wkconvert_images import picture as picture_module

GREY, COLOR, WIDE = noise(40, 50), noise(40, 50, 3), noise(40, 50, dtype="uint16")
WIDE_COLOR = noise(40, 50, 3, dtype="uint16")
SIGNED = WIDE.view("int16")


def pillow(picture, format, **options):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format, **options)
    return file.getvalue()


def jpeg2000(picture, codecformat="jp2", **options):
    return imagecodecs.jpeg2k_encode(picture, level=0, codecformat=codecformat, **options)


def avif(picture, **options):
    return imagecodecs.avif_encode(picture, level=100, **options)


def jpeg_xl(picture, **options):
    return imagecodecs.jpegxl_encode(picture, **{"lossless": True, **options})


def words(picture, head):
    return head + b" ".join(b"%d" % number for number in picture.ravel().tolist()) + b"\n"


EXACT = {
    "grey.jp2": (jpeg2000(GREY), GREY),
    "grey.j2k": (jpeg2000(GREY, "j2k"), GREY),
    "color.jp2": (jpeg2000(COLOR), COLOR),
    "alpha.jp2": (pillow(np.dstack([COLOR, GREY]), "JPEG2000"), COLOR),
    "grey alpha.jp2": (pillow(np.dstack([GREY, GREY]), "JPEG2000"), GREY),
    "16 bits.jp2": (jpeg2000(WIDE), WIDE),
    "16 bits by Pillow.jp2": (pillow(WIDE, "JPEG2000"), WIDE),
    "12 bits.jp2": (jpeg2000(WIDE >> 4, bitspersample=12), WIDE >> 4),
    "4 bits.j2k": (jpeg2000(GREY >> 4, "j2k", bitspersample=4), GREY >> 4),
    "16-bit color.jp2": (jpeg2000(WIDE_COLOR), WIDE_COLOR),
    "signed.jp2": (jpeg2000(SIGNED), SIGNED),
    "bytes with a sign.j2k": (jpeg2000(GREY.view("int8"), "j2k"), GREY.view("int8")),
    "color.webp": (pillow(COLOR, "WEBP", lossless=True), COLOR),
    "alpha.webp": (pillow(np.dstack([COLOR, GREY | 1]), "WEBP", lossless=True, exact=True), COLOR),
    "grey.avif": (avif(GREY), GREY),
    "color.avif": (avif(COLOR), COLOR),
    "10 bits.avif": (avif(WIDE >> 6, bitspersample=10), WIDE >> 6),
    "12-bit color.avif": (avif(WIDE_COLOR >> 4, bitspersample=12), WIDE_COLOR >> 4),
    "grey.jxl": (jpeg_xl(GREY), GREY),
    "color.jxl": (jpeg_xl(COLOR), COLOR),
    "color in boxes.jxl": (jpeg_xl(COLOR, usecontainer=True), COLOR),
    "alpha.jxl": (jpeg_xl(np.dstack([COLOR, GREY])), COLOR),
    "grey alpha.jxl": (jpeg_xl(np.dstack([GREY, GREY])), GREY),
    "16 bits.jxl": (jpeg_xl(WIDE), WIDE),
    "16-bit color.jxl": (jpeg_xl(WIDE_COLOR), WIDE_COLOR),
    "10 bits.jxl": (jpeg_xl(WIDE >> 6, bitspersample=10), WIDE >> 6),
    "floats.jxl": (jpeg_xl(WIDE.astype("f4") / 65535), WIDE.astype("f4") / 65535),
    "binary.pgm": (b"P5\n50 40\n255\n" + GREY.tobytes(), GREY),
    "16 bits.pgm": (b"P5 50 40 65535\n" + WIDE.astype(">u2").tobytes(), WIDE),
    "12 bits.pgm": (b"P5 # of 12 bits\n50\t40\n4095 " + (WIDE >> 4).astype(">u2").tobytes(), WIDE >> 4),
    "4 bits.pgm": (b"P5 50 40 15\n" + (GREY >> 4).tobytes(), GREY >> 4),
    "words.pgm": (words(WIDE >> 4, b"P2 50 40 4095 "), WIDE >> 4),
    "binary.ppm": (b"P6 50 40 255\r" + COLOR.tobytes(), COLOR),
    "16 bits.ppm": (b"P6 50 40 65535 " + WIDE_COLOR.astype(">u2").tobytes(), WIDE_COLOR),
    "words.ppm": (words(COLOR, b"P3\n# words\n50 40\n255\n"), COLOR),
    "grey.gif": (pillow(GREY, "GIF"), GREY),
}


@pytest.mark.parametrize("name", EXACT)
def test_the_numbers_that_were_saved_are_read(tmp_path, name):
    content, expected = EXACT[name]
    (tmp_path / name).write_bytes(content)
    found = detect(tmp_path / name)
    assert (found.format, found.confidence) == ("pictures", Confidence.CONTENT)
    opened = layers(tmp_path / name)
    together = np.concatenate([layer.source.read(layer.source.info.box) for layer in opened])
    assert together.dtype == expected.dtype
    np.testing.assert_array_equal(together, volume(expected))
    dropped = [note for note in opened[0].source.info.notes if note.startswith("alpha dropped")]
    assert bool(dropped) == ("alpha" in name)
    assert not any("which" in note for note in source_notes(tmp_path / name, labels="avif" not in name))


def source_notes(path, *, labels=True):
    return layers(path, **({"category": "segmentation"} if labels else {}))[0].source.info.notes


@pytest.mark.parametrize(
    ("name", "content", "coding"),
    [
        ("a.jp2", pillow(COLOR, "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[6]), "JPEG 2000"),
        ("a.webp", pillow(COLOR, "WEBP", quality=80), "WebP"),
        ("alpha.webp", pillow(np.dstack([COLOR, GREY]), "WEBP", quality=80), "WebP"),
        ("a.avif", pillow(COLOR, "AVIF", quality=80), "AVIF"),
        ("a.jxl", jpeg_xl(COLOR, lossless=False, level=50), "JPEG XL"),
        ("a.jpg", pillow(COLOR, "JPEG"), "JPEG"),
    ],
)
def test_labels_in_lossy_pictures_are_warned_of(tmp_path, name, content, coding):
    (tmp_path / name).write_bytes(content)
    said = [note for note in source_notes(tmp_path / name) if note.startswith(f"the pictures are {coding}, which ")]
    assert len(said) == 1
    assert isinstance(said[0], WarningNote)
    assert not any("which" in note for note in source_notes(tmp_path / name, labels=False))
    if name != "a.jxl":  # imageio knows none
        seen = iio.imread(content, plugin="pillow", extension=f".{name.split('.')[1]}")
        np.testing.assert_array_equal(voxels(tmp_path / name), volume(seen[..., :3]))
    else:
        np.testing.assert_array_equal(voxels(tmp_path / name), volume(imagecodecs.jpegxl_decode(content)))


def test_a_maxval_is_told_and_stretches_nothing(tmp_path):
    (tmp_path / "a.pgm").write_bytes(EXACT["12 bits.pgm"][0])
    assert "maxval 4095: numbers are kept, not stretched" in source(tmp_path / "a.pgm").info.notes


@pytest.mark.parametrize("suffix", ["jp2", "webp", "avif", "jxl", "pgm"])
def test_a_folder_of_them_is_a_stack(tmp_path, suffix):
    content = next(EXACT[name] for name in EXACT if name.endswith(suffix))
    for number in range(3):
        (tmp_path / f"s{number}.{suffix}").write_bytes(content[0])
    assert detect(tmp_path).confidence == Confidence.CONTENT
    np.testing.assert_array_equal(voxels(tmp_path), volume(*[content[1]] * 3))


def frames(format, **options):
    return pillow(COLOR, format, save_all=True, append_images=[Image.fromarray(COLOR[::-1].copy())], **options)


SIZES = [(8, 8), (256, 256), (1, 1), (1, 9000), (300, 200), (90, 160), (120, 100), (512, 256), (257, 31)]
"""Height and width, of which JPEG XL writes some in eighths, some as ratios, and others in up to 18 bits."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lossless", [True, False])
def test_headers_of_jpeg_xl_of_any_size_are_read(tmp_path, size, lossless):
    for shape, channels in ((size, 1), ((*size, 3), 3)):
        how = {"lossless": True} if lossless else {"lossless": False, "level": 80}
        (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(noise(*shape), **how))
        of = source(tmp_path / "a.jxl", category="segmentation")
        assert (of.info.shape, of.info.channels) == ((*size[::-1], 1), channels)
        assert any("JPEG XL" in note for note in of.info.notes) is not lossless


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animations_are_refused(tmp_path, format):
    path = tmp_path / f"a.{format.lower()}"
    path.write_bytes(frames(format))
    with pytest.raises(UnsupportedSource, match=r"holds several pictures.*2 frames of an animation.*save each"):
        layers(path)


REFUSED = {
    "20 bits.jp2": (jpeg2000(WIDE.astype("u4") << 4, bitspersample=20), "20-bit integers"),
    "20 bits with a sign.jp2": (jpeg2000(WIDE.astype("i4") << 4, bitspersample=20), "20-bit signed integers"),
    "halves.jxl": (jpeg_xl(GREY.astype("f2") / np.float16(255)), "16-bit floats"),
    "frames.jxl": (jpeg_xl(noise(2, 40, 50, 3)), "several pictures, the frames of an animation"),
    "several.pgm": (b"P5 2 2 255 abcd" * 2, "holds several pictures"),
    "several.pbm": (b"P4\n# one\n10 2\n" + bytes(4) + b"P4\n10 2\n" + bytes(4), "holds several pictures"),
    "floats.ppm": (b"Pf 2 2 1.0 " + bytes(16), "its pixels are F"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_as_it_is_is_refused_with_a_reason(tmp_path, name):
    content, message = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnsupportedSource, match=message):
        layers(tmp_path / name, reader="pictures")


@pytest.mark.parametrize("name", ["grey.jp2", "12 bits.jp2", "grey.j2k", "color.webp", "alpha.webp", "grey.avif"])
@pytest.mark.parametrize("keep", [0, 30, 0.3, 0.6, 0.99])
def test_a_file_cut_short_is_noticed_when_it_is_opened(tmp_path, name, keep):
    content, path = EXACT[name][0], tmp_path / name
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(BrokenSource, match=r"is (cut short|damaged)"):
        layers(path, reader="pictures")


def test_a_bitmap_cut_short_is_noticed_when_it_is_opened(tmp_path):
    (tmp_path / "cut.pbm").write_bytes(b"P4 10 2\n" + bytes(3))
    with pytest.raises(BrokenSource, match="cut short") as caught:
        layers(tmp_path / "cut.pbm", reader="pictures")
    assert "reach to byte 12, the file has 11 bytes" in caught.value.why


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXACT))
def test_a_file_that_is_cut_or_damaged_is_refused_or_read_as_it_was(tmp_path, name):
    """Refused in our words, when it is opened or read; changed pixels pass where no checksum guards them."""
    content, path = EXACT[name][0], tmp_path / name
    for keep in (5, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
        assert isinstance(refusal(path), SourceError), f"{keep} of it were read"
    for place in range(0, min(len(content), 200), 9):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        assert isinstance(refusal(path), SourceError | None)


def refusal(path):
    """The error of ours that reading raises, or None; any other fails the test."""
    try:
        for layer in layers(path, reader="pictures"):
            if layer.source.info.box.volume < 1e6:
                layer.source.read(layer.source.info.box)
    except WkconvertError as error:
        return error
    return None


def test_bytes_after_the_end_of_a_gif_are_no_damage_and_a_missing_trailer_is(tmp_path):
    content, path = EXACT["grey.gif"][0], tmp_path / "a.gif"
    path.write_bytes(content + b"appended")
    np.testing.assert_array_equal(voxels(path), volume(GREY))
    path.write_bytes(content[:-1])
    with pytest.raises(BrokenSource, match="its trailer is missing after"):
        layers(path)


def test_jpeg_xl_without_its_decoder_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.jxl").write_bytes(EXACT["grey.jxl"][0])
    of = source(tmp_path / "a.jxl")
    monkeypatch.setattr(picture_module, "find_spec", lambda name: None)
    with pytest.raises(BrokenSource, match=r"a\.jxl cannot be decoded.*JPEG XL of uint8 needs.*imagecodecs"):
        of.read(of.info.box)
