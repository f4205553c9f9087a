"""What a mag holds, wherever its shards lie: the box of its non-zero voxels, and the largest value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.engine import loop as engine
from wkconvert_core.engine.progress import Listener, Meter
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.compare import cell_side
from wkconvert_core.planning.route import Budget, route
from wkconvert_core.planning.step import Step

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class Contents:
    """What was found in some boxes of a mag.

    >>> a = Contents(8, Box((0, 0, 0), (2, 1, 1)), 7)
    >>> b = Contents(8, Box((9, 0, 0), (1, 1, 1)), 5)
    >>> a + b == Contents(16, Box((0, 0, 0), (10, 1, 1)), 7)
    True
    """

    voxels: int = 0
    """Number of voxels that were read."""
    box: Box | None = None
    """The smallest box of all voxels that are not 0, in voxels of the mag; None if there are none."""
    largest: int | None = None
    """The largest value of a layer of integers, at least 0; None if nothing was read, and for floats."""

    def __add__(self, other: Contents) -> Contents:
        """The contents of both."""
        box = self.box.spanning(other.box) if self.box and other.box else self.box or other.box
        values = [value for value in (self.largest, other.largest) if value is not None]
        return Contents(self.voxels + other.voxels, box, max(values, default=None))


@dataclass(frozen=True)
class FindContents:
    """A consumer that finds the voxels that are not 0."""

    layer: str
    mag: Mag
    box: Box
    grid: Vec3
    ignored: Box | None = None
    """Voxels in this box count as 0."""
    skips: ClassVar[None] = None

    def __call__(self, box: Box, voxels: Array) -> Contents:
        """Look at the voxels `[c, x, y, z]` of a box."""
        largest = max(int(voxels.max()), 0) if voxels.dtype.kind in "iu" else None
        solid: Array = np.any(voxels, axis=0)
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
    """Contents of all shards of a mag, wherever they lie, whatever the metadata say.

    `outline`: only the box is wanted, so cells within the box that is known so far are not read. Raises SourceError,
    DamagedData, ResourceError.
    """
    return _found(where, budget, workers, listen, lambda cell, box: not (outline and box and cell in box))


def voxels_outside(where: MagOnDisk, budget: Budget, workers: Workers, listen: Listener | None = None) -> Box | None:
    """A box of non-zero voxels outside the bounding box, in voxels of the mag; None if there are none.

    Readers do not see such voxels, and copies leave them out. Reads shards that reach beyond the bounding box, until
    any are found. Raises SourceError, DamagedData, ResourceError.
    """
    extent = where.box
    assert extent, "metadata state it"
    return _found(where, budget, workers, listen, lambda cell, box: not box and cell not in extent, extent).box


def _found(
    where: MagOnDisk,
    budget: Budget,
    workers: Workers,
    listen: Listener | None,
    is_wanted: Callable[[Box, Box | None], bool],
    ignored: Box | None = None,
) -> Contents:
    """Contents of the cells that are wanted, which depends on the box that is known by the time they are reached."""
    mag, found = where.open(), Contents()
    shards = [Box(shard.start, mag.shard_shape) for shard in mag.shards()]
    if not shards:
        return found
    domain = reduce(Box.spanning, shards)
    voxel_bytes = mag.info.voxel_bytes
    side = max(min(cell_side(voxel_bytes, budget), *mag.shard_shape), *mag.block_shape)
    grid = Vec3(1, 1, 1) * side

    def depth(shard: Box) -> int:
        """Distance from the domain's surface: what lies outermost spans the largest box."""
        return min(*(shard.start - domain.start), *(domain.stop - shard.stop))

    def cells() -> Iterator[Box]:
        for shard in sorted(shards, key=depth):
            if is_wanted(shard, found.box):
                yield from (cell for cell in shard.tiles(grid) if is_wanted(cell, found.box))

    consumer = FindContents(where.layer, where.mag, domain, grid, ignored)
    step = Step(mag.within(domain), (consumer,), boxes=cells())
    total = sum(shard.volume for shard in shards)
    meter = Meter(listen, f"{where.title}, looking", (1, 1), total, voxel_bytes)
    for contents in engine.run(step, route(step, budget), workers, Path()):
        found += contents
        meter.advance(contents.voxels)
    return found
