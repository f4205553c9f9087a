"""What the commands share: progress, logging, and carrying out a conversion or showing its plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wkconvert_core.cli.output import console, emit

if TYPE_CHECKING:
    from wkconvert_core.conversion.prepare import Conversion
    from wkconvert_core.engine.progress import Listener


@contextmanager
def listening(given: Mapping[str, Any]) -> Iterator[Listener]:
    """A listener that shows progress, unless `given`, the command's options, has `quiet` or `json`."""
    from wkconvert_core.cli.progress_bar import shown
    from wkconvert_core.toolkit.process import tune_process

    tune_process()
    with shown(console(stderr=True), given["quiet"] or given["json"]) as listen:
        yield listen


def carry_out(prepare: Callable[[], Conversion], given: Mapping[str, Any]) -> None:
    """Plan a conversion, then execute it, or show the plan with `--dry-run`."""
    from wkconvert_core.cli import reports
    from wkconvert_core.conversion.execute import execute
    from wkconvert_core.toolkit.process import tune_process

    tune_process()
    if given["verbose"]:
        import logging

        logging.basicConfig(format="%(relativeCreated)6.0f ms %(name)s: %(message)s")
        logging.getLogger("wkconvert_core").setLevel(logging.DEBUG)
    conversion = prepare()
    if given["dry_run"]:
        emit(conversion, given, reports.show_plan)
        return
    quiet = given["quiet"] and not given["json"]
    if not (quiet or given["json"]):
        reports.show_layers(conversion, console(stderr=True))
    with listening(given) as listen:
        done = execute(conversion, listen)
    if not quiet:
        emit(done, given, reports.show_done, stderr=True)
