"""The steps that make a layer's mags: what each is made of, and how it is stored."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import DatasetSink, MagSpec, Sink, Source
from wkconvert_core.contract.voxel_size import VoxelSize, proportions
from wkconvert_core.conversion.opening import Opened
from wkconvert_core.conversion.settings import FINEST, Settings
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.planning.mag_schedule import schedule
from wkconvert_core.planning.route import Budget, Route, planned
from wkconvert_core.planning.step import Step, factor_between
from wkconvert_core.registry.plugins import downsampler
from wkconvert_core.sources.downsampled import Downsampled


@dataclass(frozen=True)
class Planned:
    """One step of a conversion and the way it will go."""

    layer: Opened
    step: Step[WriteShards]
    route: Route


def steps_of(
    layer: Opened,
    sink: DatasetSink,
    size: VoxelSize | None,
    settings: Settings,
    existing: Collection[Mag],
    budget: Budget,
) -> Iterator[Planned]:
    """Copy the finest mag; make each coarser one from the one before, or copy it where the source has it."""
    kernel = kernel_of(layer, settings)
    source, box = _first(layer, settings, kernel)
    first = _first_mag(layer, settings)
    mags = [first, *(_coarser(layer, first, size, settings, existing) if settings.downsample else [])]
    boxes = [box.coarsened(factor_between(first, mag)) for mag in mags]
    sinks = [sink.layer(spec_of(layer, settings, source, mag, part)) for mag, part in zip(mags, boxes, strict=True)]
    sources = [source]
    for finer, coarser in pairwise(sinks):
        sources.append(_coarser_source(layer, sources[-1], finer, coarser, settings, kernel))
    yield from together(layer, sources, sinks, kernel, budget)


def together(
    layer: Opened, sources: Sequence[Source], sinks: Sequence[Sink], kernel: str, budget: Budget
) -> Iterator[Planned]:
    """The steps that copy each source into its sink; each `Downsampled` one is made of the sink before it."""
    while sinks:
        first = list(map(WriteShards, sinks[: _made_on_the_way(sources, kernel)]))
        step, way = planned(sources[0], first, kernel, budget)
        yield Planned(layer, step, way)
        sources, sinks = sources[len(step.sinks) :], sinks[len(step.sinks) :]


def _made_on_the_way(sources: Sequence[Source], kernel: str) -> int:
    """How many mags, from the first on, could be written in one step: a kernel with a halo needs its surroundings."""
    if any(downsampler(kernel).halo):
        return 1
    return 1 + len(list(takewhile(lambda source: isinstance(source, Downsampled), sources[1:])))


def _coarser_source(layer: Opened, source: Source, finer: Sink, sink: Sink, settings: Settings, kernel: str) -> Source:
    """What a coarser mag is made of: the finer one, of which `source` tells where it will hold anything."""
    factor = factor_between(finer.spec.mag, sink.spec.mag)
    return _stored(layer, sink.spec, settings) or Downsampled(finer.source(), finer.spec.box, factor, kernel, source)


def _stored(layer: Opened, spec: MagSpec, settings: Settings) -> Source | None:
    """The source's own mag, if it is the one that would be made: same place, same kernel, nothing done to mag 1."""
    source = layer.mags.get(spec.mag) if settings.keeps_pyramid else None
    return source if source and source.info.box.shifted(source.info.offset) == spec.box else None


def extent(layer: Opened, settings: Settings) -> Box:
    """The layer's true extent, in mag-1 voxels."""
    return _own_extent(layer, settings).refined(layer.finest)


def _own_extent(layer: Opened, settings: Settings) -> Box:
    """The same in voxels of the source's finest mag."""
    x, y, z = layer.info.offset
    return Box((x, y, z + settings.start_z), layer.info.shape)


def _first_mag(layer: Opened, settings: Settings) -> Mag:
    """The finest mag that is written. Raises OptionError where that is finer than what the source has."""
    if settings.target_mag == FINEST:
        return layer.finest
    if any(wanted < own for wanted, own in zip(settings.target_mag, layer.finest, strict=True)):
        raise OptionError(
            f"--target-mag {settings.target_mag} cannot be made of {layer.found.path}",
            why=f"its finest mag is {layer.finest}",
            fix=f"say --target-mag {layer.finest} or a coarser one",
        )
    return settings.target_mag


def _first(layer: Opened, settings: Settings, kernel: str) -> tuple[Source, Box]:
    """The finest mag that is written, and its extent in that mag's voxels."""
    source, box = layer.mags[layer.finest], _own_extent(layer, settings)
    factor = factor_between(layer.finest, _first_mag(layer, settings))
    if factor == (1, 1, 1):
        return source, box
    return Downsampled(source, box, factor, kernel, source), box.coarsened(factor)


def spec_of(layer: Opened, settings: Settings, source: Source, mag: Mag, box: Box) -> MagSpec:
    """One mag of a layer, to be written as the settings say."""
    return MagSpec(
        layer.name,
        layer.category,
        mag,
        box,
        source.info.dtype,
        source.info.channels,
        _compression(layer, settings),
        settings.compression_level,
        settings.file_len,
    )


def _compression(layer: Opened, settings: Settings) -> str:
    if settings.compression != "auto":
        return settings.compression
    return "lz4hc" if layer.category == "segmentation" or settings.compression_level else "lz4"


def kernel_of(layer: Opened, settings: Settings) -> str:
    """The name of the kernel that makes a layer's coarser mags."""
    if settings.interpolation_mode != "default":
        return settings.interpolation_mode
    return "median" if layer.category == "color" else "mode"


def _coarser(
    layer: Opened, first: Mag, size: VoxelSize | None, settings: Settings, existing: Collection[Mag]
) -> list[Mag]:
    """The mags after the first: those of other layers, then the source's own, else by the voxel size."""
    taken = {max(mag) for mag in existing}
    own = [mag for mag in layer.mags if max(mag) not in taken] if settings.keeps_pyramid else []
    return schedule(
        proportions(size),
        extent(layer, settings).shape,
        max_mag=settings.max_mag,
        sampling_mode=settings.sampling_mode,
        start=first,
        existing=[mag for mag in (*existing, *own) if max(mag) > max(first)],
    )
