"""A conversion, decided and priced in every step, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wkconvert_core import __version__
from wkconvert_core.cluster import session as cluster
from wkconvert_core.cluster.spec import STRATEGIES
from wkconvert_core.contract.errors import OptionError, check_known
from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.model import DatasetSink, DatasetSpec, Source
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.conversion.opening import Opened, open_source, voxel_size
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.steps import Planned, extent, steps_of
from wkconvert_core.datasets import destination as target
from wkconvert_core.datasets.naming import dataset_name
from wkconvert_core.engine.workers import default_jobs
from wkconvert_core.planning.route import Budget
from wkconvert_core.registry.plugins import Plugins, plugins
from wkconvert_core.toolkit import process as memory
from wkconvert_core.toolkit.files import fingerprint


@dataclass(frozen=True)
class Conversion:
    """Everything decided, nothing written."""

    src: Path
    dst: Path
    building: Path
    """Where the dataset is built: beside the target where that is to be replaced."""
    command: str
    settings: Settings
    layers: Sequence[Opened]
    voxel_size: VoxelSize | None
    sink: DatasetSink
    steps: Sequence[Planned]
    jobs: int
    plan: Mapping[str, Any]
    """What makes this run this run: another one must not continue its work."""
    free: int
    """Bytes free where the target lies."""
    extents: Mapping[str, Box]
    """Each layer's true extent, in mag-1 voxels."""
    in_place: bool = False
    """Whether mags are added to layers that are there."""
    settle: Callable[[Path, Path], str] | None = None
    """Puts what was built into a target that stays, and tells what came of it; None: it becomes the target."""
    keeps_metadata: bool = False
    """Whether there are metadata that know more of ids and values than the mags that are written."""

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
    def places(self) -> list[Path]:
        """The folders that must be ours alone while the run lasts."""
        replaced = self.building != self.dst and target.is_dataset(self.dst)
        return [self.building, self.dst] if replaced else [self.building]

    @property
    def useful_workers(self) -> int:
        """On a cluster, how many workers have something to do in the longest step; 0 elsewhere."""
        on_cluster = self.settings.strategy in STRATEGIES
        routes = [planned.route for planned in self.steps] if on_cluster else []
        return max((-(-route.tasks // route.workers) for route in routes), default=0)

    @property
    def memory(self) -> int:
        """Peak bytes of all processes together; on a cluster, of one worker."""
        return max((planned.route.memory for planned in self.steps), default=0)


def prepare(src: Path, dst: Path, settings: Settings, *, command: str = "auto") -> Conversion:
    """Decide and check everything, and write nothing."""
    loaded = plugins()
    settings.check(loaded)
    src, dst = target.checked_places(Path(src), Path(dst))
    name = dataset_name(settings.name or dst.name)
    budget = budget_of(settings, target.free_bytes(dst))
    layers = open_source(src, settings, loaded, budget)
    extents = {layer.name: extent(layer, settings) for layer in layers}
    known = [[*size.size, size.unit] for layer in layers if (size := layer.voxel_size)]
    plan = plan_of(src, settings, command, layers, loaded)
    plan |= {"extents": {name: [*box.start, *box.shape] for name, box in extents.items()}, "voxel_sizes": known}
    target.check(dst, settings, command, list(extents), plan)
    wanted = settings.voxel_size or (target.stored_voxel_size(dst) if settings.add else None)
    size = voxel_size(layers, wanted) if settings.metadata else None
    building = target.beside(dst) if settings.overwrite else dst
    sink = loaded.hook.wkconvert_create(format=settings.to, path=building, spec=DatasetSpec(name, size))
    if sink is None:
        raise OptionError(f"nothing writes {settings.to!r}", fix="`wkconvert plugins` lists what is installed")
    existing = set(target.stored_mags(dst)) if settings.add else set()
    steps: list[Planned] = []
    for layer in layers:
        mine = list(steps_of(layer, sink, size, settings, existing, budget))
        existing |= {sink.spec.mag for planned in mine for sink in planned.step.sinks}
        steps += mine
    return Conversion(
        src, dst, building, command, settings, layers, size, sink, steps, budget.workers, plan, budget.scratch, extents
    )


def check_target(conversion: Conversion) -> None:
    """Raise TargetExists unless the target is free, or this command's own work, or may be replaced or added to."""
    names = [layer.name for layer in conversion.layers]
    if conversion.in_place:
        return
    place = conversion.building if conversion.settle else conversion.dst
    target.check(place, conversion.settings, conversion.command, names, conversion.plan)


def open_layers(dataset: Path, names: Sequence[str], loaded: Plugins, budget: Budget) -> list[Opened]:
    """The WKW layers of these names (none: all) of a finished dataset; what others are like does not matter.

    Raises OptionError for a name that there is not, BrokenSource, DamagedData.
    """
    formats = {layer.name: layer.data_format for layer in target.stored(dataset)}
    known = [name for name, data_format in formats.items() if data_format == "wkw"]
    for name in names:
        problem = f"is {formats[name]}, not WKW" if name in formats else f"is not in {dataset}"
        check_known("layer-name", [name], known, problem)
    only = {"layers": ",".join(names)} if names else {}
    return open_source(dataset, Settings(reader="wkw", reader_options=only), loaded, budget)


def plan_of(src: Path, settings: Settings, command: str, layers: Sequence[Opened], loaded: Plugins) -> dict[str, Any]:
    """What makes a run this run."""
    readers = {layer.found.match.format for layer in layers}
    return {
        "command": command,
        "source": str(src),
        "fingerprint": fingerprint(src),
        "layers": {layer.name: {str(mag): _facts(source) for mag, source in layer.mags.items()} for layer in layers},
        "settings": settings.plan(),
        "version": __version__,
        "readers": {reader: loaded.version_of(reader) for reader in sorted(readers)},
    }


def _facts(source: Source) -> str:
    """What a header beside the source may decide: the fingerprint alone does not tell of those."""
    info = source.info
    return f"{info.channels} x {info.dtype}, {info.box.shifted(info.offset)}, chunks {info.chunk_shape}"


def budget_of(settings: Settings, free: int) -> Budget:
    """What a run may use, as the settings and the machine, or the cluster, say."""
    if settings.strategy in STRATEGIES:
        offer = cluster.offer(settings.cluster)
        return Budget(offer.usable(settings.memory), offer.threads, False, free, cluster.WORKER_BYTES, offer.workers)
    sequential, shared = settings.strategy == "sequential", settings.strategy != "multiprocessing"
    jobs = 1 if sequential else settings.jobs or default_jobs()
    return Budget(settings.memory or memory.available() // 2, jobs, shared, free, memory.held())
