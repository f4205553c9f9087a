"""The command line. A command imports what it needs when it is called, so that `--help` does not wait for it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from wkconvert_core import __version__
from wkconvert_core.cli import dataset_commands, export_commands, inspection_commands, options, values
from wkconvert_core.cli.reporting.log_file import logged
from wkconvert_core.cli.reporting.output import console, emit, near, print_document, print_lines, printable
from wkconvert_core.cli.run import carry_out, explained
from wkconvert_core.cli.surroundings import Interrupted, prepare_streams, raise_signals
from wkconvert_core.contract.errors import Bug, OptionError, WkconvertError

if TYPE_CHECKING:
    from wkconvert_core.conversion.settings import Settings

app = typer.Typer(
    name="wkconvert",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # other errors than ours are bugs, and keep their plain traceback
    rich_markup_mode="rich",
    epilog="Set once: WKCONVERT_MEMORY, WKCONVERT_JOBS, WKCONVERT_DISTRIBUTION_STRATEGY, WKCONVERT_SCHEDULER and "
    "WKCONVERT_JOB_RESOURCES in the environment; any option, such as voxel-size = [4, 4, 35], in a file wkconvert.toml "
    "beside the data or in your configuration folder.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


Upload = Annotated[
    bool,
    typer.Option("--upload", help="Send it to $WK_URL afterwards, as `upload` does", rich_help_panel=options.RUN),
]


class Command(TyperCommand):
    """A command whose usage line names its arguments as its help does, `SRC DST`, and whose options have defaults."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command with what the environment and files say where the command line says nothing."""
        from wkconvert_core.cli.defaults import Defaults

        said = [name for name in ctx.params if ctx.get_parameter_source(name).name != "DEFAULT"]
        src = next((ctx.params[each.name] for each in self.params if each.param_type_name == "argument"), None)
        defaults = Defaults(ctx.params, said, getattr(self.callback, "open_options", ()), src)
        ctx.params |= {**defaults.values, "defaults": defaults}
        try:
            with logged(ctx.params.get("log_file")):
                return super().invoke(ctx)
        except WkconvertError as error:
            defaults.explain(error)
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words after the command's name."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


def main() -> None:
    """Run the command line and exit with its code."""
    prepare_streams()
    raise_signals()
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # the place in the code is not told
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of worker processes
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy would start threads that nothing here needs
    try:
        sys.exit(app(standalone_mode=False))
    except WkconvertError as error:
        _report(error)
        sys.exit(error.exit_code)
    except Interrupted as stop:
        stop.end()
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
        elif hasattr(error, "format_message"):
            from wkconvert_core.cli.usage import explained

            _report(explained(error))
        else:
            _report_bug(error)
        sys.exit(getattr(error, "exit_code", 1))


def _show_warning(message: Warning | str, category: type[Warning], filename: str, *place: object) -> None:
    """Print what a library warns of, without the place in its code, which says nothing to users."""
    if not {"-q", "--quiet", "--json"} & set(sys.argv):
        _, installed, inside = filename.rpartition(f"site-packages{os.sep}")
        said = f"warning: {message} ({inside.partition(os.sep)[0]})" if installed else f"warning: {message}"
        print(printable(said), file=sys.stderr)  # noqa: T201


def _report(error: WkconvertError) -> None:
    if "--json" in sys.argv:
        print_document({"error": error})
    else:
        from wkconvert_core.cli.reporting.reports import show_error

        show_error(error, console(stderr=True))


def _report_bug(error: Exception) -> None:
    """Print the traceback of what is no error of ours, and which plugin it comes from, if from one."""
    import traceback

    from wkconvert_core.registry.plugins import plugins

    trace = "".join(traceback.format_exception(error))
    sys.stderr.write("\n".join(map(printable, trace.split("\n"))))
    culprit = plugins().culprit(trace)
    whose = f"the plugin {culprit.name} ({culprit.distribution} {culprit.version})" if culprit else "wkconvert"
    what = printable(f"{type(error).__name__}: {error}")
    bug = Bug(f"{whose} has failed: {what}", why="this is a bug", fix="send the traceback to the authors")
    _report(bug)


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


@app.command(cls=Command)
@options.takes()
def auto(src: options.Src, dst: options.Dst, upload: Upload = False, **given: Any) -> None:
    """Detect, convert, compress, downsample, write the metadata.

    The same command again continues a run that was interrupted.
    """
    if upload and not os.environ.get("WK_TOKEN"):
        raise OptionError("--upload needs a token", why="WK_TOKEN is not set", fix="set it to what the server shows")
    _convert(src, dst, values.settings(given), "auto", given)
    if upload and not given["dry_run"]:
        export_commands.send(dst, {**given, "json": False})


@app.command(cls=Command)
@options.takes(
    without=("voxel_size", "unit", "max_mag", "sampling_mode", "no_downsample", "add", "by_reference", "follow"),
    helps={"compression": "none, lz4 or lz4hc (default: none)"},
)
def cube(src: options.Src, dst: options.Dst, **given: Any) -> None:
    """Write the finest mag of new layers, raw unless asked otherwise, into a new folder or an existing dataset.

    Needs no voxel size. The layers join the dataset's metadata if there is any; else none is written.
    """
    settings = values.settings(given, downsample=False, metadata=False, add=not given["overwrite"])
    if settings.compression is None and "compression" not in settings.to_options:
        settings = replace(settings, compression="none")
    _convert(src, dst, settings, "cube", given)


def _convert(src: Path | str, dst: Path, settings: Settings, command: str, given: Mapping[str, Any]) -> None:
    from wkconvert_core.conversion.prepare import prepare_conversion

    carry_out(lambda: prepare_conversion(src, dst, settings, command=command), given, src)


for command in (
    *(dataset_commands.downsample, dataset_commands.upsample, dataset_commands.compress, dataset_commands.recube),
    *(
        *(export_commands.export, export_commands.export_tiff, export_commands.export_nifti),
        export_commands.upload,
        inspection_commands.verify,
        inspection_commands.check_equality,
    ),
    *(inspection_commands.metadata, inspection_commands.info, inspection_commands.preview, inspection_commands.view),
):
    app.command(cls=Command)(command)


@app.command(cls=Command)
@options.takes(only=("json",))
def new_plugin(name: Annotated[str, typer.Argument(help="The format: its reader's name.")], **given: Any) -> None:
    """Begin a reader of your own: a package in ./wkconvert-NAME that installs, works and passes its tests."""
    from wkconvert_core.testing.new_plugin import new_plugin

    made = new_plugin(name, Path())
    if given["json"]:
        print_document({"files": made})
    else:
        folder = f"wkconvert-{name}"
        print_lines(console(), *map(str, made), f"next: pip install -e './{folder}[test]' && pytest {folder}")


@app.command(cls=Command)
@options.takes(only=("json",))
def plugins(**given: Any) -> None:
    """List the plugins, their versions and formats, and why any failed to load."""
    from wkconvert_core.registry.plugins import plugins

    loaded = plugins()
    if given["json"]:
        stored = {name: one.summary for name, one in loaded.mag_formats().items()}
        formats, kernels = {**stored, **loaded.formats()}, sorted(loaded.downsamplers())
        told = {"plugins": loaded.loaded, "formats": formats, "writers": loaded.writers(), "exports": loaded.exports()}
        print_document({**told, "interpolation_modes": kernels})
    else:
        from wkconvert_core.cli.reporting.reports import show_plugins

        show_plugins(loaded, console())


@app.command(cls=Command)
@options.takes(only=("reader", "option", "json"))
def check(
    path: Annotated[Path, options.local_folder("A file or folder for the reader.", metavar="PATH")], **given: Any
) -> None:
    """Check that a reader does on your file all that core relies on; exit 1 if a check fails."""
    from wkconvert_core.cli.reporting.reports import show_checks
    from wkconvert_core.testing import run_checks

    checks = {"checks": list(run_checks(path, given["reader"], values.pairs(given["option"])))}
    emit(checks, given, lambda found, to: show_checks(found["checks"], to))
    if any(result.status == "failed" for result in checks["checks"]):
        raise typer.Exit(1)


@app.command(cls=Command)
@options.takes(only=("jobs", "strict", "quiet"))
def demo(
    dst: Annotated[
        Path,
        options.local_folder("The dataset's folder, to be made; the stack is written to DST-stack.", metavar="DST"),
    ],
    **given: Any,
) -> None:
    """Make a small synthetic EM stack with labels, and convert it."""
    from wkconvert_core.commands.demo import write_demo_stack

    dst = dst.absolute()
    stack = dst.with_name(f"{dst.name}-stack")
    with explained("making a stack …", given):
        write_demo_stack(stack)
    if not given["quiet"]:
        print_lines(console(stderr=True), f"Made {near(stack)}; now: wkconvert auto {near(stack)} {near(dst)}")
    _convert(stack, dst, values.settings(given), "auto", {**given, "json": False, "dry_run": False, "verbose": False})
