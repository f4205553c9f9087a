"""A layer of which nothing but its WKW mags is there: what the headers, the voxels and our own records tell of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wkconvert_core.contract.errors import BrokenSource, OptionError
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import Category, LayerSpec, MagSpec
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets import properties_file as datasource
from wkconvert_core.datasets.checksums import Sums, records
from wkconvert_core.datasets.dataset import MagFolder
from wkconvert_core.datasets.properties import Properties
from wkconvert_core.formats.wkw.header import Header
from wkconvert_core.formats.wkw.source import WkwSource
from wkconvert_core.sources.category import Decision, classify
from wkconvert_core.sources.intensity_range import intensity_range

MagFolders = Mapping[Mag, MagFolder]
"""The mags of one layer."""


def headers_of(there: MagFolders) -> dict[Mag, Header]:
    """The header of each mag, the finest first. Raises BrokenSource where they differ in kind, DamagedData."""
    headers = {mag: there[mag].header() for mag in sorted(there)}
    kinds = {mag: f"{header.channels} x {header.dtype}" for mag, header in headers.items()}
    if len(set(kinds.values())) > 1:
        raise BrokenSource(
            f"the mags of {there[min(there)].folder.parent} differ in what a voxel is",
            why="; ".join(f"mag {mag}: {kind}" for mag, kind in kinds.items()),
            fix="remove the mags that do not belong to the layer",
        )
    return headers


@dataclass(frozen=True)
class Recorded:
    """What the run that wrote a mag noted."""

    box: Box | None = None
    """The layer's extent, in mag-1 voxels."""
    sums: Sums = field(default_factory=Sums)


def recorded(dataset: Path, place: MagFolder, header: Header) -> Recorded:
    """What is noted of a mag; nothing where its shards are not those of which it was noted."""
    there = {shard.path for shard in place.shards(header.side)}
    holding = [
        (record, sums)
        for record in records(dataset, place.layer).all
        if (sums := record.mags.get(place.mag)) and {place.shard_path(start, header.side) for start in sums.of} == there
    ]
    if not holding:
        return Recorded()
    extents = (record.extent(place.layer) for record, _ in holding)
    return Recorded(next((box for box in extents if box), None), holding[0][1])


def recorded_sizes(dataset: Path, layers: Sequence[str]) -> Iterator[VoxelSize]:
    """The voxel sizes that the sources of layers said."""
    for layer in layers:
        for record in records(dataset, layer).all:
            try:
                yield from (VoxelSize((x, y, z), unit) for x, y, z, unit in record.plan.get("voxel_sizes", ()))
            except (TypeError, ValueError, OptionError):
                continue


def described(
    dataset: Path, there: MagFolders, box: Box, noted: Recorded, category: Category | None
) -> tuple[Properties, Decision]:
    """A layer's entry, and why it is of its category; `box` is its extent in mag-1 voxels.

    Raises what `headers_of` raises, and what reading voxels raises.
    """
    headers, finest = headers_of(there), min(there)
    name, header = there[finest].layer, headers[finest]
    sources = {mag: WkwSource(there[mag].folder, headers[mag], box.coarsened(mag)) for mag in there}
    decision = classify(sources[finest], option=category, names=[name])
    labels, low, high = decision.category == "segmentation", noted.sums.low, noted.sums.high
    shown = not labels and header.dtype != "uint8"
    spec = LayerSpec(
        name,
        decision.category,
        box,
        header.dtype,
        header.channels,
        [MagSpec(name, decision.category, mag, box, header.dtype, header.channels) for mag in there],
        largest_segment_id=int(high) if labels and high is not None else None,
        value_range=(low, high) if shown and low is not None and high is not None else None,
        intensity_range=intensity_range(sources[max(there)]) if shown else None,
    )
    entry = datasource.layer_entry(spec, {mag: headers[mag].side for mag in there})
    return {**entry, "mags": [entry_of(dataset, there[mag], headers[mag]) for mag in sorted(there)]}, decision


def entry_of(dataset: Path, place: MagFolder, header: Header) -> Properties:
    """The entry of one mag where it lies."""
    return datasource.mag_entry(place.mag, place.folder.relative_to(dataset).as_posix(), header.side)
