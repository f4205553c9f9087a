"""The Source: an array of an HDF5 file, whose axes may come in any order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from wkconvert_core import Box, VolumeInfo
from wkconvert_core.toolkit.files import changed

from .files import opened

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class HdfSource:
    """Some channels of a volume at one time."""

    path: Path
    name: str
    """Of the array in the file."""
    axes: str
    """The array's axes, the slowest first: c, t, x, y, z, and `1` for those whose first element is taken."""
    info: VolumeInfo
    time: int = 0
    channel: int = 0
    """The first channel."""
    is_unsigned: bool = False
    """Whether signed integers stand for unsigned ones, as in BigDataViewer's files."""
    read_cost: float = 1.0
    """Larger where chunks hold other channels and times, too."""

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box. Raises SourceNotFound, BrokenSource."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        x, y, z = (slice(start, stop) for start, stop in zip(box.start, box.stop, strict=True))
        channels = slice(self.channel, self.channel + self.info.channels)
        wanted: dict[str, Any] = {"x": x, "y": y, "z": z, "c": channels, "t": self.time, "1": 0}
        with opened(self.path) as file:
            voxels: Array = file[self.name][tuple(wanted[axis] for axis in self.axes)]
        if self.is_unsigned:
            voxels = voxels.view(voxels.dtype.str.replace("i", "u"))
        kept = "".join(axis for axis in self.axes if axis in "cxyz")
        order = kept + "".join(axis for axis in "cz" if axis not in kept)
        voxels = voxels[(..., *[np.newaxis] * (len(order) - len(kept)))]
        found = voxels.transpose([order.index(axis) for axis in "cxyz"])
        dtype = found.dtype.newbyteorder("=")
        if found.shape != (self.info.channels, *box.shape) or dtype != self.info.dtype:
            raise changed(self.path, f"{self.name} was {self.info.dtype} of {' x '.join(map(str, self.info.shape))}")
        return found.astype(dtype, copy=False)
