"""Consumers of the shards of a Sink: `WriteShards` stores them, `VerifyShards` compares them with the stored ones."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.abilities import begin_of, copy_encoded_of, occupied_of, omits_of
from wkconvert_core.contract.errors import DamagedData
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.model import Checksum, Sink, Source
from wkconvert_core.planning.step import Predicate, ShardDone
from wkconvert_core.toolkit.atomic import writing

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class _OfShards:
    """A consumer whose boxes are a sink's shards."""

    sink: Sink

    @property
    def layer(self) -> str:
        """Name of the layer."""
        return self.sink.spec.layer

    @property
    def mag(self) -> Mag:
        """The mag that the sink stores."""
        return self.sink.spec.mag

    @property
    def box(self) -> Box:
        """The extent, in voxels of the mag, where it lies in the dataset."""
        return self.sink.spec.box

    @property
    def grid(self) -> Vec3:
        """Shape of a shard."""
        return Vec3(*self.sink.shard_shape)

    @property
    def skips(self) -> Predicate | None:
        """Whether a shard of zeros need not be written, because a missing one reads as 0."""
        return omits_of(self.sink)


class WriteShards(_OfShards):
    """Writes shards, and measures the range of their values."""

    def begin(self) -> None:
        """Prepare the sink. Raises NoSpace, TargetNotWritable, TargetError."""
        if begin := begin_of(self.sink):
            with self._writing():
                begin()

    def take_encoded(self, box: Box, source: Source) -> ShardDone | None:
        """Write a shard straight from the source's encoded form; None if the sink needs its voxels.

        Raises the source's errors, NoSpace, TargetNotWritable, TargetError.
        """
        if copy := copy_encoded_of(self.sink):
            values = self._values()
            with self._writing():
                checksum = copy(box, source, values.add)
            if checksum:
                return values.done(self.mag, box, checksum)
        return None

    def __call__(self, box: Box, voxels: Array) -> ShardDone:
        """Write a shard from voxels `[c, x, y, z]`. Raises NoSpace, TargetNotWritable, TargetError."""
        with self._writing():
            checksum = self.sink.write(box, voxels)
        values = self._values()
        values.add(voxels)
        return values.done(self.mag, box, checksum)

    def _writing(self) -> AbstractContextManager[None]:
        """Sinks of plugins may leave errors of the file system to core."""
        return writing(Path(self.layer, str(self.mag)))

    def _values(self) -> _Values:
        """Nothing is measured for 8-bit color layers, whose metadata state no range of values."""
        spec = self.sink.spec
        return _Values(is_measured=not (spec.category == "color" and spec.dtype == np.uint8))


@dataclass
class _Values:
    """Range of the values of a shard, measured part by part; NaN and infinity count as no value.

    >>> values = _Values(is_measured=True)
    >>> values.add(np.array([3.0, np.nan, -2.5]))
    >>> values.add(np.array([np.nan, np.nan, 4.0]))
    >>> values.low, values.high, values.nans
    (-2.5, 4.0, 3)
    """

    is_measured: bool
    low: float | int | None = None
    """Smallest finite value so far."""
    high: float | int | None = None
    nans: int = 0

    def add(self, voxels: Array) -> None:
        """Include voxels of any shape."""
        if not self.is_measured:
            return
        if voxels.dtype.kind == "f" and not (finite := np.isfinite(voxels)).all():
            self.nans += int(np.isnan(voxels).sum())
            voxels = voxels[finite]
        if voxels.size:
            low, high = voxels.min().item(), voxels.max().item()
            self.low = low if self.low is None else min(low, self.low)
            self.high = high if self.high is None else max(high, self.high)

    def done(self, mag: Mag, box: Box, checksum: Checksum) -> ShardDone:
        """The record of a shard with these values."""
        return ShardDone(mag, box.start, checksum, self.low, self.high, self.nans, box.volume)


class VerifyShards(_OfShards):
    """Compares voxels with the shards that were written from them."""

    @property
    def skips(self) -> Predicate | None:
        """Whether a shard of zeros is missing, as it should be; one that exists is compared."""
        occupied, omits = occupied_of(self.sink.source()), super().skips
        if occupied is None or omits is None:
            return None
        return lambda box: omits(box) and not occupied(box - self.box.start)

    def __call__(self, box: Box, voxels: Array) -> int:
        """Compare voxels `[c, x, y, z]`; returns their number. Raises DamagedData naming the first that differs."""
        found = self.sink.source().read(box - self.box.start)
        if not np.array_equal(found, voxels, equal_nan=voxels.dtype.kind == "f"):
            same = (found == voxels) | (found != found) & (voxels != voxels)  # NaN equals NaN
            c, *where = (int(index[0]) for index in np.nonzero(~same))
            first = ", ".join(f"{axis} {w + s}" for axis, w, s in zip("xyz", where, box.start, strict=True))
            raise DamagedData(
                f"layer {self.layer}, mag {self.mag} does not hold what was written, first at {first}",
                why=f"channel {c} is {found[(c, *where)]} instead of {voxels[(c, *where)]}",
                fix="convert again with --overwrite, and check the disk and the memory of this machine",
            )
        return box.volume
