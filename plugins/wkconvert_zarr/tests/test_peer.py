"""Datasets in Zarr beside the peer: it reads ours, and every command works on its own."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from helpers.conversions import every_mag, layers_of, properties
from helpers.datasets import PEER, needs_peer, run
from images import n5, ome
from zarrs import raw_volume

from wkconvert_core import Box, Mag
from wkconvert_core.commands.verify import verify
from wkconvert_core.registry.plugins import plugins

pytestmark = [needs_peer, pytest.mark.slow]
FORMATS = ["zarr3", "zarr"]
READ = """
import sys, numpy as np, webknossos
dataset = webknossos.Dataset.open(sys.argv[1])
mags = {f"{name} {mag}": view.read() for name, layer in dataset.layers.items() for mag, view in layer.mags.items()}
np.savez(sys.argv[2], **mags)
"""
WRITE = """
import sys, numpy as np, webknossos
path, form, chunk, shard, compress = sys.argv[1:6]
dataset = webknossos.Dataset(path, voxel_size=(4, 4, 35))
for name, dtype, channels in (("em", "uint8", 1), ("rgb", "uint8", 3), ("ids", "uint32", 1)):
    voxels = np.random.default_rng(0).integers(1, 200, (channels, 90, 70, 50)).astype(dtype)
    box = webknossos.BoundingBox((6, 40, 3), voxels.shape[1:])
    kind = {"dtype_per_channel": dtype, "num_channels": channels, "data_format": form, "bounding_box": box}
    labels = {"largest_segment_id": 199} if name == "ids" else {}
    layer = dataset.add_layer(name, "segmentation" if labels else "color", **kind, **labels)
    for factor in (1, 2):  # as if each had been written by hand: its own downsampling takes a minute
        how = {"chunk_shape": int(chunk), "shard_shape": int(shard), "compress": compress == "yes"}
        mag = layer.add_mag((factor, factor, 1), **how)
        mag.write(voxels[:, ::factor, ::factor], absolute_offset=mag.bounding_box.topleft)
"""


def by_peer(code, *args):
    subprocess.run([PEER, "-W", "ignore", "-c", code, *map(str, args)], check=True, capture_output=True, timeout=300)


def read_by_peer(dataset, tmp_path):
    by_peer(READ, dataset, tmp_path / "read.npz")
    with np.load(tmp_path / "read.npz") as found:
        return {(name.split()[0], Mag.parse(name.split()[1])): found[name] for name in found}


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("compression", ["zstd", "blosc", "gzip", "none"])
def test_the_peer_reads_every_voxel(tmp_path, to, compression):
    raw_volume(tmp_path / "src" / "em", (90, 70, 50), "uint16")
    raw_volume(tmp_path / "src" / "labels", (90, 70, 50), "uint32")
    options = ("--voxel-size", "4,4,35", "--top-left", "10,20,30", "--compression", compression, "-q")
    run("auto", tmp_path / "src", tmp_path / "ds", *options, "--to", to, "--to-option", "chunk=32")
    assert_same(read_by_peer(tmp_path / "ds", tmp_path), every_mag(tmp_path / "ds"))


KINDS = [("zarr3", 32, 64, "yes"), ("zarr3", 32, 32, "no"), ("zarr", 32, 32, "yes")]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def written(request, tmp_path_factory):
    dataset = tmp_path_factory.mktemp("peer") / "theirs"
    by_peer(WRITE, dataset, *request.param)
    return dataset


@pytest.fixture
def theirs(written, tmp_path):
    return shutil.copytree(written, tmp_path / "theirs")


def test_every_command_works_on_what_the_peer_writes(theirs, tmp_path):
    to = layers_of(theirs)["em"]["dataFormat"]
    before = read_by_peer(theirs, tmp_path)
    assert_same(every_mag(theirs), before)
    assert verify(theirs).sound
    run("verify", theirs, "--write-checksums", "-q")
    run("recube", theirs, tmp_path / "wkw", "--to", "wkw", "-q")
    run("check-equality", theirs, tmp_path / "wkw", "-q")
    run("recube", tmp_path / "wkw", tmp_path / "back", "--to", to, "-q")
    run("check-equality", theirs, tmp_path / "back", "-q")
    assert_same(read_by_peer(tmp_path / "back", tmp_path), before)
    run("compress", theirs, "-q")
    run("downsample", theirs, "--max-mag", "8", "-q")
    run("metadata", theirs, "--compute-max-id", "--extent", "-q")
    assert verify(theirs).sound
    told = json.loads(run("info", theirs, "--json"))["stored"]
    assert "none" not in {mag["compression"] for mag in told}
    after = read_by_peer(theirs, tmp_path)
    assert_same(every_mag(theirs), after)
    for key, voxels in before.items():
        np.testing.assert_array_equal(after[key], voxels)
    assert ("em", Mag(8, 8, 1)) in after


def test_the_metadata_have_the_form_of_the_peers(theirs, tmp_path):
    raw_volume(tmp_path / "src" / "em", (90, 70, 50), "uint8")
    to = layers_of(theirs)["em"]["dataFormat"]
    run("auto", tmp_path / "src", tmp_path / "ds", "--voxel-size", "4,4,35", "--to", to, "-q")
    ours, peers = properties(tmp_path / "ds"), properties(theirs)
    assert ours.keys() == peers.keys()
    keys = [each["dataLayers"][0].keys() - {"defaultViewConfiguration"} for each in (ours, peers)]
    assert keys[0] == keys[1]
    for one, other in zip(ours["dataLayers"][0]["mags"][:2], peers["dataLayers"][0]["mags"], strict=True):
        assert {**one, "path": other["path"]} == other


def test_a_flipped_bit_in_what_the_peer_wrote_is_found(theirs):
    form = plugins().mag_formats()[layers_of(theirs)["em"]["dataFormat"]]
    run("verify", theirs, "--write-checksums", "-q")
    mag = form.open(theirs / "em" / "1", Box((6, 40, 3), (90, 70, 50)))
    shard = next(iter(mag.shards())).path
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert [problem.path for problem in verify(theirs).damaged] == [shard]


def test_the_peer_reads_what_is_listed_where_it_lies(tmp_path):
    voxels = np.random.default_rng(0).integers(1, 200, (3, 20, 30, 40)).astype("uint16")
    ome(tmp_path / "cells.zarr", [voxels], "czyx", chunks=(1, 16, 16, 16))
    run("auto", tmp_path / "cells.zarr", tmp_path / "ds", "--by-reference", "--max-mag", "1", "-q")
    theirs = read_by_peer(tmp_path / "ds", tmp_path)
    for number, name in enumerate(layers_of(tmp_path / "ds")):
        np.testing.assert_array_equal(theirs[name, Mag(1, 1, 1)].squeeze(), voxels[number])


def test_it_reads_n5_that_a_dataset_lists(tmp_path):
    voxels = np.random.default_rng(0).integers(1, 200, (70, 60, 40)).astype("uint8")
    n5(tmp_path / "em.n5" / "s0", voxels, pixelResolution={"dimensions": [4, 4, 35], "unit": "nm"})
    n5(tmp_path / "em.n5" / "s1", voxels[::2, ::2])
    run("auto", tmp_path / "em.n5", tmp_path / "ds", "--by-reference", "--max-mag", "2", "-q")
    found = read_by_peer(tmp_path / "ds", tmp_path)
    assert {str(mag) for _, mag in found} == {"1", "2-2-1"}
    for (_, mag), read in found.items():
        np.testing.assert_array_equal(read, voxels[:: mag.x, :: mag.y])
