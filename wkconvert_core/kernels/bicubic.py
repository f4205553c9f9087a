"""The cubic spline through the voxels, evaluated at the coarse voxels' centres.

The interpolating spline's weights fall off by the pole `sqrt(3) - 2` with every voxel (M. Unser, "Splines: a perfect
fit for signal and image processing", 1999). They are cut off where they no longer matter, which makes the recursive
filter a short one with fixed taps: a coarse voxel then depends on its neighbourhood alone.
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
"""Voxels on either side beyond which the weights are below 1e-9."""

# The spline's coefficients are the voxels filtered by sqrt(3) * POLE**|distance|. Half way between two voxels it is the
# four coefficients around times (1, 23, 23, 1) / 48, so this is the weight of the voxel `d` further out than the two.
TAPS = [math.sqrt(3) / 48 * (POLE**2 + 23 * POLE + 23 + 1 / POLE) * POLE**d for d in range(1, HALO + 1)]

TILE_BYTES = 256 * 1024


def bicubic(block: Array, factor: Vec3Like) -> Array:
    """The cubic spline at each block's centre; integers rounded (halves to even) and clipped to what the dtype holds.

    `block[c, x, y, z]` has `HALO` more voxels on every side. Where a NaN or inf lies within the spline's reach, the
    result is that of `bilinear`: a hole does not spread.
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
    """64-bit integers as two halves, so that float64 holds each exactly: a constant volume stays what it is."""
    high = _spline(block >> 32, factor)
    low = _spline(block & 0xFFFFFFFF, factor)
    whole = np.floor(high)
    low = np.rint(low + (high - whole) * 2.0**32).astype(np.int64)
    high = whole.astype(np.int64) + (low >> 32)
    limits = np.iinfo(block.dtype)
    result: Array = (high.astype(block.dtype) << 32) | (low & 0xFFFFFFFF).astype(block.dtype)
    result[high > limits.max >> 32] = limits.max
    result[high < limits.min >> 32] = limits.min
    return result


def _spline(block: Array, factor: Vec3Like) -> Array:
    """The spline's values as float64; along z, y, x one after the other, whatever the order in memory."""
    channels = []
    for channel in block:
        volume = channel
        for axis in (2, 1, 0):
            volume = _along(volume, axis, factor[axis])
        channels.append(volume)
    return np.stack(channels).astype(np.float64, copy=False)


def _along(volume: Array, axis: int, factor: int) -> Array:
    """The spline along one axis of `volume[x, y, z]`, a piece at a time: its many passes then stay in the cache."""
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
    """The spline along the first axis, half way between the two middle voxels of each block."""
    begin, count = HALO + factor // 2, (len(voxels) - 2 * HALO) // factor

    def at(distance: int) -> Array:
        return voxels[begin + distance : begin + distance + (count - 1) * factor + 1 : factor]

    centre = at(-1) + at(0)
    total: Array = centre * 0.5
    for distance, tap in enumerate(TAPS, 1):
        pair = at(-1 - distance) + at(distance)
        pair -= centre  # weights of differences: where all voxels are equal, the result is exactly that
        pair *= tap
        total += pair
    return total
