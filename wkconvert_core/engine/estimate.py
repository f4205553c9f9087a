"""What a run will take, time and disk, reckoned from samples: small parts of the real source that go the whole way.

Each is read, made coarser by the layer's kernel and encoded by the sinks of the real format, as a volume of its own in
a temporary folder. So a step that would copy encoded blocks is taken to be as slow as one that encodes voxels.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias, TypeVar

import numpy as np

from wkconvert_core.contract.abilities import most_bytes_of, stream_of
from wkconvert_core.contract.errors import ResourceError, WkconvertError
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.model import DatasetSink, Sink
from wkconvert_core.contract.numbers import ceil_div
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.engine.loop import Consume, checked_read
from wkconvert_core.engine.slabs import MemorySlab
from wkconvert_core.engine.workers import default_jobs
from wkconvert_core.planning.costs import Budget, Route
from wkconvert_core.planning.step import Step
from wkconvert_core.toolkit.byte_sizes import size_text

SAMPLES = 8
"""Most samples of a source."""
SAMPLE_BYTES = 8 << 20
"""About the bytes of a sample's voxels."""
SECONDS = 4.0
"""No sample begins later, and none that would not be read by then."""
PLACES = 512
"""Places of a sparse source that are looked at for samples."""
_SPREAD = (0.8191725134, 0.6710436067, 0.5497004779)
"""Multiples of these, without their whole parts, fill a cube evenly: powers of 1 / 1.2207, the root of x^4 = x + 1."""

Result = TypeVar("Result")
Writer: TypeAlias = Callable[[Path], DatasetSink]
"""Makes the writer of a dataset in a folder."""


@dataclass(frozen=True)
class Estimate:
    """Time and disk space of a run, or why there is no estimate."""

    seconds: float | None = None
    stored_bytes: int | None = None
    """Bytes of all shards on disk."""
    workers: int = 0
    """Tasks at a time for which the time is meant."""
    samples: int = 0
    """Number of samples on which it rests."""
    reason: str = ""
    """Why there is no estimate; empty if there is one."""


@dataclass
class Rate:
    """An amount per voxel, over several samples.

    >>> rate = Rate()
    >>> rate.add(300.0, 100), rate.add(100.0, 300), rate.each
    (None, None, 1.0)
    """

    amount: float = 0.0
    voxels: int = 0

    def add(self, amount: float, voxels: int) -> None:
        """Include another sample."""
        self.amount += amount
        self.voxels += voxels

    @property
    def each(self) -> float:
        """The mean amount for a voxel; 0 of no voxels."""
        return self.amount / max(1, self.voxels)


@dataclass
class Chain:
    """Steps of which the first reads a source and each other the mag before it, and what samples of them took.

    Axes are x, y, z. Boxes lie in the dataset, in voxels of the finest mag.
    """

    steps: list[tuple[Step[WriteShards], Route]]
    samples: int = 0
    decoding: Rate = field(default_factory=Rate)
    """Seconds for decoded voxels: those of all chunks that a sample touches."""
    making: Rate = field(default_factory=Rate)
    """Seconds for voxels of the finest mag, for it and all coarser ones that are made of it."""
    stored: dict[Mag, Rate] = field(default_factory=dict)
    """Bytes for voxels of each mag."""
    padding: Rate = field(default_factory=Rate)
    """Bytes for voxels of a shard that lie outside the extent: for its tables, and zeros."""
    idling: Rate = field(default_factory=Rate)
    """Seconds for these; 0 unless shards are larger than samples, because beginning a file takes some time as well."""

    @property
    def first(self) -> Step[WriteShards]:
        """The step that reads the source."""
        return self.steps[0][0]

    def boxes(self) -> Iterator[Box]:
        """Boxes to sample, spread over the extent; of a sparse source such as are needed.

        They lie on a grid of blocks, so that they compress as the whole does.
        """
        shape, extent, alone = self._shape(), self.first.box, Step(self.first.source, (self.first.finest,))
        cells, seen = extent.coarsened(shape), set[Vec3]()
        for number in range(PLACES):
            shares = ((0.5 + number * step) % 1 for step in _SPREAD)
            cell = cells.start + Vec3(*(int(share * count) for share, count in zip(shares, cells.shape, strict=True)))
            box = Box(cell, (1, 1, 1)).refined(shape).intersection(extent)
            if cell not in seen and any(alone.shards(box)):
                yield box
            seen.add(cell)

    def _shape(self) -> Vec3:
        """A block, doubled along axes where that decodes no more chunks, then along the shortest."""
        source, extent, shape = self.first.source.info, self.first.box.shape, _block(self.first.finest.sink)
        chunk = source.chunk_shape or (1, 1, 1)
        while 2 * shape.volume * source.voxel_bytes <= SAMPLE_BYTES:
            growing = [axis for axis in range(3) if shape[axis] < extent[axis]]
            if not growing:
                break
            longer = min(growing, key=lambda axis: (shape[axis] >= chunk[axis], shape[axis]))
            shape *= Vec3(*(1 + (axis == longer) for axis in range(3)))
        return shape

    def seconds(self, workers: int) -> float:
        """Estimated time of all steps with so many workers."""
        route, voxels = self.steps[0][1], self.first.handed_over[0][2]
        work = voxels * (route.amplification * self.decoding.each + self.making.each)
        return work * ceil_div(route.tasks, workers) / max(1, route.tasks)

    def stored_bytes(self) -> float:
        """Estimated bytes of all shards; mags that samples are too small for are like the next finer one."""
        total = each = 0.0
        for consumer, shards, voxels in (handed for step, _ in self.steps for handed in step.handed_over):
            each = self.stored[consumer.mag].each if consumer.mag in self.stored else each
            total += voxels * each + (shards * consumer.grid.volume - voxels) * self.padding.each
        return total


def estimated(chains: Sequence[Chain], writer: Writer, budget: Budget) -> Estimate:
    """Estimate the time and the disk space of chains from samples, within a few seconds.

    Errors of a source or a sink, which the run would meet as well, are the reason why there is no estimate.
    """
    if any(stream_of(chain.first.source) for chain in chains):
        return Estimate(reason="the source can only be read in order, from its beginning")
    deadline = time.monotonic() + SECONDS
    try:
        with TemporaryDirectory(prefix="wkconvert-") as folder:
            for chain, box in _in_turn(chains):
                if reason := _too_slow(chain, box, deadline):
                    if all(chain.samples for chain in chains):
                        break
                    return Estimate(reason=reason)
                _measure(chain, box, writer, Path(folder, "sample"))
    except WkconvertError as error:
        return Estimate(reason=error.what)
    except OSError as error:
        return Estimate(reason=str(error))
    if any(not chain.samples and chain.first.handed_over[0][2] for chain in chains):
        return Estimate(reason=f"none of {PLACES} places in the source holds anything")
    # on one machine, more workers than processors save no time
    workers = [budget.at_once(chain.steps[0][1].workers) for chain in chains]
    workers = workers if budget.machines else [min(count, default_jobs()) for count in workers]
    return Estimate(
        sum(chain.seconds(count) for chain, count in zip(chains, workers, strict=True)),
        round(sum(chain.stored_bytes() for chain in chains)),
        max(workers, default=0),
        sum(chain.samples for chain in chains),
    )


def _in_turn(chains: Sequence[Chain]) -> Iterator[tuple[Chain, Box]]:
    """The samples of all chains: the first of each, the second of each, and so on."""
    boxes = [(chain, chain.boxes()) for chain in chains]
    for _ in range(SAMPLES):
        for chain, rest in boxes:
            if box := next(rest, None):
                yield chain, box


def _too_slow(chain: Chain, box: Box, deadline: float) -> str:
    """Why a sample cannot be taken in time, as earlier ones tell, or two of its chunks; empty if it can."""
    step, inner, info = chain.first, chain.first.in_source(box), chain.first.source.info
    chunk = info.chunk_shape or inner.shape
    if chain.samples:
        needed = (chain.decoding.amount + chain.making.amount) / chain.samples
    else:
        count = inner.count_tiles(chunk, info.chunk_start)
        parts = islice(inner.tiles(chunk, info.chunk_start), 2 if count > 1 else 0)
        needed = count * min((_timed(partial(checked_read, step.source, part))[0] for part in parts), default=0.0)
    if time.monotonic() + needed <= deadline:
        return ""
    return f"samples of the source take longer than {SECONDS:.0f} s"


def _measure(chain: Chain, box: Box, writer: Writer, folder: Path) -> None:
    """Take one more sample, in a folder that is removed. Raises the source's and the sinks' errors."""
    step, info, inner = chain.first, chain.first.source.info, chain.first.in_source(box)
    seconds, voxels = _timed(lambda: checked_read(step.source, inner))
    chunks = (inner - info.chunk_start).aligned(info.chunk_shape or (1, 1, 1)) + info.chunk_start
    chain.decoding.add(seconds, chunks.intersection(info.box).volume)
    if not chain.samples:
        _measure_padding(chain, box, writer(folder / "padding"))
    sample, finest = writer(folder / "sample"), step.finest.mag
    sinks = [sink for step, _ in chain.steps for sink in step.sinks]
    parts = (box.coarsened(sink.spec.mag // finest) for sink in sinks)
    consumers = tuple(_writing(sample, sink, part) for sink, part in zip(sinks, parts, strict=True))
    kernels = (step.kernel or getattr(step.source, "kernel", "") for step, _ in reversed(chain.steps))
    small = Step(MemorySlab.of(box, box, voxels), consumers, next(filter(None, kernels), ""))
    wanted = frozenset((consumer.mag, shard.start) for consumer, shard in small.shards())
    seconds, done = _timed(Consume(small, box, wanted))
    padded = {each.mag: each.box.count_tiles(each.grid) * each.grid.volume - each.box.volume for each in consumers}
    chain.making.add(max(0.0, seconds - sum(padded.values()) * chain.idling.each), box.volume)
    for sink, part in zip(sinks, consumers, strict=True):
        block = _block(part.sink)  # less than one, unless it is all that there is, compresses in another way
        if part is consumers[0] or part.box.shape.min(block) == sink.spec.box.shape.min(block):
            stored = sum(shard.stored_bytes for shard in done if shard.mag == part.mag)
            rate = chain.stored.setdefault(part.mag, Rate())
            rate.add(max(0.0, stored - padded[part.mag] * chain.padding.each), part.box.volume)
    chain.samples += 1
    shutil.rmtree(folder)


def _measure_padding(chain: Chain, box: Box, empty: DatasetSink) -> None:
    """Write a shard of which a single voxel lies within the extent. Raises ResourceError if that is large."""
    finest = chain.first.finest.sink
    consumer = _writing(empty, finest, Box(box.start, (1, 1, 1)))
    if (least := most_bytes_of(consumer.sink, 1, 1)) > SAMPLE_BYTES:
        raise ResourceError(f"a shard takes {size_text(least)} even if there is one voxel in it")
    voxels = np.zeros((finest.spec.channels, 1, 1, 1), finest.spec.dtype)
    seconds, done = _timed(lambda: consumer(consumer.box, voxels))
    chain.padding.add(done.stored_bytes, consumer.grid.volume)
    if consumer.grid.volume > box.volume:
        chain.idling.add(seconds, consumer.grid.volume)


def _writing(dataset: DatasetSink, sink: Sink, extent: Box) -> WriteShards:
    """A consumer as that of `sink`, of another extent and in another dataset, that is ready to take voxels."""
    consumer = WriteShards(dataset.layer(replace(sink.spec, box=extent)))
    consumer.begin()
    return consumer


def _block(sink: Sink) -> Vec3:
    """The box that a mag's format compresses as one, as far as that is known."""
    stored = sink.source()
    return stored.block_shape if isinstance(stored, StoredMag) else Vec3(*sink.shard_shape).min((64, 64, 64))


def _timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds that a call takes, and its result."""
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result
