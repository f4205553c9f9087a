"""Reading one shard strictly and whole: every byte goes into its checksum, every block is decoded."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import BinaryIO

from wkconvert_core.contract.errors import DamagedData, ResourceError
from wkconvert_core.contract.geometry import Vec3
from wkconvert_core.contract.mag_format import ShardCheck
from wkconvert_core.contract.model import Checksum
from wkconvert_core.formats.wkw.blocks import PART_BYTES
from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.header import COMPRESSIONS, Header


def check_shard(path: Path, header: Header, start: Vec3, recorded: Checksum | None) -> ShardCheck:
    """Read a shard of a mag with this header from its first byte to its last; `recorded` is its checksum, if known.

    What is wrong with the shard is part of the result. Raises ResourceError if memory runs out.
    """
    size = 0
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _checked(file, size, header, start, recorded)
    except DamagedData as error:
        return ShardCheck(start, size, problem=f"{error.what} ({error.why})" if error.why else error.what)
    except OSError as error:
        return ShardCheck(start, size, problem=f"it cannot be read: {error.strerror or error}")
    except MemoryError:
        raise ResourceError(f"no memory left while reading {path}", fix="take fewer --jobs") from None


def _checked(file: BinaryIO, size: int, header: Header, start: Vec3, recorded: Checksum | None) -> ShardCheck:
    if recorded and size != recorded.size:
        raise DamagedData(f"it has {size} bytes; {recorded.size} were recorded")
    read = _Summing(file)
    shard = Shard(read, size, header)
    shard.check()
    if read.at != size:
        raise RuntimeError(f"{file.name}: {read.at} of {size} bytes were read")  # a bug: never call it sound
    checksum = Checksum(read.crc, size)
    if recorded and checksum != recorded:
        raise DamagedData(f"its checksum is {checksum.crc32:08x}, not {recorded.crc32:08x} as recorded")
    return ShardCheck(start, size, checksum, COMPRESSIONS[shard.header.block_type])


def check_bytes(header: Header) -> int:
    """Memory that `check_shard` takes at its peak."""
    table = 0 if header.block_type == "raw" else 8 * header.blocks
    return 8 * table + 3 * (PART_BYTES + header.block_bytes)


class _Summing:
    """Reads a file from its first byte to its last, and sums up what it reads."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.at = self.crc = 0

    def __call__(self, start: int, stop: int) -> bytes:
        assert start == self.at, "every byte once, in order"
        data = self._file.read(stop - start)
        if len(data) != stop - start:
            raise DamagedData(f"the file ended at byte {start + len(data)} while it was read")
        self.crc, self.at = zlib.crc32(data, self.crc), stop
        return data
