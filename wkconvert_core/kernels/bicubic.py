"""The cubic spline through the voxels, evaluated at the coarse voxels' centres.

The weights of the interpolating spline shrink by the factor `sqrt(3) - 2` per voxel of distance (M. Unser, "Splines: a
perfect fit for signal and image processing", 1999). Truncated where they are negligible, they turn the recursive filter
into a short one with fixed taps, so that a coarse voxel depends on a bounded neighbourhood.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.kernels.reductions import bilinear, settle

if TYPE_CHECKING:
    from wkconvert_core.contract.geometry import Vec3Like
    from wkconvert_core.contract.model import Array

POLE = math.sqrt(3) - 2
HALO = 15
"""Voxels on either side of a block; further out the weights are below 1e-9."""

# The spline's coefficients are the voxels filtered by sqrt(3) * POLE**|distance|. Half way between two voxels its value
# is the four nearest coefficients weighted by (1, 23, 23, 1) / 48. Both together give the weight of the voxel that lies
# `d` voxels further out than the nearest two.
TAPS = [math.sqrt(3) / 48 * (POLE**2 + 23 * POLE + 23 + 1 / POLE) * POLE**d for d in range(1, HALO + 1)]

TILE_BYTES = 256 * 1024


def bicubic(block: Array, factor: Vec3Like) -> Array:
    """The cubic spline at the centre of each block; integers rounded (halves to even) and clipped to the dtype's range.

    `block[c, x, y, z]` has `HALO` extra voxels on every side. Where NaN or inf lies within the spline's reach, the
    result is that of `bilinear`, so that a hole does not spread.

    >>> ramp = 4 * np.arange(2 + 2 * HALO, dtype="uint8")  # one block of 2 x 2 x 1 voxels and its halo; 60 and 64 in it
    >>> block = np.broadcast_to(ramp[:, None, None], (1, 2 + 2 * HALO, 2 + 2 * HALO, 1 + 2 * HALO))
    >>> int(bicubic(block, (2, 2, 1)).squeeze())
    62
    """
    with np.errstate(all="ignore"):
        if block.dtype.kind == "f":
            return _as_float(block, factor)
        if block.itemsize == 8:
            return _as_long(block, factor)
        limits = np.iinfo(block.dtype)
        return np.rint(_spline(block, factor)).clip(limits.min, limits.max).astype(block.dtype)


def _as_float(block: Array, factor: Vec3Like) -> Array:
    values = _spline(block, factor)
    limits = np.finfo(block.dtype)
    result: Array = values.clip(limits.min, limits.max).astype(block.dtype)
    odd = ~np.isfinite(values)
    if odd.any():
        inner = tuple(slice(HALO, n - HALO) for n in block.shape[1:])
        np.copyto(result, bilinear(block[:, *inner], factor), where=odd)
    settle(result)
    return result


def _as_long(block: Array, factor: Vec3Like) -> Array:
    """64-bit integers as two halves of 32 bits, each exact in float64: a constant volume keeps its value."""
    high = _spline(block >> 32, factor)
    low = _spline(block & 0xFFFFFFFF, factor)
    # the high half's fraction is carried into the low half, and what the low half has beyond 32 bits back into the high
    whole = np.floor(high)
    low = np.rint(low + (high - whole) * 2.0**32).astype(np.int64)
    high = whole.astype(np.int64) + (low >> 32)
    limits = np.iinfo(block.dtype)
    result: Array = (high.astype(block.dtype) << 32) | (low & 0xFFFFFFFF).astype(block.dtype)
    result[high > limits.max >> 32] = limits.max
    result[high < limits.min >> 32] = limits.min
    return result


def _spline(block: Array, factor: Vec3Like) -> Array:
    """The spline's values in float64; along z, then y, then x, whatever the memory order: it decides the last bits."""
    channels = []
    for channel in block:
        volume = channel
        for axis in (2, 1, 0):
            volume = _along(volume, axis, factor[axis])
        channels.append(volume)
    return np.stack(channels).astype(np.float64, copy=False)


def _along(volume: Array, axis: int, factor: int) -> Array:
    """The spline along one axis of `volume[x, y, z]`, piece by piece, so that its many passes stay in the cache."""
    if factor == 1:
        return volume[tuple(slice(HALO, -HALO) if other == axis else slice(None) for other in range(3))]
    x, y, z = ((n - 2 * HALO) // factor if other == axis else n for other, n in enumerate(volume.shape))
    result = np.empty((z, y, x)).transpose(2, 1, 0)
    cut = 1 if axis == 2 else 2
    step = max(1, TILE_BYTES // (8 * volume.size // volume.shape[cut]))
    for start in range(0, volume.shape[cut], step):
        piece = tuple(slice(start, start + step) if other == cut else slice(None) for other in range(3))
        voxels = np.ascontiguousarray(volume[piece].swapaxes(axis, 2).T, np.float64)
        result[piece].swapaxes(axis, 2).T[...] = _midpoints(voxels, factor)
    return result


def _midpoints(voxels: Array, factor: int) -> Array:
    """The spline along the first axis, half way between the middle two voxels of each block."""
    begin, count = HALO + factor // 2, (len(voxels) - 2 * HALO) // factor

    def at(distance: int) -> Array:
        return voxels[begin + distance : begin + distance + (count - 1) * factor + 1 : factor]

    centre = at(-1) + at(0)
    total: Array = centre * 0.5
    for distance, tap in enumerate(TAPS, 1):
        pair = at(-1 - distance) + at(distance)
        pair -= centre  # weighting differences from the centre: equal voxels give exactly their value
        pair *= tap
        total += pair
    return total
