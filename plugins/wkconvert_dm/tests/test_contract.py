"""The hooks: what is claimed and what is not, what is imported, and core's compliance kit on files of several kinds."""

import subprocess
import sys

import numpy as np
import pytest
from dm_files import FLAVOURS, detect, encode, image, tree, volume, write

import wkconvert_dm
from wkconvert_core import Confidence, OptionError
from wkconvert_core.testing import Sample, SourceContract, noise

VOXELS = noise(30, 90, 70, dtype="int16")


def stack(folder):
    folder.mkdir()
    for number, one in enumerate(VOXELS):
        write(folder / f"s{number}.dm3", image(one))
    return Sample(folder, expected=volume(VOXELS))


def colour(path):
    stored = noise(20, 80, 60, dtype="int32")
    expected = np.stack([volume(stored >> shift & 255)[0] for shift in (16, 8, 0)]).astype("uint8")
    return Sample(write(path, image(stored, 23), version=4, order=">"), expected=expected)


def waves(path):
    stored = noise(9, 80, 60, dtype="complex64")
    return Sample(write(path, image(stored)), options={"component": "imag"}, expected=volume(stored.imag))


SAMPLES = {
    "DM3": lambda to: Sample(write(to / "a.dm3", image(VOXELS)), expected=volume(VOXELS)),
    "DM4, big endian": lambda to: Sample(
        write(to / "a.dm4", image(VOXELS), version=4, order=">"), expected=volume(VOXELS)
    ),
    "colour": lambda to: colour(to / "c.dm4"),
    "complex": lambda to: waves(to / "w.dm3"),
    "stack": lambda to: stack(to / "stack"),
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLES)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return SAMPLES[request.param](tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize(("version", "order"), FLAVOURS)
def test_a_file_is_known_by_its_content_whatever_its_name(tmp_path, version, order):
    (tmp_path / "a").write_bytes(encode(tree(image(VOXELS[0])), version, order))
    found = detect(tmp_path / "a")
    assert (found.format, found.confidence) == ("dm", Confidence.EXACT)
    assert f"DM{version}" in found.reason


HEAD = encode(tree(), 3)[:64]


@pytest.mark.parametrize(
    ("name", "content", "confidence"),
    [
        ("a.dm3", b"what is this", Confidence.SUFFIX),
        ("a.DM4", b"", Confidence.SUFFIX),
        ("a.txt", b"what is this", None),
        ("a.txt", HEAD[:18], None),
        ("a.txt", b"\0\0\0\2" + HEAD[4:], None),
        ("a.txt", HEAD[:11] + b"\2" + HEAD[12:], None),
        ("a.txt", HEAD[:12] + b"\2" + HEAD[13:], None),
        ("a.txt", HEAD[:13] + b"\2" + HEAD[14:], None),
        ("a.txt", HEAD[:14] + bytes(4) + HEAD[18:], None),
        ("a.txt", HEAD[:18] + b"\x13" + HEAD[19:], None),
        ("a.txt", HEAD, Confidence.EXACT),
    ],
)
def test_what_is_no_dm_file_is_claimed_by_name_at_most(tmp_path, name, content, confidence):
    (tmp_path / name).write_bytes(content)
    found = detect(tmp_path / name)
    assert (found and found.confidence) == confidence


def test_a_folder_is_claimed_for_the_files_right_in_it(tmp_path):
    assert detect(tmp_path) is None
    (tmp_path / "notes.txt").write_text("nothing here")
    (tmp_path / ".hidden.dm3").write_bytes(HEAD)
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner" / "a.dm3", image(VOXELS[0]))
    assert detect(tmp_path) is None, "the file is in a folder below"
    found = detect(tmp_path / "inner")
    assert (found.format, found.confidence, found.reason) == ("dm", Confidence.CONTENT, "1 DM file")
    write(tmp_path / "b.dm3", image(VOXELS[0]))
    assert detect(tmp_path) is None, "one file beside folders is a layer beside others"
    write(tmp_path / "c.dm4", image(VOXELS[0]), version=4)
    assert detect(tmp_path).confidence == Confidence.CONTENT
    (tmp_path / "b.dm3").write_text("what is this")
    assert detect(tmp_path).confidence == Confidence.SUFFIX


def test_other_formats_are_left_to_other_plugins(tmp_path):
    assert wkconvert_dm.wkconvert_open("tiff", tmp_path, {}) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "1"}, "component, gaps, mix_dtypes, names, object, pad, position, timepoint, well"),
        ({"component": "r"}, "abs"),
        ({"mix_dtypes": "x"}, "true"),
    ],
)
def test_options_are_known_by_name_and_value(tmp_path, options, message):
    path = write(tmp_path / "a.dm3", image(VOXELS[0]))
    with pytest.raises(OptionError, match=message):
        wkconvert_dm.wkconvert_open("dm", path, options)


def test_importing_detecting_and_reading_import_nothing_heavy(tmp_path):
    path = write(tmp_path / "a.dm3", image(VOXELS))
    code = f"""
import sys
from pathlib import Path
import wkconvert_dm
path = Path({str(path)!r})
assert wkconvert_dm.wkconvert_detect(path, path.read_bytes()[:4096])
assert wkconvert_dm.wkconvert_detect(path.parent, b"")
assert "numpy" not in sys.modules
(layer,) = wkconvert_dm.wkconvert_open("dm", path, {{}})
layer.source.read(layer.source.info.box)
heavy = {{"ncempy", "scipy", "matplotlib", "rsciio"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
