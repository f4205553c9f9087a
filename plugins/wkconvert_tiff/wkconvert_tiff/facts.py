"""What the plugin knows of one picture before it decodes it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from wkconvert_core import VoxelSize

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Kind = Literal["color", "palette", "grey palette", "samples"]
"""Red, green and blue; a palette with colours; one that is all grey; samples that are no colour."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a picture's header says."""

    width: int
    """As stored, before the orientation is honoured."""
    height: int
    orientation: int
    """As TIFF and EXIF count: 1 is upright; from 5 on, rows are columns."""
    dtype: np.dtype[Any]
    """Of the samples as they are read."""
    kind: Kind
    kept: tuple[int, ...]
    """The samples that are read, without alpha; three for every palette."""
    chunk: tuple[int, int]
    """Width and height, as stored, of the piece that one decode yields."""
    declared: int
    """Bytes of the whole picture, decoded, all of its tiles to their borders."""
    notes: tuple[str, ...] = ()
    coding: Hashable = None
    """Pictures that share it need the same decoder; None needs none."""
    voxel_size: VoxelSize | None = None
    """As stored, before the orientation is honoured."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture, upright."""
        return (self.height, self.width) if self.orientation > 4 else (self.width, self.height)


class Raster(Protocol):
    """A picture that can be read, by any number of threads."""

    @property
    def facts(self) -> Facts:
        """What its header says."""
        ...

    @property
    def weight(self) -> int:
        """About how many bytes of memory this description takes."""
        ...

    def fill(self, out: Array, row: int, column: int, samples: tuple[int, ...], shift: int) -> None:
        """Fill `out[y, x, sample]` (any strides, `facts.dtype`) with the pixels, as stored, from (row, column) on.

        `shift` is added to where the file says the pixels lie: for files that describe only the first of their slices.
        May raise anything for damaged data.
        """
        ...


def chosen(pixels: Array, samples: tuple[int, ...]) -> Array:
    """The samples of `pixels[y, x, sample]` that are wanted."""
    return pixels if samples == tuple(range(pixels.shape[-1])) else pixels[..., list(samples)]


def palette_kind(palette: Array) -> Kind:
    """Whether the colours [index, 3] of a palette are colours or greys."""
    return "grey palette" if (palette == palette[:, :1]).all() else "palette"
