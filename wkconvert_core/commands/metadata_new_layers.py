"""Layers that the metadata do not list: described by their mags, their voxels and the records of our runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wkconvert_core.contract.errors import BrokenSource, OptionError
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.mag_format import StoredMag
from wkconvert_core.contract.model import Category, LayerSpec, MagSpec
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.checksums import MagChecksums, records
from wkconvert_core.datasets.dataset import MagOnDisk
from wkconvert_core.datasets.properties import Properties
from wkconvert_core.sources.category import Decision, classify
from wkconvert_core.sources.intensity_range import intensity_range

Mags = Mapping[Mag, MagOnDisk]
"""The mags of one layer."""


def opened(there: Mags) -> dict[Mag, StoredMag]:
    """Each mag, the finest first. Raises BrokenSource where they differ in format or dtype, DamagedData."""
    mags = {mag: there[mag].open() for mag in sorted(there)}
    formats = {mag: where.format.name for mag, where in there.items()}
    kinds = {mag: f"{it.info.channels} x {it.info.dtype}" for mag, it in mags.items()}
    for what, found in (("format", formats), ("what a voxel is", kinds)):
        if len(set(found.values())) > 1:
            raise BrokenSource(
                f"the mags of {there[min(there)].folder.parent} differ in {what}",
                why="; ".join(f"mag {mag}: {kind}" for mag, kind in found.items()),
                fix="remove the mags that do not belong to the layer",
            )
    return mags


@dataclass(frozen=True)
class Recorded:
    """What the run that wrote a mag noted."""

    box: Box | None = None
    """The layer's extent, in mag-1 voxels."""
    sums: MagChecksums = field(default_factory=MagChecksums)


def recorded(dataset: Path, layer: str, factor: Mag, mag: StoredMag) -> Recorded:
    """What is recorded of a mag; nothing where its shards are not the ones that were recorded."""
    there = {shard.path for shard in mag.shards()}
    holding = [
        (record, sums)
        for record in records(dataset, layer).all
        if (sums := record.mags.get(factor)) and {mag.shard_path(start) for start in sums.shards} == there
    ]
    if not holding:
        return Recorded()
    extents = (record.extent(layer) for record, _ in holding)
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
    dataset: Path, there: Mags, box: Box, noted: Recorded, category: Category | None
) -> tuple[Properties, Decision]:
    """A layer's entry, and why it is of its category; `box` is its extent in mag-1 voxels.

    Raises what `opened` raises, and what reading voxels raises.
    """
    sources = {mag: it.within(box.coarsened(mag)) for mag, it in opened(there).items()}
    name, info = there[min(there)].layer, sources[min(there)].info
    decision = classify(sources[min(there)], option=category, names=[name])
    labels, low, high = decision.category == "segmentation", noted.sums.low, noted.sums.high
    shown = not labels and info.dtype != "uint8"
    spec = LayerSpec(
        name,
        decision.category,
        box,
        info.dtype,
        info.channels,
        [MagSpec(name, decision.category, mag, box, info.dtype, info.channels) for mag in there],
        largest_segment_id=int(high) if labels and high is not None else None,
        value_range=(low, high) if shown and low is not None and high is not None else None,
        intensity_range=intensity_range(sources[max(there)]) if shown else None,
    )
    mags = [entry_of(dataset, there[mag], sources[mag]) for mag in sorted(there)]
    return properties_file.layer_entry(spec, there[min(there)].format.name, mags), decision


def entry_of(dataset: Path, where: MagOnDisk, mag: StoredMag) -> Properties:
    """The entry of one mag where it lies."""
    path = where.folder.relative_to(dataset).as_posix()
    return properties_file.mag_entry(where.mag, path, where.format.entry(mag))
