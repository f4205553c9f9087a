"""Walking through a block in pieces that fit the cache, and telling apart the two voxels of a pair quickly.

Inside, axes are ordered by memory, slowest first, so that the last one runs along contiguous memory (x, mostly); the
factor of each axis, in that order, is called `steps`.
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
"""Input that is worked on at a time: with what is made of it, it stays in a core's second-level cache."""

Fold = Callable[["Array", "Array", "Vec3Like"], None]
"""`(fine, coarse, steps)`: fills `coarse` from `fine`, both with three axes, slowest first; rows are contiguous."""

BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
"""The unsigned integer of each size in bytes."""


def pooled(block: Array, factor: Vec3Like, fold: Fold) -> Array:
    """Apply a fold to every piece of `block[c, x, y, z]`; the result has the block's order of axes in memory."""
    order = memory_order(block)
    steps = tuple_of(factor[axis] for axis in order)
    coarse = np.empty((len(block), *(block.shape[1 + axis] // factor[axis] for axis in order)), block.dtype)
    with np.errstate(all="ignore"):  # each kernel says what becomes of NaN and inf
        for channel, target in zip(block, coarse, strict=True):
            for fine, part in _tiles(channel.transpose(order), target, steps):
                fold(fine, part, steps)
    return coarse.transpose(0, *(1 + order.index(axis) for axis in range(3)))


def memory_order(block: Array) -> Vec3Like:
    """The axes of `block[c, x, y, z]` (x is 0) by their steps in memory, largest first; axes of length 1 come first."""
    shape, strides = block.shape[1:], block.strides[1:]
    return tuple_of(sorted(range(3), key=lambda axis: (shape[axis] > 1, -abs(strides[axis]), -axis)))


def tuple_of(numbers: Iterator[int] | list[int]) -> Vec3Like:
    """Three numbers as a vector."""
    a, b, c = numbers
    return a, b, c


def _tiles(fine: Array, coarse: Array, steps: Vec3Like) -> Iterator[tuple[Array, Array]]:
    """Pieces of whole rows, several slices or a part of one, and where their result belongs.

    Each is copied into the cache first: reading memory in one go is twice as fast as row by row, and strides, holes
    and addresses no longer matter.
    """
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
    """The rows at each place within a block, as `steps[0] * steps[1]` arrays of full width."""
    return [fine[i :: steps[0], j :: steps[1]] for i, j in product(range(steps[0]), range(steps[1]))]


def blocks(fine: Array, steps: Vec3Like) -> Array:
    """A view with one block's voxels in the last three axes."""
    shape = [size for n, step in zip(fine.shape, steps, strict=True) for size in (n // step, step)]
    return fine.reshape(shape).transpose(0, 2, 4, 1, 3, 5)


def members(fine: Array, steps: Vec3Like, where: Array) -> Array:
    """The voxels of the blocks that a mask chooses, `[block, voxel]`."""
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
    """The first and the second voxel of each pair in a row, contiguous.

    Narrowing integers of twice the width does this ten times faster than slices with a step.
    """
    pairs = _paired(row)
    if pairs is None:
        return np.ascontiguousarray(row[..., ::2]), np.ascontiguousarray(row[..., 1::2])
    width = BITS[row.itemsize]
    return pairs.astype(width).view(row.dtype), (pairs >> 8 * row.itemsize).astype(width).view(row.dtype)


def _paired(row: Array) -> Array | None:
    """A row's pairs of voxels as one integer each, the first in its lower half; None where that cannot be had."""
    if row.itemsize == 8 or sys.byteorder != "little" or row.strides[-1] != row.itemsize:
        return None
    return row.view(BITS[2 * row.itemsize])
