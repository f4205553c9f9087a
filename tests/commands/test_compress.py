"""Compressing in place: the same voxels, less space, and nothing lost wherever it is interrupted."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.conversions import (
    JOBS,
    PROPERTIES,
    SETTINGS,
    carry_out,
    edited,
    every_mag,
    files,
    layers_of,
    random_voxels,
)

from wkconvert_core import Mag
from wkconvert_core.commands.check_equality import check_equality
from wkconvert_core.commands.compress import finish, prepare
from wkconvert_core.commands.downsample import prepare as prepare_downsample
from wkconvert_core.commands.metadata import Wanted, update
from wkconvert_core.commands.recube import prepare as recube
from wkconvert_core.commands.verify import verify
from wkconvert_core.contract.errors import BrokenSource, DamagedData, TargetError, TargetExists, TargetLocked
from wkconvert_core.conversion.execute import convert, execute
from wkconvert_core.datasets.dataset import COMPRESSED, is_half_compressed
from wkconvert_core.datasets.records.journal import Journal
from wkconvert_core.datasets.records.lock import locked
from wkconvert_core.toolkit.byte_sizes import size_text


def raw_layers(folder, reader):
    reader(folder / "src" / "em", random_voxels((100, 90, 40)) // 64)
    reader(folder / "src" / "labels", random_voxels((100, 90, 40), dtype="uint32") // 64)
    convert(folder / "src", folder / "ds", replace(SETTINGS, compression="none"))


@pytest.fixture
def raw(tmp_path, reader, put_copy):
    put_copy(raw_layers, tmp_path)
    return tmp_path / "ds"


def compress(dataset, settings=JOBS, **options):
    finish(dataset)
    return carry_out(prepare(dataset, None, settings, **options))


class Stopped(Exception):
    """Stands for a kill."""


def stopped_at(count, monkeypatch, action):
    """Do it, but stop at the n-th renaming of a folder; returns whether it came to that."""
    left = [count]

    def rename(self, target, really=Path.rename):
        left[0] -= 1
        if left[0] == 0:
            raise Stopped
        return really(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        try:
            action()
        except Stopped:
            return True
    return False


def downsample(dataset):
    return prepare_downsample(dataset, JOBS)


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.wkw"))


def kinds(dataset):
    return {str(path.parent.relative_to(dataset)): path.read_bytes()[5] for path in dataset.rglob("header.wkw")}


def test_the_voxels_stay_and_the_space_is_freed(tmp_path, raw):
    expected, before, metadata = every_mag(raw), size(raw), layers_of(raw)
    notes = compress(raw).notes
    assert set(kinds(raw).values()) == {2, 3}
    assert before > size(raw)
    assert notes[0] == f"{size_text(before - size(raw))} saved"
    found = every_mag(raw)
    assert found.keys() == expected.keys()
    for key, whole in expected.items():
        np.testing.assert_array_equal(found[key], whole)
    assert layers_of(raw) == metadata
    assert [path.name for path in raw.rglob("*compressed*")] == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [".src.log"] * (
        tmp_path / ".src.log"
    ).exists()


def test_what_is_compressed_is_left_alone(raw):
    compress(raw, names=["em"], mags=[Mag(1, 1, 1)])
    assert {name for name, kind in kinds(raw).items() if kind != 1} == {"em/1"}
    before = {name: (raw / "em" / "1" / name).stat().st_ino for name in files(raw / "em" / "1")}
    compress(raw)
    assert before == {name: (raw / "em" / "1" / name).stat().st_ino for name in before}
    assert 1 not in kinds(raw).values()
    assert compress(raw).conversion.steps == []


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", range(1, 14))
def test_a_move_that_is_interrupted_is_finished_by_the_next_run(raw, killed_at, monkeypatch):
    expected = every_mag(raw)
    assert stopped_at(killed_at, monkeypatch, lambda: compress(raw))
    assert is_half_compressed(raw)
    for other in (verify, downsample, lambda path: update(path, Wanted()), lambda path: check_equality(path, path)):
        with pytest.raises(BrokenSource, match="not finished") as caught:
            other(raw)
        assert "wkconvert compress" in caught.value.fix
    assert "saved" in finish(raw) or killed_at > 11
    assert not is_half_compressed(raw)
    assert list((raw / ".wkconvert").glob("compressed*")) == []
    found = every_mag(raw)
    assert found.keys() == expected.keys()
    for key, whole in expected.items():
        np.testing.assert_array_equal(found[key], whole)
    assert 1 not in kinds(raw).values()
    assert verify(raw).sound


@pytest.mark.slow
def test_an_interrupted_run_goes_on_in_a_dataset_that_was_moved(raw, monkeypatch):
    expected, real, count = every_mag(raw), Journal.add, []

    def stops(self, done):
        real(self, done)
        count.append(done)
        if len(count) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", stops)
        with pytest.raises(KeyboardInterrupt):
            compress(raw)
    moved = raw.rename(raw.with_name("moved"))
    assert compress(moved).resumed >= 2
    found = every_mag(moved)
    for key, whole in expected.items():
        np.testing.assert_array_equal(found[key], whole)
    assert 1 not in kinds(moved).values()
    assert verify(moved).sound


@pytest.mark.parametrize("first", [True, False])
def test_what_a_kill_leaves_of_the_moves_is_swept_by_the_next_compress(raw, first):
    """Also after the last of them, when nothing is left to be moved."""
    if not first:
        compress(raw)
    before = files(raw)
    for left in (
        ".wkconvert/.compressed.0a.tmp/em/1/header.wkw",
        ".wkconvert/.em.compress.plan.0b.tmp",
        f".{PROPERTIES}.0c.tmp",
    ):
        (raw / left).parent.mkdir(parents=True, exist_ok=True)
        (raw / left).write_text("left")
    compress(raw)
    assert not [name for name in files(raw) if ".tmp" in name]
    assert first or files(raw) == before


def test_there_are_no_more_moves_than_those_that_were_interrupted(raw, monkeypatch):
    assert not stopped_at(14, monkeypatch, lambda: compress(raw))


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
def test_what_was_written_to_a_mag_meanwhile_is_not_lost(raw, monkeypatch, older):
    assert stopped_at(1, monkeypatch, lambda: compress(raw))
    shard = raw / "em" / "1" / "z0" / "y0" / "x0.wkw"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    if older:  # a backup, put back with its times
        os.utime(shard, (1, 1))
    with pytest.raises(TargetError, match="em/1 has changed") as caught:
        finish(raw)
    assert shard.read_bytes() == content
    assert str(raw / COMPRESSED) in caught.value.fix
    shutil.rmtree(raw / COMPRESSED)
    with pytest.raises(DamagedData, match="as recorded"):
        compress(raw)
    assert shard.read_bytes() == content
    shutil.rmtree(raw / ".wkconvert")
    before = every_mag(raw)
    compress(raw)
    np.testing.assert_equal(every_mag(raw), before)


@pytest.mark.slow
def test_what_another_request_has_begun_is_named_with_a_remedy(raw):
    def stopping(progress):
        if progress.voxels:
            raise Stopped

    with pytest.raises(Stopped):
        execute(prepare(raw, None, JOBS), stopping)
    assert not is_half_compressed(raw)
    assert verify(raw).sound
    with pytest.raises(TargetExists, match="another") as caught:
        prepare(raw, None, replace(JOBS, compression="lz4hc", compression_level=9))
    assert f"remove {raw / COMPRESSED}" in caught.value.fix
    assert "saved" in compress(raw).notes[0]


def test_a_mag_that_is_a_link_becomes_a_folder_and_nothing_is_called_saved(raw, tmp_path):
    before = every_mag(raw)
    (raw / "em/1").rename(raw / "elsewhere")
    (raw / "em/1").symlink_to(raw / "elsewhere")
    notes = compress(raw, names=["em"], mags=[Mag(1, 1, 1)]).notes
    assert "more than before" in notes[0]
    assert not (raw / "em/1").is_symlink()
    np.testing.assert_equal(every_mag(raw), before)


@pytest.mark.slow
def test_every_run_keeps_what_earlier_ones_recorded(raw):
    for mags in ([Mag(1, 1, 1)], [Mag(2, 2, 1)], []):
        compress(raw, mags=mags)
        found = verify(raw)
        assert found.sound
        assert all(mag.checksums_compared == mag.shards for mag in found.mags)
        assert [mag.kernel for mag in found.mags] == [None, "median", "median", None, "mode", "mode"]


def test_a_copy_has_all_layers_compressed_in_shards_of_the_same_length(tmp_path, raw):
    conversion = prepare(raw, tmp_path / "copy", JOBS)
    carry_out(conversion)
    assert 1 in kinds(raw).values()
    assert 1 not in kinds(tmp_path / "copy").values()
    sides = [mag["cubeLength"] for layer in layers_of(raw).values() for mag in layer["mags"]]
    assert [mag["cubeLength"] for layer in layers_of(tmp_path / "copy").values() for mag in layer["mags"]] == sides


def test_datasets_of_the_older_form_stay_in_it(raw):
    file = raw / PROPERTIES
    properties = json.loads(file.read_text())
    for layer in properties["dataLayers"]:
        mags = layer.pop("mags")
        layer["wkwResolutions"] = [{"resolution": mag["mag"], "cubeLength": mag["cubeLength"]} for mag in mags]
    file.write_text(json.dumps(properties))
    shutil.rmtree(raw / ".wkconvert")
    compress(raw)
    assert json.loads(file.read_text()) == properties
    assert 1 not in kinds(raw).values()


def test_nobody_else_writes_the_dataset_meanwhile(raw):
    seen = []

    def listen(progress):
        if not seen:
            with pytest.raises(TargetLocked), locked(raw):
                pass
            seen.append(progress)

    execute(prepare(raw, None, JOBS), listen)
    assert seen


@pytest.mark.slow
def test_shards_become_no_longer_and_at_most_twice_as_long_as_in_a_new_dataset(tmp_path, raw):
    auto = [mag["cubeLength"] for layer in layers_of(raw).values() for mag in layer["mags"]]
    recubed = tmp_path / "large"
    carry_out(recube(raw, recubed, replace(JOBS, file_len=8, compression="none")))
    compress(recubed)
    found = [mag["cubeLength"] for layer in layers_of(recubed).values() for mag in layer["mags"]]
    assert found == [min(2 * side, 256) for side in auto]
    assert verify(recubed).sound
    small = tmp_path / "small"
    carry_out(recube(raw, small, replace(JOBS, file_len=1, compression="none")))
    compress(small)
    assert {mag["cubeLength"] for layer in layers_of(small).values() for mag in layer["mags"]} == {32}


def test_voxels_outside_the_bounding_box_are_not_lost(raw):
    with edited(raw) as properties:
        properties["dataLayers"][0]["boundingBox"]["width"] = 50
    content = {path: path.read_bytes() for path in (raw / "em").rglob("*.wkw")}
    with pytest.raises(TargetError, match="outside its bounding box") as caught:
        compress(raw)
    assert "--extent" in caught.value.fix
    assert content == {path: path.read_bytes() for path in content}
    update(raw, Wanted(extent=True))
    before = every_mag(raw)
    compress(raw)
    np.testing.assert_equal(every_mag(raw), before)


@pytest.mark.parametrize("cut", [False, True])
def test_damage_that_is_recorded_is_not_made_to_look_sound(raw, cut):
    shard = raw / "em/1/z0/y0/x0.wkw"
    content = shard.read_bytes()[:-1]
    shard.unlink()
    if cut:
        shard.write_bytes(content)
    with pytest.raises(DamagedData, match=r"x0\.wkw has .* were recorded"):
        compress(raw)
    assert not verify(raw).sound


def test_what_one_layer_lacks_does_not_keep_another_from_being_compressed(raw):
    shutil.rmtree(raw / "labels/1")
    with pytest.raises(BrokenSource, match=r"labels of .* lacks its finest mag") as caught:
        compress(raw)
    assert "wkconvert metadata" in caught.value.fix
    compress(raw, names=["em"])
    assert {name for name, kind in kinds(raw).items() if kind != 1} == {"em/1", "em/2-2-1", "em/4-4-1"}
