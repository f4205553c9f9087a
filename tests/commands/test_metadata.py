"""`metadata`: made for bare mags, brought up to date, corrected; what people wrote stays."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.conversions import JOBS, PROPERTIES, SETTINGS, SIZE, edit, layers_of, properties, random_voxels
from helpers.datasets import PEER, needs_peer, write_by_wkw
from typer.testing import CliRunner

from wkconvert_core import Box, BrokenSource, OptionError, SourceNotFound, UnsupportedSource, VoxelSize
from wkconvert_core.cli.app import app
from wkconvert_core.commands.metadata import Wanted, update
from wkconvert_core.contract.errors import DamagedData, TargetLocked
from wkconvert_core.conversion.execute import convert
from wkconvert_core.datasets.records.lock import locked
from wkconvert_core.inspection.contents import find_contents


def box_of(dataset, layer):
    entry = layers_of(dataset)[layer]["boundingBox"]
    return Box(tuple(entry["topLeft"]), (entry["width"], entry["height"], entry["depth"]))


def told(done):
    return [(change.what, change.layer, change.old, change.new) for change in done.changes]


# --- made where there are none ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "category"), [("uint8", "color"), ("int16", "color"), ("uint32", "segmentation")])
def test_after_cube_they_are_those_that_auto_writes(tmp_path, reader, dtype, category):
    data = random_voxels(dtype=dtype)
    data[:, :9], data[:, :, -5:] = 0, 0  # black at the edge is part of the volume
    source = reader(tmp_path / "src", data, voxel_size=SIZE)
    how = replace(SETTINGS, voxel_size=None, layer_name="vol", category=category, downsample=False, name="x", start_z=3)
    convert(source, tmp_path / "auto", how)
    convert(source, tmp_path / "ds", replace(how, metadata=False), command="cube")
    assert not (tmp_path / "ds" / PROPERTIES).exists()
    done = update(tmp_path / "ds", Wanted("x", category=category), JOBS)
    assert (done.created, done.written) == (True, True)
    assert properties(tmp_path / "ds") == properties(tmp_path / "auto")


@pytest.mark.parametrize("block_type", [1, 2])
def test_the_extent_of_mags_by_others_is_that_of_their_voxels(tmp_path, block_type):
    data = np.random.default_rng(0).integers(1, 200, (1, 50, 90, 70)).astype(np.uint16)
    write_by_wkw(tmp_path / "ds/em/1", data, (70, 5, 33), block_type=block_type)
    write_by_wkw(tmp_path / "ds/em/2-2-1", data[:, :25, :46] + 1, (35, 2, 33), block_type=block_type)
    update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    found = layers_of(tmp_path / "ds")["em"]
    assert box_of(tmp_path / "ds", "em") == Box((70, 5, 33), (50, 90, 70))
    assert found["category"] == "color"
    assert found["elementClass"] == "uint16"
    assert [(mag["mag"], mag["path"], mag["cubeLength"]) for mag in found["mags"]] == [
        ([1, 1, 1], "./em/1", 64),
        ([2, 2, 1], "./em/2-2-1", 64),
    ]
    assert properties(tmp_path / "ds")["id"]["name"] == "ds"
    assert found["defaultViewConfiguration"]["intensityRange"][0] >= 1  # nothing beside the volume counts


def test_an_extent_that_was_recorded_may_be_measured_all_the_same(tmp_path, reader):
    data = random_voxels((40, 40, 40)) + 1
    data[:, :9] = 0
    cubed = replace(SETTINGS, metadata=False, downsample=False)
    convert(reader(tmp_path / "src", data), tmp_path / "ds", cubed, command="cube")
    update(tmp_path / "ds", Wanted(voxel_size=SIZE, extent=True), JOBS)
    assert box_of(tmp_path / "ds", "color") == Box((9, 0, 0), (31, 40, 40))


def test_without_a_voxel_size_nothing_is_written(tmp_path):
    write_by_wkw(tmp_path / "ds/em/1", np.ones((1, 9, 9, 9), np.uint8))
    with pytest.raises(OptionError, match="voxel size along x, y, z"):
        update(tmp_path / "ds", Wanted(), JOBS)
    assert not (tmp_path / "ds" / PROPERTIES).exists()


def test_shards_that_were_recorded_and_are_gone_are_damage_and_without_a_record_the_others_are_measured(
    tmp_path, reader
):
    data = random_voxels((70, 40, 40)) + 1
    convert(
        reader(tmp_path / "src", data),
        tmp_path / "ds",
        replace(SETTINGS, metadata=False, file_len=1, downsample=False),
        command="cube",
    )
    (tmp_path / "ds/color/1/z0/y0/x2.wkw").unlink()
    (tmp_path / "ds/color/1/z0/y1/x2.wkw").unlink()
    (tmp_path / "ds/color/1/z1/y0/x2.wkw").unlink()
    (tmp_path / "ds/color/1/z1/y1/x2.wkw").unlink()
    with pytest.raises(DamagedData, match="it is missing, though it was recorded"):
        update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    shutil.rmtree(tmp_path / "ds/.wkconvert")
    update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    assert box_of(tmp_path / "ds", "color") == Box((0, 0, 0), (64, 40, 40))


def flip_a_bit(shard):
    content = bytearray(shard.read_bytes())
    content[-3] ^= 1
    shard.write_bytes(content)


@pytest.mark.parametrize("wanted", [Wanted(extent=True), Wanted(compute_max_id=True, layers=["labels"])])
@pytest.mark.parametrize("damage", [flip_a_bit, Path.unlink])
def test_damaged_shards_are_no_extent_and_no_largest_id(tmp_path, reader, wanted, damage):
    data = np.zeros((1, 70, 40, 40), "uint32")
    data[:, 3:69, 4:36, 5:37] = random_voxels((66, 32, 32), dtype="uint32") + 1
    how = replace(SETTINGS, file_len=1, downsample=False, layer_name="labels", category="segmentation")
    convert(reader(tmp_path / "src", data), tmp_path / "ds", replace(how, compression="none"))
    damage(tmp_path / "ds/labels/1/z1/y1/x2.wkw")
    before = properties(tmp_path / "ds")
    with pytest.raises(DamagedData, match="recorded"):
        update(tmp_path / "ds", wanted, JOBS)
    assert properties(tmp_path / "ds") == before


def test_a_mag_that_another_program_has_made_anew_is_measured_as_it_is(tmp_path, reader):
    how = replace(SETTINGS, file_len=1, downsample=False, layer_name="labels", category="segmentation")
    convert(reader(tmp_path / "src", random_voxels((70, 40, 40), dtype="uint32")), tmp_path / "ds", how)
    write_by_wkw(tmp_path / "new", np.full((1, 40, 40, 40), 9, np.uint32))
    shutil.rmtree(tmp_path / "ds/labels/1")
    (tmp_path / "new").rename(tmp_path / "ds/labels/1")
    done = update(tmp_path / "ds", Wanted(extent=True, compute_max_id=True), JOBS)
    assert [change.new for change in done.changes] == ["x 0:40, y 0:40, z 0:40", "9"]


def test_names_and_voxels_tell_the_category(tmp_path):
    rng = np.random.default_rng(0)
    write_by_wkw(tmp_path / "ds/labels/1", rng.integers(1, 9, (1, 40, 40, 40)).astype(np.uint32))
    write_by_wkw(tmp_path / "ds/b/1", rng.integers(1, 255, (3, 40, 40, 40)).astype(np.uint8))
    write_by_wkw(
        tmp_path / "ds/c/1", np.kron(rng.integers(1, 2**31, (1, 4, 4, 4)), np.ones((1, 16, 16, 16))).astype("u4")
    )
    update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    layers = layers_of(tmp_path / "ds")
    assert {name: layer["category"] for name, layer in layers.items()} == {
        "labels": "segmentation",
        "b": "color",
        "c": "segmentation",
    }
    assert (layers["b"]["elementClass"], layers["b"]["numChannels"]) == ("uint24", 3)
    assert layers["labels"]["largestSegmentId"] is None


def test_what_cannot_be_a_layer_is_left_out_and_told(tmp_path):
    write_by_wkw(tmp_path / "ds/a b/1", np.ones((1, 9, 9, 9), np.uint8))
    shutil.rmtree(write_by_wkw(tmp_path / "ds/empty/1", np.zeros((1, 9, 9, 9), np.uint8)) / "z0")
    write_by_wkw(tmp_path / "ds/.hidden/1", np.ones((1, 9, 9, 9), np.uint8))
    with pytest.raises(SourceNotFound, match="no layer"):
        update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    write_by_wkw(tmp_path / "ds/em/1", np.ones((1, 9, 9, 9), np.uint8))
    done = update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    assert list(layers_of(tmp_path / "ds")) == ["em"]
    assert ["a b" in note for note in done.notes] == [True, False, False]
    assert "empty is left out" in done.notes[2]


def test_a_layer_of_zeros_is_as_large_as_its_shards(tmp_path):
    write_by_wkw(tmp_path / "ds/empty/2", np.zeros((1, 9, 9, 9), np.uint8), (0, 70, 0))
    done = update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    assert box_of(tmp_path / "ds", "empty") == Box((0, 128, 0), (128, 128, 128))
    assert "that of its shards" in done.notes[0]


def test_mags_of_several_kinds_and_damaged_headers_are_refused(tmp_path):
    write_by_wkw(tmp_path / "ds/em/1", np.ones((1, 9, 9, 9), np.uint8))
    write_by_wkw(tmp_path / "ds/em/2", np.ones((1, 9, 9, 9), np.uint16))
    with pytest.raises(BrokenSource, match="differ") as caught:
        update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    assert "mag 1: 1 x uint8; mag 2: 1 x uint16" in caught.value.why
    shutil.rmtree(tmp_path / "ds/em/2")
    (tmp_path / "ds/em/1/header.wkw").write_bytes(b"WKX" + bytes(13))
    with pytest.raises(DamagedData):
        update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    with pytest.raises(SourceNotFound):
        update(tmp_path, Wanted(voxel_size=SIZE), JOBS)


@pytest.fixture
def unread(monkeypatch):
    """Fails where all voxels of a mag are looked at."""

    def read(place, *rest, **options):
        raise AssertionError(f"{place.title} is read")

    monkeypatch.setattr("wkconvert_core.commands.metadata_entries.find_contents", read)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(), "voxel size along x, y, z"),
        (Wanted(voxel_size=VoxelSize((4, None, 35))), "voxel size along y"),
        (Wanted(voxel_size=SIZE, compute_max_id=True, layers=["em"]), "needs a segmentation layer"),
        (Wanted(voxel_size=SIZE, compute_max_id=True, category="color"), "needs a segmentation layer"),
        (Wanted(voxel_size=SIZE, max_id=3), "fits one segmentation layer"),
    ],
)
def test_what_is_missing_is_told_before_all_voxels_are_read(tmp_path, unread, wanted, message):
    for name in ("em", "labels", "mask"):
        write_by_wkw(tmp_path / "ds" / name / "1", np.ones((1, 9, 9, 9), np.uint8))
    with pytest.raises(OptionError, match=message):
        update(tmp_path / "ds", wanted, JOBS)


def test_a_largest_id_may_be_for_a_layer_whose_voxels_tell_what_it_is(tmp_path):
    labels = np.kron(np.random.default_rng(0).integers(1, 2**31, (1, 4, 4, 4)), np.ones((1, 16, 16, 16))).astype("u4")
    write_by_wkw(tmp_path / "ds/a/1", labels)
    write_by_wkw(tmp_path / "ds/em/1", np.ones((1, 9, 9, 9), np.uint8))
    update(tmp_path / "ds", Wanted(voxel_size=SIZE, compute_max_id=True), JOBS)
    assert layers_of(tmp_path / "ds")["a"]["largestSegmentId"] == labels.max()


def linked(tmp_path):
    """A dataset with `em`, of which mag 2 lies elsewhere, and with `other`, which lies elsewhere."""
    write_by_wkw(tmp_path / "ds/em/1", np.ones((1, 9, 9, 9), np.uint8))
    write_by_wkw(tmp_path / "elsewhere/2", np.ones((1, 9, 9, 9), np.uint8))
    (tmp_path / "ds/em/2").symlink_to(tmp_path / "elsewhere/2")
    (tmp_path / "ds/other").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "ds"


def test_what_lies_behind_a_link_out_of_the_dataset_is_left_out_and_told(tmp_path):
    dataset = linked(tmp_path)
    for wanted in (Wanted(voxel_size=SIZE), Wanted()):
        done = update(dataset, wanted, JOBS)
        assert [note.split(" is left out: ")[0] for note in done.notes] == [f"{dataset}/em/2", f"{dataset}/other"]
        assert [mag["mag"] for mag in layers_of(dataset)["em"]["mags"]] == [[1, 1, 1]]
        assert list(layers_of(dataset)) == ["em"]
    assert CliRunner().invoke(app, ["verify", str(dataset)]).exit_code == 0
    assert update(dataset, Wanted("x"), JOBS).notes == []
    shutil.rmtree(dataset / "em")
    (dataset / PROPERTIES).unlink()
    with pytest.raises(SourceNotFound, match="no layer") as caught:
        update(dataset, Wanted(voxel_size=SIZE), JOBS)
    assert "other is left out: it is a link" in caught.value.why


def test_a_link_within_the_dataset_is_followed(tmp_path):
    write_by_wkw(tmp_path / "ds/store/finest", np.ones((1, 9, 9, 9), np.uint8))
    (tmp_path / "ds/em").mkdir()
    (tmp_path / "ds/em/1").symlink_to(tmp_path / "ds/store/finest")
    assert update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS).notes == []
    assert list(layers_of(tmp_path / "ds")) == ["em"]


# --- brought up to date ----------------------------------------------------------------------------------------------


def em_and_labels(folder, reader):
    em = replace(SETTINGS, layer_name="em", category="color", max_mag=2)
    convert(reader(folder / "a", random_voxels((70, 60, 40))), folder / "ds", em)
    labels = replace(em, layer_name="labels", category="segmentation", add=True, downsample=False)
    convert(reader(folder / "b", random_voxels((70, 60, 40), "uint32")), folder / "ds", labels)


@pytest.fixture
def dataset(tmp_path, reader, put_copy):
    """`em` with mags 1 and 2-2-1, `labels` with mag 1."""
    put_copy(em_and_labels, tmp_path)
    return tmp_path / "ds"


def test_nothing_new_leaves_the_file_as_it_is(dataset):
    edit(dataset, lambda top, layer: (top.update(mine=1), layer.update(yours=[2])))

    def state():
        found = (dataset / PROPERTIES).stat()
        return found.st_ino, found.st_mtime_ns, found.st_size

    before = state()
    done = update(dataset, Wanted(), JOBS)
    assert (done.written, done.changes) == (False, [])
    assert state() == before


def test_what_is_new_joins_what_is_gone_goes_and_edits_stay(dataset):
    def by_hand(top, layer):
        top["mine"] = {"x": [1]}
        layer["boundingBox"]["width"] = 66
        layer["defaultViewConfiguration"] = {"color": [1, 2, 3]}
        layer["mags"][0]["note"] = "kept"

    edit(dataset, by_hand)
    write_by_wkw(dataset / "em/4-4-1", np.ones((1, 18, 15, 40), np.uint8))
    write_by_wkw(dataset / "extra/1", np.ones((1, 40, 40, 40), np.uint8), (32, 0, 0))
    shutil.rmtree(dataset / "em/2-2-1")
    shutil.rmtree(dataset / "labels/1")
    done = update(dataset, Wanted(), JOBS)
    assert told(done)[:3] == [
        ("mag", "em", "2-2-1", None),
        ("mag", "em", None, "4-4-1"),
        ("layer", None, "labels", None),
    ]
    assert [(change.what, change.new.split(",")[0]) for change in done.changes[3:]] == [("layer", "extra")]
    layers = layers_of(dataset)
    assert list(layers) == ["em", "extra"]
    assert properties(dataset)["mine"] == {"x": [1]}
    assert layers["em"]["boundingBox"]["width"] == 66
    assert layers["em"]["defaultViewConfiguration"] == {"color": [1, 2, 3]}
    assert [(mag["mag"], mag.get("note")) for mag in layers["em"]["mags"]] == [([1, 1, 1], "kept"), ([4, 4, 1], None)]
    assert box_of(dataset, "extra") == Box((32, 0, 0), (40, 40, 40))


def test_mags_stay_where_the_metadata_say_and_as_they_say(dataset):
    (dataset / "em/1").rename(dataset / "em/finest")
    write_by_wkw(dataset / "em/1", np.ones((1, 9, 9, 9), np.uint8))
    write_by_wkw(dataset / "em/4-4-4", np.ones((1, 9, 9, 9), np.uint8))
    write_by_wkw(dataset / "em/4", np.ones((1, 9, 9, 9), np.uint8))
    edit(dataset, lambda top, layer: layer["mags"][0].update(path="./em/finest", axisOrder={"c": 3}))
    update(dataset, Wanted(layers=["em"]), JOBS)
    finest, _, coarsest = layers_of(dataset)["em"]["mags"]
    assert (finest["path"], finest["axisOrder"]) == ("./em/finest", {"c": 3})
    assert finest["cubeLength"] == 32 * 2 ** ((dataset / "em/finest/header.wkw").read_bytes()[4] >> 4)
    assert coarsest["path"] == "./em/4"


def test_only_the_layers_that_are_named_are_touched(dataset):
    write_by_wkw(dataset / "em/4-4-1", np.ones((1, 18, 15, 40), np.uint8))
    shutil.rmtree(dataset / "labels/1")
    update(dataset, Wanted(layers=["em"]), JOBS)
    assert [len(layer["mags"]) for layer in layers_of(dataset).values()] == [3, 1]
    with pytest.raises(OptionError, match="nothing"):
        update(dataset, Wanted(layers=["nothing"]), JOBS)


def test_what_the_headers_say_wins(tmp_path):
    write_by_wkw(tmp_path / "ds/color/1", np.ones((3, 9, 9, 9), np.uint8), file_len=4)
    mags = [{"resolution": 1, "cubeLength": 1024}]
    layer = {
        "name": "color",
        "category": "color",
        "dataFormat": "wkw",
        "elementClass": "uint24",
        "wkwResolutions": mags,
    }
    box = {"topLeft": [0, 0, 0], "width": 9, "height": 9, "depth": 9}
    old = {"id": {"name": "old", "team": "x"}, "scale": [4, 4, 35], "dataLayers": [{**layer, "boundingBox": box}]}
    (tmp_path / "ds" / PROPERTIES).write_text(json.dumps(old))
    done = update(tmp_path / "ds", Wanted(), JOBS)
    new = properties(tmp_path / "ds")["dataLayers"][0]
    assert "wkwResolutions" not in new
    assert (new["mags"][0]["mag"], new["mags"][0]["cubeLength"], new["numChannels"]) == ([1, 1, 1], 128, 3)
    assert [(change.what, change.old, change.new) for change in done.changes] == [
        ("shard_side", "1024 in mag 1", "128"),
        ("element_class", "uint24, unknown channels", "uint24, 3 channels"),
    ]
    assert update(tmp_path / "ds", Wanted(), JOBS).changes == []
    edit(tmp_path / "ds", lambda top, layer: layer["mags"][0].pop("cubeLength"))
    assert told(update(tmp_path / "ds", Wanted(), JOBS)) == [("shard_side", "color", "unknown in mag 1", "128")]


def test_another_dtype_takes_away_what_the_view_says_of_values(dataset):
    view = {"color": [1, 2, 3], "min": 0, "max": 9, "intensityRange": [0, 9]}
    edit(dataset, lambda top, layer: layer.update(defaultViewConfiguration=view))
    assert update(dataset, Wanted(), JOBS).changes == []
    for mag in ("1", "2-2-1"):
        shutil.rmtree(dataset / "em" / mag)
        write_by_wkw(dataset / "em" / mag, np.ones((1, 9, 9, 9), np.uint16))
    update(dataset, Wanted(), JOBS)
    assert layers_of(dataset)["em"]["elementClass"] == "uint16"
    assert layers_of(dataset)["em"]["defaultViewConfiguration"] == {"color": [1, 2, 3]}


def test_layers_of_other_formats_stay_whatever_happens(dataset):
    other = {**properties(dataset)["dataLayers"][0], "name": "z", "dataFormat": "n5"}
    edit(dataset, lambda top, layer: top["dataLayers"].append(other))
    update(dataset, Wanted("other", extent=True, refresh=True, category="segmentation"), JOBS)
    assert properties(dataset)["dataLayers"][-1] == other
    for wanted in (Wanted(), Wanted(extent=True), Wanted(category="segmentation")):
        with pytest.raises(UnsupportedSource, match=r"layer z of .* is n5"):
            update(dataset, replace(wanted, layers=["z"]), JOBS)


def test_a_layer_that_the_metadata_lack_is_no_layer_of_which_facts_are_changed(dataset):
    write_by_wkw(dataset / "extra/1", np.ones((1, 9, 9, 9), np.uint8))
    with pytest.raises(OptionError, match="--layer-name extra") as caught:
        update(dataset, Wanted(layers=["extra"], extent=True), JOBS)
    assert "--refresh" in caught.value.fix
    update(dataset, Wanted(layers=["extra"], extent=True, refresh=True), JOBS)
    assert "extra" in layers_of(dataset)


def test_a_run_that_is_not_finished_is_not_described(dataset):
    (dataset / ".wkconvert/em.downsample-4-4-1.plan").write_text("{}")
    write_by_wkw(dataset / "em/4-4-1", np.ones((1, 18, 15, 40), np.uint8))
    with pytest.raises(BrokenSource, match="not finished: downsample-4-4-1 of layer em"):
        update(dataset, Wanted(), JOBS)
    update(dataset, Wanted("other"), JOBS)
    assert len(layers_of(dataset)["em"]["mags"]) == 2


def test_mappings_in_the_folder_are_listed(dataset):
    for name in ("b.json", "a.json", "notes.txt"):
        (dataset / "labels/mappings").mkdir(exist_ok=True)
        (dataset / "labels/mappings" / name).write_text("{}")
    update(dataset, Wanted(), JOBS)
    assert layers_of(dataset)["labels"]["mappings"] == ["a", "b"]
    edit(dataset, lambda top, layer: top["dataLayers"][1].update(mappings=["b.json", "gone"]))
    update(dataset, Wanted(), JOBS)
    assert layers_of(dataset)["labels"]["mappings"] == ["b.json", "a"]


# --- single facts ----------------------------------------------------------------------------------------------------


def test_only_what_is_asked_for_changes(dataset):
    write_by_wkw(dataset / "em/4-4-1", np.ones((1, 18, 15, 40), np.uint8))
    before = properties(dataset)
    done = update(dataset, Wanted("other", VoxelSize((None, None, 40)), max_id=7000), JOBS)
    assert told(done) == [
        ("largest_segment_id", "labels", "249", "7000"),
        ("name", None, "ds", "other"),
        ("voxel_size", None, "4 x 4 x 35 nm", "4 x 4 x 40 nm"),
    ]
    before["id"]["name"], before["scale"]["factor"][2] = "other", 40
    before["dataLayers"][1]["largestSegmentId"] = 7000
    assert properties(dataset) == before


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["threads", "multiprocessing", "sequential"])
def test_the_largest_id_is_exact_to_the_last_bit(tmp_path, strategy):
    ids = np.ones((1, 100, 70, 40), np.uint64)
    ids[0, 77, 3, 39] = 2**53 + 1
    write_by_wkw(tmp_path / "ds/labels/1", ids, file_len=1)
    update(tmp_path / "ds", Wanted(voxel_size=SIZE, compute_max_id=True), replace(JOBS, strategy=strategy))
    assert layers_of(tmp_path / "ds")["labels"]["largestSegmentId"] == 2**53 + 1


def test_labels_that_are_all_zero_have_no_largest_id(dataset):
    shutil.rmtree(dataset / "labels/1")
    write_by_wkw(dataset / "labels/1", np.zeros((1, 9, 9, 9), np.uint32))
    update(dataset, Wanted(compute_max_id=True), JOBS)
    assert layers_of(dataset)["labels"]["largestSegmentId"] is None
    edit(dataset, lambda top, layer: top["dataLayers"][1].pop("largestSegmentId"))
    done = update(dataset, Wanted(compute_max_id=True), JOBS)
    assert (done.written, done.changes) == (False, [])


def test_an_id_needs_one_layer_that_it_fits(dataset):
    with pytest.raises(OptionError, match="needs a segmentation layer"):
        update(dataset, Wanted(layers=["em"], compute_max_id=True), JOBS)
    update(dataset, Wanted(layers=["em"], category="segmentation"), JOBS)
    with pytest.raises(OptionError, match="fits one segmentation layer") as caught:
        update(dataset, Wanted(max_id=3), JOBS)
    assert "em, labels" in caught.value.why
    update(dataset, Wanted(layers=["em"], max_id=3), JOBS)
    assert layers_of(dataset)["em"]["largestSegmentId"] == 3


def test_a_category_brings_and_takes_what_only_labels_have(dataset):
    update(dataset, Wanted(layers=["labels"], category="color"), JOBS)
    assert not {"largestSegmentId", "mappings"} & layers_of(dataset)["labels"].keys()
    update(dataset, Wanted(layers=["labels"], category="segmentation", compute_max_id=True), JOBS)
    assert (layers_of(dataset)["labels"]["largestSegmentId"], layers_of(dataset)["labels"]["mappings"]) == (249, [])


def test_extents_are_measured_anew_where_they_lie(tmp_path):
    data = np.ones((2, 30, 30, 30), np.float32)
    write_by_wkw(tmp_path / "ds/em/1", data, (40, 50, 60), file_len=1)
    update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    edit(tmp_path / "ds", lambda top, layer: layer["boundingBox"].update(topLeft=[0, 0, 0], width=500))
    done = update(tmp_path / "ds", Wanted(extent=True), JOBS)
    assert told(done) == [("bounding_box", "em", "x 0:500, y 0:30, z 0:30", "x 40:70, y 50:80, z 60:90")]
    assert box_of(tmp_path / "ds", "em") == Box((40, 50, 60), (30, 30, 30))


def test_a_coarse_mag_that_says_the_same_changes_no_extent(tmp_path):
    write_by_wkw(tmp_path / "ds/em/2", np.ones((1, 9, 9, 9), np.uint8))
    update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    assert box_of(tmp_path / "ds", "em") == Box((0, 0, 0), (18, 18, 18))
    edit(tmp_path / "ds", lambda top, layer: layer["boundingBox"].update(width=17))
    assert update(tmp_path / "ds", Wanted(extent=True), JOBS).changes == []
    edit(tmp_path / "ds", lambda top, layer: layer["boundingBox"].update(width=16))
    assert len(update(tmp_path / "ds", Wanted(extent=True), JOBS).changes) == 1


def test_the_extent_of_nothing_stays(tmp_path):
    write_by_wkw(tmp_path / "ds/em/1", np.ones((1, 9, 9, 9), np.uint8))
    update(tmp_path / "ds", Wanted(voxel_size=SIZE), JOBS)
    shutil.rmtree(tmp_path / "ds/em/1")
    write_by_wkw(tmp_path / "ds/em/1", np.zeros((1, 9, 9, 9), np.uint8))
    done = update(tmp_path / "ds", Wanted(extent=True), JOBS)
    assert (done.changes, len(done.notes)) == ([], 1)


# --- the command -----------------------------------------------------------------------------------------------------


def run(*args):
    return CliRunner().invoke(app, ["metadata", *map(str, args)])


def test_a_dry_run_writes_nothing(tmp_path):
    write_by_wkw(tmp_path / "ds/em/1", np.ones((1, 9, 9, 9), np.uint8))
    result = run(tmp_path / "ds", "--voxel-size", "4,4,35", "--dry-run")
    assert result.exit_code == 0
    assert "voxel size added: 4 x 4 x 35 nm" in result.stdout
    assert "not written" in result.stdout
    assert [path.name for path in (tmp_path / "ds").iterdir()] == ["em"]


def test_the_command_tells_what_changes(dataset):
    result = run(dataset, "--max-id", "7", "--json")
    assert json.loads(result.stdout) == {
        "path": str(dataset),
        "created": False,
        "written": True,
        "changes": [{"what": "largest_segment_id", "layer": "labels", "old": "249", "new": "7"}],
        "notes": [],
        "warnings": [],
    }
    assert "labels: largest segment id: 7 becomes 249" in run(dataset, "--compute-max-id").stdout
    assert run(dataset, "--quiet").stdout == ""
    assert "up to date" in run(dataset).stdout
    assert run(dataset, "--max-id", "0").exit_code == 2


@pytest.mark.parametrize("unit", ["nm", "mm"])
def test_a_unit_alone_is_refused(dataset, unit):
    write_by_wkw(dataset / "em/4-4-1", np.ones((1, 18, 15, 40), np.uint8))
    before = properties(dataset)
    result = CliRunner().invoke(app, ["metadata", str(dataset), "--unit", unit])
    assert isinstance(result.exception, OptionError)
    assert f"--unit {unit} means nothing without --voxel-size" in str(result.exception)
    assert properties(dataset) == before


# --- others at the same time -----------------------------------------------------------------------------------------


def test_what_changes_before_the_dataset_is_ours_is_kept(dataset, monkeypatch):
    def late(dst):
        edit(dataset, lambda top, layer: (top.update(mine=1), layer["mags"].pop()))
        return locked(dst)

    monkeypatch.setattr("wkconvert_core.commands.metadata.locked", late)
    update(dataset, Wanted("other"), JOBS)
    found = properties(dataset)
    assert (found["mine"], found["id"]["name"], len(found["dataLayers"][0]["mags"])) == (1, "other", 1)


def test_what_is_edited_while_voxels_are_read_is_kept_and_nothing_is_read_twice(dataset, monkeypatch):
    looked = []

    def slow(place, *rest, **options):
        looked.append((place.title, options["outline"]))
        edit(dataset, lambda top, layer: (top.update(mine=len(looked)), layer.update(yours=2)))
        return find_contents(place, *rest, **options)

    update(dataset, Wanted(max_id=7), JOBS)
    monkeypatch.setattr("wkconvert_core.commands.metadata_entries.find_contents", slow)
    done = update(dataset, Wanted(extent=True, compute_max_id=True), JOBS)
    assert sorted(looked) == [("em mag 1", True), ("labels mag 1", False), ("labels mag 1", True)]
    assert told(done) == [("largest_segment_id", "labels", "7", "249")]
    found = properties(dataset)
    assert (found["mine"], found["dataLayers"][0]["yours"]) == (3, 2)
    assert found["dataLayers"][1]["largestSegmentId"] == 249


def test_metadata_that_somebody_made_meanwhile_are_kept(tmp_path, monkeypatch):
    dataset = tmp_path / "ds"
    write_by_wkw(dataset / "em/1", np.ones((1, 9, 9, 9), np.uint8))
    update(dataset, Wanted("theirs", SIZE), JOBS)
    theirs = (dataset / PROPERTIES).read_text()
    (dataset / PROPERTIES).unlink()

    def slow(*rest, **options):
        (dataset / PROPERTIES).write_text(theirs)
        return find_contents(*rest, **options)

    monkeypatch.setattr("wkconvert_core.commands.metadata_entries.find_contents", slow)
    done = update(dataset, Wanted(voxel_size=SIZE), JOBS)
    assert (done.created, done.written, properties(dataset)["id"]["name"]) == (False, False, "theirs")


def test_what_a_killed_run_left_is_swept_away(dataset):
    left = dataset / f".{PROPERTIES}.123.tmp"
    left.write_text("{")
    update(dataset, Wanted(dry_run=True), JOBS)
    assert left.exists()
    update(dataset, Wanted(), JOBS)
    assert not left.exists()


def test_another_writer_is_kept_out(dataset):
    with locked(dataset), pytest.raises(TargetLocked):
        update(dataset, Wanted("x"), JOBS)


@needs_peer
def test_webknossos_opens_what_was_made(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.integers(1, 200, (3, 50, 60, 70)).astype(np.uint8)
    write_by_wkw(tmp_path / "ds/em/1", data, (33, 5, 0))
    write_by_wkw(tmp_path / "ds/labels/2", rng.integers(1, 2**40, (1, 50, 60, 70)).astype(np.uint64))
    update(tmp_path / "ds", Wanted(voxel_size=SIZE, compute_max_id=True), JOBS)
    ask = (
        "import sys, json, webknossos as wk; d = wk.Dataset.open(sys.argv[1]);"
        "print(json.dumps([[n, la.category, str(la.bounding_box.topleft), int(la.get_finest_mag().read().sum()),"
        " getattr(la, 'largest_segment_id', None)] for n, la in sorted(d.layers.items())]))"
    )
    done = subprocess.run([PEER, "-W", "ignore", "-c", ask, str(tmp_path / "ds")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    em, labels = json.loads(done.stdout.splitlines()[-1])
    assert em[:2] == ["em", "color"]
    assert em[3] == int(data.sum())
    assert labels[4] == layers_of(tmp_path / "ds")["labels"]["largestSegmentId"]
