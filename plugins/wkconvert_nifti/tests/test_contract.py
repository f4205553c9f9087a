"""The hooks: what is claimed and what is not, and core's compliance kit on files of several kinds."""

import gzip
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from niftis import LAS, detect, layers, saved

import wkconvert_nifti
from wkconvert_core import BrokenSource, Confidence, OptionError, SourceError, SourceNotFound, WarningNote
from wkconvert_core.testing import Sample, SourceContract, noise

VOXELS = noise(90, 60, 40, dtype="uint16")


def pair(to):
    nibabel.Nifti1Pair(VOXELS, np.eye(4)).to_filename(to / "a.img")
    return Sample(to / "a.hdr", expected=VOXELS[np.newaxis])


SAMPLE = {
    ".nii": lambda to: Sample(saved(to / "a.nii", VOXELS), expected=VOXELS[np.newaxis]),
    ".nii.gz": lambda to: Sample(saved(to / "a.nii.gz", VOXELS, LAS), expected=VOXELS[np.newaxis, ::-1]),
    "big endian, scaled": lambda to: Sample(
        saved(to / "a.nii", VOXELS, order=">", scl_slope=0.5, scl_inter=3),
        expected=VOXELS[np.newaxis].astype("float32") / 2 + 3,
    ),
    "NIfTI-2, as stored": lambda to: Sample(
        saved(to / "a.nii", VOXELS, LAS, version=2), options={"orientation": "stored"}, expected=VOXELS[np.newaxis]
    ),
    ".hdr and .img": pair,
    "a volume of many": lambda to: Sample(
        saved(to / "a.nii.gz", np.stack([VOXELS, VOXELS + 1], 3)),
        options={"volume": "1"},
        expected=VOXELS[np.newaxis] + np.uint16(1),
    ),
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLE)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return SAMPLE[request.param](tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.dat", "a"])
def test_a_file_is_known_by_its_header_whatever_its_name(tmp_path, version, order, name):
    saved(tmp_path / ("b.nii.gz" if name.endswith("gz") else "b.nii"), VOXELS, version=version, order=order).rename(
        tmp_path / name
    )
    found = detect(tmp_path / name)
    assert (found.format, found.confidence) == ("nifti", Confidence.CONTENT)
    assert f"NIfTI-{version}" in found.reason


def test_both_files_of_a_pair_are_known_and_opened_alike(tmp_path):
    nibabel.Nifti1Pair(VOXELS, np.eye(4)).to_filename(tmp_path / "a.img")
    header, voxels = (layers(tmp_path / name)[0].source for name in ("a.hdr", "a.img"))
    assert header == voxels
    assert header.path == tmp_path / "a.img"
    for name in ("a.hdr", "a.img"):
        assert detect(tmp_path / name).confidence == Confidence.CONTENT


@pytest.mark.parametrize(("lost", "left"), [("hdr", "img"), ("img", "hdr")])
def test_half_a_pair_is_claimed_and_the_other_half_is_told(tmp_path, lost, left):
    nibabel.Nifti1Pair(VOXELS, np.eye(4)).to_filename(tmp_path / "a.img")
    (tmp_path / f"a.{lost}").unlink()
    assert detect(tmp_path / f"a.{left}").format == "nifti"
    with pytest.raises(SourceNotFound, match=rf"a\.{left} has no \.{lost} of the same name beside it"):
        layers(tmp_path / f"a.{left}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nii", b"what is this"),
        ("a.nii.gz", b"\x1f\x8b damaged"),
        ("A.NII.GZ", gzip.compress(b"something else", mtime=0)),
    ],
)
def test_what_is_nifti_by_name_alone_is_claimed_so_and_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert detect(tmp_path / name).confidence == Confidence.SUFFIX
    with pytest.raises(BrokenSource, match=name):
        layers(tmp_path / name)


@pytest.mark.parametrize("name", ["a.gz", "a.hdr", "a.txt"])
@pytest.mark.parametrize(
    "content", [b"what is this", gzip.compress(b"something else", mtime=0), b"#?RADIANCE\n", b"\x1f\x8b"]
)
def test_other_files_are_not_claimed(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert detect(tmp_path / name) is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_analyze_is_read_as_stored_and_its_lack_of_an_orientation_told(tmp_path, dtype, order):
    stored = noise(9, 8, 7, dtype=dtype)
    header = nibabel.AnalyzeHeader(endianness=order)
    header["vox_units"] = "mm"
    image = nibabel.AnalyzeImage(stored, np.diag([1, 2, 3, 1]), header)
    image.set_data_dtype(dtype)
    image.to_filename(tmp_path / "a.img")
    expected = np.asanyarray(nibabel.load(tmp_path / "a.img").dataobj)
    for name in ("a.hdr", "a.img"):
        assert detect(tmp_path / name).confidence == Confidence.CONTENT
        (layer,) = layers(tmp_path / name)
        info = layer.source.info
        np.testing.assert_array_equal(layer.source.read(info.box)[0], expected)
        assert (info.voxel_size.size, info.voxel_size.unit, info.affine) == ((1, 2, 3), "mm", None)
        assert any("does not say where x runs" in note for note in info.notes if isinstance(note, WarningNote))


def test_the_scale_of_spm_is_applied_to_analyze_and_a_unit_that_is_missing_told(tmp_path):
    image = nibabel.Spm99AnalyzeImage(noise(9, 8, 7, dtype="float32"), np.eye(4))
    image.set_data_dtype("int16")
    image.to_filename(tmp_path / "a.img")
    source = layers(tmp_path / "a.hdr")[0].source
    expected = nibabel.load(tmp_path / "a.img").get_fdata().astype("float32")
    np.testing.assert_allclose(source.read(source.info.box)[0], expected, rtol=1e-6)
    assert any("vox_units names no unit" in note for note in source.info.notes)


def test_pairs_of_analyze_in_a_folder_are_its_volumes(tmp_path):
    for name in ("a.img", "b.img"):
        nibabel.AnalyzeImage(VOXELS.astype("int16"), np.eye(4)).to_filename(tmp_path / name)
    assert detect(tmp_path).reason == "2 NIfTI volumes"
    assert [layer.name for layer in layers(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("what", ["header", "voxels"])
def test_analyze_that_is_cut_short_is_refused(tmp_path, what):
    nibabel.AnalyzeImage(VOXELS.astype("int16"), np.eye(4)).to_filename(tmp_path / "a.img")
    path = tmp_path / ("a.hdr" if what == "header" else "a.img")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BrokenSource, match=path.name):
        layers(tmp_path / "a.hdr")


def test_a_folder_of_volumes_and_their_sidecars_is_claimed(tmp_path):
    assert detect(tmp_path) is None
    first = saved(tmp_path / "a.nii", VOXELS)
    assert detect(tmp_path) is None, "a single file is left to core, which finds it in the folder"
    shutil.copy(first, tmp_path / "b.nii")
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "Thumbs.db").write_text("")
    (tmp_path / "letter.docx").write_text("")
    found = detect(tmp_path)
    assert (found.confidence, found.reason) == (Confidence.CONTENT, "2 NIfTI volumes")
    (tmp_path / "c.tif").write_bytes(b"II*\0")
    assert detect(tmp_path) is None, "core looks at each file"
    (tmp_path / "c.tif").unlink()
    (tmp_path / "more").mkdir()
    assert detect(tmp_path) is None


def test_a_folder_with_a_pair_is_one_volume(tmp_path):
    nibabel.Nifti1Pair(VOXELS, np.eye(4)).to_filename(tmp_path / "a.img")
    assert detect(tmp_path).reason == "1 NIfTI volume"
    assert [layer.name for layer in layers(tmp_path)] == [None]


def test_other_formats_are_left_to_other_plugins(tmp_path):
    assert wkconvert_nifti.wkconvert_open("tiff", tmp_path, {}) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"orientation": "RAS"}, "canonical, stored"),
        ({"volumes": "all"}, "channels"),
        ({"volume": "1", "volumes": "channels"}, "exclude"),
        ({"unit": "parsec"}, "nm, µm, mm"),
        ({"volume": "1"}, "0 to 0"),
        ({"no": "1"}, "enforce_bounding_box, form, orientation, segmentation_file, slope, unit, volume, volumes"),
    ],
)
def test_options_are_checked_and_the_legal_ones_named(tmp_path, options, words):
    path = saved(tmp_path / "a.nii", VOXELS)
    with pytest.raises(OptionError, match=words):
        layers(path, **options)


@pytest.mark.slow
def test_neither_importing_nor_detecting_nor_reading_voxels_imports_a_library(tmp_path):
    saved(tmp_path / "a.nii.gz", VOXELS)
    code = f"""
import pickle, sys
from pathlib import Path
import wkconvert_nifti
path = Path({str(tmp_path)!r}) / "a.nii.gz"
assert wkconvert_nifti.wkconvert_detect(path, path.read_bytes()[:4096])
assert not {{"nibabel", "isal", "numpy"}} & set(sys.modules)
import subprocess
pickled = subprocess.run([sys.executable, "-c", '''
import pickle, sys; from pathlib import Path; import wkconvert_nifti
layer = wkconvert_nifti.wkconvert_open("nifti", Path(sys.argv[1]), {{}})[0]
sys.stdout.buffer.write(pickle.dumps(layer.source))
''', str(path)], capture_output=True, check=True).stdout
source = pickle.loads(pickled)
assert source.read(source.info.box).any()
assert "nibabel" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_image_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(SourceError, match="missing"):
        layers(tmp_path / "missing.nii")
