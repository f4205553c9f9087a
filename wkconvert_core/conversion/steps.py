"""From layers to steps: which mags a layer gets, what each is made of, and how it is stored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import TypeAlias

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import DatasetSink, MagSpec, Sink, Source
from wkconvert_core.contract.voxel_size import VoxelSize, proportions
from wkconvert_core.conversion.opening import SourceLayer
from wkconvert_core.conversion.settings import FINEST, Settings
from wkconvert_core.datasets.provenance import Provenance
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.planning.mag_schedule import schedule
from wkconvert_core.planning.route import Budget, Route, planned
from wkconvert_core.planning.step import Step, factor_between
from wkconvert_core.registry.plugins import downsampler
from wkconvert_core.sources.downsampled import Downsampled


@dataclass(frozen=True)
class MagRecipe:
    """One mag to be written, and what it is made of."""

    spec: MagSpec
    source: Source | None = None
    """What is copied; None: the mag is made of `finer`."""
    finer: Mag | None = None
    """A mag of the layer that is there, or that an earlier recipe makes."""
    kernel: str = ""
    """How a voxel is made of a block of `finer`."""
    copied: Provenance | None = None
    """How the mag was made that is copied, where that is known."""

    @property
    def provenance(self) -> Provenance | None:
        """What is recorded of how the mag was made; None if that is not known."""
        return Provenance(self.finer, self.kernel) if self.finer else self.copied


Recipe: TypeAlias = Callable[[SourceLayer], Iterable[MagRecipe]]
"""Which mags a layer gets, and what each is made of: all in which commands differ."""


@dataclass(frozen=True)
class PlannedStep:
    """One step of a conversion, and its route."""

    layer: SourceLayer
    step: Step[WriteShards]
    route: Route


@dataclass(frozen=True)
class _Made:
    """A recipe with its ends."""

    recipe: MagRecipe
    source: Source
    sink: Sink


def planned_steps(
    layer: SourceLayer, recipes: Iterable[MagRecipe], writer: DatasetSink, budget: Budget
) -> Iterator[PlannedStep]:
    """The steps that make a layer's mags; mags that are made of one another go together where that is cheap."""
    made = _with_ends(layer, recipes, writer)
    while made:
        follows = takewhile(lambda pair: _could_follow(*(each.recipe for each in pair)), pairwise(made))
        chain = made[: 1 + len(list(follows))]
        kernel = chain[-1].recipe.kernel if len(chain) > 1 else ""
        step, route = planned(made[0].source, [WriteShards(each.sink) for each in chain], kernel, budget)
        yield PlannedStep(layer, step, route)
        made = made[len(step.sinks) :]


def _with_ends(layer: SourceLayer, recipes: Iterable[MagRecipe], writer: DatasetSink) -> list[_Made]:
    """The recipes with their sources and sinks."""
    there: dict[Mag, Source] = dict(layer.mags)
    known_by = dict(there)
    """What tells where each mag holds anything: itself; while it is being written, what it is made of."""
    made = []
    for recipe in recipes:
        spec, sink, source = recipe.spec, writer.layer(recipe.spec), recipe.source
        if source is None:
            assert recipe.finer, "a mag is copied, or made of a finer one"
            finer, factor = there[recipe.finer], factor_between(recipe.finer, spec.mag)
            extent = finer.info.extent
            source = Downsampled(finer, extent, factor, recipe.kernel, known_by[recipe.finer])
        there[spec.mag], known_by[spec.mag] = sink.source(), source
        made.append(_Made(recipe, source, sink))
    return made


def _could_follow(first: MagRecipe, second: MagRecipe) -> bool:
    """Whether a mag can be made while the voxels of the one before are in memory: a halo would need more of them."""
    return second.source is None and second.finer == first.spec.mag and not any(downsampler(second.kernel).halo)


# --- what `auto` and `cube` make -------------------------------------------------------------------------------------


def pyramid(
    layer: SourceLayer, settings: Settings, size: VoxelSize | None, existing: Collection[Mag]
) -> Iterator[MagRecipe]:
    """Copy the finest mag; make each coarser one of the one before, or copy it where the source has it.

    `existing` are the mags of the dataset's other layers. Raises OptionError.
    """
    kernel = kernel_of(layer, settings)
    source, box = layer.mags[layer.finest], _own_extent(layer, settings)
    first = _first_mag(layer, settings)
    if first != layer.finest:
        source = Downsampled(source, box, factor_between(layer.finest, first), kernel, source)
        box = source.box
    yield MagRecipe(spec_of(layer, settings, source, first, box), source, copied=Provenance())
    finer = first
    for mag in _coarser(layer, first, size, settings, existing) if settings.downsample else []:
        spec = spec_of(layer, settings, source, mag, box.coarsened(factor_between(first, mag)))
        own = layer.mags.get(mag) if settings.keeps_pyramid else None
        if own and own.info.extent == spec.box:  # the very mag that would be made
            yield MagRecipe(spec, own, copied=Provenance())
        else:
            yield MagRecipe(spec, None, finer, kernel)
        finer = mag


def extent(layer: SourceLayer, settings: Settings) -> Box:
    """The layer's true extent, in mag-1 voxels."""
    return _own_extent(layer, settings).refined(layer.finest)


def _own_extent(layer: SourceLayer, settings: Settings) -> Box:
    """The same in voxels of the source's finest mag."""
    x, y, z = layer.info.offset
    return Box((x, y, z + settings.start_z), layer.info.shape)


def _first_mag(layer: SourceLayer, settings: Settings) -> Mag:
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


def _coarser(
    layer: SourceLayer, first: Mag, size: VoxelSize | None, settings: Settings, existing: Collection[Mag]
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


# --- what all commands make ------------------------------------------------------------------------------------------


def spec_of(
    layer: SourceLayer, settings: Settings, source: Source, mag: Mag, box: Box, data_format: str = ""
) -> MagSpec:
    """One mag of a layer, to be written in a format (default: that of `--to`)."""
    info = source.info
    return MagSpec(
        layer.name, layer.category, mag, box, info.dtype, info.channels, data_format=data_format or settings.to
    )


def kernel_of(layer: SourceLayer, settings: Settings) -> str:
    """The name of the kernel that makes a layer's coarser mags."""
    if settings.interpolation_mode != "default":
        return settings.interpolation_mode
    return "median" if layer.category == "color" else "mode"
