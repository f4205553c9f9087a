"""The command line. Whatever a command needs is imported in the command: `--help` must not wait for it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wkconvert_core import __version__
from wkconvert_core.cli import dataset_commands as cli_toolbox
from wkconvert_core.cli import export_commands as cli_export
from wkconvert_core.cli import inspection_commands as cli_datasets
from wkconvert_core.cli import options as opt
from wkconvert_core.cli.run import carry_out, console
from wkconvert_core.contract.errors import OptionError, WkconvertError

if TYPE_CHECKING:
    from wkconvert_core.conversion.settings import Settings

app = typer.Typer(
    name="wkconvert",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # what is not our own error is a bug, and keeps its plain traceback
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Interrupted(BaseException):
    """A signal asked the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main() -> None:
    """Run the command line; the exit code says how it went."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # paths need not be UTF-8
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        _run_app()
    except WkconvertError as error:
        _report(error)
        sys.exit(error.exit_code)
    except Interrupted as stop:
        print("\nstopped; the same command again goes on from here", file=sys.stderr)  # noqa: T201
        sys.stderr.flush()
        os._exit(128 + stop.number)  # a worker thread may be in the middle of a long shard; nobody waits for it


def _run_app() -> None:
    """Run the command; with `--json`, a usage error is raised as ours instead of being printed by typer."""
    if "--json" not in sys.argv:
        app()
    try:
        sys.exit(app(standalone_mode=False))
    except Exception as error:
        if message := getattr(error, "format_message", None):
            raise OptionError(message(), fix=f"{Path(sys.argv[0]).name} --help lists the options") from None
        raise


def _interrupt(number: int, frame: object) -> None:
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)  # a second Ctrl-C must not break the clean stop
    raise Interrupted(number)


def _report(error: WkconvertError) -> None:
    from wkconvert_core.cli.output import print_document
    from wkconvert_core.cli.reports import error_document, show_error

    if "--json" in sys.argv:
        print_document(error_document(error))
    else:
        show_error(error, console(stderr=True))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wkconvert {__version__}")
        raise typer.Exit


@app.callback()
def wkconvert(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Convert volume images to WKW datasets for WEBKNOSSOS."""


@app.command()
@opt.takes()
def auto(src: opt.Src, dst: opt.Dst, **given: Any) -> None:
    """Detect, convert, compress, downsample, write the metadata.

    The same command again continues a run that was interrupted.
    """
    _convert(src, dst, opt.settings(given), "auto", given)


@app.command()
@opt.takes(without=("voxel_size", "unit", "max_mag", "sampling_mode", "no_downsample", "add"), compression="none")
def cube(src: opt.Src, dst: opt.Dst, **given: Any) -> None:
    """Write the finest mag of new layers, raw unless asked otherwise, into a new folder or an existing dataset.

    Needs no voxel size. The layers join the dataset's metadata if there is any; else none is written.
    """
    add = not given["overwrite"]
    _convert(src, dst, opt.settings(given, downsample=False, metadata=False, add=add), "cube", given)


def _convert(src: Path, dst: Path, settings: Settings, command: str, given: dict[str, Any]) -> None:
    from wkconvert_core.conversion.prepare import prepare_conversion

    carry_out(lambda: prepare_conversion(src, dst, settings, command=command), given)


for command in (
    *(cli_toolbox.downsample, cli_toolbox.upsample, cli_toolbox.compress, cli_toolbox.recube),
    *(cli_export.export_tiff, cli_datasets.verify, cli_datasets.check_equality, cli_datasets.metadata),
):
    app.command()(command)


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="A file or folder of any kind.")],
    reader: opt.Reader = None,
    option: opt.ReaderOption = None,
    json: opt.Json = False,
) -> None:
    """Tell what a path is: each plugin's answer with its reason, and the layers; of a dataset, how it is stored."""
    from wkconvert_core.cli import dataset_reports as report_datasets
    from wkconvert_core.cli import reports as report
    from wkconvert_core.cli.output import print_document
    from wkconvert_core.commands.info import describe

    try:
        described = describe(path, reader, opt.pairs(option or []))
    except WkconvertError:
        if not json:  # what can be told of a dataset before what is wrong with it
            report_datasets.show_stored(cli_datasets.stored_at(path), console())
        raise
    stored = cli_datasets.stored(described)
    if json:
        more = {"stored": report_datasets.stored_document(stored)} if stored else {}
        print_document({**report.info_document(described), **more})
    else:
        report.show_info(described, console())
        report_datasets.show_stored(stored, console())


@app.command()
def plugins(json: opt.Json = False) -> None:
    """List what is loaded, its version and its formats, and what failed to load and why."""
    from wkconvert_core.cli import reports as report
    from wkconvert_core.cli.output import print_document
    from wkconvert_core.registry.plugins import plugins

    if json:
        print_document(report.plugins_document(plugins()))
    else:
        report.show_plugins(plugins(), console())


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A file or folder that a reader should read.")],
    reader: opt.Reader = None,
    option: opt.ReaderOption = None,
    json: opt.Json = False,
) -> None:
    """Try a reader on a file of yours: everything that core relies on; exit 1 if something does not hold."""
    from wkconvert_core.cli import reports as report
    from wkconvert_core.cli.output import print_document
    from wkconvert_core.testing import run_checks

    results = list(run_checks(path, reader, opt.pairs(option or [])))
    if json:
        print_document(report.checks_document(results))
    else:
        report.show_checks(results, console())
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)


@app.command()
def demo(
    dst: Annotated[
        Path, typer.Argument(help="The dataset's folder, to be made; the stack lies beside it, at DST-stack.")
    ],
    jobs: opt.Jobs = None,
    quiet: opt.Quiet = False,
) -> None:
    """Make a small synthetic EM stack with labels, and convert it."""
    from wkconvert_core.commands.demo import write_demo_stack
    from wkconvert_core.conversion.settings import Settings

    dst = dst.absolute()
    stack = dst.with_name(f"{dst.name}-stack")
    write_demo_stack(stack)
    if not quiet:
        console(stderr=True).print(f"Made {stack}; now: wkconvert auto {stack} {dst}", highlight=False, soft_wrap=True)
    given = {"quiet": quiet, "json": False, "dry_run": False, "verbose": False}
    _convert(stack, dst, Settings(jobs=jobs), "auto", given)
