"""The kernels that make one coarse voxel of a block of finer ones: nearest, min, max, mean, bilinear, median.

Each takes `(block[c, x, y, z], factor)` and returns the coarser block; factors are powers of two, 1 and 2 are quick.
Channels are independent. Whatever the kernel, a coarse voxel's bits depend on the voxels that it is made of and on
nothing else, not on strides nor on what else is in the block.

NaN counts as "no value": it is ignored unless the whole block is NaN. inf is a number like others, so that opposite
infinities have the mean NaN. Results that are computed have one NaN and no -0.0; `nearest` takes voxels as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.kernels.pooling import blocks, first, halves, lines, members, memory_order, pooled

if TYPE_CHECKING:
    from wkconvert_core.contract.geometry import Vec3Like
    from wkconvert_core.contract.model import Array


def nearest(block: Array, factor: Vec3Like) -> Array:
    """The block's first voxel, unchanged."""
    return pooled(block, factor, first)


def minimum(block: Array, factor: Vec3Like) -> Array:
    """The block's smallest value."""
    return pooled(block, factor, partial(_extreme, np.fmin))


def maximum(block: Array, factor: Vec3Like) -> Array:
    """The block's largest value."""
    return pooled(block, factor, partial(_extreme, np.fmax))


def _extreme(choose: np.ufunc, fine: Array, coarse: Array, steps: Vec3Like) -> None:
    row, *others = lines(fine, steps)
    for other in others:
        row = choose(row, other)
    for _ in range(steps[2].bit_length() - 1):
        row = choose(*halves(row))
    coarse[...] = row
    settle(coarse)


def settle(coarse: Array) -> None:
    """Give zeros and NaN of floats one form: which of the equal ones an operation returns depends on the machine."""
    if coarse.dtype.kind == "f":
        coarse += 0.0
        coarse[np.isnan(coarse)] = np.nan


def mean(block: Array, factor: Vec3Like) -> Array:
    """The block's mean, correctly rounded: integers to the nearest, halves to the even one; floats summed as float64.

    Integers are exact up to 64 bits. Halves to even because rounding them up brightens every mag a little.
    """
    whole = block.dtype.kind in "iu"
    return pooled(block, factor, _integer_mean if whole else partial(_float_mean, memory_order(block)))


def _integer_mean(fine: Array, coarse: Array, steps: Vec3Like) -> None:
    """Add up the quotients and the remainders of the voxels: neither sum overflows, whatever the dtype."""
    count = math.prod(steps)
    shift = count.bit_length() - 1
    if shift == 0:
        coarse[...] = fine
        return
    if count > 8 and fine.itemsize < 4:  # the sum of remainders is up to count * (count - 1)
        fine = fine.astype(np.int32)
    whole, rest = (
        _row_sum(part) for part in zip(*((v >> shift, v & (count - 1)) for v in lines(fine, steps)), strict=True)
    )
    for _ in range(steps[2].bit_length() - 1):
        whole, rest = np.add(*halves(whole)), np.add(*halves(rest))
    odd = (whole + (rest >> shift)) & 1
    rest += count // 2 - 1
    rest += odd
    rest >>= shift
    np.add(whole, rest, out=coarse, casting="unsafe")


def _row_sum(rows: tuple[Array, ...]) -> Array:
    total = rows[0]
    for row in rows[1:]:
        total += row
    return total


def _float_mean(order: Vec3Like, fine: Array, coarse: Array, steps: Vec3Like) -> None:
    """Add up pairs along z, then y, then x, whatever the order in memory: the order decides the last bits."""
    total = fine.astype(np.float64)
    for place in sorted(range(3), key=order.__getitem__, reverse=True):
        for _ in range(steps[place].bit_length() - 1):
            pairs = total.swapaxes(place, 0)
            total = (pairs[::2] + pairs[1::2]).swapaxes(place, 0)
    coarse[...] = total / math.prod(steps)
    odd = ~np.isfinite(total)
    if odd.any():
        coarse[odd] = _mean_of_values(members(fine, steps, odd))
    settle(coarse)


def _mean_of_values(values: Array) -> Array:
    """The mean of each row `[block, voxel]` without its NaN; divides first, so that large values do not overflow."""
    ranked = np.sort(values, axis=1).astype(np.float64)  # so that the order in memory has no say
    valid = ~np.isnan(ranked)
    share = np.where(valid, ranked, 0) / valid.sum(axis=1, keepdims=True)
    total: Array = share[:, 0].copy()
    for column in share.T[1:]:  # one by one: the order in which numpy would sum depends on the shape
        total += column
    return total.clip(np.fmin.reduce(ranked, axis=1), np.fmax.reduce(ranked, axis=1))


def bilinear(block: Array, factor: Vec3Like) -> Array:
    """The linear spline at the block's centre: the mean of the middle two along each axis, rounded like `mean`."""
    middle = tuple(slice(None) if f == 1 else np.s_[f // 2 - 1 : f // 2 + 1] for f in factor)
    shape = [size for n, f in zip(block.shape[1:], factor, strict=True) for size in (n // f, f)]
    inner = block.reshape(len(block), *shape)[:, :, middle[0], :, middle[1], :, middle[2]]
    x, y, z = (min(f, 2) for f in factor)
    fine = [n // f * g for n, f, g in zip(block.shape[1:], factor, (x, y, z), strict=True)]
    return mean(inner.reshape(len(block), *fine), (x, y, z))


def median(block: Array, factor: Vec3Like) -> Array:
    """The block's median; of an even count the mean of the middle two, integers truncated towards zero.

    That is `np.median(...).astype(dtype)`, but exact for 64 bits and without overflow; 64-bit ids near the end of
    their range stay themselves.
    """
    return pooled(block, factor, _median)


def _median(fine: Array, coarse: Array, steps: Vec3Like) -> None:
    """Sort by a network of minima and maxima of whole rows; blocks of more than 8 voxels are sorted one by one."""
    if math.prod(steps) == 1:
        coarse[...] = fine
    elif max(steps) > 2:
        values = blocks(fine, steps)
        coarse[...] = _middle_of_values(values.reshape(-1, math.prod(steps))).reshape(coarse.shape)
    else:
        _average(*_middle_two(fine, steps), coarse)
        _mend_nan(fine, coarse, steps)
    settle(coarse)


def _middle_two(fine: Array, steps: Vec3Like) -> tuple[Array, Array]:
    """The two middle values of each block, in either order."""
    rows = lines(fine, steps)
    if steps[2] == 1:
        half = len(rows) // 2
        return _middle(_sorted(rows[:half]), _sorted(rows[half:]))
    left, right = zip(*(halves(row) for row in _sorted(rows)), strict=True)
    return _middle(left, right)


def _sorted(rows: list[Array]) -> list[Array]:
    """One, two or four rows sorted, voxel by voxel."""
    if len(rows) == 1:
        return rows
    if len(rows) == 2:
        return [np.minimum(*rows), np.maximum(*rows)]
    (low, high), (other_low, other_high) = _sorted(rows[:2]), _sorted(rows[2:])
    inner = _sorted([np.maximum(low, other_low), np.minimum(high, other_high)])
    return [np.minimum(low, other_low, out=low), *inner, np.maximum(high, other_high, out=high)]


def _middle(a: Sequence[Array], b: Sequence[Array]) -> tuple[Array, Array]:
    """The two middle values of two sorted sequences of one, two or four, in either order.

    Batcher's odd-even merge, of which only what leads to the middle is left.
    """
    if len(a) == 1:
        return a[0], b[0]
    if len(a) == 2:
        return np.maximum(a[0], b[0]), np.minimum(a[1], b[1])
    left = np.minimum(np.maximum(a[1], b[1]), np.minimum(a[3], b[3]))
    right = np.maximum(np.maximum(a[0], b[0]), np.minimum(a[2], b[2]))
    return left, right


def _average(a: Array, b: Array, coarse: Array) -> None:
    """The mean of two values; integers are truncated towards zero and do not overflow."""
    if coarse.dtype.kind == "f":
        np.add(a, b, out=coarse)
        coarse *= 0.5
        odd = ~np.isfinite(coarse)
        coarse[odd] = a[odd] * 0.5 + b[odd] * 0.5  # where the sum, but not the mean, is out of range
        return
    differing = a ^ b
    np.add(a & b, differing >> 1, out=coarse)
    if coarse.dtype.kind == "i":  # that was rounded down: mend negative halves
        coarse += (coarse < 0) & differing & 1


def _mend_nan(fine: Array, coarse: Array, steps: Vec3Like) -> None:
    """Take the median of the other values where there was a NaN: minima and maxima pass it on to the result."""
    if coarse.dtype.kind == "f" and (odd := np.isnan(coarse)).any():
        coarse[odd] = _middle_of_values(members(fine, steps, odd))


def _middle_of_values(values: Array) -> Array:
    """The median of each row `[block, voxel]` without its NaN."""
    ranked = np.sort(values, axis=1)  # NaN come last
    valid = (~np.isnan(values)).sum(axis=1, keepdims=True)
    a, b = (np.take_along_axis(ranked, np.maximum(place, 0) // 2, axis=1)[:, 0] for place in (valid - 1, valid))
    result = np.empty(len(values), values.dtype)
    _average(a, b, result)
    return result
