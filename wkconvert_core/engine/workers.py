"""Workers that run tasks: threads, or, through joblib, processes and clusters. Tasks of dead ones are rerun."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from wkconvert_core.cluster.session import Cluster, Sought
from wkconvert_core.cluster.spec import STRATEGIES
from wkconvert_core.cluster.worker_check import Ticket, Unfinished
from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.engine.threads import BusyThreads, in_threads

Task = TypeVar("Task")
Result = TypeVar("Result")

Strategy = Literal["threads", "multiprocessing", "sequential", "dask", "slurm"]

_GLANCE = 0.25
"""Seconds between two looks of a worker process for its parent."""
PATIENCE = 1.5
"""Seconds that threads have to finish their tasks when the run is stopped."""


def default_jobs() -> int:
    """Number of processors available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Workers:
    """A number of workers of one kind."""

    strategy: Strategy
    jobs: int
    """Number of workers; on a cluster, threads of each worker."""
    cluster: Cluster | None = None
    """The cluster, for the strategies `dask` and `slurm`."""

    def __post_init__(self) -> None:
        """Prepare to be stopped."""
        self._stopping = threading.Event()
        self._busy = BusyThreads()

    @property
    def shared(self) -> bool:
        """Whether the workers share this process's memory."""
        return self.strategy in ("threads", "sequential")

    @property
    def status(self) -> str:
        """State of a cluster's workers for the progress: `12 workers, 48 tasks`. Empty on one machine."""
        return self.cluster.status() if self.cluster else ""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> Iterator[Result]:
        """Run every task and yield the results as they come; tasks are taken lazily.

        At most `jobs` run at a time on each machine. A worker process that dies takes the whole pool with it: all its
        running tasks are rerun one by one, to find the one that kills. A cluster loses only that worker's tasks and
        reruns them itself; tasks that keep losing their workers are rerun one by one here. Raises ResourceError, after
        all other tasks, for tasks that kill their worker even when they run alone.

        >>> sorted(Workers("threads", 2).map(abs, [-1, 2, -3], jobs=2))
        [1, 2, 3]
        """
        pending: dict[int, Task] = {}
        rest = iter(tasks)
        try:
            yield from self._run(function, _remembered(rest, pending), jobs, pending)
        except _WorkerDied:
            pass
        else:
            if not pending or self._stopping.is_set():
                return
        killers = 0
        for number, task in list(pending.items()):
            with contextlib.suppress(_WorkerDied):
                yield from self._run(function, [(number, task)], jobs, pending, alone=True)
            killers += pending.pop(number, None) is not None
        yield from self.map(function, rest, jobs)
        if killers:
            words = self.cluster.last_log_lines() if self.cluster else ""
            raise ResourceError(
                f"{killers} task(s) killed their worker, each when it ran alone too",
                why=f"most likely the system ended it because memory ran out{'; ' * bool(words)}{words}",
                fix="run the same command again with less --memory or fewer --jobs; finished work is kept",
            )

    def cancel_waiting(self) -> None:
        """Cancel the tasks that no worker of a cluster has begun, because the run has failed."""
        if self.cluster:
            self.cluster.backend.drop_waiting()

    def stop(self) -> None:
        """Start no further task, kill worker processes, and give threads a moment to finish their tasks."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self.cluster:
            self.cluster.stop()
        elif self.strategy == "multiprocessing":
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True, kill_workers=True)
        else:
            self._busy.wait(PATIENCE)

    def _run(
        self,
        function: Callable[[Task], Result],
        numbered: Iterable[tuple[int, Task]],
        jobs: int,
        pending: dict[int, Task],
        *,
        alone: bool = False,
    ) -> Iterator[Result]:
        """Run tasks, and remove finished ones from `pending`. Raises _WorkerDied if the pool is lost."""
        left = (item for item in numbered if not self._stopping.is_set())
        if self.shared:
            answers = in_threads(_Numbered(function, self._busy), left, 1 if self.strategy == "sequential" else jobs)
            for number, result in answers:
                del pending[number]
                yield result
            return
        from joblib import delayed
        from joblib.externals.loky.process_executor import BrokenProcessPool

        ticket = self.cluster.ticket if self.cluster else None
        parent = os.getpid() if self.strategy == "multiprocessing" else None
        call = delayed(_Numbered(function, None, ticket, jobs if ticket else None, parent))
        calls = (call(number, task) for number, task in left)
        try:
            with _signals_held_back() if parent else contextlib.nullcontext():
                answers = self._parallel(jobs, alone=alone)(calls)
            for answer in answers:
                if isinstance(answer, Unfinished):
                    if not answer.killed:  # cancelled; a killed task stays pending, to be rerun
                        del pending[answer.number]
                    continue
                number, result = answer
                del pending[number]
                yield result
        except BrokenProcessPool as error:
            raise _WorkerDied from error

    def _parallel(self, jobs: int, *, alone: bool) -> Any:
        """Joblib's executor, arranged so that no task runs in this process that it might kill.

        With `n_jobs=1` joblib runs tasks here, so a task that runs alone gets a pool of two processes. A cluster, where
        `pre_dispatch` limits the tasks in flight, ignores `n_jobs`; two is the least that reaches its workers.
        """
        from joblib import Parallel

        n_jobs = 2 if alone or self.cluster else jobs
        return Parallel(
            n_jobs=n_jobs,
            backend=self.cluster.backend if self.cluster else "loky",
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch=self.cluster.in_flight(jobs) if self.cluster else 2 * n_jobs,
        )


@contextlib.contextmanager
def at_work(strategy: Strategy, jobs: int, sought: Sought, tell: Callable[[str], None]) -> Iterator[Workers]:
    """Workers for a `with` block; an error or signal stops them. `tell` is called with what the run waits for.

    The workers of a cluster are checked first. Raises ResourceError if they cannot do the work.
    """
    if strategy not in STRATEGIES:
        workers = Workers(strategy, jobs)
        with stopped(workers):
            yield workers
        return
    cluster = Cluster(sought, tell)
    with contextlib.closing(cluster), stopped(workers := Workers(strategy, jobs, cluster)):
        cluster.check()
        yield workers


@contextlib.contextmanager
def stopped(workers: Workers) -> Iterator[None]:
    """Stop the workers if an error or a signal ends the block."""
    try:
        yield
    except BaseException:
        workers.stop()
        raise


class _WorkerDied(Exception):
    """A worker process died, and the pool with it."""


@dataclass(frozen=True)
class _Numbered:
    """Calls a function with a task; returns the task's number, too, so that unfinished tasks are known."""

    function: Callable[[Any], Any]
    busy: BusyThreads | None
    ticket: Ticket | None = None
    """On a cluster: the requirements that a worker checks."""
    slots: int | None = None
    """On a cluster: concurrent tasks of a worker, however many threads it has."""
    parent: int | None = None
    """In a process of this machine: the one that began it, with which it ends."""

    def __call__(self, number: int, task: Any) -> tuple[int, Any]:
        if self.parent:
            _end_with(self.parent)
        if self.ticket:
            self.ticket.check()
        with self.busy or (_slots_of_this_process(self.slots) if self.slots else contextlib.nullcontext()):
            return number, self.function(task)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold back Ctrl-C while worker processes begin: a terminal sends it to them, too, but their parent ends them.

    A process inherits what is held back, also one that is begun later by a thread that begins now.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as of_joblib

    for tracker in (resource_tracker, of_joblib):
        tracker.ensure_running()  # as it begins, it lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with(parent: int) -> None:
    """End this process if its parent was killed: its next shard would be written while the target is another's."""
    if os.getpid() == parent:  # one worker is no process of its own
        return
    if os.name == "posix" and os.getppid() != parent:
        os._exit(1)
    _watch(parent)


@functools.cache
def _watch(parent: int) -> None:
    """Look for the parent from now on, also in the middle of a task and between tasks."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(_GLANCE)
        os._exit(1)

    if os.name == "posix":  # elsewhere, the number of a parent stays when it ends
        threading.Thread(target=wait, daemon=True).start()


@functools.cache
def _slots_of_this_process(slots: int) -> threading.Semaphore:
    """Limits the concurrent tasks of this process, whose memory is planned for that many."""
    return threading.Semaphore(slots)


def _remembered(tasks: Iterable[Task], pending: dict[int, Task]) -> Iterator[tuple[int, Task]]:
    """Number the tasks; each is pending from the moment it is handed out."""
    for number, task in enumerate(tasks):
        pending[number] = task
        yield number, task
