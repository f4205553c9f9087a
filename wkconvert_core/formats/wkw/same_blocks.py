"""Compare cubes of two mags by their blocks, without putting voxels in order.

A cube whose side is a power of two of blocks, and which is aligned to its side, is a run of consecutive blocks in any
shard that contains it, in the same order whatever the shard's length.
"""

from __future__ import annotations

from typing import TypeAlias

from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.header import Header

Blocks: TypeAlias = "tuple[Shard, range] | None"
"""A shard and the indices of some of its blocks; None for a shard that does not exist, whose voxels are 0."""


def comparable(a: Header, b: Header, side: int) -> bool:
    """Whether cubes of `side` voxels are runs of equally shaped blocks in mags with these headers.

    >>> import numpy as np
    >>> a, b = (Header(32, file_len, "lz4", np.dtype("uint8")) for file_len in (2, 8))
    >>> comparable(a, b, 64), comparable(a, b, 128)  # a cube of 128 is longer than a shard of `a`
    (True, False)
    """
    return a.has_blocks_of(b) and a.block_len <= side <= min(a.side, b.side) and side & (side - 1) == 0


def hold_the_same(a: Blocks, b: Blocks) -> bool:
    """Whether blocks hold equal voxels, however they are compressed; False if only one of the shards exists.

    All blocks are decoded, even if their bytes are equal, so that damage is found. Raises DamagedData.

    >>> import numpy as np
    >>> from wkconvert_core.formats.wkw.encoding import encode_shard
    >>> def shard(value, block_type):
    ...     header = Header(32, 1, block_type, np.dtype("uint8"))
    ...     file = b"".join(encode_shard(np.full((1, 32, 32, 32), value, "uint8"), header))
    ...     return Shard(lambda start, stop: file[start:stop], len(file), header), range(1)
    >>> hold_the_same(shard(7, "raw"), shard(7, "lz4")), hold_the_same(shard(7, "raw"), shard(8, "raw"))
    (True, False)
    """
    if a is None or b is None:
        return a is b  # the one that exists may hold zeros: comparing voxels tells
    (ours, numbers), (theirs, others) = a, b
    same_type = ours.header.block_type == theirs.header.block_type
    for i, one, k, other in zip(numbers, ours.pieces(numbers), others, theirs.pieces(others), strict=True):
        decoded = bytes(ours.decode(i, one))
        if not (same_type and bytes(one) == bytes(other)) and decoded != bytes(theirs.decode(k, other)):
            return False
    return True
