"""New mags for an existing dataset: the common part of `downsample` and `upsample`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import DatasetSpec, MagSpec
from wkconvert_core.contract.voxel_size import proportions
from wkconvert_core.conversion.opening import open_dataset
from wkconvert_core.conversion.prepare import Conversion, Inputs, prepare
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.conversion.steps import MagRecipe, spec_of
from wkconvert_core.datasets.checksums import check_no_empty_mag
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.destination import ExtendedDataset
from wkconvert_core.datasets.places import free_bytes
from wkconvert_core.datasets.writer import DatasetWriter
from wkconvert_core.engine.resources import budget_of
from wkconvert_core.planning.mag_schedule import schedule
from wkconvert_core.toolkit.folders import fingerprint


@dataclass(frozen=True)
class MagPlanner:
    """Decides which mags a dataset's layers should get."""

    dataset: Dataset
    settings: Settings

    def coarser(self, layer: SourceLayer, start: Mag, taken: Collection[Mag], max_mag: int | None) -> list[Mag]:
        """The mags coarser than `start` that a layer should have, given the mags `taken` by the dataset's layers."""
        return schedule(
            proportions(self.dataset.voxel_size),
            self.dataset.layers[layer.name].box.shape,
            max_mag=max_mag,
            sampling_mode=self.settings.sampling_mode,
            start=start,
            existing=[mag for mag in taken if max(mag) > max(start)],
        )

    def is_elsewhere(self, layer: SourceLayer, mag: Mag) -> bool:
        """Whether the dataset lists a mag on a server or outside its folder."""
        return (layer.name, mag) in self.dataset.foreign_mags

    def spec(self, layer: SourceLayer, mag: Mag, box: Box) -> MagSpec:
        """The spec of a new mag, in the layer's own format and with the dtype of its finest mag."""
        data_format = self.dataset.layers[layer.name].data_format
        return spec_of(layer, self.settings, layer.mags[layer.finest], mag, box, data_format)


NewMags: TypeAlias = Callable[[MagPlanner, SourceLayer, Mag, Collection[Mag]], Iterator[MagRecipe]]
"""The recipes of a layer's new mags, given the mag to start from and the mags of all layers so far."""


def prepare_new_mags(
    dst: Path, settings: Settings, verb: str, new_mags: NewMags, names: Sequence[str], start: Mag | None
) -> Conversion:
    """Decide which mags a dataset gets, and write nothing; existing mags stay as they are.

    `names` are the layers (none: all), `start` the mag from which the first new one is made (None: each layer's
    finest). Raises SourceNotFound if there is no dataset, OptionError for a layer or a mag that it does not have,
    UnsupportedSource for a mag without shards on the way, TargetExists for a mag that exists without being listed.
    """
    settings.check()
    dst = dst.resolve()
    dataset, budget = Dataset.finished(dst, follow=settings.follow), budget_of(settings, free_bytes(dst))
    layers = open_dataset(dataset, names, budget)
    planner = MagPlanner(dataset, settings)
    taken = {mag for layer in dataset.layers.values() for mag in layer.mags}
    recipes: dict[str, list[MagRecipe]] = {}
    for layer in layers:
        begin = start or layer.finest
        dataset.check_mag("from-mag", layer.name, begin)
        recipes[layer.name] = list(new_mags(planner, layer, begin, taken))
        made = {recipe.spec.mag for recipe in recipes[layer.name]}
        on_the_way = [mag for mag in layer.mags if made and begin <= mag <= max(begin, *made)]
        check_no_empty_mag(dataset, layer.name, on_the_way)
        taken |= made
    first = {name: min(recipe.spec.mag for recipe in each) for name, each in recipes.items() if each}
    fingerprints = {}
    for name, new in first.items():  # of the existing mag from which the first new one is made
        mags = dataset.of(name)
        begin = start or min(mags)
        made_from = max((mag for mag in mags if begin <= mag < new and mags[mag].exists), default=begin)
        fingerprints[name] = fingerprint(mags[made_from].place)
    inputs = Inputs(
        f"{verb}-{min(first.values())}" if first else verb,
        dst,
        settings,
        layers,
        {layer.name: dataset.layers[layer.name].box for layer in layers},
        dataset.voxel_size,
        budget,
        lambda folder: DatasetWriter(
            folder, DatasetSpec(dst.name, dataset.voxel_size), options=settings.writer_options
        ),
        fingerprint=fingerprints,
        notes=dataset.left_alone_in(names),
        keeps_metadata=True,
    )
    folders = [(name, dst / name / str(recipe.spec.mag)) for name, each in recipes.items() for recipe in each]
    return prepare(inputs, ExtendedDataset(dst, folders), lambda layer: recipes[layer.name])
