"""From layers to steps: which mags a layer gets, and what each is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import TypeAlias

from wkconvert_core.contract.abilities import Reference, reference_of
from wkconvert_core.contract.errors import OptionError, UnsupportedSource
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import DatasetSink, MagSpec, Sink, Source
from wkconvert_core.contract.notes import WarningNote, about
from wkconvert_core.contract.voxel_size import VoxelSize, proportions
from wkconvert_core.conversion.settings import FINEST, Settings
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.datasets.records.provenance import Provenance
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.engine.estimate import Chain
from wkconvert_core.planning.costs import Budget, Route
from wkconvert_core.planning.mag_schedule import schedule
from wkconvert_core.planning.route import planned
from wkconvert_core.planning.step import Step
from wkconvert_core.registry.plugins import downsampler, plugins
from wkconvert_core.sources.downsampled import Downsampled


@dataclass(frozen=True)
class MagRecipe:
    """One mag to be written, and what it is made from: a copy of `source`, or of `finer` by `kernel`.

    >>> import numpy as np
    >>> spec = MagSpec("em", "color", Mag(2, 2, 1), Box((0, 0, 0), (50, 50, 30)), np.dtype("uint8"), 1)
    >>> MagRecipe(spec, None, Mag(1, 1, 1), "median").provenance.document
    ['1', 'median']
    >>> MagRecipe(spec, source=object()).provenance is None
    True
    """

    spec: MagSpec
    source: Source | None = None
    """The source to copy; None: the mag is made from `finer`."""
    finer: Mag | None = None
    """A mag of the layer that exists, or that an earlier recipe makes."""
    kernel: str = ""
    """Name of the downsampler."""
    copied: Provenance | None = None
    """How the copied mag was made; None if unknown."""

    @property
    def provenance(self) -> Provenance | None:
        """How the mag is made, as the run records it; None if unknown."""
        return Provenance(self.finer, self.kernel) if self.finer else self.copied


Recipe: TypeAlias = Callable[[SourceLayer], Iterable[MagRecipe]]
"""The mags that a layer gets, and what each is made from."""


@dataclass(frozen=True)
class PlannedStep:
    """One step of a conversion, and its route."""

    layer: SourceLayer
    step: Step[WriteShards]
    route: Route
    is_first: bool = True
    """Whether it reads what is there already, not a mag that an earlier step writes."""


def planned_steps(
    layer: SourceLayer, recipes: Iterable[MagRecipe], writer: DatasetSink, budget: Budget
) -> Iterator[PlannedStep]:
    """Plan the steps that make a layer's mags; a step makes several mags in one pass where that is cheap.

    Raises OptionError and TargetError for what the format cannot hold, ResourceError for too small a budget.
    """
    readable: dict[Mag, Source] = dict(layer.mags)
    # Where each mag will be non-zero is known from what it is made of: while it is being written, not from itself.
    predicted: dict[Mag, Source] = dict(layer.mags)
    made: list[tuple[MagRecipe, Source, Sink]] = []
    written = set[Mag]()
    for recipe in recipes:
        spec, sink, source = recipe.spec, writer.layer(recipe.spec), recipe.source
        if source is None:
            assert recipe.finer, "a mag is copied, or made from a finer one"
            finer, factor = readable[recipe.finer], spec.mag // recipe.finer
            extent = finer.info.extent
            source = Downsampled(finer, extent, factor, recipe.kernel, predicted[recipe.finer])
        readable[spec.mag], predicted[spec.mag] = sink.source(), source
        made.append((recipe, source, sink))

    def can_follow(first: MagRecipe, second: MagRecipe) -> bool:
        """Whether the second mag can be made from voxels of the first in memory; a halo would need its neighbours."""
        return second.source is None and second.finer == first.spec.mag and not any(downsampler(second.kernel).halo)

    while made:
        follows = takewhile(lambda pair: can_follow(pair[0][0], pair[1][0]), pairwise(made))
        chain = made[: 1 + len(list(follows))]
        kernel = chain[-1][0].kernel if len(chain) > 1 else ""
        step, route = planned(made[0][1], [WriteShards(sink) for _, _, sink in chain], kernel, budget)
        yield PlannedStep(layer, step, route, made[0][0].finer not in written)
        written.update(sink.spec.mag for sink in step.sinks)
        made = made[len(step.sinks) :]


def chains(steps: Iterable[PlannedStep]) -> list[Chain]:
    """The steps, grouped by the source that the first of each group reads, to be sampled."""
    found: list[Chain] = []
    for made in steps:
        if made.is_first:
            found.append(Chain([]))
        found[-1].steps.append((made.step, made.route))
    return found


# --- recipes ---------------------------------------------------------------------------------------------------------


def pyramid(
    layer: SourceLayer, settings: Settings, size: VoxelSize | None, existing: Collection[Mag]
) -> Iterator[MagRecipe]:
    """The recipe of `auto` and `cube`: copy the finest mag, and make each coarser one from the one before.

    A coarser mag is copied instead if the source has it. `existing` are the mags of the dataset's other layers, `size`
    is the voxel size of mag 1. Raises OptionError for a `--target-mag` finer than the source.
    """
    kernel, source, box, first = kernel_of(layer, settings), layer.mags[layer.finest], layer.box, layer.finest
    spec = spec_of(layer, settings, source, first, box)
    if settings.target_mag not in (FINEST, layer.finest):
        first = settings.target_mag
        if any(wanted < own for wanted, own in zip(first, layer.finest, strict=True)):
            raise OptionError(
                f"--target-mag {first} cannot be made of {layer.found.path}",
                why=f"its finest mag is {layer.finest}",
                fix=f"say --target-mag {layer.finest} or a coarser one",
            )
        source = Downsampled(source, box, first // layer.finest, kernel, source)
        spec = replace(spec, mag=first, box=source.box)
    yield MagRecipe(spec, source, copied=Provenance())
    if not settings.downsample:
        return
    # Mags of the dataset's other layers come first, then the source's own; the voxel size decides on the others.
    taken, sides = [*existing], {max(mag) for mag in existing}
    if settings.keeps_pyramid:
        taken += [mag for mag in layer.mags if max(mag) not in sides]
    finer = first
    for mag in schedule(
        proportions(size),
        layer.extent.shape,
        max_mag=settings.max_mag,
        sampling_mode=settings.sampling_mode,
        start=first,
        existing=[mag for mag in taken if max(mag) > max(first)],
    ):
        coarser = replace(spec, mag=mag, box=spec.box.coarsened(mag // first))
        takes_own = settings.keeps_pyramid and (settings.by_reference or not any(layer.shift))
        own = layer.mags.get(mag) if takes_own else None
        if own and layer.box_of(mag) == coarser.box:  # the very mag that would be made
            yield MagRecipe(coarser, own, copied=Provenance())
        else:
            yield MagRecipe(coarser, None, finer, kernel)
        finer = mag


def by_reference(
    layer: SourceLayer, made: Iterable[MagRecipe]
) -> tuple[dict[Mag, Reference], list[MagRecipe], list[WarningNote]]:
    """The mags of a layer that a dataset can list where they lie, and the recipes of those that are to be written.

    Where nobody writes the form of the listed ones, none is written, which a note tells.

    The finest mag is never written. Raises UnsupportedSource if it cannot be listed, or would lie elsewhere.
    """
    finest, *coarser = made
    own = layer.mags[layer.finest]
    ask = reference_of(own)
    what, fix = f"the layer {layer.name} cannot be listed by reference", "leave --by-reference out, to copy its voxels"
    if ask is None or finest.source is not own:
        why = f"{layer.found.path} is in no format of mags, or its voxels are cast, cropped or mirrored on their way"
        raise UnsupportedSource(what, why=why, fix=fix)
    first = ask()
    if first.start != finest.spec.box.start:
        place, start = (",".join(map(str, at * layer.finest)) for at in (finest.spec.box.start, first.start))
        why = f"its first voxel is to lie at {place}, and a mag has it where {layer.found.path} does, at {start}"
        raise UnsupportedSource(what, why=why, fix=f"list it there with --top-left {start}, or {fix}")
    listed, written = {finest.spec.mag: first}, []
    for recipe in coarser:
        ask = reference_of(recipe.source) if recipe.source else None
        found = ask() if ask else None
        if found and found.data_format == first.data_format and found.start == recipe.spec.box.start:
            listed[recipe.spec.mag] = found
        else:
            written.append(replace(recipe, spec=replace(recipe.spec, data_format=first.data_format)))
    if not written or first.data_format in plugins().mag_formats():
        return listed, written, []
    left = ", ".join(str(recipe.spec.mag) for recipe in written)
    told = f"mags {left} are not made, as a layer has one form of mags, and nobody writes {first.data_format}"
    return listed, [], [WarningNote(about(layer.name, told))]


def spec_of(
    layer: SourceLayer, settings: Settings, source: Source, mag: Mag, box: Box, data_format: str = ""
) -> MagSpec:
    """The spec of a mag with the dtype and channels of `source`; `data_format` defaults to that of `--to`."""
    info = source.info
    return MagSpec(
        layer.name, layer.category, mag, box, info.dtype, info.channels, data_format=data_format or settings.to
    )


def kernel_of(layer: SourceLayer, settings: Settings) -> str:
    """Name of the kernel for a layer's coarser mags: as asked, else `median` for color and `mode` for segmentation.

    >>> from types import SimpleNamespace as Example
    >>> image, labels = Example(category="color"), Example(category="segmentation")
    >>> kernel_of(image, Settings()), kernel_of(labels, Settings())
    ('median', 'mode')
    >>> kernel_of(labels, Settings(interpolation_mode="max"))
    'max'
    """
    if settings.interpolation_mode != "default":
        return settings.interpolation_mode
    return "median" if layer.category == "color" else "mode"
