"""What a run was asked to do, what of it is done, and who holds the target: the files in `DST/.wkconvert`.

lock                     held while a run writes the dataset; the system frees it when its holder dies
LAYER.COMMAND.plan       the request: source fingerprint, options, version; another request for the layer is refused
LAYER.COMMAND.journal    a line per finished shard, while the run lasts
LAYER.COMMAND.shards     when the layer is finished: the checksum of every shard, sorted, in place of the journal
scratch/                 slabs on their way to being encoded
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from wkconvert_core.disk import write_atomically, writing
from wkconvert_core.engine import ShardDone
from wkconvert_core.errors import TargetExists, TargetLocked
from wkconvert_core.geometry import Box, Mag, Vec3

FOLDER = ".wkconvert"


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
        self.done: dict[Mag, dict[Vec3, ShardDone]] = {}

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

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Start or continue. Raises TargetExists where another request was begun."""
        if not self.is_begun:
            write_atomically(self._plan, _text(plan).encode())
        elif not self.matches(plan):
            differing = _differences(json.loads(self._plan.read_text("utf-8")), plan)
            raise TargetExists(
                f"{self._plan.parent.parent} holds the work of another command",
                why=f"it differs in {', '.join(differing)}",
                fix="run that command again to finish it, or say --overwrite, or choose another DST",
            )
        self._load()

    def found(self, mag: Mag, shard: Box) -> ShardDone | None:
        """What is recorded of a shard."""
        return self.done.get(mag, {}).get(shard.start)

    def discard(self) -> None:
        """Forget a request whose work is gone."""
        for path in (self._plan, self._journal, self._shards):
            path.unlink(missing_ok=True)

    def add(self, done: ShardDone) -> None:
        """Record a finished shard."""
        assert self._file, "begin comes first"
        self.done.setdefault(done.mag, {})[done.start] = done
        with writing(self._journal):
            self._file.write(line_of(done))
            self._file.flush()

    def finish(self) -> None:
        """Turn the journal into the sorted list of checksums; does nothing when that is there."""
        self.close()
        if not self.is_finished:
            lines = [line_of(done) for mag in sorted(self.done) for _, done in sorted(self.done[mag].items())]
            write_atomically(self._shards, b"".join(lines))
        with writing(self._journal):
            self._journal.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop writing; the journal stays for the next run."""
        if self._file:
            with contextlib.suppress(OSError):  # a full disk: what could not be flushed has been reported
                self._file.close()

    def stored_bytes(self) -> int:
        """Bytes of the shards that are recorded so far; for a journal that is not begun."""
        return sum(parsed_line(line).stored_bytes for line in self._lines())

    def _lines(self) -> list[bytes]:
        """The whole lines; one that a kill has torn does not count: that shard is written again."""
        source = self._shards if self.is_finished else self._journal
        lines = source.read_bytes().splitlines(keepends=True) if source.exists() else []
        return [line for line in lines if line.endswith(b"\n")]

    def _load(self) -> None:
        lines = self._lines()
        for done in map(parsed_line, lines):
            self.done.setdefault(done.mag, {})[done.start] = done
        with writing(self._journal):
            self._file = self._journal.open("ab")
            if not self.is_finished:
                self._file.truncate(sum(map(len, lines)))


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


def fingerprint(source: Path) -> str:
    """A digest of names, sizes and modification times of a source's visible files; their content is not read.

    A file's counts those beside it that share its stem: `brain.img` holds the voxels of `brain.hdr`.
    """
    digest = hashlib.sha256()
    for path in _files(source):
        status = path.stat()
        name = os.fsencode(path.relative_to(source.parent))
        digest.update(b"%b\0%d\0%d\n" % (name, status.st_size, status.st_mtime_ns))
    return digest.hexdigest()


def _files(source: Path) -> Iterator[Path]:
    if source.is_file():
        stem = source.name.split(".")[0]
        yield from sorted(path for path in source.parent.glob(f"{glob.escape(stem)}.*") if path.is_file())
        return
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not name.startswith("."):
                yield path
