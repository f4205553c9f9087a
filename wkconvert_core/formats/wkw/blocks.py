"""The blocks of a WKW shard: their order in its file, and how voxels are cut into them. No file system here.

A shard holds file_len^3 blocks of block_len^3 voxels in Morton order: x gives the lowest bit, then y, then z. In a
block the channel runs fastest, then x, y, z.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.geometry import Box, Vec3Like
from wkconvert_core.formats.wkw.header import Header

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array, DType

PART_BYTES = 2 << 20
"""Bytes of voxels that are read at a time where they need not be read together."""


def morton(x: int, y: int, z: int) -> int:
    """The number of a block: the bits of its place interleaved."""
    return _spread(z) << 2 | _spread(y) << 1 | _spread(x)


@cache
def _spread(number: int) -> int:
    """The number with two zero bits before each of its bits: its binary digits, read as octal ones."""
    return int(f"{number:b}", 8)


def parts_of(numbers: range, header: Header) -> Iterator[range]:
    """The same numbers, as many blocks at a time as stay in the cache."""
    size = max(1, PART_BYTES // header.block_bytes)
    return (numbers[first : first + size] for first in range(0, len(numbers), size))


def run_of_blocks(box: Box, header: Header) -> range:
    """The numbers of the blocks in a cube of a shard: a power of two of them a side, and aligned to its side."""
    first = morton(*(a // header.block_len for a in box.start))
    return range(first, first + box.volume // header.block_len**3)


def stored_dtype(header: Header) -> DType:
    """The dtype of voxels as they are stored: little endian."""
    return header.dtype.newbyteorder("<")


def empty_voxels(shape: Vec3Like, header: Header) -> Array:
    """An array `[c, x, y, z]` to be filled, in the memory order that is quickest here: c fastest, then x, y, z."""
    return np.empty((*reversed(shape), header.channels), header.dtype).T


def in_blocks(voxels: Array, z: int, y: int, x: int) -> Array:
    """Voxels [z, y, x, c] cut into so many blocks along each axis: [z', y', x', z, y, x, c]; the same memory."""
    depth, height, width, channels = voxels.shape
    cut = voxels.reshape(z, depth // z, y, height // y, x, width // x, channels)
    return cut.transpose(0, 2, 4, 1, 3, 5, 6)


def copy_voxels(to: Array, of: Array) -> None:
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
