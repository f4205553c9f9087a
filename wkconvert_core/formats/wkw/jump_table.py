"""The jump table of a WKW shard: for every block, in Morton order, the offset in the file at which it ends.

It stands between the header and the blocks, as little-endian u64. Shards of raw blocks, all of one size, have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from wkconvert_core.contract.errors import DamagedData
from wkconvert_core.contract.numbers import ceil_div
from wkconvert_core.formats.wkw.header import HEADER_BYTES, Buffer, Header, expect

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

Fetch: TypeAlias = Callable[[int, int], Buffer]
"""`fetch(start, stop)` returns exactly these bytes of a shard's file."""

_MAX_LZ4_RATIO = 255


def jump_table(header: Header, lengths: Sequence[int]) -> bytes:
    """The table of a shard with this header and encoded blocks of these lengths, in bytes."""
    return (header.data_offset + np.cumsum(lengths)).astype("<u8").tobytes()


def block_bounds(header: Header, fetch: Fetch, size: int) -> Array:
    """Offsets of the blocks in a shard's file of `size` bytes: block n ends where n + 1 begins. Raises DamagedData."""
    if header.block_type == "raw":
        whole = header.data_offset + header.blocks * header.block_bytes
        expect(size == whole, f"the file has {size} bytes; with raw blocks it must have {whole}")
        return np.arange(header.data_offset, size + 1, header.block_bytes)
    least, most = ceil_div(header.block_bytes, _MAX_LZ4_RATIO), header.block_bytes + header.block_bytes // 255 + 16
    expect(
        size >= header.data_offset + header.blocks * least,
        f"the file has {size} bytes, too few for {header.blocks} blocks of {header.block_bytes} bytes",
    )
    ends = np.frombuffer(fetch(HEADER_BYTES, header.data_offset), "<u8")
    expect(ends[-1] == size, f"its blocks end at byte {ends[-1]}, the file at {size}")
    expect(bool(ends.max() == size), "an entry of the jump table points beyond the end of the file")
    bounds = np.concatenate(([header.data_offset], ends)).astype(np.int64)
    lengths = np.diff(bounds)
    if (wrong := (lengths < least) | (lengths > most)).any():
        number = int(wrong.argmax())
        raise DamagedData(
            f"by the jump table, block {number} has {lengths[number]} bytes",
            why=f"a block of {header.block_bytes} bytes compresses to {least} to {most}",
        )
    return bounds
