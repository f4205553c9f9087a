"""The kernel for labels: the most frequent value of each block.

Few blocks of a segmentation hold more than one label, so those blocks are found first, and only they are counted.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.kernels.pooling import BITS, blocks, first, lines, memory_order, pooled

if TYPE_CHECKING:
    from wkconvert_core.contract.geometry import Vec3Like
    from wkconvert_core.contract.model import Array

COUNTED_VOXELS = 128 * 1024
"""Voxels of mixed blocks that are counted at a time."""


def mode(block: Array, factor: Vec3Like) -> Array:
    """The most frequent value of each block; among equally frequent ones, that of the first voxel.

    Voxels are ordered by z, then x, then y, as in `webknossos` 4.3.3. Exact for every dtype: labels are compared, never
    computed with. All NaN count as one value, and so do 0.0 and -0.0; the winner's first voxel is returned.

    >>> block = np.array([[[[5], [7]], [[7], [9]]]], "uint64")  # 2 x 2 x 1 voxels, one channel
    >>> int(mode(block, (2, 2, 1)).squeeze())
    7
    """
    return pooled(block, factor, partial(_most_frequent, memory_order(block)))


def _most_frequent(order: Vec3Like, fine: Array, coarse: Array, steps: Vec3Like) -> None:
    first(fine, coarse, steps)  # right wherever a block holds one value
    mixed = np.flatnonzero(_mixed(fine.view(BITS[fine.itemsize]), steps))
    offsets = _offsets(order, steps, fine.shape)[:, None]
    count = max(1, COUNTED_VOXELS // len(offsets))
    for places in (mixed[start : start + count] for start in range(0, mixed.size, count)):
        voxels = fine.reshape(-1).take(offsets + _corners(places, steps, fine.shape))
        coarse.reshape(-1)[places] = _winners(voxels)


def _mixed(fine: Array, steps: Vec3Like) -> Array:
    """Mark blocks with more than one value: rows are compared with each other, and with themselves shifted by one."""
    row, *others = lines(fine, steps)
    differs = np.zeros(row.shape, bool)
    if steps[2] > 1:
        np.not_equal(row[..., :-1], row[..., 1:], out=differs[..., :-1])
        inside = np.arange(steps[2]) < steps[2] - 1  # a block's last voxel has its neighbour in another block
        if steps[2] == 2:
            differs.view(np.uint16)[...] &= inside.view(np.uint16)
        else:
            differs &= np.tile(inside, row.shape[2] // steps[2])
    for other in others:
        differs |= row != other
    if steps[2] == 2:
        return np.not_equal(differs.view(np.uint16), 0)
    return np.asarray(blocks(differs, (1, 1, steps[2])).any(axis=(3, 4, 5)))


def _corners(places: Array, steps: Vec3Like, shape: tuple[int, ...]) -> Array:
    """The flat index of the first voxel of each block, given the blocks' flat indices.

    `places` counts blocks along the last axis, then the middle one, then the first, in a tile of `shape` voxels.
    """
    _, height, width = shape
    # a block further along the last axis begins `steps[2]` voxels later; a row of blocks further, `steps[1]` rows of
    # voxels later, of which `places * steps[2]` has counted one; the same with slices
    rows = places // (width // steps[2])
    slices = rows // (height // steps[1])
    corners: Array = places * steps[2] + rows * ((steps[1] - 1) * width) + slices * ((steps[0] - 1) * height * width)
    return corners


def _offsets(order: Vec3Like, steps: Vec3Like, shape: tuple[int, ...]) -> Array:
    """The flat offset of each voxel of a block from its first voxel; y fastest, then x, then z: the order of ties."""
    _, height, width = shape
    stride = dict(zip(order, (height * width, width, 1), strict=True))
    size = dict(zip(order, steps, strict=True))
    return np.array(
        [x * stride[0] + y * stride[1] + z * stride[2] for z, x, y in product(*(range(size[a]) for a in (2, 0, 1)))]
    )


def _winners(values: Array) -> Array:
    """The most frequent value of each column of `[voxel, block]`; among equally frequent ones, the first."""
    keys = _keys(values)
    count = np.min_scalar_type(len(values))
    best: Array = values[0].copy()
    most = np.zeros(values.shape[1], count)
    for i in range(len(values) - 1):
        # counting later voxels only: the first voxel of a value counts all others, the second one fewer, and so on
        votes = np.add.reduce((keys[i] == keys[i + 1 :]).view(np.uint8), axis=0, dtype=count)
        wins = votes > most
        np.copyto(best, values[i], where=wins)
        np.copyto(most, votes, where=wins)
    return best


def _keys(values: Array) -> Array:
    """Integers that are equal wherever the values count as equal: all NaN, and both zeros."""
    if values.dtype.kind != "f":
        return values
    plain: Array = values + 0.0
    plain[np.isnan(plain)] = np.nan
    return np.asarray(plain.view(BITS[values.itemsize]))
