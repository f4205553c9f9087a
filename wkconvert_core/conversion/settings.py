"""What a user asks for: SRC and DST, and the options in the groups of the command line, checked before the work."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Box, Mag, Vec3Like
from wkconvert_core.contract.model import Category, DtypeName
from wkconvert_core.contract.numbers import decimal_number
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.datasets.naming import layer_name
from wkconvert_core.engine.resources import Resources, check_least
from wkconvert_core.planning.mag_schedule import SamplingMode
from wkconvert_core.registry.plugins import downsampler
from wkconvert_core.sources.casting import Fit, ValueRange
from wkconvert_core.toolkit.stacks import Gaps

FINEST = Mag(1, 1, 1)
Src = TypeVar("Src", Path, Path | str)

_RANGE_EXAMPLE = "say for example --dtype uint8 --convert scale --range -4,4, or --range auto"


@dataclass(frozen=True)
class SourceOptions:
    """How the source is read, and which part of it."""

    voxel_size: VoxelSize | None = None
    """Overrides the source's voxel size of mag 1, except along axes that are None; `(4, 4, 35)` and `4,4,35` are nm."""
    layer_name: str | None = None
    category: Category | None = None
    reader: str | None = None
    reader_options: Mapping[str, str] = field(default_factory=dict)
    dtype: DtypeName | None = None
    convert: Fit = "exact"
    range: ValueRange | str | None = None
    """Values that `convert="scale"` maps to the range of `dtype`: low and high, or `auto`, percentiles of a sample."""
    gaps: Gaps = "error"
    pad: bool = False
    channel: int | None = None
    at_mag: Mag | None = None
    """The mag that the source's finest voxels are; None: as its voxel size says beside that of other layers."""
    top_left: Vec3Like | None = None
    """Where the source's first voxel lies, in mag-1 voxels; None: as the sources state it, else at 0."""
    start_z: int = 0
    skip_first_z_slices: int = 0
    bbox: Box | None = None
    flip: str = ""

    def __post_init__(self) -> None:
        """Read what may be given as text or as plain numbers. Raises OptionError."""
        if self.voxel_size is not None:
            object.__setattr__(self, "voxel_size", VoxelSize.of(self.voxel_size))
        object.__setattr__(self, "range", _read_range(self.range))

    def check(self) -> None:
        """Raise OptionError for the first option that is out of range."""
        if self.layer_name is not None:
            layer_name(self.layer_name)
        check_least(0, start_z=self.start_z, skip_first_z_slices=self.skip_first_z_slices, channel=self.channel)
        self._check_range()
        if self.top_left is not None:
            if min(self.top_left) < 0:
                raise OptionError(
                    f"--top-left {','.join(map(str, self.top_left))} is no place in a dataset",
                    why="bounding boxes begin at 0 or more",
                    fix="move the other layers the other way",
                )
            if self.start_z:
                raise OptionError(
                    f"--top-left and --start-z {self.start_z} both say where the layer begins", fix="take --top-left"
                )
        if len(set(self.flip)) != len(self.flip) or not set(self.flip) <= set("xyz"):
            raise OptionError(
                f"--flip {self.flip} is wrong", fix="name some of the axes x, y, z, for example --flip x,y"
            )

    def _check_range(self) -> None:
        if self.range is not None and (self.dtype is None or self.convert != "scale"):
            why = "it says what --convert scale maps to the whole range of --dtype"
            raise OptionError("--range needs --dtype and --convert scale", why=why, fix=_RANGE_EXAMPLE)


def _read_range(said: ValueRange | str | None) -> ValueRange | str | None:
    """Read `--range`: two numbers as such or as text. Raises OptionError."""
    if said is None or said == "auto":
        return said
    try:
        low, high = map(decimal_number, said.split(",")) if isinstance(said, str) else map(float, said)
    except (TypeError, ValueError):
        raise OptionError(f"--range {said} is not low,high, two numbers", fix=_RANGE_EXAMPLE) from None
    if not (low < high and isfinite(high - low)):
        why = "the first number is the lower one, and both are finite"
        raise OptionError(f"--range {low:g},{high:g} is no range", why=why, fix=_RANGE_EXAMPLE)
    return low, high


@dataclass(frozen=True)
class Pyramid:
    """The mags that are made, and their kernel."""

    target_mag: Mag = FINEST
    max_mag: int | None = None
    interpolation_mode: str = "default"
    sampling_mode: SamplingMode = "anisotropic"
    downsample: bool = True

    def check(self) -> None:
        """Raise OptionError for an unknown kernel, or a coarsest mag that is not a power of two."""
        if self.interpolation_mode != "default":
            downsampler(self.interpolation_mode)
        if self.max_mag is not None and (self.max_mag < 1 or self.max_mag & (self.max_mag - 1)):
            raise OptionError(f"--max-mag {self.max_mag} is no mag", fix="take a power of two: 1, 2, 4, 8, 16, …")


@dataclass(frozen=True)
class Storage:
    """The dataset's name, and how its writer stores it."""

    name: str | None = None
    """Name of the dataset; None: that of the target folder."""
    by_reference: bool = False
    """Whether the dataset lists the source's own arrays as mags; only coarser mags that are missing are written."""
    to: str = "wkw"
    to_options: Mapping[str, str] = field(default_factory=dict)
    """Options of the writer by name; the writer checks names and values."""
    compression: str | None = None
    """Short for an option in `to_options`, as the next two are; None or auto: the writer decides."""
    compression_level: int | None = None
    file_len: int | None = None

    @property
    def writer_options(self) -> dict[str, str]:
        """All options of the writer, given either way. Raises OptionError for one that was given both ways.

        >>> Settings(compression="lz4hc", to_options={"compression_level": "9"}).writer_options
        {'compression': 'lz4hc', 'compression_level': '9'}
        >>> Settings(compression="auto").writer_options
        {}
        >>> Settings(file_len=8, to_options={"file_len": "16"}).writer_options
        Traceback (most recent call last):
        wkconvert_core.contract.errors.OptionError: --file-len 8 and --to-option file_len=16 set the same option. \
take one of them
        """
        short = {name: getattr(self, name) for name in ("compression", "compression_level", "file_len")}
        given = {name: str(value) for name, value in short.items() if value not in (None, "auto")}
        for name in given.keys() & self.to_options.keys():
            said = f"--{name.replace('_', '-')} {given[name]} and --to-option {name}={self.to_options[name]}"
            raise OptionError(f"{said} set the same option", fix="take one of them")
        return {**given, **self.to_options}


@dataclass(frozen=True)
class Run:
    """How an existing target is treated, and how strictly the run is checked."""

    metadata: bool = True
    """Whether a voxel size is required, and metadata are made if there are none."""
    add: bool = False
    overwrite: bool = False
    force: bool = False
    verify: bool = False

    def check(self) -> None:
        """Raise OptionError for options that contradict each other."""
        if self.add and self.overwrite:
            raise OptionError("--add and --overwrite contradict each other", fix="take one of them")


HOW = frozenset({"overwrite", "force", "verify", *(option.name for option in fields(Resources))})
"""The settings that do not change a byte of what is written."""

ALTERING = ("dtype", "range", "channel", "start_z", "skip_first_z_slices", "bbox", "flip", "target_mag")
"""The settings that make the finest mag differ from the source's."""


@dataclass(frozen=True)
class Settings(Resources, Run, Storage, Pyramid, SourceOptions):
    """The options of a conversion; the defaults are those of `wkconvert auto`.

    Commands that only read take just `Resources`.
    """

    def check(self) -> None:
        """Raise OptionError for the first option that is out of range or contradicts another one."""
        super().check()
        for group in (SourceOptions, Pyramid, Run):
            group.check(self)
        if self.by_reference and self.to != Storage.to:
            why = "mags that are listed where they lie have the format that they have, and coarser ones the same"
            raise OptionError(f"--by-reference and --to {self.to} contradict each other", why=why, fix="leave one out")
        _ = self.writer_options

    @property
    def alters_voxels(self) -> bool:
        """Whether the finest mag will differ from the source's, so that the source's coarser mags cannot be kept.

        >>> Settings(flip="x").alters_voxels, Settings(interpolation_mode="mean").alters_voxels
        (True, False)
        """
        plain = Settings()
        return any(getattr(self, name) != getattr(plain, name) for name in ALTERING)

    @property
    def keeps_pyramid(self) -> bool:
        """Whether the source's coarser mags are copied; else they are made anew."""
        asked = self.interpolation_mode != "default" or self.sampling_mode != "anisotropic"
        return not (asked or self.alters_voxels)

    def plan(self) -> dict[str, Any]:
        """The settings that decide what is written, as the plan of a run records them."""
        short = {"compression", "compression_level", "file_len"}
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in HOW | short}
        kept["reader_options"] = [(name, _without_place(text)) for name, text in sorted(self.reader_options.items())]
        kept["to_options"] = sorted(self.writer_options.items())
        if not self.by_reference:  # then the plan is that of versions that did not know it
            del kept["by_reference"]
        return {name: value if isinstance(value, str | int | None) else repr(value) for name, value in kept.items()}


def _without_place(text: str) -> str:
    """An option's value, or for a place on this machine or a server a digest of it: a plan is published.

    >>> _without_place("{z}/{y}/{x}.jpg"), _without_place("/home/ada/header.raw")
    ('{z}/{y}/{x}.jpg', 'sha256:f685337efa2b1221')
    """
    is_place = text.startswith(("~", "file:")) or "://" in text or Path(text).is_absolute()
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}" if is_place else text


# --- SRC and DST ------------------------------------------------------------------------------------------------------


def location(src: Path | str) -> Path | str:
    """A source as hooks take it: a local Path, or a URL as text, because a Path would drop its double slash.

    >>> location("s3://bucket/em"), str(Path("s3://bucket/em"))
    ('s3://bucket/em', 's3:/bucket/em')
    >>> location("scans/em") == Path("scans/em")
    True
    """
    return src if isinstance(src, str) and "://" in src else Path(src)


def checked_places(src: Src, dst: Path) -> tuple[Src, Path]:
    """Resolve source and target, links followed; a URL stays the text that it is.

    Raises OptionError if one lies in the other, or a path cannot be resolved.

    >>> checked_places("s3://bucket/em", Path("/data/em"))
    ('s3://bucket/em', PosixPath('/data/em'))
    >>> checked_places(Path("/data/em"), Path("/data/em/dataset"))
    Traceback (most recent call last):
    wkconvert_core.contract.errors.OptionError: DST /data/em/dataset lies in SRC /data/em. \
the next run would read what this one writes. choose a DST beside it, such as /data/em-dataset
    """
    if isinstance(location(src), str):
        return src, dst.resolve()
    try:
        source, target = Path(src).resolve(), dst.resolve()
        for path in (source, target):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.stat()  # a loop of links, a name too long, a folder that may not be entered
    except (OSError, RuntimeError) as error:
        raise OptionError(f"{src} or {dst} cannot be reached", why=str(error), fix="check both paths") from None
    if target.is_relative_to(source):
        beside = source.with_name(f"{source.name}-dataset")
        raise OptionError(
            f"DST {dst} lies in SRC {src}",
            why="the next run would read what this one writes",
            fix=f"choose a DST beside it, such as {beside}",
        )
    if source.is_relative_to(target):
        raise OptionError(
            f"SRC {src} lies in DST {dst}",
            why="a dataset's folder must hold nothing else",
            fix="choose another DST, or move SRC out of it",
        )
    return source, target
