"""One run of a program: wall and processor time, peak memory of all its processes, bytes that it wrote."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Measured:
    """Of one run."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int = 0
    """0 where it was not looked at."""
    written_bytes: int = 0


def run(command: Sequence[str | Path], written: Path | None = None, *, memory: bool = False) -> Measured:
    """Run a command to its end; raises CalledProcessError with what it said if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        peak = _peak(process) if memory else 0
        told, _ = process.communicate()
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, told)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(seconds, cpu, peak, size_of(written) if written else 0)


def _peak(process: subprocess.Popen[str]) -> int:
    """The largest sum of what the processes of a tree have for themselves, looked at fifty times a second."""
    peak, root = 0, psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        with suppress(psutil.Error):
            for each in (root, *root.children(recursive=True)):
                with suppress(psutil.Error):
                    total += each.memory_full_info().uss
        peak = max(peak, total)
        time.sleep(0.02)
    return peak


def size_of(path: Path) -> int:
    """Bytes of all files below a path."""
    return sum(os.lstat(Path(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)
