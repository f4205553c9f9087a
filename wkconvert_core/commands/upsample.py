"""Finer mags of a coarser one, where nothing finer is known: annotations, say. Behind `wkconvert upsample`."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.commands.new_mags import Place, added
from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Box, Mag, Vec3, minus
from wkconvert_core.contract.model import Occupied, Source, VolumeInfo, occupied_of
from wkconvert_core.conversion.opening import Opened
from wkconvert_core.conversion.prepare import Conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.steps import Planned
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.planning.route import planned
from wkconvert_core.planning.step import factor_between

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class Upsampled:
    """A finer mag: every voxel is the coarser one in which it lies."""

    source: Source
    """The coarser mag."""
    box: Box
    """The extent in finer voxels, where it lies in the dataset; voxel (0, 0, 0) is its start."""
    factor: Vec3
    """How many finer voxels make one coarser along x, y, z."""

    @property
    def read_cost(self) -> float:
        """Bytes that a read takes at its peak, per byte that it returns: the coarser voxels, and them repeated."""
        return 2 + 1 / math.prod(self.factor)

    @property
    def info(self) -> VolumeInfo:
        """What it holds."""
        return replace(self.source.info, shape=self.box.shape, offset=self.box.start, chunk_shape=None)

    @property
    def occupied(self) -> Occupied | None:
        """Where there may be other voxels than 0; None if that is not known."""
        coarser = occupied_of(self.source)
        return coarser and (lambda box: coarser(self._seen(box)))

    def _seen(self, box: Box) -> Box:
        """The coarser voxels in which a box lies."""
        return box.shifted(self.box.start).coarsened(self.factor).shifted(minus(self.source.info.offset))

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`. Raises the source's errors."""
        placed = box.shifted(self.box.start)
        coarse = placed.coarsened(self.factor)
        data = self.source.read(self._seen(box))
        for axis, times in enumerate(self.factor, 1):
            data = np.repeat(data, times, axis=axis)
        return data[:, *placed.slices_in(coarse.refined(self.factor))]


def prepare(dst: Path, settings: Settings, *, names: Sequence[str] = (), start: Mag | None = None) -> Conversion:
    """Decide which finer mags a dataset gets, down to `settings.target_mag`, and write nothing.

    All are made of `start`. Raises OptionError where that is not coarser. For the rest, see `adding.added`.
    """
    return added(dst, settings, "upsample", _steps, names, start)


def _steps(place: Place, layer: Opened, start: Mag, taken: Collection[Mag]) -> Iterator[Planned]:
    """Make each mag that is not there of the one to start from."""
    source = layer.mags[start]
    for mag in _finer(place, layer, start, taken):
        if mag not in layer.mags:
            box = place.stored[layer.name].box.coarsened(mag)
            made = Upsampled(source, box, factor_between(mag, start))
            yield Planned(layer, *planned(made, [WriteShards(place.sink(layer, made, mag, box))], "", place.budget))


def _finer(place: Place, layer: Opened, start: Mag, taken: Collection[Mag]) -> list[Mag]:
    """The mags finer than `start`, the finest first: those of other layers, else by the voxel size."""
    finest = place.settings.target_mag
    if any(wanted > own for wanted, own in zip(finest, start, strict=True)):
        raise OptionError(
            f"--target-mag {finest} is not finer than mag {start} of layer {layer.name}",
            fix="say a finer one, or name the layers with --layer-name",
        )
    return [finest, *place.coarser(layer, finest, taken, max(start) // 2)] if finest != start else []
