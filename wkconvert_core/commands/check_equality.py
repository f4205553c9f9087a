"""Whether two datasets hold the same: metadata, and every voxel. Behind `wkconvert check-equality`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import UnsupportedSource, check_known
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.mag_format import ComparableMag, StoredMag
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk
from wkconvert_core.datasets.properties import StoredLayer
from wkconvert_core.engine.progress import Listener, Meter
from wkconvert_core.engine.resources import Resources, budget_of, readers_at_work
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.compare import CompareStored, CompareWith, Difference, cell_side, compare
from wkconvert_core.planning.route import Budget
from wkconvert_core.planning.step import Step
from wkconvert_core.sources.views import Cropped

__all__ = ["Differing", "Equality", "MagCompared", "check_equality"]

SAME_SIZE = 1e-6
"""Voxel sizes may differ by this part: older tools store them as 32-bit floats."""


@dataclass(frozen=True)
class Differing:
    """A fact of the metadata in which two datasets differ."""

    what: str
    """`voxel_size` or `layers`; of a layer:
    `category`, `bounding_box`, `dtype`, `channels`, `largest_segment_id` or `mags`."""
    layer: str | None
    a: str
    b: str


@dataclass(frozen=True)
class MagCompared:
    """The voxels of one mag of one layer."""

    layer: str
    mag: Mag
    voxels: int
    """Compared: those within both extents."""
    difference: Difference | None
    """None: they are equal."""

    @property
    def differing(self) -> int:
        """Number of voxels that differ."""
        return self.difference.count if self.difference else 0


@dataclass(frozen=True)
class Equality:
    """What comparing two datasets found."""

    a: Path
    b: Path
    metadata: Sequence[Differing]
    mags: Sequence[MagCompared]
    notes: Sequence[str]
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.metadata and not any(mag.difference for mag in self.mags)


def check_equality(
    a: Path,
    b: Path,
    resources: Resources | None = None,
    *,
    layers: Sequence[str] = (),
    mags: Sequence[Mag] = (),
    listen: Listener | None = None,
) -> Equality:
    """Compare two datasets, or some of their layers and mags: metadata and every voxel; NaN equals NaN.

    The format of mags, the length of shards and their compression are no difference. Raises OptionError, and
    SourceError or DamagedData where one of the two cannot be read: then nothing is known.
    """
    began = time.monotonic()
    resources = resources or Resources()
    resources.check()
    ours, theirs = (_Compared.open(resources.reached(Path(path)), layers, mags) for path in (a, b))
    known = list(dict.fromkeys([*ours.all_layers, *theirs.all_layers]))
    check_known("layer-name", layers, known, "is in neither dataset")
    check_known("mag", mags, sorted(ours.all_mags | theirs.all_mags), "is in neither dataset")
    budget = budget_of(resources, 0)
    pairs, notes = list(_pairs(ours, theirs)), list(_left_out(ours, theirs))
    with readers_at_work(resources, budget, [ours.dataset.path, theirs.dataset.path], listen) as workers:
        compared = [_compared(pair, (n, len(pairs)), budget, workers, listen) for n, pair in enumerate(pairs, 1)]
    metadata = list(_metadata(ours, theirs))
    return Equality(ours.dataset.path, theirs.dataset.path, metadata, compared, notes, time.monotonic() - began)


@dataclass(frozen=True)
class _Compared:
    """One of the two, and what of it is compared."""

    dataset: Dataset
    layers: Mapping[str, StoredLayer]
    mags: Mapping[str, Mapping[Mag, MagOnDisk]]

    @classmethod
    def open(cls, path: Path, layers: Sequence[str], mags: Sequence[Mag]) -> _Compared:
        """Open a dataset. Raises UnsupportedSource for layers and mags that cannot be compared."""
        dataset = Dataset.finished(path)
        wanted = {name: layer for name, layer in dataset.layers.items() if not layers or name in layers}
        left = {name: why for name, why in dataset.foreign.items() if not layers or name in layers}
        left |= {
            f"{name} mag {mag}": why
            for (name, mag), why in dataset.foreign_mags.items()
            if name in wanted and (not mags or mag in mags)
        }
        if left:
            raise UnsupportedSource(
                f"{path} cannot be compared as a whole",
                why="; ".join(f"{name}: {reason}" for name, reason in left.items()),
                fix="name the layers to compare with --layer-name, or their mags with --mag",
            )
        if mags:
            wanted = {
                name: replace(layer, mags={mag: where for mag, where in layer.mags.items() if mag in mags})
                for name, layer in wanted.items()
            }
        found = {name: {m: where for m, where in dataset.of(name).items() if m in wanted[name].mags} for name in wanted}
        return cls(dataset, wanted, found)

    @property
    def size(self) -> VoxelSize:
        """Of mag 1."""
        assert self.dataset.voxel_size, "the metadata state it"
        return self.dataset.voxel_size

    @property
    def all_layers(self) -> list[str]:
        """The names of all layers."""
        return [*self.dataset.layers, *self.dataset.foreign]

    @property
    def all_mags(self) -> set[Mag]:
        """The mags of all layers."""
        return {mag for layer in self.dataset.layers.values() for mag in layer.mags}


# --- metadata --------------------------------------------------------------------------------------------------------


def _metadata(a: _Compared, b: _Compared) -> Iterator[Differing]:
    if not _same_size(a.size, b.size):
        yield Differing("voxel_size", None, str(a.size), str(b.size))
    if a.layers.keys() != b.layers.keys():
        yield Differing("layers", None, _listed(a.layers), _listed(b.layers))
    for name in a.layers:
        if name in b.layers:
            ours, theirs = _facts(a.layers[name]), _facts(b.layers[name])
            yield from (Differing(what, name, ours[what], theirs[what]) for what in ours if ours[what] != theirs[what])


def _same_size(a: VoxelSize, b: VoxelSize) -> bool:
    pairs = zip(a.size, b.to(a.unit).size, strict=True)
    return all(x == y or (x and y and math.isclose(x, y, rel_tol=SAME_SIZE)) for x, y in pairs)


def _facts(layer: StoredLayer) -> dict[str, str]:
    return {
        "category": layer.category,
        "bounding_box": str(layer.box),
        "dtype": str(layer.dtype),
        "channels": str(layer.channels),
        "largest_segment_id": "unknown" if layer.largest_segment_id is None else str(layer.largest_segment_id),
        "mags": _listed(sorted(layer.mags)),
    }


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or "none"


# --- voxels ----------------------------------------------------------------------------------------------------------

_Pair = tuple[StoredMag, StoredMag, MagOnDisk]


def _pairs(a: _Compared, b: _Compared) -> Iterator[_Pair]:
    """The mags that both have, with voxels that can be compared. Raises what opening a mag raises."""
    for name, ours in a.layers.items():
        theirs = b.layers.get(name)
        if theirs and (ours.dtype, ours.channels) == (theirs.dtype, theirs.channels):
            for mag in sorted(a.mags[name].keys() & b.mags[name].keys()):
                yield a.mags[name][mag].open(), b.mags[name][mag].open(), a.mags[name][mag]


def _left_out(a: _Compared, b: _Compared) -> Iterator[str]:
    """What to tell of voxels that are not compared."""
    for name, ours in a.layers.items():
        if (theirs := b.layers.get(name)) is None:
            continue
        if (ours.dtype, ours.channels) != (theirs.dtype, theirs.channels):
            yield f"{name}: voxels are not compared, they are of different kinds"
        elif ours.box != theirs.box:
            yield f"{name}: voxels are compared where both have some"


def _compared(
    pair: _Pair, place: tuple[int, int], budget: Budget, workers: Workers, listen: Listener | None
) -> MagCompared:
    ours, theirs, where = pair
    box, info = ours.box.intersection(theirs.box), ours.info
    if not box.volume:
        return MagCompared(where.layer, where.mag, 0, None)
    side = cell_side(info.voxel_bytes, budget)
    side = max(min(side, *ours.shard_shape, *theirs.shard_shape), *ours.block_shape, *theirs.block_shape)
    what = _part(theirs, box), where.layer, where.mag, box, Vec3(side, side, side)
    consumer = CompareWith(*what)
    if isinstance(ours, ComparableMag) and ours.compares_with(theirs, side):
        consumer = CompareStored(*what, mags=(ours, theirs))
    meter = Meter(listen, where.title, place, box.volume, info.voxel_bytes)
    difference = compare(Step(_part(ours, box), (consumer,)), budget, workers, meter.advance)
    return MagCompared(where.layer, where.mag, box.volume, difference)


def _part(source: StoredMag, box: Box) -> Cropped:
    return Cropped(source, box - source.box.start)
