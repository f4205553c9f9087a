"""Arrays in another dtype: exactly, clipped, or scaled; never a silent wrap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from wkconvert_core.contract.errors import ConversionError
from wkconvert_core.contract.geometry import Box, Vec3Like

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array, DType

Fit = Literal["exact", "clip", "scale"]

ValueRange: TypeAlias = tuple[float, float]
"""The lowest and the highest of the values that `scale` maps to the whole range of a dtype."""

PIECE = 500_000
"""Voxels that are cast at a time: intermediate results take several times their memory."""


def cast(data: Array, target: DType, fit: Fit, box: Box, values: ValueRange | None = None) -> Array:
    """Cast the voxels `[c, x, y, z]` of a box to another dtype, as `views.Cast` describes; x fastest in memory.

    `box` is for messages: where the voxels lie in the dataset. `values` are what `scale` maps to the whole range of the
    dtype. Raises ConversionError naming a value that does not fit.

    >>> data = np.array([0, 100, 300], "int16").reshape(1, 3, 1, 1)
    >>> cast(data, np.dtype("uint8"), "clip", Box((0, 0, 0), (3, 1, 1))).ravel().tolist()
    [0, 100, 255]
    """
    if data.dtype == target and values is None:
        return data
    result = np.empty((len(data), *box.shape[::-1]), target).transpose(0, 3, 2, 1)
    for piece in pieces(box.shape):
        where = (slice(None), *piece.slices_in(Box((0, 0, 0), box.shape)))
        part = data[where]
        result[where] = scaled(part, target, values) if values else _FITS[fit](part, target, piece.shifted(box.start))
    return result


def scaled(data: Array, target: DType, values: ValueRange) -> Array:
    """Map `values`, low to high, linearly to the whole range of a dtype, 0 to 1 of floats; values beyond are clipped.

    With `low` and `high` of the values, `bottom` and `top` of an integer dtype, a value v becomes, in float64,
    `rint(min(max((v - low) / (high - low), 0), 1) * (top - bottom) + bottom)`: halves go to the even number. NaN
    becomes 0, and stays NaN among floats.

    >>> scaled(np.array([-5, -4, 0, 0.5, 4, np.inf, np.nan]), np.dtype("uint8"), (-4, 4)).tolist()
    [0, 0, 128, 143, 255, 255, 0]
    >>> scaled(np.array([0, 100, 1600, 4095], "uint16"), np.dtype("int8"), (100, 1600)).tolist()
    [-128, -128, 127, 127]
    >>> scaled(np.array([0, 100, 850, 4095], "uint16"), np.dtype("float32"), (100, 1600)).tolist()
    [0.0, 0.0, 0.5, 1.0]
    """
    low, high = values
    with np.errstate(over="ignore"):  # what is infinitely far beyond is clipped as well
        unit = np.clip((data.astype(np.float64) - low) / (high - low), 0, 1)
    return _filling(unit, target)


def _exact(data: Array, target: DType, box: Box) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        result = data.astype(target)
    if _always_fits(data.dtype, target):
        return result
    fits = _same_value(data, result)
    if not fits.all():
        value = data[~fits].flat[0]
        holds = "fractions" if target.kind == "f" else "{} to {}".format(*_limits(target))
        raise ConversionError(
            f"the value {value} of dtype {data.dtype} does not fit {target} ({box})",
            why="values are never changed unless that is asked for",
            fix=f"take another --dtype, or say --convert clip, or --convert scale, which maps --range LOW,HIGH to the"
            f" whole range of the dtype; {target} holds {holds}",
        )
    return result


def pieces(shape: Vec3Like) -> Iterator[Box]:
    """Cut a box of this shape, from 0, into boxes of about PIECE voxels: of slices, of rows or of one row each."""
    x, y, z = shape
    rows = max(1, min(y, PIECE // x))
    return Box((0, 0, 0), shape).tiles((x, rows, max(1, min(z, PIECE // (x * rows)))))


def _always_fits(own: DType, target: DType) -> bool:
    """Whether every value of one dtype is exact in another; numpy also calls 64-bit integers to float64 safe."""
    return bool(np.can_cast(own, target, "safe")) and not (
        own.kind in "iu" and own.itemsize == 8 and target.kind == "f"
    )


def _same_value(data: Array, result: Array) -> Array:
    """Where a cast kept the value; NaN and inf fit floats only."""
    if result.dtype.kind == "f":
        # float64 to float32 rounds, which is what asking for a smaller float means: only overflow changes the value
        return np.isfinite(result) | ~np.isfinite(data) if data.dtype.kind == "f" else _equal_integers(data, result)
    same: Array
    if data.dtype.kind == "f":
        low, high = _limits(result.dtype)
        wide = data.astype(np.float64)  # the limits of an integer are infinite as float16
        same = (wide == np.trunc(wide)) & (wide >= low) & (wide < float(high) + 1)
    else:
        same = (result.astype(data.dtype) == data) & ((result < 0) == (data < 0))
    return same


def _equal_integers(data: Array, result: Array) -> Array:
    """Where an integer is exact as a float; casting back is only defined within the integer's range."""
    low, high = _limits(data.dtype)
    inside = (result >= low) & (result < float(high) + 1)
    same: Array = inside & (np.where(inside, result, 0).astype(data.dtype) == data)
    return same


def _limits(dtype: DType) -> tuple[int, int]:
    if dtype.kind == "b":
        return 0, 1
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def _clipped(data: Array, target: DType, _: Box | None = None) -> Array:
    bounded: Array
    if target.kind == "f":
        most = np.finfo(target).max if data.dtype.kind == "f" and data.dtype.itemsize > target.itemsize else None
        bounded = data if most is None else np.where(np.isinf(data), data, np.clip(data, -most, most))
        return bounded.astype(target)
    low, high = _limits(target)
    if data.dtype.kind == "f":
        rounded = np.rint(np.where(np.isnan(data), 0, data))
        # the largest 64-bit integers are not exact as floats: values that reach a limit are set to it, not cast
        result = np.where((rounded > low) & (rounded < float(high)), rounded, 0).astype(target)
        result[rounded >= float(high)] = high
        result[rounded <= low] = low
        return result
    own_low, own_high = _limits(data.dtype)
    bounded = np.clip(data, max(low, own_low), min(high, own_high)).astype(target)
    return bounded


def _scaled(data: Array, target: DType, box: Box) -> Array:
    low, high = (0, 1) if data.dtype.kind == "f" else _limits(data.dtype)
    if data.dtype.kind == "f" and not ((data >= 0) & (data <= 1)).all():
        value = data[~((data >= 0) & (data <= 1))].flat[0]
        raise ConversionError(
            f"the value {value} cannot be scaled ({box})",
            why="without --range, --convert scale maps 0 to 1 of floats to the whole range of an integer",
            fix="say which values are mapped with --range LOW,HIGH, or --range auto for nearly all in a sample; or say"
            " --convert clip",
        )
    return _filling((data.astype(np.float64) - low) / (high - low), target)


def _filling(unit: Array, target: DType) -> Array:
    """Numbers from 0 to 1 spread over the whole range of a dtype, and rounded; kept as they are among floats."""
    if target.kind == "f":
        return unit.astype(target)
    new_low, new_high = _limits(target)
    return _clipped(unit * (new_high - new_low) + new_low, target)


_FITS: dict[Fit, Callable[[Array, DType, Box], Array]] = {"exact": _exact, "clip": _clipped, "scale": _scaled}
