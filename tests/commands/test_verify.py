"""`verify`: what is damaged is found, what is sound is not blamed, whoever made the dataset."""

import json
import os
import re
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from helpers import paths
from helpers.conversions import PROPERTIES, carry_out, dataset_of, edit, edited, em, invoke, layers_of
from helpers.datasets import PEER, needs_peer

from wkconvert_core import Mag, MagSpec, OptionError, SourceNotFound, Vec3, VoxelSize
from wkconvert_core.commands.compress import prepare as compress
from wkconvert_core.commands.downsample import prepare as pyramid
from wkconvert_core.commands.recube import prepare as recube
from wkconvert_core.commands.upsample import prepare as upsample
from wkconvert_core.commands.verify import verify
from wkconvert_core.contract.errors import ResourceError, TargetLocked, WkconvertError
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.checksums import records
from wkconvert_core.datasets.records.lines import format_line, parse_line
from wkconvert_core.formats.wkw.sink import WkwSink

SAMPLES = paths.SAMPLES / "wkw"
ALONE = Settings(strategy="sequential", memory=8 << 30)  # said: to ask the system takes longer than to verify


def made(tmp_path, reader, voxels, **settings):
    """A dataset of our own, with mags 1, 2-2-1 and 4-4-1, and shards of 64 voxels a side."""
    source = reader(tmp_path / "source" / "stack", voxels)
    plain = Settings(VoxelSize((4, 4, 35)), category="color", file_len=2, max_mag=4)
    convert(source, tmp_path / "ds", replace(plain, **settings))
    return tmp_path / "ds"


def small(folder, reader):
    made(folder, reader, em())


@pytest.fixture
def dataset(tmp_path, reader, put_copy):
    put_copy(small, tmp_path)
    return tmp_path / "ds"


def shards_of(dataset):
    return sorted(dataset.rglob("*.wkw"), key=str)


def forget(dataset):
    shutil.rmtree(dataset / ".wkconvert")
    return dataset


def damaged(dataset, **options):
    return [problem.path for problem in verify(dataset, ALONE, **options).damaged]


# --- sound -----------------------------------------------------------------------------------------------------------


def test_a_dataset_of_ours_is_sound_its_checksums_and_kernels_known(dataset):
    found = verify(dataset)
    assert found.sound
    assert not found.notes
    assert [(mag.mag, mag.shards, mag.checksums_compared, mag.kernel) for mag in found.mags] == [
        (Mag(1, 1, 1), 2, 2, None),
        (Mag(2, 2, 1), 1, 1, "median"),
        (Mag(4, 4, 1), 1, 1, "median"),
    ]
    assert sum(mag.stored_bytes for mag in found.mags) == sum(
        p.stat().st_size for p in shards_of(dataset) if "x" in p.name
    )


@pytest.mark.parametrize("strategy", ["threads", "multiprocessing", "sequential"])
def test_every_strategy_finds_the_same(dataset, strategy):
    (dataset / "color/1/z0/y0/x1.wkw").write_bytes(b"")
    found = verify(dataset, Settings(strategy=strategy, jobs=2))
    assert [(problem.path, problem.reason) for problem in found.damaged] == [
        (dataset / "color/1/z0/y0/x1.wkw", found.damaged[0].reason)
    ]
    assert "0 bytes" in found.damaged[0].reason


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint16", "float32", "int64"])
@pytest.mark.parametrize("compression", ["none", "lz4", "lz4hc"])
def test_every_dtype_and_compression_is_sound(tmp_path, reader, dtype, compression):
    found = verify(made(tmp_path, reader, em(dtype=dtype), compression=compression), ALONE, deep=True)
    assert found.sound
    assert [mag.kernel for mag in found.mags] == [None, "median", "median"]


@pytest.mark.parametrize("kernel", ["mode", "mean", "nearest", "bilinear", "bicubic", "min", "max"])
def test_the_kernel_that_was_asked_for_is_the_one_that_is_found(tmp_path, reader, kernel):
    found = verify(made(tmp_path, reader, em((99, 60, 40)), interpolation_mode=kernel, start_z=3), ALONE, deep=True)
    assert found.sound
    assert [mag.kernel for mag in found.mags] == [None, kernel, kernel]


def test_labels_are_made_by_mode(tmp_path, reader):
    found = verify(made(tmp_path, reader, em(dtype="uint32"), category="segmentation"), ALONE)
    assert [mag.kernel for mag in found.mags] == [None, "mode", "mode"]


def test_nan_is_no_damage(tmp_path, reader):
    voxels = em(dtype="float32")
    voxels[:, :30, :30] = np.nan
    found = verify(made(tmp_path, reader, voxels), ALONE, deep=True)
    assert found.sound
    assert found.mags[2].kernel == "median"


def test_a_sample_is_checked_unless_all_is_asked_for(tmp_path, reader):
    dataset = made(tmp_path, reader, em((600, 600, 8)), file_len=4)
    sample, deep = (verify(dataset, ALONE, deep=deep).mags[1] for deep in (False, True))
    assert 0 < sample.kernel_voxels < deep.kernel_voxels == 300 * 300 * 8


# --- damaged ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path, reader):
    """A shard of 32 voxels a side, and one of mag 2-2-1."""
    voxels = np.zeros((1, 32, 32, 32), "uint8")
    voxels[0, 3:9, 4:9, 5] = np.arange(30).reshape(6, 5)
    return made(tmp_path, reader, voxels, file_len=1, max_mag=2)


@pytest.mark.slow
def test_every_single_bit_flip_is_found_where_checksums_are_recorded(tiny):
    for path in shards_of(tiny):
        content = path.read_bytes()
        assert len(content) < 1000
        for bit in range(8 * len(content)):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            found = damaged(tiny, mags=[Mag.parse(path.relative_to(tiny).parts[1])])
            if path.name == "header.wkw":
                assert found, bit  # the shards disagree with it
            else:
                assert found == [path], bit
        path.write_bytes(content)
    assert not damaged(tiny)


@pytest.mark.slow
def test_every_cut_is_found_even_without_checksums(tiny):
    forget(tiny)
    for path in tiny.rglob("x*.wkw"):
        content = path.read_bytes()
        for size in [*range(len(content)), len(content) + 1]:
            path.write_bytes((content + b"\0")[:size])
            assert damaged(tiny) == [path], size
        path.write_bytes(content)
    assert not damaged(tiny)


@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_structural_damage_is_found_without_checksums(tmp_path, reader, compression):
    dataset = forget(made(tmp_path, reader, em(), compression=compression))
    path = dataset / "color/1/z0/y0/x0.wkw"
    content = path.read_bytes()
    table = [] if compression == "none" else [16, 23, 24, 63, 72]
    for at in [*range(16), *table]:
        broken = bytearray(content)
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        assert damaged(dataset) == [path], at
    for size in (0, 1, 15, 16, 17, 40, 79, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert damaged(dataset) == [path], size


def test_voxels_changed_in_a_raw_shard_are_found_by_the_checksum_alone(tmp_path, reader):
    dataset = made(tmp_path, reader, em(), compression="none")
    path = dataset / "color/1/z0/y0/x0.wkw"
    content = bytearray(path.read_bytes())
    content[100_000] ^= 1
    path.write_bytes(content)
    problem = verify(dataset, ALONE).damaged[0]
    assert problem.path == path
    assert f"{zlib.crc32(content):08x}" in problem.reason
    assert verify(forget(dataset), ALONE).sound


def test_the_last_block_of_a_large_shard_is_read_too(tmp_path, reader):
    dataset = made(tmp_path, reader, em((40, 40, 40)), file_len=8, max_mag=1)
    assert verify(dataset, ALONE).sound
    path = dataset / "color/1/z0/y0/x0.wkw"
    content = path.read_bytes()
    forget(dataset)
    path.write_bytes(content[:-100] + b"\xff" * 100)
    assert damaged(dataset) == [path]


def test_a_shard_that_was_recorded_and_is_gone_is_damage(dataset):
    path = dataset / "color/1/z0/y0/x1.wkw"
    path.unlink()
    problem = verify(dataset, ALONE).damaged[0]
    assert (problem.path, problem.mag) == (path, Mag(1, 1, 1))
    assert "missing" in problem.reason


def test_a_shard_that_nobody_recorded_is_told_not_blamed(dataset):
    (dataset / "color/4-4-1/z0/y0/x0.wkw").rename(dataset / "shard")
    lines = [
        line for line in (dataset / ".wkconvert/color.auto.shards").read_text().splitlines() if "4-4-1" not in line
    ]
    extra = dataset / "color/2-2-1/z0/y0/x0.wkw"
    (dataset / ".wkconvert/color.auto.shards").write_text("\n".join(lines) + "\n")
    (dataset / "shard").rename(dataset / "color/4-4-1/z0/y0/x0.wkw")
    assert verify(dataset, ALONE).sound
    stray = dataset / "color/2-2-1/z7/y7/x7.wkw"
    stray.parent.mkdir(parents=True)
    shutil.copy(extra, stray)
    found = verify(dataset, ALONE)
    assert found.sound, "files outside the bounding box are allowed"
    assert [mag.shards_not_recorded for mag in found.mags] == [0, 0, 0]


def test_a_shard_inside_the_box_that_the_record_lacks_is_told(dataset):
    record = dataset / ".wkconvert/color.auto.shards"
    first, _, *rest = record.read_text().splitlines(keepends=True)
    record.write_text("".join([first, *rest]))
    found = verify(dataset, ALONE)
    assert found.sound
    assert found.mags[0].shards_not_recorded == 1
    assert "no run has recorded" in found.notes[0]


def test_a_damaged_list_of_checksums_is_named(dataset):
    record = dataset / ".wkconvert/color.auto.shards"
    record.write_bytes(record.read_bytes()[:-9])
    assert record in damaged(dataset)


def flips(path, step):
    """Each time with one bit of the file flipped; the file is as it was in the end."""
    content = path.read_bytes()
    for bit in range(0, 8 * len(content), step):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        yield bit
    path.write_bytes(content)


@pytest.mark.slow
def test_no_bit_flip_in_a_plan_is_taken_for_damage(tiny):
    for bit in flips(tiny / ".wkconvert/color.auto.plan", 11):
        assert verify(tiny, ALONE, mags=[Mag(2, 2, 1)]).sound, bit


@pytest.mark.slow
def test_no_bit_flip_in_a_list_of_checksums_makes_fewer_be_compared_in_silence(tiny):
    record, shards = tiny / ".wkconvert/color.auto.shards", [path for path in shards_of(tiny) if path.name[0] == "x"]
    for bit in flips(record, 3):
        found = verify(tiny, ALONE, write_checksums=not bit % 8)
        told = {problem.path for problem in found.damaged} & {record, *shards}
        assert told or sum(mag.checksums_compared for mag in found.mags) == len(shards) == 2, bit
        assert not any(mag.checksums_written for mag in found.mags), bit


def test_headers_and_mags_that_are_gone_are_damage(dataset):
    (dataset / "color/1/header.wkw").unlink()
    shutil.rmtree(dataset / "color/4-4-1")
    assert damaged(dataset) == [dataset / "color/1", dataset / "color/4-4-1"]


def test_damaged_metadata_are_an_error_that_names_them(dataset):
    (dataset / PROPERTIES).write_text("{")
    with pytest.raises(WkconvertError, match=PROPERTIES):
        verify(dataset)


# --- kernels ---------------------------------------------------------------------------------------------------------


def tampered(dataset, mag, value=255):
    """Change one voxel of a mag, and its checksum with it, as a run with broken memory would have."""
    folder = dataset / "color" / mag
    record = dataset / ".wkconvert/color.auto.shards"
    first, *lines = record.read_bytes().splitlines(keepends=True)
    meta = next(each for each in verify(dataset, ALONE).mags if str(each.mag) == mag)
    box = next(iter(json.loads((dataset / PROPERTIES).read_text())["dataLayers"]))["boundingBox"]
    assert box["width"] == 70
    assert meta.shards == 1
    from wkconvert_core import Box
    from wkconvert_core.formats.wkw.source import WkwSource, open_mag

    extent = Box((0, 0, 0), (70, 60, 40)).coarsened(Mag.parse(mag))
    voxels = WkwSource(folder, open_mag(folder), extent).read(Box((0, 0, 0), extent.shape)).copy()
    voxels[0, 5, 6, 7] = value
    spec = MagSpec("color", "color", Mag.parse(mag), extent, np.dtype("uint8"), 1)
    checksum = WkwSink(folder, spec, file_len=2).write(extent, voxels)
    recorded = [parse_line(line) for line in lines]
    changed = [replace(each, checksum=checksum) if str(each.mag) == mag else each for each in recorded]
    record.write_bytes(first + b"".join(map(format_line, changed)))
    return folder


def test_a_voxel_that_the_kernel_does_not_make_is_damage(dataset):
    folder = tampered(dataset, "4-4-1")
    problem = verify(dataset, ALONE, deep=True).damaged[0]
    assert problem.path == folder
    assert "not the median of mag 2-2-1: 1 voxel differs, first at x 5, y 6, z 7, channel 0" in problem.reason
    assert "255" in problem.reason


def test_mags_that_were_taken_over_have_no_kernel(dataset, tmp_path):
    convert(dataset, tmp_path / "copy", Settings())
    tampered(tmp_path / "copy", "4-4-1")
    found = verify(tmp_path / "copy", ALONE, deep=True)
    assert found.sound
    assert [mag.kernel_reason for mag in found.mags[1:]] == ["made of the source"] * 2


def test_a_pyramid_made_anew_has_known_kernels(dataset, tmp_path):
    convert(dataset, tmp_path / "copy", Settings(interpolation_mode="mean"))
    assert [mag.kernel for mag in verify(tmp_path / "copy", ALONE).mags] == [None, "mean", "mean"]


def test_without_a_record_of_how_mags_were_made_kernels_are_unknown(dataset):
    plan = dataset / ".wkconvert/color.auto.plan"
    told = json.loads(plan.read_text())
    del told["made"]
    plan.write_text(json.dumps(told))
    assert [mag.kernel for mag in verify(dataset, ALONE).mags] == [None] * 3
    plan.unlink()
    assert verify(dataset, ALONE).mags[1].kernel_reason == "not recorded"


@pytest.mark.parametrize(("key", "value"), [("category", "segmentation"), ("boundingBox", None)])
def test_what_people_edit_afterwards_is_no_damage(dataset, key, value):
    with edited(dataset) as properties:
        layer = properties["dataLayers"][0]
        layer[key] = value or {"topLeft": [0, 0, 0], "width": 65, "height": 60, "depth": 40}
    found = verify(dataset, ALONE, deep=True)
    assert found.sound
    assert found.mags[1].kernel == ("median" if key == "category" else None)


def test_mags_made_in_place_are_checked_too(dataset):
    downsampled(dataset, max_mag=16)
    found = verify(dataset, ALONE, deep=True)
    assert found.sound
    assert [mag.kernel for mag in found.mags] == [None, *["median"] * 4]
    assert all(mag.checksums_compared == mag.shards for mag in found.mags)


def without(dataset, mag):
    """A mag and its entry taken away."""
    shutil.rmtree(dataset / "color" / str(mag))
    with edited(dataset) as properties:
        layer = properties["dataLayers"][0]
        layer["mags"] = [entry for entry in layer["mags"] if entry["mag"] != list(mag)]


def downsampled(dataset, **settings):
    carry_out(pyramid(dataset, Settings(file_len=2, **settings)))


def kernels(dataset):
    found = verify(dataset, ALONE, deep=True)
    assert found.sound, found.damaged
    assert all(mag.checksums_compared == mag.shards for mag in found.mags)
    return [mag.kernel or mag.kernel_reason for mag in found.mags]


def test_a_finer_mag_that_was_made_anew_does_not_damage_the_coarser_one(dataset):
    without(dataset, Mag(2, 2, 1))
    assert kernels(dataset) == ["the finest mag", "the finer mag is gone"]
    downsampled(dataset, max_mag=2, interpolation_mode="max")
    assert kernels(dataset) == ["the finest mag", "max", "the finer mag was made anew since"]
    without(dataset, Mag(4, 4, 1))
    downsampled(dataset, max_mag=4, interpolation_mode="min")
    assert kernels(dataset) == ["the finest mag", "max", "min"]


@pytest.mark.parametrize("kernel", ["max", "default"])
def test_what_is_recorded_of_mags_that_stay_outlives_the_same_command(tmp_path, reader, kernel):
    dataset = made(tmp_path, reader, em(), downsample=False)
    downsampled(dataset, max_mag=4)
    assert kernels(dataset) == ["the finest mag", "median", "median"]
    for _ in range(2):
        without(dataset, Mag(2, 2, 1))
        assert kernels(dataset) == ["the finest mag", "the finer mag is gone"]
        downsampled(dataset, max_mag=4, interpolation_mode=kernel)
        expected = {"max": "max", "default": "median"}[kernel]
        assert kernels(dataset) == ["the finest mag", expected, "the finer mag was made anew since"]
    path = dataset / "color/4-4-1/z0/y0/x0.wkw"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert damaged(dataset) == [path]


def test_an_edited_extent_is_noticed_even_if_the_mags_were_compressed_since(tmp_path, reader):
    dataset = made(tmp_path, reader, em(), compression="none")
    with edited(dataset) as properties:
        properties["dataLayers"][0]["boundingBox"]["width"] = 75
    assert invoke("compress", dataset).exit_code == 0
    assert kernels(dataset) == ["the finest mag", *["the bounding box has changed since"] * 2]


def test_kernels_are_known_where_not_every_shard_is_there(tmp_path, reader):
    voxels = em((70, 60, 40))
    voxels[:, 64:] = 0
    convert(
        made(tmp_path, reader, voxels, downsample=False, file_len=1),
        tmp_path / "sparse",
        Settings(max_mag=2, file_len=1),
    )
    for path in (tmp_path / "sparse/color/1").rglob("x2.wkw"):
        path.unlink()
    record = tmp_path / "sparse/.wkconvert/color.auto.shards"
    lines = [line for line in record.read_text().splitlines(keepends=True) if not line.startswith('["1", 64,')]
    assert len(lines) < len(record.read_text().splitlines())
    record.write_text("".join(lines))
    assert kernels(tmp_path / "sparse") == ["the finest mag", "median"]


def test_a_mag_that_was_made_of_a_coarser_one_is_not_held_against_the_finer_one(dataset):
    without(dataset, Mag(2, 2, 1))
    carry_out(upsample(dataset, Settings(target_mag=Mag(2, 2, 1), file_len=2), start=Mag(4, 4, 1)))
    assert kernels(dataset) == ["the finest mag", "not recorded", "the finer mag was made anew since"]


def test_mags_that_were_made_of_the_mag_of_another_tool_are_checked_while_that_is_as_it_was(dataset):
    forget(dataset)
    for mag in ("2-2-1", "4-4-1"):
        shutil.rmtree(dataset / "color" / mag)
    with edited(dataset) as properties:
        del properties["dataLayers"][0]["mags"][1:]
    downsampled(dataset, max_mag=4)
    assert [mag.kernel for mag in verify(dataset, ALONE).mags] == [None, "median", "median"]
    path = dataset / "color/1/z0/y0/x0.wkw"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, (1, 1))
    found = verify(dataset, ALONE, write_checksums=True)
    assert found.sound
    assert [mag.kernel for mag in found.mags] == [None, None, "median"]
    assert verify(dataset, ALONE).mags[1].kernel_reason == "the finer mag is not recorded"


def test_metadata_of_2021_are_understood(tmp_path, reader):
    dataset = forget(made(tmp_path, reader, em().repeat(3, 0)))
    with edited(dataset) as properties:
        layer = properties["dataLayers"][0]
        layer["wkwResolutions"] = [{"resolution": e["mag"], "cubeLength": e["cubeLength"]} for e in layer.pop("mags")]
        del layer["numChannels"]
        properties["scale"] = [4, 4, 35]
    found = verify(dataset, ALONE, write_checksums=True)
    assert found.sound
    assert [mag.shards for mag in found.mags] == [2, 1, 1]
    assert verify(dataset, ALONE, deep=True).sound


# --- checksums -------------------------------------------------------------------------------------------------------


def test_checksums_are_added_where_there_are_none_and_only_there(dataset):
    forget(dataset)
    assert not damaged(dataset, mags=[Mag(1, 1, 1)], write_checksums=True)
    found = verify(dataset, ALONE, write_checksums=True)
    assert [(mag.checksums_compared, mag.checksums_written) for mag in found.mags] == [(2, False), (0, True), (0, True)]
    first, *lines = map(json.loads, (dataset / ".wkconvert/color.verify.shards").read_text().splitlines())
    assert first[0] == "record"
    assert len(lines) == 4
    for mag, x, y, z, checksum, *_ in lines:
        content = (dataset / "color" / mag / f"z{z // 64}/y{y // 64}/x{x // 64}.wkw").read_bytes()
        assert checksum == f"crc32:{zlib.crc32(content):08x}:{len(content)}"
    assert [mag.checksums_compared for mag in verify(dataset, ALONE, write_checksums=True).mags] == [2, 1, 1]
    path = dataset / "color/2-2-1/z0/y0/x0.wkw"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert damaged(dataset) == [path]


def test_no_checksum_is_written_of_a_damaged_mag(dataset):
    forget(dataset)
    (dataset / "color/1/z0/y0/x0.wkw").write_bytes(b"WKW")
    found = verify(dataset, ALONE, write_checksums=True)
    assert [mag.checksums_written for mag in found.mags] == [False, True, True]


def test_checksums_are_written_under_the_datasets_lock_and_read_without(dataset):
    with FileLock(dataset / ".wkconvert/lock"):
        assert verify(dataset, ALONE).sound
        with pytest.raises(TargetLocked):
            verify(dataset, ALONE, write_checksums=True)


def test_reading_leaves_nothing_behind(dataset):
    forget(dataset)
    before = sorted(dataset.rglob("*"))
    verify(dataset)
    assert sorted(dataset.rglob("*")) == before


# --- what is there ---------------------------------------------------------------------------------------------------


def test_layers_and_mags_can_be_chosen(dataset):
    assert [mag.mag for mag in verify(dataset, ALONE, layers=["color"], mags=[Mag(2, 2, 1)]).mags] == [Mag(2, 2, 1)]
    with pytest.raises(OptionError, match="layer-name labels"):
        verify(dataset, layers=["labels"])
    with pytest.raises(OptionError, match="mag 8"):
        verify(dataset, mags=[Mag(8, 8, 8)])


def test_mags_without_metadata_are_read(dataset):
    (dataset / PROPERTIES).unlink()
    plan = dataset / ".wkconvert/color.auto.plan"
    plan.write_text(plan.read_text().replace('"metadata": true', '"metadata": false'))  # as of `cube`
    assert verify(dataset, ALONE).sound
    path = dataset / "color/1/z0/y0/x0.wkw"
    path.write_bytes(path.read_bytes()[:-1])
    assert damaged(dataset) == [path]
    (dataset / ".wkconvert/color.auto.shards").rename(dataset / ".wkconvert/color.auto.journal")
    with pytest.raises(WkconvertError, match="not finished"):
        verify(dataset)


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "gone", Path(__file__)):
        with pytest.raises(SourceNotFound):
            verify(path)


def test_memory_that_does_not_suffice_is_refused(dataset):
    with pytest.raises(ResourceError, match="--memory"):
        verify(dataset, Settings(memory=1 << 20))


@paths.needs_samples
def test_samples_of_other_tools_are_sound_but_for_mags_that_are_not_there():
    assert verify(SAMPLES / "simple_wkw_dataset").sound
    assert verify(SAMPLES / "old_wkw_dataset").sound
    found = verify(SAMPLES / "complex_property_ds")
    assert {problem.mag.x for problem in found.damaged} == {2, 4, 8, 16, 32}


MAKE = """
import numpy as np, sys, webknossos as wk
dataset = wk.Dataset(sys.argv[1], voxel_size=(4, 4, 35))
data = (np.random.default_rng(0).random((120, 90, 40)) * 200).astype("uint8")
layer = dataset.add_layer("em", "color", dtype_per_channel="uint8", data_format="webknossos")
mag = layer.add_mag(1, compress=True, shard_shape=64)
mag.write(data, allow_unaligned=True, allow_resize=True)
layer.downsample(coarsest_mag=wk.Mag("4-4-1"))
"""


@needs_peer
def test_datasets_of_the_peer_are_sound_and_their_kernels_unknown(tmp_path):
    subprocess.run([PEER, "-c", MAKE, tmp_path / "peer"], check=True, capture_output=True)
    found = verify(tmp_path / "peer", write_checksums=True)
    assert found.sound
    assert len(found.mags) > 1
    assert all(mag.shards and mag.checksums_written and mag.kernel is None for mag in found.mags)
    path = next((tmp_path / "peer").rglob("x*.wkw"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    assert damaged(tmp_path / "peer") == [path]


def test_shards_written_by_the_reference_library_are_sound(tmp_path):
    wkw = pytest.importorskip("wkw")
    for number, kind in enumerate((1, 2, 3)):
        header = wkw.Header(np.uint16, 3, block_len=32, file_len=2, block_type=kind)
        with wkw.Dataset.create(str(tmp_path / f"layer/{1 << number}"), header) as mag:
            mag.write((0, 0, 0), np.asfortranarray(em((128, 64, 64), "uint16").repeat(3, 0)))
    found = verify(tmp_path)
    assert found.sound
    assert [mag.shards for mag in found.mags] == [2, 2, 2]


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_tells_what_is_sound_and_what_is_not(dataset):
    told = invoke("verify", dataset, "--deep", "--jobs", 1)
    assert told.exit_code == 0
    assert "color mag 2-2-1: 1 shard, 1 checksum compared, made by median" in told.stdout
    assert invoke("verify", dataset, "--quiet").output == ""
    for path in dataset.rglob("x*.wkw"):
        path.write_bytes(b"")
    told = invoke("verify", dataset, "--quiet")
    assert told.exit_code == 1
    assert f"damaged: {dataset}/color/1/z0/y0/x1.wkw\n" in told.stdout
    told = invoke("verify", dataset, "--json", "--mag", "4-4-1")
    document = json.loads(told.stdout)
    assert (told.exit_code, document["sound"]) == (1, False)
    assert document["damaged"][0]["path"].endswith("4-4-1/z0/y0/x0.wkw")
    assert document["mags"][0]["checksums_compared"] == 1


def test_the_command_prints_some_dozens_and_the_count(dataset):
    record = dataset / ".wkconvert/color.auto.shards"
    content = record.read_bytes()
    done = parse_line(content.splitlines()[1])
    more = (format_line(replace(done, start=Vec3(64 * n, 0, 64))) for n in range(100))
    record.write_bytes(content + b"".join(more))
    told = invoke("verify", dataset)
    assert told.stdout.count("damaged: /") == 40
    assert "60 more" in told.stdout
    assert len(json.loads(invoke("verify", dataset, "--json").stdout)["damaged"]) == 100


# --- which record holds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["oldest first", "newest first", "all the same"])
def test_the_times_of_files_do_not_decide_which_checksums_hold(tmp_path, reader, order):
    """As `cp -r`, `rsync` without `-t`, `tar -m`, object stores and clocks that went back leave them."""
    dataset = made(tmp_path, reader, em(), compression="none")
    for mags in ([Mag(1, 1, 1)], [Mag(2, 2, 1)], []):
        carry_out(compress(dataset, None, ALONE, mags=mags))
    copy = Path(shutil.copytree(dataset, tmp_path / "copy", copy_function=shutil.copyfile))
    by_time = sorted((dataset / ".wkconvert").glob("*.shards"), key=lambda path: path.stat().st_mtime_ns)
    lists = [copy / path.relative_to(dataset) for path in by_time]
    assert len(lists) == 4
    for turn, path in enumerate(lists if order == "oldest first" else reversed(lists)):
        os.utime(path, (10**9, 10**9 + (turn if order != "all the same" else 0)))
    found = verify(copy, ALONE)
    assert found.sound
    assert [mag.checksums_compared for mag in found.mags] == [mag.shards for mag in found.mags]


def test_checksums_that_were_added_are_superseded_by_a_later_run_whatever_the_times(dataset):
    carry_out(recube(dataset, raw := dataset.with_name("raw"), replace(ALONE, compression="none")))
    forget(raw)
    verify(raw, ALONE, write_checksums=True)
    carry_out(compress(raw, None, ALONE))
    for path in (raw / ".wkconvert").glob("*.verify.shards"):
        os.utime(path, (2**32, 2**32))
    found = verify(raw, ALONE)
    assert found.sound
    assert all(mag.checksums_compared for mag in found.mags)


def test_of_lists_of_earlier_versions_the_newer_file_holds(dataset):
    """They have no number."""
    record = dataset / ".wkconvert/color.auto.shards"
    lines = [line.rpartition(b', "')[0] + b"]\n" for line in record.read_bytes().splitlines()[1:]]
    record.write_bytes(b"".join(lines))
    other = dataset / ".wkconvert/color.compress-0.shards"
    other.write_bytes(b"".join(re.sub(rb"crc32:[0-9a-f]{8}", b"crc32:00000000", line) for line in lines))
    os.utime(other, (1, 1))
    assert verify(dataset, ALONE).sound
    os.utime(record, (0, 0))
    assert not verify(dataset, ALONE).sound


@pytest.mark.parametrize("what", ["list", "folder"])
def test_a_list_of_checksums_that_is_a_link_is_named_and_not_followed(dataset, what):
    place = dataset / ".wkconvert" / ("color.auto.shards" if what == "list" else "")
    place.rename(dataset.with_name("elsewhere"))
    place.symlink_to(dataset.with_name("elsewhere"))
    found = verify(dataset, ALONE)
    assert "is a link" in found.damaged[0].reason


def test_a_plan_that_is_a_link_is_not_read(dataset):
    plan = dataset / ".wkconvert" / "color.auto.plan"
    assert records(dataset, "color").all[0].plan
    plan.rename(dataset.with_name("elsewhere"))
    plan.symlink_to(dataset.with_name("elsewhere"))
    assert not records(dataset, "color").all[0].plan


# --- the largest segment id ------------------------------------------------------------------------------------------


def labels_saying(tmp_path, largest):
    ds = dataset_of(tmp_path / "ds", em()[0].astype("uint16"), category="segmentation", layer_name="labels")
    edit(ds, lambda _, layer: layer.update(largestSegmentId=largest))
    return ds


@pytest.mark.parametrize("recorded", [True, False])
def test_a_largest_id_below_that_of_the_voxels_is_found(tmp_path, recorded):
    ds = labels_saying(tmp_path, 248)
    if not recorded:
        assert verify(forget(ds), ALONE).sound
    (problem,) = verify(ds, ALONE, deep=not recorded).damaged
    assert problem.path == ds / PROPERTIES
    assert "is 248, and the voxels hold 249" in problem.reason
    fix = re.search("`wkconvert (.*)`", problem.reason)[1]
    assert invoke(*fix.split()).exit_code == 0
    assert verify(ds, ALONE, deep=True).sound
    assert layers_of(ds)["labels"]["largestSegmentId"] == 249


@pytest.mark.parametrize("largest", [249, 1000, None])
def test_a_largest_id_that_leaves_room_and_one_that_is_not_stated_are_sound(tmp_path, largest):
    ds = labels_saying(tmp_path, largest)
    assert verify(ds, ALONE, deep=True).sound
    assert verify(forget(ds), ALONE, deep=True).sound


def test_voxels_that_are_damaged_or_others_since_blame_no_largest_id_that_was_recorded(tmp_path):
    ds = labels_saying(tmp_path, 248)
    shard = next(path for path in shards_of(ds) if "x" in path.name)
    shard.write_bytes(b"")
    (problem,) = verify(ds, ALONE, deep=True).damaged
    assert problem.path == shard
