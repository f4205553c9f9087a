"""The hooks: what is claimed and what is not, and core's compliance kit on files of several kinds."""

import numpy as np
import pytest
from itks import ANY, IDENTITY, REAL, saved, series, slice_file

import wkconvert_itk
from wkconvert_core import BrokenSource, Confidence, OptionError, SourceNotFound
from wkconvert_core.registry.detection import find
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import Sample, SourceContract, noise

VOXELS = noise(90, 60, 40, dtype="uint16")

SAMPLE = {
    "NRRD": lambda to: Sample(saved(to / "a.nrrd", VOXELS), expected=VOXELS[np.newaxis]),
    "NRRD, gzip": lambda to: Sample(
        saved(to / "a.nrrd", VOXELS, IDENTITY, packed=True), expected=VOXELS[np.newaxis, ::-1, ::-1]
    ),
    "MetaImage": lambda to: Sample(saved(to / "a.mha", VOXELS), expected=VOXELS[np.newaxis]),
    "MetaImage, zraw": lambda to: Sample(saved(to / "a.mha", VOXELS, packed=True), expected=VOXELS[np.newaxis]),
    "GIPL": lambda to: Sample(saved(to / "a.gipl", VOXELS), expected=VOXELS[np.newaxis]),
    "DICOM": lambda to: Sample(
        series(to / "a", VOXELS[..., :3]), reader="dicom", expected=VOXELS[np.newaxis, ::-1, ::-1, :3]
    ),
}


class TestContract(SourceContract):
    @pytest.fixture(scope="class", params=SAMPLE)
    @classmethod
    def sample(cls, request, tmp_path_factory):
        return SAMPLE[request.param](tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.gipl"])
def test_a_file_is_known_by_its_first_bytes_whatever_its_name(tmp_path, name):
    path = saved(tmp_path / name, VOXELS[:9, :8, :7]).rename(tmp_path / "b.img")
    assert (ANY.detect(path).format, ANY.detect(path).confidence) == ("itk", Confidence.CONTENT)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.gipl", "a.dcm"])
def test_what_is_of_itk_by_name_alone_is_claimed_so_and_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"what is this")
    assert ANY.detect(tmp_path / name).confidence == Confidence.SUFFIX
    with pytest.raises(BrokenSource, match=name):
        ANY.layers(tmp_path / name)


def test_a_folder_of_dicom_without_suffixes_is_one_source_beside_its_index_and_documents(tmp_path):
    folder = series(tmp_path / "a", VOXELS[:9, :8, :3])
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (folder / "README.TXT").write_text("thanks")
    (found,) = find(tmp_path, plugins())
    assert (found.match.format, found.path) == ("dicom", tmp_path)
    (folder / "b").mkdir()
    (folder / "b" / "s1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert ANY.detect(folder) is None, "core looks at each folder"


def test_pictures_in_a_folder_are_left_to_the_reader_of_pictures(tmp_path):
    imageio = pytest.importorskip("imageio.v3")
    pytest.importorskip("wkconvert_tiff")
    folder = tmp_path / "em"
    folder.mkdir()
    for z in range(3):
        imageio.imwrite(folder / f"s{z}.png", noise(9, 8))
    (found,) = find(folder, plugins())
    assert found.match.format == "pictures"


def test_a_pair_of_nifti_is_left_to_its_reader(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    pytest.importorskip("wkconvert_nifti")
    nibabel.Nifti1Pair(VOXELS, np.eye(4)).to_filename(tmp_path / "a.img")
    for name in ("a.img", "a.hdr"):
        (found,) = find(tmp_path / name, plugins())
        assert found.match.format == "nifti"


def test_layers_of_several_formats_lie_in_one_folder(tmp_path):
    series(tmp_path / "ct", VOXELS[:9, :8, :3])
    (tmp_path / "labels").mkdir()
    saved(tmp_path / "labels" / "seg.nrrd", VOXELS[:9, :8, :3])
    assert [(one.layer, one.match.format) for one in find(tmp_path, plugins())] == [("ct", "dicom"), ("labels", "itk")]


def test_other_files_and_formats_are_left_to_others(tmp_path):
    assert wkconvert_itk.wkconvert_open("tiff", tmp_path, {}) is None
    assert ANY.detect(tmp_path) is None
    (tmp_path / "a.txt").write_text("NDims of a volume\n")
    assert ANY.detect(tmp_path / "a.txt") is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"orientation": "RAS"}, "canonical, stored"),
        ({"volume": "0", "volumes": "channels"}, "exclude"),
        ({"unit": "parsec"}, "nm, µm, mm"),
        ({"volume": "1"}, "0 to 0"),
        ({"channel": "1"}, "0 to 0"),
        ({"no": "1"}, "category, channel, orientation, unit, volume, volumes"),
    ],
)
def test_options_are_checked_and_the_legal_ones_named(tmp_path, options, words):
    with pytest.raises(OptionError, match=words):
        ANY.layers(saved(tmp_path / "a.nrrd", VOXELS[:9, :8, :7]), **options)


def test_a_file_without_an_image_is_told_as_such():
    with pytest.raises(SourceNotFound, match="holds no image of DICOM"):
        ANY.layers(REAL / "rtplan.dcm")


def test_a_slice_that_begins_as_tiff_does_is_dicom_unless_its_name_says_otherwise(tmp_path):
    content = (REAL / "CT_small.dcm").read_bytes()
    assert content.startswith(b"II*\0")
    for name, confidence in (("a.dcm", Confidence.EXACT), ("IM0001", Confidence.EXACT), ("a.tif", Confidence.CONTENT)):
        (tmp_path / name).write_bytes(content)
        assert ANY.detect(tmp_path / name).confidence == confidence
    for name in ("a.dcm", "IM0001"):
        (found,) = find(tmp_path / name, plugins())
        assert found.match.format == "dicom"


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_and_its_data_file_in_a_folder_are_one_volume(tmp_path, name, packed):
    saved(tmp_path / name, VOXELS[:9, :8, :7], packed=packed)
    (found,) = find(tmp_path, plugins())
    assert (found.match.format, found.path) == ("itk", tmp_path)
    assert [layer.name for layer in ANY.layers(tmp_path)] == [None]
    saved(tmp_path / f"b{name[1:]}", VOXELS[:9, :8, :7])
    saved(tmp_path / "c.mha", VOXELS[:9, :8, :7])
    found = ANY.layers(tmp_path)
    assert [layer.name for layer in found] == ["a", "b", "c"]
    for layer in found:
        np.testing.assert_array_equal(layer.source.read(layer.source.info.box)[0], VOXELS[:9, :8, :7])
    (tmp_path / "d.tif").write_bytes(b"II*\0")
    assert ANY.detect(tmp_path) is None, "core looks at each file"


def test_a_single_file_is_a_slice_of_unknown_distance(tmp_path):
    source = ANY.source(slice_file(tmp_path / "one", VOXELS[:9, :8, 0]))
    assert source.info.voxel_size.size == (0.25, 0.5, None)
    assert any("--voxel-size ,,5" in note for note in source.info.notes)
