"""Comparing voxels: a sink that counts what differs instead of writing, so that comparing is the loop that copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.abilities import occupied_of
from wkconvert_core.contract.geometry import Box, Vec3Like, ceil_div
from wkconvert_core.contract.model import MagSpec, Source
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.engine import loop as engine
from wkconvert_core.engine.workers import Workers
from wkconvert_core.planning.route import Budget, route
from wkconvert_core.planning.step import Step, Within, factor_between
from wkconvert_core.registry.plugins import downsampler
from wkconvert_core.sources.downsampled import Downsampled
from wkconvert_core.sources.views import Wrapper

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

CELL_BYTES = 16 << 20
"""Voxels that are compared at a time, per worker."""
LEAST_SIDE = 32


@dataclass(frozen=True)
class Difference:
    """How many voxels differ, and the first of them: lowest in z, then y, x, c."""

    count: int
    place: Vec3Like
    """In voxels of the mag, where it lies in the dataset."""
    channel: int
    values: tuple[Any, Any]

    @property
    def order(self) -> tuple[int, ...]:
        """What comes first."""
        return (*reversed(self.place), self.channel)

    def __str__(self) -> str:
        """`1,234 voxels differ, first at x 1, y 2, z 3, channel 0: 5 and 6`."""
        x, y, z = self.place
        plural = "voxels differ" if self.count > 1 else "voxel differs"
        values = " and ".join(map(str, self.values))
        return f"{self.count:,} {plural}, first at x {x}, y {y}, z {z}, channel {self.channel}: {values}"


@dataclass(frozen=True)
class Comparing:
    """A sink where writing a box means: count the voxels in which another source differs from it."""

    other: Source
    spec: MagSpec
    shard_shape: Vec3Like
    """The boxes that are compared at a time, whatever the files are like."""
    scale: Source | None = None
    """How large the values are of which each was made; finite floats may differ by a small part of that."""

    def has(self, box: Box) -> bool:
        """Nothing is compared already."""
        return False

    def omits(self, box: Box) -> bool:
        """Whether the other source holds nothing but 0 there."""
        occupied = occupied_of(self.other)
        return occupied is not None and not occupied(self._inside(box))

    def write(self, box: Box, data: Array) -> Any:
        """Compare voxels `[c, x, y, z]`; returns a Difference or None in place of a checksum."""
        found = self.other.read(self._inside(box))
        same = self._same(data, found, box)
        if same.all():
            return None
        voxels = np.logical_not(same.all(axis=0))
        count = int(voxels.sum())
        z, y, x = (int(index) for index in np.unravel_index(int(voxels.T.argmax()), voxels.T.shape))
        c = int(same[:, x, y, z].argmin())
        values = data[c, x, y, z].item(), found[c, x, y, z].item()
        x, y, z = (a + start for a, start in zip((x, y, z), box.start, strict=True))
        return Difference(count, (x, y, z), c, values)

    def _inside(self, box: Box) -> Box:
        return box - self.spec.box.start

    def _same(self, data: Array, found: Array, box: Box) -> Array:
        same: Array = data == found
        if data.dtype.kind != "f" or same.all():
            return same
        same |= (data != data) & (found != found)  # NaN is NaN
        if self.scale and not same.all():
            scale = self.scale.read(self._inside(box))
            with np.errstate(invalid="ignore", over="ignore"):
                same |= np.isfinite(data) & np.isfinite(found) & (np.abs(data - found) <= TOLERANCE * scale)
        return same

    def source(self) -> Source:
        """The other one."""
        return self.other


@dataclass(frozen=True)
class Magnitude(Wrapper):
    """How large the voxels of a source of floats are; those that are no numbers count as 0."""

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]`. Raises what the inner source raises."""
        data = np.abs(self.inner.read(box))
        return np.where(np.isfinite(data), data, data.dtype.type(0))


@dataclass(frozen=True)
class Spread(Wrapper):
    """A source in which each voxel is the largest of its neighbourhood."""

    reach: Vec3Like

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]`. Raises what the inner source raises."""
        from scipy import ndimage

        near = box.grown(self.reach).intersection(self.info.box)
        spread = ndimage.maximum_filter(self.inner.read(near), (1, *(2 * n + 1 for n in self.reach)), mode="nearest")
        return np.asarray(spread[:, *box.slices_in(near)])


def compare(step: Step, budget: Budget, workers: Workers, tell: Callable[[int], None]) -> Difference | None:
    """Go through a step whose sink is `Comparing`; `tell` hears of voxels that are done. Raises readers' errors."""
    total: Difference | None = None
    voxels = step.voxels
    for done in engine.run(step, route(step, budget), workers, Path(), frozenset()):
        tell(done.voxels)
        voxels -= done.voxels
        part: Any = done.checksum
        if part:
            first = part if total is None or part.order < total.order else total
            total = replace(first, count=part.count + (total.count if total else 0))
    if voxels:
        tell(voxels)  # where neither holds anything
    return total


def cell_side(voxel_bytes: int, budget: Budget, cost: float = 1.0) -> int:
    """The side of the largest cube of voxels that is worth comparing at a time and fits the budget.

    `cost`: bytes that reading one takes, per byte of it.
    """
    free = max(0, budget.memory - budget.base) // max(1, budget.workers)
    most = min(CELL_BYTES, int(free / (3 + cost)))
    side = LEAST_SIDE
    while (2 * side) ** 3 * voxel_bytes <= most:
        side *= 2
    return side


def sampled_boxes(box: Box, shape: Vec3Like, count: int, seed: str) -> tuple[Box, ...]:
    """At most `count` cells of a grid, clipped to a box: its first, its last, and some between, the same every time."""
    import random

    cells = box.coarsened(shape)
    total = cells.volume
    numbers = list(range(min(total, count)))
    if total > count:
        numbers = [0, *sorted(random.Random(seed).sample(range(1, total - 1), count - 2)), total - 1]
    width, height, _ = cells.shape
    places = ((n % width, n // width % height, n // (width * height)) for n in numbers)
    moved = (Box(place, (1, 1, 1)).shifted(cells.start) for place in places)
    return tuple(cell.refined(shape).intersection(box) for cell in moved)


SAMPLE_SIDE = 64
"""Of the boxes in which a mag is held against the finer one."""
SAMPLES = 8
"""Such boxes per mag."""
TOLERANCE = 1e-5
"""Kernels that add floats up may differ by this part from one version of numpy to the next."""
EXACT = ("median", "mode", "nearest", "min", "max")
"""Kernels that do not."""


def step_between(finer: MagOnDisk, coarser: MagOnDisk, kernel: str, budget: Budget, *, deep: bool) -> Step:
    """Make a mag anew of a finer one and compare: all of it, or some boxes. Raises SourceError, DamagedData."""
    there, fine = coarser.open(), finer.open()
    made = Downsampled(fine, fine.box, factor_between(finer.mag, coarser.mag), kernel, fine)
    spec = MagSpec(coarser.layer, "color", coarser.mag, there.box, there.info.dtype, there.info.channels)
    side = cell_side(there.info.voxel_bytes, budget, made.read_cost)
    shape = (side,) * 3 if deep else (min(side, SAMPLE_SIDE),) * 3
    sink = Comparing(there, spec, shape, _scale(made) if kernel not in EXACT else None)
    if deep:
        return Step(made, sink)
    return Within(made, sink, boxes=sampled_boxes(there.box, shape, SAMPLES, coarser.title))


def _scale(made: Downsampled) -> Source:
    """The largest of the voxels of which each is made."""
    x, y, z = map(ceil_div, downsampler(made.kernel).halo, made.factor)
    return Spread(replace(made, source=Magnitude(made.source), kernel="max"), (x, y, z))
