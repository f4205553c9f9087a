"""How the pixels of a TIFF page are stored: all that a decoder has to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

JPEGS = (6, 7, 33007, 34892)
"""Compressions that are JPEG: the old way, the new way, and two by single makers."""
_UINT = {1: "?", **dict.fromkeys(range(2, 9), "u1"), **dict.fromkeys(range(9, 17), "u2")}
_UINT |= {**dict.fromkeys(range(17, 33), "u4"), 64: "u8"}
DTYPES = {
    **{(form, bits): name for form in (1, 4) for bits, name in _UINT.items()},  # 4 is "undefined"
    **{(2, bits): f"i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{(3, 16): "f2", (3, 24): "f4", (3, 32): "f4", (3, 64): "f8"},
}
"""numpy's name of a sample, by SampleFormat and BitsPerSample."""


@dataclass(frozen=True, slots=True)
class Coding:
    """What decides how a strip or tile is decoded, but for where it lies."""

    order: str
    width: int
    height: int
    samples: int
    bits: int
    format: int
    compression: int
    photometric: int
    planar: bool
    """Whether each sample is in strips or tiles of its own."""
    predictor: int
    fill_order: int
    extras: tuple[int, ...]
    tiled: bool
    segment: tuple[int, int]
    """Width and height of a tile; the width and the rows of a strip."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples as decoded, in native byte order."""
        return np.dtype(DTYPES[self.format, self.bits])

    @property
    def pixel(self) -> int:
        """Samples that lie side by side in a strip or tile."""
        return 1 if self.planar else self.samples

    @property
    def grid(self) -> tuple[int, int]:
        """How many strips or tiles there are across and down."""
        return -(-self.width // self.segment[0]), -(-self.height // self.segment[1])

    @property
    def segments(self) -> int:
        """How many strips or tiles there are in all."""
        across, down = self.grid
        return across * down * (self.samples if self.planar else 1)

    def row_bytes(self) -> int:
        """Bytes of one row of a strip or tile that is not compressed."""
        return (self.segment[0] * self.pixel * self.bits + 7) // 8


def is_raw(coding: Coding) -> bool:
    """Whether the bytes of a strip are the voxels, but for their byte order."""
    plain = coding.compression == coding.predictor == coding.fill_order == 1
    return plain and not coding.tiled and coding.bits in (8, 16, 32, 64)
