"""The command-line functions of `verify`, `check-equality`, `metadata`, `info`, `preview` and `view`."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from wkconvert_core.cli import options, values
from wkconvert_core.cli.reporting.output import console, emit, print_lines, print_notes, warnings_of
from wkconvert_core.cli.run import listening, report
from wkconvert_core.cli.surroundings import Interrupted
from wkconvert_core.contract.errors import OptionError, WkconvertError

Deep = Annotated[
    bool, typer.Option("--deep", help="Recompute whole coarser mags, not only some boxes; look for largest ids")
]
WriteChecksums = Annotated[
    bool,
    typer.Option("--write-checksums", help="Record checksums of sound mags that have none, or were rewritten since"),
]
With = Annotated[
    str | None,
    typer.Option(
        "--with", help="A library to read sound mags, too, and compare all voxels: wkw, zarr", metavar="LIBRARY"
    ),
]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="Update layers and mags from the folder (the default without other options)")
]
Extent = Annotated[bool, typer.Option("--extent", help="Measure the bounding boxes of the non-zero voxels")]
ComputeMaxId = Annotated[bool, typer.Option("--compute-max-id", help="Read all voxels to find the largest segment id")]
MaxId = Annotated[
    int | None,
    typer.Option(help="The largest segment id of the layer", show_default=False, **options.whole(1, 2**64 - 1)),
]
Picture = Annotated[
    Path | None,
    typer.Option(help="The PNG to write (default: NAME-preview.png in this folder)", show_default=False),
]
Port = Annotated[
    int, typer.Option(help="Port on 127.0.0.1 (default: any free one)", show_default=False, **options.whole(0, 65535))
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the address, open nothing")]
Terminal = Annotated[bool, typer.Option("--terminal", help="Show it in the terminal as well, where that can")]
AnyPath = Annotated[str, typer.Argument(metavar="PATH", help="A file or folder of any kind, or a URL.")]
A = Annotated[Path, options.local_folder("A dataset's folder.", metavar="A")]
B = Annotated[Path, options.local_folder("Another dataset's folder.", metavar="B")]


CHANGED = 3
"""Exit code of `verify` for a dataset of which nothing is damaged, but some is not as it was recorded."""


@options.takes(only=options.READ_OPTIONS)
def verify(
    dst: options.Dataset,
    layer_name: options.Layers = None,
    mag: options.Mags = None,
    deep: Deep = False,
    write_checksums: WriteChecksums = False,
    second_reader: With = None,
    **given: Any,
) -> None:
    """Read every shard strictly, compare checksums, and coarser mags with finer ones.

    Exit 0 if all is sound, 1 if any is damaged, 3 if nothing is damaged, but another program has rewritten a mag.
    """
    from wkconvert_core.cli.reporting.dataset_reports import show_soundness
    from wkconvert_core.commands.verify import verify as run

    chosen: dict[str, Any] = {"layers": layer_name or (), "mags": values.mags(mag)}
    with listening(given) as listen:
        chosen |= {"deep": deep, "write_checksums": write_checksums, "second_reader": second_reader}
        found = run(dst, values.settings(given), **chosen, listen=listen)
    report(found, found.notes, given, partial(show_soundness, quiet=given["quiet"]))
    if not found.sound:
        raise typer.Exit(1 if found.damaged else CHANGED)


@options.takes(only=("follow", *options.READ_OPTIONS))
def check_equality(a: A, b: B, layer_name: options.Layers = None, mag: options.Mags = None, **given: Any) -> None:
    """Compare two datasets, metadata and every voxel: exit 0 equal, 1 different, 2 cannot compare."""
    from wkconvert_core.cli.reporting.dataset_reports import show_equality
    from wkconvert_core.commands.check_equality import check_equality as run

    try:
        with listening(given) as listen:
            found = run(a, b, values.settings(given), layers=layer_name or (), mags=values.mags(mag), listen=listen)
    except WkconvertError as error:
        error.exit_code = 2  # whatever the error is, the datasets could not be compared
        raise
    report(found, found.notes, given, partial(show_equality, quiet=given["quiet"]), code=2)
    if not found.equal:
        raise typer.Exit(1)


@options.takes(
    only=("voxel_size", "unit", "category", "name", "dry_run", "log_file", *options.READ_OPTIONS),
    helps={
        "voxel_size": "x,y,z; leave a number out to keep it: ,,35 (default: unchanged; at first what `cube` read)",
        "category": "color or segmentation (default: unchanged; for new layers by name, else by content)",
        "name": "Name of the dataset (default: unchanged; at first the folder's)",
        "dry_run": "Show what would change, write nothing",
    },
    asked=("voxel_size", "unit", "category", "name"),
)
def metadata(
    dst: options.Dataset,
    layer_name: options.Layers = None,
    refresh: Refresh = False,
    extent: Extent = False,
    compute_max_id: ComputeMaxId = False,
    max_id: MaxId = None,
    **given: Any,
) -> None:
    """Make datasource-properties.json for existing mags, or bring it up to date.

    New layers and mags are added, missing ones removed; what people wrote there stays.

    Options that set or measure something change nothing else, unless --refresh is given, too.
    """
    from wkconvert_core.cli.reporting.dataset_reports import show_metadata
    from wkconvert_core.commands.metadata import Wanted, update

    if given["unit"] is not None and given["voxel_size"] is None:
        raise OptionError(f"--unit {given['unit']} means nothing without --voxel-size", fix="give both")
    settings = values.settings(given)
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
    report(done, done.notes, given, partial(show_metadata, quiet=given["quiet"]))


@options.takes(only=("reader", "option", "follow", "json", "report", "strict"))
def info(path: AnyPath, **given: Any) -> None:
    """Show which plugin reads a path, and why, and its layers; of a dataset, also how it is stored."""
    from wkconvert_core.cli.reporting import dataset_reports, reports
    from wkconvert_core.commands.info import describe
    from wkconvert_core.datasets.inventory import inventory

    try:
        described = describe(path, given["reader"], values.pairs(given["option"]), follow=given["follow"])
    except WkconvertError:
        if not given["json"]:  # of a damaged dataset, its readable mags are listed before the error
            with suppress(WkconvertError):
                dataset_reports.show_stored(inventory(Path(path)), console())
        raise
    if given["report"]:
        from wkconvert_core.viewing.report import write_source

        write_source(given["report"], path, described.layers, described.stored, given["defaults"].command)
    emit(described, given, reports.show_info)
    if given["strict"] and any(warnings_of(layer.notes) for layer in described.layers):
        raise typer.Exit(1)


@options.takes(
    only=("reader", "option", "strict", "quiet", "json"),
    helps={"option": "key=value for the reader, repeatable; or, without =, the same as --output"},
)
def preview(
    path: AnyPath,
    output: Picture = None,
    layer_name: options.Layers = None,
    terminal: Terminal = False,
    **given: Any,
) -> None:
    """Draw three planes of each layer of a dataset, or of a source before it is converted, into one PNG."""
    from wkconvert_core.cli.reporting.dataset_reports import show_preview
    from wkconvert_core.viewing.preview import preview as run
    from wkconvert_core.viewing.terminal_picture import picture_text

    if terminal:
        picture_text(b"", os.environ)  # refused before the work
    said = given["option"] or []
    output = output or next((Path(text) for text in said if "=" not in text), None)
    for_reader = values.pairs([text for text in said if "=" in text])
    made = run(path, output, layers=layer_name or (), reader=given["reader"], options=for_reader)
    if terminal:
        console().file.write(picture_text(made.png, os.environ))
    report(made, made.notes, given, partial(show_preview, quiet=given["quiet"]))


@options.takes(only=("reader", "option"))
def view(
    path: AnyPath,
    layer_name: options.Layers = None,
    port: Port = 0,
    no_browser: NoBrowser = False,
    **given: Any,
) -> None:
    """Look at a dataset, or at a source before it is converted, with neuroglancer in a browser; Ctrl-C ends it."""
    import webbrowser
    from signal import SIGINT
    from threading import Event

    from wkconvert_core.viewing.view import viewing

    chosen = values.pairs(given["option"])
    with viewing(path, port, layers=layer_name or (), reader=given["reader"], options=chosen) as served:
        try:
            print_notes(served.notes, console(stderr=True))
            print_lines(console(), served.address)
            print_lines(console(stderr=True), "Ctrl-C ends it")
            if not no_browser:
                webbrowser.open(served.address)
            Event().wait()
        except Interrupted as stop:
            if stop.number != SIGINT:
                raise
