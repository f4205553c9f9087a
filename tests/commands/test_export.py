"""`export-tiff`: what tifffile finds in the files, and what reading them back with `auto` gives."""

import json
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from helpers.conversions import carry_out, different, invoke
from helpers.processes import FRESH

from wkconvert_core import DTYPES, Box, Mag, OptionError, PluginError, SourceNotFound, VoxelSize
from wkconvert_core.commands import export
from wkconvert_core.commands.export import Pictures, prepare
from wkconvert_core.commands.info import describe
from wkconvert_core.contract.errors import NoSpace, ResourceError, TargetExists
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.reader import open_layers
from wkconvert_core.registry.plugins import Plugins, plugins
from wkconvert_core.toolkit.atomic import writing

SIZE = VoxelSize((11.24, 11.25, 28.0), "nm")
needs_tiff = pytest.mark.skipif("tiff" not in plugins().formats(), reason="wkconvert-tiff is not installed")
needs_tiles = pytest.mark.skipif("tiles" not in plugins().formats(), reason="wkconvert-tiles is not installed")


def values(dtype, shape, seed=0):
    """Random voxels of the whole range of a dtype, in lumps: what a stack of ids looks like."""
    kind = np.dtype(dtype)
    rng = np.random.default_rng(seed)
    if kind.kind == "f":
        return rng.normal(size=shape).astype(kind)
    return rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, kind, endpoint=True)


@pytest.fixture
def dataset(tmp_path, reader):
    """Makes a WKW dataset of one layer from voxels [c, x, y, z]."""

    def make(voxels, name="src", **settings):
        given = {"category": "color", "layer_name": "em", "voxel_size": SIZE, "downsample": False, **settings}
        info = {"offset": given.pop("offset", (0, 0, 0))}
        convert(reader(tmp_path / f"{name}-raw", voxels, **info), tmp_path / name, Settings(**given))
        return tmp_path / name

    return make


def exported(src, out, *, mag=None, downsample=1, tile_size=None, tiles=None, **settings):
    return carry_out(prepare(src, out, Settings(**settings), Pictures(mag, downsample, tile_size, tiles)))


def layer(path, name=None):
    layers = open_layers(path)
    assert name or len(layers) == 1
    return next(layer for layer in layers if name in (None, layer.name))


def voxels_of(path, name=None, mag=Mag(1, 1, 1)):  # noqa: B008
    source = layer(path, name).mags[mag]
    return source.read(source.info.box)


def stack(out):
    """The slices that tifffile finds, as voxels [c, x, y, z]."""
    tifffile = pytest.importorskip("tifffile")
    pictures = [tifffile.imread(path) for path in sorted(out.glob("*.tif"))]
    return np.stack([picture.reshape(*picture.shape[:2], -1) for picture in pictures]).transpose(3, 2, 1, 0)


def names(out):
    return sorted(str(path.relative_to(out)) for path in out.rglob("*.tif*"))


# --- there and back --------------------------------------------------------------------------------------------------


@needs_tiff
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("category", ["color", "segmentation"])
def test_a_stack_comes_back_with_the_same_voxels_and_the_same_voxel_size(tmp_path, dataset, dtype, category):
    if category == "segmentation" and dtype.startswith("float"):
        pytest.skip("labels are whole numbers")
    voxels = values(dtype, (1, 75, 40, 12))
    src = dataset(voxels, category=category)
    done = exported(src, tmp_path / "out")
    assert done.shards == 12
    assert names(tmp_path / "out") == [f"em_{z:05}.tif" for z in range(1, 13)]
    np.testing.assert_array_equal(stack(tmp_path / "out"), voxels)
    back = convert(tmp_path / "out", tmp_path / "back", Settings(downsample=False, category=category))
    assert (back.conversion.voxel_size.size, back.conversion.voxel_size.unit) == (SIZE.size, SIZE.unit)
    assert back.conversion.voxel_size.origin == "ImageJ tags"
    assert voxels_of(tmp_path / "back").dtype == dtype
    np.testing.assert_array_equal(voxels_of(tmp_path / "back"), voxels)


@needs_tiff
def test_colours_come_back_as_one_layer(tmp_path, dataset):
    voxels = values("uint8", (3, 75, 40, 5))
    exported(dataset(voxels), tmp_path / "out")
    convert(tmp_path / "out", tmp_path / "back", Settings(downsample=False))
    np.testing.assert_array_equal(voxels_of(tmp_path / "back"), voxels)


@needs_tiff
def test_ids_beyond_53_bits_come_back(tmp_path, dataset):
    voxels = np.array([2**64 - 1, 2**63 + 1, 2**53 + 1, 0], "uint64").reshape(1, 2, 2, 1)
    exported(dataset(voxels, category="segmentation"), tmp_path / "out")
    convert(tmp_path / "out", tmp_path / "back", Settings(category="segmentation", downsample=False))
    np.testing.assert_array_equal(voxels_of(tmp_path / "back"), voxels)


@pytest.mark.slow
@needs_tiff
@needs_tiles
@pytest.mark.parametrize("dtype", DTYPES)
def test_tiles_come_back_with_the_same_voxels_and_the_same_voxel_size(tmp_path, dataset, dtype):
    voxels = values(dtype, (1, 75, 40, 3))
    exported(dataset(voxels), tmp_path / "out", tile_size=(32, 25))
    assert names(tmp_path / "out") == [f"{z}/{y}/{x}.tiff" for z in range(3) for y in range(2) for x in range(3)]
    back = convert(tmp_path / "out", tmp_path / "back", Settings(downsample=False, category="color"))
    assert (back.conversion.voxel_size.size, back.conversion.voxel_size.unit) == (SIZE.size, SIZE.unit)
    np.testing.assert_array_equal(voxels_of(tmp_path / "back"), voxels)


@needs_tiff
def test_the_voxel_size_is_that_of_the_pixels(tmp_path, dataset):
    src = dataset(values("uint8", (1, 64, 64, 8)), downsample=True, max_mag=4, voxel_size=VoxelSize((4.0, 5.0, 35.0)))
    exported(src, tmp_path / "out", mag=Mag(2, 2, 1), downsample=4)
    found = describe(tmp_path / "out").layers[0]
    assert found.voxel_size.size == (32.0, 40.0, 35.0)
    assert found.info.shape == (8, 8, 8)


# --- which part ------------------------------------------------------------------------------------------------------


@needs_tiff
def test_the_finest_mag_is_taken_unless_another_is_named(tmp_path, dataset):
    src = dataset(values("uint16", (1, 70, 50, 9)), downsample=True, max_mag=4)
    exported(src, tmp_path / "one")
    np.testing.assert_array_equal(stack(tmp_path / "one"), voxels_of(src))
    exported(src, tmp_path / "four", mag=Mag(4, 4, 2))
    np.testing.assert_array_equal(stack(tmp_path / "four"), voxels_of(src, mag=Mag(4, 4, 2)))


@needs_tiff
@pytest.mark.parametrize("offset", [(0, 0, 0), (37, 5, 70)])
def test_a_bounding_box_is_one_of_mag_1_wherever_the_layer_lies(tmp_path, dataset, offset):
    voxels = values("uint16", (1, 70, 50, 40))
    src = dataset(voxels, offset=offset, downsample=True, max_mag=2)
    x, y, z = offset
    exported(src, tmp_path / "one", bbox=Box((x + 11, y + 7, z + 3), (20, 31, 33)))
    np.testing.assert_array_equal(stack(tmp_path / "one"), voxels[:, 11:31, 7:38, 3:36])
    exported(src, tmp_path / "two", bbox=Box((x + 11, y + 7, z + 3), (20, 31, 33)), mag=Mag(2, 2, 1))
    first = (x + 11) // 2 - x // 2, (y + 7) // 2 - y // 2
    last = -(-(x + 31) // 2) - x // 2, -(-(y + 38) // 2) - y // 2
    coarse = voxels_of(src, mag=Mag(2, 2, 1))
    np.testing.assert_array_equal(stack(tmp_path / "two"), coarse[:, first[0] : last[0], first[1] : last[1], 3:36])


@needs_tiff
@pytest.mark.parametrize("category", ["color", "segmentation"])
def test_downsampling_gives_the_pixels_of_the_coarser_mag(tmp_path, dataset, category):
    src = dataset(values("uint16", (1, 71, 50, 9)) % 5, downsample=True, max_mag=2, category=category)
    exported(src, tmp_path / "out", downsample=2)
    np.testing.assert_array_equal(stack(tmp_path / "out"), voxels_of(src, mag=Mag(2, 2, 1)))


@needs_tiff
def test_downsampling_begins_where_the_bounding_box_does(tmp_path, dataset):
    voxels = values("uint16", (1, 70, 50, 3))
    exported(dataset(voxels), tmp_path / "out", downsample=2, bbox=Box((11, 7, 0), (40, 30, 3)))
    part = voxels[:, 11:51, 7:37].reshape(1, 20, 2, 15, 2, 3).swapaxes(2, 3).reshape(1, 20, 15, 4, 3)
    expected = np.sort(part, axis=3)[:, :, :, 1:3].astype("float64").mean(axis=3).astype("uint16")
    np.testing.assert_array_equal(stack(tmp_path / "out"), expected)


@needs_tiff
def test_the_layer_is_named_where_there_are_several(tmp_path, dataset, reader):
    src = dataset(values("uint8", (1, 40, 40, 4)))
    labels = values("uint32", (1, 40, 40, 4))
    more = reader(tmp_path / "labels-raw", labels)
    convert(more, src, Settings(add=True, layer_name="labels", category="segmentation", downsample=False))
    with pytest.raises(OptionError, match="has 2 layers") as caught:
        exported(src, tmp_path / "out")
    assert "em, labels" in caught.value.fix
    exported(src, tmp_path / "out", layer_name="labels")
    np.testing.assert_array_equal(stack(tmp_path / "out"), labels)
    with pytest.raises(OptionError, match="--layer-name other is not in") as caught:
        exported(src, tmp_path / "out2", layer_name="other")
    assert "em, labels" in caught.value.fix


# --- files -----------------------------------------------------------------------------------------------------------


@needs_tiff
def test_tiles_can_be_counted_instead_of_measured(tmp_path, dataset):
    tifffile = pytest.importorskip("tifffile")
    voxels = values("uint64", (1, 70, 50, 2))
    exported(dataset(voxels), tmp_path / "out", tiles=(3, 2))
    assert names(tmp_path / "out") == [f"{z}/{y}/{x}.tiff" for z in range(2) for y in range(2) for x in range(3)]
    assert tifffile.imread(tmp_path / "out/0/0/0.tiff").shape == (25, 24)
    rows = [np.hstack([tifffile.imread(tmp_path / f"out/1/{y}/{x}.tiff") for x in range(3)]) for y in range(2)]
    np.testing.assert_array_equal(np.vstack(rows), voxels[0, ..., 1].T)


@needs_tiff
def test_a_name_begins_the_files_names(tmp_path, dataset):
    exported(dataset(values("uint8", (1, 40, 40, 2))), tmp_path / "out", name="my em")
    assert names(tmp_path / "out") == ["my em_00001.tif", "my em_00002.tif"]


@needs_tiff
def test_pixels_can_stay_raw(tmp_path, dataset):
    voxels = np.zeros((1, 64, 64, 2), "uint8")
    src = dataset(voxels)
    exported(src, tmp_path / "raw", compression="none")
    exported(src, tmp_path / "deflated")
    sizes = [(tmp_path / name / "em_00001.tif").stat().st_size for name in ("raw", "deflated")]
    assert sizes[0] > 4096 > sizes[1]
    np.testing.assert_array_equal(stack(tmp_path / "raw"), voxels)


@pytest.mark.slow
@needs_tiff
@pytest.mark.parametrize("how", [{"strategy": "sequential"}, {"strategy": "multiprocessing", "jobs": 2}, {"jobs": 7}])
def test_every_way_writes_the_same_bytes(tmp_path, dataset, how):
    src = dataset(values("uint16", (1, 100, 90, 70)))
    exported(src, tmp_path / "usual", verify=True)
    exported(src, tmp_path / "other", **how)
    assert different(tmp_path / "usual", tmp_path / "other", "*.tif*") == []


# --- memory ----------------------------------------------------------------------------------------------------------


@needs_tiff
def test_blocks_are_decoded_once_for_all_their_slices(tmp_path, dataset):
    src = dataset(values("uint8", (1, 256, 256, 64)))
    (step,) = prepare(src, tmp_path / "out", Settings(memory=4 << 30)).steps
    assert step.route.amplification == 1.0
    assert (step.route.slab or step.route.task)[2] >= 32, "a block of WKW is as deep"


@needs_tiff
def test_slabs_are_filled_on_the_grid_of_blocks_wherever_the_layer_lies(tmp_path, dataset):
    src = dataset(values("uint8", (1, 64, 64, 64)), offset=(37, 5, 70))
    (step,) = prepare(src, tmp_path / "out", Settings(bbox=Box((50, 10, 80), (40, 40, 40)))).steps
    info = step.step.source.info
    assert [(a + b) % 32 for a, b in zip(info.chunk_start, (50, 10, 80), strict=True)] == [0, 0, 0]


@pytest.mark.slow
@needs_tiff
def test_little_memory_gives_the_same_files_through_a_scratch_file(tmp_path, dataset, monkeypatch):
    voxels = values("uint16", (1, 512, 512, 64))
    src = dataset(voxels, compression="none")
    monkeypatch.setattr("wkconvert_core.toolkit.process.baseline_bytes", lambda: 0)
    conversion = prepare(src, tmp_path / "out", Settings(memory=12 << 20, jobs=1))
    assert conversion.steps[0].route.way == "spool"
    assert conversion.memory <= 12 << 20
    carry_out(conversion)
    np.testing.assert_array_equal(stack(tmp_path / "out"), voxels)
    assert names(tmp_path / "out") == [f"em_{z:05}.tif" for z in range(1, 65)], "no scratch is left"


@needs_tiff
def test_a_slice_beyond_the_memory_is_refused_with_what_would_do(tmp_path, dataset, monkeypatch):
    src = dataset(values("uint16", (1, 512, 512, 2)))
    monkeypatch.setattr("wkconvert_core.toolkit.process.baseline_bytes", lambda: 0)
    with pytest.raises(ResourceError, match="does not fit in --memory") as caught:
        prepare(src, tmp_path / "out", Settings(memory=600_000, jobs=1))
    assert "--tile-size" in caught.value.fix
    assert "file-len" not in caught.value.fix
    enough = caught.value.fix.split()[2].rstrip(";")
    told = invoke("export-tiff", src, tmp_path / "out", "--memory", enough, "--jobs", 1)
    assert told.exit_code == 0
    prepare(src, tmp_path / "tiles", Settings(memory=600_000, jobs=1), Pictures(tile_size=(64, 64)))


# --- done means done -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_tiff
def test_a_killed_export_is_nowhere_and_the_same_command_ends_it_byte_for_byte(tmp_path, dataset):
    src = dataset(values("uint16", (1, 300, 300, 120)))
    exported(src, tmp_path / "clean")
    command = [*FRESH, "export-tiff", str(src), str(tmp_path / "out"), "--jobs", "1", "--quiet"]
    process = subprocess.Popen(command)
    building = tmp_path / ".out.wkconvert-new"
    while process.poll() is None and len(list(building.glob("*.tif"))) < 70:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 70 <= len(list(building.glob("*.tif"))) < 120, "it was to be killed in the middle"
    assert not (tmp_path / "out").exists(), "half a stack looks like a whole one"
    (building / ".em_00001.tif.0123.tmp").write_bytes(b"left by the kill")
    done = exported(src, tmp_path / "out")
    assert done.resumed >= 32
    assert different(tmp_path / "out", tmp_path / "clean", "*.tif*") == []
    assert not building.exists()
    assert not list((tmp_path / "out").rglob(".*.tmp"))


def test_an_error_of_ours_that_is_an_oserror_too_stays_what_it_is(tmp_path):
    with pytest.raises(TargetExists, match="taken"), writing(tmp_path):
        raise TargetExists("taken")


@needs_tiff
def test_a_full_disk_is_told_as_such_and_the_same_command_goes_on(tmp_path, dataset, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    src = dataset(values("uint16", (1, 70, 50, 70)))
    save, calls = tifffile.imwrite, []

    def full(*args, **more):
        calls.append(args)
        if len(calls) == 40:
            raise OSError(28, "No space left on device")
        save(*args, **more)

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(NoSpace, match="em/1"):
        exported(src, tmp_path / "out", jobs=1)
    assert not list(tmp_path.rglob(".*.tmp"))
    monkeypatch.setattr(tifffile, "imwrite", save)
    assert 0 < exported(src, tmp_path / "out").resumed < 70
    assert len(names(tmp_path / "out")) == 70


@needs_tiff
def test_the_same_command_again_does_nothing_and_mends_what_was_lost(tmp_path, dataset):
    src = dataset(values("uint16", (1, 70, 50, 9)))
    exported(src, tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    assert exported(src, tmp_path / "out").resumed == 9
    (tmp_path / "out/em_00003.tif").unlink()
    (tmp_path / "out/em_00005.tif").write_bytes(b"II*\0")
    assert exported(src, tmp_path / "out").resumed == 7
    assert different(tmp_path / "out", tmp_path / "copy", "*.tif*") == []


@needs_tiff
@pytest.mark.parametrize(
    "other", [{"bbox": Box((0, 0, 0), (9, 9, 9))}, {"name": "x"}, {"downsample": 2}, {"tile_size": (9, 9)}]
)
def test_another_export_does_not_take_the_place_of_one_that_is_there(tmp_path, dataset, other):
    src = dataset(values("uint16", (1, 70, 50, 9)))
    exported(src, tmp_path / "out")
    before = names(tmp_path / "out")
    with pytest.raises(TargetExists, match="there already") as caught:
        exported(src, tmp_path / "out", **other)
    assert "choose another OUT, or remove it" in caught.value.fix
    assert names(tmp_path / "out") == before


@needs_tiff
def test_nothing_is_written_over_anything_else(tmp_path, dataset):
    src = dataset(values("uint16", (1, 70, 50, 9)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    for out in (tmp_path / "out", dataset(values("uint8", (1, 9, 9, 9)), "other")):
        with pytest.raises(TargetExists, match="there already"):
            exported(src, out)
    with pytest.raises(OptionError, match="lies in"):
        exported(src, src / "out")


@needs_tiff
def test_the_record_of_the_run_does_not_disturb_reading(tmp_path, dataset):
    exported(dataset(values("uint16", (1, 70, 50, 9))), tmp_path / "out")
    assert (tmp_path / "out/.wkconvert").is_dir()
    (found,) = describe(tmp_path / "out").layers
    assert (found.found.match.format, found.info.shape) == ("tiff", (70, 50, 9))
    assert not found.notes


# --- wrong options ---------------------------------------------------------------------------------------------------


@needs_tiff
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mag": Mag(8, 8, 8)}, "--mag 8 is not in the layer"),
        ({"bbox": Box((0, 0, 0), (71, 50, 9))}, "--bbox asks for x 0:71"),
        ({"bbox": Box((70, 0, 0), (1, 50, 9))}, "--bbox"),
        ({"downsample": 3}, "--downsample 3"),
        ({"downsample": 0}, "--downsample 0"),
        ({"tile_size": (0, 5)}, "--tile-size 0,5"),
        ({"tiles": (5, -1)}, "--tiles-per-dimension 5,-1"),
        ({"tiles": (5, 1), "tile_size": (5, 5)}, "say the same twice"),
        ({"name": ".x"}, "starts with a dot"),
        ({"name": "a/b"}, "holds '/'"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(tmp_path, dataset, wrong, said):
    src = dataset(values("uint16", (1, 70, 50, 9)))
    with pytest.raises(OptionError, match=said):
        exported(src, tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_what_is_no_dataset_is_refused(tmp_path):
    (tmp_path / "src").mkdir()
    for src in (tmp_path / "src", tmp_path / "nothing"):
        with pytest.raises(SourceNotFound, match=r"is no (folder|finished dataset)"):
            prepare(src, tmp_path / "out", Settings())


def test_without_the_plugin_the_error_says_what_to_install(tmp_path, dataset, monkeypatch):
    src = dataset(values("uint16", (1, 70, 50, 9)))
    monkeypatch.setattr(export, "plugins", lambda: Plugins(iter(())))
    with pytest.raises(PluginError, match="TIFF cannot be written") as caught:
        prepare(src, tmp_path / "out", Settings())
    assert caught.value.fix == 'pip install "wkconvert[tiff]"'


# --- the command -----------------------------------------------------------------------------------------------------


@needs_tiff
def test_the_command_takes_every_option(tmp_path, dataset):
    voxels = values("uint16", (1, 70, 50, 9))
    src = dataset(voxels)
    out = tmp_path / "out"
    given = ("--layer-name", "em", "--mag", "1", "--bbox", "2,3,1,40,30,5", "--tile-size", "16,32", "--no-compress")
    told = json.loads(invoke("export-tiff", src, out, *given, "--jobs", 2, "--json").stdout)
    assert told["shards"] == 15
    assert told["written"][0]["top_left"] == [2, 3, 1]
    assert told["written"][0]["shape"] == [40, 30, 5]
    assert told["voxel_size"]["size"] == list(SIZE.size)
    assert len(names(out)) == 15
    plan = json.loads(invoke("export-tiff", src, tmp_path / "no", "--downsample", 2, "--dry-run", "--json").stdout)
    assert plan["steps"][0]["shard_shape"] == [35, 25, 1]
    assert not (tmp_path / "no").exists()
    with pytest.raises(OptionError, match="--tile-size 5 is not x,y"):
        invoke("export-tiff", src, tmp_path / "no", "--tile-size", "5")


@needs_tiff
def test_auto_writes_tiff_as_well(tmp_path, reader):
    voxels = values("uint16", (1, 70, 50, 9))
    source = reader(tmp_path / "raw", voxels)
    convert(source, tmp_path / "out", Settings(to="tiff", voxel_size=SIZE, downsample=False, category="color"))
    np.testing.assert_array_equal(stack(tmp_path / "out"), voxels)
    with pytest.raises(OptionError, match="cannot hold both"):
        convert(source, tmp_path / "two", Settings(to="tiff", voxel_size=SIZE, category="color"))
