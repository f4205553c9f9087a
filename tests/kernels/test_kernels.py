"""Each kernel against its definition in plain loops, over random data, strides and tile sizes."""

from __future__ import annotations

import json
import math
import os
import subprocess
from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wkconvert_core.kernels import mode, pooling
from wkconvert_core.kernels import reductions as kernels

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"]


def is_float(value):
    return isinstance(value, np.floating)


def without_nan(values):
    return [value for value in values if value == value]


def plain_median(values):
    kept = sorted(without_nan(values), key=float if is_float(values[0]) else int)
    if not kept:
        return np.nan
    a, b = kept[(len(kept) - 1) // 2], kept[len(kept) // 2]
    if not is_float(a):
        total = int(a) + int(b)
        return abs(total) // 2 * (1 if total > 0 else -1)
    with np.errstate(all="ignore"):
        return (a + b) / 2 if np.isfinite(a + b) else a / 2 + b / 2


def plain_mode(values):
    def count(value):
        return sum(other == value or (other != other and value != value) for other in values)

    return max(values, key=count)  # max returns the first of several


def plain_mean(values):
    if not is_float(values[0]):
        return round(Fraction(sum(map(int, values)), len(values)))  # a Fraction rounds halves to even
    kept = [float(value) for value in without_nan(values)]
    infinite = {value for value in kept if math.isinf(value)}
    if infinite or not kept:
        return infinite.pop() if len(infinite) == 1 else np.nan
    return float(sum(map(Fraction, kept)) / len(kept))


def plain_bilinear(values, factor):
    x, y, z = factor
    steps = product(range(z), range(x), range(y))
    middle = [{f // 2 - 1, f // 2} if f > 1 else {0} for f in (z, x, y)]
    return plain_mean([v for v, at in zip(values, steps, strict=True) if all(map(set.__contains__, middle, at))])


PLAIN = {
    "median": (kernels.median, lambda values, factor: plain_median(values)),
    "mode": (mode.mode, lambda values, factor: plain_mode(values)),
    "mean": (kernels.mean, lambda values, factor: plain_mean(values)),
    "nearest": (kernels.nearest, lambda values, factor: values[0]),
    "bilinear": (kernels.bilinear, plain_bilinear),
    "min": (kernels.minimum, lambda values, factor: min(without_nan(values), default=np.nan)),
    "max": (kernels.maximum, lambda values, factor: max(without_nan(values), default=np.nan)),
}


def by_loops(name, block, factor):
    """The kernel's definition, voxel by voxel; a block's voxels come y fastest, then x, then z."""
    fx, fy, fz = factor
    result = np.zeros((len(block), *(n // f for n, f in zip(block.shape[1:], factor, strict=True))), block.dtype)
    for c, x, y, z in np.ndindex(result.shape):
        cell = block[c, x * fx : (x + 1) * fx, y * fy : (y + 1) * fy, z * fz : (z + 1) * fz]
        result[c, x, y, z] = PLAIN[name][1](list(cell.transpose(2, 0, 1).ravel()), factor)
    return result


def values_of(dtype, palette, shape, rng):
    """Few distinct values, so that ties happen; values at the ends of the range; or all of it."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        special = [0.0, -0.0, 1.5, -2.25, np.nan, -np.nan, np.inf, -np.inf]
        large = np.finfo(dtype)
        pools = {
            "few": [1.0, 2.0, np.nan],
            "ends": [*special, large.max, large.min, large.smallest_subnormal],
            "all": [*special, *rng.normal(0, 100, 40)],
        }
        return rng.choice(np.array(pools[palette], dtype), shape)
    limits = np.iinfo(dtype)
    if palette == "all":
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    few = [limits.max, limits.max - 1, limits.max // 2]
    ends = [*few, limits.min, limits.min + 1, 0, 1, 2, 3]
    return rng.choice(np.array(few if palette == "few" else ends, dtype), shape)


def laid_out(block, order, stretch, offset):
    """The same voxels with axes in another order in memory, gaps or a reversal, at an odd address."""
    axes = list(order)
    shape = [block.shape[axis] * abs(step) for axis, step in zip(axes, stretch, strict=True)]
    room = np.zeros(math.prod(shape) * block.itemsize + 16, np.uint8)
    home = room[offset : offset + math.prod(shape) * block.itemsize].view(block.dtype).reshape(shape)
    placed = home[tuple(slice(None, None, step) for step in stretch)].transpose(np.argsort(axes))
    placed[...] = block
    return placed


@st.composite
def blocks(draw):
    steps = st.sampled_from([1, 2, 2, 2, 4])
    factor = draw(st.tuples(steps, steps, steps))
    coarse = draw(st.tuples(*[st.integers(1, 4)] * 3))
    shape = (draw(st.integers(1, 2)), *(n * f for n, f in zip(coarse, factor, strict=True)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    block = values_of(draw(st.sampled_from(DTYPES)), draw(st.sampled_from(["few", "ends", "all"])), shape, rng)
    stretch = draw(st.tuples(*[st.sampled_from([1, 1, 1, 2, -1])] * 4))
    return laid_out(block, draw(st.permutations(range(4))), stretch, draw(st.integers(0, 8))), factor


@pytest.mark.parametrize("name", PLAIN)
@settings(deadline=None, max_examples=120)
@given(case=blocks(), tile=st.sampled_from([1, 100, 700, pooling.TILE_BYTES]))
def test_a_kernel_is_what_its_definition_says(name, case, tile):
    block, factor = case
    before = block.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooling, "TILE_BYTES", tile)
        result = PLAIN[name][0](block, factor)
    expected = by_loops(name, block, factor)
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    if name in ("mean", "bilinear") and block.dtype.kind == "f":
        with np.errstate(all="ignore"):
            scale = np.nanmax(np.where(np.isfinite(block), np.abs(block), 0)).astype(np.float64)
        np.testing.assert_allclose(result, expected, rtol=np.finfo(block.dtype).eps, atol=scale * 1e-15)
    else:
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(block, before)
    assert not np.shares_memory(result, block)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mode", "nearest"])
@settings(deadline=None, max_examples=60)
@given(case=blocks())
def test_mode_and_nearest_return_a_voxel_bit_by_bit(name, case):
    block, factor = case
    expected = by_loops(name, block, factor)
    assert PLAIN[name][0](block, factor).tobytes() == expected.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
@settings(deadline=None, max_examples=60)
@given(case=blocks(), data=st.data())
def test_a_voxel_has_the_same_bits_whatever_lies_beside_it(name, case, data):
    block, factor = case
    kernel = PLAIN[name][0]
    whole = kernel(block, factor)
    at = tuple(data.draw(st.integers(0, n - 1)) for n in whole.shape[1:])
    cell = block[:, *(slice(i * f, i * f + f) for i, f in zip(at, factor, strict=True))]
    assert kernel(cell, factor)[:, 0, 0, 0].tobytes() == whole[:, *at].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("dtype", DTYPES)
def test_large_blocks_equal_small_ones(name, dtype):
    """The quick paths, with rows longer than a vector register and several tiles."""
    rng = np.random.default_rng(7)
    block = np.asfortranarray(values_of(dtype, "all", (1, 318, 130, 10), rng))
    kernel = PLAIN[name][0]
    for factor in product((1, 2), repeat=3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pooling, "TILE_BYTES", 50_000)
            whole = kernel(block, factor)
        strips = [kernel(block[:, :, y : y + 2], factor) for y in range(0, 130, 2)]
        assert whole.tobytes() == np.concatenate(strips, axis=2).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("factor", [(8, 8, 8), (16, 4, 1), (1, 1, 32)])
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u8", "f4"])
def test_any_power_of_two_works(name, factor, dtype):
    block = values_of(dtype, "ends", (1, *(2 * f for f in factor)), np.random.default_rng(1))
    if dtype == "f4":
        block = block.clip(-5, 5)
    np.testing.assert_array_equal(PLAIN[name][0](block, factor), by_loops(name, block, factor))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_a_voxel_has_the_same_bits_in_any_order_in_memory(name, dtype):
    rng = np.random.default_rng(5)
    block = (rng.normal(0, 100, (2, 12, 16, 8)) ** 2 % 251).astype(dtype)
    if dtype != "u1":
        block[rng.random(block.shape) < 0.1] = np.nan
    seen = {
        PLAIN[name][0](laid_out(block, order, (1, 1, 1, 1), 0), (2, 4, 2)).tobytes() for order in permutations(range(4))
    }
    assert len(seen) == 1


def test_labels_of_large_blocks_are_counted_in_full():
    block = np.full(1024, 2, np.uint32)
    block[:424] = 1
    assert mode.mode(block.reshape(1, 16, 8, 8, order="F"), (16, 8, 8)).item() == 2


@pytest.mark.parametrize("factor", [(2, 2, 1), (2, 2, 2), (1, 1, 2), (4, 2, 2)])
def test_only_blocks_of_several_labels_are_counted(monkeypatch, factor):
    labels = np.zeros((1, 64, 64, 4), np.uint64, order="F")
    labels[0, 20:40] = 2**64 - 1
    labels[0, 33, 17, 2] = 5
    counted = []
    winners = mode._winners
    monkeypatch.setattr(mode, "_winners", lambda values: counted.append(values.shape[1]) or winners(values))
    mode.mode(labels, factor)
    assert counted == [1]


def test_a_mean_rounds_halves_to_even():
    pairs = np.array([[0, 1], [1, 2], [2, 3], [-1, 0], [-2, -1]], np.int16).reshape(1, 10, 1, 1)
    assert kernels.mean(pairs, (2, 1, 1)).ravel().tolist() == [0, 2, 2, 0, -2]


def test_a_median_is_truncated_towards_zero_like_numpys():
    pairs = np.array([[1, 2], [-1, -2], [-3, 2], [-128, 127]], np.int8).reshape(1, 8, 1, 1)
    expected = np.median(pairs.reshape(4, 2), axis=1).astype(np.int8)
    assert kernels.median(pairs, (2, 1, 1)).ravel().tolist() == expected.tolist() == [1, -1, 0, 0]


def test_infinity_is_a_number_and_nan_is_none():
    block = np.array([[np.inf, 1], [np.nan, 3], [np.nan, np.nan], [np.inf, -np.inf]], np.float32).reshape(1, 8, 1, 1)
    seen = {name: kernel(block, (2, 1, 1)).ravel().tolist() for name, (kernel, _) in PLAIN.items()}
    for name in ("median", "mean", "bilinear"):
        np.testing.assert_array_equal(seen[name], [np.inf, 3, np.nan, np.nan])
    np.testing.assert_array_equal(seen["min"], [1, 3, np.nan, -np.inf])
    np.testing.assert_array_equal(seen["max"], [np.inf, 3, np.nan, np.inf])
    np.testing.assert_array_equal(seen["mode"], [np.inf, np.nan, np.nan, np.inf])


def test_a_mean_never_leaves_the_range_of_its_values():
    largest = np.finfo(np.float64).max
    block = np.array([[largest] * 3 + [np.nan], [0.1] * 3 + [np.nan], [-largest] * 4]).reshape(1, 12, 1, 1)
    assert kernels.mean(block, (4, 1, 1)).ravel().tolist() == [largest, 0.1, -largest]


PEER = os.environ.get("WKCONVERT_PEER")

ASK_PEER = """
import json, sys, warnings
import numpy as np
warnings.simplefilter("ignore")
from webknossos.dataset.layer._downsampling_utils import InterpolationModes, downsample_cube
cases, results = np.load(sys.argv[1]), {}
for key in cases:
    name, dtype, factors = key.split(maxsplit=2)
    cube = np.asfortranarray(cases[key])
    results[key] = downsample_cube(cube, json.loads(factors), InterpolationModes[name.upper()])
np.savez(sys.argv[2], **results)
"""


@pytest.mark.skipif(not PEER, reason="WKCONVERT_PEER names no interpreter that has the webknossos package")
def test_kernels_agree_with_webknossos(tmp_path):
    rng = np.random.default_rng(3)
    dtypes = ["u1", "u2", "u4", "i1", "i2", "i4", "f4"]
    cases = {}
    for name, dtype, factor in product(["median", "mode", "min", "max", "nearest"], dtypes, [(2, 2, 1), (2, 2, 2)]):
        cube = rng.integers(0, 5 if name == "mode" else 100, (32, 32, 16)) - (50 if dtype[0] == "i" else 0)
        cases[f"{name} {dtype} {json.dumps(factor)}"] = cube.astype(dtype)
    np.savez(tmp_path / "cases.npz", **cases)
    command = [PEER, "-c", ASK_PEER, str(tmp_path / "cases.npz"), str(tmp_path / "results.npz")]
    subprocess.run(command, check=True, timeout=300)
    results = np.load(tmp_path / "results.npz")
    for key, cube in cases.items():
        name, _, text = key.split(maxsplit=2)
        factor = tuple(json.loads(text))
        ours = PLAIN[name][0](cube[None], factor)[0]
        # its nearest stretches the grid from edge to edge: only in the first half that is a block's first voxel
        seen = tuple(slice(n // 2) if name == "nearest" else slice(None) for n in ours.shape)
        np.testing.assert_array_equal(ours[seen], results[key][seen], err_msg=key)
