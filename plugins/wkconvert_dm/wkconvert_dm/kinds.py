"""DigitalMicrograph's data types: how their values are stored, and how they are read.

The numbers are those of DigitalMicrograph's scripting language, checked on files that it wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Component = Literal["abs", "real", "imag", "phase"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A data type that is read."""

    name: str
    stored: str
    """A voxel in the file, as numpy writes it, without the byte order."""
    dtype: str
    """A voxel, or a component of it, as it is read."""
    channels: int = 1


KINDS = {
    1: Kind("int16", "i2", "int16"),
    2: Kind("float32", "f4", "float32"),
    3: Kind("complex64", "c8", "float32"),
    6: Kind("uint8", "u1", "uint8"),
    7: Kind("int32", "i4", "int32"),
    8: Kind("RGB", "u4", "uint8", 3),
    9: Kind("int8", "i1", "int8"),
    10: Kind("uint16", "u2", "uint16"),
    11: Kind("uint32", "u4", "uint32"),
    12: Kind("float64", "f8", "float64"),
    13: Kind("complex128", "c16", "float64"),
    14: Kind("bool", "u1", "bool"),
    23: Kind("RGB", "u4", "uint8", 3),
}
_PARTS: dict[Component, Callable[[Array], Array]] = {
    "abs": np.abs,
    "real": np.real,
    "imag": np.imag,
    "phase": np.angle,
}
PACKED = {5: "packed complex64", 27: "packed complex64", 28: "packed complex128"}
"""Half of a Fourier transform; the other half follows from its symmetry."""


def size_of(kind: int) -> int:
    """Bytes of a stored voxel; 0 for a type that is not read."""
    return np.dtype(KINDS[kind].stored).itemsize if kind in KINDS else 0


def decoded(stored: Array, kind: int, component: Component | None) -> Array:
    """The channels `[c, ...]` of stored voxels `[...]`.

    >>> decoded(np.array([0xFF102030], "u4"), 8, None).tolist()  # one RGB voxel, the fourth byte is no colour
    [[16], [32], [48]]
    """
    if KINDS[kind].channels == 3:
        # 0xAARRGGBB, a number in the file's byte order; in a little-endian file the bytes are B, G, R, A
        return np.stack([(stored >> shift).astype(np.uint8) for shift in (16, 8, 0)])
    if KINDS[kind].dtype == "bool":
        truth: Array = stored != 0
        return truth[np.newaxis]
    if component is not None and stored.dtype.kind == "c":
        return _PARTS[component](stored)[np.newaxis]
    return stored[np.newaxis]
