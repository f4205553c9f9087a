"""What a run was asked to do, what of it is done, and who holds the target: the files in `DST/.wkconvert`.

lock                     held while a run writes the dataset; the system frees it when its holder dies
LAYER.COMMAND.plan       the request: source fingerprint, options, version; another request for the layer is refused
LAYER.COMMAND.journal    a line per finished shard, while the run lasts
LAYER.COMMAND.shards     when the layer is finished: the checksum of every shard, sorted, in place of the journal
LAYER.COMMAND-SUM.…      both of a finished request that another one of the same command has followed
scratch/                 slabs on their way to being encoded
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from wkconvert_core.contract.errors import DamagedData, TargetExists, TargetLocked
from wkconvert_core.contract.geometry import Mag, Vec3
from wkconvert_core.contract.model import Sink
from wkconvert_core.datasets.finished_shards import Tallied, Tally, in_order
from wkconvert_core.datasets.naming import FOLDER
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.toolkit.atomic import temporary_name, write_atomically, writing

__all__ = ["FOLDER", "Journal", "keep_record", "line_of", "locked", "parsed_line"]

T = TypeVar("T")


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold a dataset for one writer. Raises TargetLocked, TargetNotWritable."""
    from filelock import FileLock, Timeout

    lock = FileLock(target / FOLDER / "lock", timeout=0)
    with writing(target):
        (target / FOLDER).mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise TargetLocked(
                f"another run is writing {target}", fix="wait until it has ended, or write to another place"
            ) from None
    try:
        yield
    finally:
        lock.release()


class Journal:
    """The record of one layer's run."""

    def __init__(self, target: Path, layer: str, command: str) -> None:
        """Nothing is read or written yet."""
        stem = str(target / FOLDER / f"{layer}.{command}")
        self._plan, self._journal, self._shards = Path(stem + ".plan"), Path(stem + ".journal"), Path(stem + ".shards")
        self._file: BinaryIO | None = None
        self.done: dict[Mag, Tally] = {}

    @property
    def plan_file(self) -> Path:
        """Where the request is kept."""
        return self._plan

    @property
    def is_begun(self) -> bool:
        """Whether there is a plan, finished or not."""
        return self._plan.exists()

    @property
    def is_finished(self) -> bool:
        """Whether the layer was written completely."""
        return self._shards.exists()

    def matches(self, plan: Mapping[str, Any]) -> bool:
        """Whether what was begun here is this very request."""
        return self._plan.read_text("utf-8") == _text(plan)

    def is_of(self, plan: Mapping[str, Any], mags: Collection[Mag]) -> bool:
        """Whether what was finished here is this very request, for no other mags than these."""
        if not (self.is_begun and self.matches(plan)):
            return False
        try:
            return all(parsed_line(line).mag in mags for line in self._lines())
        except (ValueError, TypeError):
            return True  # `begin` tells of the line

    def begin(self, plan: Mapping[str, Any], sinks: Iterable[Sink]) -> None:
        """Start or continue what goes into these sinks. Raises TargetExists where another request was begun."""
        if not self.is_begun:
            write_atomically(self._plan, _text(plan).encode())
        elif not self.matches(plan):
            differing = _differences(json.loads(self._plan.read_text("utf-8")), plan)
            raise TargetExists(
                f"{self._plan.parent.parent} holds the work of another command",
                why=f"it differs in {', '.join(differing)}",
                fix="run that command again to finish it, or say --overwrite, or choose another DST",
            )
        self.done = {sink.spec.mag: Tally(sink.spec.box, sink.shard_shape) for sink in sinks}
        self._load()

    @property
    def finished(self) -> Tallied:
        """The shards that are done."""
        return Tallied(self.done)

    def set_aside(self) -> None:
        """Make room for another request: what was recorded of mags that may still be there is kept."""
        if self.is_begun:
            keep_record(self._plan, self._plan.parent)
        for path in (self._plan, self._journal, self._shards):
            path.unlink(missing_ok=True)

    def add(self, done: ShardDone) -> None:
        """Record a finished shard."""
        assert self._file, "begin comes first"
        self.done[done.mag].add(done)
        with writing(self._journal):
            self._file.write(line_of(done))
            self._file.flush()

    def finish(self) -> None:
        """Turn the journal into the sorted list of checksums; does nothing when that is there."""
        self.close()
        if not self.is_finished:
            write_atomically(self._shards, in_order(self._lines(), _place_of, self._shards.parent))
        with writing(self._journal):
            self._journal.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop writing; the journal stays for the next run."""
        if self._file:
            with contextlib.suppress(OSError):  # a full disk: what could not be flushed has been reported
                self._file.close()

    def stored_bytes(self) -> int:
        """Bytes of the shards that are recorded so far; for a journal that is not begun. Raises DamagedData."""
        return sum(stored for _, stored in self._each(lambda done: done.stored_bytes))

    def _lines(self) -> Iterator[bytes]:
        """The whole lines; one that a kill has torn does not count: that shard is written again."""
        source = self._shards if self.is_finished else self._journal
        if source.exists():
            with source.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))

    def _each(self, use: Callable[[ShardDone], T]) -> Iterator[tuple[int, T]]:
        """Each line's length, and what a use makes of the shard that it tells of. Raises DamagedData if it can not."""
        path = self._shards if self.is_finished else self._journal
        for number, line in enumerate(self._lines(), 1):
            try:
                used = use(parsed_line(line))
            except (AttributeError, KeyError, ValueError, TypeError) as error:
                raise DamagedData(
                    f"line {number} of {path} tells of no shard of this run",
                    why=f"{line[:200]!r}: {error}",
                    fix=f"remove {path}: its shards are written again",
                ) from None
            yield len(line), used

    def _load(self) -> None:
        length = sum(length for length, _ in self._each(lambda done: self.done[done.mag].add(done)))
        with writing(self._journal):
            self._file = self._journal.open("ab")
            if not self.is_finished:
                self._file.truncate(length)


def keep_record(plan: Path, folder: Path) -> None:
    """Copy a finished request's plan and checksums into a dataset's folder of records, under a name of their own."""
    shards = plan.with_suffix(".shards")
    name = f"{plan.stem}-{zlib.crc32(shards.read_bytes(), zlib.crc32(plan.read_bytes())):08x}"
    for path in (shards, plan):  # in this order: a plan alone is one that is not finished
        temporary = temporary_name(folder / path.name)
        shutil.copy2(path, temporary)  # with its time: of two records of a mag, the newer one holds
        temporary.replace(folder / f"{name}{path.suffix}")


def _place_of(line: bytes) -> tuple[Mag, Vec3]:
    done = parsed_line(line)
    return done.mag, done.start


def line_of(done: ShardDone) -> bytes:
    """A shard's line in a journal or a list of checksums."""
    fields = [str(done.mag), *done.start, done.checksum, done.low, done.high, done.nans, done.voxels]
    return json.dumps(fields).encode() + b"\n"


def parsed_line(line: bytes) -> ShardDone:
    """The shard that a line tells of."""
    mag, x, y, z, checksum, low, high, nans, voxels = json.loads(line)
    return ShardDone(Mag.parse(mag), (x, y, z), checksum, low, high, nans, voxels)


def _text(plan: Mapping[str, Any]) -> str:
    return json.dumps(plan, indent=1, sort_keys=True) + "\n"


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
