"""The Source of values of 4 bits; all others are volumes that core reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np

from wkconvert_core import Box, VolumeInfo
from wkconvert_core.toolkit.files import raw_file, reading
from wkconvert_core.toolkit.raw_rows import read_box
from wkconvert_core.toolkit.volumes.axes import Axes

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class PackedVolume:
    """A volume with two values in each byte, the first in its lower half; every row begins with a byte of its own."""

    path: Path
    start: int
    """The first byte of the volume."""
    axes: Axes
    info: VolumeInfo

    read_cost: ClassVar[float] = 2.0
    """Bytes are held beside the values that come of them."""

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box. Raises SourceNotFound, BrokenSource."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        stored = self.axes.stored(box)
        (width, rows, sections), (first, y, z), (count, height, depth) = self.axes.shape, stored.start, stored.shape
        begin, end = first // 2, -(-(first + count) // 2)
        inside = Box((begin, y, z), (end - begin, height, depth))
        with reading(self.path), raw_file(self.path) as file:
            pairs = read_box(file, inside, (-(-width // 2), rows, sections), "u1", start=self.start)
        values = np.empty((1, 2 * (end - begin), height, depth), np.uint8, order="F")
        values[:, ::2], values[:, 1::2] = pairs & 15, pairs >> 4
        return self.axes.turned(values[:, first - 2 * begin :][:, :count])
