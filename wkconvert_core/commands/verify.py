"""Whether a dataset is sound: every shard, its checksum, every coarser mag. Behind `wkconvert verify`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.datasets.checksums import Making, Records, add, records
from wkconvert_core.datasets.dataset import MagFolder, chosen, foreign_layers, mags_of, unfinished
from wkconvert_core.datasets.journal import locked
from wkconvert_core.engine.progress import Listener, Meter
from wkconvert_core.engine.resources import Resources, budget_of, readers_at_work
from wkconvert_core.formats.wkw.header import Header
from wkconvert_core.formats.wkw.source import HEADER_FILE
from wkconvert_core.inspection.findings import MagSoundness, Problem, Run, Soundness, sentence
from wkconvert_core.inspection.recomputed import making_of, with_kernel
from wkconvert_core.inspection.shard_check import Check, Checked, affordable
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.registry.plugins import plugins

__all__ = ["MagSoundness", "Problem", "Soundness", "verify"]


def verify(
    dataset: Path,
    resources: Resources | None = None,
    *,
    layers: Sequence[str] = (),
    mags: Sequence[Mag] = (),
    deep: bool = False,
    write_checksums: bool = False,
    listen: Listener | None = None,
) -> Soundness:
    """Read every shard strictly and compare it with what was recorded of it; compare coarser mags with finer ones.

    `deep` compares all voxels of mags whose kernel is recorded, else a few boxes of each; `write_checksums` records
    the checksums of sound mags that have none. Damage is listed in the result, not raised. Raises SourceError where
    there is no dataset, OptionError, ResourceError, TargetError.
    """
    began, resources = time.monotonic(), resources or Resources()
    resources.check()
    dataset = resources.reached(Path(dataset))
    found = mags_of(dataset)
    wanted = chosen(dataset, layers, mags, found)
    budget = budget_of(resources, 0)
    with contextlib.ExitStack() as stack:
        if write_checksums:
            stack.enter_context(locked(dataset))
        recorded = {name: records(dataset, name) for name in dict.fromkeys(place.layer for place in wanted)}
        made = [making_of(where, found, recorded[where.layer]) for where in wanted]
        kernels = {kernel for each in made if isinstance(each, Making) for kernel in each.kernels} & _known()
        workers = stack.enter_context(readers_at_work(resources, budget, [dataset], listen, kernels))
        run = Run(dataset, budget, workers, listen, 2 * len(wanted), deep, kernels)
        results = _checked_all(run, wanted, recorded, write_checksums)
        rows = zip(wanted, made, results, strict=True)
        results = [with_kernel(run, where, how, found, recorded[where.layer], result) for where, how, result in rows]
    notes = _notes(dataset, layers, results)
    return Soundness(dataset, results, run.problems, notes, time.monotonic() - began)


def _checked_all(
    run: Run, wanted: Sequence[MagFolder], recorded: dict[str, Records], write_checksums: bool
) -> list[MagSoundness]:
    for layer, found in recorded.items():
        reason = "the list of checksums is damaged: {}"
        run.problems += [Problem(layer, None, record.path, reason.format(record.problem)) for record in found.damaged]
    results = []
    for where in wanted:
        known = recorded[where.layer]
        keep = write_checksums and known.sums(where.mag) is None and not known.damaged
        result, done = _checked(run, where, recorded[where.layer], keep=keep)
        if keep and run.is_sound(where):
            add(run.dataset, where.layer, {where.mag: done})
            result = replace(result, checksums_written=bool(done))
        results.append(result)
    return results


def _notes(dataset: Path, layers: Sequence[str], results: Sequence[MagSoundness]) -> list[str]:
    foreign = foreign_layers(dataset)
    notes = [f"layer {name} is {kind}: not verified" for name, kind in foreign.items() if not layers]
    notes += [f"{begun} is begun and not finished" for begun in unfinished(dataset)]
    for mag in results:
        if mag.shards_not_recorded:
            notes.append(f"{mag.layer} mag {mag.mag}: {mag.shards_not_recorded} sound shards that no run has recorded")
    return notes


def _known() -> set[str]:
    """The kernels that are installed."""
    return set(plugins().downsamplers())


# --- shards ----------------------------------------------------------------------------------------------------------


def _checked(run: Run, where: MagFolder, recorded: Records, *, keep: bool) -> tuple[MagSoundness, list[ShardDone]]:
    """Read all shards of a mag; the second value is what to record of them, if that is to be kept."""
    place, result, kept = run.place(), MagSoundness(where.layer, where.mag), list[ShardDone]()
    try:
        header = where.header()
        shards = list(where.shards(header.side))
    except WkconvertError as error:
        run.blame(where, where.folder / HEADER_FILE if where.folder.is_dir() else where.folder, sentence(error))
        return result, []
    sums = recorded.sums(where.mag)
    known = {_corner(start, header.side): checksum for start, checksum in sums.of.items()} if sums else {}
    _blame_missing(run, where, header, {shard.start for shard in shards}, known)
    meter = Meter(run.listen, f"{where.title}, reading", place, len(shards) * header.side**3, header.voxel_bytes)
    tasks = (Check(shard.path, header, shard.start, known.get(shard.start)) for shard in shards)
    types: set[str] = set()
    for done in run.workers.map(Check.__call__, tasks, affordable(header, run.budget)):
        meter.advance(header.side**3)
        types.add(done.block_type)
        if done.problem:
            run.blame(where, where.shard_path(done.start, header.side), done.problem)
        elif keep:
            kept.append(_line(where, header, done))
        result = _counted(result, done, known)
    if header.block_type not in types and len(types) == 1 and recorded.maker(where.mag):
        _blame_type(run, where, header, *types)
    not_recorded = sum(_is_inside(where, header, shard.start) and shard.start not in known for shard in shards)
    return replace(result, shards_not_recorded=not_recorded if sums else 0), kept


def _counted(result: MagSoundness, done: Checked, known: Mapping[Vec3, str]) -> MagSoundness:
    return replace(
        result,
        shards=result.shards + 1,
        stored_bytes=result.stored_bytes + done.stored_bytes,
        checksums_compared=result.checksums_compared + (done.start in known),
    )


def _blame_missing(
    run: Run, where: MagFolder, header: Header, there: Collection[Vec3], known: Mapping[Vec3, str]
) -> None:
    for start in sorted(known.keys() - there):
        run.blame(where, where.shard_path(start, header.side), "it is missing, though it was recorded")


def _blame_type(run: Run, where: MagFolder, header: Header, found: str) -> None:
    """A header whose block type no shard has: the runs that record checksums write one type."""
    if found:
        run.blame(where, where.folder / HEADER_FILE, f"it says {header.block_type}; the shards hold {found}")


def _is_inside(where: MagFolder, header: Header, start: Vec3) -> bool:
    return where.box is None or bool(_shard_in(where.box, header, start).volume)


def _corner(start: Vec3, side: int) -> Vec3:
    """A shard's first voxel; runs record its first one within the extent."""
    x, y, z = (a // side * side for a in start)
    return x, y, z


def _shard_in(box: Box, header: Header, start: Vec3) -> Box:
    return Box(start, (header.side,) * 3).intersection(box)


def _line(where: MagFolder, header: Header, done: Checked) -> ShardDone:
    """What to record of a shard; its range of values is left open."""
    part = _shard_in(where.box, header, done.start) if where.box else Box(done.start, (header.side,) * 3)
    start = part.start if part.volume else done.start
    return ShardDone(where.mag, start, done.checksum, None, None, 0, part.volume)
