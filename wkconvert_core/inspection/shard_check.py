"""Reading one shard strictly and whole, as a task: every byte goes into its checksum, every block is decoded."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wkconvert_core.contract.errors import DamagedData, ResourceError
from wkconvert_core.contract.geometry import Vec3
from wkconvert_core.formats.wkw.blocks import PART_BYTES
from wkconvert_core.formats.wkw.decoding import Shard
from wkconvert_core.formats.wkw.header import Header
from wkconvert_core.planning.route import Budget


@dataclass(frozen=True)
class Checked:
    """What was found of a shard."""

    start: Vec3
    stored_bytes: int = 0
    checksum: str = ""
    """`crc32:{8 hex digits}:{bytes}`; nothing where the shard is damaged."""
    block_type: str = ""
    """As the shard's own header says it."""
    problem: str = ""
    """Why the shard is damaged; nothing if it is sound."""


@dataclass(frozen=True)
class Check:
    """A task: read a shard."""

    path: Path
    header: Header
    """The mag's."""
    start: Vec3
    recorded: str | None
    """Its checksum, if anybody recorded it."""

    def __call__(self) -> Checked:
        """Do it. What is wrong with the shard is told by the result; raises ResourceError alone."""
        size = 0
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                return self._checked(file, size)
        except DamagedData as error:
            return Checked(self.start, size, problem=_sentence(error))
        except OSError as error:
            return Checked(self.start, size, problem=f"it cannot be read: {error.strerror or error}")
        except MemoryError:
            raise ResourceError(f"no memory left while reading {self.path}", fix="take fewer --jobs") from None

    def _checked(self, file: BinaryIO, size: int) -> Checked:
        if self.recorded and size != int(self.recorded.rpartition(":")[2] or 0):
            raise DamagedData(f"it has {size} bytes; {self.recorded.rpartition(':')[2]} were recorded")
        read = _Summing(file)
        shard = Shard(read, size, self.header)
        shard.check()
        if read.at != size:
            raise RuntimeError(f"{self.path}: {read.at} of {size} bytes were read")  # a bug: never call it sound
        checksum = f"crc32:{read.crc:08x}:{size}"
        if self.recorded and checksum != self.recorded:
            raise DamagedData(
                f"its checksum is {checksum.split(':')[1]}, not {self.recorded.split(':')[1]} as recorded"
            )
        return Checked(self.start, size, checksum, shard.header.block_type)


def wrong_sizes(recorded: Iterable[tuple[Path, int]]) -> list[tuple[Path, int, int]]:
    """The files whose size is not the recorded one: path, bytes found (0 for a missing file), bytes recorded."""
    found = ((path, path.stat().st_size if path.exists() else 0, size) for path, size in recorded)
    return [(path, size, wanted) for path, size, wanted in found if size != wanted]


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


def _sentence(error: DamagedData) -> str:
    return f"{error.what} ({error.why})" if error.why else error.what


def affordable(header: Header, budget: Budget) -> int:
    """How many shards may be read side by side. Raises ResourceError where not even one."""
    table = 0 if header.block_type == "raw" else 8 * header.blocks
    each = 8 * table + 3 * (PART_BYTES + header.block_bytes) + budget.each
    count = (budget.memory - budget.base) // each
    if count < 1:
        raise ResourceError(
            f"{budget.given} is too little to read shards of {header.file_len}^3 blocks",
            fix=budget.enough(1.05 * (budget.base + each)),
        )
    return min(count, budget.workers)
