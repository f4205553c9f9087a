"""The file of one shard: opened to read some blocks, or checked from its first byte to its last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wkconvert_core.contract.errors import DamagedData, ResourceError
from wkconvert_core.contract.geometry import Vec3
from wkconvert_core.contract.mag_format import ShardCheck
from wkconvert_core.contract.model import Checksum
from wkconvert_core.formats.wkw.blocks import PART_BYTES
from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.header import COMPRESSIONS, Header
from wkconvert_core.toolkit.files import open_file, reason
from wkconvert_core.toolkit.shards import crc32


class _Fetching:
    """Reads byte ranges of an open file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def __call__(self, start: int, stop: int) -> bytes:
        """The bytes `start` to `stop`. Raises DamagedData if the file has become shorter meanwhile."""
        self._file.seek(start)
        data = self._file.read(stop - start)
        if len(data) != stop - start:
            raise DamagedData(f"the file ended at byte {start + len(data)} while it was read")
        return data


class _Summing(_Fetching):
    """Reads a file in order, each byte once, and computes its CRC-32."""

    at = crc = 0

    def __call__(self, start: int, stop: int) -> bytes:
        assert start == self.at, "each byte once, in order"
        data = super().__call__(start, stop)
        self.crc, self.at = crc32(data, self.crc), stop
        return data


_FIX_UNLIKE = (
    "if another program has changed the mag since, `wkconvert verify DATASET` says so of all that decodes soundly, and "
    "with --write-checksums takes it as it is; else convert it again, or restore the file from a copy"
)


class _Comparing(_Summing):
    """Reads byte ranges in any order, and holds the whole file against a checksum: most ranges come in order anyway."""

    def __init__(self, file: BinaryIO, recorded: Checksum) -> None:
        super().__init__(file)
        self._recorded = recorded
        if self.size != recorded.size:
            raise DamagedData(Checksum(0, self.size).unlike(recorded), fix=_FIX_UNLIKE)

    def __call__(self, start: int, stop: int) -> bytes:
        if start < self.at:
            return _Fetching.__call__(self, start, stop)
        self._pass(start)
        return super().__call__(start, stop)

    def finish(self) -> None:
        """Read what was not read before, and compare. Raises DamagedData."""
        self._pass(self.size)
        if problem := Checksum(self.crc, self.size).unlike(self._recorded):
            raise DamagedData(problem, fix=_FIX_UNLIKE)

    def _pass(self, stop: int) -> None:
        while self.at < stop:
            super().__call__(self.at, min(stop, self.at + PART_BYTES))


@contextmanager
def open_shard(path: Path, header: Header, recorded: Checksum | None = None) -> Iterator[Shard]:
    """A shard of a mag with this header, readable inside the context. Raises OSError, DamagedData.

    With a recorded checksum, the whole file has been held against it when the context ends without an error: the bytes
    that pass anyway, and the others.
    """
    with open_file(path) as file:
        if recorded is None:
            fetch = _Fetching(file)
            yield Shard(fetch, fetch.size, header)
        else:
            comparing = _Comparing(file, recorded)
            yield Shard(comparing, comparing.size, header)
            comparing.finish()


def check_shard(path: Path, header: Header, start: Vec3, recorded: Checksum | None) -> ShardCheck:
    """Read a shard completely, decode every block, and compare its checksum with the recorded one, if there is one.

    `start` is the shard's first voxel in the dataset, for the result. A fault is part of the result. Raises
    ResourceError if memory runs out.
    """
    size = 0
    try:
        with open_file(path) as file:
            fetch = _Summing(file)
            size = fetch.size
            shard = Shard(fetch, size, header)
            shard.check()
            checksum = Checksum(fetch.crc, fetch.at)
            if fetch.at != size:  # a bug of ours, which must not pass for a sound shard
                raise RuntimeError(f"{path}: {fetch.at} of {size} bytes were read")
    except DamagedData as error:
        problem = f"{error.what} ({error.why})" if error.why else error.what
        if recorded and size != recorded.size:
            problem = f"{Checksum(0, size).unlike(recorded)}: {problem}"
        return ShardCheck(start, size, problem=problem)
    except OSError as error:
        return ShardCheck(start, size, problem=f"it cannot be read: {reason(error)}")
    except MemoryError:
        raise ResourceError(f"no memory left while reading {path}", fix="take fewer --jobs") from None
    problem = checksum.unlike(recorded) if recorded else ""
    return ShardCheck(start, size, checksum, COMPRESSIONS[shard.header.block_type], problem)


def check_bytes(header: Header) -> int:
    """Peak memory of `check_shard`, in bytes: the jump table in its several forms, and a few parts of blocks."""
    table = 0 if header.block_type == "raw" else 8 * header.blocks
    return 8 * table + 3 * (PART_BYTES + header.block_bytes)
