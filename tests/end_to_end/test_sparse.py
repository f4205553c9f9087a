"""A shard that is not there is zero: where a source holds nothing, nothing is written, and nothing is looked at."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.conversions import JOBS, SIZE, carry_out, different, every_mag, files
from helpers.datasets import run as command
from helpers.npy_volumes import FileSink, Telling
from hypothesis import example, given
from hypothesis import strategies as st

from wkconvert_core import Box, BrokenSource, LayerSpec, Mag, MagSpec, VolumeInfo
from wkconvert_core.commands import compress as compressing
from wkconvert_core.commands import downsample as pyramid
from wkconvert_core.commands import recube, upsample
from wkconvert_core.commands.check_equality import check_equality
from wkconvert_core.commands.export import prepare as export
from wkconvert_core.commands.verify import verify
from wkconvert_core.contract.model import DatasetSpec, Downsampler
from wkconvert_core.conversion.execute import convert, execute
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.writer import DatasetWriter
from wkconvert_core.engine.consumers import VerifyShards, WriteShards
from wkconvert_core.engine.loop import Consume, run
from wkconvert_core.engine.workers import Workers
from wkconvert_core.formats.wkw.sink import WkwSink
from wkconvert_core.formats.wkw.source import WkwSource
from wkconvert_core.kernels import KERNELS
from wkconvert_core.kernels import reductions as kernels
from wkconvert_core.planning.costs import Budget, Costs
from wkconvert_core.planning.step import Step
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.sources.downsampled import Downsampled

STRATEGIES = ["sequential", "threads", "multiprocessing"]
ONE = Mag(1, 1, 1)


def unlike(shape, dtype="uint8", seed=0):
    """Voxels that are all other than 0."""
    return np.random.default_rng(seed).integers(1, 200, (1, *shape)).astype(dtype)


def dataset(path, whole, *, mag=ONE, file_len=1, start=(0, 0, 0), dense=False, dtype="uint8", category="color"):
    """Of an extent, the shards that hold anything; all of them, if it is to be dense."""
    data = whole.astype(dtype)
    box = Box(start, data.shape[1:])
    spec = MagSpec("layer", category, mag, box, data.dtype, len(data), (32 * file_len,) * 3, "wkw")
    writer = DatasetWriter(path, DatasetSpec("same", SIZE), {"compression": "none"})
    sink = writer.layer(spec)
    sink.begin()
    for shard in box.tiles(sink.shard_shape):
        part = data[:, *shard.slices_in(box)]
        if dense or part.any():
            sink.write(shard, part)
    writer.finish([LayerSpec("layer", category, box.refined(mag), data.dtype, len(data), [spec])])
    return path


def scattered(shape=(160, 130, 100), places=((3, 5, 7), (150, 100, 70)), side=20):
    whole = np.zeros((1, *shape), "uint8")
    for number, (x, y, z) in enumerate(places):
        part = whole[:, x : x + side, y : y + side, z : z + side]
        part[...] = unlike(part.shape[1:], seed=number)
    return whole


def count(path, mag):
    return len(list((path / "layer" / mag).rglob("x*.wkw")))


def assert_same_voxels(a, b):
    ours, theirs = every_mag(a), every_mag(b)
    assert ours.keys() == theirs.keys()
    for key, voxels in ours.items():
        np.testing.assert_array_equal(voxels, theirs[key])


def assert_sound(path, kernel=None):
    """Sound, and each coarser mag the kernel's, if one is given."""
    for deep in (False, True):
        found = verify(path, deep=deep)
        assert found.sound
        assert kernel is None or {mag.kernel for mag in sorted(found.mags, key=lambda mag: mag.mag)[1:]} == {kernel}


# --- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path):
    """The same voxels, sparse and dense."""
    return tuple(dataset(tmp_path / name, scattered(), dense=name == "dense") for name in ("sparse", "dense"))


COPIES = {
    "recube": lambda src, dst: recube.prepare(src, dst, replace(JOBS, file_len=2, verify=True, name="same")),
    "compress": lambda src, dst: compressing.prepare(src, dst, replace(JOBS, compression="lz4", name="same")),
    "convert": lambda src, dst: recube.prepare(src, dst, replace(JOBS, file_len=1, dtype="uint16", name="same")),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COPIES)
def test_a_copy_has_the_shards_in_which_there_is_anything(tmp_path, pair, command):
    sparse, dense = pair
    for src in pair:
        carry_out(COPIES[command](src, tmp_path / f"{src.name}-copy"))
    assert 0 < count(tmp_path / "sparse-copy", "1") < count(tmp_path / "dense-copy", "1") / 2
    assert_same_voxels(tmp_path / "sparse-copy", tmp_path / "dense-copy")
    if command != "convert":
        assert check_equality(sparse, tmp_path / "sparse-copy").equal
        assert check_equality(dense, tmp_path / "sparse-copy").equal
    ours, theirs = tmp_path / "sparse-copy" / "layer", tmp_path / "dense-copy" / "layer"
    assert all((theirs / path).read_bytes() == (ours / path).read_bytes() for path in files(ours))
    assert_sound(tmp_path / "sparse-copy")


def test_compressing_in_place_adds_no_shard(pair):
    sparse, dense = pair
    before = files(sparse / "layer")
    command("compress", sparse)
    assert files(sparse / "layer") == before
    assert_same_voxels(sparse, dense)
    assert_sound(sparse)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [kernel.name for kernel in KERNELS])
def test_coarser_mags_have_the_shards_in_which_there_is_anything(tmp_path, kernel):
    places = [dataset(tmp_path / n, scattered(), start=(33, 30, 95), dense=n == "dense") for n in ("sparse", "dense")]
    again = shutil.copytree(places[0], tmp_path / "again")
    settings = replace(JOBS, interpolation_mode=kernel, max_mag=8, file_len=1)
    for path in places:
        carry_out(pyramid.prepare(path, settings))
    assert_same_voxels(*places)
    assert check_equality(*places).equal
    assert_sound(places[0], kernel)
    ours, theirs = (path / "layer" for path in places)
    assert all((ours / path).read_bytes() == (theirs / path).read_bytes() for path in files(ours))
    assert 0 < count(places[0], "2-2-1") < count(places[1], "2-2-1") / 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wkconvert_core.planning.route._little_more", lambda *_: False)
        apart = pyramid.prepare(again, settings)
    assert all(len(planned.step.consumers) == 1 for planned in apart.steps), "nothing is made on the way"
    carry_out(apart)
    assert sorted(files(again / "layer")) == sorted(files(ours))


@given(
    start=st.tuples(*[st.integers(0, 9)] * 3),
    shape=st.tuples(*[st.integers(1, 30)] * 3),
    factor=st.tuples(*[st.sampled_from([1, 2, 4])] * 3),
    where=st.tuples(*[st.integers(0, 29)] * 3),
    kernel=st.sampled_from([kernel.name for kernel in KERNELS]),
)
@example(start=(3, 0, 0), shape=(30, 9, 9), factor=(4, 1, 1), where=(0, 0, 0), kernel="median")  # mirrored at the start
@example(start=(0, 0, 0), shape=(9, 5, 9), factor=(1, 4, 1), where=(0, 1, 0), kernel="median")  # and at the end
def test_a_coarser_mag_is_occupied_exactly_where_it_reads_something(start, shape, factor, where, kernel):
    asked, read = [], []
    source = SimpleNamespace(
        info=VolumeInfo(shape, np.dtype("uint8")),
        occupied=lambda box: bool(asked.append(box)),
        read=lambda box: read.append(box) or np.zeros((1, *box.shape), "uint8"),
    )
    made = Downsampled(source, Box(start, shape), factor, kernel, source)
    voxel = Box(tuple(a % n for a, n in zip(where, made.box.shape, strict=True)), (1, 1, 1))
    assert made.occupied(voxel) is False
    made.read(voxel)
    assert asked == read


def test_a_kernel_of_others_that_makes_something_of_nothing_is_asked_everywhere(tmp_path, monkeypatch):
    light = Downsampler("light", lambda block, factor: kernels.mean(block, factor) + 1)
    monkeypatch.setattr("wkconvert_core.sources.downsampled.downsampler", lambda name: light)
    source = every_source(dataset(tmp_path / "ds", scattered((200, 90, 80), places=((3, 3, 3),))))
    assert Downsampled(source, source.info.box, (2, 2, 2), "light", source).occupied is None
    light = replace(light, keeps_zeros=True)
    assert not Downsampled(source, source.info.box, (2, 2, 2), "light", source).occupied(Box((90, 0, 0), (1, 1, 1)))
    assert Downsampled(source, source.info.box, (2, 2, 2), "light").occupied is None, "nobody knows"


def test_finer_mags_have_the_shards_in_which_there_is_anything(tmp_path):
    whole = scattered((90, 80, 70), places=((3, 5, 7), (64, 60, 50)), side=10)
    coarse = {"mag": Mag(4, 4, 2), "start": (5, 0, 3)}
    places = [dataset(tmp_path / n, whole, dense=n == "dense", **coarse) for n in ("sparse", "dense")]
    for path in places:
        carry_out(upsample.prepare(path, replace(JOBS, file_len=2, target_mag=Mag(2, 2, 1))))
    assert_same_voxels(*places)
    assert check_equality(*places).equal
    assert count(places[0], "2-2-1") < count(places[1], "2-2-1") / 2
    assert_sound(places[0])


@pytest.mark.slow
def test_auto_leaves_out_what_a_dataset_does_not_have_and_tells_that_there_is_a_zero(tmp_path):
    whole = scattered().astype("uint16") * 100
    for name in ("sparse", "dense"):
        dataset(tmp_path / name, whole, dtype="uint16", dense=name == "dense")
        convert(tmp_path / name, tmp_path / f"{name}-auto", replace(JOBS, file_len=1, max_mag=4, name="same"))
    assert count(tmp_path / "sparse-auto", "1") == count(tmp_path / "sparse", "1")
    assert_same_voxels(tmp_path / "sparse-auto", tmp_path / "dense-auto")
    said, wanted = ((tmp_path / f"{n}-auto" / "datasource-properties.json").read_text() for n in ("sparse", "dense"))
    assert said == wanted


@pytest.mark.parametrize("command", ["recube", "compress", "downsample", "upsample"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_layer_without_a_shard_is_a_layer(tmp_path, command, strategy):
    src = dataset(tmp_path / "src", np.zeros((1, 70, 60, 50)), mag=Mag(2, 2, 2), category="segmentation")
    jobs = replace(JOBS, strategy=strategy)
    prepared = {
        "recube": lambda: recube.prepare(src, tmp_path / "dst", jobs),
        "compress": lambda: compressing.prepare(src, tmp_path / "dst", jobs),
        "downsample": lambda: pyramid.prepare(src, replace(jobs, max_mag=8)),
        "upsample": lambda: upsample.prepare(src, jobs),
    }[command]()
    told = []
    done = execute(prepared, told.append)
    assert done.shards == 0
    assert told
    assert told[-1].voxels == told[-1].total > 0
    dst = prepared.dst
    assert all((dst / "layer" / str(spec.mag) / "header.wkw").is_file() for spec in done.layers[0].mags)
    assert len(list(dst.rglob("x*.wkw"))) == done.shards
    assert not any(voxels.any() for voxels in every_mag(dst).values())
    assert verify(dst, deep=True).sound


def test_what_is_left_of_a_run_is_done_and_told_to_the_end(tmp_path, pair, monkeypatch):
    whole = COPIES["recube"](pair[0], tmp_path / "whole")
    carry_out(whole)
    calls, real = [], Consume.__call__

    def failing(self):
        calls.append(self.box)
        if len(calls) == 2:
            raise RuntimeError("stopped")
        return real(self)

    once = replace(JOBS, file_len=2, name="same", strategy="sequential")
    monkeypatch.setattr(Consume, "__call__", failing)
    with pytest.raises(RuntimeError):
        carry_out(recube.prepare(pair[0], tmp_path / "dst", once))
    monkeypatch.undo()
    assert count(tmp_path / "dst", "1") == 1
    told = []
    done = execute(recube.prepare(pair[0], tmp_path / "dst", once), told.append)
    assert (done.resumed, done.shards) == (1, count(tmp_path / "whole", "1"))
    assert told[0].voxels < told[-1].voxels == told[-1].total < whole.steps[0].step.voxels
    assert different(tmp_path / "dst" / "layer", tmp_path / "whole" / "layer") == []


def test_a_shard_that_is_not_wanted_and_lies_there_is_found_by_verifying(tmp_path, pair):
    prepared = recube.prepare(pair[0], tmp_path / "dst", replace(JOBS, file_len=1, verify=True))
    carry_out(prepared)
    step = prepared.steps[0].step
    there = next((tmp_path / "dst" / "layer" / "1").rglob("x*.wkw"))
    shutil.copy(there, there.with_name("x2.wkw"))
    shards = [box for _, box in replace(step, consumers=tuple(map(VerifyShards, step.sinks))).shards()]
    assert len(shards) == len(list(step.shards())) + 1


def test_an_exported_stack_has_every_slice(tmp_path, pair):
    prepared = export(pair[0], tmp_path / "tiff", Settings(jobs=2))
    assert len(list(prepared.steps[0].step.shards())) == 100


# --- what it takes ---------------------------------------------------------------------------------------------------


def test_space_and_tasks_are_those_of_what_is_there(tmp_path):
    src = dataset(tmp_path / "src", scattered((64, 64, 64), places=((3, 5, 7),)))
    far = WkwSource(src / "layer" / "1", every_source(src).header, Box((0, 0, 0), (10**6,) * 3))
    spec = MagSpec("layer", "color", ONE, far.box, far.info.dtype, 1)
    step = Step(far, (WriteShards(WkwSink(tmp_path / "dst", spec, file_len=2)),))
    assert step.count_tasks((64, 64, 64)) == len(list(step.shards())) == 1
    assert step.most_bytes < 2 * 64**3
    assert step.voxels == 10**18


def every_source(path):
    (layer,) = plugins().hook.wkconvert_open(format="webknossos", path=path, options={})
    return layer.source


def test_of_more_than_can_be_counted_all_count(tmp_path, monkeypatch):
    src = every_source(dataset(tmp_path / "src", unlike((96, 96, 96))))
    spec = MagSpec("layer", "color", ONE, src.box, src.info.dtype, 1)
    step = Step(src, (WriteShards(WkwSink(tmp_path / "dst", spec, file_len=1)),))
    exact = step.most_bytes, step.count_tasks((32, 32, 32))
    monkeypatch.setattr("wkconvert_core.planning.step.COUNTED_SHARDS", 3)
    assert (replace(step).most_bytes, replace(step).count_tasks((32, 32, 32))) == exact == (exact[0], 27)


# --- the loop --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("way", ["direct", "buffer", "spool", "re-read"])
def test_every_way_and_every_backend_leaves_out_the_same(tmp_path, strategy, way):
    whole = scattered((100, 90, 80), places=((3, 5, 7), (80, 60, 50)))
    source = Telling.make(tmp_path / "source.npy", whole, chunk_shape=(100, 90, 1))
    workers = Workers(strategy, 2)
    writer = WriteShards(sink := wkw(tmp_path / "dst", source))
    costs = Costs(Step(source, (writer,)), Budget(10**12, 2, workers.shared, 10**12, 0), 2)
    known = {"direct": costs.direct(), "buffer": costs.buffer(), "spool": costs.spool(), "re-read": costs.reread()}
    if known[way] is None:
        assert (way, strategy) == ("buffer", "multiprocessing")
        return
    coarser = wkw(tmp_path / "coarser", source, Mag(2, 2, 2))
    step = Step(source, (writer, WriteShards(coarser)), "median")
    route = replace(known[way], task=(64, 64, 64), slab=known[way].slab and (128, 128, 128))
    done = list(run(step, route, workers, tmp_path / "scratch", ()))
    wanted = [s.start for s in sink.spec.box.tiles((32, 32, 32)) if whole[:, *s.slices_in(sink.spec.box)].any()]
    assert sorted(shard.start for shard in done if shard.mag == ONE) == sorted(wanted)
    np.testing.assert_array_equal(sink.source().read(source.info.box), whole)
    made = Downsampled(source, source.info.box, (2, 2, 2), "median")
    np.testing.assert_array_equal(coarser.source().read(made.info.box), made.read(made.info.box))
    there = [shard for shard in coarser.spec.box.tiles((32, 32, 32)) if coarser.source().read(shard).any()]
    assert len(there) == len(list((tmp_path / "coarser").rglob("x*.wkw")))


def wkw(folder, source, mag=ONE):
    box = source.info.box.coarsened(mag)
    return WkwSink(folder, MagSpec("layer", "color", mag, box, source.info.dtype, 1), file_len=1)


def test_a_sink_that_has_no_zeros_of_its_own_gets_them_all(tmp_path):
    source = Telling.make(tmp_path / "source.npy", scattered((100, 90, 80)))
    step = Step(source, (WriteShards(FileSink.make(tmp_path / "sink", source, (32, 32, 32))),))
    assert len(list(step.shards())) == len(list(step.box.tiles((32, 32, 32))))


# --- what a mag on disk tells ----------------------------------------------------------------------------------------


def test_a_mag_tells_by_its_files_and_in_doubt_that_there_is_something(tmp_path):
    source = every_source(dataset(tmp_path / "ds", scattered((100, 90, 1300), places=((40, 40, 1290),), side=5)))
    assert not source.occupied(Box((0, 0, 0), (100, 90, 1280)))
    assert not source.occupied(Box((0, 0, 1280), (32, 90, 20)))
    assert source.occupied(Box((33, 33, 1299), (1, 1, 1)))
    assert source.occupied(source.info.box)
    z0 = source.folder / "z0"
    z0.symlink_to(tmp_path / "nowhere")
    assert source.occupied(Box((0, 0, 0), (1, 1, 1)))
    with pytest.raises(BrokenSource, match="z0 has vanished"):
        source.read(Box((0, 0, 0), (1, 1, 1)))
    z0.unlink()
    (z0 / "y0").mkdir(parents=True)
    (z0 / "y0" / "x0.wkw").symlink_to(tmp_path / "nowhere")
    assert source.occupied(Box((0, 0, 0), (1, 1, 1)))
    (source.folder / "z1").write_text("no folder")
    assert source.occupied(Box((0, 0, 32), (1, 1, 1)))
    assert not source.occupied(Box((0, 0, 64), (1, 1, 1)))
    (source.folder / "header.wkw").unlink()
    assert source.occupied(Box((0, 0, 64), (1, 1, 1)))
