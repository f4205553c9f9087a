"""What the commands share: where they print, and how a conversion that was decided is carried out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

    from wkconvert_core.conversion.prepare import Conversion
    from wkconvert_core.engine.progress import Listener


class _Forgiving:
    """A stream whose reader may go away, or its disk be full: that must not end a conversion."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def console(*, stderr: bool = False) -> Console:
    """Standard output for what was asked for, standard error for all else."""
    from rich.console import Console

    return Console(file=cast("TextIO", _Forgiving(sys.stderr if stderr else sys.stdout)))


@contextmanager
def listening(given: dict[str, Any]) -> Iterator[Listener]:
    """A listener that shows progress, unless the options of a command, `given`, want none."""
    from wkconvert_core.cli.progress_bar import shown

    with shown(console(stderr=True), given["quiet"] or given["json"]) as listen:
        yield listen


def carry_out(prepare: Callable[[], Conversion], given: dict[str, Any]) -> None:
    """Decide, and do it or show the plan."""
    from wkconvert_core.cli import reports as report
    from wkconvert_core.cli.output import print_document
    from wkconvert_core.conversion.execute import execute
    from wkconvert_core.toolkit.process import tune_process

    tune_process()
    quiet = given["quiet"] or given["json"]
    with _logging(given["verbose"]):
        conversion = prepare()
        if given["json"] and given["dry_run"]:
            print_document(report.plan_document(conversion))
        elif given["dry_run"]:
            report.show_plan(conversion, console())
        else:
            if not quiet:
                report.show_layers(conversion, console(stderr=True))
            with listening(given) as listen:
                done = execute(conversion, listen)
            if given["json"]:
                print_document(report.done_document(done))
            elif not quiet:
                report.show_done(done, console(stderr=True))


@contextmanager
def _logging(verbose: bool) -> Iterator[None]:
    if verbose:
        import logging

        logging.basicConfig(format="%(relativeCreated)6.0f ms %(name)s: %(message)s")
        logging.getLogger("wkconvert_core").setLevel(logging.DEBUG)
    yield
