"""A layer of a source as it will be written: its name, category, place and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wkconvert_core.contract.affine import Affine
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.model import Category, Source, VolumeInfo
from wkconvert_core.contract.notes import about
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.records.existing_layers import GRIDS, ExistingLayers, Grid
from wkconvert_core.registry.answers import Found
from wkconvert_core.sources.category import Decision
from wkconvert_core.toolkit.shortened import shorten

ORIGIN = Vec3(0, 0, 0)


@dataclass(frozen=True)
class SourceLayer:
    """A layer as it will be written."""

    name: str
    decision: Decision
    """The category, and why."""
    mags: Mapping[Mag, Source]
    found: Found
    color: tuple[int, int, int] | None = None
    notes: tuple[str, ...] = ()
    start: Vec3 = ORIGIN
    """Where the reader says that the source's first voxel lies, in voxels of the finest mag."""
    shift: Vec3 = ORIGIN
    """The way that the layer is moved from there, in voxels of the finest mag."""
    lies: Grid = field(default_factory=Grid)
    """Where its first voxel lies in a space, as its source states or, of a dataset's layer, its records do."""
    intensity_range: tuple[float, float] | None = None
    """The values that are shown as black and as white, if the source says so of voxels as they are written."""

    @property
    def category(self) -> Category:
        """Color or segmentation."""
        return self.decision.category

    @property
    def finest(self) -> Mag:
        """The finest mag that the source has."""
        return min(self.mags)

    @property
    def info(self) -> VolumeInfo:
        """Shape, dtype and the like of the finest mag."""
        return self.mags[self.finest].info

    @property
    def box(self) -> Box:
        """Extent in the dataset, in voxels of the finest mag."""
        return self.info.extent.shifted(self.shift)

    @property
    def extent(self) -> Box:
        """Extent in the dataset, in mag-1 voxels."""
        return self.box.refined(self.finest)

    def box_of(self, mag: Mag) -> Box | None:
        """Extent of one of its mags in the dataset, in voxels of that mag; None where it is moved by a part of one."""
        factor = mag // self.finest
        moved = self.shift // factor
        return self.mags[mag].info.extent.shifted(moved) if moved * factor == self.shift else None

    @property
    def grid(self) -> Affine | None:
        """The affine of the dataset's mag-1 voxels, as this layer has it; None if it states none."""
        affine = self.lies.affine
        return affine and affine.refined(self.finest).moved(-self.extent.start)

    @property
    def voxel_size(self) -> VoxelSize | None:
        """Voxel size of mag 1, as the source states it."""
        size = self.info.voxel_size
        return size and size.refined(self.finest)


def notes_on(layers: Sequence[SourceLayer]) -> list[str]:
    """The notes of layers, each once, with the names of its layers; without if all carry it: it is about the source."""
    carriers: dict[str, list[str]] = {}
    for layer in layers:
        for note in dict.fromkeys(layer.notes):
            carriers.setdefault(note, []).append(layer.name)
    return [note if len(names) == len(layers) else about(shorten(names), note) for note, names in carriers.items()]


def grids(layers: Sequence[SourceLayer], settings: Settings, existing: ExistingLayers) -> dict[str, Any]:
    """Facts to record for layers that will be added: where each lies, with the affine of the dataset's mag-1 voxels.

    Of layers that `--top-left` lays neither stage nor number of a first slice, and no affine beside those of others.
    """
    stating = [layer for layer in layers if layer.lies.affine]
    is_placed = settings.top_left is not None and (len(stating) > 1 or existing.affine)
    found = {}
    for layer in layers:
        grid = Grid(flip=layer.lies.flip) if is_placed else replace(layer.lies, affine=layer.grid)
        if settings.top_left is not None:
            grid = replace(grid, stage="", first_slice=None)
        if document := grid.document:
            found[layer.name] = document
    return {GRIDS: found} if found else {}
