"""Which shards of a mag are done, and what they add up to: a few bits for each, because a petabyte has millions."""

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
"""Lines that are sorted in memory."""


@dataclass
class Tally:
    """The shards of one mag."""

    box: Box
    """The mag's extent."""
    shape: Vec3Like
    """Of a shard."""
    low: float | int | None = None
    """Smallest finite value so far."""
    high: float | int | None = None
    nans: int = 0
    stored_bytes: int = 0
    count: int = 0
    _grid: Box = field(init=False)
    _there: bytearray = field(init=False)
    _known: bytearray = field(init=False)
    """Those that are added up: one that has to be written again is the same again."""

    def __post_init__(self) -> None:
        """Nothing is done."""
        self._grid = self.box.coarsened(self.shape)
        self._there, self._known = (bytearray(-(-self._grid.volume // 8)) for _ in range(2))

    def __contains__(self, start: Vec3Like) -> bool:
        """Whether the shard that begins there is done."""
        byte, bit = self._place(start)
        return bool(self._there[byte] & bit)

    def add(self, done: ShardDone) -> None:
        """One more is done."""
        byte, bit = self._place(done.start)
        self._there[byte] |= bit
        if self._known[byte] & bit:
            return
        self._known[byte] |= bit
        self.count += 1
        self.nans += done.nans
        self.stored_bytes += done.stored_bytes
        self.low = min((value for value in (self.low, done.low) if value is not None), default=None)
        self.high = max((value for value in (self.high, done.high) if value is not None), default=None)

    def drop(self, start: Vec3Like) -> None:
        """One has to be done again."""
        byte, bit = self._place(start)
        self._there[byte] &= ~bit

    def _place(self, start: Vec3Like) -> tuple[int, int]:
        cell = Box(start, (1, 1, 1)).coarsened(self.shape)
        if cell.refined(self.shape).intersection(self.box).start != start or cell.intersection(self._grid) != cell:
            raise ValueError(f"no shard of {self.box} begins at {start}")
        (x, y, z), (left, top, front) = cell.start, self._grid.start
        width, height, _ = self._grid.shape
        number = ((z - front) * height + y - top) * width + x - left
        return number // 8, 1 << number % 8


@dataclass(frozen=True)
class Tallied(Container[tuple[Mag, Vec3Like]]):
    """The shards of all mags that are done: mags, and where the shards begin in them."""

    tallies: Mapping[Mag, Tally]

    def __contains__(self, shard: object) -> bool:
        """Whether a shard is done."""
        mag, start = cast("tuple[Mag, Vec3Like]", shard)
        return start in self.tallies[mag]


def in_order(lines: Iterable[bytes], key: Callable[[bytes], Any], folder: Path) -> Iterator[bytes]:
    """Lines sorted by a key, the last one of each; more than fit in memory wait in files in a folder."""
    runs: list[Path] = []
    with tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=folder) as place:
        rest = iter(lines)
        while chunk := list(itertools.islice(rest, SORTED_AT_A_TIME)):
            latest = {key(line): line for line in chunk}
            ordered = (latest[one] for one in sorted(latest))
            if len(chunk) < SORTED_AT_A_TIME and not runs:
                yield from ordered
                return
            run = Path(place, str(len(runs)))
            with run.open("wb") as file:
                file.writelines(ordered)
            runs.append(run)
        merged = heapq.merge(*map(_lines, runs), key=key)  # of equal ones, the first run's comes first
        yield from (list(same)[-1] for _, same in itertools.groupby(merged, key))


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file
