"""Comparing voxels: a sink that counts what differs instead of writing, so that comparing is the loop that copies."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core import engine
from wkconvert_core.backends import Workers
from wkconvert_core.convert import Listener, Progress
from wkconvert_core.downsample import Downsampled
from wkconvert_core.geometry import Box, Vec3, minus
from wkconvert_core.inventory import MagFolder
from wkconvert_core.model import MagSpec, Source
from wkconvert_core.plan import Budget, route
from wkconvert_core.settings import Settings
from wkconvert_core.step import Step, factor_between

if TYPE_CHECKING:
    from wkconvert_core.model import Array

CELL_BYTES = 16 << 20
"""Voxels that are compared at a time, per worker."""
LEAST_SIDE = 32


@dataclass(frozen=True)
class Difference:
    """How many values differ, and the first of them: lowest in z, then y, x, c."""

    count: int
    place: Vec3
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
    shard_shape: Vec3
    """The boxes that are compared at a time, whatever the files are like."""
    tolerance: float = 0.0
    """How far floats may differ, as a part of the largest value nearby."""

    def has(self, box: Box) -> bool:
        """Nothing is compared already."""
        return False

    def write(self, box: Box, data: Array) -> str:
        """Compare voxels `[c, x, y, z]`; returns the difference as text, which `difference` reads."""
        found = self.other.read(box.shifted(minus(self.spec.box.start)))
        same = self._same(data, found)
        if same.all():
            return ":0"
        voxels = np.logical_not(same.all(axis=0))
        count = int(voxels.sum())
        z, y, x = (int(index) for index in np.unravel_index(int(voxels.T.argmax()), voxels.T.shape))
        c = int(same[:, x, y, z].argmin())
        values = data[c, x, y, z].item(), found[c, x, y, z].item()
        x, y, z = (a + start for a, start in zip((x, y, z), box.start, strict=True))
        return json.dumps([count, [x, y, z], c, values]) + ":0"

    def _same(self, data: Array, found: Array) -> Array:
        same: Array = data == found
        if data.dtype.kind != "f" or same.all():
            return same
        same |= (data != data) & (found != found)  # NaN is NaN
        if self.tolerance:
            with np.errstate(invalid="ignore", over="ignore"):
                finite = np.isfinite(data) & np.isfinite(found)
                scale = max(float(np.abs(data[finite]).max(initial=0)), float(np.abs(found[finite]).max(initial=0)))
                same |= finite & (np.abs(data - found) <= self.tolerance * scale)
        return same

    def source(self) -> Source:
        """The other one."""
        return self.other


def difference(text: str) -> Difference | None:
    """What `Comparing.write` returned."""
    if text == ":0":
        return None
    count, (x, y, z), channel, (ours, theirs) = json.loads(text.removesuffix(":0"))
    return Difference(count, (x, y, z), channel, (ours, theirs))


@dataclass(frozen=True)
class Sampled(Step):
    """A step that goes through some boxes only."""

    boxes: tuple[Box, ...] = ()

    @property
    def voxels(self) -> int:
        """In the boxes."""
        return sum(box.volume for box in self.boxes)

    def tasks(self, shape: Vec3, within: Box | None = None) -> Iterator[Box]:
        """The boxes, each of which lies in a task of its own."""
        return iter(self.boxes)

    def count_tasks(self, shape: Vec3) -> int:
        """How many boxes there are."""
        return len(self.boxes)


def compare(step: Step, budget: Budget, workers: Workers, tell: Callable[[int], None]) -> Difference | None:
    """Go through a step whose sink is `Comparing`; `tell` hears of voxels that are done. Raises readers' errors."""
    total: Difference | None = None
    for done in engine.run(step, route(step, budget), workers, Path(), frozenset()):
        tell(done.voxels)
        if part := difference(done.checksum):
            first = part if total is None or part.order < total.order else total
            total = replace(first, count=part.count + (total.count if total else 0))
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


def sampled_boxes(box: Box, shape: Vec3, count: int, seed: str) -> tuple[Box, ...]:
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
"""Kernels on floats may differ by this part from one version of numpy to the next."""


def step_between(finer: MagFolder, coarser: MagFolder, kernel: str, budget: Budget, *, deep: bool) -> Step:
    """Make a mag anew of a finer one and compare: all of it, or some boxes. Raises SourceError, DamagedData."""
    there, fine = coarser.source(), finer.source()
    made = Downsampled(fine, fine.box, factor_between(finer.mag, coarser.mag), kernel)
    spec = MagSpec(coarser.layer, "color", coarser.mag, there.box, there.header.dtype, there.header.channels)
    side = cell_side(there.header.voxel_bytes, budget, made.read_cost)
    shape = (side,) * 3 if deep else (min(side, SAMPLE_SIDE),) * 3
    sink = Comparing(there, spec, shape, TOLERANCE)
    return (
        Step(made, sink) if deep else Sampled(made, sink, boxes=sampled_boxes(there.box, shape, SAMPLES, coarser.title))
    )


@contextlib.contextmanager
def at_work(settings: Settings, budget: Budget) -> Iterator[Workers]:
    """Workers for a run; none is left behind when it ends early, whatever ends it."""
    workers = Workers(settings.strategy, budget.workers)
    try:
        yield workers
    except BaseException:
        workers.stop()
        raise


class Meter:
    """Tells a listener how far a step is."""

    def __init__(
        self, listen: Listener | None, title: str, place: tuple[int, int], total: int, voxel_bytes: int
    ) -> None:
        number, steps = place
        self._now = Progress(title, number, steps, 0, total, voxel_bytes)
        self._listen = listen if listen and total else lambda progress: None
        self._listen(self._now)

    def advance(self, voxels: int) -> None:
        """Some more are done."""
        self._now = replace(self._now, voxels=self._now.voxels + voxels)
        self._listen(self._now)
