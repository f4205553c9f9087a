"""What our runs recorded of a dataset: the checksum of every shard, and how its mags were made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.contract.model import Checksum
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk
from wkconvert_core.datasets.journal import FOLDER, line_of, parsed_line
from wkconvert_core.datasets.provenance import Provenance
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.toolkit.atomic import write_atomically
from wkconvert_core.toolkit.files import fingerprint

VERIFY = "verify"
"""The command under whose name checksums are added to mags that nobody recorded."""


@dataclass
class Sums:
    """The checksums of one mag."""

    of: dict[Vec3Like, Checksum] = field(default_factory=dict)
    """By where the shard starts."""
    voxels: int = 0
    """In all its shards, within the extent of that time."""
    low: float | int | None = None
    """Smallest and largest finite value, where the run noted them."""
    high: float | int | None = None


@dataclass(frozen=True)
class Record:
    """One `LAYER.COMMAND.shards`."""

    path: Path
    command: str
    when: int
    plan: Mapping[str, Any]
    """Empty where there is none."""
    mags: Mapping[Mag, Sums]
    problem: str = ""
    """What is wrong with the file."""

    @property
    def gives_voxels(self) -> bool:
        """Whether the run gave its mags their voxels, instead of reading or compressing what was there."""
        return not self.command.startswith((VERIFY, "compress"))

    def provenance(self, layer: str, mag: Mag) -> Provenance | None:
        """How the run made a mag; None where it is not recorded."""
        made = self.plan.get("made")
        mags = made.get(layer) if isinstance(made, dict) else None
        return Provenance.parse(mags[str(mag)]) if isinstance(mags, dict) and str(mag) in mags else None

    def extent(self, layer: str) -> Box | None:
        """The layer's extent of that time, in mag-1 voxels; None where the plan does not tell."""
        try:
            x, y, z, width, height, depth = map(int, self.plan["extents"][layer])
            return Box((x, y, z), (width, height, depth))
        except (LookupError, TypeError, ValueError):
            return None

    def why_other(self, where: MagOnDisk) -> str:
        """Why a mag's extent is not the one of this record, or "" if it is."""
        extent = self.extent(where.layer)
        if extent is None:
            is_filled = where.box is not None and self.mags[where.mag].voxels == where.box.volume
            return "" if is_filled else "what was recorded does not fill the bounding box"
        return "" if where.stored and where.stored.box == extent else "the bounding box has changed since"


@dataclass(frozen=True)
class Records:
    """All of a layer's, the newest first."""

    all: Sequence[Record]

    def sums(self, mag: Mag) -> Sums | None:
        """The checksums that hold for a mag: those recorded last; None where there are none."""
        return next((record.mags[mag] for record in self.all if mag in record.mags), None)

    @property
    def damaged(self) -> list[Record]:
        """Those of which something cannot be read."""
        return [record for record in self.all if record.problem]

    def last(self, mag: Mag) -> Record | None:
        """The newest record of a run that gave the mag its voxels."""
        return next((record for record in self.all if mag in record.mags and record.gives_voxels), None)

    def maker(self, layer: str, mag: Mag) -> tuple[Record, Provenance] | None:
        """The record of how the mag was made: that of the run that wrote its voxels, else of one that copied them."""
        last = self.last(mag)
        having = [last] if last else [record for record in self.all if mag in record.mags]
        found = ((record, record.provenance(layer, mag)) for record in having)
        return next(((record, made) for record, made in found if made), None)


def records(dataset: Path, layer: str) -> Records:
    """What is recorded of a layer."""
    paths = [path for path in (dataset / FOLDER).glob("*.shards") if path.stem.rpartition(".")[0] == layer]
    found = [_record(path) for path in paths]
    return Records(sorted(found, key=lambda record: (-record.when, record.command)))


def _record(path: Path) -> Record:
    command, plan = path.stem.rpartition(".")[2], _read_plan(path.with_suffix(".plan"))
    try:
        lines, when = path.read_bytes().splitlines(), path.stat().st_mtime_ns
    except OSError as error:
        return Record(path, command, 0, plan, {}, error.strerror or str(error))
    mags: dict[Mag, Sums] = {}
    problem = ""
    for number, line in enumerate(lines, 1):
        try:
            done = _sensible(parsed_line(line))
        except (ValueError, TypeError, AttributeError):
            problem = f"line {number} makes no sense"
            continue
        sums = mags.setdefault(done.mag, Sums())
        sums.of[done.start] = done.checksum
        sums.voxels += done.voxels
        sums.low, sums.high = _least(min, sums.low, done.low), _least(max, sums.high, done.high)
    return Record(path, command, when, plan, mags, problem)


def _least(choose: Callable[..., float | int], *values: float | int | None) -> float | int | None:
    """The smallest or the largest of those that there are."""
    return choose((value for value in values if value is not None), default=None)


def _sensible(done: ShardDone) -> ShardDone:
    """The same; raises ValueError for what no run records: a flipped bit may still be JSON."""
    numbers = (*done.start, done.voxels)
    if not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise ValueError(f"{done} is no shard")
    return done


def _read_plan(path: Path) -> Mapping[str, Any]:
    try:
        plan = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) and isinstance(plan.get("settings"), dict) else {}


def known_provenance(dataset: Dataset, layer: str) -> dict[Mag, Provenance]:
    """How a layer's mags were made, as far as that is recorded and still holds."""
    mags, recorded = dataset.of(layer), records(dataset.path, layer)
    found = {}
    for mag, where in mags.items():
        if maker := recorded.maker(layer, mag):
            made = maker[1]
            if made.finer is None or (made.finer in mags and not why_changed(recorded, mags[made.finer], where)):
                found[mag] = made
    return found


def why_changed(records: Records, finer: MagOnDisk, coarser: MagOnDisk) -> str:
    """Why `coarser` cannot be recomputed from `finer` for comparison, or "" if it can: both are as they were."""
    maker = records.maker(coarser.layer, coarser.mag)
    for where in (finer, coarser):
        having = (each for each in records.all if where.mag in each.mags and each.command != VERIFY)
        record = records.last(where.mag) or next(having, None)
        if record is None:
            if not (maker and _has_files_of(maker[0], finer)):
                return "the finer mag is not recorded"
        elif reason := record.why_other(where):
            return reason
    last = records.last(finer.mag)
    return "the finer mag was made anew since" if last and maker and last.when > maker[0].when else ""


def _has_files_of(record: Record, where: MagOnDisk) -> bool:
    """Whether a mag that others made has the files whose names, sizes and times a run recorded."""
    noted = record.plan.get("fingerprint")
    return isinstance(noted, dict) and noted.get(where.layer) == fingerprint(where.folder)


def add(dataset: Path, layer: str, done: Mapping[Mag, Sequence[ShardDone]]) -> None:
    """Record mags' checksums beside those that were added before and still hold.

    Raises NoSpace, TargetNotWritable, TargetError.
    """
    path = dataset / FOLDER / f"{layer}.{VERIFY}.shards"
    old = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    newest = {mag: record.command for record in reversed(records(dataset, layer).all) for mag in record.mags}
    kept = [line for line in old if (mag := parsed_line(line).mag) not in done and newest.get(mag) == VERIFY]
    new = [line_of(shard) for mag in sorted(done) for shard in sorted(done[mag], key=lambda shard: shard.start)]
    write_atomically(path, b"".join([*kept, *new]))
