"""The hooks: what is claimed and what is not, what is imported, and core's compliance kit on files of every kind."""

import subprocess
import sys

import numpy as np
import pytest
from hdf5_files import detect, ilastik, imaris, layers, matlab, plain, seen, spim, velox

import wkconvert_hdf5
from wkconvert_core import Confidence, OptionError
from wkconvert_core.testing import Sample, SourceContract, noise

VOXELS = noise(40, 90, 70, dtype="uint16")


def of_ilastik(path):
    stored = noise(40, 2, 60, 30, dtype="float32")
    ilastik(path, stored, "xcyz", chunks=(20, 1, 30, 15), compression="gzip")
    return Sample(path, options={"channel": "1"}, expected=stored[:, 1:].transpose(1, 0, 2, 3))


def of_velox(path):
    stored = noise(90, 70, 3, dtype="uint16")
    return Sample(
        velox(path, {"HAADF": stored}),
        options={"timepoint": "2"},
        expected=stored[:, :, 2:].T.transpose(0, 1, 2)[..., np.newaxis],
    )


SAMPLES = {
    "contiguous, big endian": lambda to: Sample(plain(to / "a.h5", VOXELS.astype(">u2")), expected=seen(VOXELS)),
    "chunked": lambda to: Sample(
        plain(to / "a.hdf5", VOXELS, chunks=(16, 32, 64), compression="gzip", shuffle=True, fletcher32=True),
        expected=seen(VOXELS),
    ),
    "ilastik": lambda to: of_ilastik(to / "a.h5"),
    "MATLAB": lambda to: Sample(matlab(to / "a.mat", VOXELS.transpose(1, 2, 0)), expected=seen(VOXELS)),
    "Imaris": lambda to: Sample(imaris(to / "a.ims", [VOXELS]), expected=seen(VOXELS)),
    "BigDataViewer": lambda to: Sample(spim(to / "a", [VOXELS]), expected=seen(VOXELS)),
    "Velox": lambda to: of_velox(to / "a.emd"),
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLES)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return SAMPLES[request.param](tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize("name", ["a.h5", "a.nc", "a"])
def test_a_file_is_known_by_its_signature_whatever_its_name(tmp_path, name):
    found = detect(plain(tmp_path / name, VOXELS))
    assert (found.format, found.confidence) == ("hdf5", Confidence.CONTENT)


def test_a_file_is_known_by_its_signature_behind_what_matlab_writes_first(tmp_path):
    assert detect(matlab(tmp_path / "a.mat", VOXELS)).confidence == Confidence.CONTENT


@pytest.mark.parametrize(
    ("name", "content", "confidence"),
    [
        ("a.h5", b"what is this", Confidence.SUFFIX),
        ("A.IMS", bytes(4000), Confidence.SUFFIX),
        ("a.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(600), None),
        ("a.txt", b"what is this", None),
        ("a.dat", bytes(100) + b"\x89HDF\r\n\x1a\n", None),
        ("a.dat", bytes(2048) + b"\x89HDF\r\n\x1a\n", Confidence.CONTENT),
        ("a.xml", b'<SpimData><ImageLoader format="bdv.n5">', None),
        ("a.xml", b"<OME>bdv.hdf5</OME>", None),
        ("a.xml", b'<SpimData><ImageLoader format="bdv.hdf5">', Confidence.CONTENT),
    ],
)
def test_what_is_claimed_otherwise(tmp_path, name, content, confidence):
    (tmp_path / name).write_bytes(content)
    found = detect(tmp_path / name)
    assert (found and found.confidence) == confidence


def test_a_folder_is_claimed_for_the_xml_in_it(tmp_path):
    plain(tmp_path / "em.h5", VOXELS)
    assert detect(tmp_path) is None, "each file is a layer"
    spim(tmp_path / "a", [VOXELS])
    found = detect(tmp_path)
    assert (found.format, found.confidence) == ("hdf5", Confidence.CONTENT)
    assert "a.xml" in found.reason


def test_xml_beside_other_data_does_not_matter(tmp_path):
    (tmp_path / "folder.xml").mkdir()
    (tmp_path / "secret.xml").write_text("<SpimData>")
    (tmp_path / "secret.xml").chmod(0)
    assert detect(tmp_path) is None
    spim(tmp_path / "a", [VOXELS])
    assert detect(tmp_path)
    for number in range(100):
        (tmp_path / f"{number}.xml").touch()
    assert detect(tmp_path) is None


def test_other_formats_and_urls_are_left_to_other_plugins(tmp_path):
    assert wkconvert_hdf5.wkconvert_open("tiff", tmp_path, {}) is None
    assert wkconvert_hdf5.wkconvert_detect("s3://bucket/a.h5", b"") is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "1"}, "axes, channel, dataset, setup, timepoint"),
        ({"timepoint": "x"}, "timepoint"),
        ({"timepoint": "1"}, "takes 0 for this file"),
        ({"channel": "1"}, "its channels are 0 to 0"),
        ({"setup": "0"}, "only files of BigDataViewer have setups"),
        ({"dataset": "nothing"}, "its volumes are: volume"),
        ({"axes": "zy"}, "40 x 90 x 70"),
        ({"axes": "zyy"}, "c, t, x, y, z"),
        ({"axes": "xyx"}, "c, t, x, y, z"),
        ({"axes": "zyw"}, "c, t, x, y, z"),
        ({"axes": "ctz"}, "c, t, x, y, z"),
    ],
)
def test_options_are_checked_and_the_legal_ones_named(tmp_path, options, words):
    path = plain(tmp_path / "a.h5", VOXELS)
    with pytest.raises(OptionError, match=words):
        layers(path, **options)


def test_importing_and_detecting_import_no_library(tmp_path):
    path = plain(tmp_path / "a.h5", VOXELS)
    code = f"""
import sys
from pathlib import Path
import wkconvert_hdf5
path = Path({str(path)!r})
assert wkconvert_hdf5.wkconvert_detect(path, path.read_bytes()[:4096])
assert wkconvert_hdf5.wkconvert_detect(path.parent, b"") is None
assert not {{"h5py", "numpy", "hdf5plugin"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
