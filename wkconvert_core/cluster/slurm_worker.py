"""The program of a Slurm job: one dask worker with a thread for each processor of the job.

dask's own program was seen to hang for good when it was stopped while its scheduler went away.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wkconvert_core.contract.errors import ResourceError

if TYPE_CHECKING:
    from distributed import Worker

FAREWELL = 3.0
"""Seconds to let the scheduler move the tasks of this worker elsewhere."""


def main() -> None:
    """Work until the scheduler or Slurm ends it."""
    from wkconvert_core.toolkit.process import tune_process

    tune_process()
    asyncio.run(_work(_arguments()))


def _end(code: int) -> None:
    """Exit at once: the event loop would wait for threads that are in the middle of a task."""
    sys.stderr.flush()
    os._exit(code)


def _arguments() -> argparse.Namespace:
    """The arguments that dask_jobqueue writes into the job's script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scheduler")
    parser.add_argument("--name")
    parser.add_argument("--nthreads", type=int, default=1)
    parser.add_argument("--memory-limit")  # ignored: a worker that dask pauses never resumes, and Slurm enforces it
    parser.add_argument("--death-timeout", type=float)
    parser.add_argument("--local-directory")
    parser.add_argument("--interface")
    parser.add_argument("--key", type=Path, required=True)
    return parser.parse_args()


async def _work(arguments: argparse.Namespace) -> None:
    from distributed import Worker

    from wkconvert_core.cluster.credentials import held, unserved

    try:
        security = held(arguments.key)
    except ResourceError as error:
        print(error, file=sys.stderr)  # noqa: T201
        _end(1)
    worker = unserved(Worker)(
        arguments.scheduler,
        name=arguments.name,
        nthreads=arguments.nthreads,
        memory_limit=0,
        death_timeout=arguments.death_timeout,
        local_directory=arguments.local_directory,
        interface=arguments.interface,
        security=security,
    )
    terminated = asyncio.Event()  # listened to before the scheduler knows of the worker, which may get a task at once
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
    try:
        await worker
    except Exception as error:
        print(f"the scheduler at {arguments.scheduler} does not answer: {error!r}", file=sys.stderr)  # noqa: T201
        _end(1)
    ends = [asyncio.create_task(worker.finished()), asyncio.create_task(terminated.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if terminated.is_set():
        await asyncio.wait([asyncio.create_task(_leave(worker))], timeout=FAREWELL)
    _end(0)


async def _leave(worker: Worker) -> None:
    """Retire the worker: if it just closed, at its time limit, dask would blame the tasks that it was running."""
    retired = await worker.scheduler.retire_workers(
        workers=[worker.address], remove=True, close_workers=False, stimulus_id=f"told-to-stop-{worker.id}"
    )
    if not retired:  # no other worker can take over the results that are here
        await worker.close(executor_wait=False)


if __name__ == "__main__":
    main()
