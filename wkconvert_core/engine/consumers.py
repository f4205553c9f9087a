"""Comparing what was written with what it was made of: a sink that compares instead of writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.abilities import occupied_of, omits_of
from wkconvert_core.contract.errors import DamagedData
from wkconvert_core.contract.geometry import Box, Vec3Like
from wkconvert_core.contract.model import Checksum, MagSpec, Sink, Source

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class Verifying:
    """Wraps a finished sink; writing a shard means: it holds these voxels already."""

    inner: Sink

    @property
    def spec(self) -> MagSpec:
        """What was written."""
        return self.inner.spec

    @property
    def shard_shape(self) -> Vec3Like:
        """The inner one's."""
        return self.inner.shard_shape

    def has(self, box: Box) -> bool:
        """Whether the shard is there."""
        return self.inner.has(box)

    def omits(self, box: Box) -> bool:
        """Whether nothing is there, and that means 0."""
        occupied, omits = occupied_of(self.inner.source()), omits_of(self.inner)
        return bool(occupied and omits and omits(box) and not occupied(box - self.spec.box.start))

    def write(self, box: Box, data: Array) -> Checksum:
        """Compare voxels `[c, x, y, z]`. Raises DamagedData naming the first that differs."""
        found = self.inner.source().read(box - self.spec.box.start)
        if not np.array_equal(found, data, equal_nan=data.dtype.kind == "f"):
            same = (found == data) | (found != found) & (data != data)  # NaN is NaN
            c, *where = (int(index[0]) for index in np.nonzero(~same))
            place = ", ".join(f"{axis} {w + s}" for axis, w, s in zip("xyz", where, box.start, strict=True))
            raise DamagedData(
                f"layer {self.spec.layer}, mag {self.spec.mag} does not hold what was written, first at {place}",
                why=f"channel {c} is {found[(c, *where)]} instead of {data[(c, *where)]}",
                fix="convert again with --overwrite, and check the disk and the memory of this machine",
            )
        return Checksum(0, 0)

    def source(self) -> Source:
        """What was written."""
        return self.inner.source()
