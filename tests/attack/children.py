"""Runs what may crash, hang or take all memory in a forked child, and says how that ended."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from wkconvert_core.contract.errors import PluginError, WkconvertError
from wkconvert_core.testing import ContractViolation

CPU_SECONDS = 15
SECONDS = 30
"""By the clock, which goes on while others have the processor."""
MEMORY = 2 << 30
"""Most bytes of address space beyond what the child begins with."""


class Verdict(StrEnum):
    """How an attempt ended."""

    RIGHT = "right"
    REFUSED = "refused with our error"
    EXCEPTION = "other exception"
    WARNING = "a library's warning"
    CRASH = "crash"
    HANG = "hang"
    MEMORY = "over memory"
    WRONG = "wrong bytes"
    LEFTOVER = "leftover"
    OUTSIDE = "outside touched"

    @property
    def is_good(self) -> bool:
        return self in (Verdict.RIGHT, Verdict.REFUSED)


class Misbehaved(Exception):
    """What an attempt finds out about itself, such as wrong voxels."""

    def __init__(self, verdict: Verdict, what: str) -> None:
        super().__init__(what)
        self.verdict = verdict


@dataclass(frozen=True)
class Outcome:
    """A verdict, and what there is to say about it."""

    verdict: Verdict
    detail: str = ""


def attempt(action: Callable[[], None]) -> Outcome:
    """How an action ends in a child with little memory, little time and no terminal."""
    results, reports = os.pipe()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # numpy's threads may be there
        pid = os.fork()
    if not pid:
        os.close(results)
        try:
            _confine()
            outcome = judged(action)
            os.write(reports, json.dumps([outcome.verdict, outcome.detail[:2000]]).encode())
        finally:
            os._exit(0)
    os.close(reports)
    with os.fdopen(results, "rb") as answer:
        if not select.select([answer], [], [], SECONDS + 5)[0]:
            os.killpg(pid, signal.SIGKILL)
        text, status = answer.read(), os.waitpid(pid, 0)[1]
    if text:
        verdict, detail = json.loads(text)
        return Outcome(Verdict(verdict), detail)
    number = os.WTERMSIG(status)
    late = number in (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL)
    return Outcome(Verdict.HANG if late else Verdict.CRASH, f"ended by signal {number}")


def _confine() -> None:
    """Limit this process and its children."""
    os.setsid()
    faulthandler.disable()
    for number in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    sys.stdout, sys.stderr = (open(number, "w", errors="backslashreplace", closefd=False) for number in (1, 2))  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    most = psutil.Process().memory_info().vms + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)


def judged(action: Callable[[], None]) -> Outcome:
    """How an action ends that returns or raises."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            action()
        except Misbehaved as error:
            return Outcome(error.verdict, str(error))
        except MemoryError:
            return Outcome(Verdict.MEMORY, _where())
        except ContractViolation as error:
            return Outcome(Verdict.WRONG, str(error))
        except WkconvertError as error:
            verdict = Verdict.EXCEPTION if isinstance(error, PluginError) else Verdict.REFUSED
            return Outcome(verdict, f"{type(error).__name__}: {error}")
        except BaseException as error:
            return Outcome(Verdict.EXCEPTION, f"{type(error).__name__} at {_where()}: {error}"[:500])
    if said:
        return Outcome(Verdict.WARNING, f"{said[0].category.__name__}: {said[0].message}")
    return Outcome(Verdict.RIGHT)


def _where() -> str:
    """The innermost line of the program that the current exception went through."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [frame for frame in frames if "/wkconvert_" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
