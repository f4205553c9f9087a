"""The commands that only look at a dataset, and `metadata`, which corrects what is said of it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from wkconvert_core.cli import options as opt
from wkconvert_core.cli.output import console, emit
from wkconvert_core.cli.run import listening
from wkconvert_core.contract.errors import OptionError, WkconvertError

Deep = Annotated[bool, typer.Option("--deep", help="Make every coarser mag anew to compare it, not only some boxes")]
WriteChecksums = Annotated[
    bool, typer.Option("--write-checksums", help="Record the checksums of sound mags that have none")
]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="Take layers and mags from the folder (what happens without options)")
]
Extent = Annotated[bool, typer.Option("--extent", help="Measure the bounding boxes anew, by voxels that are not zero")]
ComputeMaxId = Annotated[bool, typer.Option("--compute-max-id", help="Read all voxels to find the largest id")]
MaxId = Annotated[int | None, typer.Option(min=1, help="The largest id of the segmentation layer", show_default=False)]
A = Annotated[Path, typer.Argument(help="A dataset's folder.")]
B = Annotated[Path, typer.Argument(help="Another one's.")]


@opt.takes(only=opt.READ_OPTIONS)
def verify(
    dst: opt.Dataset,
    layer_name: opt.Layers = None,
    mag: opt.Mags = None,
    deep: Deep = False,
    write_checksums: WriteChecksums = False,
    **given: Any,
) -> None:
    """Read every shard strictly, compare checksums, and coarser mags with finer ones; exit 1 if any is damaged."""
    from wkconvert_core.cli.dataset_reports import show_soundness
    from wkconvert_core.commands.verify import verify as run

    chosen: dict[str, Any] = {"layers": layer_name or (), "mags": opt.mags(mag)}
    with listening(given) as listen:
        found = run(dst, opt.settings(given), **chosen, deep=deep, write_checksums=write_checksums, listen=listen)
    emit(found, given, partial(show_soundness, quiet=given["quiet"]))
    if not found.sound:
        raise typer.Exit(1)


@opt.takes(only=opt.READ_OPTIONS)
def check_equality(a: A, b: B, layer_name: opt.Layers = None, mag: opt.Mags = None, **given: Any) -> None:
    """Compare two datasets, metadata and every voxel: exit 0 equal, 1 different, 2 cannot compare."""
    from wkconvert_core.cli.dataset_reports import show_equality
    from wkconvert_core.commands.check_equality import check_equality as run

    try:
        with listening(given) as listen:
            found = run(a, b, opt.settings(given), layers=layer_name or (), mags=opt.mags(mag), listen=listen)
    except WkconvertError as error:
        error.exit_code = 2  # whatever the error is, the datasets could not be compared
        raise
    emit(found, given, partial(show_equality, quiet=given["quiet"]))
    if not found.equal:
        raise typer.Exit(1)


@opt.takes(
    only=("voxel_size", "unit", "category", "name", "dry_run", *opt.READ_OPTIONS),
    helps={
        "voxel_size": "x,y,z; an empty place leaves that axis: ,,35 (default: as it is; at first what `cube` saw)",
        "category": "color or segmentation (default: as it is; of new layers by name, else by looking)",
        "name": "Name of the dataset (default: as it is; at first the folder's)",
        "dry_run": "Show what would change, write nothing",
    },
)
def metadata(
    dst: opt.Dataset,
    layer_name: opt.Layers = None,
    refresh: Refresh = False,
    extent: Extent = False,
    compute_max_id: ComputeMaxId = False,
    max_id: MaxId = None,
    **given: Any,
) -> None:
    """Make datasource-properties.json for mags that are there, or bring it up to date.

    Layers and mags that are new join, those that are gone go, and what people wrote there stays.

    With an option that sets or measures something, only that is changed, unless --refresh is given, too.
    """
    from wkconvert_core.cli.dataset_reports import show_metadata
    from wkconvert_core.commands.metadata import Wanted, update

    if given["unit"] is not None and given["voxel_size"] is None:
        raise OptionError(f"--unit {given['unit']} says nothing without --voxel-size", fix="say both")
    settings = opt.settings(given)
    wanted = Wanted(
        settings.name,
        settings.voxel_size,
        settings.category,
        layer_name or (),
        refresh,
        extent,
        compute_max_id,
        max_id,
        given["dry_run"],
    )
    with listening(given) as listen:
        done = update(dst, wanted, settings, listen=listen)
    if given["json"] or not given["quiet"]:
        emit(done, given, show_metadata)


@opt.takes(only=("reader", "option", "json"))
def info(path: Annotated[str, typer.Argument(help="A file or folder of any kind, or a URL.")], **given: Any) -> None:
    """Tell what a path is: each plugin's answer with its reason, and the layers; of a dataset, how it is stored."""
    from wkconvert_core.cli import dataset_reports, reports
    from wkconvert_core.commands.info import describe
    from wkconvert_core.datasets.dataset import inventory

    try:
        described = describe(path, given["reader"], opt.pairs(given["option"]))
    except WkconvertError:
        if not given["json"]:  # what can be told of a dataset before what is wrong with it
            with suppress(WkconvertError):
                dataset_reports.show_stored(inventory(Path(path)), console())
        raise
    emit(described, given, reports.show_info)
