"""How much memory there is, and what a program does at its start to use it well."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Where a container or a batch job finds its limits, on Linux."""

LIBRARIES = 90_000_000
"""What this process holds once numpy, a format library and joblib are imported, before it reads any voxel."""

_MALLOPT = {-8: 1, -3: 32 << 20, -1: 128 << 20}  # M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h


def available() -> int:
    """Bytes that this process may still take: of the machine, or of its container where that has less."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # no such file, or `max`: no limit
        limit, taken = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        return max(0, min(free, limit - taken + _reclaimable()))
    return free


def _reclaimable() -> int:
    """Bytes of the container that are cached files: the system gives them back when they are needed."""
    pairs = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    return int(pairs.get("inactive_file", 0))


def baseline_bytes() -> int:
    """Bytes that this process holds, or soon will, whatever it reads."""
    return max(LIBRARIES, int(psutil.Process().memory_info().rss))


def tune_process() -> None:
    """Set up this process for threads that compress; for a program's start, as a library has no right to it.

    One heap for all threads, where the C library is glibc: by default each has its own, which keeps its peak, so that a
    run holds several times what it uses; Python allocates under its lock, so sharing costs nothing. Shards are taken
    from that heap again and again instead of from the system, which would clear their pages every time. And a longer
    turn with Python's lock: the workers give it back at every block, and being asked for it in between costs 15 %.
    """
    sys.setswitchinterval(0.05)
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOPT.items():
            mallopt(parameter, value)
