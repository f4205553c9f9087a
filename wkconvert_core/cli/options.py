"""The options of all commands, as typer sees them, and the settings that their texts become.

None stands for an option that was not given: the defaults are those of `Settings`.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from wkconvert_core.contract.errors import OptionError

if TYPE_CHECKING:
    from wkconvert_core.contract.geometry import Box, Mag
    from wkconvert_core.conversion.settings import Settings

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])

SOURCE, PYRAMID, STORAGE, RUN = "Source", "Pyramid", "Storage", "Run"

Copy = Annotated[Path | None, typer.Argument(help="Where a copy is written (default: in place).", metavar="target")]
Src = Annotated[
    str,
    typer.Argument(help="What to convert: a file, a folder of slices, of layer folders, a URL."),
]
Dst = Annotated[Path, typer.Argument(help="The dataset's folder, to be made.")]


def _option(help: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False)


Layers = Annotated[list[str] | None, _option("Only these layers, repeatable (default: all)", SOURCE, "--layer-name")]
Mags = Annotated[list[str] | None, _option("Only these mags, 2 or 2-2-1, repeatable (default: all)", SOURCE, "--mag")]
FromMag = Annotated[str | None, _option("Begin at this mag: 2 or 2-2-1 (default: each layer's finest)", SOURCE)]
Dataset = Annotated[Path, typer.Argument(help="A dataset's folder.")]


class Options:
    """The options that several commands share, in the order in which `--help` shows them."""

    voxel_size: Annotated[
        str | None, _option("x,y,z; an empty place is left to the source: ,,35 (default: the source's own)", SOURCE)
    ]
    unit: Annotated[
        str | None, _option("Unit of --voxel-size: pm, Å, nm, µm (um), mm, cm, m, inch (default: nm)", SOURCE)
    ]
    layer_name: Annotated[str | None, _option("Name of the layer (default: its folder, or its category)", SOURCE)]
    category: Annotated[str | None, _option("color or segmentation (default: by name, else by looking)", SOURCE)]
    reader: Annotated[str | None, _option("Force a reader (default: the surest one)", SOURCE)]
    option: Annotated[list[str] | None, _option("key=value for the reader, repeatable", SOURCE, "-o", "--option")]
    dtype: Annotated[str | None, _option("uint8 … uint64, int8 … int64, float32, float64 (default: own)", SOURCE)]
    convert: Annotated[
        str | None,
        _option(
            "For --dtype: exact (refuse what does not fit), clip,"
            " scale (range to range; floats: 0 to 1) (default: exact)",
            SOURCE,
        ),
    ]
    gaps: Annotated[
        str | None, _option("A hole in a stack's numbers: error, fill (zeros), close (default: error)", SOURCE)
    ]
    pad: Annotated[bool, _option("Pad slices that differ in size with zeros at the high x and y side", SOURCE, "--pad")]
    channel: Annotated[int | None, _option("Take this channel only, counted from 0", SOURCE)]
    start_z: Annotated[int | None, _option("Put the source's first slice at this z (default: 0)", SOURCE)]
    skip_first_z_slices: Annotated[int | None, _option("Leave out this many slices at the start (default: 0)", SOURCE)]
    bbox: Annotated[
        str | None, _option("x,y,z,width,height,depth: take this part, counted after --skip… and --flip", SOURCE)
    ]
    flip: Annotated[str | None, _option("Mirror these axes: x,y", SOURCE)]
    max_mag: Annotated[int | None, _option("Coarsest mag (default: about 100 voxels wide)", PYRAMID)]
    interpolation_mode: Annotated[
        str | None,
        _option("Kernel: median, mode, mean, nearest, bilinear, bicubic, min, max (default: median or mode)", PYRAMID),
    ]
    sampling_mode: Annotated[
        str | None, _option("anisotropic, isotropic or constant-z (default: anisotropic)", PYRAMID)
    ]
    no_downsample: Annotated[bool, _option("Write the finest mag only", PYRAMID, "--no-downsample")]
    target_mag: Annotated[str | None, _option("Finest mag to write: 2 or 2-2-1 (default: 1)", PYRAMID)]
    name: Annotated[str | None, _option("Name of the dataset (default: the name of DST)", STORAGE)]
    to: Annotated[str | None, _option("Writer (default: wkw)", STORAGE)]
    to_option: Annotated[list[str] | None, _option("key=value for the writer, repeatable", STORAGE, "--to-option")]
    compression: Annotated[str | None, _option("none, lz4 or lz4hc (default: lz4; lz4hc for segmentation)", STORAGE)]
    compression_level: Annotated[int | None, _option("1 to 12, for lz4hc (default: 4)", STORAGE)]
    no_compress: Annotated[bool, _option("The same as --compression none", STORAGE, "--no-compress")]
    file_len: Annotated[str | None, _option("Blocks along a shard's side: auto, 1, 2, … 64 (default: auto)", STORAGE)]
    add: Annotated[bool, _option("Add the layers to an existing dataset", RUN, "--add")]
    overwrite: Annotated[bool, _option("Replace an existing dataset, once the new one is complete", RUN, "--overwrite")]
    force: Annotated[bool, _option("Go on although the disk may not suffice", RUN, "--force")]
    verify: Annotated[bool, _option("Read everything back and compare it with the source", RUN, "--verify")]
    jobs: Annotated[
        int | None,
        _option(
            "Workers (default: one per processor); with slurm, jobs (default: 10);"
            " with dask, tasks at a time to plan for",
            RUN,
        ),
    ]
    memory: Annotated[
        str | None,
        _option(
            "Peak of all processes: 2GiB (default: half of what is available); with dask and slurm, of each worker", RUN
        ),
    ]
    distribution_strategy: Annotated[
        str | None, _option("threads, multiprocessing, sequential, dask or slurm (default: threads)", RUN)
    ]
    scheduler: Annotated[str | None, _option("Address of dask's scheduler: tcp://host:8786", RUN)]
    job_resources: Annotated[
        str | None,
        _option('What a Slurm job gets, as sbatch calls it: \'{"mem": "4G", "time": "02:00:00"}\'', RUN),
    ]
    dry_run: Annotated[bool, _option("Show the plan and its cost, write nothing", RUN, "--dry-run")]
    json: Annotated[bool, _option("One JSON document on standard output", RUN, "--json")]
    quiet: Annotated[bool, _option("Print errors only", RUN, "--quiet", "-q")]
    verbose: Annotated[bool, _option("Log what happens to standard error", RUN, "--verbose", "-v")]


STORAGE_OPTIONS = ("to_option", "compression", "compression_level", "no_compress", "file_len")
"""How mags are stored."""
PYRAMID_OPTIONS = ("max_mag", "interpolation_mode", "sampling_mode", *STORAGE_OPTIONS)
"""Which coarser mags are made, by which kernel, and how they are stored."""
WORKER_OPTIONS = ("jobs", "memory", "distribution_strategy", "scheduler", "job_resources")
"""The workers and their memory."""
READ_OPTIONS = (*WORKER_OPTIONS, "json", "quiet")
"""The options that every command has which reads voxels."""
RUN_OPTIONS = ("force", "verify", *WORKER_OPTIONS, "dry_run", "json", "quiet", "verbose")
"""The options that every command has which writes voxels."""


def takes(
    without: Collection[str] = (), only: Collection[str] = (), helps: Mapping[str, str] = MappingProxyType({})
) -> Callable[[F], F]:
    """Give a command `(…, **given)` the options of `Options`, all or some, some with another text in `helps`."""

    def decorate(command: F) -> F:
        hints = {
            name: _with_help(hint, helps[name]) if name in helps else hint
            for name, hint in get_type_hints(Options, include_extras=True).items()
            if name not in without and (not only or name in only)
        }
        own_hints = get_type_hints(command, include_extras=True)
        own = [p.replace(annotation=own_hints[p.name]) for p in inspect.signature(command).parameters.values()][:-1]
        options = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if get_args(hint)[0] is bool else None,
                annotation=hint,
            )
            for name, hint in hints.items()
        ]
        # typer reads both the signature and the annotations
        command.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in [*own, *options]}
        return command

    return decorate


def _with_help(hint: Any, text: str) -> Any:
    """An option's annotation, with another text for `--help`."""
    kind, option = get_args(hint)
    option = copy.copy(option)
    option.help = text
    return Annotated[kind, option]


def settings(given: Mapping[str, Any], **more: Any) -> Settings:
    """The settings that a command's options make. Raises OptionError for the first one that cannot be read."""
    from dataclasses import fields

    from wkconvert_core.contract.voxel_size import VoxelSize
    from wkconvert_core.conversion.settings import Settings
    from wkconvert_core.toolkit.byte_sizes import parse_size

    said = {name: value for name, value in given.items() if value is not None}
    if said.pop("no_compress", False):
        if (name := said.get("compression", "none")) != "none":
            raise OptionError(f"--no-compress and --compression {name} contradict each other", fix="take one of them")
        said["compression"] = "none"
    readers: dict[str, Callable[[Any], Any]] = {
        "voxel_size": lambda text: VoxelSize.parse(text, said.get("unit", "nm")),
        "option": lambda texts: pairs(texts, "-o", "timepoint=0"),
        "to_option": lambda texts: pairs(texts, "--to-option", "compression=lz4"),
        "file_len": lambda text: None if text == "auto" else _read("file-len", int, text),
        "target_mag": lambda text: mag("target-mag", text),
        "bbox": _box,
        "flip": lambda text: text.replace(",", ""),
        "memory": lambda text: _read("memory", parse_size, text),
        "job_resources": _document,
        "no_downsample": operator.not_,
    }
    names = {
        "option": "reader_options",
        "to_option": "to_options",
        "no_downsample": "downsample",
        "distribution_strategy": "strategy",
    }
    values = {names.get(name, name): readers[name](value) if name in readers else value for name, value in said.items()}
    return Settings(**{field.name: values[field.name] for field in fields(Settings) if field.name in values} | more)


def mag(option: str, text: str) -> Mag:
    """The mag that an option's text names. Raises OptionError."""
    from wkconvert_core.contract.geometry import Mag

    return _read(option, Mag.parse, text)


def mags(texts: list[str] | None) -> list[Mag]:
    """The mags that `--mag`, which may be repeated, names. Raises OptionError."""
    return [mag("mag", text) for text in texts or ()]


def _read(option: str, reader: Callable[[str], T], text: str) -> T:
    try:
        return reader(text)
    except ValueError as error:
        raise OptionError(f"--{option} {text} cannot be read", why=str(error)) from None


def pairs(texts: list[str] | None, option: str = "-o", example: str = "timepoint=0") -> dict[str, str]:
    """The mapping that a repeatable option `key=value` gives. Raises OptionError.

    >>> pairs(["timepoint=3", "name=a=b"])
    {'timepoint': '3', 'name': 'a=b'}
    """
    for text in texts or ():
        if "=" not in text.strip("="):
            raise OptionError(f"{option} {text} is not key=value", fix=f"write for example {option} {example}")
    return dict(text.split("=", 1) for text in texts or ())


def _document(text: str) -> dict[str, Any]:
    """The JSON object that `--job-resources` gives. Raises OptionError."""
    import json

    try:
        document = json.loads(text)
    except ValueError as error:
        document, why = None, str(error)
    else:
        why = "it is no object"
    if not isinstance(document, dict):
        raise OptionError(
            f"--job-resources {text} cannot be read",
            why=why,
            fix='write one JSON object in quotes: \'{"mem": "4G", "time": "02:00:00"}\'',
        )
    return document


def _box(text: str) -> Box:
    from wkconvert_core.contract.geometry import Box

    numbers = [_read("bbox", int, part) for part in text.split(",")]
    if len(numbers) != 6 or min(numbers[3:]) < 1 or min(numbers) < 0:
        raise OptionError(
            f"--bbox {text} is no part of a volume",
            why="it is x,y,z from 0 and width,height,depth from 1",
            fix="write for example 0,0,0,512,512,64",
        )
    x, y, z, width, height, depth = numbers
    return Box((x, y, z), (width, height, depth))
