"""Several files are several layers; through core, each layer equals what nibabel reads of its file."""

import json

import nibabel
import numpy as np
import pytest
from niftis import LAS, detect, layers, saved

from wkconvert_core import OptionError, SourceNotFound, VoxelSize
from wkconvert_core.conversion.execute import Settings, convert
from wkconvert_core.testing import noise


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "scans"
    path.mkdir()
    saved(path / "raw.nii.gz", noise(9, 8, 7, dtype="int16"), LAS)
    saved(path / "labels.nii", noise(9, 8, 7, dtype="uint32", seed=1), LAS)
    nibabel.Nifti1Pair(noise(9, 8, 7, seed=2), LAS).to_filename(path / "more.img")
    (path / "raw.json").write_text("{}")
    return path


def test_each_file_is_a_layer_named_after_it(folder, tmp_path):
    wkw = pytest.importorskip("wkw")
    convert(folder, tmp_path / "out", Settings(VoxelSize((2, 3, 4)), downsample=False))
    for name, path in (("raw", "raw.nii.gz"), ("labels", "labels.nii"), ("more", "more.hdr")):
        found = wkw.Dataset.open(str(tmp_path / "out" / name / "1")).read((0, 0, 0), (9, 8, 7))[0]
        expected = nibabel.as_closest_canonical(nibabel.load(folder / path)).dataobj
        np.testing.assert_array_equal(found, np.asarray(expected))
    metadata = json.loads((tmp_path / "out" / "datasource-properties.json").read_text())
    assert {layer["name"]: layer["category"] for layer in metadata["dataLayers"]} == {
        "raw": "color", "labels": "segmentation", "more": "color",
    }  # fmt: skip


def test_the_user_says_which_file_is_what(folder):
    found = {layer.name: layer for layer in layers(folder, color_file="more.img", segmentation_file="raw.nii.gz")}
    assert {name: layer.category for name, layer in found.items()} == {
        "color": "color", "segmentation": "segmentation", "labels": None,
    }  # fmt: skip
    assert found["segmentation"].source.path.name == "raw.nii.gz"
    assert found["color"].source.path.name == "more.img"


def test_one_file_of_a_folder_knows_its_part_when_core_opens_it_alone(folder):
    for name, category in (("labels.nii", "segmentation"), ("raw.nii.gz", None)):
        found = layers(folder / name, segmentation_file="labels.nii")[0]
        assert (found.name, found.category) == (None, category)
    with pytest.raises(OptionError, match="cannot be color_file and segmentation_file"):
        layers(folder, segmentation_file="labels.nii", color_file="labels.nii")


def test_a_file_that_is_not_there_is_told_with_those_that_are(folder):
    with pytest.raises(OptionError, match=r"no file nothing\.nii") as caught:
        layers(folder, color_file="nothing.nii")
    with pytest.raises(OptionError, match=r"no file nothing\.nii"):
        layers(folder / "labels.nii", color_file="nothing.nii")
    assert "labels.nii, more.hdr, raw.nii.gz" in caught.value.fix


def test_what_is_left_out_of_a_folder_is_told_once(folder):
    (folder / "other.dat").write_text("")
    assert detect(folder) is None
    notes = [note for layer in layers(folder) for note in layer.source.info.notes if "other.dat" in note]
    assert notes == ["left out of scans: other.dat"]


def test_documents_alone_are_left_out_with_a_note_and_sidecars_without(folder):
    (folder / "letter.docx").write_text("")
    (folder / "Thumbs.db").write_text("")
    assert detect(folder).format == "nifti"
    assert layers(folder)[0].source.info.notes[0] == "left out of scans: letter.docx"


def test_what_is_left_out_and_what_is_there_are_told_in_short(folder):
    for number in range(300):
        (folder / f"other{number:03}.dat").touch()
    assert layers(folder)[0].source.info.notes[0].endswith("other003.dat, other004.dat and 295 more")
    for number in range(30):
        saved(folder / f"scan{number}.nii", noise(2, 2, 2))
    with pytest.raises(OptionError, match="and 28 more"):
        layers(folder, color_file="nothing.nii")


@pytest.mark.parametrize("options", [{}, {"enforce_bounding_box": "0,0,0,4,4,4"}])
def test_what_holds_for_all_volumes_of_a_file_is_noted_once(tmp_path, options):
    path = saved(tmp_path / "four.nii", noise(9, 8, 7, 20), LAS)
    first, *others = layers(path, volumes="channels", **options)
    assert any("LAS" in note for note in first.source.info.notes)
    assert {layer.source.info.notes for layer in others} == {()}


def test_volumes_of_several_files_keep_their_names_apart(folder):
    saved(folder / "four.nii", noise(9, 8, 7, 2))
    assert [layer.name for layer in layers(folder, volumes="channels")] == [
        "four_volume_0", "four_volume_1", "labels", "more", "raw",
    ]  # fmt: skip


def test_layer_folders_of_one_file_are_named_by_the_folder(tmp_path):
    for name, suffix in (("em", "nii.gz"), ("labels", "nii")):
        (tmp_path / "in" / name).mkdir(parents=True)
        saved(tmp_path / "in" / name / f"volume.{suffix}", noise(9, 8, 7, dtype="uint16"))
    done = convert(tmp_path / "in", tmp_path / "out", Settings(downsample=False))
    assert [(layer.name, layer.category) for layer in done.layers] == [("em", "color"), ("labels", "segmentation")]


def test_a_folder_without_volumes_is_refused(tmp_path):
    with pytest.raises(SourceNotFound, match="holds no NIfTI file"):
        layers(tmp_path)
