"""Whether two datasets hold the same: metadata, and every voxel. Behind `wkconvert check-equality`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import SourceNotFound, UnsupportedSource, check_known
from wkconvert_core.contract.geometry import Box, Mag, minus
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.conversion.execute import readers_at_work
from wkconvert_core.conversion.prepare import budget_of
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.dataset import MagFolder, properties_of
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.datasets.properties import StoredLayer, mag_folder, stored_layers, voxel_size
from wkconvert_core.engine.progress import Listener, Meter
from wkconvert_core.engine.workers import Workers
from wkconvert_core.formats.wkw.same_blocks import comparable
from wkconvert_core.formats.wkw.source import WkwSource
from wkconvert_core.inspection.compare import CompareBlocks, CompareWith, Difference, cell_side, compare
from wkconvert_core.planning.route import Budget
from wkconvert_core.planning.step import Step
from wkconvert_core.registry.plugins import plugins
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


@dataclass(frozen=True)
class _Dataset:
    """One of the two."""

    path: Path
    size: VoxelSize
    layers: Mapping[str, StoredLayer]


def check_equality(
    a: Path,
    b: Path,
    settings: Settings | None = None,
    *,
    layers: Sequence[str] = (),
    mags: Sequence[Mag] = (),
    listen: Listener | None = None,
) -> Equality:
    """Compare two WKW datasets, or some of their layers and mags: metadata and every voxel; NaN equals NaN.

    The length of shards and their compression are no difference. Of `settings`, jobs, memory and strategy count. Raises
    OptionError, and SourceError or DamagedData where one of the two cannot be read: then nothing is known.
    """
    began = time.monotonic()
    settings = settings or Settings()
    settings.check(plugins())
    ours, theirs = (_opened(settings.reached(Path(path))) for path in (a, b))
    _check_names(ours, theirs, layers, mags)
    ours, theirs = _restricted(ours, layers, mags), _restricted(theirs, layers, mags)
    budget = budget_of(settings, 0)
    pairs, notes = list(_pairs(ours, theirs)), list(_left_out(ours, theirs))
    with readers_at_work(settings, budget, [ours.path, theirs.path], listen) as workers:
        compared = [_compared(pair, (n, len(pairs)), budget, workers, listen) for n, pair in enumerate(pairs, 1)]
    metadata = list(_metadata(ours, theirs))
    return Equality(ours.path, theirs.path, metadata, compared, notes, time.monotonic() - began)


def _opened(path: Path) -> _Dataset:
    properties = properties_of(path)
    if properties is None:
        raise SourceNotFound(
            f"{path} is no dataset", why=f"there is no {PROPERTIES_FILE} in it", fix="`wkconvert metadata` makes one"
        )
    return _Dataset(path, voxel_size(properties), {layer.name: layer for layer in stored_layers(properties, path)})


def _check_names(a: _Dataset, b: _Dataset, layers: Sequence[str], mags: Sequence[Mag]) -> None:
    """Raise OptionError for a layer or a mag that neither has."""
    known = list(dict.fromkeys([*a.layers, *b.layers]))
    listed = sorted({mag for side in (a, b) for name, layer in side.layers.items() for mag in layer.mags})
    for option, wanted, legal in (("layer-name", layers, known), ("mag", mags, listed)):
        check_known(option, wanted, legal, "is in neither dataset")


def _restricted(side: _Dataset, layers: Sequence[str], mags: Sequence[Mag]) -> _Dataset:
    """The layers and mags that were asked for. Raises UnsupportedSource for layers of other formats."""
    kept = {name: layer for name, layer in side.layers.items() if not layers or name in layers}
    if foreign := [f"{layer.name} ({layer.data_format})" for layer in kept.values() if layer.data_format != "wkw"]:
        raise UnsupportedSource(
            f"{side.path} has layers that are not WKW: {', '.join(foreign)}",
            fix="name the layers to compare with --layer-name",
        )
    if mags:
        kept = {
            name: replace(layer, mags={mag: path for mag, path in layer.mags.items() if mag in mags})
            for name, layer in kept.items()
        }
    return replace(side, layers=kept)


# --- metadata --------------------------------------------------------------------------------------------------------


def _metadata(a: _Dataset, b: _Dataset) -> Iterator[Differing]:
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

_Pair = tuple[WkwSource, WkwSource, MagFolder]


def _pairs(a: _Dataset, b: _Dataset) -> Iterator[_Pair]:
    """The mags that both have, with voxels that can be compared. Raises what reading a mag's header raises."""
    for name, ours in a.layers.items():
        theirs = b.layers.get(name)
        if theirs and (ours.dtype, ours.channels) == (theirs.dtype, theirs.channels):
            for mag in sorted(ours.mags.keys() & theirs.mags.keys()):
                places = (MagFolder(name, mag, mag_folder(s.path, s.layers[name], mag), s.layers[name]) for s in (a, b))
                first, second = places
                yield first.source(), second.source(), first


def _left_out(a: _Dataset, b: _Dataset) -> Iterator[str]:
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
    box, header = ours.box.intersection(theirs.box), ours.header
    if not box.volume:
        return MagCompared(where.layer, where.mag, 0, None)
    side = cell_side(header.voxel_bytes, budget)
    side = max(min(side, header.side, theirs.header.side), header.block_len, theirs.header.block_len)
    what = _part(theirs, box), where.layer, where.mag, box, (side, side, side)
    is_by_block = comparable(ours, theirs, side)
    consumer = CompareBlocks(*what, mags=(ours, theirs)) if is_by_block else CompareWith(*what)
    meter = Meter(listen, where.title, place, box.volume, header.voxel_bytes)
    difference = compare(Step(_part(ours, box), (consumer,)), budget, workers, meter.advance)
    return MagCompared(where.layer, where.mag, box.volume, difference)


def _part(source: WkwSource, box: Box) -> Cropped:
    return Cropped(source, box.shifted(minus(source.box.start)))
