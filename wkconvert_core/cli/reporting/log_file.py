"""The log that `--log-file` keeps: the command, its details, notes and how it ended, whatever the terminal shows."""

from __future__ import annotations

import re
import shlex
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wkconvert_core import __version__
from wkconvert_core.cli.reporting.output import console, print_lines, printable
from wkconvert_core.cli.surroundings import Interrupted
from wkconvert_core.contract.errors import OptionError, WkconvertError
from wkconvert_core.contract.notes import WarningNote

if TYPE_CHECKING:
    import logging

FILE_ONLY = 5
"""Level of records for the file alone: below those that `--verbose` prints."""
_BEGINNING = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:,]{12} wkconvert: ")
"""How each log of ours begins."""


def command_line(*more: str) -> str:
    """The command that this process runs, as a shell takes it, with `more` options right behind its name."""
    return shlex.join(["wkconvert", *sys.argv[1:2], *more, *sys.argv[2:]])


def formatter(form: str) -> logging.Formatter:
    """A formatter of records in which control characters are escaped, as in all that is printed."""
    import logging

    class Printable(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return "\\n".join(map(printable, super().format(record).split("\\n")))

    return Printable(form)


def log(text: str) -> None:
    """Add a text to the log file, if one is kept."""
    import logging

    logging.getLogger("wkconvert").log(FILE_ONLY, text)


def log_notes(notes: Iterable[str]) -> None:
    """Add notes to the log file, if one is kept."""
    for note in notes:
        log(f"{'warning' if isinstance(note, WarningNote) else 'note'}: {note}")


@contextmanager
def logged(said: Path | str | None) -> Iterator[None]:
    """Keep a log in a file, after what stands there, if a file is given. Raises OptionError."""
    if said is None:
        yield
        return
    import logging

    handler = _handler(Path(said))
    logging.getLogger().addHandler(handler)
    logging.getLogger("wkconvert").setLevel(FILE_ONLY)
    log(f"{command_line()} (version {__version__})")
    try:
        yield
        log("done")
    except BaseException as error:
        if isinstance(error, typer.Exit):
            log(f"ended with exit code {error.exit_code}")
        elif isinstance(error, WkconvertError | Interrupted):
            log(f"ended by {type(error).__name__}: {error}")
        else:
            log("".join(traceback.format_exception(error)))
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger("wkconvert").setLevel(logging.NOTSET)
        with suppress(OSError):  # what it could not write, it tries again
            handler.close()


def _handler(file: Path) -> logging.Handler:
    import logging

    class Handler(logging.FileHandler):
        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
            logging.getLogger().removeHandler(self)  # a full disk, say: the work is worth more than its log
            print_lines(console(stderr=True), f"warning: {file} cannot be written any more: {sys.exc_info()[1]}")

    try:
        if file.is_file() and file.stat().st_size:
            with file.open("rb") as stream:
                if not _BEGINNING.match(stream.read(64)):
                    why = "it is there and no log of wkconvert, and would be changed"
                    raise OptionError(f"--log-file {file} is refused", why=why, fix="name another file")
        handler = Handler(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        why, fix = error.strerror or str(error), "name a file in a folder that is there"
        raise OptionError(f"--log-file {file} cannot be written", why=why, fix=fix) from None
    handler.setFormatter(formatter("%(asctime)s %(name)s: %(message)s"))
    return handler
