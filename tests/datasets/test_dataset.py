"""`info` on a dataset: its layers and mags, and what they take on the disk."""

import json
import shutil

import numpy as np
import pytest
from helpers import paths
from helpers.conversions import PROPERTIES, edited, invoke, properties, read
from helpers.datasets import run

from wkconvert_core import (
    BrokenSource,
    DamagedData,
    Mag,
    OptionError,
    SourceNotFound,
    UnsupportedSource,
    VoxelSize,
    WarningNote,
)
from wkconvert_core.commands.verify import verify
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.prepare import prepare_conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.inventory import inventory

SAMPLES = paths.SAMPLES / "wkw"


def two_layers(folder, reader):
    """Two layers; mags 1, 2-2-1, 4-4-2."""
    for name, dtype, channels in (("em", "uint8", 3), ("labels", "uint32", 1)):
        voxels = np.random.default_rng(0).integers(0, 50, (channels, 170, 60, 40)).astype(dtype)
        category = "color" if name == "em" else "segmentation"
        plain = Settings(
            VoxelSize((11.24, 11.24, 28)), layer_name=name, category=category, file_len=2, add=name != "em"
        )
        convert(reader(folder / "src" / name, voxels), folder / "ds", plain)


@pytest.fixture
def dataset(tmp_path, reader, put_copy):
    put_copy(two_layers, tmp_path)
    return tmp_path / "ds"


def test_every_mag_is_there_with_what_its_files_take(dataset):
    found = {(mag.where.layer, str(mag.where.mag)): mag for mag in inventory(dataset)}
    assert list(found) == [(layer, mag) for layer in ("em", "labels") for mag in ("1", "2-2-1", "4-4-2")]
    for (layer, mag), stored in found.items():
        files = list((dataset / layer / mag).rglob("x*.wkw"))
        assert stored.shards == len(files)
        assert stored.stored_bytes == sum(path.stat().st_size for path in files)
        box = stored.where.box
        assert stored.raw_bytes == box.volume * (3 if layer == "em" else 4)
        assert stored.ratio == stored.raw_bytes / stored.stored_bytes
    assert found["em", "2-2-1"].voxel_size.size == (22.48, 22.48, 28)
    assert found["em", "1"].shards == 3


def test_shards_outside_the_extent_count_other_files_do_not(dataset):
    folder = dataset / "em/1"
    for name in ("z01/y0/x0.wkw", "z0/y0/.x0.wkw.tmp", "z0/y0/x0.wkw_tmp", "z0/y0/notes", "zz/y0/x0.wkw"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"12345")
    (folder / "z5.txt").touch()
    before = inventory(dataset)[0].shards
    (folder / "z9/y9").mkdir(parents=True)
    shutil.copy(folder / "z0/y0/x0.wkw", folder / "z9/y9/x12.wkw")
    assert inventory(dataset)[0].shards == before + 1 == 4
    assert list(inventory(dataset)[0].mag.shards())[-1].start == (768, 576, 576)


@pytest.mark.parametrize("are_recorded", [False, True])
def test_a_coarser_mag_without_shards_is_not_taken_over_as_zeros(dataset, tmp_path, are_recorded):
    voxels = read(dataset, "labels", "2-2-1").copy()
    if not are_recorded:
        shutil.rmtree(dataset / ".wkconvert")
    for shard in (dataset / "labels" / "2-2-1").rglob("x*.wkw"):
        shard.unlink()
    if are_recorded:
        with pytest.raises(DamagedData, match="is damaged"):
            convert(dataset, tmp_path / "copy", Settings(jobs=2))
        return
    done = convert(dataset, tmp_path / "copy", Settings(jobs=2))
    told = "labels: mags without a shard, over a finest mag that has some: 2-2-1; they are left out"
    assert [note for note in done.notes if note == told and isinstance(note, WarningNote)]
    np.testing.assert_array_equal(read(tmp_path / "copy", "labels", "2-2-1"), voxels)


@pytest.mark.slow
def test_every_command_tells_of_a_mag_without_shards_and_none_makes_others_of_it(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "copy")
    shutil.rmtree(dataset / ".wkconvert")
    for shard in (dataset / "labels" / "2-2-1").rglob("x*.wkw"):
        shard.unlink()
    export = ("export-tiff", dataset, tmp_path / "slices", "--layer-name", "labels")
    telling = [
        (0, ("recube", dataset, tmp_path / "recubed")),
        (0, ("compress", dataset, tmp_path / "compressed")),
        (0, ("verify", dataset)),
        (1, ("check-equality", tmp_path / "copy", dataset)),
        (0, (*export, "--mag", "1")),
    ]
    for code, command in telling:
        result = invoke(*command)
        told = "mags without a shard, over a finest mag that has some: 2-2-1; they read as zeros"
        assert (result.exit_code, told in result.output) == (code, True), command[0]
    shutil.rmtree(dataset / "labels/4-4-2")
    assert invoke("metadata", dataset).exit_code == 0
    for command in ((*export, "--mag", "2-2-1"), ("downsample", dataset)):
        with pytest.raises(UnsupportedSource, match=r"mag 2-2-1 of the layer labels .* holds no shard") as caught:
            invoke(*command)
    assert f"remove {dataset}/labels/2-2-1" in caught.value.fix
    shutil.rmtree(dataset / "labels/2-2-1")
    for command in ("metadata", "downsample"):
        assert invoke(command, dataset).exit_code == 0
    np.testing.assert_array_equal(read(dataset, "labels", "4-4-2"), read(tmp_path / "copy", "labels", "4-4-2"))


def test_shards_beyond_the_bounding_box_are_warned_of(dataset, tmp_path):
    assert not any("beyond" in note for note in prepare_conversion(dataset, tmp_path / "copy", Settings(jobs=2)).notes)
    (dataset / "em/1/z9/y9").mkdir(parents=True)
    shutil.copy(dataset / "em/1/z0/y0/x0.wkw", dataset / "em/1/z9/y9/x12.wkw")
    notes = prepare_conversion(dataset, tmp_path / "copy", Settings(jobs=2)).notes
    (told,) = [note for note in notes if "beyond" in note]
    assert isinstance(told, WarningNote)
    assert told == "em: mag 1: 1 shard lies beyond the bounding box, and is not read"


def test_info_shows_a_table_that_fits_80_columns(dataset):
    lines = invoke("info", dataset).stdout.splitlines()
    begin = lines.index("em, as stored")
    titles = lines[begin + 1].split()
    assert titles == ["mag", "shape", "dtype", "shards", "on", "disk", "ratio", "stored", "shard", "voxel,", "nm"]
    assert lines[begin + 2].split()[:8] == ["1", "170", "x", "60", "x", "40", "uint8", "x"]
    assert lines[begin + 2].split()[-1] == "11.24,11.24,28"
    table = [line for line in lines[begin:] if line]
    assert all(len(line.rstrip()) <= 80 for line in table)
    assert not any("…" in line for line in table)
    assert "lz4hc" in " ".join(lines[lines.index("labels, as stored") :])


def test_info_prints_the_table_as_json(dataset):
    told = json.loads(invoke("info", dataset, "--json").stdout)
    first = told["stored"][0]
    assert first["voxel_size"]["size"] == [11.24, 11.24, 28.0]
    assert {key: first[key] for key in first if key not in ("stored_bytes", "ratio", "path", "voxel_size")} == {
        "layer": "em",
        "mag": "1",
        "top_left": [0, 0, 0],
        "shape": [170, 60, 40],
        "dtype": "uint8",
        "channels": 3,
        "shards": 3,
        "raw_bytes": 170 * 60 * 40 * 3,
        "compression": "lz4",
        "shard_side": 64,
        "block_side": 32,
        "problem": None,
    }
    assert told["layers"][0]["name"] == "em"


def test_info_of_other_data_has_no_table(tmp_path, reader):
    source = reader(tmp_path / "src", np.zeros((1, 9, 9, 9), "uint8"))
    assert "stored" not in json.loads(invoke("info", source, "--json").stdout)
    assert "as stored" not in invoke("info", source).stdout


def test_a_mag_that_cannot_be_read_is_told(dataset):
    shutil.rmtree(dataset / "em/4-4-2")
    (dataset / "em/2-2-1/header.wkw").write_bytes(b"WKX")
    problems = [mag.problem for mag in inventory(dataset)]
    assert [bool(problem) for problem in problems] == [False, True, True, False, False, False]
    assert "4-4-2" in problems[2]


def test_mags_without_metadata_are_found(dataset):
    (dataset / PROPERTIES).unlink()
    with pytest.raises(BrokenSource, match=r"datasource-properties.json is missing.*auto of layer em"):
        inventory(dataset)
    (dataset / ".wkconvert/em.auto.shards").unlink()
    with pytest.raises(BrokenSource, match="not finished: auto of layer em"):
        inventory(dataset)
    shutil.rmtree(dataset / ".wkconvert")
    assert [mag.where.mag for mag in inventory(dataset)][:2] == [Mag(1, 1, 1), Mag(2, 2, 1)]


def test_no_dataset_is_an_error(tmp_path):
    with pytest.raises(SourceNotFound):
        inventory(tmp_path)


@paths.needs_samples
def test_samples_of_other_tools_are_listed():
    (mag,) = inventory(SAMPLES / "simple_wkw_dataset")
    assert (mag.shards, mag.stored_bytes, mag.mag.block_shape, mag.mag.shard_shape) == (1, 98320, (8,) * 3, (32,) * 3)
    assert [mag.where.mag.x for mag in inventory(SAMPLES / "old_wkw_dataset")] == [1, 2]


# --- what lies elsewhere ---------------------------------------------------------------------------------------------


@pytest.fixture
def partly_foreign(dataset):
    """The dataset, with a mag on a server, one outside the folder, and a layer in a form that nobody stores."""
    with edited(dataset) as found:
        em, labels = found["dataLayers"]
        em["mags"][1]["path"] = "https://example.org/em/2-2-1"
        labels["mags"][2]["path"] = "../elsewhere/4-4-2"
        found["dataLayers"].append({**labels, "name": "n5", "dataFormat": "n5", "elementClass": "strange"})
    return dataset


def test_what_lies_elsewhere_is_named_and_left_alone(partly_foreign):
    found = Dataset.open(partly_foreign)
    assert [(where.layer, str(where.mag)) for where in found.mags] == [
        ("em", "1"),
        ("em", "4-4-2"),
        ("labels", "1"),
        ("labels", "2-2-1"),
    ]
    assert found.left_alone_in() == [
        "layer n5 is left alone: its format is n5, which no installed plugin stores",
        "mag 2-2-1 of layer em is left alone: it lies elsewhere, at https://example.org/em/2-2-1",
        "mag 4-4-2 of layer labels is left alone: it lies elsewhere, at ../elsewhere/4-4-2",
    ]
    with pytest.raises(UnsupportedSource, match="layer n5"):
        found.choose(["n5"])
    with pytest.raises(UnsupportedSource, match=r"mag 2-2-1 of layer em"):
        found.choose(["em"], [Mag(2, 2, 1)])
    assert len(found.choose(["labels"], [Mag(2, 2, 1)])) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("info", "DS"),
        ("verify", "DS"),
        ("downsample", "DS", "--max-mag", "8"),
        ("compress", "DS"),
        ("metadata", "DS"),
        ("recube", "DS", "OUT"),
        ("auto", "DS", "OUT"),
        ("check-equality", "DS", "DS", "--layer-name", "em", "--mag", "1"),
    ],
)
def test_every_command_works_on_the_rest(partly_foreign, tmp_path, command):
    before = properties(partly_foreign)["dataLayers"]
    names = {"DS": partly_foreign, "OUT": tmp_path / "out"}
    run(*(names.get(word, word) for word in command))
    after = properties(partly_foreign)["dataLayers"]
    assert [layer["name"] for layer in after] == ["em", "labels", "n5"]
    assert after[2] == before[2]
    for old, new in zip(before, after, strict=True):
        assert [mag for mag in new["mags"] if mag in old["mags"]] == old["mags"]


@pytest.fixture
def mostly_elsewhere(partly_foreign):
    """That dataset, with the finest mag of one layer and all mags of the other on a server."""
    with edited(partly_foreign) as found:
        em, labels = found["dataLayers"][:2]
        em["mags"][0]["path"] = "s3://bucket/em/1"
        for mag in labels["mags"]:
            mag["path"] = f"s3://bucket/labels/{mag['path']}"
    return partly_foreign


@pytest.mark.parametrize("command", ["recube", "auto"])
def test_of_a_layer_whose_finest_mag_lies_elsewhere_the_rest_is_copied_and_all_else_named(
    mostly_elsewhere, tmp_path, command
):
    told = " ".join(invoke(command, mostly_elsewhere, tmp_path / "out").output.split())
    assert [(layer["name"], len(layer["mags"])) for layer in properties(tmp_path / "out")["dataLayers"]] == [("em", 1)]
    for what in ("layer n5", "mag 1 of layer em", "mag 2-2-1 of layer em", "mag 1 of layer labels"):
        assert f"{what} is left alone" in told
    assert run("verify", mostly_elsewhere)


def test_a_layer_that_lies_elsewhere_altogether_is_known_but_not_worked_on(mostly_elsewhere):
    found = Dataset.open(mostly_elsewhere)
    with pytest.raises(UnsupportedSource, match=r"holds nothing to work on.*mag 1 of layer labels is left alone"):
        found.choose(["labels"])
    with pytest.raises(OptionError, match="take one of em, labels"):
        found.choose(["label"])


def test_verify_of_one_layer_names_its_mags_that_lie_elsewhere(partly_foreign):
    assert verify(partly_foreign, layers=["em"]).notes == [
        "mag 2-2-1 of layer em is left alone: it lies elsewhere, at https://example.org/em/2-2-1"
    ]
