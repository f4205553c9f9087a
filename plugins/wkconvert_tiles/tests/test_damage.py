"""What is wrong with a tree or a tile: an error of ours that names it, or a note; never made-up voxels."""

import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.sources import whole
from PIL import Image
from trees_of import CATMAID, detect, noise, plant, refusal, save, source, volume, voxels

from wkconvert_core import Box, BrokenSource, InconsistentStack, SourceNotFound, UnsupportedSource
from wkconvert_tiles import opening, tile_index

TILE = (16, 12)
SLICES = noise(3, 30, 40)


@pytest.fixture
def tree(tmp_path):
    return plant(tmp_path / "tree", SLICES, TILE)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "gif", "webp", "tga", "ppm", "jp2", "avif"])
def test_a_picture_cut_anywhere_is_refused_or_read_as_it_was(tmp_path, suffix):
    path = save(tmp_path / f"0/0/0.{suffix}", noise(8, 8, 3))
    content = path.read_bytes()
    expected = whole(source(tmp_path))
    found = []
    for length in {*range(0, len(content), 7), *range(len(content) - 12, len(content))}:
        path.write_bytes(content[:length])
        if refusal(lambda: found.append(voxels(tmp_path))) is None:
            np.testing.assert_array_equal(found[-1], expected)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_tile_that_is_cut_short_is_named_before_anything_is_read(tmp_path, suffix):
    tree = plant(tmp_path, noise(2, 60, 80), (40, 30), name="{z}/{y}/{x}." + suffix)
    path = tree / f"1/1/1.{suffix}"
    content = path.read_bytes()
    for length in (0, 1, 20, len(content) // 2, len(content) - 100):
        path.write_bytes(content[:length])
        with pytest.raises(BrokenSource, match=rf"1/1/1\.{suffix} is (damaged|cut short)"):
            source(tree)


def test_a_tile_that_is_damaged_after_it_was_opened_is_named(tree):
    of = source(tree)
    path = tree / "1/1/1.png"
    path.write_bytes(path.read_bytes()[:-60])
    of.read(Box((0, 0, 0), (16, 12, 3)))
    with pytest.raises(BrokenSource, match=r"1/1/1\.png is (damaged|cut short)"):
        whole(of)


@pytest.mark.parametrize(
    ("picture", "message"),
    [(noise(12, 16, 3), "is uint8 RGB"), (noise(12, 17), "17 x 12 pixels"), (noise(11, 16), "16 x 11 pixels")],
)
def test_a_tile_that_does_not_fit_is_named_when_it_is_read_if_not_before(tree, picture, message):
    of = source(tree)
    save(tree / "1/1/1.png", picture)
    with pytest.raises(InconsistentStack, match=rf"1/1/1\.png .*{message}"):
        whole(of)


def test_a_border_tile_beyond_the_extent_is_named_when_it_is_read(tree):
    of = source(tree)
    save(tree / "1/0/2.png", noise(12, 9))
    with pytest.raises(InconsistentStack, match=r"1/0/2\.png .* the last column ends 8 after its start"):
        whole(of)


@pytest.mark.slow
def test_of_many_tiles_a_part_is_looked_at_first_and_the_borders(tmp_path, monkeypatch):
    monkeypatch.setattr(tile_index, "SAMPLE", 20)
    slices = noise(4, 100, 130)
    tree = plant(tmp_path, slices, TILE)
    looked = []
    open_tile = opening.open_tile
    monkeypatch.setattr(opening, "open_tile", lambda path, **how: (looked.append(path), open_tile(path, **how))[1])
    np.testing.assert_array_equal(voxels(tree), volume(slices))
    assert 20 < len(set(looked)) <= 40
    assert sum(path.endswith("/8.png") for path in set(looked)) >= 10
    assert sum("/8/" in path for path in set(looked)) >= 10
    assert any("of 324 headers are read before the run" in note for note in source(tree).info.notes)
    odd = next(path for path in map(str, tree.rglob("*.png")) if path not in looked)
    save(tree / odd, noise(10, 10))
    of = source(tree)
    with pytest.raises(InconsistentStack, match=odd):
        whole(of)


def test_the_sample_is_spread_and_the_same_every_time():
    picks = []
    for _ in range(2):
        sample = tile_index.Reservoir(100)
        for number in range(10_000):
            sample.add(tile_index.Tile((number, 0, 0), ""))
        picks.append(sorted(tile.cell[0] for tile in sample.tiles))
    assert picks[0] == picks[1]
    assert len(picks[0]) == 100
    assert np.histogram(picks[0], 4, (0, 10_000))[0].min() > 10


def test_two_names_of_one_tile_are_refused(tree):
    shutil.copy(tree / "1/1/1.png", tree / "1/1/01.png")
    with pytest.raises(InconsistentStack, match=r"01\.png and 1\.png in .*1/1 have the same number"):
        source(tree)
    (tree / "1/1/01.png").unlink()
    (tree / "1/01").mkdir()
    with pytest.raises(InconsistentStack, match=r"01 and 1 in"):
        source(tree)


def test_tiles_of_several_kinds_are_refused_unless_one_is_chosen(tree):
    (tree / "1/1/1.png").unlink()
    save(tree / "1/1/1.tif", SLICES[0, :12, :16])
    with pytest.raises(InconsistentStack, match=r"1/1/1\.tif is no \.png file"):
        source(tree)
    assert "left out: what is no tile (1, such as 1/1/1.tif)" in source(tree, pattern="{z}/{y}/{x}.png").info.notes


def test_what_is_no_tile_is_left_out_with_a_note(tree):
    (tree / "1/1/readme.txt").write_text("what is this")
    (tree / "1/small.jpg").write_bytes(b"")
    (tree / "1/2.png").mkdir()
    (tree / "1/1/7.png").mkdir()
    (tree / "7").write_text("")
    (tree / "1/.hidden.png").write_bytes(b"")
    (tree / "1/1/Thumbs.db").write_bytes(b"")
    np.testing.assert_array_equal(voxels(tree), volume(SLICES))
    assert "left out: what is no tile (5, such as 1/1/7.png)" in source(tree).info.notes


def test_a_name_that_is_not_utf8_is_no_tile(tree):
    (tree / "1/1" / os.fsdecode(b"\xff.png")).write_bytes(b"")
    assert r"left out: what is no tile (1, such as 1/1/\udcff.png)" in source(tree).info.notes


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_no_tile(tree):
    (tree / "1/1/1.png").unlink()
    os.mkfifo(tree / "1/1/1.png")
    assert "1 of 27 tiles are missing: zero" in source(tree).info.notes


def test_a_folder_without_tiles_is_told_as_it_may_be_a_slice_that_is_missing(tree):
    depth = source(tree).info.shape[2]
    (tree / f"{depth}").mkdir()
    assert source(tree).info.shape[2] == depth
    assert f"left out: folders without tiles (1, such as {depth})" in source(tree).info.notes


def test_links_to_folders_are_not_followed(tree, tmp_path):
    """Neither in a circle, nor out of the tree, nor to tiles that are there under another name."""
    (tree / "3").symlink_to(tree / "1")
    (tree / "1/5").symlink_to(tree)
    (tree / "4").symlink_to(plant(tmp_path / "elsewhere", SLICES[:1], TILE) / "0")
    np.testing.assert_array_equal(voxels(tree), volume(SLICES))
    assert "left out: links to folders (3, such as 1/5)" in source(tree).info.notes


def test_a_link_inside_the_grid_is_as_missing_as_its_note_says(tree):
    shutil.rmtree(tree / "1/1")
    (tree / "1/1").symlink_to(tree / "1/0")
    expected = SLICES.copy()
    expected[1, 12:24] = 0
    np.testing.assert_array_equal(voxels(tree), volume(expected))


def test_a_linked_file_is_a_file_and_a_link_to_nothing_an_error(tree, tmp_path):
    (tree / "1/1/1.png").rename(tmp_path / "moved.png")
    (tree / "1/1/1.png").symlink_to(tmp_path / "moved.png")
    np.testing.assert_array_equal(voxels(tree), volume(SLICES))
    (tmp_path / "moved.png").unlink()
    with pytest.raises(SourceNotFound, match=r"1/1/1\.png .*No such file"):
        source(tree)


def test_a_stray_number_is_no_reason_to_write_petabytes(tree):
    (tree / "2").rename(tree / "2000000")
    with pytest.raises(InconsistentStack, match="too far apart: x 0 to 2, y 0 to 2, z 0 to 2000000"):
        source(tree)


def test_a_tree_that_vanishes_is_not_black(tree, tmp_path):
    of = source(tree)
    (tree / "1/1/1.png").unlink()
    assert not of.read(Box((16, 12, 1), (16, 12, 1))).any()
    tree.rename(tmp_path / "unmounted")
    tree.mkdir()
    with pytest.raises(BrokenSource, match="is gone"):
        whole(of)


def test_a_folder_that_may_not_be_read_is_no_missing_tile(tree, monkeypatch):
    of = source(tree)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.lstat", refuse)
    with pytest.raises(BrokenSource, match="Permission denied"):
        whole(of)
    monkeypatch.undo()
    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(BrokenSource, match=r"cannot be read.*Permission denied"):
        source(tree, pattern="{z}/{y}/{x}.png")


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(SourceNotFound, match="cannot be read"):
        source(tmp_path / "nothing", pattern="{z}/{y}/{x}.png")
    path = save(tmp_path / "a.png", SLICES[0])
    assert detect(path) is None
    with pytest.raises(BrokenSource, match="Not a directory"):
        source(path, pattern="{z}/{y}/{x}.png")


@pytest.mark.slow
def test_a_tile_that_claims_too_much_is_refused_undecoded(tree):
    Image.new("L", (9000, 9000)).save(tree / "1/1/1.png", optimize=True)
    path = tree / "1/1/1.png"
    assert 10_000 * path.stat().st_size > 81e6
    with pytest.raises(InconsistentStack, match="9000 x 9000"):
        source(tree)
    content = path.read_bytes()
    path.write_bytes(content[:45] + content[-12:])
    with pytest.raises(BrokenSource, match=r"1/1/1\.png .*9000 x 9000 pixels.*more than 10000 to 1"):
        source(tree)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "gif"])
def test_wrong_bytes_raise_nothing_but_errors_of_ours(tmp_path, suffix):
    tree = plant(tmp_path, noise(1, 24, 32), TILE, name="{z}/{y}/{x}." + suffix)
    path = tree / f"0/1/0.{suffix}"
    content = path.read_bytes()
    rng = random.Random(0)
    errors = []

    def read():
        of = source(tree)
        if of.info.box.volume < 10**7:
            whole(of)

    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 5)):
            place = rng.choice([rng.randrange(len(content)), rng.randrange(64)])
            damaged[place] = rng.choice([0, 255, rng.randrange(256)])
        path.write_bytes(damaged[: rng.choice([None, None, rng.randrange(len(content))])])
        errors.append(refusal(read))
    assert None in errors
    assert all(error is None or (error.why and f"0/1/0.{suffix}" in str(error)) for error in errors)


def test_a_catmaid_thumbnail_is_no_tile(tmp_path):
    tree = plant(tmp_path, SLICES, TILE, name=CATMAID[1])
    save(tree / "1/small.jpg", SLICES[0])
    np.testing.assert_array_equal(voxels(tree), volume(SLICES))


def test_no_file_stays_open_and_threads_read_the_same(tree):
    of = source(tree)
    expected = whole(of)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(whole, [of] * 16):
            np.testing.assert_array_equal(found, expected)
    if os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - no path of ours
        linked = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path)]  # noqa: PTH114, PTH115
        assert not [path for path in linked if str(tree) in path]


def test_an_empty_tree_is_refused(tmp_path):
    (tmp_path / "1/2").mkdir(parents=True)
    with pytest.raises(UnsupportedSource, match="are not recognised"):
        source(tmp_path)
