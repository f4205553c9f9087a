"""Copies of datasets in another form: the same voxels, and the rest of the metadata."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import paths
from helpers.conversions import (
    JOBS,
    PROPERTIES,
    SETTINGS,
    carry_out,
    different,
    edit,
    edited,
    every_mag,
    files,
    layers_of,
    properties,
    random_voxels,
    read,
)

from wkconvert_core import ConversionError, Mag, OptionError, SourceNotFound, WarningNote
from wkconvert_core.commands import compress as compressing
from wkconvert_core.commands.metadata import Wanted, update
from wkconvert_core.commands.recube import prepare, prepare_copy
from wkconvert_core.contract.errors import DamagedData, TargetExists
from wkconvert_core.conversion.execute import convert, execute
from wkconvert_core.conversion.prepare import prepare_conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.destination import NewDataset

SAMPLES = paths.SAMPLES
SHAPE = (75, 65, 70)
"""Three blocks along each axis, the last ones cut by the extent."""


def recube(src, dst, settings=JOBS, **options):
    return carry_out(prepare(src, dst, settings, **options))


def compressed(src, dst):
    return carry_out(compressing.prepare(src, dst, JOBS))


def em_and_labels(folder, reader):
    reader(folder / "src" / "em", random_voxels(SHAPE), offset=(3, 0, 20))
    reader(folder / "src" / "labels", random_voxels(SHAPE, "uint32"))
    convert(folder / "src", folder / "ds", replace(SETTINGS, interpolation_mode="max", name="ds"))
    with edited(folder / "ds") as properties:
        properties["mine"] = 1
        properties["dataLayers"][1] |= {"mappings": ["agglomerate"], "theirs": 2}


@pytest.fixture
def dataset(tmp_path, reader, put_copy):
    put_copy(em_and_labels, tmp_path)
    return tmp_path / "ds"


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"file_len": 1}, {"file_len": 8, "compression": "none"}, {"compression": "lz4hc", "compression_level": 9}],
)
def test_every_mag_has_the_same_voxels_and_the_metadata_stay(tmp_path, dataset, settings):
    recube(dataset, tmp_path / "copy", replace(JOBS, name="ds", **settings))
    expected, found = every_mag(dataset), every_mag(tmp_path / "copy")
    assert expected.keys() == found.keys()
    for key, voxels_of_mag in expected.items():
        np.testing.assert_array_equal(found[key], voxels_of_mag)
    old, new = (json.loads((d / PROPERTIES).read_text()) for d in (dataset, tmp_path / "copy"))
    for each in (old, new):
        for layer in each["dataLayers"]:
            for mag in layer["mags"]:
                del mag["cubeLength"]
    assert old == new


@pytest.mark.slow
def test_a_copy_of_a_copy_is_the_original_byte_for_byte(tmp_path, dataset):
    recube(dataset, tmp_path / "other", replace(JOBS, file_len=1, compression="none"))
    recube(tmp_path / "other", tmp_path / "back")
    assert different(dataset / "em", tmp_path / "back" / "em") == []
    assert different(dataset / "labels", tmp_path / "back" / "labels") == []


def test_the_result_opens_in_wkw(tmp_path, dataset):
    wkw = pytest.importorskip("wkw")
    recube(dataset, tmp_path / "copy", replace(JOBS, file_len=1, compression="lz4hc"))
    with wkw.Dataset.open(str(tmp_path / "copy" / "em" / "2-2-1")) as mag:
        assert (mag.header.file_len, mag.header.block_type) == (1, wkw.Header.BLOCK_TYPE_LZ4HC)
        np.testing.assert_array_equal(mag.read((1, 0, 20), (38, 33, 70)), read(dataset, "em", "2-2-1"))


def test_layers_and_mags_can_be_chosen(tmp_path, dataset):
    recube(dataset, tmp_path / "copy", names=["labels"], mags=[Mag(2, 2, 1)])
    layers = layers_of(tmp_path / "copy")
    assert list(layers) == ["labels"]
    assert [mag["mag"] for mag in layers["labels"]["mags"]] == [[2, 2, 1]]
    assert layers["labels"]["largestSegmentId"] == layers_of(dataset)["labels"]["largestSegmentId"]
    assert layers["labels"]["boundingBox"] == layers_of(dataset)["labels"]["boundingBox"]
    np.testing.assert_array_equal(read(tmp_path / "copy", "labels", "2-2-1"), read(dataset, "labels", "2-2-1"))


def test_another_dtype_reaches_every_mag_and_the_metadata(tmp_path, dataset):
    with edited(dataset) as properties:
        properties["dataLayers"][0]["defaultViewConfiguration"] = {
            "color": [1, 2, 3],
            "intensityRange": [0, 9],
            "min": 0,
        }
    recube(dataset, tmp_path / "copy", replace(JOBS, dtype="uint16"), names=["em"])
    layer = layers_of(tmp_path / "copy")["em"]
    assert layer["elementClass"] == "uint16"
    assert layer["defaultViewConfiguration"] == {"color": [1, 2, 3]}
    for mag in ("1", "2-2-1"):
        found = read(tmp_path / "copy", "em", mag)
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, read(dataset, "em", mag))


def test_values_that_do_not_fit_are_refused(tmp_path, reader):
    convert(reader(tmp_path / "src", random_voxels(dtype="uint16") * 2), tmp_path / "ds", SETTINGS)
    with pytest.raises(ConversionError, match="does not fit uint8"):
        recube(tmp_path / "ds", tmp_path / "copy", replace(JOBS, dtype="uint8"))
    assert not (tmp_path / "copy" / PROPERTIES).exists()


@pytest.mark.slow
def test_the_same_command_goes_on_and_another_is_refused(tmp_path, dataset):
    recube(dataset, tmp_path / "copy")
    before = {name: (tmp_path / "copy" / "em" / name).stat().st_mtime_ns for name in files(tmp_path / "copy" / "em")}
    again = recube(dataset, tmp_path / "copy")
    assert again.resumed == again.shards
    assert before == {name: (tmp_path / "copy" / "em" / name).stat().st_mtime_ns for name in before}
    with pytest.raises(TargetExists):
        recube(dataset, tmp_path / "copy", replace(JOBS, file_len=1))
    recube(dataset, tmp_path / "copy", replace(JOBS, file_len=1, overwrite=True))
    np.testing.assert_array_equal(read(tmp_path / "copy", "em"), read(dataset, "em"))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"names": ["x"]}, "--layer-name x is not in"), ({"mags": [Mag(8, 8, 8)]}, "--mag 8 is not in")],
)
def test_what_is_not_there_is_refused(tmp_path, dataset, options, message):
    with pytest.raises(OptionError, match=message):
        prepare(dataset, tmp_path / "copy", JOBS, **options)


def test_what_is_no_dataset_is_refused(tmp_path):
    (tmp_path / "src").mkdir()
    with pytest.raises(SourceNotFound, match="is no finished dataset"):
        prepare(tmp_path / "src", tmp_path / "copy", JOBS)


@paths.needs_samples
def test_a_dataset_of_others_is_copied(tmp_path):
    shutil.copytree(SAMPLES / "wkw" / "simple_wkw_dataset", tmp_path / "ds")
    expected = every_mag(tmp_path / "ds")
    recube(tmp_path / "ds", tmp_path / "copy")
    found = every_mag(tmp_path / "copy")
    assert found.keys() == expected.keys()
    for key, voxels_of_mag in expected.items():
        np.testing.assert_array_equal(found[key], voxels_of_mag)


ATTACHED = {
    "meshes": [{"name": "m", "path": "./labels/meshes/m", "dataFormat": "neuroglancerPrecomputed"}],
    "agglomerates": [{"name": "a", "path": "https://host/a", "dataFormat": "zarr3"}],
    "cumsum": {"name": "c", "path": "labels/cumsum.json", "dataFormat": "json"},
}


def test_mappings_and_attachments_go_along(tmp_path, dataset):
    (dataset / "labels/mappings").mkdir()
    (dataset / "labels/mappings/a.json").write_text("{}")
    with edited(dataset) as properties:
        labels = next(layer for layer in properties["dataLayers"] if layer["name"] == "labels")
        labels |= {"mappings": ["a"], "attachments": ATTACHED}
    (dataset / "labels/meshes/m/lod").mkdir(parents=True)
    (dataset / "labels/meshes/m/lod/1").write_bytes(b"mesh")
    (dataset / "labels/cumsum.json").write_text("[]")
    done = recube(dataset, tmp_path / "copy")
    assert (tmp_path / "copy/labels/mappings/a.json").read_text() == "{}"
    assert layers_of(tmp_path / "copy")["labels"]["mappings"] == ["a"]
    assert layers_of(tmp_path / "copy")["labels"]["attachments"] == ATTACHED
    assert (tmp_path / "copy/labels/meshes/m/lod/1").read_bytes() == b"mesh"
    assert (tmp_path / "copy/labels/cumsum.json").read_text() == "[]"
    assert not any("not copied" in note for note in done.notes)


@pytest.mark.parametrize(
    "path", ["./labels/1", "labels", ".", "../outside", "labels/linked", "labels/missing", ".wkconvert", 7, None]
)
def test_attachments_that_are_no_files_beside_the_mags_are_left_with_a_note(tmp_path, dataset, path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (dataset / "labels" / "linked").symlink_to(tmp_path / "outside")
    with edited(dataset) as properties:
        labels = next(layer for layer in properties["dataLayers"] if layer["name"] == "labels")
        labels["attachments"] = {"meshes": [{"name": "m", "path": path}, ATTACHED["agglomerates"][0]]}
    done = recube(dataset, tmp_path / "copy", names=["labels"], mags=[Mag(1, 1, 1)])
    assert layers_of(tmp_path / "copy")["labels"]["attachments"] == {"meshes": ATTACHED["agglomerates"]}
    assert any("of its attachments, meshes m" in note for note in done.notes)
    assert not list((tmp_path / "copy").rglob("secret"))


def test_attachments_of_ids_that_may_change_are_left_with_a_note(tmp_path, dataset):
    with edited(dataset) as properties:
        labels = next(layer for layer in properties["dataLayers"] if layer["name"] == "labels")
        labels["attachments"] = {"agglomerates": ATTACHED["agglomerates"]}
    done = recube(dataset, tmp_path / "copy", replace(JOBS, dtype="uint8", convert="clip"))
    assert "attachments" not in layers_of(tmp_path / "copy")["labels"]
    assert any("its ids may be others" in note for note in done.notes)


@pytest.mark.slow
def test_every_other_folder_of_a_layer_is_named(tmp_path, dataset):
    for name in ("agglomerates", "meshes/lod", "mappings", ".hidden"):
        (dataset / "labels" / name).mkdir(parents=True)
    done = recube(dataset, tmp_path / "copy", replace(JOBS, jobs=1))
    assert [note for note in done.notes if "copied" in note] == [
        "labels: of its folder, agglomerates, meshes are not copied"
    ]
    (dataset / "labels/agglomerates").rmdir()
    done = recube(dataset, tmp_path / "more", mags=[Mag(2, 2, 1)])
    assert "labels: of its folder, meshes is not copied" in done.notes


@pytest.mark.slow
def test_shards_outside_the_bounding_box_are_left_behind_with_a_note(tmp_path, dataset):
    assert not [note for note in recube(dataset, tmp_path / "whole").notes if "outside" in note]
    with edited(dataset) as properties:
        em = properties["dataLayers"][0]
        em["boundingBox"]["width"] -= 2
    box = layers_of(dataset)["em"]["boundingBox"]
    cut = read(dataset, "em", "1")[:, : box["width"]]
    for copy in (recube, compressed):
        notes = [note for note in copy(dataset, tmp_path / copy.__name__).notes if "outside" in note]
        assert re.fullmatch(r"em: mag 1 has voxels outside the bounding box, within .*: they are not copied", notes[0])
        np.testing.assert_array_equal(read(tmp_path / copy.__name__, "em", "1"), cut)


def test_in_place_nothing_is_left_behind_and_nothing_taken_along(tmp_path, dataset):
    for name in ("meshes", "mappings"):
        (dataset / "labels" / name).mkdir()
    done = execute(prepare_copy("recube", dataset, NewDataset(tmp_path / "copy"), JOBS, in_place=True))
    assert [note for note in done.notes if "copied" in note] == []
    assert not (tmp_path / "copy" / "labels" / "mappings").exists()


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["exact", "clip", "scale"])
def test_the_largest_id_of_other_values_is_not_that_of_the_original(tmp_path, dataset, fit):
    known = layers_of(dataset)["labels"]["largestSegmentId"]
    assert known == 249
    done = recube(dataset, tmp_path / "copy", replace(JOBS, dtype="uint16", convert=fit))
    assert layers_of(tmp_path / "copy")["labels"]["largestSegmentId"] == (known if fit == "exact" else None)
    notes = [note for note in done.notes if "largest segment id" in note]
    assert [note.split(":")[0] for note in notes] == ([] if fit == "exact" else ["labels"])
    done = recube(dataset, tmp_path / "same", replace(JOBS, dtype="uint32", convert=fit), names=["labels"])
    assert layers_of(tmp_path / "same")["labels"]["largestSegmentId"] == known


@pytest.mark.slow
def test_a_copy_that_loses_its_metadata_has_its_own_record_of_them(tmp_path, dataset):
    recube(dataset, tmp_path / "copy")
    file = tmp_path / "copy" / PROPERTIES
    before = json.loads(file.read_text())
    file.unlink()
    update(tmp_path / "copy", Wanted(), JOBS)
    after = json.loads(file.read_text())
    assert after["scale"] == before["scale"]
    boxes = [{layer["name"]: layer["boundingBox"] for layer in each["dataLayers"]} for each in (before, after)]
    assert boxes[0] == boxes[1]


def test_shards_of_smaller_blocks_than_ours_are_kept_as_small_as_we_write(tmp_path):
    wkw = pytest.importorskip("wkw")
    data = random_voxels((40, 40, 20))
    header = wkw.Header(np.uint8, block_len=16, file_len=1)
    (tmp_path / "ds/em").mkdir(parents=True)
    with wkw.Dataset.create(str(tmp_path / "ds/em/1"), header) as mag:
        mag.write((0, 0, 0), np.asfortranarray(data))
    update(tmp_path / "ds", Wanted(voxel_size=SETTINGS.voxel_size), JOBS)
    execute(prepare_copy("recube", tmp_path / "ds", NewDataset(tmp_path / "copy"), JOBS, keep_shards=True))
    assert [mag["cubeLength"] for mag in layers_of(tmp_path / "copy")["em"]["mags"]] == [32]
    np.testing.assert_array_equal(read(tmp_path / "copy", "em"), read(tmp_path / "ds", "em"))


TRANSFORMATIONS = [{"type": "affine", "matrix": [[1, 0, 0, 7], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}]
ATTACHMENTS = {"meshes": [{"name": "m", "dataFormat": "neuroglancerPrecomputed", "path": "./em/meshes/m"}]}


def with_more(dataset):
    """What people and other tools add to a dataset."""

    def add(found, entry):
        found["defaultViewConfiguration"] = {"zoom": 3}
        entry["coordinateTransformations"] = TRANSFORMATIONS
        entry["attachments"] = ATTACHMENTS
        entry["adminViewConfiguration"] = {"alpha": 50}
        entry["defaultViewConfiguration"] = {"color": [1, 2, 3], "isInverted": True}
        entry["somebodysKey"] = {"a": 1}
        entry["mappings"] = []

    edit(dataset, add)
    (dataset / "em" / "meshes" / "m").mkdir(parents=True)
    (dataset / "em" / "meshes" / "m" / "1").write_bytes(b"mesh")
    return dataset


def test_recube_keeps_transformations_views_and_foreign_keys(tmp_path, dataset):
    done = carry_out(prepare(with_more(dataset), tmp_path / "copy", JOBS))
    copy, entry = properties(tmp_path / "copy"), layers_of(tmp_path / "copy")["em"]
    before = layers_of(dataset)["em"]
    for key in ("coordinateTransformations", "adminViewConfiguration", "defaultViewConfiguration", "somebodysKey"):
        assert entry[key] == before[key]
    assert copy["defaultViewConfiguration"] == {"zoom": 3}
    assert entry["attachments"] == before["attachments"]
    assert (tmp_path / "copy" / "em" / "meshes" / "m" / "1").read_bytes() == b"mesh"
    assert not any("attachments" in note for note in done.notes)


@pytest.mark.parametrize("command", ["auto", "cube"])
def test_auto_and_cube_tell_what_they_do_not_take_over(tmp_path, dataset, command):
    settings = Settings(jobs=2, metadata=command == "auto")
    notes = prepare_conversion(with_more(dataset), tmp_path / "copy", settings, command=command).notes
    told = "\n".join(note for note in notes if isinstance(note, WarningNote))
    for key in ("coordinateTransformations", "attachments", "adminViewConfiguration", "defaultViewConfiguration"):
        assert key in told
    for text in (
        "somebodysKey",
        "meshes",
        "wkconvert recube",
        "of the dataset's metadata, defaultViewConfiguration, mine are",
    ):
        assert text in told
    assert "boundingBox" not in told


@pytest.mark.parametrize(("shown", "told"), [([3, 77], True), ([0, 255], False)])
def test_the_range_in_which_bytes_are_shown_is_told_as_it_is_not_measured_anew(tmp_path, dataset, shown, told):
    edit(dataset, lambda found, entry: entry.update(defaultViewConfiguration={"intensityRange": shown}))
    notes = prepare_conversion(dataset, tmp_path / "copy", JOBS).notes
    assert any("defaultViewConfiguration is not taken over" in note for note in notes) == told


def test_of_a_plain_dataset_nothing_is_told(tmp_path, reader):
    reader(tmp_path / "src" / "em", random_voxels((40, 30, 20), dtype="uint16"))
    reader(tmp_path / "src" / "labels", random_voxels((40, 30, 20), dtype="uint32"))
    convert(tmp_path / "src", tmp_path / "ds", SETTINGS)
    assert not [note for note in prepare_conversion(tmp_path / "ds", tmp_path / "copy", JOBS).notes if "taken" in note]


@pytest.mark.parametrize("layer", ["em", "labels"])
@pytest.mark.parametrize("command", ["recube", "auto"])
def test_a_recorded_shard_that_is_missing_is_not_copied_as_zeros(tmp_path, dataset, command, layer):
    lost = sorted((dataset / layer).rglob("x*.wkw"))[0]
    lost.unlink()
    copy = convert if command == "auto" else lambda *given: carry_out(prepare(*given))
    with pytest.raises(DamagedData, match=r"x0\.wkw"):
        copy(dataset, tmp_path / "copy", JOBS)
    assert not (tmp_path / "copy" / PROPERTIES).exists()
