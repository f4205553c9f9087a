"""The options of `auto` and `cube`, as typer sees them, and what their texts become."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from wkconvert_core.contract.errors import OptionError

if TYPE_CHECKING:
    from wkconvert_core.contract.geometry import Mag
    from wkconvert_core.conversion.settings import Settings

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])

SOURCE, PYRAMID, STORAGE, RUN = "Source", "Pyramid", "Storage", "Run"

Copy = Annotated[Path | None, typer.Argument(help="Where a copy is written (default: in place).", metavar="target")]
Src = Annotated[Path, typer.Argument(help="What to convert: a file, a folder of slices, a folder of layer folders.")]
Dst = Annotated[Path, typer.Argument(help="The dataset's folder, to be made.")]


def _option(help: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, show_default=False)


Layers = Annotated[list[str] | None, _option("Only these layers, repeatable (default: all)", SOURCE, "--layer-name")]
Mags = Annotated[list[str] | None, _option("Only these mags, 2 or 2-2-1, repeatable (default: all)", SOURCE, "--mag")]
FromMag = Annotated[str | None, _option("Begin at this mag: 2 or 2-2-1 (default: each layer's finest)", SOURCE)]
Dataset = Annotated[Path, typer.Argument(help="A dataset's folder.")]
VoxelSizeText = Annotated[
    str | None, _option("x,y,z; an empty place is left to the source: ,,35 (default: the source's own)", SOURCE)
]
Unit = Annotated[str, _option("Unit of --voxel-size: pm, Å, nm, µm (um), mm, cm, m, inch (default: nm)", SOURCE)]
LayerName = Annotated[str | None, _option("Name of the layer (default: its folder, or its category)", SOURCE)]
CategoryText = Annotated[str | None, _option("color or segmentation (default: by name, else by looking)", SOURCE)]
Reader = Annotated[str | None, _option("Force a reader (default: the surest one)", SOURCE)]
ReaderOption = Annotated[list[str] | None, _option("key=value for the reader, repeatable", SOURCE, "-o", "--option")]
DtypeText = Annotated[str | None, _option("uint8 … uint64, int8 … int64, float32, float64 (default: own)", SOURCE)]
Convert = Annotated[
    str,
    _option(
        "For --dtype: exact (refuse what does not fit), clip, scale (range to range; floats: 0 to 1) (default: exact)",
        SOURCE,
    ),
]
GapsText = Annotated[str, _option("A hole in a stack's numbers: error, fill (zeros), close (default: error)", SOURCE)]
Pad = Annotated[bool, _option("Pad slices that differ in size with zeros at the high x and y side", SOURCE, "--pad")]
Channel = Annotated[int | None, _option("Take this channel only, counted from 0", SOURCE)]
StartZ = Annotated[int, _option("Put the source's first slice at this z (default: 0)", SOURCE)]
SkipZ = Annotated[int, _option("Leave out this many slices at the start (default: 0)", SOURCE)]
Bbox = Annotated[
    str | None, _option("x,y,z,width,height,depth: take this part, counted after --skip… and --flip", SOURCE)
]
Flip = Annotated[str, _option("Mirror these axes: x,y", SOURCE)]

MaxMag = Annotated[int | None, _option("Coarsest mag (default: about 100 voxels wide)", PYRAMID)]
Interpolation = Annotated[
    str, _option("Kernel: median, mode, mean, nearest, bilinear, bicubic, min, max (default: median or mode)", PYRAMID)
]
Sampling = Annotated[str, _option("anisotropic, isotropic or constant-z (default: anisotropic)", PYRAMID)]
NoDownsample = Annotated[bool, _option("Write the finest mag only", PYRAMID, "--no-downsample")]
TargetMag = Annotated[str, _option("Finest mag to write: 2 or 2-2-1 (default: 1)", PYRAMID)]

Name = Annotated[str | None, _option("Name of the dataset (default: the name of DST)", STORAGE)]
To = Annotated[str, _option("Writer (default: wkw)", STORAGE)]
Compression = Annotated[str | None, _option("none, lz4 or lz4hc (default: lz4; lz4hc for segmentation)", STORAGE)]
Level = Annotated[int | None, _option("1 to 12, for lz4hc (default: 4)", STORAGE)]
NoCompress = Annotated[bool, _option("The same as --compression none", STORAGE, "--no-compress")]
FileLen = Annotated[str, _option("Blocks along a shard's side: auto, 1, 2, … 64 (default: auto)", STORAGE)]

Add = Annotated[bool, _option("Add the layers to an existing dataset", RUN, "--add")]
Overwrite = Annotated[bool, _option("Replace an existing dataset, once the new one is complete", RUN, "--overwrite")]
Force = Annotated[bool, _option("Go on although the disk may not suffice", RUN, "--force")]
Verify = Annotated[bool, _option("Read everything back and compare it with the source", RUN, "--verify")]
Jobs = Annotated[
    int | None,
    _option(
        "Workers (default: one per processor); with slurm, jobs (default: 10); with dask, tasks at a time to plan for",
        RUN,
    ),
]
Memory = Annotated[
    str | None,
    _option(
        "Peak of all processes: 2GiB (default: half of what is available); with dask and slurm, of each worker", RUN
    ),
]
Distribution = Annotated[str, _option("threads, multiprocessing, sequential, dask or slurm (default: threads)", RUN)]
Scheduler = Annotated[str | None, _option("Address of dask's scheduler: tcp://host:8786", RUN)]
JobResources = Annotated[
    str | None,
    _option('What a Slurm job gets, as sbatch calls it: \'{"mem": "4G", "time": "02:00:00"}\'', RUN),
]
DryRun = Annotated[bool, _option("Show the plan and its cost, write nothing", RUN, "--dry-run")]
Json = Annotated[bool, _option("One JSON document on standard output", RUN, "--json")]
Quiet = Annotated[bool, _option("Print errors only", RUN, "--quiet", "-q")]
Verbose = Annotated[bool, _option("Log what happens to standard error", RUN, "--verbose", "-v")]


class ConvertOptions:
    """The options of `auto`, in the order in which `--help` shows them; `cube` has most of them."""

    voxel_size: VoxelSizeText = None
    unit: Unit = "nm"
    layer_name: LayerName = None
    category: CategoryText = None
    reader: Reader = None
    option: ReaderOption = None
    dtype: DtypeText = None
    convert: Convert = "exact"
    gaps: GapsText = "error"
    pad: Pad = False
    channel: Channel = None
    start_z: StartZ = 0
    skip_first_z_slices: SkipZ = 0
    bbox: Bbox = None
    flip: Flip = ""
    max_mag: MaxMag = None
    interpolation_mode: Interpolation = "default"
    sampling_mode: Sampling = "anisotropic"
    no_downsample: NoDownsample = False
    target_mag: TargetMag = "1"
    name: Name = None
    to: To = "wkw"
    compression: Compression = None
    compression_level: Level = None
    no_compress: NoCompress = False
    file_len: FileLen = "auto"
    add: Add = False
    overwrite: Overwrite = False
    force: Force = False
    verify: Verify = False
    jobs: Jobs = None
    memory: Memory = None
    distribution_strategy: Distribution = "threads"
    scheduler: Scheduler = None
    job_resources: JobResources = None
    dry_run: DryRun = False
    json: Json = False
    quiet: Quiet = False
    verbose: Verbose = False


DEFAULTS = {name: default for name, default in vars(ConvertOptions).items() if not name.startswith("_")}
STORAGE_OPTIONS = ("compression", "compression_level", "no_compress", "file_len")
"""How mags are stored."""
PYRAMID_OPTIONS = ("max_mag", "interpolation_mode", "sampling_mode", *STORAGE_OPTIONS)
"""What decides on coarser mags and how they are stored."""
WORKER_OPTIONS = ("jobs", "memory", "distribution_strategy", "scheduler", "job_resources")
"""Who works, and with what."""
RUN_OPTIONS = ("force", "verify", *WORKER_OPTIONS, "dry_run", "json", "quiet", "verbose")
"""What every command takes that writes voxels."""


def takes(
    without: Collection[str] = (),
    only: Collection[str] = (),
    helps: Mapping[str, str] = MappingProxyType({}),
    **defaults: Any,
) -> Callable[[F], F]:
    """Give a command `(…, **given)` the options above, but for some, and with other defaults or `helps` for others."""

    def decorate(command: F) -> F:
        hints = get_type_hints(ConvertOptions, include_extras=True)
        hints |= {name: _with_help(hints[name], text) for name, text in helps.items()}
        given = get_type_hints(command, include_extras=True)
        own = [p.replace(annotation=given[p.name]) for p in inspect.signature(command).parameters.values()][:-1]
        options = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name, default), annotation=hints[name]
            )
            for name, default in DEFAULTS.items()
            if name not in without and (not only or name in only)
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


def settings(given: dict[str, Any], **more: Any) -> Settings:
    """The settings that a command's options make. Raises OptionError for the first one that cannot be read."""
    from wkconvert_core.contract.voxel_size import VoxelSize
    from wkconvert_core.conversion.settings import Settings
    from wkconvert_core.toolkit.byte_sizes import parse_size

    given = {**DEFAULTS, **given}
    size, memory = given["voxel_size"], given["memory"]
    return Settings(
        voxel_size=None if size is None else VoxelSize.parse(size, given["unit"]),
        reader_options=pairs(given["option"] or []),
        compression=_compression(given["compression"], given["no_compress"]),
        file_len=None if given["file_len"] == "auto" else _read("file-len", int, given["file_len"]),
        target_mag=mag("target-mag", given["target_mag"]),
        bbox=None if given["bbox"] is None else _box(given["bbox"]),
        flip=given["flip"].replace(",", ""),
        memory=None if memory is None else _read("memory", parse_size, memory),
        strategy=given["distribution_strategy"],
        job_resources=None if given["job_resources"] is None else _document(given["job_resources"]),
        **{"downsample": not given["no_downsample"], **{name: given[name] for name in _PLAIN}, **more},
    )


_PLAIN = (
    *("name", "layer_name", "category", "to", "reader", "dtype", "convert", "gaps", "pad", "channel", "start_z"),
    *("skip_first_z_slices", "max_mag", "interpolation_mode", "sampling_mode", "compression_level", "add"),
    *("overwrite", "force", "verify", "jobs", "scheduler"),
)
"""The options that are settings as they are."""


def mag(option: str, text: str) -> Mag:
    """The mag that an option's text names. Raises OptionError."""
    from wkconvert_core.contract.geometry import Mag

    return _read(option, Mag.parse, text)


def mags(texts: list[str] | None) -> list[Mag]:
    """The mags that `--mag`, said so many times, names. Raises OptionError."""
    return [mag("mag", text) for text in texts or ()]


def _read(option: str, reader: Callable[[str], T], text: str) -> T:
    try:
        return reader(text)
    except ValueError as error:
        raise OptionError(f"--{option} {text} cannot be read", why=str(error)) from None


def pairs(texts: list[str]) -> dict[str, str]:
    """The reader options that `-o key=value` gives. Raises OptionError."""
    for text in texts:
        if "=" not in text.strip("="):
            raise OptionError(f"-o {text} is not key=value", fix="write for example -o timepoint=0")
    return dict(text.split("=", 1) for text in texts)


def _document(text: str) -> dict[str, Any]:
    """The JSON object of an option. Raises OptionError."""
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


def _compression(name: str | None, off: bool) -> Any:
    if off and name not in (None, "none"):
        raise OptionError(f"--no-compress and --compression {name} contradict each other", fix="take one of them")
    return "none" if off else name or "auto"


def _box(text: str) -> Any:
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
