"""The estimate of a dry run, beside what the run then takes."""

import json
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from helpers import npy_volumes
from helpers.conversions import SETTINGS, carry_out, invoke, random_voxels

from wkconvert_core import Box
from wkconvert_core.conversion.prepare import prepare_conversion
from wkconvert_core.engine import estimate
from wkconvert_core.engine.workers import default_jobs

SIZE = ("--voxel-size", "4,4,35")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, which is empty afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def tissue(shape=(200, 150, 100)):
    """Grey values [c, x, y, z] that compress to about half, and to less in one corner."""
    smooth = np.random.default_rng(1).integers(0, 250, [-(-n // 2) for n in shape], "uint8")
    voxels = smooth.repeat(2, 0).repeat(2, 1).repeat(2, 2)[:, : shape[1], : shape[2]][: shape[0]]
    voxels[:100, :100] = 7
    return voxels[None]


def cells(shape=(200, 150, 100)):
    """Ids [c, x, y, z] in cubes of 20 voxels."""
    x, y, z = (np.arange(n, dtype="uint32") // 20 for n in shape)
    return (x[:, None, None] * 1000 + y[None, :, None] * 50 + z)[None]


class Clock:
    """Time that passes only while a source decodes: a nanosecond per voxel."""

    def __init__(self, source, scale=1e-9):
        self._source, self._scale = npy_volumes.open_folder(source), scale
        self._source._log.touch()

    def monotonic(self):
        return self._source.decoded * self._scale

    perf_counter = monotonic


def counted(monkeypatch, source, scale=1e-9):
    monkeypatch.setattr(estimate, "time", clock := Clock(source, scale))
    return clock


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (tissue, {}),
        (tissue, {"compression": "none"}),
        (tissue, {"file_len": 8}),
        (tissue, {"interpolation_mode": "bicubic"}),
        (cells, {}),
        (cells, {"file_len": 1, "top_left": (5, 6, 7)}),
        (cells, {"compression": "lz4hc", "downsample": False}),
    ],
)
def test_the_bytes_on_disk_are_those_of_the_run(tmp_path, reader, monkeypatch, make, options):
    monkeypatch.setattr(estimate, "SAMPLE_BYTES", 1 << 20)
    source = reader(tmp_path / "src", make(), chunk_shape=(200, 150, 1))
    conversion = prepare_conversion(source, tmp_path / "ds", replace(SETTINGS, **options))
    told = conversion.with_estimate().estimate
    assert (told.reason, told.samples >= 3) == ("", True)
    assert told.stored_bytes == pytest.approx(carry_out(conversion).stored_bytes, rel=0.15)


def test_a_volume_that_is_sampled_whole_is_known_to_the_byte(tmp_path, reader):
    source = reader(tmp_path / "src", tissue((64, 64, 64)))
    conversion = prepare_conversion(source, tmp_path / "ds", replace(SETTINGS, downsample=False, file_len=2))
    told = conversion.with_estimate().estimate
    assert (told.samples, told.stored_bytes) == (1, carry_out(conversion).stored_bytes)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [(200, 150, 1), (64, 64, 64), (200, 50, 100), (45, 45, 45)])
@pytest.mark.parametrize("bbox", [None, Box((20, 10, 3), (150, 130, 90))])
def test_the_time_is_that_of_the_decoded_voxels(tmp_path, reader, monkeypatch, chunk, bbox):
    source = reader(tmp_path / "src", random_voxels((200, 150, 100)), chunk_shape=chunk)
    settings = replace(SETTINGS, jobs=1, category="color", bbox=bbox, file_len=1 if chunk == (45, 45, 45) else None)
    conversion = prepare_conversion(source, tmp_path / "ds", settings)
    clock = counted(monkeypatch, source)
    told = conversion.with_estimate().estimate
    began = clock.monotonic()
    carry_out(conversion)
    assert told.workers == 1
    is_amplified = chunk == (45, 45, 45) and bbox is None
    assert (conversion.steps[0].route.amplification > 1.1) == is_amplified, "some chunks are decoded twice"
    assert told.seconds == pytest.approx(clock.monotonic() - began, rel=0.01)


@pytest.mark.slow
def test_workers_share_the_work_as_far_as_there_are_processors(tmp_path, reader, monkeypatch):
    source = reader(tmp_path / "src", random_voxels((256, 256, 128)), chunk_shape=(64, 64, 64))
    counted(monkeypatch, source)
    monkeypatch.setattr(estimate, "default_jobs", lambda: 3)
    seconds = {}
    for jobs in (1, 2, 3, 50):
        settings = replace(SETTINGS, jobs=jobs, file_len=2, category="color", memory=4 << 30)
        conversion = prepare_conversion(source, tmp_path / "ds", settings)
        told = conversion.with_estimate().estimate
        assert told.workers == min(jobs, 3)
        rounds = -(-conversion.steps[0].route.tasks // told.workers) / conversion.steps[0].route.tasks
        seconds[jobs] = told.seconds / rounds
    assert len(set(np.round(list(seconds.values()), 6))) == 1
    assert default_jobs() >= 1


def test_a_sparse_source_is_sampled_where_it_holds_anything(tmp_path, reader, monkeypatch):
    monkeypatch.setattr(estimate, "SAMPLE_BYTES", 32**3)
    voxels = np.zeros((1, 256, 256, 64), "uint8")
    voxels[:, 160:220, 64:128, 32:] = tissue((60, 64, 32))
    source = reader(tmp_path / "src", voxels)
    original = npy_volumes.open_folder
    monkeypatch.setattr(
        npy_volumes, "open_folder", lambda folder: npy_volumes.Telling(folder / "volume.npy", original(folder).info)
    )
    conversion = prepare_conversion(source, tmp_path / "ds", replace(SETTINGS, file_len=2, category="color"))
    told = conversion.with_estimate().estimate
    assert told.samples == 4
    assert told.stored_bytes == pytest.approx(carry_out(conversion).stored_bytes, rel=0.3)


# --- no estimate ------------------------------------------------------------------------------------------------------


def reason(source, target, **options):
    told = prepare_conversion(source, target, replace(SETTINGS, category="color", **options)).with_estimate().estimate
    assert (told.seconds, told.stored_bytes, told.samples) == (None, None, 0)
    return told.reason


def test_a_stream_is_not_sampled(tmp_path, reader, monkeypatch):
    source, original = reader(tmp_path / "src", random_voxels()), npy_volumes.open_folder
    monkeypatch.setattr(
        npy_volumes, "open_folder", lambda folder: npy_volumes.Stream(folder / "volume.npy", original(folder).info)
    )
    assert reason(source, tmp_path / "ds") == "the source can only be read in order, from its beginning"


def test_of_a_slow_source_two_chunks_are_read_and_no_more(tmp_path, reader, monkeypatch):
    source = reader(tmp_path / "src", random_voxels((128, 128, 128)), chunk_shape=(128, 128, 1))
    clock = counted(monkeypatch, source, scale=0.1 / 128**2)  # a tenth of a second each
    began = clock.monotonic()
    assert reason(source, tmp_path / "ds") == "samples of the source take longer than 4 s"
    assert clock.monotonic() - began == pytest.approx(0.2)


@pytest.mark.slow
def test_samples_end_in_time(tmp_path, reader, monkeypatch):
    source = reader(tmp_path / "src", random_voxels((256, 256, 256)), chunk_shape=(64, 64, 64))
    clock = counted(monkeypatch, source, scale=1.5 / 2**23)  # a second and a half for each sample
    conversion = prepare_conversion(source, tmp_path / "ds", replace(SETTINGS, category="color"))
    began = clock.monotonic()
    told = conversion.with_estimate().estimate
    assert told.samples == 2
    assert clock.monotonic() - began < estimate.SECONDS


def test_an_error_of_the_source_is_the_reason(tmp_path, reader):
    source = reader(tmp_path / "src", random_voxels((64, 64, 64)))
    options = {"reader_options": {"fail_at": "3,3,3"}}
    assert reason(source, tmp_path / "ds", **options).endswith("is broken at (3, 3, 3)")


def test_values_that_do_not_fit_are_the_reason(tmp_path, reader):
    source = reader(tmp_path / "src", random_voxels((64, 64, 64), "uint16") + 200)
    assert "does not fit" in reason(source, tmp_path / "ds", dtype="uint8")


def test_shards_that_are_large_even_if_empty_are_not_tried(tmp_path, reader):
    source = reader(tmp_path / "src", random_voxels((64, 64, 64)))
    told = reason(source, tmp_path / "ds", file_len=32, compression="none")
    assert told == "a shard takes 1GiB even if there is one voxel in it"


def test_nothing_is_left_if_sampling_is_stopped(tmp_path, reader, monkeypatch):
    source = reader(tmp_path / "src", random_voxels((64, 64, 64)))
    conversion = prepare_conversion(source, tmp_path / "ds", replace(SETTINGS, category="color"))

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(estimate.Consume, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        conversion.with_estimate()


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_command_that_writes_shards_estimates(tmp_path, reader):
    source = reader(tmp_path / "src", cells((200, 180, 64)))
    runs = [
        ("auto", source, tmp_path / "ds", *SIZE, "--no-compress", "--max-mag", "2"),
        ("cube", source, tmp_path / "cubes"),
        ("auto", source, tmp_path / "coarse", *SIZE, "--at-mag", "2"),
        ("downsample", tmp_path / "ds"),
        ("recube", tmp_path / "ds", tmp_path / "copy", "--compression", "lz4hc"),
        ("compress", tmp_path / "ds", tmp_path / "packed"),
        ("upsample", tmp_path / "coarse"),
    ]
    for command in runs:
        plan = json.loads(invoke(*command, "--dry-run", "--json").stdout)["estimate"]
        done = json.loads(invoke(*command, "--json").stdout)
        assert (plan["reason"], plan["workers"] >= 1, plan["seconds"] > 0) == ("", True, True), command
        assert plan["stored_bytes"] == pytest.approx(done["stored_bytes"], rel=0.15), command


def test_the_plan_of_people_fits_eighty_columns(tmp_path, reader):
    source = reader(tmp_path / "src", tissue())
    lines = invoke("auto", source, tmp_path / "ds", *SIZE, "--dry-run").stdout.splitlines()
    told = next(line for line in lines if line.startswith("estimate:"))
    assert told.startswith("estimate: about ")
    assert " with " in told
    assert told.endswith("from 1 sample")
    assert max(map(len, lines[lines.index(next(line for line in lines if line.startswith("step"))) :])) <= 80
    failing = invoke("auto", source, tmp_path / "ds", *SIZE, "--dry-run", "-o", "fail_at=3,3,3", "--category", "color")
    assert "estimate: none; " in failing.stdout
