"""How the pixels of a TIFF page are stored: everything that a decoder depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

JPEGS = (6, 7, 33007, 34892)
"""Compressions that are JPEG: the one of TIFF 6.0, its successor, and two of single vendors."""
_UINT = {1: "?", **dict.fromkeys(range(2, 9), "u1"), **dict.fromkeys(range(9, 17), "u2")}
_UINT |= {**dict.fromkeys(range(17, 33), "u4"), 64: "u8"}
DTYPES = {
    **{(form, bits): name for form in (1, 4) for bits, name in _UINT.items()},  # 4 is "undefined"
    **{(2, bits): f"i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{(3, 16): "f2", (3, 24): "f4", (3, 32): "f4", (3, 64): "f8"},
}
"""dtype of a sample, by SampleFormat and BitsPerSample."""


@dataclass(frozen=True, slots=True)
class Coding:
    """The tags of a page that decide how a strip or tile is decoded; its position in the file is not among them."""

    order: str
    width: int
    height: int
    samples: int
    bits: int
    format: int
    compression: int
    photometric: int
    planar: bool
    """Whether each sample is stored in strips or tiles of its own."""
    predictor: int
    fill_order: int
    extras: tuple[int, ...]
    tiled: bool
    segment: tuple[int, int]
    """Width and height of a tile or strip in pixels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the decoded samples, in native byte order."""
        return np.dtype(DTYPES[self.format, self.bits])

    @property
    def may_be_color(self) -> bool:
        """Whether such numbers are colours and alpha: unsigned ones of at most 16 bits, floats of at most 32."""
        return self.bits <= {1: 16, 3: 32, 4: 16}.get(self.format, 0)

    @property
    def pixel(self) -> int:
        """Samples per pixel within a strip or tile."""
        return 1 if self.planar else self.samples

    @property
    def grid(self) -> tuple[int, int]:
        """Number of strips or tiles across and down."""
        return -(-self.width // self.segment[0]), -(-self.height // self.segment[1])

    @property
    def segments(self) -> int:
        """Number of strips or tiles in all planes."""
        across, down = self.grid
        return across * down * (self.samples if self.planar else 1)

    def row_bytes(self) -> int:
        """Bytes of one uncompressed row of a strip or tile: rows begin at whole bytes."""
        return (self.segment[0] * self.pixel * self.bits + 7) // 8


def is_raw(coding: Coding) -> bool:
    """Whether strips hold the voxels as they are in memory, up to their byte order."""
    plain = coding.compression == coding.predictor == coding.fill_order == 1
    return plain and not coding.tiled and coding.bits in (8, 16, 32, 64)
