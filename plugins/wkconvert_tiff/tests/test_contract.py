"""The hooks: what is claimed and what is not, and core's compliance kit on files of several kinds."""

import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
from pictures_of import detect, layers, volume
from PIL import Image

import wkconvert_tiff
from wkconvert_core import Confidence, OptionError
from wkconvert_core.testing import Sample, SourceContract, noise

VOLUME = noise(9, 120, 200, dtype="uint16")


def stack_of(folder, save, suffix):
    folder.mkdir()
    for number, picture in enumerate(VOLUME):
        save(folder / f"s{number}.{suffix}", picture)
    return Sample(folder, expected=volume(*VOLUME))


def multipage(path, **options):
    tifffile.imwrite(path, VOLUME, photometric="minisblack", **options)
    return Sample(path, expected=volume(*VOLUME))


def jpeg(path):
    Image.fromarray(noise(200, 300, 3)).save(path)
    return Sample(path, expected=volume(np.asarray(Image.open(path))))


SAMPLES = {
    "stack of raw TIFF": lambda to: stack_of(to / "raw", tifffile.imwrite, "tif"),
    "stack of tiled TIFF": lambda to: stack_of(
        to / "tiled", lambda path, one: tifffile.imwrite(path, one, tile=(64, 64), compression="zlib"), "tif"
    ),
    "stack of PNG": lambda to: stack_of(
        to / "png", lambda path, one: path.write_bytes(imagecodecs.png_encode(one)), "png"
    ),
    "stack of JPEG 2000": lambda to: stack_of(
        to / "jp2", lambda path, one: path.write_bytes(imagecodecs.jpeg2k_encode(one, level=0)), "jp2"
    ),
    "stack of JPEG XL": lambda to: stack_of(
        to / "jxl", lambda path, one: path.write_bytes(imagecodecs.jpegxl_encode(one, lossless=True)), "jxl"
    ),
    "LZW pages": lambda to: multipage(to / "lzw.tif", compression="lzw", rowsperstrip=16),
    "OME-TIFF": lambda to: multipage(to / "volume.ome.tif", ome=True, metadata={"axes": "ZYX"}),
    "JPEG": lambda to: jpeg(to / "a.jpg"),
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLES)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return SAMPLES[request.param](tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize(
    ("name", "content", "format", "confidence"),
    [
        ("a.tif", b"II*\0\x08\0\0\0", "tiff", Confidence.CONTENT),
        ("a.dat", b"MM\0*\0\0\0\x08", "tiff", Confidence.CONTENT),
        ("a", b"II+\0\x08\0\0\0", "tiff", Confidence.CONTENT),
        ("a.tif", b"\x89PNG\r\n\x1a\n0000", "pictures", Confidence.CONTENT),
        ("a.x", b"\xff\xd8\xff\xe0\0\x10JFIF", "pictures", Confidence.CONTENT),
        ("a.x", b"BM\x36\x30\0\0\0\0\0\0\x36\0\0\0", "pictures", Confidence.CONTENT),
        ("a.x", b"\0\0\0\x0cjP  \r\n\x87\n", "pictures", Confidence.CONTENT),
        ("a.x", b"RIFF\0\0\0\0WEBPVP8L", "pictures", Confidence.CONTENT),
        ("a.x", b"RIFF\0\0\0\0WAVEfmt ", None, None),
        ("a.x", b"\0\0\0\x1cftypavif", "pictures", Confidence.CONTENT),
        ("a.x", b"\0\0\0\x1cftypheic", None, None),
        ("a.x", b"P5\n50 40\n255\n", "pictures", Confidence.CONTENT),
        ("a.x", b"P5 is a name", None, None),
        ("a.jp2", b"what is this", "pictures", Confidence.SUFFIX),
        ("a.tiff", b"what is this", "tiff", Confidence.SUFFIX),
        ("a.JPEG", b"what is this", "pictures", Confidence.SUFFIX),
        ("a.txt", b"BMW made this text", None, None),
        ("a.txt", b"", None, None),
    ],
)
def test_a_file_is_known_by_its_content_then_by_its_name(tmp_path, name, content, format, confidence):
    (tmp_path / name).write_bytes(content)
    found = detect(tmp_path / name)
    assert (found and found.format, found and found.confidence) == (format, confidence)


def test_a_folder_is_claimed_for_the_pictures_right_in_it(tmp_path):
    assert detect(tmp_path) is None
    (tmp_path / "notes.txt").write_text("nothing here")
    (tmp_path / ".hidden.tif").write_bytes(b"II*\0\x08\0\0\0")
    inner = tmp_path / "layer"
    inner.mkdir()
    tifffile.imwrite(inner / "s1.tif", VOLUME[0])
    assert detect(tmp_path) is None, "the picture is in a folder below"
    found = detect(inner)
    assert (found.format, found.confidence, found.reason) == (
        "tiff",
        Confidence.CONTENT,
        "1 .tif file",
    )
    tifffile.imwrite(tmp_path / "preview.tif", VOLUME[0])
    assert detect(tmp_path) is None, "one picture beside folders is a preview, or a layer beside others"
    tifffile.imwrite(tmp_path / "preview2.tif", VOLUME[0])
    assert detect(tmp_path).format == "tiff"


COUNTS = {"TZCYX": "2 channels, 4 slices, 3 times", "TZYX": "4 slices, 3 times", "ZCYX": "2 channels, 4 slices"}


@pytest.mark.parametrize("axes", ["TZCYX", "TZYX", "ZCYX", "ZYX", "YX"])
def test_the_reason_says_what_a_file_is(tmp_path, axes):
    lengths = {"T": 3, "Z": 4, "C": 2, "Y": 21, "X": 17}
    voxels = noise(*(lengths[axis] for axis in axes), dtype="uint16")
    counts = COUNTS.get(axes) or ("4 slices" if "Z" in axes else "")
    kind = "hyperstack" if axes in COUNTS else "stack" if "Z" in axes else "picture"
    tifffile.imwrite(tmp_path / "a.tif", voxels, imagej=True, metadata={"axes": axes})
    assert detect(tmp_path / "a.tif").reason == f"ImageJ {kind}, {counts}".removesuffix(", ")
    tifffile.imwrite(tmp_path / "a.tif", voxels, ome=True, metadata={"axes": axes})
    assert detect(tmp_path / "a.tif").reason == f"OME-TIFF, {counts}".removesuffix(", ")
    tifffile.imwrite(tmp_path / "a.tif", voxels, photometric="minisblack")
    pages = voxels.size // (21 * 17)
    assert detect(tmp_path / "a.tif").reason == f"TIFF of {pages} page{'s' * (pages > 1)}"
    assert detect(tmp_path).reason == (
        "1 .tif file" if pages == 1 else f"1 .tif file, the first: TIFF of {pages} pages"
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"software": "SI.VERSION_MAJOR = 2020"}, "ScanImage TIFF of 4 pages"),
        ({"extratags": [(34412, "B", 8, bytes(8), True)]}, "Zeiss LSM TIFF of 4 pages"),
        ({"description": "<OME></OME>"}, "OME-TIFF of 0 images"),
        ({"description": "<OME><BinaryOnly MetadataFile='a'/></OME>"}, "OME-TIFF, one file of a set"),
        ({"description": "<OME"}, "TIFF of 4 pages"),
        ({"description": "<OME><</OME>"}, "TIFF, damaged"),
        ({"description": "ImageJ=1\nslices=many\n"}, "TIFF, damaged"),
        ({"description": f"<OME>{' ' * 2**20}</OME>"}, "OME-TIFF"),
    ],
)
def test_the_reason_says_it_of_odd_files_too(tmp_path, options, reason):
    tifffile.imwrite(tmp_path / "a.tif", VOLUME[:4], photometric="minisblack", metadata=None, **options)
    assert detect(tmp_path / "a.tif").reason == reason


def test_pages_beyond_a_thousand_are_not_counted(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1001, 2, 2), "uint8"), photometric="minisblack")
    assert detect(tmp_path / "a.tif").reason == "TIFF of more than 1000 pages"


def test_a_folder_of_text_with_the_names_of_pictures_is_claimed_by_name_only(tmp_path):
    (tmp_path / "a.tif").write_text("what is this")
    assert detect(tmp_path).confidence == Confidence.SUFFIX


def test_other_formats_are_left_to_other_plugins(tmp_path):
    assert wkconvert_tiff.wkconvert_open("nifti", tmp_path, {}) is None


def test_options_are_known_by_name_and_value(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", VOLUME[0])
    with pytest.raises(OptionError, match="timepoint"):
        layers(tmp_path / "a.tif", time=1)
    with pytest.raises(OptionError, match="error, fill, close"):
        layers(tmp_path / "a.tif", gaps="ignore")


def test_importing_and_detecting_import_no_format_library(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", VOLUME[0])
    code = f"""
import sys
from pathlib import Path
import wkconvert_tiff
for path in (Path({str(tmp_path)!r}), Path({str(tmp_path)!r}) / "a.tif"):
    assert wkconvert_tiff.wkconvert_detect(path, b"" if path.is_dir() else path.read_bytes()[:4096])
heavy = {{"numpy", "tifffile", "imagecodecs", "imageio", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
