"""Whether two mags hold the same in a cube, told from their blocks: no voxel has to be put in order for that.

A cube whose side is a power of two of blocks, aligned to its side, is a run of blocks in the file of any shard that
holds it, in the same order whatever the shard's length.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from wkconvert_core.contract.errors import DamagedData
from wkconvert_core.contract.geometry import Box
from wkconvert_core.formats.wkw.blocks import run_of_blocks
from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.source import Fetching, WkwSource, locate, size_of


def comparable(a: WkwSource, b: WkwSource, side: int) -> bool:
    """Whether cubes of this side are runs of like blocks in both mags."""
    ours, theirs = a.header, b.header
    return (
        ours.has_blocks_of(theirs) and ours.block_len <= side <= min(ours.side, theirs.side) and side & (side - 1) == 0
    )


@dataclass(frozen=True)
class Alike:
    """A task: look at a cube, which `comparable` allows."""

    a: WkwSource
    b: WkwSource
    box: Box
    """What of it lies in the extent."""
    side: int

    @property
    def cube(self) -> Box:
        """All of it, in the dataset."""
        return self.box.aligned((self.side,) * 3)

    def __call__(self) -> tuple[Box, bool]:
        """The box, and whether the whole cube is sound and the same in both; False: it has to be looked at."""
        return self.box, self._alike()

    def _alike(self) -> bool:
        with contextlib.ExitStack() as stack:
            try:
                ours, theirs = (stack.enter_context(_opened(source, self.cube)) for source in (self.a, self.b))
                if ours is None or theirs is None:
                    return ours is theirs
                return _same(ours, self._numbers(self.a), theirs, self._numbers(self.b))
            except (OSError, DamagedData):
                return False  # reading the voxels will say what is wrong

    def _numbers(self, source: WkwSource) -> range:
        """The cube's blocks in a source's shard."""
        side = source.header.side
        return run_of_blocks(self.cube - locate(source.folder, self.cube.start, side)[1], source.header)


def _same(a: Shard, numbers: range, b: Shard, others: range) -> bool:
    """Whether blocks hold the same; both are decoded, so that damage is seen, unless they are the same bytes."""
    same_type = a.header.block_type == b.header.block_type
    for i, ours, k, theirs in zip(numbers, a.pieces(numbers), others, b.pieces(others), strict=True):
        decoded = bytes(a.decode(i, ours))
        if not (same_type and bytes(ours) == bytes(theirs)) and decoded != bytes(b.decode(k, theirs)):
            return False
    return True


@contextlib.contextmanager
def _opened(source: WkwSource, cube: Box) -> Iterator[Shard | None]:
    """The shard in which a cube lies; None where there is none. Raises OSError, DamagedData."""
    path = locate(source.folder, cube.start, source.header.side)[0]
    if not os.path.lexists(path):
        yield None
        return
    with path.open("rb") as file:
        yield Shard(Fetching(file), size_of(file), source.header)
