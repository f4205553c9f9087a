"""Vectors, checked number by number; boxes and mags, checked against sets of voxels."""

from __future__ import annotations

import itertools
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wkconvert_core import Box, Mag, Vec3
from wkconvert_core.contract.numbers import ceil_div, is_power_of_two

whole = st.integers(-9, 9)
starts = st.tuples(whole, whole, whole)
sides = st.integers(0, 6)
boxes = st.builds(Box, starts, st.tuples(sides, sides, sides))
steps = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))


def voxels(box: Box) -> set[Vec3]:
    return set(itertools.product(*(range(a, a + n) for a, n in zip(box.start, box.shape, strict=True))))


@given(st.integers(-100, 100), st.integers(1, 20))
def test_ceil_div_rounds_up(a: int, b: int) -> None:
    assert ceil_div(a, b) * b >= a > (ceil_div(a, b) - 1) * b


@given(st.integers(-5, 5000))
def test_powers_of_two_are_those_with_one_bit(n: int) -> None:
    assert is_power_of_two(n) == (n > 0 and f"{n:b}".count("1") == 1)


@given(starts, starts)
def test_vectors_are_added_and_compared_number_by_number(a: Vec3, b: Vec3) -> None:
    pairs = list(zip(a, b, strict=True))
    assert Vec3(*a) + b == tuple(x + y for x, y in pairs)
    assert Vec3(*a) - b == tuple(x - y for x, y in pairs)
    assert -Vec3(*a) == tuple(-x for x in a)
    assert Vec3(*a).min(b) == tuple(min(x, y) for x, y in pairs)
    assert Vec3(*a).max(b) == tuple(max(x, y) for x, y in pairs)
    assert Vec3(*a).volume == a[0] * a[1] * a[2]


@given(starts, st.one_of(st.integers(1, 4), steps))
def test_vectors_are_multiplied_and_divided_by_a_number_or_number_by_number(a: Vec3, by: int | Vec3) -> None:
    pairs = list(zip(a, (by,) * 3 if isinstance(by, int) else by, strict=True))
    assert Vec3(*a) * by == by * Vec3(*a) == tuple(x * y for x, y in pairs)
    assert Vec3(*a) // by == tuple(x // y for x, y in pairs)
    assert Vec3(*a).ceildiv(by) == tuple(ceil_div(x, y) for x, y in pairs)


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.mul, operator.floordiv, Vec3.min, Vec3.max])
def test_a_vector_takes_no_tuple_of_another_length(operation) -> None:
    with pytest.raises(ValueError, match="unpack"):
        operation(Vec3(1, 2, 3), (1, 2))


def test_a_vector_is_a_tuple_in_sets_in_text_and_when_pickled() -> None:
    vector = Vec3(1, 2, 3)
    assert vector in {(1, 2, 3)}
    assert f"{vector} {[vector]}" == "(1, 2, 3) [(1, 2, 3)]"
    assert type(pickle.loads(pickle.dumps(vector))) is Vec3
    assert type(pickle.loads(pickle.dumps(Mag(2, 2, 1)))) is Mag


def test_plans_of_runs_record_mags_and_boxes_as_they_always_did() -> None:
    assert repr(Mag(2, 2, 1)) == "Mag(x=2, y=2, z=1)"
    assert repr(Box(Vec3(0, 0, 4), (3, 2, 1))) == "Box(start=(0, 0, 4), shape=(3, 2, 1))"


def test_a_box_holds_vectors_whatever_it_is_made_of() -> None:
    for box in (Box((1, 2, 3), Mag(2, 2, 1)), Box.between((1, 2, 3), (3, 4, 4)), Box(Vec3(1, 2, 3), Vec3(2, 2, 1))):
        assert (type(box.start), type(box.shape)) == (Vec3, Vec3)
        assert box == Box((1, 2, 3), (2, 2, 1)) == pickle.loads(pickle.dumps(box))
        assert hash(box) == hash(Box((1, 2, 3), (2, 2, 1)))


@pytest.mark.parametrize(
    ("text", "mag"), [("1", (1, 1, 1)), ("4", (4, 4, 4)), ("4-4-1", (4, 4, 1)), (" 2-1-16 ", (2, 1, 16))]
)
def test_a_mag_is_read(text: str, mag: Vec3) -> None:
    assert Mag.parse(text) == mag


@pytest.mark.parametrize(
    "text", ["", "0", "3", "-2", "2-2", "2-2-2-2", "2-3-2", "2-2-0", "x", "1_6", "2.0", "٢", "2--2"]
)
def test_what_is_no_mag_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no mag; a mag is a power of two such as 2") as caught:
        Mag.parse(text)
    assert repr(text) in str(caught.value)


@given(st.tuples(*[st.sampled_from([1, 2, 4, 64])] * 3))
def test_a_mag_is_read_as_it_is_written(factors: Vec3) -> None:
    assert Mag.parse(str(Mag(*factors))) == factors


def test_mags_are_named_as_their_folders() -> None:
    assert [str(Mag(*factors)) for factors in ((1, 1, 1), (4, 4, 4), (4, 4, 2))] == ["1", "4", "4-4-2"]


@given(starts, starts)
def test_a_box_between_two_corners_holds_what_lies_between(a: Vec3, b: Vec3) -> None:
    assert voxels(Box.between(a, b)) == set(itertools.product(*map(range, a, b)))


@given(boxes)
def test_volume_counts_the_voxels(box: Box) -> None:
    assert box.volume == len(voxels(box))


@given(boxes, boxes)
def test_the_intersection_holds_the_common_voxels(a: Box, b: Box) -> None:
    assert voxels(a.intersection(b)) == voxels(a) & voxels(b)


@given(boxes, boxes)
def test_a_box_lies_in_another_if_its_voxels_do(inner: Box, outer: Box) -> None:
    if inner.volume:
        assert (inner in outer) == (voxels(inner) <= voxels(outer))


@given(boxes, starts)
def test_a_shift_moves_every_voxel(box: Box, by: Vec3) -> None:
    assert voxels(box.shifted(by)) == {(x + by[0], y + by[1], z + by[2]) for x, y, z in voxels(box)}


@given(boxes, steps)
def test_growing_adds_on_either_side(box: Box, by: Vec3) -> None:
    grown = box.grown(by)
    assert grown.start == tuple(a - d for a, d in zip(box.start, by, strict=True))
    assert grown.stop == tuple(b + d for b, d in zip(box.stop, by, strict=True))


@given(boxes, steps)
def test_a_coarser_box_holds_the_cells_that_the_box_touches(box: Box, factor: Vec3) -> None:
    x, y, z = factor
    assert voxels(box.coarsened(factor)) == {(a // x, b // y, c // z) for a, b, c in voxels(box)}


@given(boxes, steps)
def test_a_finer_box_is_the_same_place(box: Box, factor: Vec3) -> None:
    assert box.refined(factor).coarsened(factor) == box
    assert box.refined(factor).volume == box.volume * factor[0] * factor[1] * factor[2]


@given(boxes, steps)
def test_the_aligned_box_is_the_smallest_of_whole_cells(box: Box, grid: Vec3) -> None:
    aligned = box.aligned(grid)
    assert all(n % g == 0 for n, g in zip((*aligned.start, *aligned.stop), grid + grid, strict=True))
    assert voxels(box) <= voxels(aligned)
    if box.volume:
        assert all(0 <= a - b < g for a, b, g in zip(box.start, aligned.start, grid, strict=True))
        assert all(0 <= b - a < g for a, b, g in zip(box.stop, aligned.stop, grid, strict=True))


@given(boxes, steps)
def test_tiles_cover_the_box_once_on_the_grid_and_x_is_fastest(box: Box, shape: Vec3) -> None:
    tiles = list(box.tiles(shape))
    assert len(tiles) == box.count_tiles(shape)
    assert sorted(voxel for tile in tiles for voxel in voxels(tile)) == sorted(voxels(box))
    assert all(tile.volume and tile == tile.aligned(shape).intersection(box) for tile in tiles)
    assert [tile.start[::-1] for tile in tiles] == sorted(tile.start[::-1] for tile in tiles)


def test_tiles_are_made_one_by_one() -> None:
    assert next(Box((0, 0, 0), (10**5, 10**5, 10**5)).tiles((1, 1, 1))) == Box((0, 0, 0), (1, 1, 1))


@given(boxes, steps)
def test_slices_cut_a_box_out_of_an_array_of_another(inner: Box, by: Vec3) -> None:
    outer = inner.grown(by)
    place = np.moveaxis(np.indices(outer.shape), 0, -1) + np.array(outer.start)
    cut = place[inner.slices_in(outer)]
    assert cut.shape == (*inner.shape, 3)
    assert set(map(tuple, cut.reshape(-1, 3).tolist())) == voxels(inner)


def test_a_box_is_written_for_people() -> None:
    assert str(Box((0, 5, 4), (10, 5, 1))) == "x 0:10, y 5:10, z 4:5"
