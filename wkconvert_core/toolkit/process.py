"""Memory of this process: what is available, what is taken, and settings that keep it low."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Folder with the memory limits of a container or batch job, on Linux."""

LIBRARIES = 90_000_000
"""Memory of this process once numpy, a format library and joblib are imported, before it reads any voxel."""

_MALLOPT = {-8: 1, -3: 32 << 20, -1: 128 << 20}  # M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h


def available() -> int:
    """Bytes that this process may still allocate: of the machine, or of its container if that has less."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # no such file, or `max`: no limit
        limit, taken = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        # cached files count as taken, but the system frees them when memory is needed
        counters = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return max(0, min(free, limit - taken + int(counters.get("inactive_file", 0))))
    return free


def baseline_bytes() -> int:
    """Bytes that this process takes, or soon will, whatever it reads."""
    return max(LIBRARIES, int(psutil.Process().memory_info().rss))


def tune_process() -> None:
    """Tune this process for threads that compress. For the start of a program: a library must not do this.

    With glibc, all threads share one heap. By default each has its own, which keeps its peak, so that a run takes
    several times the memory that it uses; as Python allocates under its lock, sharing costs nothing. Memory for shards
    is reused from that heap instead of returned to the system, which would clear its pages each time. And threads keep
    Python's lock for longer: workers release it at every block anyway, and being asked for it in between costs 15 %.
    Garbage in circles is looked for less often, which takes another 3 %: there is hardly any, and none holds voxels.
    """
    sys.setswitchinterval(0.05)
    gc.set_threshold(50_000)
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOPT.items():
            mallopt(parameter, value)
