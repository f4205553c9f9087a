"""What the shards of a mag hold: the box of the voxels that are not zero, and the largest value.

The loop that copies, with a sink that only looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.geometry import Box, Vec3, Vec3Like
from wkconvert_core.contract.model import MagSpec, Source
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.engine import loop as engine
from wkconvert_core.engine.progress import Listener, Meter
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.compare import cell_side
from wkconvert_core.planning.route import Budget, route
from wkconvert_core.planning.step import ShardDone, Within

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class Looking:
    """A sink where writing a box means: find the voxels in it that are not zero."""

    spec: MagSpec
    shard_shape: Vec3Like
    other: Source

    def has(self, box: Box) -> bool:
        """Nothing is looked at already."""
        return False

    def write(self, box: Box, data: Array) -> Any:
        """The smallest box with all voxels of `[c, x, y, z]` that are not zero, in place of a checksum."""
        solid: Array = np.any(data, axis=0, keepdims=False)
        inside = [np.flatnonzero(solid.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
        if not inside[0].size:
            return None
        start = [int(indices[0]) + begin for indices, begin in zip(inside, box.start, strict=True)]
        return Box(Vec3(*start), Vec3(*(int(indices[-1] - indices[0]) + 1 for indices in inside)))

    def source(self) -> Source:
        """What is looked at."""
        return self.other


@dataclass
class Survey:
    """What has been found so far."""

    box: Box | None = None
    """Of the voxels that are not zero, in voxels of the mag; None: there are none."""
    largest: int | None = None
    """The largest value of a layer of whole numbers."""

    def add(self, done: ShardDone) -> None:
        """Take in what was found of a cell."""
        box: Any = done.checksum
        if box:
            self.box = box.spanning(self.box) if self.box else box
        if isinstance(done.high, int):
            self.largest = max(done.high, self.largest or 0)


def survey(
    place: MagOnDisk, budget: Budget, workers: Workers, listen: Listener | None, *, outline: bool = False
) -> Survey:
    """Look at every shard of a mag, wherever it lies, whatever the metadata say.

    `outline`: the box alone is wanted, so that what lies in the box that is known by then is not read. Raises
    SourceError, DamagedData, ResourceError.
    """
    mag, found = place.open(), Survey()
    shards = [Box(shard.start, mag.shard_shape) for shard in mag.shards()]
    if not shards:
        return found
    domain = shards[0]
    for shard in shards:
        domain = domain.spanning(shard)
    voxel_bytes = mag.info.voxel_bytes
    side = max(min(cell_side(voxel_bytes, budget), *mag.shard_shape), *mag.block_shape)
    cells = (side, side, side)

    def boxes() -> Iterator[Box]:
        for shard in sorted(shards, key=lambda shard: _depth(shard, domain)):
            yield from (cell for cell in shard.tiles(cells) if not (outline and found.box and cell in found.box))

    source = mag.within(domain)
    spec = MagSpec(place.layer, "segmentation", place.mag, domain, mag.info.dtype, mag.info.channels)
    step = Within(source, Looking(spec, cells, source), boxes=boxes())  # which are left out turns out as it goes
    total = sum(shard.volume for shard in shards)
    meter = Meter(listen, f"{place.title}, looking", (1, 1), total, voxel_bytes)
    for done in engine.run(step, route(step, budget), workers, Path(), frozenset()):
        found.add(done)
        meter.advance(done.voxels)
    return found


def _depth(shard: Box, domain: Box) -> int:
    """How far a shard lies from the domain's surface."""
    return min(
        *(a - b for a, b in zip(shard.start, domain.start, strict=True)),
        *(b - a for a, b in zip(shard.stop, domain.stop, strict=True)),
    )
