"""The header of WKW: the 16 bytes of `header.wkw`, with which every shard begins too.

Facts of the format, as `wkw` 1.1 reads and writes it; numbers are little endian:

| byte | meaning |
| --- | --- |
| 0-2 | `WKW` |
| 3 | version, 1 |
| 4 | log2(file_len) in the upper half, log2(block_len) in the lower |
| 5 | block type |
| 6 | voxel type |
| 7 | bytes per voxel, all channels together |
| 8-15 | where the first block begins; 0 in `header.wkw`, which has no blocks |
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from wkconvert_core.contract.errors import DamagedData, TargetError

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType

BlockType = Literal["raw", "lz4", "lz4hc"]
Buffer: TypeAlias = bytes | bytearray | memoryview

BLOCK_TYPES: tuple[BlockType, ...] = ("raw", "lz4", "lz4hc")
"""In the order of their numbers in the file, from 1."""
COMPRESSIONS: dict[BlockType, str] = {"raw": "none", "lz4": "lz4", "lz4hc": "lz4hc"}
"""The name of each block type for `--compression`."""
VOXEL_TYPES = ("uint8", "uint16", "uint32", "uint64", "float32", "float64", "int8", "int16", "int32", "int64")
"""The dtypes that WKW can hold, in the order of their numbers in the file, from 1."""
HEADER_BYTES = 16

_LAYOUT = struct.Struct("<3sBBBBBQ")
_POWERS = frozenset(1 << power for power in range(16))
_MAX_LZ4_INPUT = 0x7E000000
_REMEDIES = {
    "b": "say --dtype uint8",
    "f": "say --dtype float32 or --dtype float64",
    "c": "convert real and imaginary parts, or magnitudes, as layers of their own",
}
"""The remedy for a dtype that WKW cannot hold, by numpy's letter for its kind."""


@dataclass(frozen=True)
class Header:
    """The first 16 bytes of `header.wkw` and of every shard. Raises TargetError for values that WKW cannot express.

    >>> header = Header(32, 4, "lz4", np.dtype("uint16"))
    >>> header.side, header.blocks, header.block_bytes
    (128, 64, 65536)
    >>> header.pack().hex()  # WKW, version 1, lengths 2^2 and 2^5, LZ4, uint16, 2 bytes per voxel, no blocks
    '574b5701250202020000000000000000'
    >>> Header.parse(header.pack()) == header
    True
    >>> Header.parse(b"WKW" + bytes(13))
    Traceback (most recent call last):
    wkconvert_core.contract.errors.DamagedData: it says version 0; only 1 is known
    """

    block_len: int
    """Voxels along a block's side; a power of two."""
    file_len: int
    """Blocks along a shard's side; a power of two."""
    block_type: BlockType
    dtype: DType
    channels: int = 1
    data_offset: int = 0
    """Where the first block begins; 0 in `header.wkw`."""

    def __post_init__(self) -> None:
        """Check every value."""
        for name, length in (("block", self.block_len), ("shard", self.file_len)):
            if length not in _POWERS:
                raise TargetError(f"WKW has no {name} length of {length}", fix="take a power of two, 1 to 32768")
        if self.block_type not in BLOCK_TYPES:
            raise TargetError(f"WKW has no block type {self.block_type!r}", fix=f"take one of {', '.join(BLOCK_TYPES)}")
        if self.dtype.name not in VOXEL_TYPES:
            raise TargetError(
                f"WKW cannot hold voxels of dtype {self.dtype}",
                why=f"it knows {', '.join(VOXEL_TYPES)}",
                fix=_REMEDIES.get(self.dtype.kind, "convert them to one of these first"),
            )
        if not 1 <= self.voxel_bytes <= 255:
            raise TargetError(
                f"WKW cannot hold {self.channels} channels of {self.dtype} in one layer",
                why=f"a voxel has 1 to 255 bytes, all channels together; these are {self.voxel_bytes}",
                fix="choose one with --channel, or convert the channels as layers of their own",
            )
        if self.block_type != "raw" and self.block_bytes > _MAX_LZ4_INPUT:
            raise TargetError(
                f"LZ4 cannot compress a block of {self.block_len}^3 voxels",
                why=f"it has {self.block_bytes} bytes; LZ4 takes {_MAX_LZ4_INPUT}",
            )

    @property
    def side(self) -> int:
        """Voxels along a shard's side."""
        return self.block_len * self.file_len

    @property
    def blocks(self) -> int:
        """Number of blocks in a shard."""
        return self.file_len**3

    @property
    def voxel_bytes(self) -> int:
        """Bytes per voxel, all channels together."""
        return self.channels * self.dtype.itemsize

    @property
    def block_bytes(self) -> int:
        """Bytes of a block before compression."""
        return self.block_len**3 * self.voxel_bytes

    def has_blocks_of(self, other: Header) -> bool:
        """Whether equal voxels make equal blocks, before compression, in mags with these headers."""
        return (self.block_len, self.dtype, self.channels) == (other.block_len, other.dtype, other.channels)

    def of_shard(self) -> Header:
        """The header of a shard of this mag, which states where the blocks begin."""
        table = 0 if self.block_type == "raw" else 8 * self.blocks
        return replace(self, data_offset=HEADER_BYTES + table)

    def pack(self) -> bytes:
        """The 16 bytes."""
        sizes = (self.file_len.bit_length() - 1) << 4 | (self.block_len.bit_length() - 1)
        types = BLOCK_TYPES.index(self.block_type) + 1, VOXEL_TYPES.index(self.dtype.name) + 1
        return _LAYOUT.pack(b"WKW", 1, sizes, *types, self.voxel_bytes, self.data_offset)

    @classmethod
    def parse(cls, data: Buffer) -> Header:
        """Read the 16 bytes. Raises DamagedData, which names the value that makes no sense."""
        expect(len(data) == HEADER_BYTES, f"the header has {len(data)} bytes, not {HEADER_BYTES}")
        magic, version, sizes, block, voxel, voxel_bytes, offset = _LAYOUT.unpack(data)
        expect(magic == b"WKW", f"it begins with {magic!r}, not with b'WKW'")
        expect(version == 1, f"it says version {version}; only 1 is known")
        expect(1 <= block <= len(BLOCK_TYPES), f"block type {block} is none of 1 to {len(BLOCK_TYPES)}")
        expect(1 <= voxel <= len(VOXEL_TYPES), f"voxel type {voxel} is none of 1 to {len(VOXEL_TYPES)}")
        dtype = np.dtype(VOXEL_TYPES[voxel - 1])
        channels, rest = divmod(voxel_bytes, dtype.itemsize)
        expect(channels > 0 and rest == 0, f"{voxel_bytes} bytes per voxel are no whole number of {dtype}")
        try:
            return cls(1 << (sizes & 15), 1 << (sizes >> 4), BLOCK_TYPES[block - 1], dtype, channels, offset)
        except TargetError as error:
            raise DamagedData(error.what, why=error.why) from None


def expect(condition: bool, otherwise: str) -> None:
    """Raise DamagedData unless the condition holds."""
    if not condition:
        raise DamagedData(otherwise)
