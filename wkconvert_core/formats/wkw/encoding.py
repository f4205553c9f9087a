"""Encoding WKW shards, quickly. No file system here.

A shard's file begins with the 16 bytes of `wkw_header`. Raw blocks follow the header. Compressed ones, LZ4 blocks
without a frame, follow a jump table: for every block a u64, little endian, where it ends in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import lz4.block
import numpy as np

from wkconvert_core.contract.geometry import Vec3Like
from wkconvert_core.formats.wkw.blocks import copy_voxels, in_blocks, morton, stored_dtype
from wkconvert_core.formats.wkw.header import Buffer, Header

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

HC_LEVELS = range(1, 13)
"""The levels of lz4hc."""
HC_LEVEL = 4
"""Unless another is asked for: 6 takes twice as long to make labels a fifth smaller, and images no smaller at all."""


def encode_shard(data: Array, header: Header, start: Vec3Like = (0, 0, 0), level: int | None = None) -> list[Buffer]:
    """Encode a whole shard from `data[c, x, y, z]`; returns the pieces that make up its file, in order.

    `data` begins at voxel `start` of the shard; what it does not cover is zero. `level` is for lz4hc. The same voxels
    give the same bytes, whatever the memory order of `data`; x fastest (with c before it, if there are several) is the
    quickest. Beside `data` and the result this takes the memory of two layers of blocks.
    """
    if data.dtype != header.dtype or data.ndim != 4 or data.shape[0] != header.channels:
        raise ValueError(f"an array {data.shape} of {data.dtype} is not {header.channels} channels of {header.dtype}")
    if min(start) < 0 or any(a + n > header.side for a, n in zip(start, data.shape[1:], strict=True)):
        raise ValueError(f"an array {data.shape} at {start} reaches out of a shard of {header.side}^3 voxels")
    encoder = _Encoder(header, level)
    pieces: list[Buffer] = [b""] * header.blocks
    for z in range(header.file_len):
        blocks = encoder.encode(_layer_of_blocks(data.T, header, start, z))
        for (y, x), block in zip(product(range(header.file_len), repeat=2), blocks, strict=True):
            pieces[morton(x, y, z)] = block
    return _file_of(pieces, header)


def encode_blocks(parts: Iterable[Array], header: Header, level: int | None = None) -> list[Buffer]:
    """Encode a whole shard from its blocks, some at a time, as `Shard.blocks` gives them; the file is the same."""
    encoder = _Encoder(header, level)
    return _file_of(
        [block for part in parts for block in encoder.encode(part.astype(stored_dtype(header), copy=False))], header
    )


def _file_of(pieces: list[Buffer], header: Header) -> list[Buffer]:
    """A shard's file, from its encoded blocks in Morton order."""
    shard = header.of_shard()
    if header.block_type == "raw":
        return [shard.pack(), *pieces]
    ends = shard.data_offset + np.cumsum([len(piece) for piece in pieces])
    return [shard.pack(), ends.astype("<u8").tobytes(), *pieces]


class _Encoder:
    """Encodes the blocks of one shard; blocks of a single value only once."""

    def __init__(self, header: Header, level: int | None) -> None:
        self._header = header
        self._known: dict[int, Buffer] = {}
        self._encode: Callable[[Array], Buffer] = partial(lz4.block.compress, store_size=False)
        if header.block_type == "raw":
            self._encode = lambda block: block.data.cast("B")
        elif header.block_type == "lz4hc":
            level = HC_LEVEL if level is None else level
            self._encode = partial(lz4.block.compress, store_size=False, mode="high_compression", compression=level)

    def encode(self, layer: Array | None) -> list[Buffer]:
        """Encode a layer [block, word] of blocks; None is a layer of zeros."""
        if layer is None:
            words = self._header.block_bytes // self._header.dtype.itemsize
            zero = np.zeros(words, f"<u{self._header.dtype.itemsize}")
            return [self._uniform(zero)] * self._header.file_len**2
        layer = layer.view(f"<u{self._header.dtype.itemsize}")
        first = layer[:, 0]
        perhaps = (first == layer[:, -1]) & (first == layer[:, layer.shape[1] // 2])
        return [
            self._uniform(block) if sampled and (block == block[0]).all() else self._encode(block)
            for block, sampled in zip(layer, perhaps.tolist(), strict=True)
        ]

    def _uniform(self, block: Array) -> Buffer:
        value = int(block[0])
        if value not in self._known:
            self._known[value] = self._encode(block)
        return self._known[value]


def _layer_of_blocks(rows: Array, header: Header, start: Vec3Like, z: int) -> Array | None:
    """The blocks that are `z`th along z, as an array [block, word], x fastest; None if `rows[z, y, x, c]` has none."""
    n, count, side = header.block_len, header.file_len, header.side
    begin = z * n - start[2]
    part = rows[max(begin, 0) : max(begin + n, 0)]
    if part.size == 0:
        return None
    if part.shape[:3] != (n, side, side):
        corner = (max(-begin, 0), start[1], start[0])
        padded = np.zeros((n, side, side, header.channels), header.dtype)
        copy_voxels(padded[tuple(slice(a, a + k) for a, k in zip(corner, part.shape[:3], strict=True))], part)
        part = padded
    blocks = np.empty((1, count, count, n, n, n, header.channels), header.dtype)
    copy_voxels(blocks, in_blocks(part, 1, count, count))
    return blocks.reshape(count * count, -1).astype(stored_dtype(header), copy=False)
