"""What our runs recorded of a dataset: the checksum of every shard, and how its mags were made."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.conversion.settings import ALTERING, Settings
from wkconvert_core.datasets.dataset import MagFolder, mags_of
from wkconvert_core.datasets.journal import FOLDER, line_of, parsed_line
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.toolkit.atomic import write_atomically
from wkconvert_core.toolkit.files import fingerprint

VERIFY = "verify"
"""The command under whose name checksums are added to mags that nobody recorded."""


@dataclass
class Sums:
    """The checksums of one mag."""

    of: dict[Vec3, str] = field(default_factory=dict)
    """By where the shard starts: `crc32:1c291ca3:16424`."""
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
    def tells(self) -> bool:
        """Whether it tells how its mags were made."""
        return "settings" in self.plan and (self.command in ("auto", "cube") or self.adds)

    @property
    def copied(self) -> Mapping[str, Any]:
        """Of a copy: how the mags of the original were made, as `known_makings` noted it."""
        made = self.plan.get("made")
        noted = made.get(self.path.stem.rpartition(".")[0]) if isinstance(made, dict) else None
        return noted if isinstance(noted, dict) else {}

    @property
    def adds(self) -> bool:
        """Whether its mags were made of mags that were there."""
        return self.command.startswith("downsample")

    def extent(self, layer: str) -> Box | None:
        """The layer's extent of that time, in mag-1 voxels; None where the plan does not tell."""
        try:
            x, y, z, width, height, depth = map(int, self.plan["extents"][layer])
            return Box((x, y, z), (width, height, depth))
        except (LookupError, TypeError, ValueError):
            return None

    def why_other(self, place: MagFolder) -> str:
        """What tells that a mag's extent is not that of the time of this record; nothing if it is the same."""
        extent = self.extent(place.layer)
        if extent is None:
            is_filled = place.box is not None and self.mags[place.mag].voxels == place.box.volume
            return "" if is_filled else "what was recorded does not fill the bounding box"
        return "" if place.stored and place.stored.box == extent else "the bounding box has changed since"


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

    def maker(self, mag: Mag) -> Record | None:
        """The record of the run that made the mag, or copied it, if it says how the mag was made."""
        last = self.last(mag)
        having = [last] if last else [record for record in self.all if mag in record.mags]
        return next((record for record in having if record.tells or str(mag) in record.copied), None)

    def last(self, mag: Mag) -> Record | None:
        """The newest record of a run that gave the mag its voxels: not of one that only read or compressed them."""
        having = (record for record in self.all if mag in record.mags)
        return next((each for each in having if not each.command.startswith((VERIFY, "compress"))), None)


@dataclass(frozen=True)
class Making:
    """How a mag was made."""

    finer: Mag
    """The mag of which it was made."""
    kernels: tuple[str, ...]
    """The kernel; two where only the category that the layer had then would tell."""


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


_CHECKSUM = re.compile("crc32:[0-9a-f]{8}:[0-9]+")


def _sensible(done: ShardDone) -> ShardDone:
    """The same; raises ValueError for what no run records: a flipped bit may still be JSON."""
    numbers = (*done.start, done.voxels)
    if not (_CHECKSUM.fullmatch(done.checksum) and all(isinstance(n, int) and n >= 0 for n in numbers)):
        raise ValueError(f"{done} is no shard")
    return done


def _read_plan(path: Path) -> Mapping[str, Any]:
    try:
        plan = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) and isinstance(plan.get("settings"), dict) else {}


def making(records: Records, layer: str, mag: Mag, mags: Collection[Mag], category: str) -> Making | str:
    """How a mag was made of a finer one, as recorded; else why that is not known, for people."""
    record = records.maker(mag)
    if mag == min(mags):
        return "the finest mag"
    if record is None:
        return "not recorded"
    if not record.tells:
        return _copied(record.copied[str(mag)])
    finer = [other for other in ({*mags, *record.mags} if record.adds else record.mags) if other < mag]
    if not finer:
        return "made of the source"
    if not record.adds and mag in _taken_over(record.plan, layer):
        return "perhaps the source's own"
    kernel = record.plan["settings"].get("interpolation_mode")
    if kernel != "default":
        return Making(max(finer), (kernel,)) if isinstance(kernel, str) else "not recorded"
    defaults = ("median", "mode") if category == "color" else ("mode", "median")
    return Making(max(finer), defaults)


def _copied(noted: Any) -> Making | str:
    """What `known_makings` noted."""
    try:
        finer, *kernels = noted
        return Making(Mag.parse(finer), tuple(map(str, kernels))) if kernels else "not recorded"
    except (TypeError, ValueError, AttributeError):
        return "not recorded"


def known_makings(dataset: Path, layers: Collection[str]) -> dict[str, dict[str, list[str]]]:
    """How mags were made, by layer and mag: of which finer mag, by which kernels; a copy's plan notes it."""
    places = [place for place in mags_of(dataset) if place.layer in layers]
    return {layer: _makings(records(dataset, layer), [p for p in places if p.layer == layer]) for layer in layers}


def _makings(recorded: Records, places: Sequence[MagFolder]) -> dict[str, list[str]]:
    mags, found = {place.mag: place for place in places}, {}
    for mag, place in mags.items():
        made = making(recorded, place.layer, mag, mags, place.stored.category if place.stored else "color")
        if isinstance(made, Making) and made.finer in mags and not why_changed(recorded, mags[made.finer], place):
            found[str(mag)] = [str(made.finer), *made.kernels]
    return found


def why_changed(records: Records, finer: MagFolder, coarser: MagFolder) -> str:
    """What keeps a mag from being held against the finer one of which it was made; nothing if both are as they were."""
    for place in (finer, coarser):
        having = (each for each in records.all if place.mag in each.mags and each.command != VERIFY)
        record = records.last(place.mag) or next(having, None)
        if record is None:
            if not _is_as_it_was(records.maker(coarser.mag), finer):
                return "the finer mag is not recorded"
        elif reason := record.why_other(place):
            return reason
    last, made = records.last(finer.mag), records.maker(coarser.mag)
    return "the finer mag was made anew since" if last and made and last.when > made.when else ""


def _is_as_it_was(record: Record | None, place: MagFolder) -> bool:
    """Whether a mag that others made has the files of which a run noted names, sizes and times."""
    noted = record.plan.get("fingerprint") if record else None
    return isinstance(noted, dict) and noted.get(place.layer) == fingerprint(place.folder)


class _All:
    """Holds every mag."""

    def __contains__(self, mag: object) -> bool:
        return True


def _taken_over(plan: Mapping[str, Any], layer: str) -> frozenset[Mag] | _All:
    """The mags that the run may have copied from the source instead of making them."""
    plain, asked = Settings().plan(), plan["settings"]
    if any(asked.get(name) != plain[name] for name in ("interpolation_mode", "sampling_mode", *ALTERING)):
        return frozenset()
    try:
        return frozenset(map(Mag.parse, plan["layers"][layer]))
    except (LookupError, TypeError, ValueError, AttributeError):
        return _All()


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
