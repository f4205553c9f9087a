"""Recomputing coarser mags: whether a mag is what its recorded kernel makes of the finer one."""

from __future__ import annotations

from dataclasses import replace

from wkconvert_core.contract.errors import DamagedData, SourceError
from wkconvert_core.datasets.checksums import Records, why_not_comparable
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk
from wkconvert_core.datasets.records.provenance import Provenance
from wkconvert_core.engine.progress import Meter
from wkconvert_core.inspection.compare import compare, step_between
from wkconvert_core.inspection.findings import MagSoundness, Run, sentence


def provenance_of(where: MagOnDisk, dataset: Dataset, recorded: Records) -> Provenance | str:
    """How a mag was made from a finer one, or why that is unknown or does not apply."""
    if where.mag == min(dataset.of(where.layer)):
        return "the finest mag"
    maker = recorded.maker(where.layer, where.mag)
    if maker is None:
        return "not recorded"
    return maker[1] if maker[1].finer else "made of the source"


def check_kernel(
    run: Run,
    where: MagOnDisk,
    made: Provenance | str,
    dataset: Dataset,
    recorded: Records,
    result: MagSoundness,
) -> MagSoundness:
    """Recompute a mag from the finer one with its recorded kernel; returns `result` with the kernel filled in.

    If the mag cannot be recomputed, `kernel_reason` says why. A difference is a problem of the run.
    """
    if isinstance(made, str):
        return replace(result, kernel_reason=made)
    finer = made.finer and dataset.of(where.layer).get(made.finer)
    if not finer:
        return replace(result, kernel_reason="the finer mag is gone")
    if not (run.is_sound(where) and run.is_sound(finer)):
        return replace(result, kernel_reason="it or the finer mag is damaged")
    if run.is_changed(where) or run.is_changed(finer):
        return replace(result, kernel_reason="it or the finer mag has changed since")
    if reason := why_not_comparable(recorded, finer, where):
        return replace(result, kernel_reason=reason)
    if made.kernel not in run.kernels:
        return replace(result, kernel_reason=f"the kernel {made.kernel} is not installed")
    step = step_between(finer, where, made.kernel, run.budget, deep=run.deep)
    title = f"{where.title}, {made.kernel} of mag {finer.mag}"
    meter = Meter(run.listen, title, run.next_step(), step.voxels, step.voxel_bytes)
    try:
        difference = compare(step, run.budget, run.workers, meter.advance)
    except (DamagedData, SourceError) as error:
        run.blame(where, where.folder, f"it cannot be compared with mag {finer.mag}: {sentence(error)}")
        return replace(result, kernel_reason="a shard is damaged")
    if difference is None:
        return replace(result, kernel=made.kernel, kernel_voxels=step.voxels)
    run.blame(where, where.folder, f"it is not the {made.kernel} of mag {finer.mag}: {difference}")
    return replace(result, kernel_reason="it is not what was recorded")
