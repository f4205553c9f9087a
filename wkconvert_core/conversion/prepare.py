"""Deciding a conversion: every step is planned, checked and priced before anything is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from wkconvert_core.cluster.spec import STRATEGIES
from wkconvert_core.contract.errors import OptionError, one_of
from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.model import DatasetSink, DatasetSpec, LayerSpec, Sink
from wkconvert_core.contract.notes import WarningNote, about
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.placement import placed
from wkconvert_core.conversion.settings import FINEST, Settings, checked_places
from wkconvert_core.conversion.source_layer import SourceLayer, grids, notes_on
from wkconvert_core.conversion.steps import MagRecipe, PlannedStep, Recipe, by_reference, chains, planned_steps, pyramid
from wkconvert_core.conversion.voxel_sizes import voxel_size, with_sizes_noted
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.destination import Destination, NewDataset, Replacement
from wkconvert_core.datasets.naming import PROPERTIES_FILE, dataset_name
from wkconvert_core.datasets.places import free_bytes
from wkconvert_core.datasets.records.existing_layers import ExistingLayers, existing_layers
from wkconvert_core.datasets.records.journal import Request
from wkconvert_core.datasets.writer import DatasetWriter, referenced_entry
from wkconvert_core.engine.estimate import Estimate, estimated
from wkconvert_core.engine.resources import budget_of
from wkconvert_core.planning.costs import Budget
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.sources.intensity_range import intensity_range
from wkconvert_core.sources.views import Cast
from wkconvert_core.toolkit.files import is_file
from wkconvert_core.toolkit.folders import fingerprint
from wkconvert_core.toolkit.shortened import shorten

LISTED = 5
"""Most layers whose extents are named where they differ."""


@dataclass(frozen=True)
class Inputs:
    """The source of a command, and the settings by which it is written."""

    command: str
    src: Path | str
    """A resolved path, or a URL."""
    settings: Settings
    layers: Sequence[SourceLayer]
    extents: Mapping[str, Box]
    """Extent of each layer, in mag-1 voxels."""
    voxel_size: VoxelSize | None
    budget: Budget
    writer: Callable[[Path], DatasetSink]
    """Makes the writer of a dataset in a folder."""
    fingerprint: str | Mapping[str, str] = ""
    """Digest of the files that are read, or one per layer; "": that of all of `src`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More facts that identify the request, in JSON types."""
    notes: Sequence[str] = ()
    """Notes for the user on the source as a whole, a sentence each."""
    lists_mags: bool = False
    """True if the metadata list mags that are not written, so that there is something to do without a step."""
    keeps_metadata: bool = False
    """True if existing metadata (largest id, value range) take precedence over values measured in this run."""


@dataclass(frozen=True, repr=False)
class Conversion:
    """A conversion of which everything is decided and nothing written."""

    inputs: Inputs
    destination: Destination
    request: Request
    writer: DatasetSink
    steps: Sequence[PlannedStep]
    estimate: Estimate | None = None
    """Estimated time and disk space; None as long as nobody asked `with_estimate`."""

    def __repr__(self) -> str:
        """`<Conversion of em.tif to em: layers color; 2 steps>`."""
        return (
            f"<Conversion of {self.src} to {self.dst}: layers {shorten(self.request.layers)}; {len(self.steps)} steps>"
        )

    @property
    def src(self) -> Path | str:
        """The source: a resolved path, or a URL."""
        return self.inputs.src

    @property
    def dst(self) -> Path:
        """The target."""
        return self.destination.path

    @property
    def voxel_size(self) -> VoxelSize | None:
        """Voxel size of mag 1."""
        return self.inputs.voxel_size

    @property
    def free(self) -> int:
        """Bytes free on the target's disk."""
        return self.inputs.budget.scratch

    @property
    def layers(self) -> list[SourceLayer]:
        """The layers of which any mags are written."""
        return [layer for layer in self.inputs.layers if layer.name in self.request.extents]

    @property
    def notes(self) -> list[str]:
        """Notes on what is decided, to be known before the work: on the source as a whole, then on its layers."""
        on_layers, boxes = notes_on(self.layers), self.request.extents
        if len(set(boxes.values())) > 1:
            listed = "; ".join(f"{name} {box}" for name, box in list(boxes.items())[:LISTED])
            more = f"; and {len(boxes) - LISTED} more" if len(boxes) > LISTED else ""
            told = f"the layers differ in extent: {listed}{more}"
            is_stated = all(layer.info.affine for layer in self.layers)  # then each lies where it should
            on_layers.insert(0, told if is_stated else WarningNote(told))
        return [*self.inputs.notes, *on_layers]

    @property
    def sinks(self) -> dict[str, list[Sink]]:
        """The sinks of each layer's mags, finest first."""
        return {
            name: [sink for planned in self.steps if planned.layer.name == name for sink in planned.step.sinks]
            for name in self.request.layers
        }

    @property
    def raw_bytes(self) -> int:
        """Bytes of all voxels of all mags, uncompressed."""
        return sum(planned.step.raw_bytes for planned in self.steps)

    @property
    def needed(self) -> int:
        """Upper bound on the bytes that the run takes on disk, scratch included."""
        written = sum(planned.step.most_bytes for planned in self.steps)
        return written + max((planned.route.scratch for planned in self.steps), default=0)

    @property
    def useful_workers(self) -> int:
        """On a cluster, the number of workers that the longest step can occupy; 0 elsewhere."""
        on_cluster = self.inputs.settings.strategy in STRATEGIES
        routes = [planned.route for planned in self.steps] if on_cluster else []
        return max((-(-route.tasks // route.workers) for route in routes), default=0)

    @property
    def memory(self) -> int:
        """Peak bytes of all processes together; on a cluster, of one worker."""
        return max((planned.route.memory for planned in self.steps), default=0)

    def with_estimate(self) -> Conversion:
        """The same, with an estimate from samples, which takes some seconds and leaves nothing behind."""
        return replace(self, estimate=estimated(chains(self.steps), self.inputs.writer, self.inputs.budget))


def prepare(inputs: Inputs, destination: Destination, recipe: Recipe) -> Conversion:
    """Decide and check everything, and write nothing. Commands differ in their recipe: which mags are made of what.

    Layers for which the recipe gives no mags are left out. Raises TargetExists, OptionError, TargetError for what the
    mags' format cannot hold, ResourceError for too small a budget.
    """
    recipes = {layer.name: made for layer in inputs.layers if (made := list(recipe(layer)))}
    layers = [layer for layer in inputs.layers if layer.name in recipes]
    request = _request(inputs, layers, recipes, within=inputs.src == destination.path)
    destination.check(request)
    writer = inputs.writer(destination.building)
    steps = [step for layer in layers for step in planned_steps(layer, recipes[layer.name], writer, inputs.budget)]
    return Conversion(inputs, destination, request, writer, steps)


def _request(
    inputs: Inputs, layers: Sequence[SourceLayer], recipes: Mapping[str, Sequence[MagRecipe]], *, within: bool
) -> Request:
    """The request that identifies the run. One `within` a dataset names no path to read: the dataset may be moved."""
    src, digest = inputs.src, inputs.fingerprint
    if not digest and not within:
        digest = fingerprint(src) if isinstance(src, Path) else hashlib.sha256(src.encode()).hexdigest()
    infos = {layer.name: {str(mag): source.info for mag, source in layer.mags.items()} for layer in layers}
    casts = [(layer.name, source) for layer in layers for source in layer.mags.values() if isinstance(source, Cast)]
    ranges = {name: source.values for name, source in casts if source.values}
    facts = {
        "layers": {  # a header beside the source may change these without changing the source's fingerprint
            name: {mag: f"{it.channels} x {it.dtype}, {it.extent}, chunks {it.chunk_shape}" for mag, it in mags.items()}
            for name, mags in infos.items()
        },
        "readers": {name: plugins().version_of(name) for name in sorted({it.found.match.format for it in layers})},
        "voxel_sizes": [[*size.size, size.unit] for layer in layers if (size := layer.voxel_size)],
        **inputs.facts,
        **({"ranges": ranges} if ranges else {}),  # what `--range auto` found
    }
    return Request(
        inputs.command,
        "" if within else _name_of(src),
        settings=inputs.settings.plan(),
        fingerprint=digest,
        extents={layer.name: inputs.extents[layer.name] for layer in layers},
        provenance={
            name: {each.spec.mag: how for each in mags if (how := each.provenance)} for name, mags in recipes.items()
        },
        facts=facts,
    )


def _name_of(src: Path | str) -> str:
    """The last part of a source's path or URL: where it lies is not published.

    >>> _name_of(Path("/home/ada/em")), _name_of("https://ada:secret@host/bucket/em?key=secret")
    ('em', 'em')
    """
    return src.name if isinstance(src, Path) else PurePosixPath(urlsplit(src).path).name


def prepare_conversion(src: Path | str, dst: Path, settings: Settings, *, command: str = "auto") -> Conversion:
    """Decide how `src`, a path or a URL, becomes a dataset. Behind `wkconvert auto` and `cube`.

    Raises errors of `wkconvert_core.contract.errors`.
    """
    settings.check()
    src, dst = checked_places(src, Path(dst))
    name, budget = dataset_name(settings.name or dst.name), budget_of(settings, free_bytes(dst))
    layers = open_source(src, settings, plugins(), budget)
    existing = existing_layers(dst, [layer.name for layer in layers]) if settings.add else ExistingLayers()
    layers = placed(layers, settings, existing)
    extents = {layer.name: layer.extent for layer in layers}
    remedy = "say --overwrite to replace the dataset, --add to add layers to it, or choose another DST"
    destination = Replacement(dst) if settings.overwrite else NewDataset(dst, settings.add, remedy)
    own = Dataset.finished(dst).voxel_size if settings.add and is_file(dst / PROPERTIES_FILE) else None
    wanted = settings.voxel_size.filled(own) if settings.voxel_size and own else settings.voxel_size or own
    size = voxel_size(layers, wanted) if settings.metadata else None
    if size:
        layers = with_sizes_noted(layers, size, settings.voxel_size, own)
    mags = {*existing.mags, *(layer.finest for layer in layers if layer.finest != FINEST)}

    def recipe(layer: SourceLayer) -> Iterator[MagRecipe]:
        for made in pyramid(layer, settings, size, frozenset(mags)):
            mags.add(made.spec.mag)
            yield made

    def writer(folder: Path) -> DatasetSink:
        return writer_of(settings, folder, DatasetSpec(name, size))

    facts = grids(layers, settings, existing)
    inputs = Inputs(command, src, settings, layers, extents, size, budget, writer, facts=facts)
    return prepare(*_listing(inputs, destination, recipe) if settings.by_reference else (inputs, destination, recipe))


def _listing(inputs: Inputs, destination: Destination, recipe: Recipe) -> tuple[Inputs, Destination, Recipe]:
    """The inputs and recipe by which a dataset lists the source's mags where they lie, and only others are written."""
    written: dict[str, list[MagRecipe]] = {}
    entries, places, notes = [], dict[str, list[str]](), list[str]()
    for layer in inputs.layers:
        listed, written[layer.name], told = by_reference(layer, recipe(layer))
        notes += told
        info, coarsest = layer.info, layer.mags[max(mag for mag in listed if mag in layer.mags)]
        is_open = layer.category == "color" and info.dtype != "uint8" and not layer.intensity_range
        shown = intensity_range(coarsest) if is_open else layer.intensity_range
        box = inputs.extents[layer.name]
        spec = LayerSpec(layer.name, layer.category, box, info.dtype, info.channels, (), intensity_range=shown)
        entries.append(referenced_entry(replace(spec, color=layer.color), listed, destination.path))
        places[layer.name] = [str(mag) for mag in listed]
        notes.append(about(layer.name, f"listed where they lie, without a copy: mags {', '.join(places[layer.name])}"))
    of_listed = [layer for layer in inputs.layers if not written[layer.name]]

    def writer(folder: Path) -> DatasetSink:
        made = inputs.writer(folder)
        assert isinstance(made, DatasetWriter), "--by-reference excludes --to"
        return replace(made, listed=entries)

    changed = replace(
        inputs,
        writer=writer,
        facts={**inputs.facts, "by_reference": places},
        notes=[*inputs.notes, *notes_on(of_listed), *notes],
        lists_mags=True,
        keeps_metadata=True,
    )
    return changed, destination, lambda layer: written[layer.name]


def writer_of(settings: Settings, folder: Path, spec: DatasetSpec) -> DatasetSink:
    """The writer of the format that `--to` names. Raises OptionError if no plugin has it, InconsistentStack."""
    loaded, options = plugins(), settings.writer_options
    if settings.to in loaded.mag_formats():
        writer = DatasetWriter(folder, spec, options)
        writer.check()
        return writer
    if settings.to in loaded.exports().keys() - loaded.writers().keys():
        fix = f"convert to a dataset first; wkconvert export DST OUT --to {settings.to} makes the file of it"
        raise OptionError(f"--to {settings.to} is one file of a layer, and no dataset", fix=fix)
    sink: DatasetSink | None = loaded.hook.wkconvert_create(format=settings.to, path=folder, spec=spec, options=options)
    if sink is None:
        raise OptionError(f"no plugin writes {settings.to!r}", fix=one_of(sorted(loaded.writers()), settings.to))
    return sink
