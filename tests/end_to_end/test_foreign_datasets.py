"""Datasets by us, in the form of 2021 and by the peer go through every command, and stay what they are."""

import contextlib
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.conversions import PROPERTIES, properties
from helpers.datasets import (
    LAYERS,
    assert_facts,
    blocks,
    box_of,
    dashed,
    entries,
    facts,
    folder_of,
    make_older,
    make_ours,
    make_peers,
    median_of,
    mode_of,
    needs_peer,
    peer,
    put_mag,
    read_by_wkw,
    run,
)

from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import noise

__all__ = ["peer"]  # a fixture

pytest.importorskip("wkw")
pytestmark = pytest.mark.slow
needs_tiff = pytest.mark.skipif("tiff" not in plugins().formats(), reason="wkconvert-tiff is not installed")
MAKERS = ["ours", "ours, raw", "older", pytest.param("peer", marks=needs_peer)]


@pytest.fixture(scope="module", params=MAKERS)
def made(request, tmp_path_factory, peer):
    """A dataset that tests only read, and what is in it."""
    folder = tmp_path_factory.mktemp("made") / "ds"
    if request.param.startswith("ours"):
        make_ours(folder, compression="none" if "raw" in request.param else "auto")
    else:
        make_older(folder) if request.param == "older" else make_peers(folder, peer)
    return folder, facts(folder)


@pytest.fixture
def dataset(made, tmp_path):
    """A copy of it to be changed."""
    return Path(shutil.copytree(made[0], tmp_path / "ds"))


def seen(dataset, expected, peer):
    """What is expected is there, by wkw and by the peer, which opens no `uint24` without `numChannels`."""
    assert_facts(dataset, expected)
    if peer is None:
        return
    older = [each for each in properties(dataset)["dataLayers"] if each["elementClass"] == "uint24"]
    if all("numChannels" in each for each in older):
        assert peer.facts(dataset) == expected
        return
    view = dataset.with_name(f"{dataset.name}-for-the-peer")
    view.mkdir()
    for name in entries(dataset):
        (view / name).symlink_to(dataset / name)
    told = properties(dataset)
    told["dataLayers"] = [{**each, "numChannels": 3} if each in older else each for each in told["dataLayers"]]
    (view / PROPERTIES).write_text(json.dumps(told))
    assert peer.facts(view) == expected
    shutil.rmtree(view)


def contents(dataset):
    """All files but the record of runs."""
    files = (path for path in dataset.rglob("*") if path.is_file() and ".wkconvert" not in path.parts)
    return {str(path.relative_to(dataset)): path.read_bytes() for path in files}


def kinds(dataset):
    """The block types of all mags: 1 is raw."""
    return {path.read_bytes()[5] for path in dataset.rglob("header.wkw")}


def header_of(dataset, name, mag):
    return (folder_of(dataset, name, mag) / "header.wkw").read_bytes()


def mags_of(layer):
    """The mags of a layer as its metadata list them, in either form."""
    return layer.get("mags", layer.get("wkwResolutions"))


def without_lengths(dataset):
    """The metadata but for the length of shards."""
    told = properties(dataset)
    for layer in told["dataLayers"]:
        for mag in mags_of(layer):
            del mag["cubeLength"]
    return told


def assert_lengths(dataset):
    """The metadata tell the length that each mag's shards have."""
    listed = {
        layer["name"]: [mag["cubeLength"] for mag in mags_of(layer)] for layer in properties(dataset)["dataLayers"]
    }
    for name, entry in entries(dataset).items():
        assert listed[name] == [32 << (header_of(dataset, name, mag)[4] >> 4) for mag, _ in entry["mags"]]


def kernels(dataset, *options):
    """By which kernel `verify` finds each mag to be made, where that is known."""
    told = json.loads(run("verify", dataset, "--json", *options))
    return {(mag["layer"], mag["mag"]): mag["kernel"] for mag in told["mags"]}


@contextlib.contextmanager
def one_bit_flipped(folder, place):
    """While it lasts, one voxel of a raw mag in shards of one block is another."""
    x, y, z = (a // 32 for a in place)
    path, (i, j, k) = folder / f"z{z}" / f"y{y}" / f"x{x}.wkw", (a % 32 for a in place)
    content = path.read_bytes()
    at = 16 + ((k * 32 + j) * 32 + i) * content[7]
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    yield
    path.write_bytes(content)


# --- before ----------------------------------------------------------------------------------------------------------


def test_every_dataset_is_what_it_was_made_of(made, peer):
    dataset, found = made
    assert found["size"] == [11.24, 11.24, 28.0]
    assert all(layer["box"][:3] != [0, 0, 0] for layer in found["layers"].values())
    if "color" in found["layers"]:
        np.testing.assert_array_equal(read_by_wkw(dataset, "color"), noise(3, 70, 61, 45))
        assert list(found["layers"]["color"]["mags"]) == ["1-1-1", "2-2-2", "4-4-2"]
    else:
        for name in found["layers"]:
            np.testing.assert_array_equal(read_by_wkw(dataset, name), LAYERS[name][0])
            assert found["layers"][name]["box"][:3] == list(LAYERS[name][2])
    seen(dataset, found, peer)


# --- the commands ----------------------------------------------------------------------------------------------------


def test_downsample_adds_mags_as_they_are_defined_and_leaves_the_others(made, dataset, peer):
    before = contents(dataset)
    run("downsample", dataset, "--max-mag", 8)
    after = contents(dataset)
    assert {name for name in before if after[name] != before[name]} <= {PROPERTIES}
    found, added = facts(dataset), 0
    for name, entry in entries(dataset).items():
        mags = [mag for mag, _ in entry["mags"]]
        assert mags == sorted(mags)
        assert max(mags[-1]) == 8
        for finer, mag in pairwise(mags):
            if dashed(mag) in made[1]["layers"][name]["mags"]:
                continue
            factor = tuple(b // a for a, b in zip(finer, mag, strict=True))
            cells = blocks(read_by_wkw(dataset, name, finer), box_of(entry, finer)[0], factor)
            expected = (median_of if entry["category"] == "color" else mode_of)(cells)
            np.testing.assert_array_equal(read_by_wkw(dataset, name, mag), expected)
            found["layers"][name]["mags"].pop(dashed(mag))
            added += 1
    assert added > 1
    assert found == made[1]
    known, before = kernels(dataset), kernels(made[0])
    assert all(known[key] for key in known.keys() - before.keys())
    assert {key: known[key] for key in before} == before
    seen(dataset, facts(dataset), peer)
    assert all("numChannels" in layer for layer in properties(dataset)["dataLayers"])


def test_compress_in_place_leaves_the_voxels_and_the_metadata(made, dataset, peer):
    before = without_lengths(dataset)
    run("compress", dataset)
    assert 1 not in kinds(dataset)
    assert without_lengths(dataset) == before
    assert_lengths(dataset)
    seen(dataset, made[1], peer)
    assert kernels(dataset) == kernels(made[0])


def test_compress_to_a_copy_leaves_the_source(made, tmp_path, peer):
    dataset, found = made
    before = contents(dataset)
    run("compress", dataset, tmp_path / "copy")
    assert contents(dataset) == before
    assert 1 not in kinds(tmp_path / "copy")
    seen(tmp_path / "copy", found, peer)
    for name, entry in entries(dataset).items():
        for mag, _ in entry["mags"]:
            assert header_of(tmp_path / "copy", name, mag)[4] <= header_of(dataset, name, mag)[4]
    assert_lengths(tmp_path / "copy")
    run("check-equality", dataset, tmp_path / "copy")
    assert kernels(tmp_path / "copy") == kernels(dataset)


@pytest.mark.parametrize("options", [("--file-len", 1), ("--file-len", 4, "--no-compress"), ()])
def test_recube_changes_the_shards_alone(made, tmp_path, peer, options):
    dataset, found = made
    run("recube", dataset, tmp_path / "copy", *options)
    seen(tmp_path / "copy", found, peer)
    assert (kinds(tmp_path / "copy") == {1}) == ("--no-compress" in options)
    if options:
        lengths = {path.read_bytes()[4] >> 4 for path in (tmp_path / "copy").rglob("header.wkw")}
        assert lengths == {(options[1]).bit_length() - 1}
    assert_lengths(tmp_path / "copy")
    run("check-equality", dataset, tmp_path / "copy")
    assert kernels(tmp_path / "copy", "--deep") == kernels(dataset)


def test_shards_as_long_as_wkcuber_wrote_them_are_recubed_and_compressed(tmp_path, peer):
    dataset = make_older(tmp_path / "ds", file_len=32)
    found = facts(dataset)
    run("recube", dataset, tmp_path / "copy")
    seen(tmp_path / "copy", found, peer)
    run("check-equality", dataset, tmp_path / "copy")
    run("compress", dataset)
    seen(dataset, found, peer)
    run("check-equality", dataset, tmp_path / "copy")


def test_recube_to_another_dtype_keeps_the_values(made, tmp_path, peer):
    dataset, found = made
    name = "color" if "color" in found["layers"] else "em"
    run("recube", dataset, tmp_path / "copy", "--dtype", "uint16", "--layer-name", name)
    assert list(facts(tmp_path / "copy")["layers"]) == [name]
    for mag, _ in entries(dataset)[name]["mags"]:
        np.testing.assert_array_equal(read_by_wkw(tmp_path / "copy", name, mag), read_by_wkw(dataset, name, mag))
    seen(tmp_path / "copy", facts(tmp_path / "copy"), peer)


def test_upsample_repeats_the_voxels_of_a_coarser_mag(made, tmp_path, peer):
    dataset, found = made
    name = "segmentation" if "segmentation" in found["layers"] else "ids"
    mag = entries(dataset)[name]["mags"][1][0]
    run("recube", dataset, tmp_path / "copy", "--layer-name", name, "--mag", dashed(mag))
    run("upsample", tmp_path / "copy", "--layer-name", name)
    run("verify", tmp_path / "copy", "--deep")
    start, shape = box_of(entries(dataset)[name])
    data = read_by_wkw(dataset, name, mag)
    for axis, m in enumerate(mag, 1):
        first, n = start[axis - 1] % m, shape[axis - 1]
        data = data.repeat(m, axis).take(range(first, first + n), axis)
    np.testing.assert_array_equal(read_by_wkw(tmp_path / "copy", name), data)
    np.testing.assert_array_equal(read_by_wkw(tmp_path / "copy", name, mag), read_by_wkw(dataset, name, mag))
    seen(tmp_path / "copy", facts(tmp_path / "copy"), peer)


def test_metadata_that_are_brought_up_to_date_say_the_same(made, dataset, peer):
    run("metadata", dataset)
    seen(dataset, made[1], peer)


def test_a_raw_cube_of_1024_is_compressed(tmp_path, peer):
    """As wkcuber left them before `compress`: 1 GiB, of which hardly anything is on the disk."""
    dataset, start, data = tmp_path / "ds", (1000, 3, 7), noise(1, 60, 50, 40)
    put_mag(dataset / "color" / "1", data, start, 32, 1)
    box = {"topLeft": start, "width": 60, "height": 50, "depth": 40}
    listed = {"name": "color", "category": "color", "elementClass": "uint8", "boundingBox": box, "dataFormat": "wkw"}
    listed["wkwResolutions"] = [{"resolution": 1, "cubeLength": 1024}]
    top = {"id": {"name": "ds", "team": ""}, "scale": [4, 4, 35], "dataLayers": [listed]}
    (dataset / PROPERTIES).write_text(json.dumps(top))
    expected = facts(dataset)
    run("compress", dataset, tmp_path / "copy")
    run("compress", dataset)
    for folder in (dataset, tmp_path / "copy"):
        seen(folder, expected, peer)
        assert_lengths(folder)
        assert kinds(folder) == {2}
        np.testing.assert_array_equal(read_by_wkw(folder, "color"), data)
        run("verify", folder, "--quiet")


def test_verify_reads_every_shard_and_changes_nothing(made, dataset):
    before = contents(dataset)
    told = json.loads(run("verify", dataset, "--json", "--deep"))
    assert told["sound"]
    assert contents(dataset) == before
    mags = {(name, mag) for name, layer in made[1]["layers"].items() for mag in layer["mags"]}
    assert len(told["mags"]) == len(mags)
    assert sum(mag["shards"] for mag in told["mags"]) == len(list(dataset.rglob("x*.wkw")))
    ours = (dataset / ".wkconvert").exists()
    assert all((mag["checksums_compared"] == mag["shards"]) == ours for mag in told["mags"])


def test_checksums_that_are_written_find_a_flipped_bit_in_any_mag(made, dataset, peer):
    run("verify", dataset, "--write-checksums")
    seen(dataset, made[1], peer)
    told = json.loads(run("verify", dataset, "--json"))
    assert all(mag["checksums_compared"] == mag["shards"] > 0 for mag in told["mags"])
    for folder in sorted(path.parent for path in dataset.rglob("header.wkw")):
        shard = min(folder.rglob("x*.wkw"))
        content = shard.read_bytes()
        place = len(content) // 2
        shard.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        told = json.loads(
            run("verify", dataset, "--json", "--layer-name", folder.parent.name, "--mag", folder.name, code=1)
        )
        assert [each["path"] for each in told["damaged"]] == [str(shard)]
        shard.write_bytes(content)
    run("verify", dataset, "--quiet")


def test_checksums_that_are_added_later_do_not_bring_back_those_of_replaced_shards(made, dataset):
    shutil.rmtree(dataset / ".wkconvert", ignore_errors=True)
    run("verify", dataset, "--write-checksums", "--mag", 1)
    run("compress", dataset, "--mag", 1)
    for _ in range(2):
        told = json.loads(run("verify", dataset, "--write-checksums", "--json"))
        assert all(mag["checksums_compared"] == mag["shards"] or mag["checksums_written"] for mag in told["mags"])


def test_check_equality_finds_one_voxel_in_any_layer_and_mag(made, dataset, tmp_path):
    original, found = made
    run("recube", original, tmp_path / "raw", "--no-compress", "--file-len", 1)
    run("check-equality", original, tmp_path / "raw")
    for name, layer in found["layers"].items():
        for text in layer["mags"]:
            mag = tuple(map(int, text.split("-")))
            place = box_of(entries(original)[name], mag)[0]
            with one_bit_flipped(folder_of(tmp_path / "raw", name, mag), place):
                told = json.loads(run("check-equality", original, tmp_path / "raw", "--json", code=1))
                (differing,) = [each for each in told["mags"] if each["differing"]]
                assert (differing["layer"], differing["differing"]) == (name, 1)
                assert (tuple(differing["first"]["place"]), differing["first"]["channel"]) == (place, 0)
    run("check-equality", original, tmp_path / "raw", "--quiet")


@needs_tiff
def test_what_is_exported_is_read_again_with_voxels_and_voxel_size(made, tmp_path, peer):
    dataset, found = made
    for name, layer in found["layers"].items():
        for text in layer["mags"]:
            out, back, mag = (
                tmp_path / f"{name}-{text}",
                tmp_path / f"{name}-{text}-back",
                tuple(map(int, text.split("-"))),
            )
            run("export-tiff", dataset, out, "--layer-name", name, "--mag", text)
            run("auto", out, back, "--category", layer["category"], "--layer-name", name, "--no-downsample")
            np.testing.assert_array_equal(read_by_wkw(back, name), read_by_wkw(dataset, name, mag))
            told = facts(back)
            assert told["size"] == [round(a * m, 6) for a, m in zip(found["size"], mag, strict=True)]
            assert {key: told["layers"][name][key] for key in ("dtype", "channels", "category")} == {
                key: layer[key] for key in ("dtype", "channels", "category")
            }
            seen(back, told, peer)


def test_info_tells_layers_mags_and_voxel_size(made):
    dataset, found = made
    told = json.loads(run("info", dataset, "--json"))
    assert [layer["name"] for layer in told["layers"]] == list(found["layers"])
    listed = {name: list(layer["mags"]) for name, layer in found["layers"].items()}
    stored = {name: [] for name in listed}
    for mag in told["stored"]:
        layer, numbers = found["layers"][mag["layer"]], [int(n) for n in mag["mag"].split("-")]
        numbers = numbers * 3 if len(numbers) == 1 else numbers
        stored[mag["layer"]].append(dashed(numbers))
        assert (mag["dtype"], mag["channels"]) == (layer["dtype"], layer["channels"])
        start, shape = box_of(entries(dataset)[mag["layer"]], numbers)
        assert (tuple(mag["top_left"]), tuple(mag["shape"])) == (start, shape)
        unit = {"nm": 1, "µm": 1e3}[mag["voxel_size"]["unit"]]
        size = [round(side * unit, 6) for side in mag["voxel_size"]["size"]]
        assert size == [round(a * n, 6) for a, n in zip(found["size"], numbers, strict=True)]
        assert mag["problem"] is None
    assert stored == listed


def test_layers_of_other_formats_stay_and_the_others_go_through(tmp_path):
    data, category, start = LAYERS["em"]
    dataset = make_ours(tmp_path / "ds", {"em": (data, category, start)}, compression="none")
    (dataset / "other" / "1").mkdir(parents=True)
    (dataset / "other" / "1" / "attributes.json").write_text("{}")
    told = properties(dataset)
    other = {**told["dataLayers"][0], "name": "other", "dataFormat": "n5", "mags": [{"mag": [1, 1, 1]}]}
    (dataset / PROPERTIES).write_text(json.dumps({**told, "dataLayers": [*told["dataLayers"], other]}))
    for command in (("downsample", "--max-mag", 4), ("compress",), ("verify", "--write-checksums"), ("metadata",)):
        run(command[0], dataset, *command[1:])
        assert properties(dataset)["dataLayers"][1] == other
    for command in ("recube", "compress"):
        told = json.loads(run(command, dataset, tmp_path / command, "--json"))
        assert "n5" in str(told["warnings"])
        assert list(entries(tmp_path / command)) == ["em"]
        np.testing.assert_array_equal(read_by_wkw(tmp_path / command, "em"), data)
        run("check-equality", dataset, tmp_path / command, "--layer-name", "em")


def test_all_commands_one_after_another(made, dataset, tmp_path, peer):
    run("downsample", dataset, "--max-mag", 4, "--no-compress")
    expected = facts(dataset)
    run("verify", dataset, "--write-checksums")
    for mag in ("1", None):
        run("compress", dataset, *["--mag", mag] * (mag is not None))
        seen(dataset, expected, peer)
        told = json.loads(run("verify", dataset, "--json", "--write-checksums"))
        assert all(each["checksums_compared"] == each["shards"] > 0 for each in told["mags"])
    run("recube", dataset, tmp_path / "raw", "--no-compress")
    run("compress", tmp_path / "raw")
    run("compress", tmp_path / "raw", tmp_path / "copy", "--compression", "lz4hc")
    for folder in (tmp_path / "raw", tmp_path / "copy"):
        seen(folder, expected, peer)
        run("check-equality", dataset, folder, "--quiet")
        told = json.loads(run("verify", folder, "--json", "--deep"))
        assert all(each["checksums_compared"] == each["shards"] > 0 for each in told["mags"])
