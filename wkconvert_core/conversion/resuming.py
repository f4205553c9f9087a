"""The finished work of an earlier run of the same request: the shards that are there, and are as it recorded them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.abilities import checksum_of
from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import NO_FILE, Sink
from wkconvert_core.datasets.records.journal import Journal
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.engine.progress import Meter
from wkconvert_core.engine.workers import Workers
from wkconvert_core.planning.step import ShardDone, Step
from wkconvert_core.toolkit.atomic import writing


@dataclass(frozen=True)
class CheckFinished:
    """A task: whether a shard that was recorded is there, and its file what it was; an error is a result, too."""

    sinks: Mapping[Mag, Sink]
    done: ShardDone

    def __call__(self) -> tuple[ShardDone, bool | WkconvertError]:
        """Look at the file, and read it if the sink can. A power failure may leave any bytes in it."""
        sink = self.sinks[self.done.mag]
        cell = Box(self.done.start, (1, 1, 1)).aligned(sink.shard_shape)
        box, checksum = cell.intersection(sink.spec.box), checksum_of(sink)
        try:
            with writing(Path(sink.spec.layer, str(sink.spec.mag))):
                if self.done.checksum == NO_FILE:
                    return self.done, not sink.has(box)
                return self.done, sink.has(box) and (checksum is None or checksum(box) == self.done.checksum)
        except WkconvertError as error:
            return self.done, error


def drop_unsound(step: Step[WriteShards], journal: Journal, workers: Workers, meter: Meter) -> int:
    """Mark the shards of a step that were recorded, and are gone or changed, as not finished; returns their number.

    Raises TargetError for a file that cannot be read.
    """
    sinks, dropped = {sink.spec.mag: sink for sink in step.sinks}, 0
    tasks = (CheckFinished(sinks, done) for done in journal.recorded() if done.mag in sinks)
    for done, result in workers.map(CheckFinished.__call__, tasks, workers.jobs):
        if isinstance(result, WkconvertError):
            raise result
        if result:
            meter.advance(done.voxels)
        else:
            journal.done[done.mag].drop(done.start)
            dropped += 1
    return dropped
