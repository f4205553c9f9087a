"""Verify a dataset: every shard, its checksum, and every coarser mag. Behind `wkconvert verify`."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wkconvert_core.contract.errors import ResourceError, WkconvertError
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.mag_format import ShardCheck, StoredMag
from wkconvert_core.contract.model import Checksum
from wkconvert_core.contract.notes import WarningNote, about
from wkconvert_core.datasets.checksums import Record, Records, add, mags_without_shards, records, told_of_empty_mags
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk
from wkconvert_core.datasets.records.lock import locked
from wkconvert_core.datasets.records.provenance import Provenance
from wkconvert_core.datasets.records.unfinished_runs import unfinished
from wkconvert_core.engine.progress import Listener, Meter
from wkconvert_core.engine.resources import Resources, budget_of, readers_at_work
from wkconvert_core.inspection.findings import MagSoundness, Problem, Run, Soundness, sentence
from wkconvert_core.inspection.recomputed import check_kernel, provenance_of
from wkconvert_core.inspection.second_reading import check_library, check_second, is_read_by
from wkconvert_core.inspection.segment_ids import check_largest_id, states_largest_id
from wkconvert_core.planning.costs import Budget
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.files import reading
from wkconvert_core.toolkit.shortened import shorten

__all__ = ["MagSoundness", "Problem", "Soundness", "verify"]


def verify(
    dataset: Path | str,
    resources: Resources | None = None,
    *,
    layers: Sequence[str] = (),
    mags: Sequence[Mag] = (),
    deep: bool = False,
    write_checksums: bool = False,
    second_reader: str | None = None,
    listen: Listener | None = None,
) -> Soundness:
    """Read every shard strictly, compare its checksum with the recorded one, and recompute coarser mags.

    Of a mag whose kernel is recorded, a few boxes are recomputed from the finer mag, or with `deep` all voxels. Of
    segmentations the largest id that was recorded, or with `deep` that of the voxels, is compared with the metadata.
    `write_checksums` records checksums of sound mags that have none, or that another program has rewritten since they
    were recorded. `second_reader` names a library, such as `wkw`, by which sound mags are read, too, to compare every
    voxel. Damage is part of the result, not an error.
    Raises SourceError where there is no dataset, OptionError, ResourceError, TargetError.
    """
    began, dataset, resources = time.monotonic(), Path(dataset), resources or Resources()
    resources.check()
    dataset = resources.reached(dataset)
    found = Dataset.open(dataset)
    wanted = found.choose(layers, mags)
    if second_reader:
        check_library(second_reader, wanted)
    budget = budget_of(resources, 0)
    with contextlib.ExitStack() as stack:
        if write_checksums:
            stack.enter_context(locked(dataset))
        recorded = {name: records(dataset, name) for name in dict.fromkeys(where.layer for where in wanted)}
        made = [provenance_of(where, found, recorded[where.layer]) for where in wanted]
        kernels = {each.kernel for each in made if isinstance(each, Provenance)} & set(plugins().downsamplers())
        workers = stack.enter_context(readers_at_work(resources, budget, [dataset], listen, kernels))
        recomputed = sum(isinstance(each, Provenance) and each.kernel in kernels for each in made)
        read_again = [where for where in wanted if second_reader and is_read_by(where, second_reader)]
        run = Run(dataset, budget, workers, listen, len(wanted) + recomputed + len(read_again), deep, kernels)
        for layer, known in recorded.items():
            damaged = [(record.path, f"the list of checksums is damaged: {record.problem}") for record in known.damaged]
            run.problems += [Problem(layer, None, path, reason) for path, reason in damaged]
        results = [_checked(run, where, recorded[where.layer], write_checksums=write_checksums) for where in wanted]
        rows = zip(wanted, made, results, strict=True)
        results = [check_kernel(run, where, how, found, recorded[where.layer], result) for where, how, result in rows]
        if second_reader:
            results = [check_second(run, *row, second_reader) for row in zip(wanted, results, strict=True)]
        for where in wanted:
            if states_largest_id(where, min(found.of(where.layer))):
                check_largest_id(run, where, recorded[where.layer])
    notes = found.left_alone_in(layers or ())
    notes += [WarningNote(f"{begun} is begun and not finished") for begun in unfinished(dataset)]
    for layer in recorded:
        with contextlib.suppress(WkconvertError):  # of mags that cannot be opened, which are damaged
            notes += [about(layer, told) for told in told_of_empty_mags(mags_without_shards(found, layer))]
    if second_reader:
        unread = [where.title for where in wanted if where not in read_again]
        notes += [f"not read by {second_reader}, which knows other formats: {shorten(unread)}"] if unread else []
    for mag in results:
        if mag.shards_not_recorded:
            notes.append(f"{mag.layer} mag {mag.mag}: {mag.shards_not_recorded} sound shards that no run has recorded")
        elif mag.checksums_written and (mag.layer, mag.mag) in run.changed:
            notes.append(f"{mag.layer} mag {mag.mag}: had changed since wkconvert wrote it; the new checksums hold now")
    changed = [run.changed.get((mag.layer, mag.mag)) for mag in results if not mag.checksums_written]
    seconds = time.monotonic() - began
    return Soundness(dataset, results, run.problems, notes, seconds, [problem for problem in changed if problem])


# --- shards ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _CheckShard:
    """A task for a worker: `StoredMag.check` of one shard."""

    mag: StoredMag
    start: Vec3
    recorded: Checksum | None

    def __call__(self) -> ShardCheck:
        return self.mag.check(self.start, self.recorded)


def _checked(run: Run, where: MagOnDisk, recorded: Records, *, write_checksums: bool) -> MagSoundness:
    """Read all shards of a mag; with `write_checksums`, record checksums if there are none and all is sound."""
    number, result, kept = run.next_step(), MagSoundness(where.layer, where.mag), list[ShardDone]()
    try:
        mag = where.open()
        starts = [shard.start for shard in mag.shards()]
    except WkconvertError as error:
        run.blame(where, where.folder, sentence(error))
        return result
    sums, volume = recorded.checksums(where.mag), math.prod(mag.shard_shape)
    keep = write_checksums and not recorded.damaged
    unlike: list[tuple[ShardCheck, Checksum]] = []
    # runs record a shard by its first voxel inside the extent
    known = (
        {Box(start, (1, 1, 1)).aligned(mag.shard_shape).start: of for start, of in sums.shards.items()} if sums else {}
    )
    for start in sorted(known.keys() - set(starts)):
        run.blame(where, mag.shard_path(start), "it is missing, though it was recorded")
    meter = Meter(run.listen, f"{where.title}, reading", number, len(starts) * volume, mag.info.voxel_bytes)
    tasks = (_CheckShard(mag, start, known.get(start)) for start in starts)
    compressions: set[str] = set()
    for done in run.workers.map(_CheckShard.__call__, tasks, _affordable(mag, run.budget)):
        meter.advance(volume)
        compressions.add("" if done.problem else done.compression)
        if done.problem and done.checksum:
            unlike.append((done, known[done.start]))
        elif done.problem:
            run.blame(where, mag.shard_path(done.start), done.problem)
        if keep and done.checksum:
            shard = Box(done.start, mag.shard_shape)
            part = shard.intersection(where.box) if where.box else shard
            first = part.start if part.volume else done.start
            kept.append(ShardDone(where.mag, first, done.checksum, None, None, 0, part.volume))
        result = replace(
            result,
            shards=result.shards + 1,
            stored_bytes=result.stored_bytes + done.stored_bytes,
            checksums_compared=result.checksums_compared + (done.start in known),
        )
    # runs that record checksums write shards with one compression; damaged shards have stated none
    stated = compressions - {""}
    if len(compressions) == 1 and stated and mag.compression not in stated and recorded.maker(where.layer, where.mag):
        run.blame(where, mag.description, f"it says {mag.compression}; the shards hold {stated.pop()}")
    inside = [s for s in starts if where.box is None or Box(s, mag.shard_shape).intersection(where.box).volume]
    if unlike:
        _tell_unlike(run, where, mag, unlike, len(known), recorded)
    is_new = sums is None or run.is_changed(where)
    if is_kept := keep and is_new and run.is_sound(where):
        add(run.dataset, where.layer, {where.mag: kept})
    return replace(
        result,
        shards_not_recorded=sum(start not in known for start in inside) if not is_new else 0,
        checksums_written=is_kept and bool(kept),
    )


def _tell_unlike(
    run: Run,
    where: MagOnDisk,
    mag: StoredMag,
    unlike: Sequence[tuple[ShardCheck, Checksum]],
    number: int,
    recorded: Records,
) -> None:
    """Tell of shards that are not as recorded, of a `number` that were: the mag was rewritten since, or is damaged."""
    is_clear = run.is_sound(where) and not recorded.damaged
    if is_clear and _is_rewritten(mag, unlike, number, recorded.holding(where.mag)[0]):
        told = f"changed since wkconvert wrote it; decodes soundly: {len(unlike)} of {number} shards are others"
        run.changed[where.layer, where.mag] = Problem(where.layer, where.mag, where.folder, told)
    else:
        for done, _ in unlike:
            run.blame(where, mag.shard_path(done.start), done.problem)


def _is_rewritten(mag: StoredMag, unlike: Sequence[tuple[ShardCheck, Checksum]], number: int, record: Record) -> bool:
    """Whether shards that decode, but are not as recorded, show that another program has rewritten their mag.

    `number` shards are recorded, and none is missing. No flipped bit and no cut leaves a shard of another size that
    decodes from its first block to its last: one was written. If more than half of the recorded shards are such, the
    mag was remade. So it was if there are several, all are others, and all are newer files than the record: what rots
    keeps its time. Anything less is damage: single shards may have been mixed up, and bytes of a file that has kept its
    size, as those of mags without compression do, may have been written or may have rotted.
    """
    if 2 * sum(done.stored_bytes != was.size for done, was in unlike) > number:
        return True
    if not 2 <= number == len(unlike):
        return False
    with reading(mag.folder):
        when = record.path.stat().st_mtime_ns
        return all(mag.shard_path(done.start).stat().st_mtime_ns > when for done, _ in unlike)


def _affordable(mag: StoredMag, budget: Budget) -> int:
    """Number of shards that may be read at a time within the budget. Raises ResourceError if not even one."""
    each = mag.check_bytes + budget.each
    count = (budget.memory - budget.base) // each
    if count < 1:
        shape = " x ".join(map(str, mag.shard_shape))
        raise ResourceError(
            f"{budget.given} is too little to read shards of {shape} voxels",
            fix=budget.enough(1.05 * (budget.base + each)),
        )
    return min(count, budget.workers)
