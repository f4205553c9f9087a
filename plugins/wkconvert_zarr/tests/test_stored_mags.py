"""Arrays of other programs as mags: any order of axes, any chunks and names of chunks, with holes."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.conversions import edited, every_mag, layers_of, read
from helpers.datasets import run
from hypothesis import given, settings
from hypothesis import strategies as st
from zarrs import raw_volume, zarr

from wkconvert_core import Box, BrokenSource, UnsupportedSource, Vec3
from wkconvert_core.registry.plugins import plugins

SHAPE = (1, 23, 17, 12)
AXES = ["".join(order) for axes in ("xyz", "cxyz") for order in itertools.permutations(axes)]
NAMES = [("default", "/"), ("default", "."), ("v2", "/"), ("v2", ".")]
SIDES = st.tuples(*[st.integers(4, 9)] * 3)


def written(folder, axes, chunk, shards, naming, holes):
    """An array of Zarr 3 with chunks of zeros, which have no file, and its voxels [c, x, y, z]."""
    voxels = np.random.default_rng(0).integers(1, 200, SHAPE).astype("uint16")
    for corner in holes:
        hole = tuple(slice(a, a + 8) for a in corner)
        voxels[0][hole] = 0
    stored = voxels.transpose(["cxyz".index(axis) for axis in ("c" * ("c" not in axes) + axes)])
    stored = stored if "c" in axes else stored[0]
    sides = dict(zip("cxyz", (1, *chunk), strict=True))
    inner = tuple(sides[axis] for axis in axes)
    array = zarr.create_array(
        folder,
        shape=stored.shape,
        dtype="uint16",
        chunks=inner,
        shards=tuple(side * (1 if axis == "c" else shards) for axis, side in zip(axes, inner, strict=True)),
        chunk_key_encoding={"name": naming[0], "separator": naming[1]},
        dimension_names=list(axes),
        overwrite=True,
    )
    array[...] = stored
    return voxels


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(AXES),
    SIDES,
    st.integers(1, 3),
    st.sampled_from(NAMES),
    st.lists(st.tuples(st.integers(0, 22), st.integers(0, 16), st.integers(0, 11)), max_size=3),
    st.lists(st.tuples(*[st.integers(0, 20)] * 3, *[st.integers(1, 12)] * 3), min_size=1, max_size=6),
)
def test_any_box_of_any_array_is_read_and_where_nothing_is_is_known(
    tmp_path_factory, axes, chunk, shards, naming, holes, boxes
):
    folder = tmp_path_factory.mktemp("mag") / "1"
    voxels = written(folder, axes, chunk, shards, naming, holes)
    extent = Box((0, 0, 0), (32, 32, 32))  # beyond the array there are zeros
    padded = np.zeros((1, *extent.shape), "uint16")
    padded[:, :23, :17, :12] = voxels
    mag = plugins().mag_formats()["zarr3"].open(folder, extent)
    assert mag.block_shape == chunk
    assert mag.shard_shape == Vec3(*chunk) * shards
    for x, y, z, *shape in boxes:
        box = Box((x, y, z), shape)
        found = mag.read(box)
        np.testing.assert_array_equal(found, padded[:, *box.slices_in(extent)])
        assert mag.occupied(box) or not found.any()
    starts = {shard.start for shard in mag.shards()}
    cells = (cell for cell in extent.aligned(mag.shard_shape).tiles(mag.shard_shape))
    expected = {cell.start for cell in cells if padded[:, *cell.intersection(extent).slices_in(extent)].any()}
    assert starts == expected
    assert all(mag.shard_path(start).is_file() and mag.check(start, None).problem == "" for start in starts)
    for start in starts:
        (mag.shard_path(start)).write_bytes(b"")
        assert mag.check(start, None).problem


NO_FILES = {"link": lambda place: place.symlink_to("nowhere"), "folder": Path.mkdir, "pipe": os.mkfifo}


@pytest.mark.parametrize("instead", NO_FILES)
@pytest.mark.parametrize("naming", NAMES)
def test_what_is_no_file_is_no_shard_of_zeros(tmp_path, naming, instead):
    written(tmp_path / "1", "cxyz", (8, 8, 8), 1, naming, ())
    mag = plugins().mag_formats()["zarr3"].open(tmp_path / "1")
    start, box = Vec3(8, 8, 0), Box((9, 9, 1), (1, 1, 1))
    place = mag.shard_path(start)
    for there in {place, place.parent} - {mag.folder} if instead != "folder" else {place}:
        there.rename(tmp_path / "kept")
        assert not mag.occupied(box)
        NO_FILES[instead](there)
        assert mag.occupied(box)
        with pytest.raises(BrokenSource) as caught:
            mag.read(box)
        assert caught.value.what.startswith(f"{there} ")
        if there == place:
            assert start in {shard.start for shard in mag.shards()}
            assert "cannot be read" in mag.check(start, None).problem
        else:
            with pytest.raises(BrokenSource):
                list(mag.shards())
        there.rmdir() if instead == "folder" else there.unlink()
        there.symlink_to(tmp_path / "kept")  # where a link leads is read
        assert mag.read(box).all()
        assert start in {shard.start for shard in mag.shards()}
        assert not mag.check(start, None).problem
        there.unlink()
        (tmp_path / "kept").rename(there)


@pytest.mark.parametrize(
    ("shape", "axes", "chunks", "words"),
    [
        ((2, 30, 20, 10), "cxyz", (1, 8, 8, 8), "2 channels lie in files of 1"),
        ((3, 1, 30, 20, 10), "tcxyz", (1, 1, 8, 8, 8), "axis t has 3 places"),
        ((30, 20), "ab", (8, 8), "the axes are a, b"),
    ],
)
def test_what_no_mag_can_be_is_an_error_with_the_reason(tmp_path, shape, axes, chunks, words):
    zarr.create_array(tmp_path / "1", shape=shape, dtype="uint8", chunks=chunks, dimension_names=list(axes))
    with pytest.raises(UnsupportedSource) as caught:
        plugins().mag_formats()["zarr3"].open(tmp_path / "1")
    assert words in str(caught.value)


def test_the_order_of_axes_is_that_of_the_metadata_then_that_of_the_array(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 99, (12, 17, 23)).astype("uint8")
    array = zarr.create_array(tmp_path / "1", shape=voxels.shape, dtype="uint8", chunks=(8, 8, 8))
    array[...] = voxels
    form, box = plugins().mag_formats()["zarr3"], Box((0, 0, 0), (23, 17, 12))
    stated = form.open_listed(tmp_path / "1", {"axisOrder": {"x": 2, "y": 1, "z": 0}}, box, None)
    np.testing.assert_array_equal(stated.read(box)[0], voxels.T)
    for order in (
        {"c": 0, "x": 1, "y": 2, "z": 3},
        {"x": [1]},
        {"x": 0, "y": 0},
        {"x": "1"},
        {"x": -1},
        {},
        [],
        7,
        None,
    ):
        unfit = form.open_listed(tmp_path / "1", {"axisOrder": order}, box, None)
        assert unfit.layout.axes == ("x", "y", "z")
    with pytest.raises(UnsupportedSource, match="the axes are"):
        form.open_listed(tmp_path / "1", {"axisOrder": {"q": 0, "r": 1, "s": 2}}, box, None)


@pytest.fixture
def unnamed(tmp_path):
    """A dataset whose array is z, y, x, raw and without names: the metadata alone say so; and its voxels."""
    source = raw_volume(tmp_path / "src", (23, 17, 12), "uint8")
    options = ("--voxel-size", "4,4,35", "--layer-name", "color", "--no-downsample", "-q")
    run("auto", source, tmp_path / "ds", *options, "--to", "zarr3")
    voxels = read(tmp_path / "ds")
    shutil.rmtree(tmp_path / "ds" / "color" / "1")
    shutil.rmtree(tmp_path / "ds" / ".wkconvert")
    size = {"shape": (12, 17, 23), "dtype": "uint8", "chunks": (8, 8, 8), "compressors": None}
    zarr.create_array(tmp_path / "ds" / "color" / "1", **size)[...] = voxels[0].T
    with edited(tmp_path / "ds") as found:
        found["dataLayers"][0]["mags"][0]["axisOrder"] = {"x": 2, "y": 1, "z": 0}
    np.testing.assert_array_equal(read(tmp_path / "ds"), voxels)
    return tmp_path / "ds", voxels


def test_metadata_keep_the_order_of_axes_that_they_state(unnamed):
    dataset, voxels = unnamed
    run("metadata", dataset, "-q")
    run("metadata", dataset, "--extent", "-q")
    assert layers_of(dataset)["color"]["mags"][0]["axisOrder"] == {"x": 2, "y": 1, "z": 0}
    np.testing.assert_array_equal(read(dataset), voxels)


def test_compressing_and_downsampling_arrays_in_another_order_states_their_new_one(unnamed):
    dataset, voxels = unnamed
    run("downsample", dataset, "--max-mag", "2", "-q")
    coarser = every_mag(dataset)
    run("compress", dataset, "-q")
    orders = [mag["axisOrder"] for mag in layers_of(dataset)["color"]["mags"]]
    assert orders == [{"c": 0, "x": 1, "y": 2, "z": 3}] * 2
    np.testing.assert_array_equal(read(dataset), voxels)
    for key, expected in every_mag(dataset).items():
        np.testing.assert_array_equal(coarser[key], expected)
