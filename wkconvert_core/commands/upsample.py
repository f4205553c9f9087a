"""Add finer mags to a dataset that has only coarser ones, such as annotations. Behind `wkconvert upsample`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.conversion.new_mags import MagPlanner, prepare_new_mags
from wkconvert_core.conversion.prepare import Conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.conversion.steps import MagRecipe
from wkconvert_core.sources.upsampled import Upsampled


def prepare(dst: Path, settings: Settings, *, names: Sequence[str] = (), start: Mag | None = None) -> Conversion:
    """Plan the finer mags of a dataset, down to `settings.target_mag`, and write nothing.

    All are computed from `start`. Raises OptionError if `start` is not coarser than the target. For other parameters
    and errors, see `prepare_new_mags`.
    """
    return prepare_new_mags(dst, settings, "upsample", _finer_mags, names, start)


def _finer_mags(planner: MagPlanner, layer: SourceLayer, start: Mag, taken: Collection[Mag]) -> Iterator[MagRecipe]:
    """Each missing finer mag, computed from `start`; the mags of other layers, else chosen by the voxel size."""
    finest = planner.settings.target_mag
    if any(wanted > own for wanted, own in zip(finest, start, strict=True)):
        raise OptionError(
            f"--target-mag {finest} is not finer than mag {start} of layer {layer.name}",
            fix="say a finer one, or name the layers with --layer-name",
        )
    if finest == start:
        return
    for mag in [finest, *planner.coarser(layer, finest, taken, max(start) // 2)]:
        if mag not in layer.mags and not planner.is_elsewhere(layer, mag):
            box = planner.dataset.layers[layer.name].box.coarsened(mag)
            yield MagRecipe(planner.spec(layer, mag, box), Upsampled(layer.mags[start], box, start // mag))
