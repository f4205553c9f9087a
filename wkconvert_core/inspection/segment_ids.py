"""The largest segment id that the metadata state, held against the voxels: new segments get the numbers above it."""

from __future__ import annotations

from wkconvert_core.contract.errors import DamagedData, SourceError
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.datasets.checksums import Records
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.inspection.contents import find_contents
from wkconvert_core.inspection.findings import Run, sentence


def states_largest_id(where: MagOnDisk, finest: Mag) -> bool:
    """Whether a mag is the finest of a segmentation whose metadata state the largest id."""
    return where.mag == finest and where.stored is not None and where.stored.largest_segment_id is not None


def check_largest_id(run: Run, where: MagOnDisk, recorded: Records) -> None:
    """Blame the metadata for a largest id that is less than the largest of the layer's finest mag.

    The largest value is what runs recorded of shards that are as recorded; where they tell nothing, `run.deep` reads
    all voxels. A damaged mag tells nothing.
    """
    assert where.stored, "metadata state the largest id"
    stated, sums = where.stored.largest_segment_id, recorded.checksums(where.mag)
    if stated is None or not run.is_sound(where):
        return
    largest = None if sums is None or run.is_changed(where) else sums.high
    if run.deep and largest is None:
        try:
            largest = find_contents(where, run.budget, run.workers, run.listen).largest
        except (DamagedData, SourceError) as error:
            run.blame(where, where.folder, f"its largest id cannot be found: {sentence(error)}")
    if largest is not None and largest > stated:
        command = f"wkconvert metadata {run.dataset} --layer-name {where.layer} --compute-max-id"
        told = f"it says that the largest segment id of {where.layer} is {stated}, and the voxels hold {int(largest)}"
        why = f"new segments would get ids that others have; `{command}` corrects it"
        run.blame(where, run.dataset / PROPERTIES_FILE, f"{told}: {why}")
