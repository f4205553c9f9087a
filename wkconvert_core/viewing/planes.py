"""Every n-th voxel of a source, without decoding more than that takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby, product
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.contract.model import Source

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

AT_ONCE = 256 << 20
"""Bytes up to which all voxels between the first and the last that are wanted are read at once."""
SIDE = 256
"""Voxels along an axis, in whole chunks, that are read at once where all would be more."""


def sampled(source: Source, box: Box, step: Vec3Like) -> Array:
    """The voxels `[c, x, y, z]` of a box, every n-th along each axis, beginning at its corner.

    Chunks that lie between two of those are not decoded; a box that would fill the memory is read in parts.

    >>> sampled(in_memory(range(10)), Box((1, 0, 0), (9, 1, 1)), (3, 1, 1)).ravel().tolist()
    [1, 4, 7]
    """
    info = source.info
    chunk = info.chunk_shape or (64, 64, 64)  # of no chunks, one read of a run costs less than many small ones
    spans = (1 if stride > depth else n for n, stride, depth in zip(box.shape, step, chunk, strict=True))
    side = SIDE if math.prod(spans) * info.voxel_bytes > AT_ONCE else None
    along = zip(box.start, box.stop, step, chunk, info.chunk_start, strict=True)
    runs = [_runs(range(start, stop, stride), depth, origin, side) for start, stop, stride, depth, origin in along]
    edges = [np.cumsum([0, *map(len, along)]) for along in runs]
    taken = np.empty((info.channels, *(int(each[-1]) for each in edges)), info.dtype)
    for numbers in product(*(range(len(along)) for along in runs)):
        x, y, z = (along[number] for along, number in zip(runs, numbers, strict=True))
        part = Box.between((x[0], y[0], z[0]), (x[-1] + 1, y[-1] + 1, z[-1] + 1))
        place = tuple(slice(each[n], each[n + 1]) for each, n in zip(edges, numbers, strict=True))
        taken[(slice(None), *place)] = source.read(part)[:, :: x.step, :: y.step, :: z.step]
    return taken


def _runs(positions: range, depth: int, origin: int, side: int | None) -> list[range]:
    """Parts of the positions along an axis, each for one read: single ones where chunks of `depth` lie between two.

    Else they are those in about `side` voxels, whole chunks of a grid through `origin`; with None, all.

    >>> _runs(range(1, 12, 3), 4, 0, 8), _runs(range(1, 12, 5), 4, 0, 8)
    ([range(1, 8, 3), range(10, 11, 3)], [range(1, 2), range(6, 7), range(11, 12)])
    """
    if positions.step > depth:
        return [range(at, at + 1) for at in positions]
    if side is None:
        return [positions]
    cell = max(depth, side // depth * depth)
    return [
        range(at, [at, *more][-1] + 1, positions.step)
        for _, (at, *more) in groupby(positions, lambda at: (at - origin) // cell)
    ]


def plane(source: Source, axis: int, index: int, pixels: int) -> Array:
    """The voxels `[c, u, v]` of the plane at `index` along an axis (0 to 2 for x, y, z); u and v are the other two.

    Of an axis longer than `pixels`, every n-th voxel is taken.

    >>> plane(in_memory(range(10)), 2, 0, pixels=4)[0, :, 0].tolist()
    [0, 3, 6, 9]
    """
    shape = source.info.shape
    start, length = [0, 0, 0], list(shape)
    start[axis], length[axis] = index, 1
    (x, y, z), (to_x, to_y, to_z) = start, length
    step_x, step_y, step_z = (-(-n // pixels) for n in shape)
    flat: Array = sampled(source, Box((x, y, z), (to_x, to_y, to_z)), (step_x, step_y, step_z)).take(0, axis + 1)
    return flat


def fitting(mags: Mapping[Mag, Source], pixels: int) -> Mag:
    """The coarsest mag whose longest side still has so many voxels; the finest if none has."""
    return max((mag for mag, source in mags.items() if max(source.info.shape) >= pixels), default=min(mags))
