"""Every n-th voxel of a source, without decoding more than that takes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.contract.model import Source

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


def sampled(source: Source, box: Box, step: Vec3Like) -> Array:
    """The voxels `[c, x, y, z]` of a box, every n-th along each axis, beginning at its corner.

    Chunks that lie between two of those are not decoded.

    >>> sampled(in_memory(range(10)), Box((1, 0, 0), (9, 1, 1)), (3, 1, 1)).ravel().tolist()
    [1, 4, 7]
    """
    chunk = source.info.chunk_shape or (64, 64, 64)  # of no chunks, one read of a run costs less than many small ones
    runs: list[list[range]] = []
    for start, stop, stride, depth in zip(box.start, box.stop, step, chunk, strict=True):
        positions = range(start, stop, stride)
        runs.append([range(at, at + 1) for at in positions] if stride > depth else [positions])
    edges = [np.cumsum([0, *map(len, along)]) for along in runs]
    taken = np.empty((source.info.channels, *(int(each[-1]) for each in edges)), source.info.dtype)
    for numbers in product(*(range(len(along)) for along in runs)):
        x, y, z = (along[number] for along, number in zip(runs, numbers, strict=True))
        part = Box.between((x[0], y[0], z[0]), (x[-1] + 1, y[-1] + 1, z[-1] + 1))
        place = tuple(slice(each[n], each[n + 1]) for each, n in zip(edges, numbers, strict=True))
        taken[(slice(None), *place)] = source.read(part)[:, :: x.step, :: y.step, :: z.step]
    return taken


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
