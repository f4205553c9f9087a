"""Tools of the kernels: walking through an array in tiles that fit the cache, and splitting pairs of voxels fast.

Inside, axes are in memory order, slowest first, so that the last one is contiguous (mostly x). The factors in that
order are called `steps`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from wkconvert_core.contract.geometry import Vec3Like
    from wkconvert_core.contract.model import Array

TILE_BYTES = 1024 * 1024
"""Input per tile: with intermediate results, it stays in a core's second-level cache."""

Fold = Callable[["Array", "Array", "Vec3Like"], None]
"""`(fine, coarse, steps)`: computes `coarse` from `fine`, both with three axes, slowest first; rows are contiguous."""

BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
"""The unsigned integer dtype of each size in bytes."""


def pooled(block: Array, factor: Vec3Like, fold: Fold) -> Array:
    """Apply a fold to every tile of `block[c, x, y, z]`; the result has the same memory order as the block."""
    order = memory_order(block)
    a, b, c = order
    steps = factor[a], factor[b], factor[c]
    coarse = np.empty((len(block), *(block.shape[1 + axis] // factor[axis] for axis in order)), block.dtype)
    with np.errstate(all="ignore"):  # each kernel says what becomes of NaN and inf
        for channel, target in zip(block, coarse, strict=True):
            for fine, part in _tiles(channel.transpose(order), target, steps):
                fold(fine, part, steps)
    return coarse.transpose(0, *(1 + order.index(axis) for axis in range(3)))


def memory_order(block: Array) -> Vec3Like:
    """The axes of `block[c, x, y, z]` (x is 0), the largest stride first; axes of length 1 come before all others.

    >>> memory_order(np.zeros((1, 30, 20, 10))), memory_order(np.zeros((10, 20, 30, 1)).T)
    ((0, 1, 2), (2, 1, 0))
    """
    shape, strides = block.shape[1:], block.strides[1:]
    a, b, c = sorted(range(3), key=lambda axis: (shape[axis] > 1, -abs(strides[axis]), -axis))
    return a, b, c


def _tiles(fine: Array, coarse: Array, steps: Vec3Like) -> Iterator[tuple[Array, Array]]:
    """Tiles of whole rows, of several slices or a part of one, each with the part of `coarse` that it makes.

    A tile is copied before it is worked on: reading memory in one sweep is twice as fast as row by row, and the
    block's strides and alignment no longer matter.
    """
    # `row`: bytes of the finer voxels that make one row of coarse ones
    row = max(1, steps[0] * steps[1] * fine.shape[2] * fine.itemsize)
    rows = min(max(1, TILE_BYTES // row), max(1, coarse.shape[1]))
    slices = max(1, TILE_BYTES // (row * rows))
    cache = np.empty(slices * rows * row // fine.itemsize, fine.dtype)
    for s, r in product(range(0, coarse.shape[0], slices), range(0, coarse.shape[1], rows)):
        piece = fine[s * steps[0] : (s + slices) * steps[0], r * steps[1] : (r + rows) * steps[1]]
        tile = cache[: piece.size].reshape(piece.shape)
        np.copyto(tile, piece)
        yield tile, coarse[s : s + slices, r : r + rows]


def lines(fine: Array, steps: Vec3Like) -> list[Array]:
    """The rows at each position within a block: `steps[0] * steps[1]` arrays of full width, views of `fine`."""
    return [fine[i :: steps[0], j :: steps[1]] for i, j in product(range(steps[0]), range(steps[1]))]


def blocks(fine: Array, steps: Vec3Like) -> Array:
    """A view whose last three axes are the voxels of one block."""
    shape = [size for n, step in zip(fine.shape, steps, strict=True) for size in (n // step, step)]
    return fine.reshape(shape).transpose(0, 2, 4, 1, 3, 5)


def members(fine: Array, steps: Vec3Like, where: Array) -> Array:
    """The voxels `[block, voxel]` of the blocks that a mask selects."""
    return blocks(fine, steps)[where].reshape(-1, math.prod(steps))


def first(fine: Array, coarse: Array, steps: Vec3Like) -> None:
    """A fold: the first voxel of each block."""
    rows = fine[:: steps[0], :: steps[1]]
    pairs = _paired(rows) if steps[2] == 2 else None
    if pairs is None:
        coarse[...] = rows[..., :: steps[2]]
    else:
        np.copyto(coarse.view(BITS[fine.itemsize]), pairs, casting="unsafe")


def halves(row: Array) -> tuple[Array, Array]:
    """The first and the second voxel of each pair along the last axis, contiguous.

    Narrowing integers of twice the width is ten times as fast as slicing with a step of 2.

    >>> [half.tolist() for half in halves(np.array([1, 2, 3, 4], "uint8"))]
    [[1, 3], [2, 4]]
    """
    pairs = _paired(row)
    if pairs is None:
        return np.ascontiguousarray(row[..., ::2]), np.ascontiguousarray(row[..., 1::2])
    width = BITS[row.itemsize]
    return pairs.astype(width).view(row.dtype), (pairs >> 8 * row.itemsize).astype(width).view(row.dtype)


def _paired(row: Array) -> Array | None:
    """Each pair of voxels as one integer, the first in its lower half; None where memory or dtype do not allow it."""
    if row.itemsize == 8 or sys.byteorder != "little" or row.strides[-1] != row.itemsize:
        return None
    return row.view(BITS[2 * row.itemsize])
