"""The planner: which way it takes for which source and budget, and that its figures are true."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.npy_volumes import FileSink, FileSource
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core import Box, Mag, MagSpec, VolumeInfo
from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.engine.loop import run
from wkconvert_core.engine.workers import Workers
from wkconvert_core.planning.costs import Budget, Costs
from wkconvert_core.planning.route import planned, route
from wkconvert_core.planning.step import Step
from wkconvert_core.sources.views import Cropped, Flipped
from wkconvert_core.toolkit.byte_sizes import parse_size, size_text

GIB = 1 << 30


def step(shape, chunk, shard=(64, 64, 64), tmp=None, start=(0, 0, 0)):
    source = FileSource(tmp / "source.npy", VolumeInfo(shape, np.dtype("uint8"), chunk_shape=chunk))
    return Step(source, (WriteShards(FileSink.make(tmp / "sink", source, shard, start)),))


def budget(memory=GIB, workers=4, shared=True, scratch=100 * GIB):
    return Budget(memory, workers, shared, scratch, base=100_000_000)


def test_a_source_without_chunks_is_read_shard_by_shard(tmp_path):
    way = route(step((1000, 1000, 1000), None, tmp=tmp_path), budget())
    assert (way.way, way.task, way.amplification) == ("direct", (64, 64, 64), 1.0)


def test_chunks_that_fill_shards_are_read_shard_by_shard(tmp_path):
    way = route(step((1000, 1000, 1000), (32, 32, 32), tmp=tmp_path), budget())
    assert (way.way, way.task) == ("direct", (64, 64, 64))


def test_rows_make_tasks_of_whole_rows(tmp_path):
    way = route(step((1024, 1024, 256), (1024, 1, 1), tmp=tmp_path), budget())
    assert (way.way, way.task, way.amplification) == ("direct", (1024, 64, 64), 1.0)


def test_slices_share_a_buffer_where_workers_share_memory(tmp_path):
    way = route(step((1024, 1024, 256), (1024, 1024, 1), tmp=tmp_path), budget(GIB // 3))
    assert (way.way, way.slab, way.amplification) == ("buffer", (1024, 1024, 64), 1.0)


def test_slices_too_wide_for_memory_are_spooled_and_decoded_once(tmp_path):
    way = route(step((16_384, 16_384, 256), (16_384, 16_384, 1), tmp=tmp_path), budget(4 * GIB))
    assert (way.way, way.amplification) == ("spool", 1.0)
    assert way.scratch == 16_384 * 16_384 * 64
    assert way.memory <= 4 * GIB


def test_without_scratch_space_slices_are_read_again(tmp_path):
    way = route(step((16_384, 16_384, 256), (16_384, 16_384, 1), tmp=tmp_path), budget(4 * GIB, scratch=GIB))
    assert way.way == "re-read"
    assert way.amplification == pytest.approx(256 * 256)
    assert way.memory <= 4 * GIB


def test_fewer_workers_are_taken_where_memory_is_scarce(tmp_path):
    wide = step((8192, 8192, 64), (8192, 8192, 1), tmp=tmp_path)
    assert route(wide, budget(600_000_000, workers=8)).workers < 8


def test_a_budget_that_cannot_do_is_refused_with_one_that_can(tmp_path):
    wide = step((16_384, 16_384, 256), (16_384, 16_384, 1), tmp=tmp_path)
    with pytest.raises(ResourceError, match=r"does not fit in --memory 128MiB") as caught:
        route(wide, budget(128 << 20))
    enough = parse_size(caught.value.fix.split()[2])
    assert route(wide, budget(enough)).memory <= enough


def test_what_a_worker_of_a_cluster_lacks_is_not_blamed_on_an_option_that_nobody_gave(tmp_path):
    wide = step((16_384, 16_384, 256), (16_384, 16_384, 1), tmp=tmp_path)
    with pytest.raises(ResourceError, match=r"does not fit in the 128MiB that a worker may take") as caught:
        route(wide, replace(budget(128 << 20), machines=3))
    assert "let a worker take" in caught.value.fix


def test_a_part_keeps_the_chunks_of_the_whole(tmp_path):
    whole = FileSource.make(tmp_path / "source.npy", np.zeros((1, 256, 256, 256), "uint8"), chunk_shape=(64, 64, 64))
    part = Cropped(whole, Box((32, 96, 0), (200, 100, 256)))
    aligned = Step(part, (WriteShards(FileSink.make(tmp_path / "sink", part, (64, 64, 64), (32, 96, 0))),))
    assert (route(aligned, budget()).way, route(aligned, budget()).amplification) == ("direct", 1.0)
    moved = Step(part, (WriteShards(FileSink.make(tmp_path / "sink", part, (64, 64, 64))),))
    assert Costs(moved, budget(), 1).reread().amplification > 2
    list(run(aligned, route(aligned, budget(workers=1)), Workers("sequential", 1), tmp_path / "scratch", ()))
    assert whole.decoded == 256 * 192 * 256, "chunks 0 to 3 along x and z, 1 to 3 along y, each once"


def test_a_mirrored_volume_has_its_chunks_mirrored(tmp_path):
    whole = FileSource.make(tmp_path / "source.npy", np.zeros((1, 100, 64, 64), "uint8"), chunk_shape=(64, 64, 64))
    assert Flipped(whole, "x").info.chunk_start == (100, 0, 0)


def mags(finest, *factors):
    """Writers of a pyramid over a step's sink."""
    sinks = [finest]
    for mag in factors:
        spec = replace(finest.spec, mag=Mag(*mag), box=finest.spec.box.coarsened(mag))
        sinks.append(replace(finest, spec=spec))
    return list(map(WriteShards, sinks))


def chosen(alone, *factors, **limits):
    planned_step, way = planned(alone.source, mags(alone.finest.sink, *factors), "median", budget(**limits))
    return [tuple(sink.spec.mag) for sink in planned_step.sinks], way


def test_coarser_mags_are_made_on_the_way_where_tasks_stay_small(tmp_path):
    alone = step((1024, 1024, 256), (1024, 1, 1), (128,) * 3, tmp_path)
    made, way = chosen(alone, (2, 2, 1), (4, 4, 1), (8, 8, 1), workers=2)
    assert (made, way.task) == ([(1, 1, 1), (2, 2, 1), (4, 4, 1)], (1024, 512, 128))


def test_coarser_mags_are_not_made_on_the_way_at_the_cost_of_idle_workers(tmp_path):
    alone = step((512, 512, 64), None, (64,) * 3, tmp_path)
    assert chosen(alone, (2, 2, 1), (4, 4, 1), workers=4)[0] == [(1, 1, 1), (2, 2, 1), (4, 4, 1)]
    assert chosen(alone, (2, 2, 1), (4, 4, 1), workers=16)[0] == [(1, 1, 1), (2, 2, 1)]
    assert chosen(alone, (2, 2, 1), (4, 4, 1), workers=64)[0] == [(1, 1, 1)]


def test_coarser_mags_are_not_made_on_the_way_at_the_cost_of_fewer_workers(tmp_path):
    alone = step((1024, 1024, 1024), None, (128,) * 3, tmp_path)
    enough = route(alone, budget()).memory
    assert chosen(alone, (2, 2, 2))[0] == [(1, 1, 1), (2, 2, 2)]
    made, way = chosen(alone, (2, 2, 2), memory=enough)
    assert (made, way.workers) == ([(1, 1, 1)], 4)


def test_large_tasks_make_the_next_mags_on_the_way_where_memory_allows_and_there_are_many(tmp_path):
    alone = step((4096, 4096, 4096), (4096, 1, 1), (512,) * 3, tmp_path)
    assert chosen(alone, (2, 2, 1), (4, 4, 1), memory=64 * GIB, workers=2)[0] == [(1, 1, 1), (2, 2, 1), (4, 4, 1)]
    assert chosen(alone, (2, 2, 1), (4, 4, 1), memory=10 * GIB, workers=2)[0] == [(1, 1, 1), (2, 2, 1)]
    assert chosen(alone, (2, 2, 1), (4, 4, 1), memory=6 * GIB, workers=2)[0] == [(1, 1, 1)]
    assert chosen(alone, (2, 2, 1), (4, 4, 1), memory=64 * GIB, workers=8)[0] == [(1, 1, 1)]


@pytest.mark.parametrize("chunk", [(7, 11, 13), (100, 3, 1), (64, 64, 64), (500, 500, 500)])
@pytest.mark.parametrize("start", [(0, 0, 0), (5, 70, 33)])
def test_the_amplification_is_what_reading_costs(tmp_path, chunk, start):
    planned = step((130, 90, 70), chunk, (32, 32, 32), tmp_path, start)
    way = route(planned, budget(scratch=0, shared=False))
    info = planned.source.info
    tasks = (planned.in_source(box) for box in planned.tasks(way.task))
    decoded = sum(task.aligned(chunk).intersection(info.box).volume for task in tasks)
    assert way.amplification == pytest.approx(decoded / info.box.volume)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 << 30),
        ("1.5 GB", 1_500_000_000),
        ("512MiB", 512 << 20),
        ("4096", 4096),
        ("1k", 1000),
        ("3T", 3 * 10**12),
    ],
)
def test_sizes_are_read_with_their_units(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "2 XB", "-1GB", "1e9"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(("size", "text"), [(0, "0B"), (999, "999B"), (1024, "1KiB"), (1.5 * GIB, "1.5GiB")])
def test_sizes_are_shown_in_units_that_can_be_typed(size, text):
    assert size_text(size) == text
    assert parse_size(text) == size


def test_a_box_of_the_dataset_is_found_in_the_source(tmp_path):
    assert step((9, 9, 9), None, tmp=tmp_path, start=(4, 5, 6)).in_source(Box((4, 6, 8), (1, 1, 1))).start == (0, 1, 2)


def decoded_of_each_task(extent, start, chunk, chunk_start, cell, task):
    """Task by task: the chunks that it touches, as far as they lie in the extent."""
    total = 0
    for begin in range(start // cell * cell - start, extent, task):
        low, high = max(begin, 0), min(begin + task, extent)
        first = (low - chunk_start) // chunk * chunk + chunk_start
        last = -(-(high - chunk_start) // chunk) * chunk + chunk_start
        total += min(last, extent) - max(first, 0)
    return total / extent


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(
    extent=st.integers(1, 200),
    start=st.integers(0, 60),
    chunk=st.integers(1, 60),
    chunk_start=st.integers(-60, 60),
    cell=st.integers(1, 20),
    cells=st.integers(1, 5),
)
def test_what_is_decoded_is_the_sum_over_all_tasks(extent, start, chunk, chunk_start, cell, cells):
    info = VolumeInfo((extent, 1, 1), np.dtype("uint8"), chunk_shape=(chunk, 1, 1), chunk_start=(chunk_start, 0, 0))
    source = FileSource(Path("nowhere"), info)
    spec = MagSpec("layer", "color", Mag(1, 1, 1), Box((start, 0, 0), info.shape), info.dtype, 1)
    costs = Costs(Step(source, (WriteShards(FileSink(Path("nowhere"), spec, (cell, 1, 1))),)), budget(), 1)
    expected = decoded_of_each_task(extent, start, chunk, chunk_start, cell, cells * cell)
    assert costs._amplification((cells * cell, 1, 1)) == expected


def test_a_volume_of_any_length_is_planned_at_once(tmp_path):
    way = route(step((64 * 10**15, 64, 64), (1000, 64, 64), tmp=tmp_path), budget())
    assert way.tasks > 10**12
    assert way.amplification <= 1.25


def test_a_shard_longer_than_the_volume_is_priced_by_what_it_holds(tmp_path):
    source = FileSource.make(tmp_path / "source.npy", np.zeros((1, 300, 300, 40), "uint8"))
    long = Step(source, (WriteShards(FileSink.make(tmp_path / "sink", source, (2048, 2048, 2048))),))
    assert route(long, budget(GIB, workers=1)).memory < GIB / 2
    short = Step(source, (WriteShards(FileSink.make(tmp_path / "sink", source, (32, 32, 32))),))
    assert Costs(short, budget(), 1)._shard_bytes((32, 32, 32)) == 2 * 32**3


def test_a_chunk_is_priced_encoded_and_decoded(tmp_path):
    """Beside the voxels that are read: a decoder holds what it reads, and what it makes of it."""
    chunk, shape, jobs = (4096, 4096, 1), (4096, 4096, 64), 2
    chunked, plain = (Costs(step(shape, each, tmp=tmp_path), budget(), jobs) for each in (chunk, None))
    assert chunked.reread().memory - plain.reread().memory == jobs * 2 * 4096 * 4096
