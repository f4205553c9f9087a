"""A session with a cluster, a dask scheduler or jobs of Slurm: connecting, checking workers, watching, closing.

Tasks themselves go through joblib, as on one machine (see `dask_backend`).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from wkconvert_core.cluster.slurm import DEFAULT_JOBS, Queue
from wkconvert_core.cluster.spec import ClusterSpec, Offer
from wkconvert_core.cluster.worker_check import Ticket, path_witness, reader_versions, versions
from wkconvert_core.contract.errors import ResourceError, WkconvertError

if TYPE_CHECKING:
    from wkconvert_core.cluster.dask_backend import DaskBackend

CONNECT_SECONDS = 10
AHEAD = 3
"""Tasks in flight per slot: enough that no worker waits for the next task, few enough to cancel after a failure."""
ROOM = 64
"""Least number of slots to keep busy without `--jobs`: further workers of a dask scheduler may join at any time."""
WATCH_SECONDS = 2.0
MISSES = 3
"""Failed polls in a row before the failure is reported."""
FORGET_LOOKS = 30
"""While workers are alive, reconcile with squeue only at every N-th poll."""
TOLD_SECONDS = 60.0
"""Waiting is reported again after this time."""
DASK_SHARE, SLURM_SHARE = 0.6, 0.8
"""Default fraction of a worker's memory to plan for: dask pauses a worker at 0.8, and others may use it, too."""
WORKER_BYTES = 140_000_000
"""Memory of an idle worker: interpreter, numpy, dask, a format library."""


def offer(spec: ClusterSpec) -> Offer:
    """The workers that the cluster has or will have; where a dask scheduler has none yet, the first one is waited for.

    Raises ResourceError if no scheduler answers.
    """
    if spec.resources:
        return Offer(spec.jobs or DEFAULT_JOBS, spec.resources.cpus, spec.resources.memory, SLURM_SHARE)
    with _connected(spec.scheduler or "") as client:
        workers = _joined(client, spec.scheduler or "")
    threads = max(worker["nthreads"] for worker in workers)
    limits = [worker["memory_limit"] for worker in workers if worker["memory_limit"]]
    wanted = spec.jobs or sum(worker["nthreads"] for worker in workers)
    # workers with fewer threads count for less: as many of the largest kind as make up all threads, rounded up
    return Offer(max(1, -(-wanted // threads)), threads, min(limits, default=None), DASK_SHARE)


def _joined(client: Any, address: str) -> Sequence[Any]:
    """The workers of a scheduler, in its words, once there are any."""
    waiting, told = None, -math.inf
    while not (workers := client.scheduler_info(n_workers=-1).get("workers")):  # missing once the scheduler is lost
        if client.status != "running":
            raise _gone(address)
        waiting = waiting or client.submit(abs, 0, pure=False)  # an adaptive scheduler starts workers for a task
        if time.monotonic() - told > TOLD_SECONDS:
            told = time.monotonic()
            logging.getLogger(__name__).warning("%s", _no_workers(address))
        time.sleep(0.2)
    return list(workers.values())


def _no_workers(address: str) -> str:
    return f"waiting for workers: {address} has none"


def _gone(address: str, reason: str = "") -> ResourceError:
    return ResourceError(
        f"the dask scheduler at {address} is gone",
        why=reason or "the connection to it broke",
        fix="start it and its workers again, then run the same command again: finished work is kept",
    )


def _check_configuration() -> None:
    """Raise ResourceError if dask's configuration files keep it from being imported."""
    try:
        import dask.config  # noqa: F401
    except ValueError as error:
        raise ResourceError("dask's configuration cannot be read", why=str(error), fix="correct that file") from error


@contextlib.contextmanager
def _connected(address: str, security: Any = None) -> Iterator[Any]:
    _check_configuration()
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    if not logging.getLogger("wkconvert_core").isEnabledFor(logging.INFO):  # we report workers that come and go
        for name in ("distributed", "distributed.client", "dask_jobqueue", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    client = Client.__new__(Client)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # we compare versions ourselves, and refuse
            options = {"timeout": CONNECT_SECONDS, "set_as_default": False, "name": "wkconvert"}
            client.__init__(address, security=security, **options)
    except (OSError, ValueError, ImportError, TypeError) as error:  # TypeError: TLS without certificates
        client.status = "closed"  # else dask waits for it to end, in vain
        raise ResourceError(
            f"no dask scheduler answers at {address}",
            why=str(error) or type(error).__name__,
            fix="check the address, and that the scheduler runs: `dask scheduler` prints it",
        ) from None
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=2)


@dataclass(frozen=True)
class Sought:
    """The demands of a run on a cluster."""

    spec: ClusterSpec
    formats: Sequence[str]
    """Formats that the workers read or write."""
    kernels: Sequence[str]
    reads: Sequence[Path]
    logs: Path
    """Folder for the logs of jobs, on a file system that all machines share."""
    writes: bool = False
    """Whether workers write into the folder of the logs."""

    def ticket(self) -> Ticket:
        """The requirements as each worker checks them."""
        reads, writes = tuple(map(path_witness, self.reads)), str(self.logs / "run") if self.writes else None
        return Ticket(uuid4().hex, versions(), reader_versions(self.formats), tuple(self.kernels), reads, writes)


class Cluster:
    """The workers of a cluster, for the length of a run."""

    def __init__(self, sought: Sought, tell: Callable[[str], None]) -> None:
        """Connect; with Slurm, submit the first job. `tell` is called with what the run waits for."""
        _check_configuration()
        from wkconvert_core.cluster.dask_backend import DaskBackend

        spec, ticket, logs = sought.spec, sought.ticket(), sought.logs
        self._spec, self.ticket, self._tell = spec, ticket, tell
        self._exits = contextlib.ExitStack()
        self._at_once = False
        self._slots = spec.resources.cpus if spec.resources else 1
        self.queue = Queue(spec.resources, spec.jobs or DEFAULT_JOBS, ticket.token, logs) if spec.resources else None
        self._address = spec.scheduler or ""
        with contextlib.ExitStack() as stack:
            if queue := self.queue:
                stack.callback(lambda: queue.close(at_once=self._at_once))
                self._address = queue.start(self._wanted_jobs)
            self._client = stack.enter_context(_connected(self._address, self.queue and self.queue.security))
            unable = functools.partial(_worker_error, "that joined later")
            self.backend: DaskBackend = DaskBackend(self._client, self._lost, unable)
            self._threads: dict[str, int] = dict(self._client.nthreads())
            self._failure: WkconvertError | None = None
            self._alone, self._looks, self._said = 0, 0, ""
            self._ended = threading.Event()
            watch = threading.Thread(target=self._watch, name="wkconvert-cluster", daemon=True)
            watch.start()
            stack.callback(watch.join, WATCH_SECONDS)
            stack.callback(self._ended.set)
            self._exits = stack.pop_all()

    def check(self) -> None:
        """Wait for a worker, and check all that have joined; workers that join later check themselves.

        Raises ResourceError for a worker that cannot do the work, and if no worker will ever come.
        """
        self.ticket.publish()
        self._exits.callback(self.ticket.forget)
        from distributed.comm import CommClosedError

        asked = self._client.run(self.ticket.check, on_error="return")
        answers = {address: each for address, each in asked.items() if not isinstance(each, CommClosedError)}  # left
        for address, error in answers.items():
            if isinstance(error, Exception):
                raise _worker_error(address, error)
        if answers:
            return
        first = self.backend.submit_check(self.ticket.check)
        while not first.done():  # an adaptive scheduler starts workers for a waiting task
            if self._failure:
                raise self._failure
            time.sleep(0.1)
        if first.status == "error":
            raise _worker_error("that joined first", first.exception())
        if first.status != "finished":
            raise self._lost("")

    def in_flight(self, slots: int) -> int:
        """Tasks to hand over at a time if each worker runs `slots` of them concurrently.

        With Slurm, `AHEAD` for each slot of each job: 3 x 10 jobs x 4 slots = 120. With dask, for each slot of the
        workers that have joined, each with no more than its threads; `--jobs`, else `ROOM`, is the least.
        """
        self._slots = slots
        if self.queue:
            return AHEAD * (self._spec.jobs or DEFAULT_JOBS) * slots
        return AHEAD * max(self._spec.jobs or ROOM, sum(min(slots, threads) for threads in self._threads.values()))

    def status(self) -> str:
        """State for the progress: `12 workers, 48 tasks`."""
        count, load = len(self._threads), self.backend.load
        return f"{count} worker{'s' * (count != 1)}, {load} task{'s' * (load != 1)}"

    def last_log_lines(self) -> str:
        """End of the newest log of a Slurm job; empty for dask, whose logs are elsewhere."""
        return self.queue.last_log_lines() if self.queue else ""

    def stop(self) -> None:
        """End everything at once; workers of a dask scheduler may still finish their current task."""
        self._at_once = True
        self.close()

    def close(self) -> None:
        """Disconnect, and end the run's own jobs; a dask scheduler and its workers stay."""
        self._exits.close()

    def _wanted_jobs(self) -> int:
        backend = getattr(self, "backend", None)
        return math.ceil(backend.load / self._slots) if backend else 1

    def _lost(self, reason: str) -> ResourceError:
        return _gone(self._address, reason)

    def _watch(self) -> None:
        """Poll the workers until the run ends; an error here must not end the run."""
        reported, when, misses = "", 0.0, 0
        while not self._ended.wait(WATCH_SECONDS):
            try:
                text, misses = self._poll(), 0
            except Exception as error:
                logging.getLogger(__name__).debug("cannot ask the cluster", exc_info=True)
                misses += 1
                text = f"waiting: {error}" if misses >= MISSES else reported
            if text and (text != reported or time.monotonic() - when > TOLD_SECONDS):
                when = time.monotonic()
                with contextlib.suppress(BaseException):  # an error of the listener's
                    self._tell(text)
            reported = text

    def _poll(self) -> str:
        """Ask the queue what the run waits for; empty while workers are alive."""
        self._threads = dict(self._client.nthreads())
        if not self.queue:
            return "" if self._threads else _no_workers(self._address)
        if self.queue.workers():
            self._alone = 0
            self._looks += 1
            if self._looks % FORGET_LOOKS == 0:
                self.queue.forget(self.queue.submitted(), self.queue.state())
            return ""
        self._alone += 1
        if self._alone > 10 and self._alone % 10:  # after a while, ask less often: the queue serves everybody
            return self._said
        known, state = self.queue.submitted(), self.queue.state()  # in this order: a job may be submitted in between
        self.queue.forget(known, state)
        if failure := self.queue.failure(known, state):
            self._failure = failure
            self.backend.fail(failure)
        self._said = state.text() if state.pending else ""
        return self._said


def _worker_error(worker: str, error: BaseException) -> WkconvertError:
    """The error of a worker, as one of ours."""
    if isinstance(error, WkconvertError):
        return error
    return ResourceError(
        f"the worker {worker} cannot do the work: {type(error).__name__}: {error}",
        why="it lacks wkconvert, or a plugin in use, or has another version of Python",
        fix="install the same versions there, or use one environment on the shared file system",
    )
