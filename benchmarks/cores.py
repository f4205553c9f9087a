"""A simulation, no measurement: the gain of threads and processes on machines with more processors than ours.

    python -m benchmarks.cores [SHARE …]

Each worker does task after task. Of a task, a share needs Python's lock, which one thread of a process has at a time,
in random pieces; the rest runs beside all others. Processes have a lock each, but the process that leads them spends a
moment on every task, one after the other. Memory bandwidth, disks and caches, which all share, are left out: real
machines gain less.

The share of a conversion is measured with py-spy, which is no requirement of ours: in a run with `--jobs 1`, the
samples in `Consume.__call__` that it counts with `--gil`, by those that it counts without.
"""

from __future__ import annotations

import heapq
import random
import sys

CORES = (2, 16, 64, 128)
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3)
PIECES = 50
"""Times that a task takes the lock."""
TASKS = 40
"""Tasks of each worker; the first ones, which begin together, hardly count."""
LEADING = 0.005
"""Share of a task that leading it costs the main process: 1 ms or 2 of some hundred."""


def speedup(workers: int, share: float, seed: int = 0) -> float:
    """Work done in a unit of time by so many threads that hold one lock for a share of each task.

    >>> round(speedup(1, 0.2), 6), speedup(16, 0.0) > 15.9, 4.5 < speedup(64, 0.2) < 5.5
    (1.0, True, True)
    """
    draw = random.Random(seed).expovariate
    asks = [(0.0, worker) for worker in range(workers)]
    left = [PIECES * TASKS] * workers
    free_at = work = now = 0.0
    while asks:
        now, worker = heapq.heappop(asks)
        if not left[worker]:
            break  # from here on some would idle
        left[worker] -= 1
        held = draw(PIECES / share) if share else 0.0
        alone = draw(PIECES / (1 - share))
        free_at = max(free_at, now) + held
        work += held + alone
        heapq.heappush(asks, (free_at + alone, worker))
    return work / now


def main() -> None:
    """Print a row for each share, and in it for each number of processors what threads and processes give."""
    shares = [float(text) for text in sys.argv[1:]] or SHARES
    print("share of the lock", *(f"{cores:>6} cores" for cores in CORES))  # noqa: T201
    for share in shares:
        print(f"threads, {share:8.0%}", *(f"{speedup(cores, share):12.1f}" for cores in CORES))  # noqa: T201
    print("processes        ", *(f"{speedup(cores, LEADING):12.1f}" for cores in CORES))  # noqa: T201


if __name__ == "__main__":
    main()
