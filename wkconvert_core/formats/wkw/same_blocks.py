"""Whether two mags hold the same voxels in a cube, by comparing their blocks: no voxel is put in order.

A cube whose side is a power of two of blocks, and which is aligned to its side, is a run of consecutive blocks in any
shard that holds it, in the same order whatever the shard's length.
"""

from __future__ import annotations

from typing import TypeAlias

from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.header import Header

Blocks: TypeAlias = "tuple[Shard, range] | None"
"""A shard and the numbers of some of its blocks; None where there is no shard, so that all is 0."""


def comparable(a: Header, b: Header, side: int) -> bool:
    """Whether cubes of `side` voxels are runs of like blocks in mags with these headers."""
    return a.has_blocks_of(b) and a.block_len <= side <= min(a.side, b.side) and side & (side - 1) == 0


def hold_the_same(a: Blocks, b: Blocks) -> bool:
    """Whether blocks hold the same. Both are decoded, so that damage is seen. Raises DamagedData."""
    if a is None or b is None:
        return a is b  # a shard of zeros beside none: comparing voxels tells
    (ours, numbers), (theirs, others) = a, b
    same_type = ours.header.block_type == theirs.header.block_type
    for i, one, k, other in zip(numbers, ours.pieces(numbers), others, theirs.pieces(others), strict=True):
        decoded = bytes(ours.decode(i, one))
        if not (same_type and bytes(one) == bytes(other)) and decoded != bytes(theirs.decode(k, other)):
            return False
    return True
