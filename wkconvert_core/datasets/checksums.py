"""The records of runs on a dataset: the checksum of every shard, and how its mags were made."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import UnsupportedSource
from wkconvert_core.contract.geometry import Mag, Vec3Like
from wkconvert_core.contract.model import NO_FILE, Checksum
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk
from wkconvert_core.datasets.naming import FOLDER
from wkconvert_core.datasets.records.finished_shards import ValueRange
from wkconvert_core.datasets.records.lines import (
    entry_of,
    extent_in,
    format_line,
    format_serial,
    is_bare,
    layer_and_command,
    next_serial,
    parsed,
    parsed_plan,
    serial_of,
)
from wkconvert_core.datasets.records.provenance import Provenance
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.toolkit.atomic import write_atomically
from wkconvert_core.toolkit.files import exists, is_file, is_link, listed, reading
from wkconvert_core.toolkit.folders import fingerprint

VERIFY = "verify"
"""The command in whose name checksums of mags without a record are added."""


@dataclass
class MagChecksums(ValueRange):
    """The checksums of one mag, and the range of its values if the run measured it."""

    shards: dict[Vec3Like, Checksum] = field(default_factory=dict)
    """Checksum of each shard that has a file, by the shard's first voxel."""
    voxels: int = 0
    """Number of voxels in all shards, within the extent at that time."""


@dataclass(frozen=True)
class Record:
    """One `LAYER.COMMAND.shards` and its plan."""

    path: Path
    command: str
    order: tuple[int, int]
    """Its number, and for lists of earlier versions, which have none, the time of its last change: the higher holds."""
    plan: Mapping[str, Any]
    """Empty if there is none."""
    mags: Mapping[Mag, MagChecksums]
    problem: str = ""
    """Why the file, or a line of it, cannot be read."""

    @property
    def gives_voxels(self) -> bool:
        """Whether the run wrote new voxels, instead of reading or compressing existing ones."""
        return not self.command.startswith((VERIFY, "compress"))

    def provenance(self, layer: str, mag: Mag) -> Provenance | None:
        """How the run made a mag; None if that is not recorded."""
        mags = entry_of(entry_of(self.plan, "made"), layer)
        return Provenance.parse(mags[str(mag)]) if str(mag) in mags else None

    def extent_mismatch(self, where: MagOnDisk) -> str:
        """Why a mag's extent differs from the recorded one, or "" if it is the same."""
        extent = extent_in(self.plan, where.layer)
        if extent is None:
            is_filled = where.box is not None and self.mags[where.mag].voxels == where.box.volume
            return "" if is_filled else "what was recorded does not fill the bounding box"
        return "" if where.stored and where.stored.box == extent else "the bounding box has changed since"


@dataclass(frozen=True)
class Records:
    """All records of a layer, the newest first."""

    all: Sequence[Record]

    def checksums(self, mag: Mag) -> MagChecksums | None:
        """The newest checksums of a mag; None if there are none."""
        return next((record.mags[mag] for record in self.all if mag in record.mags), None)

    @property
    def damaged(self) -> list[Record]:
        """The records that cannot be read completely."""
        return [record for record in self.all if record.problem]

    def holding(self, mag: Mag) -> list[Record]:
        """The records that hold for a mag, the newest first: none is older than one that `verify` added.

        That is added for mags without a record, and for those that another program has rewritten since.
        """
        having = [record for record in self.all if mag in record.mags]
        added = next((number for number, record in enumerate(having, 1) if record.command == VERIFY), None)
        return having[:added]

    def written_by(self, mag: Mag) -> Record | None:
        """The newest record of a run that wrote the mag's voxels."""
        return next((record for record in self.holding(mag) if record.gives_voxels), None)

    def maker(self, layer: str, mag: Mag) -> tuple[Record, Provenance] | None:
        """How a mag was made, and the record that says so: of the run that wrote its voxels, else of one since."""
        writer = self.written_by(mag)
        having = [writer] if writer else self.holding(mag)
        return next(((record, made) for record in having if (made := record.provenance(layer, mag))), None)


def records(dataset: Path, layer: str) -> Records:
    """Read all records of a layer; what is malformed is a `problem` of its record. Raises BrokenSource."""
    paths = [path for path in listed(dataset / FOLDER, "*.shards") if layer_and_command(path)[0] == layer]
    return Records(sorted(map(_record, paths), key=lambda record: record.order, reverse=True))


def _record(path: Path) -> Record:
    command, plan = layer_and_command(path)[1], dict[str, Any]()
    if (link := next((each for each in (path.parent, path) if is_link(each)), None)) or not is_file(path):
        return Record(path, command, (0, 0), plan, {}, f"{link} is a link" if link else "it is no file")
    with reading(path):
        if is_file(made := path.with_suffix(".plan")) and not is_link(made):
            plan = parsed_plan(made.read_bytes())
        content = path.read_bytes()
        order = (0, path.stat().st_mtime_ns) if is_bare(content) else (serial_of(path), 0)
    mags: dict[Mag, MagChecksums] = {}
    problem = ""
    for number, _, done in parsed(content.splitlines(), listed=True):
        if isinstance(done, ValueError):
            problem = f"line {number} is malformed"
            continue
        checksums = mags.setdefault(done.mag, MagChecksums())
        checksums.include(done.low, done.high)
        if done.checksum != NO_FILE:
            checksums.shards[done.start] = done.checksum
        checksums.voxels += done.voxels
    return Record(path, command, order, plan, mags, problem)


def known_provenance(dataset: Dataset, layer: str) -> dict[Mag, Provenance]:
    """How a layer's mags were made, if that is recorded and still holds."""
    mags, recorded = dataset.of(layer), records(dataset.path, layer)
    found = {}
    for mag, where in mags.items():
        if maker := recorded.maker(layer, mag):
            made = maker[1]
            if made.finer is None or (made.finer in mags and not why_not_comparable(recorded, mags[made.finer], where)):
                found[mag] = made
    return found


def mags_without_shards(dataset: Dataset, layer: str) -> list[Mag]:
    """The coarser mags of a layer that hold no shard, over a finest one that does, unless a run recorded them.

    They read as zeros, which they may be or not; a shard that a run recorded is missed when it is read.
    Raises the errors of `MagOnDisk.open`.
    """
    there = {mag: where for mag, where in dataset.of(layer).items() if where.exists}
    runs = records(dataset.path, layer).all

    def is_recorded(mag: Mag) -> bool:
        return any(mag in run.mags or run.provenance(layer, mag) for run in runs)

    def holds_any(mag: Mag) -> bool:
        return next(there[mag].open().shards(), None) is not None

    empty = [mag for mag in there if mag != min(there) and not is_recorded(mag) and not holds_any(mag)]
    return empty if empty and holds_any(min(there)) else []


def told_of_empty_mags(empty: Sequence[Mag], become: str = "read as zeros") -> Iterator[WarningNote]:
    """The warning of mags without shards, if there are any.

    >>> list(told_of_empty_mags([Mag(2, 2, 1)]))
    ['mags without a shard, over a finest mag that has some: 2-2-1; they read as zeros']
    """
    if empty:
        listed = ", ".join(map(str, empty))
        yield WarningNote(f"mags without a shard, over a finest mag that has some: {listed}; they {become}")


def check_no_empty_mag(dataset: Dataset, layer: str, mags: Collection[Mag]) -> None:
    """Raise UnsupportedSource if one of these mags, of which others are to be made, holds no shard."""
    if empty := [mag for mag in mags_without_shards(dataset, layer) if mag in mags]:
        folder = dataset.of(layer)[empty[0]].folder
        raise UnsupportedSource(
            f"mag {empty[0]} of the layer {layer} of {dataset.path} holds no shard, over a finest mag that has some",
            why="what is made of it would be zero everywhere",
            fix=f"restore it; or remove {folder}, then `wkconvert metadata {dataset.path}` drops it and `wkconvert "
            f"downsample {dataset.path}` makes it anew",
        )


def why_not_comparable(records: Records, finer: MagOnDisk, coarser: MagOnDisk) -> str:
    """Why `coarser` cannot be recomputed from `finer` for comparison, or "" if both are as they were recorded."""
    maker = records.maker(coarser.layer, coarser.mag)
    for where in (finer, coarser):
        having = (each for each in records.holding(where.mag) if each.command != VERIFY)
        record = records.written_by(where.mag) or next(having, None)
        if record is None:
            # A mag that no run has recorded may still be the one whose files the run of `coarser` has seen.
            noted = maker and maker[0].plan.get("fingerprint")
            if not isinstance(noted, dict) or noted.get(finer.layer) != fingerprint(finer.place):
                return "the finer mag is not recorded"
        elif reason := record.extent_mismatch(where):
            return reason
    since = [record for record in records.holding(finer.mag) if maker and record.order > maker[0].order]
    is_anew = any(record.gives_voxels or (record.command == VERIFY and record is not since[0]) for record in since)
    return "the finer mag was made anew since" if is_anew else ""


def add(dataset: Path, layer: str, done: Mapping[Mag, Sequence[ShardDone]]) -> None:
    """Record the checksums of mags, and keep those that were added before and are still the newest of their mag.

    Raises NoSpace, TargetNotWritable, TargetError.
    """
    path = dataset / FOLDER / f"{layer}.{VERIFY}.shards"
    newest = {mag: record.command for record in reversed(records(dataset, layer).all) for mag in record.mags}
    kept = [shard for shard in _shards_in(path) if shard.mag not in done and newest.get(shard.mag) == VERIFY]
    new = [shard for mag in sorted(done) for shard in sorted(done[mag], key=lambda shard: shard.start)]
    serial = format_serial(next_serial(path.parent, layer, path))
    write_atomically(path, chain([serial], map(format_line, kept), map(format_line, new)))


def _shards_in(path: Path) -> Iterator[ShardDone]:
    """The shards of a list of checksums, if it is there, that was read without a problem before."""
    if exists(path):
        for _, _, done in parsed(path.read_bytes().splitlines(), listed=True):
            if isinstance(done, ValueError):
                raise done
            yield done
