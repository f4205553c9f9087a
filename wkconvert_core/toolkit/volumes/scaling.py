"""The values that slope and intercept make of stored ones: intensities, or ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from wkconvert_core.contract.errors import UnsupportedSource

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array, DType

__all__ = ["Scale", "Slope", "meaning"]

Slope: TypeAlias = Literal["apply", "ignore"]

_NEAR = 1e-3
"""The distance by which a scaled id may miss a whole number, beside what the rounding of slope and intercept does."""
_FINE = 0.1
"""Up to this slope, a whole number may have been stored as the nearest step, and is missed by half a step at most."""
_ROUNDED = 2**-23
"""Relative error of slope and intercept together, which most files hold as float32."""
_SURE = 0.25
"""Where the rounding may be more than this, no id can be told."""


@dataclass(frozen=True)
class Scale:
    """`value = slope * stored + intercept`; of labels, the whole numbers that these are but for rounding."""

    slope: float
    intercept: float
    ids: bool = False

    def __str__(self) -> str:
        """As notes tell it."""
        return f"slope {self.slope:g} and intercept {self.intercept:g}"

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers stay whole exactly."""
        return self.slope.is_integer() and self.intercept.is_integer()

    def values(self, stored: Array, dtype: DType, path: Path) -> Array:
        """The values of stored ones in this dtype. Raises UnsupportedSource for what it does not hold."""
        if self.ids:
            return self._ids(stored, dtype, path)
        try:
            with np.errstate(over="raise", invalid="ignore", under="ignore"):
                return self._scaled(stored).astype(dtype, copy=False)
        except FloatingPointError as error:
            raise UnsupportedSource(
                f"{path} holds values that {dtype} cannot hold",
                why=f"they are multiplied by {self.slope:g}",
                fix="write the file again without a slope, or say -o slope=ignore to take what is stored",
            ) from error

    def _scaled(self, stored: Array) -> Array:
        values: Array = stored.astype(np.float64)
        values *= self.slope
        values += self.intercept
        return values

    def _ids(self, stored: Array, dtype: DType, path: Path) -> Array:
        if self.is_whole and stored.dtype.kind in "iu":
            # in integers, because float64 is exact to 2**53 only; they wrap around, and the results fit
            slope, intercept = (np.array(int(n) % 2**64, np.uint64).astype(dtype) for n in (self.slope, self.intercept))
            whole: Array = stored.astype(dtype) * slope + intercept
            return whole
        values = self._scaled(stored)
        ids = np.rint(values)
        step, rounded = abs(self.slope), 0.0 if self.is_whole else _ROUNDED
        near = (step / 2 if step <= _FINE else _NEAR) + rounded * (np.abs(values) + 2 * abs(self.intercept))
        off = ~((np.abs(values - ids) <= near) & (near <= _SURE))
        if off.any():
            raise UnsupportedSource(
                f"{path} holds labels that {self} make no whole numbers",
                why=f"the stored value {stored[off].flat[0]} becomes {values[off].flat[0]:.9g}",
                fix="say -o slope=ignore to take the ids as they are stored, or -o category=color if they are "
                "intensities",
            )
        return ids.astype(dtype)


def meaning(
    path: Path, stored: DType, scale: tuple[float, float] | None, slope: Slope, *, ids: bool
) -> tuple[Scale | None, DType, list[str]]:
    """Scale and dtype of voxels that are `stored` with slope and intercept, and notes on both.

    Scaled integers of up to 16 bits and float32 become float32; others float64, because float32 holds integers exactly
    only up to 2**24. Labels (`ids`) become the integers that hold what the stored dtype can be scaled to. Raises
    UnsupportedSource where 64 bits do not.
    """
    native = stored.newbyteorder("=")
    if scale is None:
        return None, native, []
    given = Scale(*scale, ids=ids)
    if slope == "ignore":
        return None, native, [f"{given} are left out, as -o slope=ignore says"]
    if ids:
        dtype = _holding(given, native, path)
        rounded = "" if given.is_whole else ", and refused where that makes no whole numbers but for rounding"
        note = f"{given} applied to the labels{rounded}: {native} became {dtype}; -o slope=ignore keeps what is stored"
        return given, dtype, [note]
    small = native.itemsize <= 2 or native == np.float32
    dtype = np.dtype(np.float32 if small else np.float64)
    return given, dtype, [f"{given} applied: {native} became {dtype}; -o category=segmentation makes ids of them"]


def _holding(scale: Scale, native: DType, path: Path) -> DType:
    """The smallest integers that hold all that stored ones can become; floats stay. Raises UnsupportedSource."""
    if native.kind == "f":
        return native
    ends = (int(np.iinfo(native).min), int(np.iinfo(native).max))
    if scale.is_whole:
        low, high = sorted(int(scale.slope) * end + int(scale.intercept) for end in ends)
    else:
        low, high = sorted(round(scale.slope * end + scale.intercept) for end in ends)
    names = ("uint8", "uint16", "uint32", "uint64") if low >= 0 else ("int8", "int16", "int32", "int64")
    for name in names:
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return np.dtype(name)
    raise UnsupportedSource(
        f"{path} holds labels from {low} to {high}, for all that its header says",
        why=f"they are {native} with {scale}, and ids have 64 bits",
        fix="say -o slope=ignore to take the ids as they are stored",
    )
