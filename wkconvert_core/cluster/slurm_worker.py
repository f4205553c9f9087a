"""The program of a job of Slurm: one dask worker with as many threads as the job has processors.

dask's own program was seen to hang at its end, for good, when it was told to stop while its scheduler went away.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Worker

FAREWELL = 3.0
"""Seconds to tell the scheduler that what runs here is to be done elsewhere."""


def main() -> None:
    """Work until the scheduler, or Slurm, says that it is over."""
    from wkconvert_core.toolkit.process import tune_process

    tune_process()
    asyncio.run(_work(_arguments()))


def _end(code: int) -> None:
    """Leave at once: the loop would wait for what has to be left, such as a thread in the middle of a task."""
    sys.stderr.flush()
    os._exit(code)


def _arguments() -> argparse.Namespace:
    """Those that dask_jobqueue writes into the job's script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scheduler")
    parser.add_argument("--name")
    parser.add_argument("--nthreads", type=int, default=1)
    parser.add_argument("--memory-limit")  # ours to keep, and Slurm's to enforce: a worker that pauses never goes on
    parser.add_argument("--death-timeout", type=float)
    parser.add_argument("--local-directory")
    parser.add_argument("--interface")
    return parser.parse_args()


async def _work(arguments: argparse.Namespace) -> None:
    from distributed import Worker

    worker = Worker(
        arguments.scheduler,
        name=arguments.name,
        nthreads=arguments.nthreads,
        memory_limit=0,
        death_timeout=arguments.death_timeout,
        local_directory=arguments.local_directory,
        interface=arguments.interface,
        dashboard=False,
    )
    try:
        await worker
    except Exception as error:
        print(f"the scheduler at {arguments.scheduler} does not answer: {error!r}", file=sys.stderr)  # noqa: T201
        _end(1)
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    ends = [asyncio.create_task(worker.finished()), asyncio.create_task(told.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if told.is_set():
        await asyncio.wait([asyncio.create_task(_leave(worker))], timeout=FAREWELL)
    _end(0)


async def _leave(worker: Worker) -> None:
    """Go without blame: a task whose worker just closes is taken for its killer, and a time limit is none."""
    retired = await worker.scheduler.retire_workers(
        workers=[worker.address], remove=True, close_workers=False, stimulus_id=f"told-to-stop-{worker.id}"
    )
    if not retired:  # the results that lie here have nobody to take them
        await worker.close(executor_wait=False)


if __name__ == "__main__":
    main()
