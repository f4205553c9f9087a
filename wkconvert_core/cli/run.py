"""Steps that the commands share: progress, logging, notes, and carrying out a conversion or showing its plan."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from wkconvert_core.cli.reporting.log_file import formatter, log_notes
from wkconvert_core.cli.reporting.output import console, emit, print_lines, print_notes, warnings_of
from wkconvert_core.contract.errors import HeededWarning, check_known

if TYPE_CHECKING:
    from rich.console import Console

    from wkconvert_core.conversion.prepare import Conversion
    from wkconvert_core.engine.progress import Listener

Result = TypeVar("Result")

PATIENCE = 1.0
"""Seconds after which a user is told what takes so long."""


@contextmanager
def listening(given: Mapping[str, Any]) -> Iterator[Listener]:
    """A listener that shows progress as `given`, the command's options, say: with `quiet` or `json` only if asked."""
    from wkconvert_core.cli.reporting.progress_bar import shown

    begin(given)
    with shown(console(stderr=True), _progress(given)) as listen:
        yield listen


def _progress(given: Mapping[str, Any]) -> str:
    said = given.get("progress") or ("none" if given["quiet"] or given["json"] else "auto")
    check_known("progress", [said], ("auto", "bar", "plain", "json", "none"), "is not known")
    return str(said)


def begin(given: Mapping[str, Any]) -> None:
    """Tune the process, and log to standard error: warnings of libraries, and with `verbose` what we do.

    Raises OptionError for another `progress` than there is.
    """
    import logging

    from wkconvert_core.toolkit.process import tune_process

    _progress(given)
    tune_process()
    verbose = given.get("verbose", False)
    handler = logging.StreamHandler()
    handler.setLevel(logging.DEBUG if verbose else logging.WARNING)
    handler.setFormatter(formatter("%(relativeCreated)6.0f ms %(name)s: %(message)s" if verbose else "%(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("wkconvert_core").setLevel(logging.DEBUG if verbose or given.get("log_file") else logging.WARNING)


@contextmanager
def explained(what: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Say what is going on if it takes longer than people wait in silence."""
    if given.get("quiet") or given.get("json"):
        yield
        return
    timer = threading.Timer(PATIENCE, print_lines, (console(stderr=True), what))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def heed(notes: Iterable[str], given: Mapping[str, Any]) -> None:
    """With `strict`, raise HeededWarning for the warnings among notes."""
    if given.get("strict") and (warnings := warnings_of(notes)):
        more = f", and {len(warnings) - 1} more" if len(warnings) > 1 else ""
        raise HeededWarning(
            f"{warnings[0]}{more}", why="--strict makes an error of each warning", fix="mend it, or leave out --strict"
        )


def carry_out(prepare: Callable[[], Conversion], given: Mapping[str, Any], reading: object) -> None:
    """Plan a conversion, then execute it, or show the plan with `--dry-run`. `reading` is what is opened for it."""
    from wkconvert_core.cli.reporting import reports
    from wkconvert_core.conversion.execute import execute

    begin(given)
    if given.get("report"):
        from wkconvert_core.viewing import report as page

        page.check_place(given["report"])
    with explained(f"reading {reading} …", given):
        conversion = prepare()
    inputs = replace(conversion.inputs, notes=[*given["defaults"].notes, *conversion.inputs.notes])
    conversion = replace(conversion, inputs=inputs)
    log_notes(conversion.notes)
    heed(conversion.notes, given)
    if given["dry_run"]:
        with explained("measuring samples …", given):
            conversion = conversion.with_estimate()
        emit(conversion, given, reports.show_plan)
        return
    if not given["json"]:
        reports.show_layers(conversion, console(stderr=True), quiet=given["quiet"])
    with listening(given) as listen:
        done = execute(conversion, listen)
    if given.get("report"):
        page.write_run(given["report"], done, given["defaults"].command)
    report(done, done.late_notes, given, partial(reports.show_done, quiet=given["quiet"]), stderr=True)


def report(
    result: Result,
    notes: Iterable[str],
    given: Mapping[str, Any],
    show: Callable[[Result, Console], None],
    *,
    stderr: bool = False,
    code: int = 1,
) -> None:
    """Print a result as `emit` does, after its notes; a warning among them ends the command with `code` if `strict`."""
    log_notes(notes)
    if not given["json"]:
        print_notes(notes, console(stderr=stderr or given["quiet"]), quiet=given["quiet"])
    emit(result, given, show, stderr=stderr)
    if given["strict"] and warnings_of(notes):
        raise typer.Exit(code)
