"""The hooks: what is claimed and what is not, what is imported, and core's compliance kit on files of several kinds."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
from mrc_files import IMOD, detect, header, layers, seen, write, zipped

import wkconvert_mrc
from wkconvert_core import Confidence, OptionError, UnsupportedSource
from wkconvert_core.testing import Sample, SourceContract, noise

VOXELS = noise(40, 90, 70, dtype="int16")


def four_bits(path):
    pairs = noise(40, 90, 36)
    values = np.stack([pairs & 15, pairs >> 4], axis=3).reshape(40, 90, 72)[:, :, :71]
    return Sample(write(path, pairs.tobytes(), lengths=(71, 90, 40), mode=101), expected=seen(values))


def permuted(path):
    return Sample(write(path, VOXELS, axes=(3, 1, 2)), expected=VOXELS.transpose(1, 0, 2)[np.newaxis])


SAMPLES = {
    "int16": lambda to: Sample(write(to / "a.mrc", VOXELS), expected=seen(VOXELS)),
    "float32, big endian": lambda to: Sample(
        write(to / "a.map", VOXELS.astype("f4"), ">", extended=bytes(2000)), expected=seen(VOXELS).astype("f4")
    ),
    "4 bits, odd": lambda to: four_bits(to / "a.st"),
    "axes exchanged": lambda to: permuted(to / "a.rec"),
    "compressed": lambda to: Sample(
        zipped(write(to / "a.map", VOXELS, ">", axes=(3, 1, 2), extended=bytes(160))),
        expected=VOXELS.transpose(1, 0, 2)[np.newaxis],
    ),
    "a volume of a stack": lambda to: Sample(
        write(to / "a.mrc", VOXELS, group=401, intervals=(70, 90, 10)),
        options={"volume": "2"},
        expected=seen(VOXELS[20:30]),
    ),
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLES)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return SAMPLES[request.param](tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("name", ["a.mrc", "a.map", "a", "a.dat"])
def test_a_file_is_known_by_its_header_whatever_its_name(tmp_path, name, order):
    assert detect(zipped(write(tmp_path / name, VOXELS, order))).confidence == Confidence.CONTENT
    found = detect(write(tmp_path / name, VOXELS, order))
    assert (found.format, found.confidence) == ("mrc", Confidence.CONTENT)
    assert "int16" in found.reason


SOUND = header(lengths=(70, 90, 40), mode=1, axes=(1, 2, 3), map=b"MAP ")
OLD = header(lengths=(70, 90, 40), mode=1, axes=(1, 2, 3))
OLDER = header(lengths=(70, 90, 40), mode=1)


@pytest.mark.parametrize(
    ("name", "content", "confidence"),
    [
        ("a.mrc", b"what is this", Confidence.SUFFIX),
        ("A.MRCS", bytes(4000), Confidence.SUFFIX),
        ("a.map", b"what is this", None),
        ("a.map.gz", gzip.compress(b"what is this", mtime=0), None),
        ("a.mrc.gz", b"\x1f\x8b what is this", Confidence.SUFFIX),
        ("a.map", b"# a site map in text\n" * 100, None),
        ("a.map", b"8BPS\0\1" + bytes(2000), None),
        ("a.map", b"\0\1\0\2" * 1000, None),
        ("a.rec", bytes(4000), None),
        ("a.st", b"", None),
        ("a.rec", OLD, Confidence.SUFFIX),
        ("a.map", OLD, Confidence.SUFFIX),
        ("a.dat", OLD, None),
        ("a.rec", OLDER, None),
        ("a.mrc", OLDER, Confidence.SUFFIX),
        ("a.dat", SOUND, Confidence.CONTENT),
        ("a.dat", SOUND[:200], None),
        ("a.dat", header(lengths=(70, 90, 40), mode=7, axes=(1, 2, 3), map=b"MAP "), None),
        ("a.dat", header(lengths=(70, 90, 0), mode=1, axes=(1, 2, 3), map=b"MAP "), None),
        ("a.dat", header(lengths=(70, 90, 40), mode=1, axes=(1, 2, 2), map=b"MAP "), None),
        ("a.rec", header(lengths=(70, 90, 0), mode=1, axes=(1, 2, 3), map=b"MAP "), Confidence.SUFFIX),
    ],
)
def test_what_has_no_header_is_claimed_by_name_at_most(tmp_path, name, content, confidence):
    (tmp_path / name).write_bytes(content)
    found = detect(tmp_path / name)
    assert (found and found.confidence) == confidence


def test_slices_in_files_of_their_own_are_refused_and_no_layers(tmp_path):
    for number in (2, 10, 1):
        write(tmp_path / f"s{number}.mrc", VOXELS[:1])
    write(tmp_path / "overview.mrc", VOXELS)
    assert detect(tmp_path).reason == "3 MRC files of one section each"
    with pytest.raises(
        UnsupportedSource, match=r"3 MRC files of one section each: s1\.mrc, s2\.mrc, s10\.mrc"
    ) as caught:
        layers(tmp_path)
    assert "newstack" in caught.value.fix


def test_volumes_in_a_folder_and_single_images_of_other_names_are_layers(tmp_path):
    write(tmp_path / "tomogram1.rec", VOXELS)
    write(tmp_path / "tomogram2.rec", VOXELS)
    assert detect(tmp_path) is None
    write(tmp_path / "raw.mrc", VOXELS[:1])
    write(tmp_path / "labels.mrc", VOXELS[:1])
    (tmp_path / "s1.map").write_text("{}")
    assert detect(tmp_path) is None


def test_other_formats_and_folders_are_left_to_other_plugins(tmp_path):
    assert detect(tmp_path) is None
    assert wkconvert_mrc.wkconvert_open("tiff", tmp_path, {}) is None
    assert wkconvert_mrc.wkconvert_detect("s3://bucket/a.mrc", b"") is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"volume": "1"}, "0 to 0"),
        ({"volume": "-1"}, "0 to 0"),
        ({"bytes": "yes"}, "signed, unsigned"),
        ({"bytes": "signed"}, "of mode 1"),
        ({"orientation": "RAS"}, "canonical, stored"),
        ({"flip": "y"}, "bytes, orientation, volume"),
    ],
)
def test_options_are_checked_and_the_legal_ones_named(tmp_path, options, words):
    path = write(tmp_path / "a.mrc", VOXELS)
    with pytest.raises(OptionError, match=words):
        layers(path, **options)


def test_detecting_does_not_import_numpy_and_reading_no_library(tmp_path):
    path = write(tmp_path / "a.mrc", VOXELS, stamp=IMOD)
    code = f"""
import sys
from pathlib import Path
import wkconvert_mrc
path = Path({str(path)!r})
assert wkconvert_mrc.wkconvert_detect(path, path.read_bytes()[:4096])
assert "numpy" not in sys.modules
(layer,) = wkconvert_mrc.wkconvert_open("mrc", path, {{}})
layer.source.read(layer.source.info.box)
assert "mrcfile" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
