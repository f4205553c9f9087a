"""Kernels that reduce each block of finer voxels to one coarse voxel: nearest, min, max, mean, bilinear, median.

Each takes `(block[c, x, y, z], factor)` and returns the coarser array `[c, x / fx, y / fy, z / fz]` in the same dtype.
Factors are powers of two; 1 and 2 are fast. Channels are independent. The bits of a coarse voxel depend only on its own
finer voxels, not on memory layout or on the rest of the array: the same dataset comes out however it is cut into tasks.

NaN means "no value": it is ignored unless the whole block is NaN. inf is an ordinary number, so +inf and -inf average
to NaN. Computed results use one bit pattern for NaN and no -0.0; `nearest` copies voxels unchanged.
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
    """The first voxel of each block, unchanged.

    >>> block = np.array([[[[10], [20]], [[30], [90]]]], "uint8")  # 2 x 2 x 1 voxels, one channel
    >>> int(nearest(block, (2, 2, 1)).squeeze())
    10
    """
    return pooled(block, factor, first)


def minimum(block: Array, factor: Vec3Like) -> Array:
    """The smallest value of each block.

    >>> block = np.array([[[[10], [20]], [[30], [90]]]], "uint8")  # 2 x 2 x 1 voxels, one channel
    >>> int(minimum(block, (2, 2, 1)).squeeze())
    10
    """
    return pooled(block, factor, partial(_extreme, np.fmin))


def maximum(block: Array, factor: Vec3Like) -> Array:
    """The largest value of each block.

    >>> block = np.array([[[[10], [20]], [[30], [90]]]], "uint8")  # 2 x 2 x 1 voxels, one channel
    >>> int(maximum(block, (2, 2, 1)).squeeze())
    90
    """
    return pooled(block, factor, partial(_extreme, np.fmax))


def _extreme(choose: np.ufunc, fine: Array, coarse: Array, steps: Vec3Like) -> None:
    # along the two slow axes whole rows are combined; then the row is folded in half once per doubling of its factor
    row, *others = lines(fine, steps)
    for other in others:
        row = choose(row, other)
    for _ in range(steps[2].bit_length() - 1):
        row = choose(*halves(row))
    coarse[...] = row
    settle(coarse)


def settle(coarse: Array) -> None:
    """Replace -0.0 by 0.0 and every NaN by one NaN: which of them an operation returns depends on the processor."""
    if coarse.dtype.kind == "f":
        coarse += 0.0
        coarse[np.isnan(coarse)] = np.nan


def mean(block: Array, factor: Vec3Like) -> Array:
    """The mean of each block: integers rounded to nearest, halves to even; floats summed in float64.

    Exact for integers of up to 64 bits. Halves go to the even neighbour because rounding them up would brighten the
    volume a little from mag to mag.

    >>> block = np.array([[[[10], [20]], [[30], [90]]]], "uint8")  # 2 x 2 x 1 voxels, one channel
    >>> int(mean(block, (2, 2, 1)).squeeze()), int(mean(block[:, :1], (1, 2, 1)).squeeze())  # of 37.5 and of 15.0
    (38, 15)
    """
    whole = block.dtype.kind in "iu"
    return pooled(block, factor, _integer_mean if whole else partial(_float_mean, memory_order(block)))


def _integer_mean(fine: Array, coarse: Array, steps: Vec3Like) -> None:
    """Add up the voxels' quotients and remainders by the block's size: neither sum overflows, whatever the dtype."""
    # with n = 2**shift voxels v = n * (v >> shift) + (v & n - 1), the mean is sum(v >> shift) + sum(v & n - 1) / n: the
    # first sum is no larger than a voxel can be, the second less than n * n
    count = math.prod(steps)
    shift = count.bit_length() - 1
    if shift == 0:
        coarse[...] = fine
        return
    if count > 8 and fine.itemsize < 4:  # the remainders' sum, up to count * (count - 1), needs more bits than a voxel
        fine = fine.astype(np.int32)
    whole, rest = (
        _row_sum(part) for part in zip(*((v >> shift, v & (count - 1)) for v in lines(fine, steps)), strict=True)
    )
    for _ in range(steps[2].bit_length() - 1):
        whole, rest = np.add(*halves(whole)), np.add(*halves(rest))
    # round half to even: adding n/2 - 1 rounds halves down, one more rounds them up where that gives the even number
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
    """Add up pairs along z, then y, then x, whatever the memory order: the order of summation decides the last bits."""
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
    """The mean of each row of `[block, voxel]`, ignoring NaN; divides first, so that large values do not overflow."""
    ranked = np.sort(values, axis=1).astype(np.float64)  # sorted: the sum must not depend on the order in memory
    valid = ~np.isnan(ranked)
    share = np.where(valid, ranked, 0) / valid.sum(axis=1, keepdims=True)
    total: Array = share[:, 0].copy()
    for column in share.T[1:]:  # one by one: the order in which `sum` adds depends on the shape
        total += column
    # rounding may carry the mean of nearly equal values beyond them
    return total.clip(np.fmin.reduce(ranked, axis=1), np.fmax.reduce(ranked, axis=1))


def bilinear(block: Array, factor: Vec3Like) -> Array:
    """Linear interpolation at the centre of each block: the mean of the middle two along each axis, rounded as `mean`.

    For the factor 2 that is the mean; beyond, voxels away from the centre do not count.

    >>> block = np.array([0, 10, 20, 99], "uint8").reshape(1, 4, 1, 1)
    >>> int(bilinear(block, (4, 1, 1)).squeeze())
    15
    """
    middle = tuple(slice(None) if f == 1 else np.s_[f // 2 - 1 : f // 2 + 1] for f in factor)
    shape = [size for n, f in zip(block.shape[1:], factor, strict=True) for size in (n // f, f)]
    inner = block.reshape(len(block), *shape)[:, :, middle[0], :, middle[1], :, middle[2]]
    x, y, z = (min(f, 2) for f in factor)
    fine = [n // f * g for n, f, g in zip(block.shape[1:], factor, (x, y, z), strict=True)]
    return mean(inner.reshape(len(block), *fine), (x, y, z))


def median(block: Array, factor: Vec3Like) -> Array:
    """The median of each block; of an even count the mean of the middle two, integers truncated towards zero.

    Equals `np.median(...).astype(dtype)`, but is exact for 64-bit integers, which numpy would round as float64.

    >>> block = np.array([[[[10], [20]], [[30], [90]]]], "uint8")  # 2 x 2 x 1 voxels, one channel
    >>> int(median(block, (2, 2, 1)).squeeze())
    25
    """
    return pooled(block, factor, _median)


def _median(fine: Array, coarse: Array, steps: Vec3Like) -> None:
    """Up to 2 x 2 x 2, sort whole rows at once by a network of minima and maxima; sort larger blocks one by one."""
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

    Batcher's odd-even merge, reduced to the comparisons that the middle depends on.
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
        coarse[odd] = a[odd] * 0.5 + b[odd] * 0.5  # the sum may overflow where the mean does not
        return
    # a + b = 2 * (a & b) + (a ^ b): common bits count twice, differing ones once, and nothing overflows
    differing = a ^ b
    np.add(a & b, differing >> 1, out=coarse)
    if coarse.dtype.kind == "i":  # the shift rounds down; towards zero means up for negative halves
        coarse += (coarse < 0) & differing & 1


def _mend_nan(fine: Array, coarse: Array, steps: Vec3Like) -> None:
    """Recompute blocks with a NaN from their other values: minima and maxima have passed it on to the result."""
    if coarse.dtype.kind == "f" and (odd := np.isnan(coarse)).any():
        coarse[odd] = _middle_of_values(members(fine, steps, odd))


def _middle_of_values(values: Array) -> Array:
    """The median of each row of `[block, voxel]`, ignoring NaN."""
    ranked = np.sort(values, axis=1)  # NaN comes last, so the first `valid` values are the numbers
    valid = (~np.isnan(values)).sum(axis=1, keepdims=True)
    a, b = (np.take_along_axis(ranked, np.maximum(place, 0) // 2, axis=1)[:, 0] for place in (valid - 1, valid))
    result = np.empty(len(values), values.dtype)
    _average(a, b, result)
    return result
