"""What a run was asked to do, what of it is done, and who holds the target: the files in `DST/.wkconvert`.

lock                     held while a run writes the dataset; the system frees it when its holder dies
LAYER.COMMAND.plan       the request: source fingerprint, options, version; another request for the layer is refused
LAYER.COMMAND.journal    a line per finished shard, while the run lasts
LAYER.COMMAND.shards     when the layer is finished: the checksum of every shard, sorted, in place of the journal
LAYER.COMMAND-CRC.…      plan and shards of a finished request, after another request of the same command
scratch/                 slabs on their way to being encoded
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from wkconvert_core import __version__
from wkconvert_core.contract.errors import DamagedData, TargetExists, TargetLocked
from wkconvert_core.contract.geometry import Box, Mag, Vec3, Vec3Like
from wkconvert_core.contract.model import Checksum, Sink
from wkconvert_core.datasets.finished_shards import FinishedByMag, FinishedShards, sorted_on_disk
from wkconvert_core.datasets.naming import FOLDER
from wkconvert_core.datasets.provenance import Provenance
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.toolkit.atomic import temporary_name, write_atomically, writing

__all__ = ["FOLDER", "Journal", "format_line", "keep_record", "locked", "parse_line"]

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


@dataclass(frozen=True)
class Request:
    """What identifies a run: only an identical request continues its work.

    >>> request = Request("auto", "scans/em", "5 files", {"max_mag": 4}, {"em": Box((0, 0, 0), (100, 100, 30))})
    >>> again = Request("auto", "scans/em", "6 files", {"max_mag": 8}, {"em": Box((0, 0, 0), (100, 100, 30))})
    >>> again.differences(request.text)
    ['fingerprint', 'settings']
    """

    command: str
    source: str
    """Where the voxels come from; "" for a command within a dataset."""
    fingerprint: str | Mapping[str, str]
    """Digest of the names, sizes and times of the source's files, or one per layer."""
    settings: Mapping[str, Any]
    """The settings that decide what is written."""
    extents: Mapping[str, Box]
    """Extent of each layer that is written, in mag-1 voxels."""
    provenance: Mapping[str, Mapping[Mag, Provenance]] = field(default_factory=dict)
    """How each mag is made, by layer."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else decides what is written, in JSON types."""

    @property
    def layers(self) -> list[str]:
        """Names of the layers that are written."""
        return list(self.extents)

    @property
    def text(self) -> str:
        """The content of `LAYER.COMMAND.plan`."""
        document = {
            "command": self.command,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "settings": self.settings,
            "version": __version__,
            "extents": {layer: [*box.start, *box.shape] for layer, box in self.extents.items()},
            "made": {
                layer: {str(mag): made.document for mag, made in mags.items()}
                for layer, mags in self.provenance.items()
            },
            **self.facts,
        }
        return json.dumps(document, indent=1, sort_keys=True) + "\n"

    def differences(self, text: str) -> list[str]:
        """The keys in which this request differs from the one in a plan's text."""
        old, new = json.loads(text), json.loads(self.text)
        return sorted(key for key in {*old, *new} if old.get(key) != new.get(key))


class Journal:
    """The record of one layer's run; nothing is read or written before `begin`."""

    def __init__(self, target: Path, layer: str, command: str) -> None:
        """Name the files."""
        self.plan = target / FOLDER / f"{layer}.{command}.plan"
        self._journal, self._shards = self.plan.with_suffix(".journal"), self.plan.with_suffix(".shards")
        self._file: BinaryIO | None = None
        self.done: dict[Mag, FinishedShards] = {}

    @property
    def is_begun(self) -> bool:
        """Whether there is a plan, finished or not."""
        return self.plan.exists()

    @property
    def is_finished(self) -> bool:
        """Whether the layer was written completely."""
        return self._shards.exists()

    @property
    def finished(self) -> FinishedByMag:
        """The finished shards of all mags."""
        return FinishedByMag(self.done)

    def continues(self, request: Request) -> bool:
        """Whether this very request was begun here."""
        return self.is_begun and self.plan.read_text("utf-8") == request.text

    def is_of(self, request: Request, mags: Collection[Mag]) -> bool:
        """Whether this very request was begun here, and shards of no other mags than these are recorded."""
        if not self.continues(request):
            return False
        try:
            return all(parse_line(line).mag in mags for line in self._lines())
        except (ValueError, TypeError):
            return True  # `begin` reports the malformed line

    def begin(self, request: Request, sinks: Iterable[Sink]) -> None:
        """Start or continue writing to these sinks.

        Raises TargetExists where another request was begun, DamagedData for a malformed line.
        """
        if not self.is_begun:
            write_atomically(self.plan, request.text.encode())
        elif not self.continues(request):
            differing = request.differences(self.plan.read_text("utf-8"))
            raise TargetExists(
                f"{self.plan.parent.parent} holds the work of another command",
                why=f"it differs in {', '.join(differing)}",
                fix="run that command again to finish it, or say --overwrite, or choose another DST",
            )
        self.done = {sink.spec.mag: FinishedShards(sink.spec.box, sink.shard_shape) for sink in sinks}
        length = sum(length for length, _ in self._each(lambda done: self.done[done.mag].add(done)))
        with writing(self._journal):
            self._file = self._journal.open("ab")
            if not self.is_finished:
                self._file.truncate(length)

    def add(self, done: ShardDone) -> None:
        """Record a finished shard."""
        assert self._file, "begin comes first"
        self.done[done.mag].add(done)
        with writing(self._journal):
            self._file.write(format_line(done))
            self._file.flush()

    def finish(self) -> None:
        """Turn the journal into the sorted list of checksums; does nothing where that exists."""
        self.close()
        if not self.is_finished:
            write_atomically(self._shards, sorted_on_disk(self._lines(), _shard_key, self._shards.parent))
        with writing(self._journal):
            self._journal.unlink(missing_ok=True)

    def close(self) -> None:
        """Stop writing; the journal stays for the next run."""
        if self._file:
            with contextlib.suppress(OSError):  # a full disk: what could not be flushed has been reported
                self._file.close()

    def set_aside(self) -> None:
        """Make room for another request, and keep the record of this one: some of its mags may still exist."""
        if self.is_begun:
            keep_record(self.plan, self.plan.parent)
        for path in (self.plan, self._journal, self._shards):
            path.unlink(missing_ok=True)

    def stored_bytes(self) -> int:
        """Bytes on disk of the recorded shards, also before `begin`. Raises DamagedData for a malformed line."""
        return sum(stored for _, stored in self._each(lambda done: done.stored_bytes))

    def _lines(self) -> Iterator[bytes]:
        """Complete lines. One that a kill has cut short does not count: its shard is written again."""
        source = self._shards if self.is_finished else self._journal
        if source.exists():
            with source.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))

    def _each(self, use: Callable[[ShardDone], T]) -> Iterator[tuple[int, T]]:
        """Length of each line in bytes, and the result of `use` for its shard. Raises DamagedData if either fails."""
        path = self._shards if self.is_finished else self._journal
        for number, line in enumerate(self._lines(), 1):
            try:
                used = use(parse_line(line))
            except (AttributeError, KeyError, ValueError, TypeError) as error:
                raise DamagedData(
                    f"line {number} of {path} does not describe a shard of this run",
                    why=f"{line[:200]!r}: {error}",
                    fix=f"remove {path}: its shards are written again",
                ) from None
            yield len(line), used


def keep_record(plan: Path, folder: Path) -> None:
    """Copy a finished request's plan and checksums into a folder of records, under names with a CRC of their content.

    The copies keep the time of the originals: of two records of a mag, the newer one holds.
    """
    shards = plan.with_suffix(".shards")
    name = f"{plan.stem}-{zlib.crc32(shards.read_bytes(), zlib.crc32(plan.read_bytes())):08x}"
    for path in (shards, plan):  # in this order: a plan without shards counts as unfinished
        temporary = temporary_name(folder / path.name)
        shutil.copy2(path, temporary)
        temporary.replace(folder / f"{name}{path.suffix}")


def format_line(done: ShardDone) -> bytes:
    r"""A shard's line in a journal or a list of checksums.

    >>> done = ShardDone(Mag(2, 2, 1), Vec3(32, 0, 0), Checksum(255, 4096), 2, 250, 0, 32**3)
    >>> format_line(done)
    b'["2-2-1", 32, 0, 0, "crc32:000000ff:4096", 2, 250, 0, 32768]\n'
    >>> parse_line(format_line(done)) == done
    True
    """
    fields = [str(done.mag), *done.start, str(done.checksum), done.low, done.high, done.nans, done.voxels]
    return json.dumps(fields).encode() + b"\n"


def parse_line(line: bytes) -> ShardDone:
    """Read what `format_line` gives. Raises ValueError, TypeError or AttributeError for a malformed line."""
    mag, x, y, z, checksum, low, high, nans, voxels = json.loads(line)
    return ShardDone(Mag.parse(mag), Vec3(x, y, z), Checksum.parse(checksum), low, high, nans, voxels)


def _shard_key(line: bytes) -> tuple[Mag, Vec3Like]:
    done = parse_line(line)
    return done.mag, done.start
