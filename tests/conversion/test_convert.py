"""The whole conversion: the voxels, the metadata, and what is left behind when it ends early."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from helpers import npy_volumes as volumes
from helpers.conversions import SETTINGS, SIZE, carry_out, different, files, layers_of, random_voxels, read

from wkconvert_core import (
    Box,
    BrokenSource,
    ConversionError,
    InconsistentStack,
    Mag,
    OptionError,
    PluginError,
    UnsupportedSource,
    VoxelSize,
    WarningNote,
)
from wkconvert_core.contract.errors import (
    NoSpace,
    ResourceError,
    TargetError,
    TargetExists,
    TargetLocked,
    UnknownFormat,
)
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.prepare import prepare_conversion as prepare
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.records.journal import Journal
from wkconvert_core.datasets.records.lock import locked
from wkconvert_core.registry.plugins import plugins


def test_a_volume_becomes_a_dataset(tmp_path, reader):
    data = random_voxels()
    done = convert(reader(tmp_path / "src", data), tmp_path / "ds", SETTINGS)
    np.testing.assert_array_equal(read(tmp_path / "ds"), data)
    layer = layers_of(tmp_path / "ds")["color"]
    assert layer["boundingBox"] == {"topLeft": [0, 0, 0], "width": 150, "height": 130, "depth": 70}
    assert [mag["mag"] for mag in layer["mags"]] == [[1, 1, 1], [2, 2, 1], [4, 4, 1]]
    assert done.shards == sum(1 for name in files(tmp_path / "ds" / "color") if name.endswith(".wkw")) - 3
    assert done.stored_bytes == sum(path.stat().st_size for path in (tmp_path / "ds" / "color").rglob("x*.wkw"))


def test_the_result_opens_in_wkw(tmp_path, reader):
    wkw = pytest.importorskip("wkw")
    data = random_voxels(channels=3)
    convert(reader(tmp_path / "src", data), tmp_path / "ds", replace(SETTINGS, max_mag=2))
    with wkw.Dataset.open(str(tmp_path / "ds" / "color" / "1")) as dataset:
        np.testing.assert_array_equal(dataset.read((0, 0, 0), (150, 130, 70)), data)


def test_coarser_mags_are_the_kernel_of_the_finer_ones(tmp_path, reader):
    data = random_voxels((64, 64, 8))
    convert(reader(tmp_path / "src", data), tmp_path / "ds", replace(SETTINGS, interpolation_mode="max", max_mag=4))
    expected = data.reshape(1, 32, 2, 32, 2, 8).max((2, 4))
    np.testing.assert_array_equal(read(tmp_path / "ds", mag="2-2-1"), expected)
    np.testing.assert_array_equal(read(tmp_path / "ds", mag="4-4-1"), expected.reshape(1, 16, 2, 16, 2, 8).max((2, 4)))


@pytest.mark.parametrize("strategy", ["sequential", "multiprocessing"])
def test_every_backend_writes_the_same_bytes(tmp_path, reader, strategy):
    source = reader(tmp_path / "src", random_voxels(), chunk_shape=(150, 130, 1))
    for name, how in (("threads", "threads"), (strategy, strategy)):
        convert(source, tmp_path / name / "ds", replace(SETTINGS, strategy=how))
    assert different(tmp_path / "threads", tmp_path / strategy) == []


@pytest.mark.slow
@pytest.mark.parametrize(("fail_at", "mag1_done"), [("0,0,0", False), ("149,129,69", True)])
def test_a_run_that_failed_goes_on_and_ends_as_if_undisturbed(tmp_path, reader, fail_at, mag1_done):
    source = reader(tmp_path / "src", random_voxels(), chunk_shape=None)
    target = tmp_path / "a" / "ds"
    settings = replace(SETTINGS, file_len=1, strategy="sequential")
    convert(source, tmp_path / "b" / "ds", settings)
    healthy = volumes.FileSource.read

    def failing(self, box):
        place = tuple(map(int, fail_at.split(",")))
        if Box(place, (1, 1, 1)) in box:
            raise BrokenSource("for now")
        return healthy(self, box)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(volumes.FileSource, "read", failing)
        with pytest.raises(BrokenSource, match="for now"):
            convert(source, target, settings)
    assert not (target / "datasource-properties.json").exists()
    done = convert(source, target, settings)
    assert (done.resumed > 0) == mag1_done
    assert different(tmp_path / "a", tmp_path / "b") == []


def test_a_finished_run_again_changes_nothing(tmp_path, reader):
    source = reader(tmp_path / "src", random_voxels())
    convert(source, tmp_path / "ds", SETTINGS)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "ds").rglob("*.wkw")}
    done = convert(source, tmp_path / "ds", SETTINGS)
    assert done.resumed == done.shards
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_shard_that_vanished_is_written_again(tmp_path, reader):
    source = reader(tmp_path / "src", random_voxels())
    convert(source, tmp_path / "ds", SETTINGS)
    shard = next((tmp_path / "ds").rglob("x*.wkw"))
    content = shard.read_bytes()
    shard.unlink()
    convert(source, tmp_path / "ds", SETTINGS)
    assert shard.read_bytes() == content


def test_another_source_is_refused(tmp_path, reader):
    convert(reader(tmp_path / "src", random_voxels()), tmp_path / "ds", SETTINGS)
    with pytest.raises(TargetExists, match="holds a dataset already"):
        convert(reader(tmp_path / "other", random_voxels()), tmp_path / "ds", SETTINGS)


def test_a_folder_with_other_things_is_never_touched(tmp_path, reader):
    (tmp_path / "ds").mkdir()
    (tmp_path / "ds" / "thesis.txt").write_text("dear")
    for settings in (SETTINGS, replace(SETTINGS, overwrite=True), replace(SETTINGS, add=True)):
        with pytest.raises(TargetExists, match="other things"):
            convert(reader(tmp_path / f"src{id(settings)}", random_voxels()), tmp_path / "ds", settings)
    assert files(tmp_path / "ds") == {"thesis.txt"}


def test_an_overwrite_that_failed_leaves_the_old_dataset_and_gives_way_to_the_next(tmp_path, reader):
    target = tmp_path / "out" / "ds"
    convert(reader(tmp_path / "old", random_voxels(channels=3)), target, SETTINGS)
    kept = files(target)
    source = reader(tmp_path / "new", random_voxels((64, 64, 64)))
    settings = replace(SETTINGS, overwrite=True)
    with pytest.raises(BrokenSource):
        convert(source, target, replace(settings, reader_options={"fail_at": "0,0,0"}, category="color"))
    assert files(target) == kept
    assert [path.name for path in (tmp_path / "out").glob(".ds*")] == [".ds.wkconvert-new"]
    convert(source, target, settings)
    convert(source, tmp_path / "clean" / "ds", SETTINGS)
    assert different(target, tmp_path / "clean" / "ds") == []


@pytest.mark.parametrize("moment", [1, 2])
def test_an_overwrite_that_ends_while_folders_are_swapped_is_completed(tmp_path, reader, monkeypatch, moment):
    target = tmp_path / "out" / "ds"
    convert(reader(tmp_path / "old", random_voxels(channels=3)), target, SETTINGS)
    source = reader(tmp_path / "new", random_voxels((64, 64, 64)))
    renamed = []

    def rename(self, other):
        renamed.append(other)
        if len(renamed) == moment:
            raise OSError(5, "Input/output error")
        shutil.move(self, other)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(TargetError, match="cannot be written"):
            convert(source, target, replace(SETTINGS, overwrite=True))
    assert len(list((tmp_path / "out").rglob("datasource-properties.json"))) == 2
    convert(source, target, replace(SETTINGS, overwrite=True))
    convert(source, tmp_path / "clean" / "ds", SETTINGS)
    assert different(target, tmp_path / "clean" / "ds") == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ds"]


def test_what_a_killed_swap_has_put_aside_goes_with_the_next_run(tmp_path, reader):
    source, target = reader(tmp_path / "src", random_voxels((64, 64, 64))), tmp_path / "out" / "c[1]"
    convert(source, target, SETTINGS)
    (tmp_path / "out" / ".c[1].wkconvert-old.0123.tmp").mkdir()
    convert(source, target, SETTINGS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c[1]"]


def test_what_a_killed_swap_has_put_aside_stays_until_there_is_something_else(tmp_path, reader, monkeypatch):
    source, aside = (
        reader(tmp_path / "src", random_voxels((64, 64, 64))),
        tmp_path / "out" / ".ds.wkconvert-old.0123.tmp",
    )
    aside.mkdir(parents=True)
    convert(source, tmp_path / "out" / "other", SETTINGS)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", Mock(side_effect=KeyboardInterrupt))
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                convert(source, tmp_path / "out" / "ds", SETTINGS)
            assert aside.exists()
    for _ in range(2):
        convert(source, tmp_path / "out" / "ds", SETTINGS)
    assert not aside.exists()


def test_what_an_overwrite_could_not_remove_is_named(tmp_path, reader, monkeypatch):
    source, target = reader(tmp_path / "src", random_voxels()), tmp_path / "ds"
    convert(source, target, SETTINGS)

    def fail(path, *args, remove=shutil.rmtree, **given):
        if "wkconvert-old" in str(path):
            raise OSError(errno.EIO, "Input/output error", str(path))  # some errors pass `ignore_errors`
        remove(path, *args, **given)

    monkeypatch.setattr(shutil, "rmtree", fail)
    done = convert(source, target, replace(SETTINGS, overwrite=True))
    [left] = tmp_path.glob(".ds.wkconvert-old.*.tmp")
    assert [note for note in done.late_notes if isinstance(note, WarningNote)] == [
        f"the old dataset could not be removed: remove {left}"
    ]


def test_an_overwrite_is_refused_while_another_run_writes_the_target(tmp_path, reader):
    convert(reader(tmp_path / "old", random_voxels()), tmp_path / "ds", SETTINGS)
    with locked(tmp_path / "ds"), pytest.raises(TargetLocked):
        convert(reader(tmp_path / "new", random_voxels()), tmp_path / "ds", replace(SETTINGS, overwrite=True))


def test_the_target_of_a_link_is_replaced_not_the_link(tmp_path, reader):
    (tmp_path / "far").mkdir()
    (tmp_path / "ds").symlink_to(tmp_path / "far", target_is_directory=True)
    for name in ("a", "b"):
        convert(reader(tmp_path / name, random_voxels()), tmp_path / "ds", replace(SETTINGS, overwrite=True, name="ds"))
    assert (tmp_path / "ds").is_symlink()
    assert (tmp_path / "far" / "datasource-properties.json").exists()


def test_nothing_is_added_to_an_unfinished_dataset(tmp_path, reader):
    source = reader(tmp_path / "a", random_voxels())
    settings = replace(SETTINGS, reader_options={"fail_at": "0,0,0"}, category="color")
    with pytest.raises(BrokenSource):
        convert(source, tmp_path / "ds", settings)
    more = replace(SETTINGS, add=True, layer_name="more")
    with pytest.raises(TargetExists, match="auto of layer color is only begun"):
        convert(reader(tmp_path / "b", random_voxels()), tmp_path / "ds", more)
    with pytest.raises(TargetExists, match="has a layer color already"):
        convert(source, tmp_path / "ds", replace(SETTINGS, add=True), command="cube")


def test_a_conversion_that_failed_can_be_executed_again(tmp_path, reader, monkeypatch):
    source = reader(tmp_path / "src", random_voxels())
    conversion = prepare(source, tmp_path / "ds", replace(SETTINGS, file_len=1, strategy="sequential"))
    honest = volumes.FileSource.read
    with monkeypatch.context() as patch:
        patch.setattr(volumes.FileSource, "read", lambda self, box: honest(self, None))
        with pytest.raises(AttributeError):
            carry_out(conversion)
    carry_out(conversion)
    np.testing.assert_array_equal(read(tmp_path / "ds"), random_voxels())


@pytest.mark.slow
def test_a_pyramid_of_the_source_is_taken_only_where_it_is_the_right_one(tmp_path, reader):
    data = random_voxels((65, 64, 32))
    convert(reader(tmp_path / "raw", data), tmp_path / "src", replace(SETTINGS, interpolation_mode="max"))
    convert(tmp_path / "src", tmp_path / "same", SETTINGS)
    np.testing.assert_array_equal(read(tmp_path / "same", mag="2-2-1"), read(tmp_path / "src", mag="2-2-1"))
    for name, settings in (
        ("flip", {"flip": "x"}),
        ("start", {"start_z": 1}),
        ("skip", {"skip_first_z_slices": 2}),
        ("part", {"bbox": Box((1, 0, 0), (40, 40, 20))}),
        ("kernel", {"interpolation_mode": "min"}),
    ):
        chosen = replace(SETTINGS, **{"interpolation_mode": "median", **settings})
        convert(tmp_path / "src", tmp_path / name, chosen)
        convert(reader(tmp_path / f"raw-{name}", data), tmp_path / f"plain-{name}", chosen)
        for mag in ("1", "2-2-1"):
            np.testing.assert_array_equal(read(tmp_path / name, mag=mag), read(tmp_path / f"plain-{name}", mag=mag))


def test_a_source_without_mag_1_keeps_its_place(tmp_path, reader):
    convert(reader(tmp_path / "raw", random_voxels()), tmp_path / "src", replace(SETTINGS, target_mag=Mag(2, 2, 1)))
    done = convert(tmp_path / "src", tmp_path / "ds", SETTINGS)
    assert done.notes == ("the source has no mag 1; its finest is 2-2-1",)
    assert [[str(spec.mag) for spec in layer.mags] for layer in done.layers] == [["2-2-1", "4-4-1"]]
    assert layers_of(tmp_path / "ds") == layers_of(tmp_path / "src")
    assert prepare(tmp_path / "src", tmp_path / "own", Settings()).voxel_size.size == SETTINGS.voxel_size.size
    for mag in ("2-2-1", "4-4-1"):
        np.testing.assert_array_equal(read(tmp_path / "ds", mag=mag), read(tmp_path / "src", mag=mag))
    convert(tmp_path / "src", tmp_path / "coarse", replace(SETTINGS, target_mag=Mag(4, 4, 1)))
    np.testing.assert_array_equal(read(tmp_path / "coarse", mag="4-4-1"), read(tmp_path / "src", mag="4-4-1"))
    with pytest.raises(OptionError, match="--target-mag 2-1-1 cannot be made"):
        convert(tmp_path / "src", tmp_path / "finer", replace(SETTINGS, target_mag=Mag(2, 1, 1)))


def test_mags_that_the_source_has_are_taken_though_others_would_be_made(tmp_path, reader):
    isotropic = replace(SETTINGS, sampling_mode="isotropic", interpolation_mode="min")
    convert(reader(tmp_path / "raw", random_voxels()), tmp_path / "src", isotropic)
    convert(tmp_path / "src", tmp_path / "ds", SETTINGS)
    for mag in ("2", "4"):
        np.testing.assert_array_equal(read(tmp_path / "ds", mag=mag), read(tmp_path / "src", mag=mag))


def test_layers_that_differ_in_extent_are_reported(tmp_path, reader):
    reader(tmp_path / "src" / "raw", random_voxels((30, 20, 10)))
    reader(tmp_path / "src" / "labels", random_voxels((30, 20, 9)), offset=(0, 0, 1))
    done = convert(tmp_path / "src", tmp_path / "ds", SETTINGS)
    told = "the layers differ in extent: labels x 0:30, y 0:20, z 1:10; raw x 0:30, y 0:20, z 0:10"
    assert done.notes[0] == told


def test_layers_of_one_dataset_share_their_mags(tmp_path, reader):
    reader(tmp_path / "src" / "thick", random_voxels((300, 300, 40)))
    reader(tmp_path / "src" / "flat", random_voxels((300, 300, 1)))
    settings = replace(SETTINGS, voxel_size=VoxelSize((4.0, 4.0, 4.0)))
    convert(tmp_path / "src", tmp_path / "ds", settings)
    mags = [[entry["mag"] for entry in layer["mags"]] for layer in layers_of(tmp_path / "ds").values()]
    assert mags[0] == mags[1]
    convert(reader(tmp_path / "b", random_voxels((300, 300, 40))), tmp_path / "ds", replace(settings, add=True))
    assert [entry["mag"] for entry in layers_of(tmp_path / "ds")["color"]["mags"]] == mags[0]


def test_what_no_reader_knows_is_left_out_with_a_note(tmp_path, reader):
    reader(tmp_path / "src" / "raw", random_voxels())
    (tmp_path / "src" / "labels").mkdir()
    (tmp_path / "src" / "labels" / "a.xyz").write_text("?")
    assert (
        "left out of src, as no reader knows them: labels" in convert(tmp_path / "src", tmp_path / "ds", SETTINGS).notes
    )


def test_overwrite_leaves_what_a_plain_run_leaves(tmp_path, reader):
    target = tmp_path / "out" / "ds"
    convert(reader(tmp_path / "old", random_voxels(channels=3)), target, SETTINGS)
    source = reader(tmp_path / "new", random_voxels((64, 64, 64)))
    convert(source, target, replace(SETTINGS, overwrite=True))
    convert(source, tmp_path / "clean" / "ds", SETTINGS)
    assert different(target, tmp_path / "clean" / "ds") == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ds"]


def test_a_layer_is_added_and_the_others_stay(tmp_path, reader):
    target = tmp_path / "ds"
    convert(reader(tmp_path / "a", random_voxels()), target, SETTINGS)
    labels = random_voxels((40, 40, 40), "uint32")
    settings = replace(SETTINGS, add=True, category="segmentation", layer_name="cells")
    convert(reader(tmp_path / "b", labels), target, settings)
    assert list(layers_of(target)) == ["color", "cells"]
    np.testing.assert_array_equal(read(target, "cells"), labels)
    assert layers_of(target)["cells"]["largestSegmentId"] == labels.max()
    with pytest.raises(TargetExists, match="has a layer cells already"):
        convert(reader(tmp_path / "c", labels), target, settings)


def test_cube_writes_raw_voxels_and_no_metadata(tmp_path, reader):
    settings = Settings(metadata=False, downsample=False, compression="none", add=True)
    convert(reader(tmp_path / "a", random_voxels()), tmp_path / "ds", settings, command="cube")
    assert files(tmp_path / "ds") & {"datasource-properties.json", "color/2-2-1/header.wkw"} == set()
    assert (tmp_path / "ds/color/1/header.wkw").read_bytes()[5] == 1


def test_cube_adds_to_metadata_that_are_there(tmp_path, reader):
    convert(reader(tmp_path / "a", random_voxels()), tmp_path / "ds", SETTINGS)
    settings = Settings(metadata=False, downsample=False, add=True, layer_name="more")
    convert(reader(tmp_path / "b", random_voxels()), tmp_path / "ds", settings, command="cube")
    assert list(layers_of(tmp_path / "ds")) == ["color", "more"]


def test_a_layer_that_is_added_takes_the_voxel_size_of_the_dataset(tmp_path, reader):
    convert(reader(tmp_path / "a", random_voxels()), tmp_path / "ds", SETTINGS)
    conversion = prepare(reader(tmp_path / "b", random_voxels()), tmp_path / "ds", Settings(add=True, layer_name="b"))
    assert conversion.voxel_size.size == SIZE.size


@pytest.mark.parametrize("wrong", [lambda data: data[0], lambda data: data.astype("float64"), lambda data: None])
def test_a_reader_that_breaks_its_word_is_named(tmp_path, reader, monkeypatch, wrong):
    honest = volumes.FileSource.read
    source = reader(tmp_path / "src", random_voxels())
    monkeypatch.setattr(volumes.FileSource, "read", lambda self, box: wrong(honest(self, box)))
    with pytest.raises(PluginError, match=r"FileSource gave"):
        convert(source, tmp_path / "ds", replace(SETTINGS, category="color"))


def test_a_reader_that_gives_no_layers_is_named(tmp_path, reader, monkeypatch):
    source = reader(tmp_path / "src", random_voxels())
    monkeypatch.setattr(volumes, "open_folder", lambda path: None)
    monkeypatch.setattr(volumes, "Layer", lambda mags: "hello")
    with pytest.raises(PluginError, match="the reader volumes answered"):
        convert(source, tmp_path / "ds", SETTINGS)


def test_two_runs_at_once_are_refused(tmp_path, reader):
    with locked(tmp_path / "ds"), pytest.raises(TargetLocked):
        convert(reader(tmp_path / "src", random_voxels()), tmp_path / "ds", SETTINGS)


def test_temporary_files_of_a_killed_run_are_swept(tmp_path, reader):
    source = reader(tmp_path / "src", random_voxels())
    convert(source, tmp_path / "ds", SETTINGS)
    leftovers = [
        tmp_path / "ds" / name for name in ("color/1/z0/y0/.x0.wkw.1.tmp", ".wkconvert/.color.auto.plan.1.tmp")
    ]
    for leftover in leftovers:
        leftover.touch()
    convert(source, tmp_path / "ds", SETTINGS)
    assert [path for path in leftovers if path.exists()] == []


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (Settings(), OptionError, "voxel size along x, y, z is not known"),
        (Settings(voxel_size=VoxelSize((4.0, 4.0, None))), OptionError, "voxel size along z is not known"),
        (replace(SETTINGS, interpolation_mode="bogus"), OptionError, "bicubic"),
        (replace(SETTINGS, sampling_mode="bogus"), OptionError, "constant-z"),
        (replace(SETTINGS, compression="zip"), OptionError, "lz4hc"),
        (replace(SETTINGS, layer_name="../x"), OptionError, "no name for a layer"),
        (replace(SETTINGS, layer_name="color\n"), OptionError, "no name for a layer"),
        (replace(SETTINGS, reader="bogus"), OptionError, "take one of "),
        (replace(SETTINGS, reader_options={"bogus": "1"}), OptionError, "unknown reader option bogus"),
        (replace(SETTINGS, to="bogus"), OptionError, "no plugin writes"),
        (replace(SETTINGS, dtype="uint12"), OptionError, "uint16"),
        (replace(SETTINGS, file_len=3), OptionError, "file-len"),
        (replace(SETTINGS, max_mag=3), OptionError, "power of two"),
        (replace(SETTINGS, memory=1 << 20), ResourceError, "does not fit in --memory 1MiB"),
        (replace(SETTINGS, name="a/b"), OptionError, "no name for a dataset"),
        (replace(SETTINGS, add=True, overwrite=True), OptionError, "contradict"),
        (replace(SETTINGS, channel=1), OptionError, "no channel 1"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(tmp_path, reader, settings, error, message):
    with pytest.raises(error) as caught:
        convert(reader(tmp_path / "src", random_voxels()), tmp_path / "ds", settings)
    assert message in str(caught.value)
    assert not (tmp_path / "ds").exists()


def test_values_that_do_not_fit_leave_nothing_that_looks_finished(tmp_path, reader):
    source = reader(tmp_path / "src", random_voxels(dtype="uint16") + np.uint16(100))
    with pytest.raises(ConversionError, match="does not fit uint8"):
        convert(source, tmp_path / "ds", replace(SETTINGS, dtype="uint8"))
    assert not (tmp_path / "ds" / "datasource-properties.json").exists()


@pytest.mark.parametrize("places", [("src", "src/ds"), ("src", "src"), ("up/src", "up")])
def test_source_and_target_must_not_lie_in_each_other(tmp_path, reader, places):
    source = reader(tmp_path / places[0], random_voxels())
    with pytest.raises(OptionError, match="lies in"):
        convert(source, tmp_path / places[1], SETTINGS)


def test_a_disk_that_would_not_do_is_refused_unless_forced(tmp_path, reader, monkeypatch):
    monkeypatch.setattr("wkconvert_core.conversion.prepare.free_bytes", lambda path: 1000)
    source = reader(tmp_path / "src", random_voxels())
    with pytest.raises(NoSpace, match="may take"):
        convert(source, tmp_path / "ds", SETTINGS)
    assert not (tmp_path / "ds").exists()
    convert(source, tmp_path / "ds", replace(SETTINGS, force=True))


def test_voxel_sizes_come_from_the_source_and_the_options(tmp_path, reader):
    own = VoxelSize((0.004, 0.005, None), "µm", "its tags")
    source = reader(tmp_path / "src", random_voxels(), voxel_size=own)
    conversion = prepare(source, tmp_path / "ds", Settings(voxel_size=VoxelSize.parse(",,35")))
    assert conversion.voxel_size.to("nm").size == (4.0, 5.0, 35.0)
    assert "its tags" in conversion.voxel_size.origin
    with pytest.raises(OptionError, match="along z is not known"):
        prepare(source, tmp_path / "ds", Settings())


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((16.5, 16500, 25000), "y is 1000 times x"),
        ((16500, 16.5, 25000), "x is 1000 times y"),
        ((4, 41, 40), "y is 10.25 times x"),
        ((4, 4, 4001), "z is 1000.25 times x"),
        ((4, 4, 0.0035), "x is 1142.86 times z"),
        ((None, 4, 35000), "z is 8750 times y"),
    ],
)
def test_sizes_that_no_microscope_has_are_asked_for(tmp_path, reader, size, said):
    own = VoxelSize(size, "nm", "its tags")
    source = reader(tmp_path / "src", random_voxels((50, 40, 3)), voxel_size=own)
    with pytest.raises(OptionError) as caught:
        prepare(source, tmp_path / "ds", Settings())
    assert str(own) in caught.value.what
    assert said in caught.value.why
    assert "its tags" in caught.value.why
    conversion = prepare(source, tmp_path / "ds", SETTINGS)  # which says a size
    assert conversion.voxel_size.size == SETTINGS.voxel_size.size
    assert not any(isinstance(note, WarningNote) for note in conversion.layers[0].notes)
    (warning,) = (n for n in open_source(source, Settings(), plugins())[0].notes if isinstance(n, WarningNote))
    assert said in warning  # where no size is needed, it is told all the same


@pytest.mark.parametrize("size", [(4, 40, 40), (4, 4, 4000), (4, 4, 0.004), (0.5, 0.5, 500)])
def test_slender_voxels_are_taken_as_they_are(tmp_path, reader, size):
    source = reader(tmp_path / "src", random_voxels((50, 40, 3)), voxel_size=VoxelSize(size, "nm", "its tags"))
    assert prepare(source, tmp_path / "ds", Settings()).voxel_size.size == size


def test_a_size_of_which_only_z_is_said_must_be_possible_too(tmp_path, reader):
    source = reader(tmp_path / "src", random_voxels((50, 40, 3)), voxel_size=VoxelSize((4, 4, 9), "mm", "its tags"))
    with pytest.raises(OptionError, match="x is 114286 times z"):
        prepare(source, tmp_path / "ds", Settings(voxel_size=VoxelSize.parse(",,35")))


LABELS = np.random.default_rng(0).integers(0, 5, (1, 40, 30, 4))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_labels_in_floats_are_refused_until_their_integer_is_named(tmp_path, reader, dtype):
    source = reader(tmp_path / "src", LABELS.astype(dtype))
    labels = replace(SETTINGS, category="segmentation")
    with pytest.raises(UnsupportedSource, match=r"a segmentation cannot be float.*say --dtype uint32"):
        prepare(source, tmp_path / "ds", labels)
    convert(source, tmp_path / "ds", replace(labels, dtype="uint32"))
    np.testing.assert_array_equal(read(tmp_path / "ds", "segmentation"), LABELS)
    assert layers_of(tmp_path / "ds")["segmentation"]["elementClass"] == "uint32"


def test_a_dataset_that_holds_labels_in_floats_is_still_described_and_copied(tmp_path, reader):
    convert(reader(tmp_path / "src", LABELS.astype("float32")), tmp_path / "ds", replace(SETTINGS, category="color"))
    properties = tmp_path / "ds" / "datasource-properties.json"
    properties.write_text(properties.read_text().replace('"category": "color"', '"category": "segmentation"'))
    (layer,) = open_source(tmp_path / "ds", Settings(), plugins())
    assert (layer.category, layer.info.dtype) == ("segmentation", "float32")


def test_an_integer_named_for_labels_takes_whole_numbers_only(tmp_path, reader):
    source = reader(tmp_path / "src", LABELS + np.float64(0.5))
    with pytest.raises(ConversionError, match=r"the value \d\.5 of dtype float64 does not fit uint32"):
        convert(source, tmp_path / "ds", replace(SETTINGS, category="segmentation", dtype="uint32"))


def test_integers_are_no_segmentation_either_once_they_are_made_floats(tmp_path, reader):
    source = reader(tmp_path / "src", LABELS.astype("uint8"))
    with pytest.raises(UnsupportedSource, match="a segmentation cannot be float32"):
        prepare(source, tmp_path / "ds", replace(SETTINGS, category="segmentation", dtype="float32"))


@pytest.mark.parametrize(
    ("category", "dtype", "remedy"),
    [
        ("color", "float64", "say --dtype float32"),
        ("color", "uint64", "say --dtype uint16"),
        ("color", "int64", "say --dtype uint16"),
        ("segmentation", "uint64", ""),
        ("segmentation", "int64", ""),
    ],
)
def test_what_is_not_shown_as_color_is_said_with_the_remedy(tmp_path, reader, category, dtype, remedy):
    source = reader(tmp_path / "src", LABELS.astype(dtype))
    settings = replace(SETTINGS, category=category)
    warnings = [n for n in prepare(source, tmp_path / "ds", settings).layers[0].notes if isinstance(n, WarningNote)]
    if category == "segmentation":
        assert warnings == []
    else:
        assert f"WEBKNOSSOS shows no {dtype} as color" in warnings[0]
        assert remedy in warnings[0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32"])
def test_what_is_shown_as_color_needs_no_warning(tmp_path, reader, dtype):
    source = reader(tmp_path / "src", LABELS.astype(dtype))
    notes = prepare(source, tmp_path / "ds", replace(SETTINGS, category="color")).layers[0].notes
    assert not any(isinstance(note, WarningNote) for note in notes)


@pytest.mark.parametrize(
    ("channels", "dtype", "more", "warned"),
    [
        (3, "uint8", {}, False),
        (3, "uint16", {}, True),
        (3, "uint8", {"dtype": "uint16"}, True),
        (3, "uint16", {"dtype": "uint8", "convert": "scale"}, False),
        (3, "uint16", {"channel": 1}, False),
        (2, "uint8", {}, True),
    ],
)
def test_channels_that_are_not_shown_together_are_warned_of(tmp_path, reader, channels, dtype, more, warned):
    source = reader(tmp_path / "src", random_voxels((20, 20, 4), dtype=dtype, channels=channels))
    notes = prepare(source, tmp_path / "ds", replace(SETTINGS, **more)).layers[0].notes
    told = [note for note in notes if "three channels of uint8 together" in note]
    assert [type(note) for note in told] == [WarningNote] * warned
    assert all("--channel N" in note for note in told)


def test_the_z_of_a_single_slice_is_taken_from_x(tmp_path, reader):
    source = reader(tmp_path / "src", random_voxels((50, 40, 1)), voxel_size=VoxelSize((4.0, 5.0, None), "nm", "tags"))
    conversion = prepare(source, tmp_path / "ds", Settings())
    assert conversion.voxel_size.size == (4.0, 5.0, 4.0)
    assert "single slice" in conversion.voxel_size.origin


def test_layers_that_differ_in_voxel_size_are_refused_unless_it_is_said(tmp_path, reader):
    for name, size in (("a", 4.0), ("b", 5.0)):
        reader(tmp_path / "src" / name, random_voxels((40, 40, 40)), voxel_size=VoxelSize((size, 4.0, 4.0)))
    with pytest.raises(InconsistentStack, match=r"4 x 4 x 4 nm.*5 x 4 x 4 nm"):
        convert(tmp_path / "src", tmp_path / "ds", Settings())
    convert(tmp_path / "src", tmp_path / "ds", SETTINGS)
    assert list(layers_of(tmp_path / "ds")) == ["a", "b"]


def test_two_layers_take_no_layer_name(tmp_path, reader):
    for name in "ab":
        reader(tmp_path / "src" / name, random_voxels((40, 40, 40)))
    with pytest.raises(OptionError, match="fits one layer"):
        convert(tmp_path / "src", tmp_path / "ds", replace(SETTINGS, layer_name="x"))


@pytest.mark.parametrize(
    ("folder", "names", "expected"),
    [
        ("labels", ["s1"], "segmentation"),
        ("labels", ["s1", "s2"], "segmentation"),
        ("segmentation", ["ct"], "segmentation"),  # as its image is called
        ("images", ["s1"], "color"),
        ("segmentation", ["images", "labels"], ["color", "segmentation"]),  # of a project, not of labels
        ("segmentation", ["images/s1"], ["color"]),
        ("segmentation_test", ["em"], ["color"]),
    ],
)
def test_a_folders_name_tells_its_category_also_where_it_is_opened(tmp_path, reader, folder, names, expected):
    looks_like_color, looks_like_labels = random_voxels((40, 40, 20)), np.ones((1, 40, 40, 20), "uint8")
    looks_like_labels[:, 20:] = 2
    for voxels, look in ((looks_like_color, "color"), (looks_like_labels, "segmentation")):
        for name in names:
            reader(tmp_path / "from above" / look[:2] / folder / name, voxels)
        opened = [
            layer.category for layer in open_source(tmp_path / "from above" / look[:2] / folder, Settings(), plugins())
        ]
        above = [layer.category for layer in open_source(tmp_path / "from above" / look[:2], Settings(), plugins())]
        if isinstance(expected, list):
            assert opened == expected
        else:
            assert {*opened, *above} == {expected}


def test_a_folder_of_images_may_hold_labels_too(tmp_path, reader):
    for name in ("cells", "nuclei"):
        labels = np.ones((1, 40, 40, 20), "uint8")
        labels[:, 20:] = 2
        reader(tmp_path / "raw_data" / name, labels)
    opened = open_source(tmp_path / "raw_data", Settings(), plugins())
    assert [layer.category for layer in opened] == ["segmentation", "segmentation"]


@pytest.mark.parametrize(("category", "expected"), [("color", [0, 255]), ("segmentation", [0, 1])])
def test_bool_becomes_what_its_category_wants(tmp_path, reader, category, expected):
    data = random_voxels((40, 40, 40)) > 100
    done = convert(reader(tmp_path / "src", data), tmp_path / "ds", replace(SETTINGS, category=category))
    np.testing.assert_array_equal(read(tmp_path / "ds", category), np.where(data, *expected[::-1]))
    assert any("1-bit" in note for note in done.notes)


def test_not_a_number_is_counted(tmp_path, reader):
    data = random_voxels((40, 40, 40), "float32")
    data[0, :3, 0, 0] = np.nan
    done = convert(reader(tmp_path / "src", data), tmp_path / "ds", SETTINGS)
    assert any("3 voxels are not a number" in note for note in done.notes)
    view = layers_of(tmp_path / "ds")["color"]["defaultViewConfiguration"]
    assert (view["min"], view["max"]) == (0, 249)


def test_a_source_that_lies_elsewhere_keeps_its_place(tmp_path, reader):
    data = random_voxels((40, 50, 60))
    source = reader(tmp_path / "src", data, offset=(7, 33, 100))
    convert(source, tmp_path / "ds", replace(SETTINGS, start_z=5))
    assert layers_of(tmp_path / "ds")["color"]["boundingBox"]["topLeft"] == [7, 33, 105]
    np.testing.assert_array_equal(read(tmp_path / "ds"), data)


def test_the_finest_mag_may_be_a_coarser_one(tmp_path, reader):
    data = random_voxels((64, 64, 8))
    convert(reader(tmp_path / "src", data), tmp_path / "ds", replace(SETTINGS, target_mag=Mag(2, 2, 1), max_mag=4))
    layer = layers_of(tmp_path / "ds")["color"]
    assert [mag["mag"] for mag in layer["mags"]] == [[2, 2, 1], [4, 4, 1]]
    assert layer["boundingBox"]["width"] == 64
    expected = np.median(data.reshape(1, 32, 2, 32, 2, 8).transpose(0, 1, 3, 5, 2, 4).reshape(1, 32, 32, 8, 4), -1)
    np.testing.assert_array_equal(read(tmp_path / "ds", mag="2-2-1"), expected.astype("uint8"))


def test_verify_reads_everything_back(tmp_path, reader, monkeypatch):
    source = reader(tmp_path / "src", random_voxels(), chunk_shape=(150, 130, 1))
    convert(source, tmp_path / "ds", replace(SETTINGS, verify=True))
    from wkconvert_core.contract.errors import DamagedData
    from wkconvert_core.formats.wkw.source import WkwSource

    honest = WkwSource.read

    def lying(self, box):
        data = honest(self, box).copy()
        data.flat[0] += 1
        return data

    monkeypatch.setattr(WkwSource, "read", lying)
    with pytest.raises(DamagedData, match="first at x 0, y 0, z 0"):
        convert(source, tmp_path / "ds", replace(SETTINGS, verify=True, strategy="sequential"))


def test_names_that_are_not_utf8_work_or_are_refused(tmp_path, reader):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/s\xff"))
    source = reader(odd, random_voxels((40, 40, 40)))
    convert(source, tmp_path / "ds", SETTINGS)
    with pytest.raises(OptionError, match="no name for a dataset"):
        convert(source, Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xff")), SETTINGS)


def test_a_header_beside_the_source_that_changed_is_another_source(tmp_path):
    (tmp_path / "a.raw").write_bytes(random_voxels((8, 8, 8)).tobytes())
    (tmp_path / "a.json").write_text(json.dumps({"size": [8, 8, 8], "type": "uint8"}))
    convert(tmp_path / "a.raw", tmp_path / "ds", SETTINGS)
    assert convert(tmp_path / "a.raw", tmp_path / "ds", SETTINGS).resumed > 0
    (tmp_path / "a.json").write_text(json.dumps({"size": [4, 16, 8], "type": "uint8"}))
    with pytest.raises(TargetExists, match="made by another command or from another source"):
        convert(tmp_path / "a.raw", tmp_path / "ds", SETTINGS)


def test_a_partner_of_the_source_that_changed_is_another_source(tmp_path):
    said = "NUM_X = 8\nNUM_Y = 8\nNUM_Z = 8\nBYTEORDER = LOWBYTEFIRST\n"
    (tmp_path / "a.vol").write_bytes(random_voxels((8, 8, 8), "uint16").tobytes())
    (tmp_path / "a.vol.info").write_text(said)
    convert(tmp_path / "a.vol", tmp_path / "ds", SETTINGS)
    (tmp_path / "a.vol.info").write_text(said.replace("LOW", "HIGH"))
    with pytest.raises(TargetExists, match="from another source"):
        convert(tmp_path / "a.vol", tmp_path / "ds", SETTINGS)


def test_a_folder_of_several_layers_below_is_not_left_out(tmp_path, reader):
    for name in ("one/a", "two/b", "two/c"):
        reader(tmp_path / "src" / "group" / name, random_voxels((20, 20, 20)))
    names = [layer.name for layer in prepare(tmp_path / "src", tmp_path / "ds", SETTINGS).layers]
    assert names == ["group_one", "group_two_b", "group_two_c"]


def test_folders_are_not_followed_without_end(tmp_path):
    deep = tmp_path / "src"
    for _ in range(200):
        deep /= "d"
    deep.mkdir(parents=True)
    with pytest.raises(UnknownFormat):
        prepare(tmp_path / "src", tmp_path / "ds", SETTINGS)


def test_a_layer_that_is_renamed_is_noted(tmp_path, reader):
    for name in ("em 1", "em_1"):
        reader(tmp_path / "src" / name, random_voxels((20, 20, 20)))
    done = convert(tmp_path / "src", tmp_path / "ds", SETTINGS)
    doubled = "em_1_2: it is called em_1_2, as another layer is em_1: remove one if they are the same twice"
    assert done.notes == ("em_1: 'em 1' is called em_1", doubled)
