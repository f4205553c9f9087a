"""The kernel for labels: the most frequent value of each block.

Few blocks of a segmentation hold more than one label, so the blocks that do are found first, and only they vote.
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

BALLOT = 128 * 1024
"""Voxels that vote at a time."""


def mode(block: Array, factor: Vec3Like) -> Array:
    """The most frequent value of each block of `block[c, x, y, z]`; of several, that of the first voxel.

    The first is that with the least z, then x, then y, as in `webknossos` 4.3.3. Exact for every dtype: labels are
    compared, never computed with. All NaN are one value, and so are 0.0 and -0.0; the result is the first of the
    winner's voxels.
    """
    return pooled(block, factor, partial(_vote, memory_order(block)))


def _vote(order: Vec3Like, fine: Array, coarse: Array, steps: Vec3Like) -> None:
    first(fine, coarse, steps)
    mixed = np.flatnonzero(_mixed(fine.view(BITS[fine.itemsize]), steps))
    offsets = _offsets(order, steps, fine.shape)[:, None]
    ballot = max(1, BALLOT // len(offsets))
    for places in (mixed[start : start + ballot] for start in range(0, mixed.size, ballot)):
        voxels = fine.reshape(-1).take(offsets + _corners(places, steps, fine.shape))
        coarse.reshape(-1)[places] = _winners(voxels)


def _mixed(fine: Array, steps: Vec3Like) -> Array:
    """Which blocks hold more than one value: whole rows are compared with others, and with themselves moved by one."""
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
    """Where in a flat tile the blocks with these flat numbers begin."""
    _, height, width = shape
    rows = places // (width // steps[2])
    slices = rows // (height // steps[1])
    corners: Array = places * steps[2] + rows * ((steps[1] - 1) * width) + slices * ((steps[0] - 1) * height * width)
    return corners


def _offsets(order: Vec3Like, steps: Vec3Like, shape: tuple[int, ...]) -> Array:
    """How far the voxels of a block lie from its beginning in a flat tile: y fastest, then x, then z."""
    _, height, width = shape
    stride = dict(zip(order, (height * width, width, 1), strict=True))
    size = dict(zip(order, steps, strict=True))
    return np.array(
        [x * stride[0] + y * stride[1] + z * stride[2] for z, x, y in product(*(range(size[a]) for a in (2, 0, 1)))]
    )


def _winners(values: Array) -> Array:
    """The most frequent value of each column of `[voxel, block]`, the first of several."""
    keys = _keys(values)
    count = np.min_scalar_type(len(values))
    best: Array = values[0].copy()
    most = np.zeros(values.shape[1], count)
    for i in range(len(values) - 1):
        # only later voxels are counted: the first of equal ones has them all, and a later one never more
        votes = np.add.reduce((keys[i] == keys[i + 1 :]).view(np.uint8), axis=0, dtype=count)
        wins = votes > most
        np.copyto(best, values[i], where=wins)
        np.copyto(most, votes, where=wins)
    return best


def _keys(values: Array) -> Array:
    """Integers that are equal where the values count as equal."""
    if values.dtype.kind != "f":
        return values
    plain: Array = values + 0.0
    plain[np.isnan(plain)] = np.nan
    return np.asarray(plain.view(BITS[values.itemsize]))
