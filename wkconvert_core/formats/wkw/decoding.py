"""Decoding WKW shards, strictly. No file system here; `wkw_encoding` tells what a shard's file is like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise, product
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import lz4.block
import numpy as np

from wkconvert_core.contract.errors import DamagedData
from wkconvert_core.contract.geometry import Box, ceil_div
from wkconvert_core.formats.wkw.blocks import copy_voxels, empty_voxels, in_blocks, morton, parts_of, stored_dtype
from wkconvert_core.formats.wkw.header import HEADER_BYTES, Buffer, Header, expect

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

Fetch: TypeAlias = Callable[[int, int], Buffer]
"""`fetch(start, stop)` gives exactly these bytes of a shard's file."""

_MAX_LZ4_RATIO = 255


class Shard:
    """The file of one shard, to be read strictly: damage raises DamagedData and never looks like voxels.

    No size in the file is believed before it has been held against the file's real one.
    """

    def __init__(self, fetch: Fetch, size: int, header: Header) -> None:
        """Check header and jump table of a file of `size` bytes against the `header` of its mag."""
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
        self._bounds = self._raw_bounds(size) if found.block_type == "raw" else self._table(size)

    def _raw_bounds(self, size: int) -> Array:
        header = self.header
        whole = header.data_offset + header.blocks * header.block_bytes
        expect(size == whole, f"the file has {size} bytes; with raw blocks it must have {whole}")
        return np.arange(header.data_offset, size + 1, header.block_bytes)

    def _table(self, size: int) -> Array:
        """Where block n begins, at index n, and ends, at n + 1."""
        header = self.header
        least, most = ceil_div(header.block_bytes, _MAX_LZ4_RATIO), header.block_bytes + header.block_bytes // 255 + 16
        expect(
            size >= header.data_offset + header.blocks * least,
            f"the file has {size} bytes, too few for {header.blocks} blocks of {header.block_bytes} bytes",
        )
        ends = np.frombuffer(self._fetch(HEADER_BYTES, header.data_offset), "<u8")
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

    def read_into(self, out: Array, box: Box) -> None:
        """Decode the voxels of a box in this shard into `out[c, x, y, z]`; reads only the blocks that it touches."""
        rows = out.T
        axes = [_segments(a, length, self.header.block_len) for a, length in zip(box.start, box.shape, strict=True)]
        for x, y, z in sorted(product(*axes), key=lambda group: morton(*(segment.blocks[0] for segment in group))):
            blocks = self._blocks(x.blocks, y.blocks, z.blocks)
            to = in_blocks(rows[z.to, y.to, x.to], len(z.blocks), len(y.blocks), len(x.blocks))
            copy_voxels(to, blocks[..., z.of, y.of, x.of, :])

    def check(self) -> None:
        """Decode every block once, in the order of the file, and keep none. Raises DamagedData."""
        for numbers in parts_of(range(self.header.blocks), self.header):
            for number, piece in zip(numbers, self.pieces(numbers), strict=True):
                self.decode(number, piece)

    def _blocks(self, x: range, y: range, z: range) -> Array:
        """Decode the blocks in these columns, rows and layers: `[z', y', x', z, y, x, c]`, first by block."""
        blocks = self.blocks([morton(i, j, k) for k in z for j in y for i in x])
        return blocks.reshape(len(z), len(y), len(x), *(self.header.block_len,) * 3, self.header.channels)

    def blocks(self, numbers: Sequence[int]) -> Array:
        """Decode some blocks of rising numbers: `[block, voxel]`; c runs fastest among the voxels, then x, y, z."""
        if self.header.block_type == "raw":
            data = b"".join([run for _, run in self._runs(numbers)])
        else:
            data = b"".join([self.decode(*block) for block in zip(numbers, self.pieces(numbers), strict=True)])
        voxels = np.frombuffer(data, stored_dtype(self.header)).astype(self.header.dtype, copy=False)
        return voxels.reshape(len(numbers), -1)

    def pieces(self, numbers: Sequence[int]) -> Iterator[Buffer]:
        """The bytes of some blocks of rising numbers."""
        for bounds, run in self._runs(numbers):
            data = memoryview(run)
            for start, stop in pairwise(bounds):
                yield data[start - bounds[0] : stop - bounds[0]]

    def _runs(self, numbers: Sequence[int]) -> Iterator[tuple[list[int], Buffer]]:
        """The bytes of the blocks that neighbour in the file, fetched together, and the bounds of each."""
        for _, run in groupby(enumerate(numbers), lambda item: item[1] - item[0]):
            wanted = [number for _, number in run]
            bounds = self._bounds[wanted[0] : wanted[-1] + 2].tolist()
            yield bounds, self._fetch(bounds[0], bounds[-1])

    def decode(self, number: int, piece: Buffer) -> Buffer:
        """The voxels' bytes of a block. Raises DamagedData."""
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


def decode_shard(data: Buffer, header: Header, box: Box | None = None) -> Array:
    """Decode a box of a shard (None: all of it) from its file's content, as an array `[c, x, y, z]`, x fastest.

    `header` is the mag's. Raises DamagedData, which says what is wrong but does not know the file's name.
    """
    view = memoryview(data)
    shard = Shard(lambda start, stop: view[start:stop], len(view), header)
    box = box or Box((0, 0, 0), (header.side,) * 3)
    out = empty_voxels(box.shape, header)
    shard.read_into(out, box)
    return out


class _Segment(NamedTuple):
    """Blocks side by side along an axis: two whole ones, or one of which perhaps not all is wanted."""

    blocks: range
    to: slice
    """Where they go."""
    of: slice
    """What is wanted of each."""


def _segments(start: int, length: int, n: int) -> list[_Segment]:
    """Cut an interval of voxels into segments of blocks of `n` voxels; two blocks where they neighbour in the file.

    So blocks are copied by eights: enough for a copy to be worth its call, and still in the cache.
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
