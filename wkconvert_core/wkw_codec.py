"""The WKW shard: blocks in Morton order, encoded quickly, decoded strictly. No file system here.

Facts of the format, as `wkw` 1.1 reads and writes it. A shard's file begins with the 16 bytes of `wkw_header`. It holds
file_len^3 blocks of block_len^3 voxels in Morton order: x gives the lowest bit, then y, then z. In a block the channel
runs fastest, then x, y, z. Raw blocks follow the header. Compressed ones, LZ4 blocks without a frame, follow a jump
table: for every block a u64, little endian, where it ends in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import groupby, pairwise, product
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import lz4.block
import numpy as np

from wkconvert_core.errors import DamagedData
from wkconvert_core.geometry import Box, Vec3, ceil_div
from wkconvert_core.wkw_header import HEADER_BYTES, Buffer, Header, expect

if TYPE_CHECKING:
    from wkconvert_core.model import Array, DType

__all__ = ["HC_LEVELS", "Header", "Shard", "decode_shard", "empty_voxels", "encode_blocks", "encode_shard"]

Fetch: TypeAlias = Callable[[int, int], Buffer]
"""`fetch(start, stop)` gives exactly these bytes of a shard's file."""

HC_LEVELS = range(1, 13)
"""The levels of lz4hc."""
HC_LEVEL = 4
"""Unless another is asked for: 6 takes twice as long to make labels a fifth smaller, and images no smaller at all."""

PART_BYTES = 2 << 20
"""Bytes of voxels that are read at a time where they need not be read together."""

_MAX_LZ4_RATIO = 255


def encode_shard(data: Array, header: Header, start: Vec3 = (0, 0, 0), level: int | None = None) -> list[Buffer]:
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
            pieces[_morton(x, y, z)] = block
    return _file_of(pieces, header)


def encode_blocks(parts: Iterable[Array], header: Header, level: int | None = None) -> list[Buffer]:
    """Encode a whole shard from its blocks, some at a time, as `Shard.blocks` gives them; the file is the same."""
    encoder = _Encoder(header, level)
    return _file_of(
        [block for part in parts for block in encoder.encode(part.astype(_stored(header), copy=False))], header
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


def _layer_of_blocks(rows: Array, header: Header, start: Vec3, z: int) -> Array | None:
    """The blocks that are `z`th along z, as an array [block, word], x fastest; None if `rows[z, y, x, c]` has none."""
    n, count, side = header.block_len, header.file_len, header.side
    begin = z * n - start[2]
    part = rows[max(begin, 0) : max(begin + n, 0)]
    if part.size == 0:
        return None
    if part.shape[:3] != (n, side, side):
        corner = (max(-begin, 0), start[1], start[0])
        padded = np.zeros((n, side, side, header.channels), header.dtype)
        _copy(padded[tuple(slice(a, a + k) for a, k in zip(corner, part.shape[:3], strict=True))], part)
        part = padded
    blocks = np.empty((1, count, count, n, n, n, header.channels), header.dtype)
    _copy(blocks, _in_blocks(part, 1, count, count))
    return blocks.reshape(count * count, -1).astype(_stored(header), copy=False)


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
        for x, y, z in sorted(product(*axes), key=lambda group: _morton(*(segment.blocks[0] for segment in group))):
            blocks = self._blocks(x.blocks, y.blocks, z.blocks)
            to = _in_blocks(rows[z.to, y.to, x.to], len(z.blocks), len(y.blocks), len(x.blocks))
            _copy(to, blocks[..., z.of, y.of, x.of, :])

    def check(self) -> None:
        """Decode every block once, in the order of the file, and keep none. Raises DamagedData."""
        for numbers in parts_of(range(self.header.blocks), self.header):
            for number, piece in zip(numbers, self.pieces(numbers), strict=True):
                self.decode(number, piece)

    def _blocks(self, x: range, y: range, z: range) -> Array:
        """Decode the blocks in these columns, rows and layers: `[z', y', x', z, y, x, c]`, first by block."""
        blocks = self.blocks([_morton(i, j, k) for k in z for j in y for i in x])
        return blocks.reshape(len(z), len(y), len(x), *(self.header.block_len,) * 3, self.header.channels)

    def blocks(self, numbers: Sequence[int]) -> Array:
        """Decode some blocks of rising numbers: `[block, voxel]`; c runs fastest among the voxels, then x, y, z."""
        if self.header.block_type == "raw":
            data = b"".join([run for _, run in self._runs(numbers)])
        else:
            data = b"".join([self.decode(*block) for block in zip(numbers, self.pieces(numbers), strict=True)])
        return np.frombuffer(data, _stored(self.header)).astype(self.header.dtype, copy=False).reshape(len(numbers), -1)

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


def parts_of(numbers: range, header: Header) -> Iterator[range]:
    """The same numbers, as many blocks at a time as stay in the cache."""
    size = max(1, PART_BYTES // header.block_bytes)
    return (numbers[first : first + size] for first in range(0, len(numbers), size))


def run_of_blocks(box: Box, header: Header) -> range:
    """The numbers of the blocks in a cube of a shard: a power of two of them a side, and aligned to its side."""
    first = _morton(*(a // header.block_len for a in box.start))
    return range(first, first + box.volume // header.block_len**3)


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


def empty_voxels(shape: Vec3, header: Header) -> Array:
    """An array `[c, x, y, z]` to be filled, in the memory order that is quickest here: c fastest, then x, y, z."""
    return np.empty((*reversed(shape), header.channels), header.dtype).T


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


def _stored(header: Header) -> DType:
    return header.dtype.newbyteorder("<")


def _in_blocks(voxels: Array, z: int, y: int, x: int) -> Array:
    """Voxels [z, y, x, c] cut into so many blocks along each axis: [z', y', x', z, y, x, c]; the same memory."""
    depth, height, width, channels = voxels.shape
    cut = voxels.reshape(z, depth // z, y, height // y, x, width // x, channels)
    return cut.transpose(0, 2, 4, 1, 3, 5, 6)


def _copy(to: Array, of: Array) -> None:
    """Copy voxels [..., z, y, x, c], several times as fast as numpy does when left alone.

    Where a row along x is one piece of memory in both arrays, it is copied as one element. Otherwise a few columns of
    one channel are copied at a time: all at once, the copy would leave the cache between two neighbours.
    """
    if _has_rows(to) and _has_rows(of):
        _in_rows(to)[...] = _in_rows(of)
        return
    width = to.shape[-2]
    step = 8 if abs(of.strides[-2]) > abs(of.strides[-4]) else width
    for channel, x in product(range(to.shape[-1]), range(0, width, step)):
        to[..., x : x + step, channel] = of[..., x : x + step, channel]


def _has_rows(voxels: Array) -> bool:
    """Whether x and c of voxels [..., x, c] lie side by side in memory."""
    return bool(voxels[(0,) * (voxels.ndim - 2)].flags.c_contiguous)


def _in_rows(voxels: Array) -> Array:
    """Voxels [..., x, c] that have rows, with every row as one element; the same memory."""
    *outer, width, channels = voxels.shape
    return voxels.reshape(*outer, width * channels).view(f"V{width * channels * voxels.itemsize}")


def _morton(x: int, y: int, z: int) -> int:
    """The number of a block: the bits of its place interleaved."""
    return _spread(z) << 2 | _spread(y) << 1 | _spread(x)


@cache
def _spread(number: int) -> int:
    """The number with two zero bits before each of its bits: its binary digits, read as octal ones."""
    return int(f"{number:b}", 8)
