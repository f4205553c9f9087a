"""Trees of every kind, each against an array that was put together by the plain definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.PngImagePlugin import PngImageFile
from trees_of import CATMAID, PLAIN, cut, detect, noise, plant, save, source, volume, voxels, without_tiles

from wkconvert_core import Box, Confidence, InconsistentStack, OptionError, UnsupportedSource

TILE = (16, 12)
SLICES = noise(3, 30, 40)  # 3 x 3 tiles, the last column 8 wide, the last row 6 high


def test_tiles_make_slices(tmp_path):
    np.testing.assert_array_equal(voxels(plant(tmp_path, SLICES, TILE)), volume(SLICES))


@pytest.mark.parametrize("kind", CATMAID)
def test_catmaid_is_recognised(tmp_path, kind):
    plant(tmp_path, SLICES, TILE, name=CATMAID[kind])
    assert f"CATMAID type {kind}" in detect(tmp_path).reason
    np.testing.assert_array_equal(voxels(tmp_path), volume(SLICES))


@pytest.mark.parametrize("name", ["{x}/{y}/{z}.png", "{y}/{z}/{x}.png", "{z}_{x}_{y}.png", "s{z}/t-{y}-{x}.old.png"])
def test_a_pattern_may_have_any_order_and_other_text(tmp_path, name):
    plant(tmp_path, SLICES, TILE, name=name)
    np.testing.assert_array_equal(voxels(tmp_path, pattern=name), volume(SLICES))


@pytest.mark.parametrize("overlap", [0, 4])
@pytest.mark.parametrize("name", ["z{z}/x{x}_y{y}.png", "{z}/{y}/{x}.png"])
def test_numbers_that_count_pixels_are_no_tiles(tmp_path, name, overlap):
    def in_pixels(numbers):
        x, y = numbers["x"] * (TILE[0] + 4 - overlap), numbers["y"] * 12
        return name.format(z=numbers["z"], x=x, y=y)

    plant(tmp_path, noise(3, 30, 60), (20, 12), name=in_pixels)
    with pytest.raises(UnsupportedSource, match=rf"rise by {20 - overlap} along x: 0, {20 - overlap}, "):
        source(tmp_path)


def test_deep_zoom_is_asked_about_and_its_finest_level_is_read(tmp_path):
    plant(tmp_path / "brain_files", SLICES[:1], TILE, name="{zoom}/{x}_{y}.png", zoom=9)
    save(tmp_path / "brain_files" / "8" / "0_0.png", SLICES[1])
    with pytest.raises(UnsupportedSource, match="Deep Zoom") as caught:
        source(tmp_path / "brain_files")
    assert "-o pattern={zoom}/{x}_{y}.png -o zoom=9" in caught.value.fix
    found = voxels(tmp_path / "brain_files", pattern="{zoom}/{x}_{y}.png", zoom=9)
    np.testing.assert_array_equal(found, volume(SLICES[:1]))


def test_what_wkcuber_writes_as_pattern_is_understood(tmp_path):
    plant(tmp_path, SLICES, TILE)
    pattern = "{zzzzzzzzzz}/{yyyyyyyyyy}/{xxxxxxxxxx}.png"
    np.testing.assert_array_equal(voxels(tmp_path, pattern=pattern), volume(SLICES))


def test_row_is_y_and_col_is_x(tmp_path):
    plant(tmp_path, SLICES, TILE, name="{x}/{z}/{y}.png")
    np.testing.assert_array_equal(voxels(tmp_path, pattern="{col}/{z}/{row}.png"), volume(SLICES))


def test_a_pattern_without_z_is_one_slice(tmp_path):
    plant(tmp_path, SLICES[:1], TILE, name="{y}_{x}.png")
    np.testing.assert_array_equal(voxels(tmp_path, pattern="{y}_{x}.png"), volume(SLICES[:1]))


def test_a_number_may_stand_twice_in_a_name(tmp_path):
    plant(tmp_path, SLICES, TILE, name="{z}/{z}_{y}_{x}.png")
    save(tmp_path / "1" / "2_0_0.png", SLICES[0])
    assert any("1/2_0_0.png" in note for note in source(tmp_path, pattern="{z}/{z}_{y}_{x}.png").info.notes)
    np.testing.assert_array_equal(voxels(tmp_path, pattern="{z}/{z}_{y}_{x}.png"), volume(SLICES))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_padding_order_and_sparsity(tmp_path_factory, data):
    tile = (5, 4)
    slices = noise(data.draw(st.integers(1, 12)), data.draw(st.integers(1, 9)), data.draw(st.integers(1, 11)))
    cells = [cell for cell, _ in cut(slices, tile)]
    kept = data.draw(st.sets(st.sampled_from(cells), min_size=1))
    kept |= {cell for cell in cells if cell[2] in (0, len(slices) - 1)}  # or the extent would be another
    missing = set(cells) - kept
    first = tuple(data.draw(st.sampled_from([0, 1, 8, 9, 98])) for _ in range(3))
    order = data.draw(st.permutations(["z", "y", "x"]))
    pads = {}

    def name(numbers):
        parts = []
        for depth, axis in enumerate(order):
            key = (depth, *(numbers[a] for a in order[: depth + 1]))
            if key not in pads:
                pads[key] = data.draw(st.sampled_from([1, 1, 2, 3, 5]), label=f"padding of {key}")
            parts.append(f"{numbers[axis]:0{pads[key]}}")
        return "/".join(parts) + ".png"

    root = tmp_path_factory.mktemp("tree")
    plant(root, slices, tile, name=name, first=first, without=missing)
    pattern = "/".join(f"{{{axis}}}" for axis in order) + ".png"
    of = source(root, pattern=pattern)
    np.testing.assert_array_equal(voxels(root, pattern=pattern), volume(without_tiles(slices, tile, missing)))
    if slices.shape[2] > 5 and slices.shape[1] > 4:
        assert of.info.offset == (first[0] * 5, first[1] * 4, first[2])
    counted = [note for note in of.info.notes if note.startswith(f"{len(missing)} of {len(cells)} tiles are missing")]
    assert bool(counted) == bool(missing)


def test_the_smallest_index_sets_the_place_in_the_dataset(tmp_path):
    plant(tmp_path, SLICES, TILE, first=(140, 60, 7))
    info = source(tmp_path).info
    assert (info.shape, info.offset, info.chunk_shape) == ((40, 30, 3), (140 * 16, 60 * 12, 7), (16, 12, 1))
    assert info.voxel_size is None


def test_a_grid_may_be_sparse_in_z(tmp_path):
    plant(tmp_path, SLICES[:1], TILE)
    plant(tmp_path, SLICES[1:2], TILE, first=(0, 0, 5))
    expected = np.concatenate([SLICES[:1], np.zeros((4, 30, 40), "uint8"), SLICES[1:2]])
    np.testing.assert_array_equal(voxels(tmp_path), volume(expected))
    assert "36 of 54 tiles are missing: zero" in source(tmp_path).info.notes


def test_padded_and_plain_numbers_in_one_tree(tmp_path):
    for z, style in enumerate(["{y}/{x}", "{y:03}/{x}", "0{y}/00{x}"]):
        plant(tmp_path, SLICES[z : z + 1], TILE, first=(0, 0, z), name="{z}/" + style + ".png")
    np.testing.assert_array_equal(voxels(tmp_path), volume(SLICES))


def test_the_first_tile_may_be_the_cropped_one(tmp_path):
    """A section that is one column wide comes first: its tiles are all cropped, and there are more of them."""
    narrow, wide = noise(5, 30, 9), noise(1, 30, 40)
    plant(tmp_path, narrow, TILE)
    plant(tmp_path, wide, TILE, first=(0, 0, 5))
    expected = np.zeros((6, 30, 40), "uint8")
    expected[:5, :, :9], expected[5] = narrow, wide[0]
    np.testing.assert_array_equal(voxels(tmp_path), volume(expected))


@pytest.mark.parametrize(("width", "height"), [(7, 5), (20, 12), (16, 17), (31, 23), (64, 20), (3, 40)])
def test_border_tiles_may_be_smaller_or_larger(tmp_path, width, height):
    slices = noise(2, 12 + height, 32 + width)
    for z, picture in enumerate(slices):
        for y, rows in enumerate((slice(0, 12), slice(12, None))):
            for x, columns in enumerate((slice(0, 16), slice(16, 32), slice(32, None))):
                save(tmp_path / PLAIN.format(x=x, y=y, z=z), picture[rows, columns])
    np.testing.assert_array_equal(voxels(tmp_path), volume(slices))


def test_border_tiles_of_several_sizes_are_filled_up_with_zeros(tmp_path):
    slices = noise(2, 24, 40)
    plant(tmp_path, slices[:1], TILE)
    plant(tmp_path, slices[1:, :20, :37], TILE, first=(0, 0, 1))
    slices[1, 20:], slices[1, :, 37:] = 0, 0
    np.testing.assert_array_equal(voxels(tmp_path), volume(slices))
    assert any("4 border tiles are smaller" in note for note in source(tmp_path).info.notes)


@pytest.mark.parametrize(
    ("cell", "size", "why"),
    [
        ((1, 1), (16, 10), "below"),
        ((1, 1), (15, 12), "to the right"),
        ((0, 0), (17, 12), "last column"),
        ((1, 0), (16, 13), "last row"),
        ((2, 0), (65, 12), "not more than 4 times"),
    ],
)
def test_a_tile_of_another_size_that_is_no_border_tile_is_named(tmp_path, cell, size, why):
    plant(tmp_path, SLICES, TILE)
    (x, y), (width, height) = cell, size
    save(tmp_path / f"1/{y}/{x}.png", noise(height, width))
    with pytest.raises(InconsistentStack, match=rf"1/{y}/{x}\.png is {width} x {height} pixels.*16 x 12.*{why}"):
        source(tmp_path)


@pytest.mark.parametrize("other", [noise(12, 16, dtype="uint16"), noise(12, 16, 3)], ids=["uint16", "RGB"])
def test_a_tile_of_another_kind_is_named(tmp_path, other):
    plant(tmp_path, SLICES, TILE)
    save(tmp_path / "2/1/0.png", other)
    with pytest.raises(InconsistentStack, match=r"2/1/0\.png is (uint16 grey|uint8 RGB), other tiles are uint8 grey"):
        source(tmp_path)


@pytest.mark.slow
def test_zoom_levels_are_not_layers(tmp_path):
    for name in CATMAID.values():
        root = tmp_path / name[:8].replace("/", "-")
        plant(root, SLICES, TILE, name=name)
        coarse = SLICES[:, ::2, ::2]
        plant(root, coarse, TILE, name=name, zoom=1)
        np.testing.assert_array_equal(voxels(root), volume(SLICES))
        np.testing.assert_array_equal(voxels(root, zoom=1), volume(coarse))
        assert "zoom 0 is read as mag 1; zoom 1 is there too (-o zoom=)" in source(root).info.notes
        note = "the voxel size is that of zoom 1: 2^1 times that of zoom 0 along x and y"
        assert note in source(root, zoom=1).info.notes


def test_only_a_coarse_zoom_is_an_error_that_offers_it(tmp_path):
    plant(tmp_path, SLICES, TILE, name=CATMAID[4], zoom=2)
    with pytest.raises(UnsupportedSource, match=r"no tiles of zoom 0.*it has zoom 2.*-o zoom=2.*2\^2 times"):
        source(tmp_path)
    np.testing.assert_array_equal(voxels(tmp_path, zoom=2), volume(SLICES))


def test_many_zoom_levels_are_not_all_listed(tmp_path):
    for zoom in range(1, 9):
        plant(tmp_path, SLICES[:1, :5, :5], TILE, name=CATMAID[4], zoom=zoom)
    with pytest.raises(UnsupportedSource, match="it has zoom 1, 2, 3, 4, 5 and 3 more"):
        source(tmp_path)


def test_zoom_without_zoom_levels_is_an_error(tmp_path):
    with pytest.raises(OptionError, match=r"no zoom level in.*\{zoom\}"):
        source(plant(tmp_path, SLICES, TILE), zoom=1)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("{z}/{y}.png", "no place for x"),
        ("{z}/{y}/{x}/{w}.png", "{w} is unknown"),
        ("{z}/{y}{x}.png", "follow one another"),
        ("/{z}/{y}/{x}.png", "'' is not the name"),
        ("../{z}/{y}/{x}.png", "'..' is not the name"),
        ("{z/{y}/{x}.png", "braces"),
        ("", "'' is not the name"),
    ],
)
def test_a_pattern_that_cannot_be_is_refused(tmp_path, pattern, why):
    with pytest.raises(OptionError, match=why):
        source(plant(tmp_path, SLICES, TILE), pattern=pattern)


def test_a_pattern_that_fits_nothing_says_what_is_there(tmp_path):
    with pytest.raises(UnsupportedSource, match=r"no file in .* is named .*others are there"):
        source(plant(tmp_path, SLICES, TILE), pattern="s{z}/{y}/{x}.png")


def test_a_corner_of_a_box_needs_its_own_tile_only(tmp_path):
    plant(tmp_path, SLICES, TILE)
    of = source(tmp_path)
    (tmp_path / "0/1/1.png").write_bytes(b"broken since")
    np.testing.assert_array_equal(of.read(Box((0, 0, 0), (16, 12, 3)))[0].T, SLICES[:, :12, :16])


def test_a_pattern_makes_detection_sure(tmp_path):
    pattern = "s{z}/{zoom}/{y}/{x}.png"
    plant(tmp_path, SLICES, TILE, name=pattern)
    assert detect(tmp_path) is None
    assert detect(tmp_path, pattern=pattern).confidence == Confidence.EXACT
    assert detect(tmp_path / "s0", pattern=pattern).confidence == Confidence.SUFFIX, "any other reader comes first"
    assert detect(tmp_path, pattern="no {pattern}").confidence == Confidence.EXACT, "opening it says what is wrong"


def test_a_read_costs_as_many_tiles_as_the_largest_border_tile_covers(tmp_path):
    plant(tmp_path / "plain", SLICES, TILE)
    assert source(tmp_path / "plain").read_cost == 1
    for x, y, size in ((0, 0, TILE), (1, 0, (64, 12)), (0, 1, (16, 48)), (1, 1, (64, 48))):
        save(tmp_path / f"large/0/{y}/{x}.png", noise(size[1], size[0]))
    of = source(tmp_path / "large")
    assert (of.info.chunk_shape, of.read_cost) == ((16, 12, 1), 16)


def test_a_tile_that_does_not_fit_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    of = source(plant(tmp_path, SLICES, TILE))
    save(tmp_path / "1/1/1.png", noise(2000, 2000))
    decoded = []
    load = PngImageFile.load
    monkeypatch.setattr(PngImageFile, "load", lambda self: (decoded.append(self.size), load(self))[1])
    with pytest.raises(InconsistentStack, match="2000 x 2000 pixels"):
        of.read(of.info.box)
    assert (16, 12) in decoded
    assert (2000, 2000) not in decoded
