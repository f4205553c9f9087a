"""The blocks of a WKW shard: their order in the file, and how voxels are cut into them. No file access here.

A shard holds file_len^3 blocks of block_len^3 voxels in Morton order: x is the lowest bit, then y, then z. Within a
block, the channel varies fastest, then x, y, z.
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
"""Bytes of voxels that are decoded at a time where blocks are processed one after the other."""


def morton(x: int, y: int, z: int) -> int:
    """The index of a block in its shard: the bits of its position (x, y, z), counted in blocks, interleaved.

    >>> [morton(x, y, z) for z in (0, 1) for y in (0, 1) for x in (0, 1)], morton(2, 0, 0), morton(3, 5, 1)
    ([0, 1, 2, 3, 4, 5, 6, 7], 8, 143)
    """
    return _spread(z) << 2 | _spread(y) << 1 | _spread(x)


@cache
def _spread(number: int) -> int:
    """The number with two zero bits before each of its bits: its binary digits, read as octal digits."""
    return int(f"{number:b}", 8)


def parts_of(numbers: range, header: Header) -> Iterator[range]:
    """The indices of blocks in runs that stay in the cache, of about PART_BYTES."""
    size = max(1, PART_BYTES // header.block_bytes)
    return (numbers[first : first + size] for first in range(0, len(numbers), size))


def run_of_blocks(box: Box, header: Header) -> range:
    """The indices of the blocks of a cube in a shard, which Morton order makes a range.

    The cube's side must be a power of two of blocks, and the cube aligned to its side.

    >>> header = Header(32, 4, "raw", np.dtype("uint8"))
    >>> run_of_blocks(Box((64, 0, 0), (64, 64, 64)), header)
    range(8, 16)
    """
    first = morton(*(a // header.block_len for a in box.start))
    return range(first, first + box.volume // header.block_len**3)


def stored_dtype(header: Header) -> DType:
    """The dtype of voxels in the file: little endian."""
    return header.dtype.newbyteorder("<")


def empty_voxels(shape: Vec3Like, header: Header) -> Array:
    """An uninitialised array `[c, x, y, z]` in the file's order, which is fastest to fill: c fastest, then x, y, z."""
    return np.empty((*reversed(shape), header.channels), header.dtype).T


def in_blocks(voxels: Array, z: int, y: int, x: int) -> Array:
    """A view of voxels [z, y, x, c], cut into `z` x `y` x `x` blocks: [block z, block y, block x, z, y, x, c].

    >>> voxels = np.arange(8).reshape(1, 2, 4, 1)
    >>> in_blocks(voxels, 1, 1, 2)[0, 0, 1, 0, :, :, 0].tolist()  # the second block along x
    [[2, 3], [6, 7]]
    """
    depth, height, width, channels = voxels.shape
    cut = voxels.reshape(z, depth // z, y, height // y, x, width // x, channels)
    return cut.transpose(0, 2, 4, 1, 3, 5, 6)


def copy_voxels(to: Array, of: Array) -> None:
    """Copy voxels [..., z, y, x, c], several times as fast as a plain numpy assignment.

    A row along x that is contiguous in both arrays is copied as one element. Otherwise a few columns of one channel are
    copied at a time: all at once, cache lines would be evicted between two neighbouring voxels.
    """
    if _has_rows(to) and _has_rows(of):
        _in_rows(to)[...] = _in_rows(of)
        return
    width = to.shape[-2]
    step = 8 if abs(of.strides[-2]) > abs(of.strides[-4]) else width
    for channel, x in product(range(to.shape[-1]), range(0, width, step)):
        to[..., x : x + step, channel] = of[..., x : x + step, channel]


def _has_rows(voxels: Array) -> bool:
    """Whether rows of voxels [..., x, c] are contiguous in memory."""
    return bool(voxels[(0,) * (voxels.ndim - 2)].flags.c_contiguous)


def _in_rows(voxels: Array) -> Array:
    """A view of voxels [..., x, c] with contiguous rows, each row as one element."""
    *outer, width, channels = voxels.shape
    return voxels.reshape(*outer, width * channels).view(f"V{width * channels * voxels.itemsize}")
