"""The voxels of a dataset as its layers state them already: their size, and where they lie."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from wkconvert_core.contract.affine import Affine
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets.dataset import Dataset, found_mags
from wkconvert_core.datasets.naming import FOLDER, PROPERTIES_FILE
from wkconvert_core.datasets.records.lines import content_of, entry_of, extent_in, parsed_plan, sizes_in
from wkconvert_core.toolkit.files import is_file, is_link, listed
from wkconvert_core.toolkit.shortened import shorten

GRIDS = "grids"
"""The key of a plan that holds, by layer, the affine of the dataset's mag-1 voxels and what else tells how it lies."""


@dataclass(frozen=True)
class Grid:
    """Where a layer lies in a space that files share, and how it came to lie so, as plans record it."""

    affine: Affine | None = None
    """Of the dataset's mag-1 voxels, in records; None if no source stated it."""
    turned: str = ""
    """How a reader turned the axes."""
    flip: str = ""
    """The axes along which `--flip` mirrored the layer, in order."""
    stage: str = ""
    """Where the stage stood, for people; it moves nothing."""
    first_slice: int | None = None
    """The number of its first slice, where names count them; it moves nothing."""

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form; what is malformed is as if it were not there.

        >>> Grid.parse({"turned": "from LAS to RAS", "flip": "x"}).document
        {'turned': 'from LAS to RAS', 'flip': 'x'}
        """
        affine = Affine.parse(document)
        turned = str(document.get("turned") or "")
        flip, stage = (text if isinstance(text := document.get(key), str) else "" for key in ("flip", "stage"))
        first = document.get("first_slice")
        where = affine if affine and affine.spans else None
        return cls(where, turned, flip, stage, first if type(first) is int else None)

    @property
    def document(self) -> dict[str, Any]:
        """The JSON form; empty if there is nothing to tell."""
        where = self.affine.document if self.affine else {}
        told = {"flip": self.flip or None, "stage": self.stage or None, "first_slice": self.first_slice}
        told = {key: fact for key, fact in told.items() if fact is not None}
        return {**where, "turned": self.turned, **told} if where or self.turned or told else {}


@dataclass(frozen=True)
class ExistingLayers:
    """The layers that a dataset has, as new ones are compared with them; none by default."""

    boxes: Mapping[str, Box] = field(default_factory=dict)
    """Extents by layer, in mag-1 voxels."""
    mags: Collection[Mag] = ()
    """The mags of all of them."""
    voxel_size: VoxelSize | None = None
    """Of mag 1; None if neither metadata nor runs of `cube` tell."""
    affine: Affine | None = None
    """Of the dataset's mag-1 voxels; None if no layer's source stated where it lies."""
    turned: str = ""
    """How the layers' axes were turned."""
    grids: Mapping[str, Grid] = field(default_factory=dict)
    """The recorded place of each layer."""

    def notes_on_flips(self, flip: str) -> list[WarningNote]:
        """The warning for a layer that is mirrored by `--flip`, if the layers that are there were mirrored otherwise.

        >>> ExistingLayers({"em": Box((0, 0, 0), (9, 9, 9))}).notes_on_flips("x")
        ['it has --flip x, and em none: they may lie mirrored against each other']
        """
        flips = {name: self.grids.get(name, Grid()).flip for name in self.boxes}
        unlike = [f"{name} {f'--flip {by}' if by else 'none'}" for name, by in flips.items() if {*by} != {*flip}]
        told = f"it has {f'--flip {flip}' if flip else 'no --flip'}, and {shorten(unlike)}"
        return [WarningNote(f"{told}: they may lie mirrored against each other")] if unlike else []


def existing_layers(dst: Path, but: Collection[str]) -> ExistingLayers:
    """The layers of a dataset, `but` those of these names. Raises BrokenSource."""
    plans = [plan for plan in _plans(dst) if not set(entry_of(plan, "extents")) <= set(but)]
    if is_file(dst / PROPERTIES_FILE):
        dataset = Dataset.finished(dst)
        boxes = {name: layer.box for name, layer in dataset.layers.items() if name not in but}
        mags = {mag for name in boxes for mag in dataset.layers[name].mags}
        size = dataset.voxel_size
    else:
        on_disk = [each for each in found_mags(dst) if each.layer not in but]
        mags = {each.mag for each in on_disk}
        recorded = {name: extent_in(plan, name) for plan in plans for name in entry_of(plan, "extents")}
        boxes = {each.layer: box for each in on_disk if (box := recorded.get(each.layer))}
        size = next((size for plan in plans for size in sizes_in(plan)), None)
    if not mags:
        return ExistingLayers()
    grids = {name: Grid.parse(grid) for name, grid in recorded_grids(dst).items() if name in boxes}
    affine = next((grid.affine for grid in grids.values() if grid.affine), None)
    turned = next((grid.turned for grid in grids.values() if grid.turned), "")
    return ExistingLayers(boxes, mags, size, affine, turned, grids)


def recorded_grids(dst: Path) -> dict[str, dict[str, Any]]:
    """The grids that runs recorded, by layer; they may be malformed. Raises BrokenSource."""
    return {
        name: grid for plan in _plans(dst) for name, grid in entry_of(plan, GRIDS).items() if isinstance(grid, dict)
    }


def _plans(dst: Path) -> Iterator[Mapping[str, Any]]:
    """The plans that runs recorded, empty for one that is malformed. Raises BrokenSource."""
    for path in listed(dst / FOLDER, "*.plan"):
        if is_file(path) and not is_link(path):
            yield parsed_plan(content_of(path))
