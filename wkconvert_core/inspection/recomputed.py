"""Whether a coarser mag is what its kernel makes of the finer one, as far as it is recorded how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wkconvert_core.contract.errors import DamagedData, SourceError
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.datasets.checksums import Making, Records, making, why_changed
from wkconvert_core.datasets.dataset import MagFolder
from wkconvert_core.engine.progress import Meter
from wkconvert_core.inspection.compare import compare, step_between
from wkconvert_core.inspection.findings import MagSoundness, Run, sentence


def making_of(where: MagFolder, found: Sequence[MagFolder], recorded: Records) -> Making | str:
    """How a mag was made; a text if that is not known, saying why."""
    category = where.stored.category if where.stored else "color"
    return making(recorded, where.layer, where.mag, _mags_beside(where, found), category)


def _mags_beside(where: MagFolder, found: Sequence[MagFolder]) -> dict[Mag, MagFolder]:
    return {other.mag: other for other in found if other.layer == where.layer}


def with_kernel(
    run: Run,
    where: MagFolder,
    made: Making | str,
    found: Sequence[MagFolder],
    recorded: Records,
    result: MagSoundness,
) -> MagSoundness:
    """Recompute a mag from the finer one with its recorded kernel, and add to the result whether it is the same.

    Where it cannot be recomputed, `kernel_reason` says why. A difference is a problem of the run.
    """
    place = run.place()
    if isinstance(made, str):
        return replace(result, kernel_reason=made)
    finer = _mags_beside(where, found).get(made.finer)
    if finer is None:
        return replace(result, kernel_reason="the finer mag is gone")
    if not (run.is_sound(where) and run.is_sound(finer)):
        return replace(result, kernel_reason="it or the finer mag is damaged")
    if reason := why_changed(recorded, finer, where):
        return replace(result, kernel_reason=reason)
    differences = []
    # Two kernels are candidates where the run's own choice depended on a category that has been edited since.
    for kernel in [kernel for kernel in made.kernels if kernel in run.kernels]:
        step = step_between(finer, where, kernel, run.budget, deep=run.deep)
        meter = Meter(run.listen, f"{where.title}, {kernel} of mag {finer.mag}", place, step.voxels, step.voxel_bytes)
        try:
            difference = compare(step, run.budget, run.workers, meter.advance)
        except (DamagedData, SourceError) as error:
            run.blame(where, where.folder, f"it cannot be compared with mag {finer.mag}: {sentence(error)}")
            return replace(result, kernel_reason="a shard is damaged")
        if difference is None:
            return replace(result, kernel=kernel, kernel_voxels=step.voxels)
        differences.append(f"it is not the {kernel} of mag {finer.mag}: {difference}")
    if not differences:
        return replace(result, kernel_reason=f"the kernel {made.kernels[0]} is not installed")
    run.blame(where, where.folder, differences[0])
    return replace(result, kernel_reason="it is not what was recorded")
