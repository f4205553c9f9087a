"""Coarser mags beside those of the peer, voxel by voxel; and differences that the peer calls none."""

import json
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.conversions import PROPERTIES, properties
from helpers.datasets import (
    PEER,
    blocks,
    box_of,
    dashed,
    entries,
    facts,
    ids,
    make_ours,
    median_of,
    mode_of,
    needs_peer,
    peer,
    read_by_wkw,
    run,
)

from wkconvert_core.testing import noise

__all__ = ["peer"]  # a fixture

pytest.importorskip("wkw")
START, SHAPE = (5, 3, 7), (77, 66, 45)
KINDS = {
    "uint8": (noise(1, *SHAPE), "color", START),
    "uint16": (noise(1, *SHAPE, dtype="uint16"), "color", START),
    "int16": (noise(1, *SHAPE, dtype="int16"), "color", START),
    "float32": (noise(1, *SHAPE, dtype="float32"), "color", START),
    "rgb": (noise(3, *SHAPE), "color", START),
    "few": (noise(1, *SHAPE) % 4, "color", START),
    "labels32": (ids(SHAPE, "uint32", 70000), "segmentation", START),
    "labels64": (ids(SHAPE), "segmentation", START),
}
"""Layers that begin in the middle of a block of every mag."""
SAMPLINGS = {
    "isotropic": ["1-1-1", "2-2-2", "4-4-4"],
    "constant-z": ["1-1-1", "2-2-1", "4-4-1"],
    "anisotropic": ["1-1-1", "2-2-1", "4-4-2"],
}
PLAIN = {
    "median": median_of,
    "mode": mode_of,
    "nearest": lambda cells: cells[..., 0],
    "min": lambda cells: cells.min(-1),
    "max": lambda cells: cells.max(-1),
}


@pytest.fixture(scope="module")
def finest(tmp_path_factory):
    """Mag 1 of every kind of voxels."""
    return make_ours(tmp_path_factory.mktemp("finest") / "ds", KINDS, downsample=False)


@pytest.fixture(scope="module")
def by_us(finest, tmp_path_factory):
    """The dataset with the mags of a kernel and a sampling mode, each made once."""
    known = {}

    def made(kernel, sampling):
        if (kernel, sampling) not in known:
            folder = Path(shutil.copytree(finest, tmp_path_factory.mktemp("ours") / "ds"))
            options = ("--interpolation-mode", kernel, "--sampling-mode", sampling, "--max-mag", 4)
            run("downsample", folder, *options)
            known[kernel, sampling] = folder
        return known[kernel, sampling]

    return made


def pairs(sampling):
    """Each mag of a schedule and the one after it."""
    mags = [tuple(map(int, text.split("-"))) for text in SAMPLINGS[sampling]]
    return [(a, b, tuple(n // m for m, n in zip(a, b, strict=True))) for a, b in pairwise(mags)]


def cells_of(dataset, layer, finer, factor):
    return blocks(read_by_wkw(dataset, layer, finer), box_of(entries(dataset)[layer], finer)[0], factor)


@pytest.fixture
def by_peer(by_us, tmp_path, peer):
    """The same, each mag made by the peer of the finer one that we made: what differs shows once."""

    def made(kernel, sampling, layers=KINDS):
        for finer, mag, _ in pairs(sampling):
            folder = Path(shutil.copytree(by_us(kernel, sampling), tmp_path / dashed(mag)))
            without(folder, mag)
            for layer in layers:
                peer.downsample(folder, layer, kernel, [dashed(finer), dashed(mag)])
        return {mag: tmp_path / dashed(mag) for _, mag, _ in pairs(sampling)}

    return made


def without(dataset, mag):
    """Take a mag and all coarser ones away."""
    told = properties(dataset)
    for layer in told["dataLayers"]:
        kept = [entry for entry in layer["mags"] if tuple(entry["mag"]) < mag]
        for entry in layer["mags"][len(kept) :]:
            shutil.rmtree(dataset / entry["path"])
        layer["mags"] = kept
    (dataset / PROPERTIES).write_text(json.dumps(told))


# --- kernels ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("kernel", PLAIN)
def test_mags_are_what_their_kernel_is_defined_to_be(by_us, kernel, sampling):
    dataset = by_us(kernel, sampling)
    for layer in KINDS:
        assert list(facts(dataset)["layers"][layer]["mags"]) == SAMPLINGS[sampling]
        for finer, mag, factor in pairs(sampling):
            expected = PLAIN[kernel](cells_of(dataset, layer, finer, factor))
            np.testing.assert_array_equal(read_by_wkw(dataset, layer, mag), expected)


@needs_peer
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("kernel", ["median", "mode", "min", "max"])
def test_median_mode_min_and_max_are_the_peers_up_to_the_edge(by_us, by_peer, kernel, sampling):
    layers = [layer for layer in KINDS if (kernel, layer) != ("median", "labels64")]
    for mag, theirs in by_peer(kernel, sampling, layers).items():
        for layer in layers:
            np.testing.assert_array_equal(
                read_by_wkw(by_us(kernel, sampling), layer, mag), read_by_wkw(theirs, layer, mag)
            )


@needs_peer
def test_the_median_of_64_bits_is_exact_and_the_peers_is_that_of_doubles(by_us, by_peer):
    """Whole numbers from 2^53 on have no double of their own: the peer makes ids that no voxel had."""
    dataset = by_us("median", "isotropic")
    for mag, theirs in by_peer("median", "isotropic", ["labels64"]).items():
        ours, theirs = read_by_wkw(dataset, "labels64", mag), read_by_wkw(theirs, "labels64", mag)
        off = np.maximum(ours, theirs) - np.minimum(ours, theirs)
        assert 0 < off.max() <= 4


@needs_peer
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_nearest_is_a_blocks_first_voxel_and_the_peers_drifts_to_the_last(by_us, by_peer, sampling):
    """The peer stretches the grid from edge to edge of what it works on at a time: voxels move by up to one."""
    dataset = by_us("nearest", sampling)
    layers = [layer for layer in KINDS if layer != "labels64"]
    theirs = by_peer("nearest", sampling, layers)
    for _, mag, _ in pairs(sampling):
        for layer in layers:
            ours, found = read_by_wkw(dataset, layer, mag), read_by_wkw(theirs[mag], layer, mag)
            first = tuple(slice((n - 1) // 2) for n in ours.shape[1:])
            np.testing.assert_array_equal(ours[:, *first], found[:, *first])
            assert (ours != found).any()


@needs_peer
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_nearest_is_the_peers_where_it_works_on_one_voxel_at_a_time(tmp_path, peer, dtype):
    folder = make_ours(tmp_path / "ours", {"em": (noise(1, 21, 19, 9, dtype=dtype), "color", START)}, downsample=False)
    shutil.copytree(folder, tmp_path / "theirs")
    run("downsample", folder, "--interpolation-mode", "nearest", "--sampling-mode", "constant-z", "--max-mag", 4)
    peer.downsample(tmp_path / "theirs", "em", "nearest", ["1", "2-2-1", "4-4-1"], buffer=1)
    for mag in ((2, 2, 1), (4, 4, 1)):
        ours, theirs = read_by_wkw(folder, "em", mag), read_by_wkw(tmp_path / "theirs", "em", mag)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.any()


@needs_peer
@pytest.mark.parametrize("kernel", ["median", "min", "max"])
def test_nan_is_left_out_where_the_peer_spreads_it(tmp_path, peer, kernel):
    data = noise(1, *SHAPE, dtype="float32")
    data[:, ::9, ::7, ::5] = np.nan
    folder = make_ours(tmp_path / "ours", {"em": (data, "color", START)}, downsample=False)
    shutil.copytree(folder, tmp_path / "theirs")
    run("downsample", folder, "--interpolation-mode", kernel, "--sampling-mode", "constant-z", "--max-mag", 2)
    peer.downsample(tmp_path / "theirs", "em", kernel, ["1", "2-2-1"])
    ours, theirs = (read_by_wkw(path, "em", (2, 2, 1)) for path in (folder, tmp_path / "theirs"))
    lost = np.isnan(blocks(data, START, (2, 2, 1)))
    np.testing.assert_array_equal(np.isnan(theirs), lost.any(-1))
    np.testing.assert_array_equal(np.isnan(ours), lost.all(-1))
    assert lost.any(-1).sum() > 10 * lost.all(-1).sum()
    np.testing.assert_array_equal(ours[~lost.any(-1)], theirs[~lost.any(-1)])


# --- what is equal ---------------------------------------------------------------------------------------------------


def change(dataset, what):
    told = properties(dataset)
    what(told, {layer["name"]: layer for layer in told["dataLayers"]})
    (dataset / PROPERTIES).write_text(json.dumps(told))


TO_MICROMETERS = {"factor": [11.24, 11.24, 28.0], "unit": "micrometer"}
CHANGES = {
    "voxel_size": lambda top, layers: top["scale"].update(factor=[11.24, 11.24, 30.0]),
    "voxel_size, its unit": lambda top, layers: top.update(scale=TO_MICROMETERS),
    "category": lambda top, layers: layers["few"].update(category="segmentation"),
    "largest_segment_id": lambda top, layers: layers["labels32"].update(largestSegmentId=5),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two layers with two mags."""
    part = {name: KINDS[name] for name in ("few", "labels32")}
    return make_ours(tmp_path_factory.mktemp("small") / "ds", part)


@pytest.mark.slow
@pytest.mark.parametrize("what", CHANGES)
def test_what_the_peer_calls_equal_is_told_apart(small, tmp_path, peer, what):
    other = Path(shutil.copytree(small, tmp_path / "other"))
    change(other, CHANGES[what])
    for a, b in ((small, other), (other, small)):
        told = json.loads(run("check-equality", a, b, "--json", code=1))
        assert [each["what"] for each in told["metadata"]] == [what.partition(",")[0]]
        assert not any(mag["differing"] for mag in told["mags"])
        if peer:
            assert peer.equal(a, b) is None
    run("check-equality", small, small)


@needs_peer
@pytest.mark.parametrize("what", ["voxels", "bounding_box", "mags", "layers"])
def test_what_the_peer_calls_different_is_different(small, tmp_path, peer, what):
    other = Path(shutil.copytree(small, tmp_path / "other"))
    if what == "voxels":
        shutil.copytree(
            make_ours(tmp_path / "more", {"few": (KINDS["few"][0] ^ 1, "color", START)}) / "few",
            other / "few",
            dirs_exist_ok=True,
        )
    if what == "bounding_box":
        change(other, lambda top, layers: layers["few"]["boundingBox"].update(depth=44))
    if what == "mags":
        change(other, lambda top, layers: layers["few"]["mags"].pop())
    if what == "layers":
        change(other, lambda top, layers: top["dataLayers"].pop())
    assert peer.equal(small, other)
    told = json.loads(run("check-equality", small, other, "--json", code=1))
    assert what == "voxels" or [each["what"] for each in told["metadata"]] == [what]
    assert what != "voxels" or [mag["differing"] > 0 for mag in told["mags"]] == [True, True, False, False]


@needs_peer
def test_shards_and_compression_are_no_difference_for_either(small, tmp_path, peer):
    run("recube", small, tmp_path / "other", "--file-len", 1, "--no-compress")
    assert peer.equal(small, tmp_path / "other") is None
    run("check-equality", small, tmp_path / "other")


@needs_peer
def test_the_commands_side_by_side(small, tmp_path):
    other = Path(shutil.copytree(small, tmp_path / "other"))
    change(other, CHANGES["voxel_size"])
    command = [Path(PEER).with_name("webknossos"), "check-equality", small, other, "--jobs", "1"]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "are equal" in " ".join(theirs.stdout.split())
    assert "voxel size differs" in run("check-equality", small, other, code=1)
