"""The options of all commands, and which command takes which. An option that was not given is None."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from wkconvert_core.cli import completion
from wkconvert_core.contract.numbers import whole_number

F = TypeVar("F", bound=Callable[..., None])

SOURCE, PYRAMID, STORAGE, RUN = "Source", "Pyramid", "Storage", "Run"


def _local(path: Path | None) -> Path | None:
    """Refuse a URL: as a path, it would become a folder `s3:`."""
    if path and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise typer.BadParameter(f"{path} looks like a URL; take a local path")
    return path


def local_folder(help: str, **shown: Any) -> Any:
    """An argument that takes a local path only."""
    return typer.Argument(help=help, callback=_local, **shown)


Copy = Annotated[Path | None, local_folder("Write a copy here (default: compress in place).", metavar="TARGET")]
Src = Annotated[
    str, typer.Argument(metavar="SRC", help="What to convert: a file, a folder of slices or of layer folders, a URL.")
]
Dst = Annotated[Path, local_folder("The dataset's folder, to be made.", metavar="DST")]


def in_panel(help: str, panel: str, *names: str, **more: Any) -> Any:
    """An option that `--help` shows in a panel."""
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False, **more)


def whole(least: int = -(10**20), most: int = 10**20) -> dict[str, Any]:
    """Arguments of `typer.Option` for a whole number of a range: by itself, typer takes `1_000` and `٣`, too."""

    def read(text: object) -> int:
        try:
            if not least <= (number := whole_number(str(text))) <= most:
                raise ValueError(f"{number} is not in the range {least} to {most}")
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        return number

    read.__name__ = "int"  # as `--help` shows it
    return {"parser": read}


_LAYERS = "Only these layers, repeatable (default: all)"
_MAGS = "Only these mags, 2 or 2-2-1, repeatable (default: all)"
_FROM = "Begin at this mag: 2 or 2-2-1 (default: each layer's finest)"
Layers = Annotated[list[str] | None, in_panel(_LAYERS, SOURCE, "--layer-name", autocompletion=completion.layers)]
Mags = Annotated[list[str] | None, in_panel(_MAGS, SOURCE, "--mag", autocompletion=completion.mags)]
FromMag = Annotated[str | None, in_panel(_FROM, SOURCE, autocompletion=completion.mags)]
Dataset = Annotated[Path, local_folder("A dataset's folder.", metavar="DST")]
Original = Annotated[Path, local_folder("A dataset's folder.", metavar="SRC")]


def _shared(panel: str, help: str, kind: Any = str, *names: str) -> Any:
    """The annotation of an option that is None if it was not given; a flag is False."""
    more = whole() if kind is int else {}
    return Annotated[kind if kind is bool else kind | None, in_panel(help, panel, *names, **more)]


class Options:
    """The options that several commands share, in the order in which `--help` shows them."""

    voxel_size = _shared(SOURCE, "x,y,z; leave a number out to keep the source's: ,,35 (default: the source's)")
    unit = _shared(SOURCE, "Unit of --voxel-size: pm, Å, nm, µm (um), mm, cm, m, inch (default: nm)")
    layer_name = _shared(SOURCE, "Name of the layer (default: its folder, or its category)")
    category = _shared(SOURCE, "color or segmentation (default: by name, else by looking)")
    reader = _shared(SOURCE, "Force a reader (default: the most confident one)")
    option = _shared(SOURCE, "key=value for the reader, repeatable", list[str], "-o", "--option")
    dtype = _shared(SOURCE, "uint8 … uint64, int8 … int64, float32, float64 (default: the source's)")
    convert = _shared(
        SOURCE,
        "For --dtype: exact (refuse what does not fit), clip, scale (range to range, floats 0 to 1) (default: exact)",
    )
    range = _shared(SOURCE, "For --convert scale: low,high, or auto (0.1 to 99.9 % of a sample); clips values beyond")
    gaps = _shared(SOURCE, "Missing slices of a stack: error, fill (with zeros) or close (default: error)")
    pad = _shared(SOURCE, "Pad slices that differ in size with zeros at the high x and y side", bool, "--pad")
    channel = _shared(SOURCE, "Take this channel only, counted from 0", int)
    at_mag = _shared(SOURCE, "The mag that the source's voxels are: 2 or 2-2-1 (default: 1, or by their voxel size)")
    top_left = _shared(SOURCE, "x,y,z: put the first voxel there, in mag-1 voxels (default: 0, or by the source)")
    start_z = _shared(SOURCE, "Put the source's first slice at this z (default: 0)", int)
    skip_first_z_slices = _shared(SOURCE, "Leave out this many slices at the start (default: 0)", int)
    bbox = _shared(SOURCE, "x,y,z,width,height,depth: convert this part only, in voxels after --skip… and --flip")
    flip = _shared(SOURCE, "Mirror these axes: x,y")
    follow = _shared(SOURCE, "Read mags that a dataset lists outside its folder, or on a server", bool, "--follow")
    max_mag = _shared(PYRAMID, "Coarsest mag (default: the first from 4 on that is 100 voxels wide or less)", int)
    interpolation_mode = _shared(
        PYRAMID, "Kernel: median, mode, mean, nearest, bilinear, bicubic, min, max (default: median or mode)"
    )
    sampling_mode = _shared(PYRAMID, "anisotropic, isotropic or constant-z (default: anisotropic)")
    no_downsample = _shared(PYRAMID, "Write the finest mag only", bool, "--no-downsample")
    target_mag = _shared(PYRAMID, "Finest mag to write: 2 or 2-2-1 (default: 1)")
    name = _shared(STORAGE, "Name of the dataset (default: the name of DST)")
    by_reference = _shared(
        STORAGE, "List the source's own arrays as mags, without a copy; make only coarser ones", bool, "--by-reference"
    )
    to = _shared(STORAGE, "Format to write, as `wkconvert plugins` lists them (default: wkw)")
    to_option = _shared(STORAGE, "key=value for the writer, repeatable", list[str], "--to-option")
    compression = _shared(
        STORAGE, "none, lz4 or lz4hc (default: lz4; lz4hc for segmentation); zstd, blosc or gzip with --to zarr3"
    )
    compression_level = _shared(STORAGE, "1 to 12, for lz4hc (default: 4)", int)
    no_compress = _shared(STORAGE, "Same as --compression none", bool, "--no-compress")
    file_len = _shared(STORAGE, "Blocks along a shard's side: auto, 1, 2, … 64 (default: auto)")
    add = _shared(RUN, "Add the layers to an existing dataset", bool, "--add")
    overwrite = _shared(RUN, "Replace an existing dataset, once the new one is complete", bool, "--overwrite")
    force = _shared(RUN, "Start even if the disk may be too small", bool, "--force")
    verify = _shared(RUN, "Read everything back and compare it with the source", bool, "--verify")
    jobs = _shared(
        RUN,
        "Workers (default: one per processor); with slurm, jobs (default: 10); with dask, concurrent tasks to plan for",
        int,
    )
    memory = _shared(
        RUN,
        "Peak of all processes: 2GiB (default: half of the available memory); with dask and slurm, of each worker",
    )
    distribution_strategy = _shared(RUN, "threads, multiprocessing, sequential, dask or slurm (default: threads)")
    scheduler = _shared(RUN, "Address of dask's scheduler: tcp://host:8786")
    job_resources = _shared(RUN, 'Options of sbatch for each Slurm job: \'{"mem": "4G", "time": "02:00:00"}\'')
    dry_run = _shared(RUN, "Show the plan and its cost, write nothing", bool, "--dry-run")
    json = _shared(RUN, "One JSON document on standard output", bool, "--json")
    report = _shared(RUN, "Write an HTML page of what was read and written, with pictures", Path, "--report")
    strict = _shared(RUN, "Make an error of each warning", bool, "--strict")
    quiet = _shared(RUN, "Print errors and warnings only", bool, "--quiet", "-q")
    verbose = _shared(RUN, "Log details to standard error", bool, "--verbose", "-v")
    log_file = _shared(RUN, "Add details, notes and errors to this file, whatever the terminal shows", Path)
    progress = _shared(RUN, "bar, plain, json (lines on standard error), none, or auto (default: auto)")
    no_config = _shared(RUN, "Take nothing from files wkconvert.toml", bool, "--no-config")


ALL = {name: hint for name, hint in vars(Options).items() if not name.startswith("_")}
for _name, _hint in ALL.items():
    get_args(_hint)[1].autocompletion = completion.completion_of(_name)
STORAGE_OPTIONS = ("to_option", "compression", "compression_level", "no_compress", "file_len")
"""How mags are stored."""
PYRAMID_OPTIONS = ("max_mag", "interpolation_mode", "sampling_mode", *STORAGE_OPTIONS)
"""The coarser mags that are made, their kernel, and how they are stored."""
EACH_TIME = ("add", "overwrite", "by_reference", "follow", "force", "dry_run", "json", "report", "no_config")
"""Options that only the command line says: what they do to a target or to the output is wanted for one run."""
WORKER_OPTIONS = ("jobs", "memory", "distribution_strategy", "scheduler", "job_resources")
"""The workers and their memory."""
READ_OPTIONS = (*WORKER_OPTIONS, "json", "strict", "quiet", "progress")
"""Options of every command that reads voxels."""
RUN_OPTIONS = ("force", "verify", *READ_OPTIONS, "dry_run", "verbose", "log_file")
"""Options of every command that writes voxels."""


def takes(
    without: Collection[str] = (),
    only: Collection[str] = (),
    helps: Mapping[str, str] = MappingProxyType({}),
    asked: Collection[str] = (),
) -> Callable[[F], F]:
    """Give a command `(…, **given)` the shared options: all of them, all but `without`, or `only` some.

    `helps` replaces the help text of single options. All but those that are `asked` of this command, or each time, may
    also come from the environment and from files; such a command takes `--no-config`.
    """

    def decorate(command: F) -> F:
        hints = get_type_hints(command, include_extras=True)
        own = [p.replace(annotation=hints[p.name]) for p in inspect.signature(command).parameters.values()]
        taken = set(only or ALL).difference(without, {"no_config"})
        open_options = taken.difference(asked, EACH_TIME)
        taken.update({"no_config"} if open_options else ())
        added = []
        for name, hint in ALL.items():
            if name not in taken:
                continue
            kind, option = get_args(hint)
            if name in helps:
                option = copy.copy(option)
                option.help = helps[name]
            default = False if kind is bool else None
            hint = Annotated[kind, option]
            added.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
        # typer reads both the signature and the annotations; the last parameter of its own is `given`
        command.__signature__ = inspect.Signature([*own[:-1], *added])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in [*own[:-1], *added]}
        command.open_options = open_options  # type: ignore[attr-defined]
        return command

    return decorate
