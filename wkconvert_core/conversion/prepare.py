"""A conversion, decided and priced in every step, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wkconvert_core.cluster.spec import STRATEGIES
from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.model import DatasetSink, DatasetSpec, Source
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.conversion.opening import SourceLayer, open_source, voxel_size
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.steps import MagRecipe, PlannedStep, Recipe, extent, planned_steps, pyramid
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.destination import Destination, NewDataset, Replacement, checked_places, free_bytes
from wkconvert_core.datasets.journal import Request
from wkconvert_core.datasets.naming import PROPERTIES_FILE, dataset_name
from wkconvert_core.datasets.writer import DatasetWriter
from wkconvert_core.engine.resources import budget_of
from wkconvert_core.planning.route import Budget
from wkconvert_core.registry.detection import location
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.files import fingerprint


@dataclass(frozen=True)
class Inputs:
    """What a command reads, and how it wants that to be written."""

    command: str
    src: Path | str
    """A path, or a URL."""
    settings: Settings
    layers: Sequence[SourceLayer]
    extents: Mapping[str, Box]
    """Each layer's true extent, in mag-1 voxels."""
    voxel_size: VoxelSize | None
    budget: Budget
    writer: Callable[[Path], DatasetSink]
    """What writes in a folder."""
    fingerprint: str | Mapping[str, str] = ""
    """Of what is read; empty: of all of `src`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else makes the request this request."""
    keeps_metadata: bool = False
    """Whether existing metadata know more of ids and values than the mags that are written."""


@dataclass(frozen=True)
class Conversion:
    """Everything decided, nothing written."""

    inputs: Inputs
    destination: Destination
    request: Request
    writer: DatasetSink
    steps: Sequence[PlannedStep]

    @property
    def src(self) -> Path | str:
        """What is read."""
        return self.inputs.src

    @property
    def dst(self) -> Path:
        """What the user named."""
        return self.destination.path

    @property
    def voxel_size(self) -> VoxelSize | None:
        """Of the dataset."""
        return self.inputs.voxel_size

    @property
    def free(self) -> int:
        """Bytes free where the target lies."""
        return self.inputs.budget.scratch

    @property
    def layers(self) -> list[SourceLayer]:
        """The layers of which mags are written."""
        return [layer for layer in self.inputs.layers if layer.name in self.request.extents]

    @property
    def raw_bytes(self) -> int:
        """Bytes of all voxels of all mags, uncompressed."""
        return sum(planned.step.raw_bytes for planned in self.steps)

    @property
    def needed(self) -> int:
        """Disk space that the run takes at most, scratch included."""
        written = sum(planned.step.most_bytes for planned in self.steps)
        return written + max((planned.route.scratch for planned in self.steps), default=0)

    @property
    def useful_workers(self) -> int:
        """On a cluster, how many workers have something to do in the longest step; 0 elsewhere."""
        on_cluster = self.inputs.settings.strategy in STRATEGIES
        routes = [planned.route for planned in self.steps] if on_cluster else []
        return max((-(-route.tasks // route.workers) for route in routes), default=0)

    @property
    def memory(self) -> int:
        """Peak bytes of all processes together; on a cluster, of one worker."""
        return max((planned.route.memory for planned in self.steps), default=0)


def prepare(inputs: Inputs, destination: Destination, recipe: Recipe) -> Conversion:
    """Decide and check everything, and write nothing; a command is its recipe.

    Layers of which no mag is due are left out. Raises TargetExists, OptionError, TargetError for what the format of the
    mags cannot hold, ResourceError for too small a budget.
    """
    recipes = {layer.name: list(recipe(layer)) for layer in inputs.layers}
    request = _request(inputs, recipes)
    destination.check(request)
    writer = inputs.writer(destination.building)
    steps = [
        step for layer in inputs.layers for step in planned_steps(layer, recipes[layer.name], writer, inputs.budget)
    ]
    return Conversion(inputs, destination, request, writer, steps)


def _request(inputs: Inputs, recipes: Mapping[str, Sequence[MagRecipe]]) -> Request:
    layers = [layer for layer in inputs.layers if recipes[layer.name]]
    readers = {layer.found.match.format for layer in layers}
    facts = {
        "layers": {layer.name: {str(mag): _facts(source) for mag, source in layer.mags.items()} for layer in layers},
        "readers": {reader: plugins().version_of(reader) for reader in sorted(readers)},
        "voxel_sizes": [[*size.size, size.unit] for layer in layers if (size := layer.voxel_size)],
    }
    return Request(
        inputs.command,
        str(inputs.src),
        inputs.fingerprint or fingerprint(inputs.src),
        inputs.settings.plan(),
        {layer.name: inputs.extents[layer.name] for layer in layers},
        {
            layer.name: {each.spec.mag: made for each in recipes[layer.name] if (made := each.provenance)}
            for layer in layers
        },
        {**facts, **inputs.facts},
    )


def _facts(source: Source) -> str:
    """What a header beside the source may decide: the fingerprint alone would not show it."""
    info = source.info
    return f"{info.channels} x {info.dtype}, {info.extent}, chunks {info.chunk_shape}"


def prepare_conversion(src: Path | str, dst: Path, settings: Settings, *, command: str = "auto") -> Conversion:
    """Decide how whatever is at `src`, a path or a URL, becomes a dataset. Behind `wkconvert auto` and `cube`."""
    settings.check()
    src, dst = location(src), Path(dst).resolve()
    if isinstance(src, Path):
        src, dst = checked_places(src, dst)
    name, budget = dataset_name(settings.name or dst.name), budget_of(settings, free_bytes(dst))
    layers = open_source(src, settings, plugins(), budget)
    extents = {layer.name: extent(layer, settings) for layer in layers}
    destination: Destination = Replacement(dst) if settings.overwrite else NewDataset(dst, settings.add, _REMEDY)
    there = Dataset.finished(dst) if settings.add and (dst / PROPERTIES_FILE).is_file() else None
    size = (
        voxel_size(layers, settings.voxel_size or (there.voxel_size if there else None)) if settings.metadata else None
    )
    existing = {mag for layer in there.layers.values() for mag in layer.mags} if there else set()

    def recipe(layer: SourceLayer) -> list[MagRecipe]:
        recipes = list(pyramid(layer, settings, size, existing))
        existing.update(each.spec.mag for each in recipes)
        return recipes

    def writer(folder: Path) -> DatasetSink:
        return writer_of(settings, folder, DatasetSpec(name, size))

    return prepare(Inputs(command, src, settings, layers, extents, size, budget, writer), destination, recipe)


_REMEDY = "say --overwrite to replace the dataset, --add to add layers to it, or choose another DST"


def writer_of(settings: Settings, folder: Path, spec: DatasetSpec) -> DatasetSink:
    """What writes the format that `--to` names. Raises OptionError where nothing does, InconsistentStack."""
    loaded, options = plugins(), settings.writer_options
    if settings.to in loaded.mag_formats():
        writer = DatasetWriter(folder, spec, options)
        writer.check()
        return writer
    sink: DatasetSink | None = loaded.hook.wkconvert_create(format=settings.to, path=folder, spec=spec, options=options)
    if sink is None:
        raise OptionError(f"nothing writes {settings.to!r}", fix="`wkconvert plugins` lists what is installed")
    return sink
