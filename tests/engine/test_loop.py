"""The loop: every way gives the same voxels, decodes what the plan says, stops cleanly, survives killed workers."""

import errno
import os
import weakref
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from helpers.npy_volumes import DiesOnce, FileSink, FileSource, Stream
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wkconvert_core import BrokenSource, Mag, PluginError
from wkconvert_core.contract.errors import NoSpace, ResourceError
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.engine.loop import _picklable, run
from wkconvert_core.engine.slabs import MemorySlab
from wkconvert_core.engine.workers import Workers
from wkconvert_core.planning.costs import Budget, Costs
from wkconvert_core.planning.route import route
from wkconvert_core.planning.step import Step
from wkconvert_core.sources.downsampled import Downsampled

STRATEGIES = ["sequential", "threads", "multiprocessing"]


def voxels(shape, dtype="uint16", channels=1):
    return np.random.default_rng(0).integers(0, 1000, (channels, *shape)).astype(dtype)


def steps(tmp_path, data, chunk, shard, start=(0, 0, 0), **source_options):
    source = FileSource.make(tmp_path / "source.npy", data, chunk_shape=chunk)
    source = FileSource(source.path, source.info, **source_options)
    return Step(source, (WriteShards(FileSink.make(tmp_path / "sink", source, shard, start)),))


def ways(step, workers):
    costs = Costs(step, Budget(10**12, workers.jobs, workers.shared, 10**12, 0), workers.jobs)
    known = {"direct": costs.direct(), "buffer": costs.buffer(), "spool": costs.spool(), "re-read": costs.reread()}
    return {name: chosen for name, chosen in known.items() if chosen}


def copy(step, workers, tmp_path, name="direct", done=()):
    return list(run(step, ways(step, workers)[name], workers, tmp_path / "scratch", done))


def told_until_error(step, workers, tmp_path):
    told = []
    try:
        for shard in run(step, ways(step, workers)["direct"], workers, tmp_path / "scratch", ()):
            told.append(shard.start)
    except Exception as error:
        return told, error
    return told, None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        (s, w)
        for s in STRATEGIES
        for w in ("direct", "buffer", "spool", "re-read")
        if (s, w) != ("multiprocessing", "buffer")
    ],
)
@pytest.mark.parametrize("chunk", [(70, 50, 1), (33, 17, 9)])
def test_every_way_and_every_backend_copies_every_voxel(tmp_path, strategy, name, chunk):
    data = voxels((70, 50, 40), channels=2)
    step = steps(tmp_path, data, chunk, (32, 32, 32), start=(10, 0, 5))
    workers = Workers(strategy, 2)
    done = copy(step, workers, tmp_path, name)
    assert sorted(shard.start for shard in done) == sorted(box.start for box in step.box.tiles((32, 32, 32)))
    np.testing.assert_array_equal(step.sinks[0].read(step.source.info.box), data)
    assert sum(shard.voxels for shard in done) == data[0].size
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("name", ["direct", "buffer", "spool", "re-read"])
def test_the_source_is_decoded_as_often_as_the_plan_says(tmp_path, name):
    data = voxels((70, 50, 40))
    step = steps(tmp_path, data, (70, 50, 1), (32, 32, 32))
    workers = Workers("sequential", 1)
    copy(step, workers, tmp_path, name)
    assert step.source.decoded / data.size == pytest.approx(ways(step, workers)[name].amplification)


@pytest.mark.parametrize("name", ["direct", "buffer", "spool"])
def test_finished_shards_are_left_alone(tmp_path, name):
    step = steps(tmp_path, voxels((70, 50, 40)), (70, 50, 1), (32, 32, 32))
    shards = [(each.mag, box.start) for each, box in step.shards()]
    workers = Workers("threads", 2)
    assert [(s.mag, s.start) for s in copy(step, workers, tmp_path, name, done=frozenset(shards[1:]))] == shards[:1]
    assert copy(step, workers, tmp_path, name, done=frozenset(shards)) == []
    assert len(list((tmp_path / "sink").iterdir())) == 1


def pyramid(step, mags, kernel="median"):
    """The same step, with coarser mags made on the way."""
    sinks = list(step.sinks)
    for mag in mags:
        finer = sinks[-1].spec
        factor = tuple(a // b for a, b in zip(mag, finer.mag, strict=True))
        spec = replace(finer, mag=Mag(*mag), box=finer.box.coarsened(factor))
        sinks.append(replace(sinks[0], spec=spec, folder=sinks[0].folder.with_name(f"mag-{spec.mag}")))
        sinks[-1].folder.mkdir()
    return Step(step.source, tuple(map(WriteShards, sinks)), kernel)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["direct", "buffer", "spool", "re-read"])
def test_coarser_mags_made_on_the_way_are_those_made_of_what_was_written(tmp_path, strategy, name):
    data = voxels((70, 50, 40), channels=2)
    step = pyramid(steps(tmp_path, data, (70, 50, 1), (16, 16, 16), start=(11, 0, 5)), [(2, 2, 1), (4, 4, 2)])
    workers = Workers(strategy, 2)
    if name not in ways(step, workers):
        assert (name, strategy) == ("buffer", "multiprocessing")
        return
    done = copy(step, workers, tmp_path, name)
    assert sorted((s.mag, s.start) for s in done) == sorted((each.mag, box.start) for each, box in step.shards())
    for finer, sink in pairwise(step.sinks):
        factor = tuple(a // b for a, b in zip(sink.spec.mag, finer.spec.mag, strict=True))
        expected = Downsampled(finer, finer.spec.box, factor, "median")
        np.testing.assert_array_equal(sink.read(sink.info.box), expected.read(expected.info.box))


def test_of_several_mags_only_what_is_missing_is_written(tmp_path):
    step = pyramid(steps(tmp_path, voxels((70, 50, 40)), None, (16, 16, 16)), [(2, 2, 1)])
    shards = [(each.mag, box.start) for each, box in step.shards()]
    missing = [shards[3], shards[-1]]
    done = copy(step, Workers("threads", 2), tmp_path, done=frozenset(shards) - set(missing))
    assert sorted((s.mag, s.start) for s in done) == sorted(missing)
    assert [len(list(sink.folder.iterdir())) for sink in step.sinks] == [1, 1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_error_stops_the_run_and_what_is_done_is_told(tmp_path, strategy):
    data = voxels((64, 64, 640))
    step = steps(tmp_path, data, None, (64, 64, 64), fail_at=(0, 0, 200))
    told, error = told_until_error(step, Workers(strategy, 1), tmp_path)
    assert isinstance(error, BrokenSource)
    assert told[:3] == [(0, 0, 0), (0, 0, 64), (0, 0, 128)]
    assert len(told) < 9
    assert len(told) == len(list((tmp_path / "sink").iterdir()))


def test_a_bug_in_a_reader_keeps_its_traceback(tmp_path):
    step = steps(tmp_path, voxels((64, 64, 64)), None, (64, 64, 64))
    (tmp_path / "source.npy").unlink()
    for strategy in ("threads", "multiprocessing"):
        with pytest.raises(FileNotFoundError) as caught:
            copy(step, Workers(strategy, 2), tmp_path)
        assert "in read" in "".join(caught.value.__notes__)


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_but_its_own_task(tmp_path):
    data = voxels((64, 64, 640))
    step = steps(tmp_path, data, None, (64, 64, 64), kill_at=(0, 0, 200))
    told, error = told_until_error(step, Workers("multiprocessing", 2), tmp_path)
    assert isinstance(error, ResourceError)
    assert "1 task" in error.what
    assert sorted(told) == [(0, 0, z) for z in range(0, 640, 64) if z != 192]


@pytest.mark.slow
def test_a_worker_that_is_killed_once_is_survived(tmp_path):
    step = steps(tmp_path, voxels((64, 64, 640)), None, (64, 64, 64))
    fuse = tmp_path / "fuse"
    fuse.touch()
    workers = Workers("multiprocessing", 2)
    doomed = replace(step, source=DiesOnce(step.source, fuse))
    assert len(copy(doomed, workers, tmp_path)) == 10
    assert not fuse.exists()


@pytest.mark.parametrize("name", ["buffer", "spool"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_stream_is_read_once_in_order(tmp_path, name, strategy):
    data = voxels((70, 50, 40))
    step = steps(tmp_path, data, None, (32, 32, 32), start=(3, 4, 5))
    step = replace(step, source=Stream(step.source.path, step.source.info))
    workers = Workers(strategy, 2)
    if name not in ways(step, workers):
        assert (name, strategy) == ("buffer", "multiprocessing")
        return
    assert set(ways(step, workers)) <= {"buffer", "spool", "re-read"}
    copy(step, workers, tmp_path, name)
    np.testing.assert_array_equal(step.sinks[0].read(step.source.info.box), data)
    assert step.source.decoded == data.size


@pytest.mark.parametrize("name", ["buffer", "spool"])
def test_a_stream_is_read_once_wherever_it_lies(tmp_path, name):
    step = steps(tmp_path, voxels((40, 40, 64)), None, (32, 32, 32), start=(3, 4, 30))
    step = replace(step, source=Stream(step.source.path, step.source.info))
    copy(step, Workers("sequential", 1), tmp_path, name)
    assert step.source.decoded == 40 * 40 * 64


@dataclass(frozen=True)
class Misled(Stream):
    """A stream that breaks its word."""

    how: str = ""

    def stream(self):
        parts = list(super().stream())
        if self.how == "ends early":
            return iter(parts[:-1])
        return ((box, data.astype("uint64") if self.how == "dtype" else data[:, 1:]) for box, data in parts)


@pytest.mark.parametrize("how", ["ends early", "dtype", "shape"])
def test_a_stream_that_breaks_its_word_is_named(tmp_path, how):
    step = steps(tmp_path, voxels((40, 40, 40)), None, (32, 32, 32))
    step = replace(step, source=Misled(step.source.path, step.source.info, how=how))
    with pytest.raises(PluginError, match="Misled"):
        copy(step, Workers("sequential", 1), tmp_path, "buffer")


def test_value_ranges_are_those_of_the_finite_voxels(tmp_path):
    data = np.array([np.nan, np.inf, -2.5, 7, -np.inf, np.nan], "float32").reshape(1, 6, 1, 1)
    (shard,) = copy(steps(tmp_path, data, None, (32, 32, 32)), Workers("sequential", 1), tmp_path)
    assert (shard.low, shard.high, shard.nans) == (-2.5, 7.0, 2)
    ids = np.array([0, 2**64 - 1], "uint64").reshape(1, 2, 1, 1)
    (shard,) = copy(steps(tmp_path, ids, None, (32, 32, 32)), Workers("sequential", 1), tmp_path)
    assert (shard.low, shard.high) == (0, 2**64 - 1)


@dataclass(frozen=True)
class Taking(FileSink):
    """Takes what begins at 0 along x from the source's file, as it is."""

    def copy_encoded(self, box, source, observe):
        if box.start[0]:
            return None
        observe(source.read(box).reshape(-1)[:7])
        observe(source.read(box).reshape(-1)[7:])
        return super().write(box, source.read(box))

    def write(self, box, data):
        assert box.start[0], "that was taken"
        return super().write(box, data)


def test_a_sink_takes_what_it_can_and_the_rest_is_written(tmp_path):
    step = steps(tmp_path, voxels((70, 50, 40)), None, (32, 32, 32))
    sink = Taking(tmp_path, step.finest.sink.spec, step.finest.grid)
    told = copy(step, Workers("sequential", 1), tmp_path)
    route = replace(ways(step, Workers("sequential", 1))["direct"], task=(64, 64, 64))
    taking = Step(step.source, (WriteShards(sink),))
    taken = list(run(taking, route, Workers("sequential", 1), tmp_path / "scratch", ()))
    assert sorted(taken, key=lambda done: done.start) == sorted(told, key=lambda done: done.start)
    np.testing.assert_array_equal(sink.read(step.source.info.box), step.source.read(step.source.info.box))


def test_a_slab_is_freed_before_the_next_one_takes_memory(tmp_path, monkeypatch):
    step = steps(tmp_path, voxels((70, 50, 100)), (70, 50, 1), (32, 32, 32))
    slabs, reserve = [], MemorySlab.reserve

    def noted(info, box):
        assert [slab() for slab in slabs] == [None] * len(slabs)
        slab = reserve(info, box)
        slabs.append(weakref.ref(slab))
        return slab

    monkeypatch.setattr(MemorySlab, "reserve", noted)
    copy(step, Workers("sequential", 1), tmp_path, "buffer")
    assert len(slabs) == 4


def test_a_buffer_needs_no_folder_and_removes_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    step, workers = steps(tmp_path, voxels((70, 50, 40)), (70, 50, 1), (32, 32, 32)), Workers("threads", 2)
    assert len(list(run(step, ways(step, workers)["buffer"], workers))) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sink", "source.npy"]


def test_given_boxes_are_read_one_by_one_however_the_source_is_chunked(tmp_path):
    whole = steps(tmp_path, voxels((70, 50, 40)), (70, 50, 1), (32, 32, 32))
    budget = Budget(10**12, 2, True, 10**12, 0)
    boxes = list(whole.box.tiles((32, 32, 32)))[::5]
    step = replace(whole, boxes=iter(boxes))
    assert (route(whole, budget).way, route(step, budget).way) == ("buffer", "direct")
    done = list(run(step, route(step, budget), Workers("threads", 2)))
    assert sorted(shard.start for shard in done) == sorted(box.start for box in boxes)


def test_no_disk_space_for_a_slab_is_refused_before_it_is_used(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    step = steps(tmp_path, voxels((70, 50, 40)), (70, 50, 1), (32, 32, 32))
    with pytest.raises(NoSpace, match=r"no space left for .*slab"):
        copy(step, Workers("sequential", 1), tmp_path, "spool")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    chunk=st.tuples(*[st.integers(1, 40)] * 3),
    start=st.tuples(*[st.integers(0, 40)] * 3),
    name=st.sampled_from(["direct", "buffer", "spool", "re-read"]),
)
def test_any_shape_chunk_and_place_is_copied(tmp_path_factory, shape, chunk, start, name):
    folder = tmp_path_factory.mktemp("any")
    data = voxels(shape)
    step = steps(folder, data, chunk, (16, 16, 16), start)
    assume(name in ways(step, Workers("sequential", 1)))
    copy(step, Workers("sequential", 1), folder, name)
    np.testing.assert_array_equal(step.sinks[0].read(step.source.info.box), data)


class Odd(Exception):
    """An error that cannot be pickled, whoever teaches pickle about errors: dask's packages do."""

    def __init__(self, a, b):
        super().__init__(f"{a} {b}")
        self.held = lambda: None


def test_an_error_that_cannot_travel_goes_as_text():
    told = _picklable(Odd(1, 2))
    assert isinstance(told, RuntimeError)
    assert "Odd: 1 2" in str(told)
    kept = ValueError("x")
    assert _picklable(kept) is kept
