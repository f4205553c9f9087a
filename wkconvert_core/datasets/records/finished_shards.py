"""The finished shards of a mag, in two bits per shard, because a petabyte has millions of them."""

from __future__ import annotations

import heapq
import itertools
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.planning.step import ShardDone

SORTED_AT_A_TIME = 200_000
"""Number of lines that are sorted in memory."""
_PAGE_BYTES = 256
"""Bytes of bits that are allocated together."""


@dataclass(kw_only=True)
class ValueRange:
    """Smallest and largest finite value of some shards; None where no shard states any.

    >>> values = ValueRange()
    >>> values.include(None, None), values.include(-3, 7), values.include(0, 9)
    (None, None, None)
    >>> values
    ValueRange(low=-3, high=9)
    """

    low: float | int | None = None
    high: float | int | None = None

    def include(self, low: float | int | None, high: float | int | None) -> None:
        """Widen the range by another one."""
        self.low = min((value for value in (self.low, low) if value is not None), default=None)
        self.high = max((value for value in (self.high, high) if value is not None), default=None)


@dataclass
class FinishedShards(ValueRange):
    """The finished shards of one mag, and the sums over them.

    >>> from wkconvert_core import Checksum, Vec3
    >>> finished = FinishedShards(Box((5, 0, 0), (100, 64, 64)), (32, 32, 32))
    >>> finished.add(ShardDone(Mag(1, 1, 1), Vec3(32, 0, 0), Checksum(0, 4096), 2, 250, 0, 32**3))
    >>> (32, 0, 0) in finished, (5, 0, 0) in finished, finished.count, finished.high
    (True, False, 1, 250)

    The first voxel of a shard is the first one within the extent, here x = 5, then 32, 64 and 96:

    >>> (0, 0, 0) in finished
    Traceback (most recent call last):
    ValueError: no shard of x 5:105, y 0:64, z 0:64 begins at (0, 0, 0)
    """

    box: Box
    """Extent of the mag, in its voxels."""
    shape: Vec3Like
    """Shape of a shard, in voxels along x, y, z."""
    nans: int = 0
    stored_bytes: int = 0
    count: int = 0
    _grid: Box = field(init=False)
    _present: _Bits = field(init=False)
    _counted: _Bits = field(init=False)
    """Shards already included in the sums. A rewritten shard has identical contents, so it is not counted twice."""

    def __post_init__(self) -> None:
        """Begin with no shard finished."""
        self._grid = self.box.coarsened(self.shape)
        self._present, self._counted = _Bits(), _Bits()

    def __contains__(self, start: Vec3Like) -> bool:
        """Whether the shard that begins at a voxel is finished. Raises ValueError where none begins."""
        return self._number(start) in self._present

    def add(self, done: ShardDone) -> None:
        """Mark a shard as finished. Raises ValueError where none begins."""
        number = self._number(done.start)
        self._present.add(number)
        if number in self._counted:
            return
        self._counted.add(number)
        self.count += 1
        self.nans += done.nans
        self.stored_bytes += done.stored_bytes
        self.include(done.low, done.high)

    def drop(self, start: Vec3Like) -> None:
        """Mark a shard as missing, so that it is written again. Raises ValueError where none begins."""
        self._present.discard(self._number(start))

    def _number(self, start: Vec3Like) -> int:
        """A shard's number: x counts fastest, then y, then z."""
        cell = Box(start, (1, 1, 1)).coarsened(self.shape)
        if cell.refined(self.shape).intersection(self.box).start != start or cell.intersection(self._grid) != cell:
            raise ValueError(f"no shard of {self.box} begins at {start}")
        x, y, z = cell.start - self._grid.start
        width, height, _ = self._grid.shape
        return (z * height + y) * width + x


class _Bits:
    """A set of numbers, in a bit each where they lie close together: memory goes with them, not with the largest.

    A bounding box may claim any number of shards, of which few are there.

    >>> bits = _Bits()
    >>> bits.add(3), bits.add(1 << 70), bits.discard(3), bits.discard(5)
    (None, None, None, None)
    >>> [number in bits for number in (3, 5, 1 << 70)]
    [False, False, True]
    """

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def __contains__(self, number: int) -> bool:
        page, byte, bit = self._place(number)
        return page in self._pages and bool(self._pages[page][byte] & bit)

    def add(self, number: int) -> None:
        page, byte, bit = self._place(number)
        self._pages.setdefault(page, bytearray(_PAGE_BYTES))[byte] |= bit

    def discard(self, number: int) -> None:
        page, byte, bit = self._place(number)
        if page in self._pages:
            self._pages[page][byte] &= ~bit

    def _place(self, number: int) -> tuple[int, int, int]:
        byte, bit = divmod(number, 8)
        return byte // _PAGE_BYTES, byte % _PAGE_BYTES, 1 << bit


@dataclass(frozen=True)
class FinishedByMag(Container[tuple[Mag, Vec3Like]]):
    """The finished shards of all mags of a layer, each identified by its mag and its first voxel."""

    mags: Mapping[Mag, FinishedShards]

    def __contains__(self, shard: object) -> bool:
        """Whether a shard is finished."""
        mag, start = cast("tuple[Mag, Vec3Like]", shard)
        return start in self.mags[mag]


def sorted_on_disk(lines: Iterable[bytes], key: Callable[[bytes], Any], folder: Path) -> Iterator[bytes]:
    r"""Sort lines by a key; of lines with equal keys, only the last is kept.

    Memory holds `SORTED_AT_A_TIME` lines; longer input is sorted in parts, which are merged from files in `folder`.

    >>> from tempfile import gettempdir
    >>> lines = [b"2 old\n", b"1 only\n", b"2 new\n"]
    >>> list(sorted_on_disk(lines, lambda line: line[:1], Path(gettempdir())))
    [b'1 only\n', b'2 new\n']
    """
    parts: list[Path] = []
    with tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=folder) as scratch:
        rest = iter(lines)
        while chunk := list(itertools.islice(rest, SORTED_AT_A_TIME)):
            latest = {key(line): line for line in chunk}
            ordered = (latest[each] for each in sorted(latest))
            if len(chunk) < SORTED_AT_A_TIME and not parts:
                yield from ordered
                return
            part = Path(scratch, str(len(parts)))
            with part.open("wb") as file:
                file.writelines(ordered)
            parts.append(part)
        merged = heapq.merge(*map(_lines, parts), key=key)  # stable: of equal keys, the earlier part's line comes first
        yield from (list(same)[-1] for _, same in itertools.groupby(merged, key))


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file
