"""Decoding WKW shards, strictly. No file access here; `encoding` describes the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise, product
from typing import TYPE_CHECKING, NamedTuple

import lz4.block
import numpy as np

from wkconvert_core.contract.errors import DamagedData
from wkconvert_core.contract.geometry import Box
from wkconvert_core.formats.wkw.blocks import copy_voxels, in_blocks, morton, parts_of, stored_dtype
from wkconvert_core.formats.wkw.header import HEADER_BYTES, Buffer, Header, expect
from wkconvert_core.formats.wkw.jump_table import Fetch, block_bounds

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


class Shard:
    """The file of one shard, read strictly: damage raises DamagedData and never turns into voxels.

    No size stated in the file is trusted before it has been checked against the size of the file.
    """

    def __init__(self, fetch: Fetch, size: int, header: Header) -> None:
        """Check header and jump table of a file of `size` bytes against the mag's `header`. Raises DamagedData."""
        self._fetch = fetch
        expect(size >= HEADER_BYTES, f"the file has {size} bytes, fewer than a header")
        self.header = found = Header.parse(fetch(0, HEADER_BYTES))
        for name in ("block_len", "file_len", "dtype", "channels"):
            theirs, ours = getattr(found, name), getattr(header, name)
            expect(theirs == ours, f"its header says {name} {theirs}, the mag's header.wkw {ours}")
        offset = found.of_shard().data_offset
        expect(
            found.data_offset == offset, f"its header says that blocks begin at byte {found.data_offset}, not {offset}"
        )
        self._bounds = block_bounds(found, fetch, size)

    def read_into(self, out: Array, box: Box) -> None:
        """Decode a box of this shard into `out[c, x, y, z]`, reading only the blocks that it overlaps."""
        # groups of up to 2 x 2 x 2 blocks, in the order of the file
        rows = out.T
        axes = [_segments(a, length, self.header.block_len) for a, length in zip(box.start, box.shape, strict=True)]
        for x, y, z in sorted(product(*axes), key=lambda group: morton(*(segment.blocks[0] for segment in group))):
            counts = len(z.blocks), len(y.blocks), len(x.blocks)
            blocks = self.blocks([morton(i, j, k) for k in z.blocks for j in y.blocks for i in x.blocks])
            blocks = blocks.reshape(*counts, *(self.header.block_len,) * 3, self.header.channels)
            copy_voxels(in_blocks(rows[z.to, y.to, x.to], *counts), blocks[..., z.of, y.of, x.of, :])

    def check(self) -> None:
        """Decode every block once, in the order of the file, and discard it. Raises DamagedData."""
        for numbers in parts_of(range(self.header.blocks), self.header):
            for number, piece in zip(numbers, self.pieces(numbers), strict=True):
                self.decode(number, piece)

    def blocks(self, numbers: Sequence[int]) -> Array:
        """Decode blocks of increasing indices: `[block, voxel]`; within a block c varies fastest, then x, y, z."""
        if self.header.block_type == "raw":
            data = b"".join([run for _, run in self._runs(numbers)])
        else:
            data = b"".join([self.decode(*block) for block in zip(numbers, self.pieces(numbers), strict=True)])
        voxels = np.frombuffer(data, stored_dtype(self.header)).astype(self.header.dtype, copy=False)
        return voxels.reshape(len(numbers), -1)

    def pieces(self, numbers: Sequence[int]) -> Iterator[Buffer]:
        """The encoded bytes of blocks of increasing indices."""
        for bounds, run in self._runs(numbers):
            data = memoryview(run)
            for start, stop in pairwise(bounds):
                yield data[start - bounds[0] : stop - bounds[0]]

    def _runs(self, numbers: Sequence[int]) -> Iterator[tuple[list[int], Buffer]]:
        """Fetch blocks that are adjacent in the file together: their bounds in the file, and the bytes."""
        # adjacent ones are those whose index grows in step with their place in the list
        for _, run in groupby(enumerate(numbers), lambda item: item[1] - item[0]):
            wanted = [number for _, number in run]
            bounds = self._bounds[wanted[0] : wanted[-1] + 2].tolist()
            yield bounds, self._fetch(bounds[0], bounds[-1])

    def decode(self, number: int, piece: Buffer) -> Buffer:
        """Decompress one block to the bytes of its voxels. Raises DamagedData."""
        size = self.header.block_bytes
        if self.header.block_type == "raw":
            return piece
        try:
            block: bytes = lz4.block.decompress(piece, uncompressed_size=size)
        except lz4.block.LZ4BlockError as error:
            raise DamagedData(f"block {number} does not decompress", why=str(error)) from None
        if len(block) != size:
            raise DamagedData(f"block {number} decompresses to {len(block)} bytes, not to {size}")
        return block


class _Segment(NamedTuple):
    """Adjacent blocks along an axis that are decoded together: two whole ones, or one, whole or in part."""

    blocks: range
    """Their positions along the axis, counted in blocks."""
    to: slice
    """Where their voxels go in the output."""
    of: slice
    """The voxels to take of each block."""


def _segments(start: int, length: int, n: int) -> list[_Segment]:
    """Cut an interval of voxels into segments of blocks of `n` voxels; pairs of blocks that are adjacent in the file.

    With pairs along each axis, blocks are copied by eights: worth the call of a copy, and still in the cache.

    >>> [list(segment.blocks) for segment in _segments(start=40, length=120, n=32)]
    [[1], [2, 3], [4]]
    """
    segments: list[_Segment] = []
    at, stop = start, start + length
    while at < stop:
        first = at // n
        count = 2 if at % (2 * n) == 0 and at + 2 * n <= stop else 1
        end = min((first + count) * n, stop)
        of = slice(at - first * n, min(end - first * n, n))
        segments.append(_Segment(range(first, first + count), slice(at - start, end - start), of))
        at = end
    return segments
