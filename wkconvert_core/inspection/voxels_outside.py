"""Voxels of a mag that lie outside the bounding box: readers do not see them, and copies leave them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wkconvert_core.contract.geometry import Box
from wkconvert_core.datasets.dataset import MagOnDisk

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

_CELL = (128, 128, 128)
"""What is looked at at a time."""


def outside(place: MagOnDisk) -> Box | None:
    """A cell in which voxels outside the extent are not zero, in voxels of the mag; None if there is none.

    Reads what lies outside, in all shards. Raises SourceError, DamagedData.
    """
    mag, box = place.open(), place.box
    assert box, "metadata tell it"
    for shard in (Box(shard.start, mag.shard_shape) for shard in mag.shards()):
        source = mag.within(shard)
        for cell in shard.tiles(_CELL):
            if cell not in box and _is_outside(source.read(cell - shard.start), cell, box):
                return cell
    return None


def _is_outside(voxels: Array, cell: Box, box: Box) -> bool:
    """Whether any of a cell's voxels `[c, x, y, z]` that are not in the box is not zero."""
    voxels[:, *cell.intersection(box).slices_in(cell)] = 0
    return bool(voxels.any())
