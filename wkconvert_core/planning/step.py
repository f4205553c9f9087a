"""One pass over a source: what is read, and who takes the voxels of which mags."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from wkconvert_core.contract.abilities import most_bytes_of, occupied_of, read_cost_of
from wkconvert_core.contract.geometry import Box, Mag, Vec3, Vec3Like
from wkconvert_core.contract.model import Checksum, Sink, Source
from wkconvert_core.sources.downsampled import Downsampled

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

COUNTED_SHARDS = 100_000
"""Upper bound on shards enumerated for an exact size estimate (1 % of it for the number of tasks).

Larger volumes are assumed to be fully occupied.
"""

Predicate: TypeAlias = "Callable[[Box], bool]"
"""A question about a box, in voxels of a mag, where it lies in the dataset."""

R_co = TypeVar("R_co", covariant=True)


class Consumer(Protocol[R_co]):
    """The receiver of the loop's voxels, which writes, compares or measures them box by box. A small picklable value.

    Two members are optional: `begin()` is called once, before any voxel is read. `take_encoded(box, source)` returns
    the result for a box from the source's encoded form, or None if it needs the voxels: it is tried first.
    """

    @property
    def layer(self) -> str:
        """Name of the layer."""

    @property
    def mag(self) -> Mag:
        """The mag whose voxels it takes."""

    @property
    def box(self) -> Box:
        """The extent, in voxels of that mag, where it lies in the dataset."""

    @property
    def grid(self) -> Vec3:
        """Shape of the boxes it takes, on a grid through 0, clipped to the extent. A writer's are its shards."""

    @property
    def skips(self) -> Predicate | None:
        """Whether a box need not be handed over if all its voxels are 0. None: every box is handed over."""

    def __call__(self, box: Box, voxels: Array) -> R_co:
        """Take the voxels `[c, x, y, z]` of a box of the grid, which lies in the dataset."""


class ShardConsumer(Consumer[Any], Protocol):
    """A consumer of the shards of a Sink: writes or verifies them."""

    @property
    def sink(self) -> Sink:
        """Where the shards are stored."""


C_co = TypeVar("C_co", bound=Consumer[Any], covariant=True)
AnyStep: TypeAlias = "Step[Consumer[Any]]"


@dataclass(frozen=True, slots=True)
class ShardDone:
    """A finished shard: a few numbers, whatever its size."""

    mag: Mag
    start: Vec3
    checksum: Checksum
    low: float | int | None
    """Smallest finite value; None if there is none, or it was not measured."""
    high: float | int | None
    """Largest finite value."""
    nans: int
    voxels: int

    @property
    def stored_bytes(self) -> int:
        """Bytes of the shard on disk."""
        return self.checksum.size


@dataclass(frozen=True)
class Step(Generic[C_co]):
    """One pass over a source, and the consumers of its voxels.

    Axes are x, y, z. Boxes lie in the dataset, in voxels of the finest mag unless said otherwise.

    A volume of 70 x 50 x 40 voxels that begins at x = 10, in shards of 32 voxels a side:

    >>> from types import SimpleNamespace as Example
    >>> import numpy as np
    >>> from wkconvert_core import VolumeInfo
    >>> volume = Example(info=VolumeInfo((70, 50, 40), np.dtype("uint8")))
    >>> box, grid = Box((10, 0, 0), (70, 50, 40)), (32, 32, 32)
    >>> step = Step(volume, (Example(layer="em", mag=Mag(1, 1, 1), box=box, grid=grid, skips=None),))
    >>> step.title
    'em mag 1'
    >>> [str(shard) for _, shard in step.shards()][:2]
    ['x 10:32, y 0:32, z 0:32', 'x 32:64, y 0:32, z 0:32']

    Tasks hold whole shards; the extent touches 3 x 2 x 2 of them:

    >>> [str(task) for task in step.tasks((64, 64, 64))]
    ['x 10:64, y 0:50, z 0:40', 'x 64:80, y 0:50, z 0:40']
    >>> step.count_tasks((32, 32, 32))
    12
    """

    source: Source
    consumers: tuple[C_co, ...]
    """Of the finest mag, then of coarser mags made on the way: each from the voxels of the one before, in memory."""
    kernel: str = ""
    """Name of the downsampler that makes the coarser mags."""
    boxes: Iterable[Box] | None = None
    """Boxes to go through instead of the whole extent, one task each. May be an iterator, which is taken lazily."""

    @property
    def finest(self) -> C_co:
        """The consumer of the finest mag."""
        return self.consumers[0]

    @property
    def sinks(self: Step[ShardConsumer]) -> tuple[Sink, ...]:
        """Where the shards are stored, the finest mag first."""
        return tuple(consumer.sink for consumer in self.consumers)

    @property
    def title(self) -> str:
        """The layer and the mags: `color mags 1, 2-2-1`."""
        mags = ", ".join(str(consumer.mag) for consumer in self.consumers)
        return f"{self.finest.layer} mag{'s' * (len(self.consumers) > 1)} {mags}"

    @property
    def box(self) -> Box:
        """The finest mag's extent."""
        return self.finest.box

    @property
    def cell(self) -> Vec3:
        """The smallest box of whole shards of every mag, on a grid through 0."""
        shards = (Box((0, 0, 0), each.grid).refined(self._factor(each)).shape for each in self.consumers)
        return Vec3(*map(math.lcm, *shards))

    @property
    def voxel_bytes(self) -> int:
        """Bytes per voxel, all channels together."""
        return self.source.info.voxel_bytes

    @property
    def voxels(self) -> int:
        """Number of voxels to go through: of all mags, or in `boxes`."""
        boxes = (consumer.box for consumer in self.consumers) if self.boxes is None else self.boxes
        return sum(box.volume for box in boxes)

    @property
    def raw_bytes(self) -> int:
        """Bytes of all voxels, uncompressed."""
        return self.voxels * self.voxel_bytes

    @cached_property
    def handed_over(self) -> tuple[tuple[C_co, int, int], ...]:
        """Each consumer with the boxes that it is handed, counted, and their voxels.

        Upper bounds where counting would take long.
        """
        counts = []
        for consumer, is_needed, shards in self._shards_by_mag(self.box):
            count, voxels = consumer.box.count_tiles(consumer.grid), consumer.box.volume
            if is_needed and len(needed := list(islice(shards, COUNTED_SHARDS + 1))) <= COUNTED_SHARDS:
                count, voxels = len(needed), sum(shard.volume for shard in needed)
            counts.append((consumer, count, voxels))
        return tuple(counts)

    @property
    def most_bytes(self: Step[ShardConsumer]) -> int:
        """Upper bound on the bytes that all shards take on disk, as the sinks state it."""
        return sum(most_bytes_of(consumer.sink, count, voxels) for consumer, count, voxels in self.handed_over)

    @property
    def read_cost(self) -> float:
        """Bytes that a read takes at its peak, per byte that it returns."""
        return read_cost_of(self.source)

    def shards(self, box: Box | None = None) -> Iterator[tuple[C_co, Box]]:
        """The boxes to hand to each consumer, in voxels of its mag, clipped to its extent.

        `box`: whole cells, or the whole extent. Boxes that the consumer skips are left out.
        """
        for consumer, _, shards in self._shards_by_mag(box or self.box):
            yield from ((consumer, shard) for shard in shards)

    def tasks(self, shape: Vec3, within: Box | None = None) -> Iterator[Box]:
        """`boxes`; else boxes of a shape of whole cells that have any shards, on a grid through the first cell."""
        return iter(self._grid(shape, within or self.box) if self.boxes is None else self.boxes)

    def count_tasks(self, shape: Vec3) -> int:
        """Number of boxes on the grid of `tasks`; an upper bound where counting them would take long."""
        most, few = self.box.count_tiles(shape, self.box.aligned(self.cell).start), COUNTED_SHARDS // 100
        if None in self._needed():
            return most
        count = sum(1 for _ in islice(self._grid(shape, self.box), few + 1))
        return count if count <= few else most

    def in_source(self, box: Box) -> Box:
        """A box of the dataset, in the source's voxels."""
        return box - self.box.start

    def _grid(self, shape: Vec3, within: Box) -> Iterator[Box]:
        needed, factors = list(self._needed()), list(map(self._factor, self.consumers))

        def is_any_needed(box: Box) -> bool:
            return any(ask is None or ask(box.coarsened(f)) for ask, f in zip(needed, factors, strict=True))

        origin = self.box.aligned(self.cell).start
        return _tiles(within, shape, origin, None if None in needed else is_any_needed)

    def _shards_by_mag(self, box: Box) -> Iterator[tuple[C_co, Predicate | None, Iterator[Box]]]:
        for consumer, is_needed in zip(self.consumers, self._needed(), strict=True):
            part = box.coarsened(self._factor(consumer))
            yield consumer, is_needed, _tiles(part, consumer.grid, Vec3(0, 0, 0), is_needed)

    def _needed(self) -> Iterator[Predicate | None]:
        """For each mag, whether a box has to be handed over; None if every box has to be."""
        source = self.source
        yield _needed(source, self.finest)
        for finer, consumer in pairwise(self.consumers):
            source = Downsampled(source, finer.box, consumer.mag // finer.mag, self.kernel, source)
            yield _needed(source, consumer)

    def _factor(self, consumer: Consumer[Any]) -> Vec3:
        return consumer.mag // self.finest.mag


def _needed(source: Source, consumer: Consumer[Any]) -> Predicate | None:
    occupied, skips = occupied_of(source), consumer.skips
    if occupied is None or skips is None:
        return None
    return lambda box: occupied(box - consumer.box.start) or not skips(box)


def _tiles(box: Box, shape: Vec3Like, origin: Vec3Like, is_needed: Predicate | None) -> Iterator[Box]:
    """The cells of a grid as `Box.tiles` yields them, without those that are not needed."""
    if is_needed is None:
        return box.tiles(shape, origin)
    return _needed_tiles(box, (box - origin).coarsened(shape), shape, origin, is_needed)


def _needed_tiles(box: Box, cells: Box, shape: Vec3Like, origin: Vec3Like, is_needed: Predicate) -> Iterator[Box]:
    """Bisects the cells, so that a large empty part costs one question."""
    part = (cells.refined(shape) + origin).intersection(box)
    if not part.volume or not is_needed(part):
        return
    if cells.volume == 1:
        yield part
        return
    # Halve the slowest axis that is longer than one cell: the order stays that of `Box.tiles`, x fastest.
    axis = max(axis for axis in range(3) if cells.shape[axis] > 1)
    first, second = list(cells.shape), list(cells.shape)
    first[axis], second[axis] = (half := cells.shape[axis] // 2), cells.shape[axis] - half
    middle = [at + half * (number == axis) for number, at in enumerate(cells.start)]
    for start, sides in ((cells.start, first), (middle, second)):
        yield from _needed_tiles(box, Box(Vec3(*start), Vec3(*sides)), shape, origin, is_needed)
