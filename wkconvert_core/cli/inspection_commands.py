"""`verify`, `check-equality` and `metadata`, as typer sees them, and what `info` says of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wkconvert_core.cli import options as opt
from wkconvert_core.cli.run import console, listening
from wkconvert_core.contract.errors import OptionError, WkconvertError

if TYPE_CHECKING:
    from wkconvert_core.commands.info import Described
    from wkconvert_core.datasets.dataset import MagStorage

RUN = (*opt.WORKER_OPTIONS, "json", "quiet")

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


@opt.takes(only=RUN)
def verify(
    dst: opt.Dataset,
    layer_name: opt.Layers = None,
    mag: opt.Mags = None,
    deep: Deep = False,
    write_checksums: WriteChecksums = False,
    **given: Any,
) -> None:
    """Read every shard strictly, compare checksums, and coarser mags with finer ones; exit 1 if any is damaged."""
    from wkconvert_core.cli import dataset_reports as report_datasets
    from wkconvert_core.cli.output import print_document
    from wkconvert_core.commands.verify import verify as run
    from wkconvert_core.toolkit.process import tune_process

    tune_process()
    with listening(given) as listen:
        found = run(
            dst,
            opt.settings(given),
            layers=layer_name or (),
            mags=opt.mags(mag),
            deep=deep,
            write_checksums=write_checksums,
            listen=listen,
        )
    if given["json"]:
        print_document(report_datasets.soundness_document(found))
    else:
        report_datasets.show_soundness(found, console(), quiet=given["quiet"])
    if not found.sound:
        raise typer.Exit(1)


@opt.takes(only=RUN)
def check_equality(a: A, b: B, layer_name: opt.Layers = None, mag: opt.Mags = None, **given: Any) -> None:
    """Compare two datasets, metadata and every voxel: exit 0 equal, 1 different, 2 cannot compare."""
    from wkconvert_core.cli import dataset_reports as report_datasets
    from wkconvert_core.cli.output import print_document
    from wkconvert_core.commands.check_equality import check_equality as run
    from wkconvert_core.toolkit.process import tune_process

    tune_process()
    try:
        with listening(given) as listen:
            found = run(a, b, opt.settings(given), layers=layer_name or (), mags=opt.mags(mag), listen=listen)
    except WkconvertError as error:
        error.exit_code = 2  # whatever keeps us from comparing
        raise
    if given["json"]:
        print_document(report_datasets.equality_document(found))
    else:
        report_datasets.show_equality(found, console(), quiet=given["quiet"])
    if not found.equal:
        raise typer.Exit(1)


@opt.takes(
    only=("voxel_size", "unit", "category", "name", "dry_run", *RUN),
    helps={
        "voxel_size": "x,y,z; an empty place leaves that axis: ,,35 (default: as it is; at first what `cube` saw)",
        "category": "color or segmentation (default: as it is; of new layers by name, else by looking)",
        "name": "Name of the dataset (default: as it is; at first the folder's)",
        "dry_run": "Show what would change, write nothing",
    },
)
def metadata(
    context: typer.Context,
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
    from wkconvert_core.cli import dataset_reports as report_datasets
    from wkconvert_core.cli.output import print_document
    from wkconvert_core.commands.metadata import Wanted, update
    from wkconvert_core.toolkit.process import tune_process

    tune_process()
    source = context.get_parameter_source("unit")
    if source and source.name == "COMMANDLINE" and given["voxel_size"] is None:
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
    if given["json"]:
        print_document(report_datasets.metadata_document(done))
    elif not given["quiet"]:
        report_datasets.show_metadata(done, console())


def stored(described: Described) -> list[MagStorage]:
    """The mags of the datasets at a path, as they are stored; none for other data."""
    from wkconvert_core.datasets.dataset import inventory

    paths = dict.fromkeys(layer.found.path for layer in described.layers if layer.found.match.format == "webknossos")
    return [mag for path in paths for mag in inventory(path)]


def stored_at(path: Path) -> list[MagStorage]:
    """The mags of a dataset that cannot be opened, as far as they can be told."""
    from wkconvert_core.datasets.dataset import inventory

    try:
        return inventory(path)
    except WkconvertError:
        return []
