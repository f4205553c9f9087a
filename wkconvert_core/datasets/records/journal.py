"""The request of a run, and what of it is done: the files in `DST/.wkconvert`.

lock                     there and held while a run writes the dataset; the system frees it when its holder dies
LAYER.COMMAND.plan       the request: source fingerprint, options, version; another request for the layer is refused
LAYER.COMMAND.journal    a line per finished shard, while the run lasts
LAYER.COMMAND.shards     when the layer is finished: the checksum of every shard, sorted, in place of the journal, and
                         at the beginning the number of this list among those of the layer
LAYER.COMMAND-CRC.…      plan and shards of a finished request, after another request of the same command
scratch/                 slabs on their way to being encoded

All but the first and the last is published with the dataset, so nothing in it tells on which machine it was made, or
where there the source lies.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from wkconvert_core import __version__
from wkconvert_core.contract.errors import DamagedData, TargetExists
from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.contract.model import Sink
from wkconvert_core.datasets.naming import FOLDER
from wkconvert_core.datasets.records.finished_shards import FinishedByMag, FinishedShards, sorted_on_disk
from wkconvert_core.datasets.records.lines import (
    content_of,
    format_line,
    format_serial,
    is_bare,
    layer_and_command,
    next_serial,
    parse_line,
    parsed,
    parsed_plan,
)
from wkconvert_core.datasets.records.plan_differences import differences_told
from wkconvert_core.datasets.records.provenance import Provenance
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.toolkit.atomic import temporary_name, write_atomically, writing
from wkconvert_core.toolkit.files import exists, open_file, reading

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """The identity of a run: only an identical request continues its work.

    >>> request = Request("auto", "em", "5 files", {"max_mag": 4}, {"em": Box((0, 0, 0), (100, 100, 30))})
    >>> again = Request("auto", "em", "6 files", {"max_mag": 8}, {"em": Box((0, 0, 0), (100, 100, 30))})
    >>> again.text == request.text
    False
    """

    command: str
    source: str
    """Name of the file or folder that the voxels come from; "" for a command within a dataset."""
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

    def differences_from(self, plan: Path) -> str:
        """Name what this request changes in that of a plan, in the user's words; empty if that cannot be told."""
        old = parsed_plan(content_of(plan))
        return differences_told(old, json.loads(self.text)) if old else f"{plan} cannot be read"


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
        return exists(self.plan)

    @property
    def is_finished(self) -> bool:
        """Whether the layer was written completely."""
        return exists(self._shards)

    @property
    def finished(self) -> FinishedByMag:
        """The finished shards of all mags."""
        return FinishedByMag(self.done)

    def continues(self, request: Request) -> bool:
        """Whether this very request was begun here."""
        return self.is_begun and content_of(self.plan) == request.text.encode()

    def is_of(self, request: Request, mags: Collection[Mag]) -> bool:
        """Whether this very request was begun here, and shards of no other mags than these are recorded."""
        if not self.continues(request):
            return False
        try:
            return all(mag in mags for _, mag in self._each(lambda done: done.mag))
        except DamagedData:
            return True  # `begin` raises it again

    def begin(self, request: Request, sinks: Iterable[Sink]) -> None:
        """Start or continue writing to these sinks.

        Raises TargetExists where another request was begun, DamagedData for a malformed line.
        """
        if not self.is_begun:
            write_atomically(self.plan, request.text.encode())
        elif not self.continues(request):
            raise TargetExists(
                f"{self.plan.parent.parent} holds the work of another command",
                why=request.differences_from(self.plan),
                fix="run that command again to finish it, or say --overwrite, or choose another DST",
            )
        self.done = {sink.spec.mag: FinishedShards(sink.spec.box, sink.shard_shape) for sink in sinks}
        length = sum(length for length, _ in self._each(lambda done: self.done[done.mag].add(done)))
        if not self.is_finished:
            with writing(self._journal):
                self._file = self._journal.open("ab")
                self._file.truncate(length)

    def add(self, done: ShardDone) -> None:
        """Record a finished shard. One of a finished layer, whose file was gone, is recorded already."""
        self.done[done.mag].add(done)
        if self._file:
            with writing(self._journal):
                self._file.write(format_line(done))
                self._file.flush()

    def finish(self) -> None:
        """Turn the journal into the sorted list of checksums; does nothing where that exists."""
        self.close()
        if not self.is_finished:
            folder, layer = self._shards.parent, layer_and_command(self.plan)[0]
            lines = sorted_on_disk(self._lines(), _shard_key, folder)
            write_atomically(self._shards, chain([format_serial(next_serial(folder, layer, self._shards))], lines))
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

    def recorded(self) -> Iterator[ShardDone]:
        """The recorded shards, one by one; one that was written again is there twice. Raises DamagedData."""
        return (done for _, done in self._each(lambda done: done))

    def _lines(self) -> Iterator[bytes]:
        """Complete lines. One that a kill has cut short does not count: its shard is written again."""
        source = self._shards if self.is_finished else self._journal
        if exists(source):
            with reading(source), open_file(source) as file:
                yield from (line for line in file if line.endswith(b"\n"))

    def _each(self, use: Callable[[ShardDone], T]) -> Iterator[tuple[int, T]]:
        """Length of each shard's line in bytes, and the result of `use`. Raises DamagedData if either fails."""
        path = self._shards if self.is_finished else self._journal
        for number, line, done in parsed(self._lines(), listed=self.is_finished):
            try:
                if isinstance(done, ValueError):
                    raise done
                used = use(done)
            except (KeyError, ValueError) as error:
                raise DamagedData(
                    f"line {number} of {path} does not describe a shard of this run",
                    why=f"{line[:200]!r}: {error}",
                    fix=f"remove {path}: its shards are written again",
                ) from None
            yield len(line), used


def keep_record(plan: Path, folder: Path) -> None:
    """Copy a finished request's plan and checksums into a folder of records, under names with a CRC of their content.

    In another folder than their own, they become the newest ones of their layer.
    """
    shards, layer = plan.with_suffix(".shards"), layer_and_command(plan)[0]
    content = content_of(shards)
    lines = content if is_bare(content) else content.partition(b"\n")[2]
    name = f"{plan.stem}-{zlib.crc32(lines, zlib.crc32(content_of(plan))):08x}"
    kept = folder / f"{name}.shards"
    # in this order: a plan without shards counts as unfinished
    if folder == plan.parent:
        temporary = temporary_name(kept)
        shutil.copy2(shards, temporary)  # of lists of earlier versions, which have no number, the time decides
        temporary.replace(kept)
    else:
        write_atomically(kept, [format_serial(next_serial(folder, layer, kept)), lines])
    write_atomically(folder / f"{name}.plan", content_of(plan))


def _shard_key(line: bytes) -> tuple[Mag, Vec3Like]:
    done = parse_line(line)
    return done.mag, done.start
