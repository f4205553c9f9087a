"""A run that was refused, or stopped before its first shard was done, is in nobody's way."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.conversions import JOBS, SETTINGS, carry_out, different, edited, em, files, mags_of

from wkconvert_core import Mag
from wkconvert_core.commands.compress import prepare as compress
from wkconvert_core.commands.downsample import prepare as downsample
from wkconvert_core.commands.export import Pictures
from wkconvert_core.commands.export import prepare as export
from wkconvert_core.commands.recube import prepare as recube
from wkconvert_core.commands.upsample import prepare as upsample
from wkconvert_core.contract.errors import ConversionError, TargetExists
from wkconvert_core.conversion.execute import convert
from wkconvert_core.datasets.records.journal import Journal
from wkconvert_core.engine import consumers
from wkconvert_core.registry.plugins import plugins

SMALL = replace(SETTINGS, category="color", file_len=1, downsample=False, strategy="sequential", jobs=1)


@pytest.fixture
def wide(tmp_path, reader):
    """16 bits, of which only the last of many shards needs more than 8."""
    voxels = em((100, 60, 40), dtype="uint16")
    voxels[0, -1, -1, -1] = 300
    return reader(tmp_path / "src" / "wide", voxels)


class Stopped(Exception):
    """Stands for a kill."""


@pytest.fixture
def stops(monkeypatch):
    """Does something that is stopped when its n-th shard is written, without a word to the journal."""

    def stopped(action, after=0):
        left = [after]

        def write(self, box, voxels, really=consumers.WriteShards.__call__):
            if not left[0]:
                raise Stopped
            left[0] -= 1
            return really(self, box, voxels)

        with monkeypatch.context() as patch:
            patch.setattr(consumers.WriteShards, "__call__", write)
            patch.setattr(consumers.WriteShards, "take_encoded", lambda self, box, source: None)
            with pytest.raises(Stopped):
                action()

    return stopped


def lines(dataset):
    return [line for path in dataset.glob(".wkconvert/*.journal") for line in path.read_bytes().splitlines()]


# --- a value that does not fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["auto", "cube"])
@pytest.mark.parametrize("strategy", ["sequential", "threads"])
def test_after_a_value_was_refused_the_corrected_command_is_not(tmp_path, wide, command, strategy):
    narrow = replace(SMALL, dtype="uint8", strategy=strategy, jobs=2, metadata=command == "auto", add=command == "cube")
    with pytest.raises(ConversionError, match="300"):
        convert(wide, tmp_path / "ds", narrow, command=command)
    assert not (tmp_path / "ds").exists()
    clipped = replace(narrow, convert="clip")
    convert(wide, tmp_path / "ds", clipped, command=command)
    convert(wide, tmp_path / "clean", replace(clipped, name="ds"), command=command)
    assert different(tmp_path / "ds", tmp_path / "clean", "*.wkw") == []


def test_in_a_dataset_to_which_layers_are_added_the_others_stay(tmp_path, wide, reader):
    first = reader(tmp_path / "src" / "first", em((40, 30, 20)))
    convert(first, tmp_path / "ds", replace(SMALL, layer_name="first"))
    before = {name: (tmp_path / "ds" / name).read_bytes() for name in files(tmp_path / "ds")}
    for command, metadata in (("auto", True), ("cube", False)):
        added = replace(SMALL, layer_name="wide", dtype="uint8", add=True, metadata=metadata)
        with pytest.raises(ConversionError):
            convert(wide, tmp_path / "ds", added, command=command)
        assert {name: (tmp_path / "ds" / name).read_bytes() for name in files(tmp_path / "ds")} == before
    convert(wide, tmp_path / "ds", replace(SMALL, layer_name="wide", dtype="uint8", convert="clip", add=True))
    assert [mags_of(tmp_path / "ds", name) for name in ("first", "wide")] == [["1-1-1"]] * 2


def test_recube_is_refused_and_corrected(tmp_path, wide):
    convert(wide, tmp_path / "ds", SMALL)
    narrow = replace(JOBS, dtype="uint8")
    with pytest.raises(ConversionError):
        carry_out(recube(tmp_path / "ds", tmp_path / "copy", narrow))
    carry_out(recube(tmp_path / "ds", tmp_path / "copy", replace(narrow, convert="clip")))
    assert mags_of(tmp_path / "copy") == ["1-1-1"]


def test_folders_that_only_a_refused_run_has_made_go_and_others_stay(tmp_path, wide):
    (tmp_path / "mine").mkdir()
    for place in ("a/b/ds", "mine", "mine/c/ds"):
        with pytest.raises(ConversionError):
            convert(wide, tmp_path / place, replace(SMALL, dtype="uint8"))
    assert {path.name for path in tmp_path.iterdir()} == {"src", "mine"}
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.skipif("tiff" not in plugins().formats(), reason="wkconvert-tiff is not installed")
def test_of_files_that_lie_side_by_side_a_refused_run_says_what_to_remove(tmp_path, wide):
    tiff = replace(SMALL, dtype="uint8", to="tiff", compression=None, file_len=None)
    with pytest.raises(ConversionError, match=r"before that, remove .*ds with what was written of it: ds_0") as caught:
        convert(wide, tmp_path / "ds", tiff)
    assert "--convert clip" in caught.value.fix
    assert any((tmp_path / "ds").iterdir())
    shutil.rmtree(tmp_path / "ds")
    convert(wide, tmp_path / "ds", replace(tiff, convert="clip"))


def test_with_overwrite_the_old_dataset_stays(tmp_path, wide):
    convert(wide, tmp_path / "ds", SMALL)
    before = {name: (tmp_path / "ds" / name).read_bytes() for name in files(tmp_path / "ds")}
    with pytest.raises(ConversionError):
        convert(wide, tmp_path / "ds", replace(SMALL, dtype="uint8", overwrite=True))
    assert {path.name for path in tmp_path.iterdir()} == {"src", "ds"}
    assert {name: (tmp_path / "ds" / name).read_bytes() for name in files(tmp_path / "ds")} == before


def test_what_an_earlier_run_has_finished_is_kept_until_a_value_is_refused(tmp_path, wide, stops):
    """A run that may still succeed goes on."""
    stops(lambda: convert(wide, tmp_path / "ds", SMALL), after=3)
    assert convert(wide, tmp_path / "ds", SMALL).resumed == 3


# --- nothing finished ------------------------------------------------------------------------------------------------


def test_a_target_in_which_no_shard_was_finished_is_free(tmp_path, wide, stops):
    for settings, command in ((replace(SMALL, metadata=False, add=True), "cube"), (SMALL, "auto")):
        stops(lambda settings=settings, command=command: convert(wide, tmp_path / "ds", settings, command=command))
        assert list((tmp_path / "ds").rglob("header.wkw"))
    other = replace(SMALL, file_len=2, name="ds")
    convert(wide, tmp_path / "ds", other)
    convert(wide, tmp_path / "clean", other)
    assert different(tmp_path / "ds", tmp_path / "clean") == []


def test_a_target_with_a_finished_shard_or_a_foreign_file_is_not(tmp_path, wide, stops):
    stops(lambda: convert(wide, tmp_path / "ds", SMALL), after=1)
    assert lines(tmp_path / "ds")
    with pytest.raises(TargetExists, match="not finished"):
        convert(wide, tmp_path / "ds", replace(SMALL, file_len=2))
    stops(lambda: convert(wide, tmp_path / "other", SMALL))
    for place in ("notes.txt", "color/notes.txt", "color/1/z0/y0/x0.wkw", "color/1/header.bak", "labels/a/b"):
        path = tmp_path / "other" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("somebody's")
        with pytest.raises(TargetExists):
            convert(wide, tmp_path / "other", replace(SMALL, file_len=2))
        assert path.read_text() == "somebody's"
        path.unlink()


def test_a_begun_layer_of_a_dataset_is_not_in_its_own_way(tmp_path, wide, reader, stops):
    convert(wide, tmp_path / "ds", SMALL)
    adding = replace(SMALL, layer_name="more", add=True)
    stops(lambda: convert(wide, tmp_path / "ds", adding))
    with pytest.raises(TargetExists, match="only begun"):
        convert(wide, tmp_path / "ds", replace(adding, layer_name="else"))
    convert(wide, tmp_path / "ds", replace(adding, file_len=2))
    assert [mags_of(tmp_path / "ds", name) for name in ("color", "more")] == [["1-1-1"]] * 2
    third = replace(adding, layer_name="third")
    stops(lambda: convert(wide, tmp_path / "ds", third), after=1)
    with pytest.raises(TargetExists, match="has a layer third"):
        convert(wide, tmp_path / "ds", replace(third, file_len=2))


def test_a_layer_of_which_only_the_plan_was_written_is_begun_anew(tmp_path, wide, stops):
    convert(wide, tmp_path / "ds", SMALL)
    adding = replace(SMALL, layer_name="more", add=True)
    stops(lambda: convert(wide, tmp_path / "ds", adding))
    shutil.rmtree(tmp_path / "ds" / "more")
    convert(wide, tmp_path / "ds", replace(adding, file_len=2))
    assert mags_of(tmp_path / "ds", "more") == ["1-1-1"]


@pytest.mark.parametrize("command", ["downsample", "upsample"])
def test_mags_of_which_no_shard_was_finished_are_begun_anew_with_other_options(tmp_path, wide, stops, command):
    coarse = replace(SMALL, target_mag=Mag(2, 2, 2)) if command == "upsample" else SMALL
    convert(wide, tmp_path / "ds", coarse)
    prepare, last = (upsample, "1-1-1") if command == "upsample" else (downsample, "4-4-1")
    plain = replace(JOBS, strategy="sequential", max_mag=4)
    stops(lambda: carry_out(prepare(tmp_path / "ds", plain)))
    assert lines(tmp_path / "ds") == []
    carry_out(prepare(tmp_path / "ds", replace(plain, file_len=1, interpolation_mode="nearest")))
    assert last in mags_of(tmp_path / "ds")
    assert not list((tmp_path / "ds" / ".wkconvert").glob("*.journal"))


def test_mags_with_a_finished_shard_are_not_begun_anew(tmp_path, wide, stops):
    convert(wide, tmp_path / "ds", SMALL)
    plain = replace(JOBS, strategy="sequential", max_mag=4, file_len=1)
    stops(lambda: carry_out(downsample(tmp_path / "ds", plain)), after=1)
    with pytest.raises(TargetExists, match="not listed"):
        downsample(tmp_path / "ds", replace(plain, interpolation_mode="nearest"))


@pytest.mark.slow
@pytest.mark.skipif("tiff" not in plugins().formats(), reason="wkconvert-tiff is not installed")
def test_exports_and_compressions_that_were_stopped_are_no_hindrance(tmp_path, wide, stops):
    convert(wide, tmp_path / "ds", replace(SMALL, compression="none"))
    alone = replace(JOBS, strategy="sequential")
    stops(lambda: carry_out(compress(tmp_path / "ds", None, alone)))
    carry_out(compress(tmp_path / "ds", None, replace(alone, compression="lz4hc", compression_level=9)))
    for after in (0, 2):
        stops(lambda: carry_out(export(tmp_path / "ds", tmp_path / f"out{after}", alone)), after)  # noqa: B023
        carry_out(export(tmp_path / "ds", tmp_path / f"out{after}", alone, Pictures(tile_size=(32, 32))))
        assert len([name for name in files(tmp_path / f"out{after}") if ".wkconvert" not in name]) == 4 * 2 * 40


@pytest.mark.parametrize("is_finished", [True, False])
def test_the_work_of_an_earlier_version_is_refused_and_named(tmp_path, wide, stops, is_finished):
    """Its plans state the place of the source, and the lines of its journals have no sums."""
    if is_finished:
        convert(wide, tmp_path / "ds", SMALL)
    else:
        stops(lambda: convert(wide, tmp_path / "ds", SMALL), after=2)
    (plan,) = (tmp_path / "ds" / ".wkconvert").glob("*.plan")
    plan.write_text(plan.read_text().replace(f'"source": "{wide.name}"', f'"source": "{wide}"'))
    with pytest.raises(TargetExists) as caught:
        convert(wide, tmp_path / "ds", SMALL)
    assert "by an earlier version of wkconvert" in str(caught.value)
    convert(wide, tmp_path / "ds", replace(SMALL, overwrite=True))
    assert str(tmp_path) not in plan.read_text()


def test_a_plan_of_a_hostile_name_removes_nothing(tmp_path, wide, stops):
    """The layers of these would be the dataset itself, and the folder that it lies in."""
    stops(lambda: convert(wide, tmp_path / "in" / "ds", SMALL))
    for name in ("..auto.plan", "...auto.plan", ".auto.plan", "auto.plan"):
        (tmp_path / "in" / "ds" / ".wkconvert" / name).write_text("{}")
    convert(wide, tmp_path / "in" / "ds", replace(SMALL, file_len=2))
    assert mags_of(tmp_path / "in" / "ds") == ["1-1-1"]


def test_values_that_do_not_fit_are_found_by_every_kind_of_layer(tmp_path, reader):
    """One layer of several: all of what the run has written goes."""
    reader(tmp_path / "src" / "a", em((40, 30, 20)))
    b = em((40, 30, 20), dtype="float32")
    b[0, 0, 0, 0] = np.nan
    reader(tmp_path / "src" / "b", b)
    with pytest.raises(ConversionError):
        convert(tmp_path / "src", tmp_path / "ds", replace(SMALL, category=None, dtype="uint8"))
    assert files(tmp_path / "ds") == set()
    convert(tmp_path / "src", tmp_path / "ds", replace(SMALL, category=None, dtype="uint8", convert="clip"))
    assert mags_of(tmp_path / "ds", "b") == ["1-1-1"]


def test_the_metadata_are_never_taken_for_a_frame(tmp_path, wide, stops):
    convert(wide, tmp_path / "ds", SMALL)
    for journal in [Journal(tmp_path / "ds", "color", "auto")]:
        journal.plan.with_suffix(".shards").unlink()
    with edited(tmp_path / "ds") as found:
        found["id"]["name"] = "mine"
    with pytest.raises(TargetExists):
        convert(wide, tmp_path / "ds", replace(SMALL, file_len=2))
