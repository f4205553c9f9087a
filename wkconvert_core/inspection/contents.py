"""Contents of a mag, inside and outside its bounding box: the box of non-zero voxels, and the largest value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.datasets.recorded import open_compared, open_searched
from wkconvert_core.engine import loop
from wkconvert_core.engine.progress import Listener, Meter
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.compare import cell_side
from wkconvert_core.planning.costs import Budget
from wkconvert_core.planning.route import route
from wkconvert_core.planning.step import Step

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class Contents:
    """Contents of some boxes of a mag.

    >>> a = Contents(8, Box((0, 0, 0), (2, 1, 1)), 7)
    >>> b = Contents(8, Box((9, 0, 0), (1, 1, 1)), 5)
    >>> a + b == Contents(16, Box((0, 0, 0), (10, 1, 1)), 7)
    True
    """

    voxels: int = 0
    """Number of voxels that were read."""
    box: Box | None = None
    """Smallest box of all non-zero voxels, in voxels of the mag; None if there are none."""
    largest: int | None = None
    """Largest value of an integer layer, at least 0; None if nothing was read, and for floats."""

    def __add__(self, other: Contents) -> Contents:
        """The contents of both boxes together."""
        box = self.box.spanning(other.box) if self.box and other.box else self.box or other.box
        values = [value for value in (self.largest, other.largest) if value is not None]
        return Contents(self.voxels + other.voxels, box, max(values, default=None))


@dataclass(frozen=True)
class FindContents:
    """A consumer that finds the non-zero voxels and the largest value."""

    layer: str
    mag: Mag
    box: Box
    grid: Vec3
    ignored: Box | None = None
    """Voxels in this box are taken for 0; None: none are."""
    skips: ClassVar[None] = None

    def __call__(self, box: Box, voxels: Array) -> Contents:
        """Examine the voxels `[c, x, y, z]` of a box."""
        largest = max(int(voxels.max()), 0) if voxels.dtype.kind in "iu" else None
        if not voxels.any():
            return Contents(box.volume, None, largest)
        solid: Array = voxels[0] != 0
        for channel in voxels[1:]:  # `np.any` over the axis whose voxels lie side by side takes eight times as long
            solid |= channel != 0
        if self.ignored:
            solid[self.ignored.intersection(box).slices_in(box)] = False
        inside = [np.flatnonzero(solid.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
        if not inside[0].size:
            return Contents(box.volume, None, largest)
        x, y, z = (int(indices[0]) for indices in inside)
        width, height, depth = (int(indices[-1] - indices[0]) + 1 for indices in inside)
        return Contents(box.volume, Box((x, y, z), (width, height, depth)).shifted(box.start), largest)


def find_contents(
    where: MagOnDisk, budget: Budget, workers: Workers, listen: Listener | None = None, *, outline: bool = False
) -> Contents:
    """Contents of all shards of a mag, also outside the extent that the metadata state.

    `outline`: only the box is needed, so cells inside the box found so far are not read. Raises SourceError,
    DamagedData, also for shards that are not as recorded, ResourceError.
    """
    mag, starts = open_searched(where)

    def is_wanted(cell: Box, box: Box | None) -> bool:
        return not (outline and box and cell in box)

    return _search(where, mag, starts, budget, workers, listen, is_wanted)


def voxels_outside(where: MagOnDisk, budget: Budget, workers: Workers) -> Box | None:
    """A box of non-zero voxels outside the bounding box, in voxels of the mag; None if there are none.

    Readers do not see such voxels, and copies leave them out. Shards that reach beyond the bounding box are read until
    one with such voxels is found. Raises SourceError, DamagedData, ResourceError.
    """
    extent = where.box
    assert extent, "metadata state it"
    mag = open_compared(where)
    starts = [shard.start for shard in mag.shards()]

    def is_wanted(cell: Box, box: Box | None) -> bool:
        return not box and cell not in extent

    return _search(where, mag, starts, budget, workers, None, is_wanted, extent).box


def _search(
    where: MagOnDisk,
    mag: StoredMag,
    starts: Sequence[Vec3],
    budget: Budget,
    workers: Workers,
    listen: Listener | None,
    is_wanted: Callable[[Box, Box | None], bool],
    ignored: Box | None = None,
) -> Contents:
    """Contents of the wanted cells of shards; `is_wanted` gets a cell and the box found by the time it is reached."""
    found = Contents()
    shards = [Box(start, mag.shard_shape) for start in starts]
    if not shards:
        return found
    domain = reduce(Box.spanning, shards)
    voxel_bytes = mag.info.voxel_bytes
    side = max(min(cell_side(voxel_bytes, budget), *mag.shard_shape), *mag.block_shape)
    grid = Vec3(1, 1, 1) * side

    def depth(shard: Box) -> int:
        """Distance from the domain's surface in voxels: the outermost shards span the largest box."""
        return min(*(shard.start - domain.start), *(domain.stop - shard.stop))

    def cells() -> Iterator[Box]:
        for shard in sorted(shards, key=depth):
            if is_wanted(shard, found.box):
                yield from (cell for cell in shard.tiles(grid) if is_wanted(cell, found.box))

    consumer = FindContents(where.layer, where.mag, domain, grid, ignored)
    step = Step(mag.within(domain), (consumer,), boxes=cells())
    total = sum(shard.volume for shard in shards)
    meter = Meter(listen, f"{where.title}, looking", (1, 1), total, voxel_bytes)
    for contents in loop.run(step, route(step, budget), workers):
        found += contents
        meter.advance(contents.voxels)
    return found
