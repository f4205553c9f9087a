"""Names that say what is counted, or leave it open: a tree is never taken for layers, or a stack, without a word."""

import numpy as np
import pytest
from trees_of import detect, noise, plant, source, volume, voxels

from wkconvert_core import Confidence, UnsupportedSource

TILE = (16, 12)
SLICES = noise(3, 30, 40)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("{z}/{y}_{x}.png", "{z}/{row}_{col}.png"),
        ("z{z}_y{y}_x{x}.png", "z{z}_y{y}_x{x}.png"),
        ("em2019_z{z}y{y}x{x}.png", "em2019_z{z}y{y}x{x}.png"),
        ("Slice_{z}/row{y}_col-{x}.png", "Slice_{z}/row{y}_col-{x}.png"),
        ("{z}/y{y}/x{x}.png", "{z}/y{y}/x{x}.png"),
        ("{z}/y{y}_x{x}.png", "{z}/y{y}_x{x}.png"),
    ],
)
def test_rows_and_columns_are_recognised(tmp_path, name, pattern):
    plant(tmp_path, SLICES, TILE, name=name, first=(2, 1, 5))
    found = detect(tmp_path)
    assert found.reason.startswith(f"tiles named {pattern}")
    assert found.confidence == (Confidence.CONTENT if "/" in name else Confidence.EXACT)
    assert source(tmp_path).info.offset == (32, 12, 5)
    np.testing.assert_array_equal(voxels(tmp_path), volume(SLICES))


@pytest.mark.parametrize("name", ["x{{{x}_y{y}.png", "x{x}}}_y{y}.png"])
def test_braces_in_names_are_no_pattern(tmp_path, name):
    plant(tmp_path, SLICES[:1], TILE, name=name)
    assert detect(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "why", "fix"),
    [
        ("slice_{z}/tile_{y}_{x}.png", "is a tile", "-o pattern=slice_{z}/tile_{y}_{x}.png or -o pattern=slice_{z}/"),
        ("Tile-{y}-{x}.png", "is a tile", "-o pattern=Tile-{y}-{x}.png or -o pattern=Tile-{x}-{y}.png"),
        ("{y}/{x}.png", "one slice, or layers", "-o pattern={y}/{x}.png .*--reader pictures"),
    ],
)
def test_what_is_not_to_be_told_is_an_error_that_gives_the_remedies(tmp_path, name, why, fix):
    slices = SLICES if "{z}" in name else SLICES[:1]
    plant(tmp_path, slices, TILE, name=name)
    assert detect(tmp_path).confidence == (Confidence.CONTENT if "/" in name else Confidence.EXACT)
    with pytest.raises(UnsupportedSource, match=why) as caught:
        source(tmp_path)
    assert all(part in caught.value.fix for part in fix.split(" .*"))
    np.testing.assert_array_equal(voxels(tmp_path, pattern=name), volume(slices))


def test_rows_of_one_slice_are_many_or_short_and_layers_few_and_long(tmp_path):
    plant(tmp_path / "rows", noise(1, 28, 40), (2, 2), name="{y}/{x}.png")
    plant(tmp_path / "layers", noise(1, 4, 40), (2, 2), name="{y}/{x}.png")
    assert detect(tmp_path / "rows")
    assert detect(tmp_path / "layers") is None


def test_an_option_of_this_reader_alone_is_never_met_with_silence(tmp_path):
    plant(tmp_path / "s", SLICES, TILE)
    plant(tmp_path / "odd/a/b", SLICES[:1], TILE, name="{x}-{y}.png")
    assert detect(tmp_path / "s", pattern="{z}/{y}/{x}.jpg").confidence == Confidence.SUFFIX
    with pytest.raises(UnsupportedSource, match=r"is named \{z\}/\{y\}/\{x\}\.jpg.*such as 0/0/0\.png"):
        source(tmp_path / "s", pattern="{z}/{y}/{x}.jpg")
    assert detect(tmp_path / "odd") is None
    assert detect(tmp_path / "odd", zoom="3").confidence == Confidence.SUFFIX
    with pytest.raises(UnsupportedSource, match="-o pattern="):
        source(tmp_path / "odd", zoom=3)
    assert detect(tmp_path, pattern="{z}/{y}/{x}.png") is None, "it fits in a folder below"
    (tmp_path / "empty").mkdir()
    assert detect(tmp_path / "empty", pattern="{z}/{y}/{x}.png") is None


def test_slices_each_with_a_place_of_its_own_are_no_tiles(tmp_path):
    for z in range(4):
        (tmp_path / f"z{z:03}_x{100 + z}_y{7 * z}.png").write_bytes(b"\x89PNG")
    assert detect(tmp_path) is None
    (tmp_path / "z003_x100_y0.png").write_bytes(b"\x89PNG")
    assert detect(tmp_path).reason == "tiles named z{z}_x{x}_y{y}.png"
