"""Whether two mags hold the same voxels in a cube, by comparing their blocks: no voxel is put in order.

A cube whose side is a power of two of blocks, and which is aligned to its side, is a run of consecutive blocks in any
shard that holds it, in the same order whatever the shard's length.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from wkconvert_core.contract.errors import DamagedData
from wkconvert_core.contract.geometry import Box, minus
from wkconvert_core.formats.wkw.blocks import run_of_blocks
from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.source import Fetching, WkwSource, locate, size_of


def comparable(a: WkwSource, b: WkwSource, side: int) -> bool:
    """Whether cubes of this side, in voxels, are runs of blocks of the same shape and dtype in both mags."""
    ours, theirs = a.header, b.header
    return (
        ours.has_blocks_of(theirs) and ours.block_len <= side <= min(ours.side, theirs.side) and side & (side - 1) == 0
    )


def have_same_blocks(a: WkwSource, b: WkwSource, cube: Box) -> bool:
    """Whether a cube, in voxels of the dataset, is sound and the same in both mags. Both must be `comparable`.

    False means that the voxels have to be compared: blocks may differ beyond the extent, and damage counts as a
    difference, so that reading the voxels says what is wrong.
    """
    with contextlib.ExitStack() as stack:
        try:
            ours, theirs = (stack.enter_context(_opened(source, cube)) for source in (a, b))
            if ours is None or theirs is None:
                return ours is theirs
            return _same(ours, _blocks(a, cube), theirs, _blocks(b, cube))
        except (OSError, DamagedData):
            return False


def _blocks(source: WkwSource, cube: Box) -> range:
    """Numbers of the cube's blocks in its shard."""
    corner = locate(source.folder, cube.start, source.header.side)[1]
    return run_of_blocks(cube.shifted(minus(corner)), source.header)


def _same(a: Shard, numbers: range, b: Shard, others: range) -> bool:
    """Whether blocks hold the same voxels. One of two equal encodings is decoded, too, so that damage is seen."""
    same_type = a.header.block_type == b.header.block_type
    for i, ours, k, theirs in zip(numbers, a.pieces(numbers), others, b.pieces(others), strict=True):
        decoded = bytes(a.decode(i, ours))
        if not (same_type and bytes(ours) == bytes(theirs)) and decoded != bytes(b.decode(k, theirs)):
            return False
    return True


@contextlib.contextmanager
def _opened(source: WkwSource, cube: Box) -> Iterator[Shard | None]:
    """The shard that holds a cube; None if it does not exist. Raises OSError, DamagedData."""
    path = locate(source.folder, cube.start, source.header.side)[0]
    if not os.path.lexists(path):
        yield None
        return
    with path.open("rb") as file:
        yield Shard(Fetching(file), size_of(file), source.header)
