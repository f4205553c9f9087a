"""The program in its surroundings: standard streams that may be closed, and signals that end it."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end the program cleanly: Ctrl-C, `kill`, and a terminal that is closed."""


class Interrupted(BaseException):
    """A signal asked the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def end(self) -> None:
        """Say so, and exit with 128 and the signal's number, without waiting for threads in the middle of a shard."""
        with suppress(OSError):  # the terminal may be gone
            print("\nstopped; the same command again goes on from here", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(128 + self.number)


def prepare_streams() -> None:
    """Make standard streams print any path, and lead nowhere if they are closed.

    A stream that is closed leaves its number to the next file that is opened, which would then get what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, Path(os.devnull).open("w" if number else "r"))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # paths need not be UTF-8


def raise_signals() -> None:
    """Turn signals that end the program into Interrupted; `nohup` still protects from a terminal that is closed."""
    for number in ENDING:
        if number != getattr(signal, "SIGHUP", None) or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)  # a second Ctrl-C must not break the clean stop
    raise Interrupted(number)
