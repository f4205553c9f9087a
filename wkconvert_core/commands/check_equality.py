"""Compare two datasets: metadata, and every voxel. Behind `wkconvert check-equality`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wkconvert_core.contract.errors import UnsupportedSource, check_known
from wkconvert_core.contract.geometry import Mag, Vec3
from wkconvert_core.contract.mag_format import ComparableMag, StoredMag
from wkconvert_core.contract.notes import WarningNote, about, counted
from wkconvert_core.datasets.checksums import mags_without_shards, told_of_empty_mags
from wkconvert_core.datasets.dataset import Dataset, MagOnDisk
from wkconvert_core.datasets.properties import StoredLayer
from wkconvert_core.engine.progress import Listener, Meter
from wkconvert_core.engine.resources import Resources, budget_of, readers_at_work
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.compare import CompareStored, CompareWith, Difference, cell_side, compare
from wkconvert_core.planning.costs import Budget
from wkconvert_core.planning.step import Step
from wkconvert_core.sources.views import Cropped

__all__ = ["Differing", "Equality", "MagCompared", "check_equality"]

SAME_SIZE = 1e-6
"""Relative tolerance for voxel sizes, which older tools store as 32-bit floats."""


@dataclass(frozen=True)
class Differing:
    """A fact in the metadata that differs."""

    what: str
    """`voxel_size`, `layers`; of a layer: `category`, `bounding_box`, `dtype`, `channels`, `largest_segment_id`,
    `mags`."""
    layer: str | None
    a: str
    b: str


@dataclass(frozen=True)
class MagCompared:
    """The result for one mag of one layer."""

    layer: str
    mag: Mag
    voxels: int
    """Number of voxels compared: those inside both extents."""
    difference: Difference | None
    """None: all are equal."""

    @property
    def differing(self) -> int:
        """Number of voxels that differ."""
        return self.difference.count if self.difference else 0


@dataclass(frozen=True)
class Equality:
    """The result of `check_equality`."""

    a: Path
    b: Path
    metadata: Sequence[Differing]
    mags: Sequence[MagCompared]
    notes: Sequence[str]
    seconds: float

    def __repr__(self) -> str:
        """`<Equality a, b: equal; 3 mags, 0.4 s, 0 notes>`."""
        verdict = "equal" if self.equal else "different"
        facts = f"{len(self.mags)} mags, {self.seconds:.1f} s, {counted(self.notes)}"
        return f"<Equality {self.a}, {self.b}: {verdict}; {facts}>"

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.metadata and not any(mag.difference for mag in self.mags)


def check_equality(
    a: Path | str,
    b: Path | str,
    resources: Resources | None = None,
    *,
    layers: Sequence[str] = (),
    mags: Sequence[Mag] = (),
    listen: Listener | None = None,
) -> Equality:
    """Compare two datasets, or some of their layers and mags: metadata and every voxel; NaN equals NaN.

    Mag format, shard length and compression may differ. Raises OptionError, and SourceError or DamagedData if either
    dataset cannot be read completely, so that nothing can be said.
    """
    began = time.monotonic()
    resources = resources or Resources()
    resources.check()
    ours, theirs = (_Compared.open(resources.reached(Path(path)), layers, mags, resources.follow) for path in (a, b))
    known = list(dict.fromkeys([*ours.all_layers, *theirs.all_layers]))
    check_known("layer-name", layers, known, "is in neither dataset")
    check_known("mag", mags, sorted(ours.all_mags | theirs.all_mags), "is in neither dataset")
    budget = budget_of(resources, 0)
    pairs, notes = _pairs(ours, theirs)
    with readers_at_work(resources, budget, [ours.dataset.path, theirs.dataset.path], listen) as workers:
        compared = [_compared(pair, (n, len(pairs)), budget, workers, listen) for n, pair in enumerate(pairs, 1)]
    metadata = list(_metadata(ours, theirs))
    return Equality(ours.dataset.path, theirs.dataset.path, metadata, compared, notes, time.monotonic() - began)


@dataclass(frozen=True)
class _Compared:
    """One of the two datasets, and which of its layers and mags are compared."""

    dataset: Dataset
    layers: Mapping[str, StoredLayer]

    @classmethod
    def open(cls, path: Path, names: Sequence[str], mags: Sequence[Mag], follow: bool) -> _Compared:
        """Open a dataset. Raises UnsupportedSource for layers and mags that cannot be read here."""
        dataset = Dataset.finished(path, follow=follow)
        unreadable = {name: why for name, why in dataset.foreign.items() if not names or name in names}
        for (name, mag), why in dataset.foreign_mags.items():
            if (not names or name in names) and (not mags or mag in mags):
                unreadable[f"{name} mag {mag}"] = why
        if unreadable:
            raise UnsupportedSource(
                f"{path} cannot be compared as a whole",
                why="; ".join(f"{name}: {reason}" for name, reason in unreadable.items()),
                fix="name the layers to compare with --layer-name, or their mags with --mag; or say --follow",
            )
        layers = {name: layer for name, layer in dataset.layers.items() if not names or name in names}
        for name, layer in layers.items() if mags else ():
            layers[name] = replace(layer, mags={mag: where for mag, where in layer.mags.items() if mag in mags})
        return cls(dataset, layers)

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
    ours, theirs = a.dataset.voxel_size, b.dataset.voxel_size
    assert ours, "a finished dataset has a voxel size"
    assert theirs, "a finished dataset has a voxel size"
    sides = zip(ours.size, theirs.to(ours.unit).size, strict=True)
    if not all(x == y or (x and y and math.isclose(x, y, rel_tol=SAME_SIZE)) for x, y in sides):
        yield Differing("voxel_size", None, str(ours), str(theirs))
    if a.layers.keys() != b.layers.keys():
        yield Differing("layers", None, *(", ".join(one.layers) or "none" for one in (a, b)))
    for name in (name for name in a.layers if name in b.layers):
        facts, others = _facts(a.layers[name]), _facts(b.layers[name])
        yield from (Differing(what, name, facts[what], others[what]) for what in facts if facts[what] != others[what])


def _facts(layer: StoredLayer) -> dict[str, str]:
    return {
        "category": layer.category,
        "bounding_box": str(layer.box),
        "dtype": str(layer.dtype),
        "channels": str(layer.channels),
        "largest_segment_id": "unknown" if layer.largest_segment_id is None else str(layer.largest_segment_id),
        "mags": ", ".join(map(str, sorted(layer.mags))) or "none",
    }


# --- voxels ----------------------------------------------------------------------------------------------------------

_Pair = tuple[StoredMag, StoredMag, MagOnDisk]


def _pairs(a: _Compared, b: _Compared) -> tuple[list[_Pair], list[str]]:
    """The mags to compare, and notes on voxels that are not compared. Raises the errors of `MagOnDisk.open`."""
    pairs: list[_Pair] = []
    notes: list[str] = []
    for name in (name for name in a.layers if name in b.layers):
        ours, theirs = a.layers[name], b.layers[name]
        if (ours.dtype, ours.channels) != (theirs.dtype, theirs.channels):
            notes.append(WarningNote(f"{name}: voxels are not compared, as dtype or channels differ"))
            continue
        if ours.box != theirs.box:
            notes.append(WarningNote(f"{name}: voxels are compared where both datasets have some"))
        for one in (a.dataset, b.dataset):
            told = told_of_empty_mags(mags_without_shards(one, name))
            notes += [about(f"{name} of {one.path}", note) for note in told]
        mags, others = a.dataset.of(name), b.dataset.of(name)
        common = sorted(ours.mags.keys() & theirs.mags.keys())
        pairs += [(mags[mag].open(), others[mag].open(), mags[mag]) for mag in common]
    return pairs, notes


def _compared(
    pair: _Pair, number: tuple[int, int], budget: Budget, workers: Workers, listen: Listener | None
) -> MagCompared:
    ours, theirs, where = pair
    box, info = ours.box.intersection(theirs.box), ours.info
    if not box.volume:
        return MagCompared(where.layer, where.mag, 0, None)
    # cubes that fit in one shard of both, if the budget allows, and hold whole blocks of both
    side = cell_side(info.voxel_bytes, budget)
    side = max(min(side, *ours.shard_shape, *theirs.shard_shape), *ours.block_shape, *theirs.block_shape)
    part, other = (Cropped(mag, box - mag.box.start) for mag in (ours, theirs))
    what = other, where.layer, where.mag, box, Vec3(side, side, side)
    consumer = CompareWith(*what)
    if isinstance(ours, ComparableMag) and ours.compares_with(theirs, side):
        consumer = CompareStored(*what, mags=(ours, theirs))
    meter = Meter(listen, where.title, number, box.volume, info.voxel_bytes)
    difference = compare(Step(part, (consumer,)), budget, workers, meter.advance)
    return MagCompared(where.layer, where.mag, box.volume, difference)
