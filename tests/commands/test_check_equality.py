"""`check-equality`: every difference is told, and what is none is not."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from helpers.conversions import PROPERTIES, SIZE, edit, em, invoke
from helpers.datasets import PEER, needs_peer
from helpers.processes import wkconvert
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core import Box, Mag, MagSpec, OptionError, SourceNotFound, UnsupportedSource, VoxelSize
from wkconvert_core.commands.check_equality import check_equality
from wkconvert_core.contract.errors import DamagedData, ResourceError, WkconvertError
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk
from wkconvert_core.datasets.properties import StoredLayer
from wkconvert_core.engine.workers import Workers
from wkconvert_core.formats.wkw import Wkw
from wkconvert_core.formats.wkw.sink import WkwSink
from wkconvert_core.inspection.compare import CompareStored, compare, sampled_boxes, step_between
from wkconvert_core.kernels import KERNELS
from wkconvert_core.planning.costs import Budget
from wkconvert_core.sources.downsampled import Downsampled


@pytest.fixture
def make(tmp_path, reader):
    """Converts voxels [c, x, y, z] to a dataset of a name."""

    def dataset(name, voxels, **more):
        plain = Settings(SIZE, layer_name="em", category="color", max_mag=2)
        convert(reader(tmp_path / f"{name}-src", voxels), tmp_path / name, replace(plain, **more))
        return tmp_path / name

    return dataset


def facts(found):
    return [(each.what, each.layer) for each in found.metadata]


# --- voxels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint64", "float32"])
def test_shards_and_compression_are_no_difference(make, dtype):
    a = make("a", em(dtype=dtype), file_len=1, compression="none")
    b = make("b", em(dtype=dtype), file_len=4, compression="lz4hc")
    found = check_equality(a, b)
    assert found.equal
    assert [(mag.mag, mag.voxels) for mag in found.mags] == [(Mag(1, 1, 1), 168_000), (Mag(2, 2, 1), 42_000)]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["threads", "multiprocessing", "sequential"])
@pytest.mark.parametrize("start_z", [0, 7])
def test_the_first_difference_and_the_count_are_what_numpy_says(make, strategy, start_z):
    ours = em(channels=3)
    theirs, rng = ours.copy(), np.random.default_rng(1)
    for _ in range(50):
        theirs[tuple(rng.integers(0, ours.shape))] ^= 3
    same = {"downsample": False, "start_z": start_z}
    mag = check_equality(
        make("a", ours, file_len=1, **same), make("b", theirs, **same), Settings(strategy=strategy)
    ).mags[0]
    differing = (ours != theirs).any(axis=0)
    z, y, x = (int(axis[0]) for axis in np.nonzero(differing.T))
    c = int(np.nonzero(ours[:, x, y, z] != theirs[:, x, y, z])[0][0])
    assert mag.difference.count == differing.sum()
    assert mag.difference.place == (x, y, z + start_z)
    assert mag.difference.channel == c
    assert mag.difference.values == (ours[c, x, y, z], theirs[c, x, y, z])


def test_large_ids_are_compared_exactly(make):
    ours = np.full((1, 32, 32, 32), 2**63 + 1, "uint64")
    theirs = ours.copy()
    theirs[0, 31, 30, 29] += 1
    found = check_equality(
        *(make(n, v, category="segmentation", downsample=False) for n, v in (("a", ours), ("b", theirs)))
    )
    assert found.mags[0].difference.values == (2**63 + 1, 2**63 + 2)
    assert found.mags[0].difference.place == (31, 30, 29)


def test_nan_equals_nan_and_nothing_else(make):
    ours = em(dtype="float32")
    ours[0, 5:20, :, 3] = np.nan
    theirs = ours.copy()
    a, same = make("a", ours), make("b", theirs)
    assert check_equality(a, same).equal
    theirs[0, 6, 7, 3] = 1
    theirs[0, 60, 7, 3] = np.nan
    difference = check_equality(a, make("c", theirs)).mags[0].difference
    assert (difference.count, difference.place, str(difference.values[0])) == (2, (6, 7, 3), "nan")


def test_a_difference_in_a_coarser_mag_alone_is_found(make):
    a, b = make("a", em()), make("b", em(), interpolation_mode="mean")
    found = check_equality(a, b)
    assert not found.equal
    assert found.mags[0].difference is None
    assert found.mags[1].difference.count > 1000
    assert check_equality(a, b, mags=[Mag(1, 1, 1)]).equal


def test_a_missing_shard_equals_zeros(make):
    voxels = em((128, 64, 64))
    voxels[:, 64:] = 0
    a, b = make("a", voxels, file_len=2), make("b", voxels, file_len=2)
    for shard in b.glob("em/1/z0/y0/x1.wkw"):
        shard.unlink()
    assert check_equality(a, b).equal


def test_a_missing_shard_differs_from_voxels(make):
    voxels = em((128, 64, 64))
    a, b = make("a", voxels, file_len=2, downsample=False), make("b", voxels, file_len=2, downsample=False)
    (b / "em/1/z0/y0/x1.wkw").unlink()
    for first, second in ((a, b), (b, a)):
        found = check_equality(first, second).mags[0].difference
        assert found.count == np.count_nonzero(voxels[:, 64:])


def test_the_first_difference_is_the_lowest_of_all_cells(make):
    ours = em()
    theirs = ours.copy()
    theirs[0, 5, 5, 20] ^= 1
    theirs[0, 40, 5, 3] ^= 1
    a, b = make("a", ours, file_len=1), make("b", theirs, file_len=1)
    found = check_equality(a, b, Settings(strategy="sequential")).mags[0].difference
    assert (found.count, found.place) == (2, (40, 5, 3))


@pytest.mark.parametrize("side", [32, 64])
def test_cubes_are_alike_whatever_the_shards_are_like(make, side):
    ours = em((130, 128, 64), dtype="uint16")
    theirs = ours.copy()
    theirs[0, 100, 90, 40] ^= 1
    a = make("a", ours, file_len=4, downsample=False)
    b = make("b", theirs, file_len=2, downsample=False, compression="none")
    first, second = (source_of(dataset) for dataset in (a, b))
    assert first.compares_with(second, side)
    assert not first.compares_with(second, 128)
    cubes = {box: box.aligned((side,) * 3) for box in first.box.tiles((side,) * 3)}
    unlike = [box for box, cube in cubes.items() if not first.holds_the_same(second, cube)]
    assert unlike == [box for box in cubes if Box((100, 90, 40), (1, 1, 1)) in box]
    assert all(first.holds_the_same(first, cube) for cube in cubes.values())


def source_of(dataset):
    return Dataset.open(dataset).mags[0].open()


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_sampled_boxes_are_cells_within_the_extent_each_once(data):
    numbers = st.tuples(*[st.integers(0, 300)] * 3)
    start, shape = data.draw(numbers), tuple(n + 1 for n in data.draw(numbers))
    box = Box(start, shape)
    boxes = sampled_boxes(box, (64, 64, 64), 8, "seed")
    cells = list(box.tiles((64, 64, 64)))
    assert len(set(boxes)) == len(boxes) == min(8, len(cells))
    assert set(boxes) <= set(cells)
    assert {cells[0], cells[-1]} <= set(boxes)
    assert boxes == sampled_boxes(box, (64, 64, 64), 8, "seed")


# --- metadata --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda top, layer: top.update(scale={"factor": [4, 4, 36], "unit": "nanometer"}), ("voxel_size", None)),
        (lambda top, layer: top.update(scale={"factor": [4, 4, 35], "unit": "micrometer"}), ("voxel_size", None)),
        (lambda top, layer: layer.update(category="segmentation"), ("category", "em")),
        (lambda top, layer: layer.update(largestSegmentId=5), ("largest_segment_id", "em")),
        (lambda top, layer: layer["boundingBox"].update(depth=39), ("bounding_box", "em")),
        (lambda top, layer: layer["boundingBox"].update(topLeft=[0, 0, 1]), ("bounding_box", "em")),
        (lambda top, layer: layer["mags"].pop(), ("mags", "em")),
        (lambda top, layer: top["dataLayers"].clear(), ("layers", None)),
    ],
)
def test_every_fact_of_the_metadata_is_compared(make, change, what):
    a, b = make("a", em()), make("b", em())
    assert check_equality(a, b).equal
    edit(b, change)
    for first, second in ((a, b), (b, a)):
        found = check_equality(first, second)
        assert facts(found) == [what]
        assert not found.equal
        assert not any(mag.difference for mag in found.mags)


@pytest.mark.parametrize(
    "scale", [[4, 4, 35], [4.0000001, 4, 35], {"factor": [0.004, 0.004, 0.035], "unit": "micrometer"}]
)
def test_the_same_voxel_size_in_other_words_is_no_difference(make, scale):
    a, b = make("a", em()), make("b", em())
    edit(b, lambda top, layer: top.update(scale=scale))
    assert check_equality(a, b).equal


def test_metadata_of_2021_are_no_difference(make):
    a, b = make("a", em(channels=3)), make("b", em(channels=3))

    def older(top, layer):
        mags = [{"resolution": entry["mag"], "cubeLength": entry["cubeLength"]} for entry in layer.pop("mags")]
        layer.pop("numChannels")
        layer["wkwResolutions"] = mags
        top["scale"] = [4, 4, 35]

    edit(b, older)
    assert check_equality(a, b).equal


def test_other_dtypes_and_channels_are_told_their_voxels_not_compared(make):
    a = make("a", em())
    for name, other, what in (("b", em(dtype="uint16"), "dtype"), ("c", em(channels=3), "channels")):
        found = check_equality(a, make(name, other))
        assert (what, "em") in facts(found)
        assert not found.mags
        assert "not compared" in found.notes[0]


def test_voxels_are_compared_where_both_extents_are(make):
    a, b = make("a", em(), downsample=False), make("b", em((70, 60, 40))[:, :50], downsample=False)
    found = check_equality(a, b)
    assert facts(found) == [("bounding_box", "em")]
    assert found.mags[0].voxels == 50 * 60 * 40
    assert found.mags[0].difference is None


# --- what cannot be compared -----------------------------------------------------------------------------------------


def test_names_that_neither_has_are_refused(make):
    a = make("a", em())
    with pytest.raises(OptionError, match="--layer-name labels"):
        check_equality(a, a, layers=["labels"])
    with pytest.raises(OptionError, match="--mag 8"):
        check_equality(a, a, mags=[Mag(8, 8, 8)])


def test_what_is_no_dataset_or_damaged_is_an_error(make, tmp_path):
    a, b = make("a", em()), make("b", em())
    for other in (tmp_path / "gone", tmp_path / "a-src", a / PROPERTIES):
        with pytest.raises(SourceNotFound):
            check_equality(a, other)
    shard = b / "em/1/z0/y0/x0.wkw"
    shard.write_bytes(shard.read_bytes()[:-1])
    for first, second in ((a, b), (b, a)):
        with pytest.raises(DamagedData, match="x0"):
            check_equality(first, second)
    (b / "em/1/header.wkw").unlink()
    with pytest.raises(WkconvertError, match="no mag of WKW"):
        check_equality(a, b)
    with pytest.raises(ResourceError, match="--memory"):
        check_equality(a, a, Settings(memory=1 << 20))


def test_layers_of_other_formats_are_refused_unless_left_out(make):
    a, b = make("a", em()), make("b", em())
    for dataset in (a, b):
        edit(dataset, lambda top, layer: top["dataLayers"].append({**layer, "name": "z", "dataFormat": "n5"}))
    with pytest.raises(UnsupportedSource, match="n5"):
        check_equality(a, b)
    assert check_equality(a, b, layers=["em"]).equal


# --- the peer --------------------------------------------------------------------------------------------------------

MAKE = """
import numpy as np, sys, webknossos as wk
dataset = wk.Dataset(sys.argv[1], voxel_size=(4, 4, 35))
layer = dataset.add_layer("em", "color", dtype_per_channel="uint8", data_format="webknossos")
data = np.load(sys.argv[2])
layer.add_mag(1, compress=True, shard_shape=1024).write(data[0], allow_unaligned=True, allow_resize=True)
"""


@needs_peer
def test_a_dataset_of_the_peer_equals_ours_until_a_voxel_differs(make, tmp_path):
    voxels = em((130, 70, 40))
    np.save(tmp_path / "voxels.npy", voxels)
    subprocess.run([PEER, "-c", MAKE, tmp_path / "peer", tmp_path / "voxels.npy"], check=True, capture_output=True)
    ours = make("a", voxels, downsample=False)
    assert check_equality(ours, tmp_path / "peer").equal
    voxels[0, 129, 69, 39] += 1
    spec = MagSpec("em", "color", Mag(1, 1, 1), Box((0, 0, 0), (130, 70, 40)), np.dtype("uint8"), 1)
    sink = WkwSink(tmp_path / "other" / "em/1", spec, file_len=32)
    sink.write(spec.box, voxels)
    (tmp_path / "other" / PROPERTIES).write_text((ours / PROPERTIES).read_text())
    found = check_equality(tmp_path / "other", tmp_path / "peer").mags[0].difference
    assert (found.count, found.place) == (1, (129, 69, 39))


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_tells_what_differs(make):
    a, b = make("a", em()), make("b", em(), interpolation_mode="mean", voxel_size=VoxelSize((4, 4, 36)))
    assert invoke("check-equality", a, a, "--quiet").output == ""
    assert "are equal" in invoke("check-equality", a, a, "--memory", "8GiB").stdout
    told = invoke("check-equality", a, b, "--quiet")
    assert told.exit_code == 1
    assert "voxel size differs: 4 x 4 x 35 nm and 4 x 4 x 36 nm" in told.stdout
    assert "em mag 2-2-1: " in told.stdout
    document = json.loads(invoke("check-equality", a, b, "--json", "--layer-name", "em", "--mag", "2-2-1").stdout)
    assert document["equal"] is False
    assert document["metadata"][0]["what"] == "voxel_size"
    assert document["mags"][0]["differing"] > 0
    assert document["mags"][0]["first"]["place"] == list(check_equality(a, b).mags[1].difference.place)


@pytest.mark.parametrize("json_too", [False, True])
def test_the_exit_code_is_2_where_nothing_can_be_compared(make, tmp_path, json_too):
    a, b = make("a", em()), make("b", em())
    (b / "em/1/z0/y0/x0.wkw").write_bytes(b"")
    for other in (b, tmp_path / "gone"):
        done = wkconvert("check-equality", a, other, *["--json"] * json_too)
        assert done.returncode == 2
        assert str(other) in (json.loads(done.stdout)["error"]["what"] if json_too else done.stderr)


def test_nan_is_text_in_the_document(make):
    ours = em(dtype="float32")
    theirs = ours.copy()
    theirs[0, 0, 0, 0] = np.nan
    told = invoke("check-equality", make("a", ours), make("b", theirs), "--json").stdout
    assert json.loads(told, parse_constant=pytest.fail)["mags"][0]["first"]["b"] == "nan"


# --- what is not there -----------------------------------------------------------------------------------------------


def sparse(make, tmp_path, name, kept, far=0):
    """A dataset of which only some shards are left, `far` voxels longer than they reach."""
    path = make(name, em((96, 96, 64)), downsample=False, file_len=1, strategy="sequential")
    for shard in (path / "em" / "1").rglob("x*.wkw"):
        if str(shard.relative_to(path / "em" / "1")) not in kept:
            shard.unlink()
    edit(path, lambda properties, layer: layer["boundingBox"].update(width=96 + far))
    return path


def test_a_shard_that_only_one_has_is_compared_with_zeros(make, tmp_path):
    both = "z0/y0/x0.wkw"
    a = sparse(make, tmp_path, "a", {both, "z1/y2/x1.wkw"})
    b = sparse(make, tmp_path, "b", {both})
    c = sparse(make, tmp_path, "c", {both})
    voxels = int(em((96, 96, 64))[:, 32:64, 64:96, 32:64].astype(bool).sum())
    for one, other in ((a, b), (b, a)):
        (mag,) = check_equality(one, other).mags
        assert (mag.difference.count, mag.voxels) == (voxels, 96 * 96 * 64)
    assert check_equality(b, c).equal


@pytest.mark.parametrize("file_len", [1, 2])
def test_where_neither_has_a_shard_nothing_is_looked_at(make, tmp_path, monkeypatch, file_len):
    a = sparse(make, tmp_path, "a", {"z0/y0/x0.wkw", "z1/y2/x1.wkw"}, far=32 * 10**12)
    b = make("b", em((96, 96, 64)) * 0, downsample=False, file_len=file_len)
    shutil.rmtree(b / "em" / "1" / "z0", ignore_errors=True)
    shutil.rmtree(b / "em" / "1" / "z1", ignore_errors=True)
    edit(b, lambda properties, layer: layer["boundingBox"].update(width=96 + 32 * 10**12))
    asked, take = [], CompareStored.take_encoded
    monkeypatch.setattr(CompareStored, "take_encoded", lambda *args: asked.append(args[1].start) or take(*args))
    told = []
    (mag,) = check_equality(a, b, Settings(strategy="sequential"), listen=told.append).mags
    assert asked == [(0, 0, 0), (32, 64, 32)]
    assert mag.voxels == told[-1].voxels == told[-1].total == (96 + 32 * 10**12) * 96 * 64
    assert mag.difference.place == (0, 0, 0)


# --- how far floats may differ ---------------------------------------------------------------------------------------


def floats(tmp_path, kernel, change, spike=1e9):
    """Whether a mag of floats, made by a kernel and changed since, is found to differ, and in how many voxels."""
    rng = np.random.default_rng(0)
    fine = rng.normal(100, 10, (1, 64, 64, 64)).astype("float32")
    fine[0, 0, 0, 0] = spike
    layer = StoredLayer("em", "color", Box((0, 0, 0), (64, 64, 64)), np.dtype("float32"), 1, "wkw", {})
    source = written(tmp_path / "fine", Mag(1, 1, 1), fine)
    made = Downsampled(source, source.box, (2, 2, 2), kernel)
    written(tmp_path / "coarse", Mag(2, 2, 2), change(made.read(made.info.box)))
    finer, coarser = (
        MagOnDisk("em", Mag(*[n] * 3), tmp_path / name, Wkw(), layer) for n, name in ((1, "fine"), (2, "coarse"))
    )
    budget = Budget(1 << 30, 1, True, 0, 0)
    step = step_between(finer, coarser, kernel, budget, deep=True)
    found = compare(step, budget, Workers("sequential", 1), lambda voxels: None)
    return found.count if found else 0


def written(folder, mag, data):
    spec = MagSpec("em", "color", mag, Box((0, 0, 0), data.shape[1:]), data.dtype, 1)
    sink = WkwSink(folder, spec, "none", file_len=2)
    for shard in spec.box.tiles(sink.shard_shape):
        sink.write(shard, data[:, *shard.slices_in(spec.box)])
    return sink.source()


@pytest.mark.parametrize("kernel", [kernel.name for kernel in KERNELS])
def test_a_large_value_hides_no_error_elsewhere(tmp_path, kernel):
    def change(coarse):
        coarse[0, 20:30, 20, 20] += 500
        return coarse

    assert floats(tmp_path, kernel, change) == 10


@pytest.mark.parametrize("kernel", [kernel.name for kernel in KERNELS])
@pytest.mark.parametrize("spike", [1e9, np.inf, np.nan])
def test_sums_may_differ_as_they_do_from_one_version_of_numpy_to_the_next(tmp_path, kernel, spike):
    def change(coarse):
        coarse[0, 20:30, 20, 20] *= np.float32(1 + 3e-7)
        return coarse

    assert floats(tmp_path, kernel, change, spike) == (
        10 if kernel in ("median", "mode", "nearest", "min", "max") else 0
    )


@pytest.mark.parametrize("kernel", ["mean", "bilinear", "bicubic"])
def test_of_large_values_that_cancel_out_the_rest_may_differ(tmp_path, kernel):
    def change(coarse):
        coarse[0, 0, 0, 0] += 100  # of 1e9 / 8
        return coarse

    assert floats(tmp_path, kernel, change) == 0
    assert floats(tmp_path / "more", kernel, lambda coarse: change(coarse) + np.float32(1)) > 30_000
