"""Workers on other machines: a dask scheduler that runs somewhere, or jobs of Slurm. Watched, so that nothing hangs.

The work itself goes through joblib as everywhere (`dask_backend`); here is what comes before, beside and after it.
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
"""So many tasks are handed over for each that can be worked on: no worker waits for us, and few wait in vain."""
ROOM = 64
"""For so many at least, unless `--jobs` says it: workers of a scheduler that is there may join at any time."""
WATCH_SECONDS = 2.0
MISSES = 3
"""So often in a row the cluster cannot be asked before that is told."""
FORGET_LOOKS = 30
"""While there are workers, Slurm is asked for jobs that ended before they worked at every so many looks."""
TOLD_SECONDS = 60.0
"""Waiting is told again after this time."""
DASK_SHARE, SLURM_SHARE = 0.6, 0.8
"""Of a worker's memory, what a run takes unless told: dask pauses a worker at 0.8 of it, others may use it too."""
WORKER_BYTES = 140_000_000
"""What a worker holds before it reads anything: interpreter, numpy, dask, a format library."""


def offer(spec: ClusterSpec) -> Offer:
    """What there is, or will be. Raises ResourceError where no scheduler answers."""
    if spec.resources:
        return Offer(spec.jobs or DEFAULT_JOBS, spec.resources.cpus, spec.resources.memory, SLURM_SHARE)
    with _connected(spec.scheduler or "") as client:
        there = client.scheduler_info(n_workers=-1)["workers"].values()
    threads = max((worker["nthreads"] for worker in there), default=1)
    limits = [worker["memory_limit"] for worker in there if worker["memory_limit"]]
    wanted = spec.jobs or sum(worker["nthreads"] for worker in there)
    return Offer(max(1, -(-wanted // threads)), threads, min(limits, default=None), DASK_SHARE)


def _check_configuration() -> None:
    """Raise ResourceError where dask's files of configuration keep it from being imported."""
    try:
        import dask.config  # noqa: F401
    except ValueError as error:
        raise ResourceError("dask's configuration cannot be read", why=str(error), fix="correct that file") from error


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    _check_configuration()
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    _silence()
    client = Client.__new__(Client)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # we compare versions ourselves, and refuse
            client.__init__(address, timeout=CONNECT_SECONDS, set_as_default=False, name="wkconvert")
    except (OSError, ValueError, ImportError, TypeError) as error:  # the last one for TLS without certificates
        client.status = "closed"  # else its end is waited for, in vain
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


def _silence() -> None:
    """What dask logs of workers that come and go is ours to tell, in our words."""
    if not logging.getLogger("wkconvert_core").isEnabledFor(logging.INFO):
        for name in ("distributed", "distributed.client", "dask_jobqueue", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Sought:
    """What a run asks of a cluster."""

    spec: ClusterSpec
    formats: Sequence[str]
    """Whose readers and writers the workers need."""
    kernels: Sequence[str]
    reads: Sequence[Path]
    logs: Path
    """A folder for what jobs say, on the file system that all machines share."""
    writes: bool = False
    """Whether workers write where the logs lie."""

    def ticket(self) -> Ticket:
        """The same for the workers."""
        return Ticket(
            uuid4().hex,
            versions(),
            reader_versions(self.formats),
            tuple(self.kernels),
            tuple(map(path_witness, self.reads)),
            str(self.logs / "run") if self.writes else None,
        )


class Cluster:
    """The workers of a cluster while a run lasts."""

    def __init__(self, sought: Sought, tell: Callable[[str], None]) -> None:
        """Connect; with Slurm, submit the first job. `tell` hears of waiting."""
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
            if self.queue:
                stack.callback(self._close_queue)
                self._address = self.queue.start(self._wanted_jobs)
            self._client = stack.enter_context(_connected(self._address))
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
        """Wait for a worker, and check all that are there; those that come later check themselves.

        Raises ResourceError for one that cannot do the work, and where none will ever come.
        """
        self.ticket.publish()
        self._exits.callback(self.ticket.forget)
        there = self._client.run(self.ticket.check, on_error="return")
        for address, error in there.items():
            if isinstance(error, Exception):
                raise _worker_error(address, error)
        if there:
            return
        first = self.backend.submit_check(self.ticket.check)
        while not first.done():  # a task that waits makes schedulers that grow with their load start workers
            if self._failure:
                raise self._failure
            time.sleep(0.1)
        if first.status == "error":
            raise _worker_error("that joined first", first.exception())
        if first.status != "finished":
            raise self._lost("")

    def in_flight(self, slots: int) -> int:
        """How many tasks to hand over at a time, where each worker does `slots` of them."""
        self._slots = slots
        if self.queue:
            return AHEAD * (self._spec.jobs or DEFAULT_JOBS) * slots
        return AHEAD * max(self._spec.jobs or ROOM, sum(min(slots, threads) for threads in self._threads.values()))

    def status(self) -> str:
        """`12 workers, 48 tasks`."""
        count, load = len(self._threads), self.backend.load
        return f"{count} worker{'s' * (count != 1)}, {load} task{'s' * (load != 1)}"

    def last_log_lines(self) -> str:
        """What the worker that wrote last had to say, where we can know that."""
        return self.queue.last_log_lines() if self.queue else ""

    def stop(self) -> None:
        """End everything at once; a worker that is not ours may finish the task that it is at, for nobody."""
        self._at_once = True
        self.close()

    def close(self) -> None:
        """End the jobs that are ours; a scheduler that was there before stays."""
        self._exits.close()

    def _close_queue(self) -> None:
        assert self.queue
        self.queue.close(at_once=self._at_once)

    def _wanted_jobs(self) -> int:
        backend = getattr(self, "backend", None)
        return math.ceil(backend.load / self._slots) if backend else 1

    def _lost(self, reason: str) -> ResourceError:
        return ResourceError(
            f"the dask scheduler at {self._address} is gone",
            why=reason or "the connection to it broke",
            fix="start it and its workers again, then run the same command again: finished work is kept",
        )

    def _watch(self) -> None:
        """Look after the workers until the run ends; nothing that goes wrong here may end it."""
        told, when, misses = "", 0.0, 0
        while not self._ended.wait(WATCH_SECONDS):
            try:
                text, misses = self._look(), 0
            except Exception as error:
                logging.getLogger(__name__).debug("cannot ask the cluster", exc_info=True)
                misses += 1
                text = f"waiting: {error}" if misses >= MISSES else told
            if text and (text != told or time.monotonic() - when > TOLD_SECONDS):
                when = time.monotonic()
                with contextlib.suppress(BaseException):  # of who listens, not ours
                    self._tell(text)
            told = text

    def _look(self) -> str:
        """What there is to tell: nothing while there are workers."""
        self._threads = dict(self._client.nthreads())
        if not self.queue:
            return "" if self._threads else f"waiting for workers: {self._address} has none"
        if self.queue.workers():
            self._alone = 0
            self._looks += 1
            if self._looks % FORGET_LOOKS == 0:
                self.queue.forget(self.queue.submitted(), self.queue.state())
            return ""
        self._alone += 1
        if self._alone > 10 and self._alone % 10:  # a long queue is asked less often: it is everybody's
            return self._said
        known, state = self.queue.submitted(), self.queue.state()  # in this order: one may be submitted in between
        self.queue.forget(known, state)
        if failure := self.queue.failure(known, state):
            self._failure = failure
            self.backend.fail(failure)
        self._said = state.text() if state.pending else ""
        return self._said


def _worker_error(worker: str, error: BaseException) -> WkconvertError:
    """What a worker answered, as an error of ours."""
    if isinstance(error, WkconvertError):
        return error
    return ResourceError(
        f"the worker {worker} cannot do the work: {type(error).__name__}: {error}",
        why="it lacks wkconvert, or a plugin in use, or has another version of Python",
        fix="install the same versions there, or use one environment on the shared file system",
    )
