"""Encoding WKW shards, fast. No file access here.

A shard's file begins with the 16 bytes of `header`. Raw blocks follow directly. Compressed blocks, LZ4 without a frame,
follow a `jump_table`.
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
from wkconvert_core.formats.wkw.jump_table import jump_table

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

HC_LEVELS = range(1, 13)
"""The compression levels of lz4hc."""
HC_LEVEL = 4
"""The default level: 6 takes twice as long, for labels a fifth smaller and images of the same size."""


def encode_shard(data: Array, header: Header, start: Vec3Like = (0, 0, 0), level: int | None = None) -> list[Buffer]:
    """Encode a whole shard from `data[c, x, y, z]`; returns the pieces that make up its file, in order.

    `data` begins at voxel `start` of the shard; voxels that it does not cover are zero. `level` is for lz4hc. The same
    voxels give the same bytes in any memory order of `data`; x fastest (after c, with several channels) is the fastest.
    Needs the memory of two layers of blocks beside `data` and the result. Raises ValueError if `data` does not fit the
    shard.

    >>> header = Header(32, 1, "raw", np.dtype("uint8"))
    >>> file = b"".join(encode_shard(np.full((1, 32, 32, 32), 7, "uint8"), header))
    >>> len(file), set(file[16:])
    (32784, {7})
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
    """Encode a whole shard from all its blocks in Morton order, in arrays as `Shard.blocks` returns; same file."""
    encoder = _Encoder(header, level)
    return _file_of(
        [block for part in parts for block in encoder.encode(part.astype(stored_dtype(header), copy=False))], header
    )


def _file_of(pieces: list[Buffer], header: Header) -> list[Buffer]:
    """Header, jump table if there is one, and the encoded blocks in Morton order."""
    shard = header.of_shard()
    if header.block_type == "raw":
        return [shard.pack(), *pieces]
    return [shard.pack(), jump_table(shard, [len(piece) for piece in pieces]), *pieces]


def _thoroughly(block: Array, level: int) -> bytes:
    """Encode a block [word] by lz4hc where that gains anything, else by lz4.

    Noise, such as most electron microscopy, takes lz4hc forty times as long as lz4 and comes out as long as it went in.
    Where lz4 gains nothing in an eighth of the block nor in all of it, lz4hc must gain something in that eighth.
    """
    fast: Callable[..., bytes] = partial(lz4.block.compress, store_size=False)
    thorough = partial(fast, mode="high_compression", compression=level)
    sample = block[len(block) // 2 : len(block) * 5 // 8]
    if len(fast(sample)) >= sample.nbytes and len(thorough(sample)) >= sample.nbytes:
        encoded = fast(block)
        if len(encoded) >= block.nbytes:
            return encoded
    return thorough(block)


class _Encoder:
    """Encodes the blocks of one shard; each distinct block of a single value only once."""

    def __init__(self, header: Header, level: int | None) -> None:
        self._header = header
        self._known: dict[int, Buffer] = {}
        self._encode: Callable[[Array], Buffer] = partial(lz4.block.compress, store_size=False)
        if header.block_type == "raw":
            self._encode = lambda block: block.data.cast("B")
        elif header.block_type == "lz4hc":
            self._encode = partial(_thoroughly, level=HC_LEVEL if level is None else level)

    def encode(self, layer: Array | None) -> list[Buffer]:
        """Encode blocks [block, word]; None stands for a layer of zeros."""
        if layer is None:
            words = self._header.block_bytes // self._header.dtype.itemsize
            zero = np.zeros(words, f"<u{self._header.dtype.itemsize}")
            return [self._uniform(zero)] * self._header.file_len**2
        layer = layer.view(f"<u{self._header.dtype.itemsize}")
        # three samples rule out most blocks that hold several values, before all of a block is compared
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
    """Layer `z` of blocks as [block, word], blocks in x, y order; None if `rows[z, y, x, c]` does not reach it."""
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
