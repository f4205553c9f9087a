"""The source that makes a finer mag of a coarser one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.abilities import Occupied, occupied_of
from wkconvert_core.contract.geometry import Box, Vec3
from wkconvert_core.contract.model import Source, VolumeInfo

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class Upsampled:
    """A finer mag: every voxel is the coarser one in which it lies."""

    source: Source
    """The coarser mag."""
    box: Box
    """The extent in finer voxels, where it lies in the dataset; voxel (0, 0, 0) is its start."""
    factor: Vec3
    """Number of finer voxels that make one coarser along x, y, z."""

    @property
    def read_cost(self) -> float:
        """Bytes that a read takes at its peak, per byte that it returns: the coarser voxels, and them repeated."""
        return 2 + 1 / math.prod(self.factor)

    @property
    def info(self) -> VolumeInfo:
        """Its shape, dtype and voxel size."""
        return replace(self.source.info, shape=self.box.shape, offset=self.box.start, chunk_shape=None)

    @property
    def occupied(self) -> Occupied | None:
        """Where there may be other voxels than 0; None if that is not known."""
        coarser = occupied_of(self.source)
        return coarser and (lambda box: coarser(self._seen(box)))

    def _seen(self, box: Box) -> Box:
        """The coarser voxels in which a box lies."""
        return (box + self.box.start).coarsened(self.factor) - self.source.info.offset

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`. Raises the source's errors."""
        placed = box.shifted(self.box.start)
        coarse = placed.coarsened(self.factor)
        data = self.source.read(self._seen(box))
        for axis, times in enumerate(self.factor, 1):
            data = np.repeat(data, times, axis=axis)
        return data[:, *placed.slices_in(coarse.refined(self.factor))]
