"""Comparing voxels: consumers that count differences, and the steps that use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wkconvert_core.contract.abilities import occupied_of
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.mag_format import ComparableMag, StoredMag
from wkconvert_core.contract.model import Source
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.engine import loop
from wkconvert_core.engine.workers import Workers
from wkconvert_core.planning.costs import Budget
from wkconvert_core.planning.route import route
from wkconvert_core.planning.step import Consumer, Predicate, Step
from wkconvert_core.registry.plugins import downsampler
from wkconvert_core.sources.downsampled import Downsampled
from wkconvert_core.sources.views import Wrapper

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

CELL_BYTES = 16 << 20
"""Upper bound on the bytes of voxels that a worker compares at a time."""
LEAST_SIDE = 32
"""Lower bound on the side of the cubes that are compared at a time, in voxels."""
SAMPLE_SIDE = 64
"""Side of the sampled boxes in which a mag is recomputed from the finer one, in voxels."""
SAMPLES = 8
"""Number of such boxes per mag."""
TOLERANCE = 1e-5
"""Relative tolerance for floats made by kernels that add them up: sums vary from one version of numpy to the next."""
EXACT = ("median", "mode", "nearest", "min", "max")
"""Kernels whose results are the same with any version of numpy."""


@dataclass(frozen=True)
class Difference:
    """Number of differing voxels, and the first of them: lowest in z, then y, x, c.

    >>> a = Difference(2, (5, 0, 1), 0, (7, 8))
    >>> b = Difference(1, (9, 9, 0), 0, (1, 2))
    >>> print(a + b)
    3 voxels differ, first at x 9, y 9, z 0, channel 0: 1 and 2
    """

    count: int
    place: Vec3
    """Position of the first one in the dataset, in voxels of the mag."""
    channel: int
    values: tuple[Any, Any]

    def __add__(self, other: Difference) -> Difference:
        """The differences of two boxes."""
        first = min(self, other, key=lambda each: (*reversed(each.place), each.channel))
        return replace(first, count=self.count + other.count)

    def __str__(self) -> str:
        """`1,234 voxels differ, first at x 1, y 2, z 3, channel 0: 5 and 6`."""
        x, y, z = self.place
        plural = "voxels differ" if self.count > 1 else "voxel differs"
        values = " and ".join(map(str, self.values))
        return f"{self.count:,} {plural}, first at x {x}, y {y}, z {z}, channel {self.channel}: {values}"


class Compared(NamedTuple):
    """The result for one box."""

    voxels: int
    difference: Difference | None


@dataclass(frozen=True)
class CompareWith:
    """A consumer that compares voxels with those of another source."""

    other: Source
    """Compared with; its voxel (0, 0, 0) lies at `box.start`."""
    layer: str
    mag: Mag
    box: Box
    grid: Vec3
    """Shape of the boxes that are compared at a time, independent of the shards."""
    scale: Source | None = None
    """Magnitude of each voxel's inputs: the scale of the relative tolerance for finite floats. None: no tolerance."""

    @property
    def skips(self) -> Predicate | None:
        """Whether a box is all 0 in the other source as well, so that it need not be compared."""
        occupied = occupied_of(self.other)
        return occupied and (lambda box: not occupied(self._in_other(box)))

    def __call__(self, box: Box, voxels: Array) -> Compared:
        """Compare voxels `[c, x, y, z]`; NaN equals NaN. Raises the other source's errors."""
        found = self.other.read(self._in_other(box))
        same: Array = voxels == found
        if voxels.dtype.kind == "f" and not same.all():
            same |= (voxels != voxels) & (found != found)  # NaN
            if self.scale and not same.all():
                scale = self.scale.read(self._in_other(box))
                with np.errstate(invalid="ignore", over="ignore"):
                    same |= np.isfinite(voxels) & np.isfinite(found) & (np.abs(voxels - found) <= TOLERANCE * scale)
        if same.all():
            return Compared(box.volume, None)
        differing = np.logical_not(same.all(axis=0))
        # `argmax` finds the first True in the order of the axes: as [z, y, x], that is the lowest in z, then y, x.
        z, y, x = (int(index) for index in np.unravel_index(int(differing.T.argmax()), differing.T.shape))
        c = int(same[:, x, y, z].argmin())
        values = voxels[c, x, y, z].item(), found[c, x, y, z].item()
        place = box.start + Vec3(x, y, z)
        return Compared(box.volume, Difference(int(differing.sum()), place, c, values))

    def _in_other(self, box: Box) -> Box:
        return box - self.box.start


@dataclass(frozen=True)
class CompareStored(CompareWith):
    """Compares the stored bytes of cubes first, and voxels only if these differ; `grid` is a cube of whole blocks."""

    mags: tuple[ComparableMag, StoredMag] = field(kw_only=True)
    """The mag that is read, and the one it is compared with."""

    def take_encoded(self, box: Box, source: Source) -> Compared | None:
        """The result if the cube's stored bytes are the same in both mags; None if voxels have to be compared."""
        ours, theirs = self.mags
        return Compared(box.volume, None) if ours.holds_the_same(theirs, box.aligned(self.grid)) else None


@dataclass(frozen=True)
class Magnitude(Wrapper):
    """Absolute values of a source of floats, with 0 for NaN and infinity."""

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]`. Raises the inner source's errors."""
        data = np.abs(self.inner.read(box))
        return np.where(np.isfinite(data), data, data.dtype.type(0))


@dataclass(frozen=True)
class Spread(Wrapper):
    """Maximum filter: each voxel is the largest of its neighbourhood."""

    reach: Vec3
    """Voxels of neighbourhood on either side, along x, y, z."""

    def read(self, box: Box) -> Array:
        """Voxels `[c, x, y, z]`. Raises the inner source's errors."""
        from scipy import ndimage

        near = box.grown(self.reach).intersection(self.info.box)
        spread = ndimage.maximum_filter(self.inner.read(near), (1, *(2 * n + 1 for n in self.reach)), mode="nearest")
        return np.asarray(spread[:, *box.slices_in(near)])


def compare(
    step: Step[Consumer[Compared]], budget: Budget, workers: Workers, advance: Callable[[int], None]
) -> Difference | None:
    """Compare all boxes of a step; None if there is no difference.

    `advance` is called with the number of voxels of each box that is done. Raises the sources' errors.
    """
    total: Difference | None = None
    skipped = step.voxels
    for voxels, difference in loop.run(step, route(step, budget), workers):
        advance(voxels)
        skipped -= voxels
        total = total + difference if total and difference else total or difference
    if skipped:
        advance(skipped)  # boxes that are all 0 in both sources
    return total


def cell_side(voxel_bytes: int, budget: Budget, cost: float = 1.0) -> int:
    """Side of the largest cube worth comparing at a time that fits the budget: a power of two, in voxels.

    `cost`: peak bytes of a read per byte that it returns. Two workers, 8 bits per voxel, then in less memory:

    >>> cell_side(1, Budget(memory=1 << 30, workers=2, shared=True, scratch=0, base=0))
    256
    >>> cell_side(1, Budget(memory=1 << 24, workers=2, shared=True, scratch=0, base=0))
    128
    """
    free = max(0, budget.memory - budget.base) // max(1, budget.workers)
    # Held at a time: the voxels as they are read (times cost), the other source's, and masks of a byte each.
    most = min(CELL_BYTES, int(free / (3 + cost)))
    side = LEAST_SIDE
    while (2 * side) ** 3 * voxel_bytes <= most:
        side *= 2
    return side


def sampled_boxes(box: Box, shape: Vec3, count: int, seed: str) -> tuple[Box, ...]:
    """At most `count` cells of a grid through 0, clipped to a box: the first, the last, and random ones between.

    The same seed always gives the same cells.

    >>> [str(part) for part in sampled_boxes(Box((10, 0, 0), (50, 30, 5)), (32, 32, 32), 8, "em mag 2")]
    ['x 10:32, y 0:30, z 0:5', 'x 32:60, y 0:30, z 0:5']
    >>> len(sampled_boxes(Box((0, 0, 0), (1000, 1000, 1000)), (32, 32, 32), 8, "em mag 2"))
    8
    """
    import random

    cells = box.coarsened(shape)
    total = cells.volume
    numbers = list(range(min(total, count)))
    if total > count:
        numbers = [0, *sorted(random.Random(seed).sample(range(1, total - 1), count - 2)), total - 1]
    # A cell's number counts x fastest, then y, then z.
    width, height, _ = cells.shape
    indices = (Vec3(n % width, n // width % height, n // (width * height)) for n in numbers)
    return tuple(Box(cells.start + i, (1, 1, 1)).refined(shape).intersection(box) for i in indices)


def step_between(finer: MagOnDisk, coarser: MagOnDisk, kernel: str, budget: Budget, *, deep: bool) -> Step[CompareWith]:
    """The step that recomputes a mag from a finer one and compares it: completely if `deep`, else in sampled boxes.

    Raises SourceError, DamagedData.
    """
    there, fine = coarser.open(), finer.open()
    made = Downsampled(fine, fine.box, coarser.mag // finer.mag, kernel, fine)
    side = cell_side(there.info.voxel_bytes, budget, made.read_cost)
    shape = Vec3(1, 1, 1) * (side if deep else min(side, SAMPLE_SIDE))
    scale = None
    if kernel not in EXACT:  # for each coarse voxel, the largest magnitude among the fine voxels it is made from
        reach = Vec3(*downsampler(kernel).halo).ceildiv(made.factor)
        scale = Spread(replace(made, source=Magnitude(fine), kernel="max"), reach)
    consumer = CompareWith(there, coarser.layer, coarser.mag, there.box, shape, scale)
    boxes = None if deep else sampled_boxes(there.box, shape, SAMPLES, coarser.title)
    return Step(made, (consumer,), boxes=boxes)
