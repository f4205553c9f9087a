"""Add coarser mags to a dataset. Behind `wkconvert downsample`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from wkconvert_core.contract.geometry import Mag
from wkconvert_core.conversion.new_mags import MagPlanner, prepare_new_mags
from wkconvert_core.conversion.prepare import Conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.conversion.steps import MagRecipe, kernel_of


def prepare(dst: Path, settings: Settings, *, names: Sequence[str] = (), start: Mag | None = None) -> Conversion:
    """Plan the coarser mags of a dataset, and write nothing. For parameters and errors, see `prepare_new_mags`."""
    return prepare_new_mags(dst, settings, "downsample", _coarser_mags, names, start)


def _coarser_mags(planner: MagPlanner, layer: SourceLayer, start: Mag, taken: Collection[Mag]) -> Iterator[MagRecipe]:
    """Each missing mag, computed from the next finer one."""
    kernel, finer = kernel_of(layer, planner.settings), start
    info = layer.mags[start].info
    box = info.extent
    for mag in planner.coarser(layer, start, taken, planner.settings.max_mag):
        if planner.is_elsewhere(layer, mag):
            continue
        if mag in layer.mags:
            info = layer.mags[mag].info
            box = info.extent
        else:
            box = box.coarsened(mag // finer)
            yield MagRecipe(planner.spec(layer, mag, box), None, finer, kernel)
        finer = mag
