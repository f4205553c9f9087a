"""What a user may ask of a conversion, checked before anything is read or written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from wkconvert_core.cluster.job_resources import JobResources
from wkconvert_core.cluster.spec import STRATEGIES, ClusterSpec
from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import Category
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets.naming import layer_name
from wkconvert_core.engine.workers import Strategy
from wkconvert_core.planning.mag_schedule import SamplingMode
from wkconvert_core.registry.plugins import Plugins
from wkconvert_core.sources.casting import Fit
from wkconvert_core.toolkit.stacks import Gaps

Compression = Literal["auto", "none", "lz4", "lz4hc"]

FINEST = Mag(1, 1, 1)

HOW = frozenset({"overwrite", "force", "verify", "jobs", "memory", "strategy", "scheduler", "job_resources"})
"""The settings that change how a run goes, and not a byte of what it writes."""


@dataclass(frozen=True)
class Settings:
    """Options of a conversion; the defaults are those of `wkconvert auto`."""

    voxel_size: VoxelSize | None = None
    """Overrides the source's own; an open axis is left to the source."""
    name: str | None = None
    """Of the dataset; None: the target's."""
    layer_name: str | None = None
    category: Category | None = None
    to: str = "wkw"
    reader: str | None = None
    reader_options: Mapping[str, str] = field(default_factory=dict)
    dtype: str | None = None
    convert: Fit = "exact"
    gaps: Gaps = "error"
    pad: bool = False
    channel: int | None = None
    start_z: int = 0
    skip_first_z_slices: int = 0
    bbox: Box | None = None
    flip: str = ""
    target_mag: Mag = FINEST
    max_mag: int | None = None
    interpolation_mode: str = "default"
    sampling_mode: SamplingMode = "anisotropic"
    downsample: bool = True
    compression: Compression = "auto"
    """auto: lz4 for color, where more effort gains little; lz4hc for segmentation, where it gains much."""
    compression_level: int | None = None
    file_len: int | None = None
    metadata: bool = True
    """Whether a voxel size is needed and metadata are made where there are none."""
    add: bool = False
    overwrite: bool = False
    force: bool = False
    verify: bool = False
    jobs: int | None = None
    memory: int | None = None
    strategy: Strategy = "threads"
    scheduler: str | None = None
    """dask: where the scheduler listens, such as `tcp://host:8786`."""
    job_resources: Mapping[str, Any] | None = None
    """slurm: what each job gets, by the names of sbatch's options."""

    def check(self, plugins: Plugins) -> None:
        """Raise OptionError for the first option that is wrong."""
        for option, value, kind in (
            ("category", self.category, Category),
            ("convert", self.convert, Fit),
            ("gaps", self.gaps, Gaps),
            ("sampling-mode", self.sampling_mode, SamplingMode),
            ("compression", self.compression, Compression),
            ("distribution-strategy", self.strategy, Strategy),
        ):
            _one_of(option, value, get_args(kind))
        _one_of("interpolation-mode", self.interpolation_mode, ["default", *plugins.downsamplers()])
        _one_of("file-len", self.file_len, [1, 2, 4, 8, 16, 32, 64])
        _one_of("compression-level", self.compression_level, range(1, 13))
        if self.layer_name is not None:
            layer_name(self.layer_name)
        self._check_numbers()
        self.cluster.check(self.strategy, self.memory)

    def _check_numbers(self) -> None:
        for option, number, least in (
            ("jobs", self.jobs, 1),
            ("memory", self.memory, 1),
            ("start-z", self.start_z, 0),
            ("skip-first-z-slices", self.skip_first_z_slices, 0),
            ("channel", self.channel, 0),
        ):
            if number is not None and number < least:
                raise OptionError(f"--{option} {number} is too small", fix=f"take {least} or more")
        if self.max_mag is not None and (self.max_mag < 1 or self.max_mag & (self.max_mag - 1)):
            raise OptionError(f"--max-mag {self.max_mag} is no mag", fix="take a power of two: 1, 2, 4, 8, 16, …")
        if len(set(self.flip)) != len(self.flip) or not set(self.flip) <= set("xyz"):
            raise OptionError(
                f"--flip {self.flip} is wrong", fix="name some of the axes x, y, z, for example --flip x,y"
            )
        if self.dtype is not None:
            _one_of("dtype", self.dtype, DTYPES)
        if self.add and self.overwrite:
            raise OptionError("--add and --overwrite contradict each other", fix="take one of them")

    @property
    def cluster(self) -> ClusterSpec:
        """The cluster that was asked for, if any. Raises OptionError."""
        resources = None if self.job_resources is None else JobResources.of(self.job_resources)
        return ClusterSpec(self.scheduler, resources, self.jobs)

    def reached(self, path: Path) -> Path:
        """A path as workers find it: elsewhere, they are in other folders."""
        return path.resolve() if self.strategy in STRATEGIES else path

    @property
    def alters_voxels(self) -> bool:
        """Whether the finest mag is written otherwise than the source has it; a pyramid of the source then lies."""
        plain = Settings()
        return any(getattr(self, name) != getattr(plain, name) for name in ALTERING)

    @property
    def keeps_pyramid(self) -> bool:
        """Whether coarser mags that the source has are taken over; else they are made anew."""
        asked = self.interpolation_mode != "default" or self.sampling_mode != "anisotropic"
        return not (asked or self.alters_voxels)

    @property
    def writer_options(self) -> dict[str, str]:
        """What the writer is told, in its own words."""
        given = {
            "compression": None if self.compression == "auto" else self.compression,
            "compression_level": self.compression_level,
            "file_len": self.file_len,
        }
        return {name: str(value) for name, value in given.items() if value is not None}

    def plan(self) -> dict[str, Any]:
        """The settings that decide what is written, for the journal."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in HOW}
        kept["reader_options"] = sorted(self.reader_options.items())
        return {name: value if isinstance(value, str | int | None) else repr(value) for name, value in kept.items()}


ALTERING = ("dtype", "channel", "start_z", "skip_first_z_slices", "bbox", "flip", "target_mag")

DTYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"]
"""What WKW can hold."""


def _one_of(option: str, value: Any, legal: Iterable[Any]) -> None:
    if value is not None and value not in (known := list(legal)):
        raise OptionError(f"--{option} cannot be {value!r}", fix=f"take one of {', '.join(map(str, known))}")
