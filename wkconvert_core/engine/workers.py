"""What runs the tasks: joblib, told to use this thread, threads, processes or a cluster; a dead worker's run again."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from wkconvert_core.cluster.session import Cluster, Sought
from wkconvert_core.cluster.spec import STRATEGIES
from wkconvert_core.cluster.worker_check import Ticket, Unfinished
from wkconvert_core.contract.errors import ResourceError

Task = TypeVar("Task")
Result = TypeVar("Result")

Strategy = Literal["threads", "multiprocessing", "sequential", "dask", "slurm"]
BACKENDS: dict[str, str] = {"threads": "threading", "multiprocessing": "loky", "sequential": "sequential"}
"""joblib's name for each strategy on this machine."""

PATIENCE = 1.5
"""Seconds that threads get to finish their task when the run is stopped."""


def default_jobs() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Workers:
    """Some workers of one kind."""

    strategy: Strategy
    jobs: int
    """How many; on a cluster, threads of each."""
    cluster: Cluster | None = None
    """Where those of the other strategies are."""

    def __post_init__(self) -> None:
        """Prepare to be stopped."""
        self._stopping = threading.Event()
        self._busy = _Busy()

    @property
    def shared(self) -> bool:
        """Whether the workers see this process's memory."""
        return self.strategy in ("threads", "sequential")

    @property
    def status(self) -> str:
        """What to tell of them beside how far the work is: nothing on one machine."""
        return self.cluster.status() if self.cluster else ""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> Iterator[Result]:
        """Run every task, lazily taken, and yield the results as they come; at most `jobs` at a time, on each machine.

        A worker process that dies takes others' tasks with it: all that were running are run again, and again one by
        one to find the one that kills. A cluster loses only that worker's tasks, and runs them again itself; those
        that lose their workers again and again are run one by one. Raises ResourceError for what kills its worker even
        so, after the rest is done.
        """
        pending: dict[int, Task] = {}
        rest = iter(tasks)
        try:
            yield from self._run(function, _remembered(rest, pending), jobs, pending)
        except _WorkerDied:
            yield from self._run_again(function, rest, jobs, pending)
        else:
            if pending and not self._stopping.is_set():  # those that lost their workers too often
                yield from self._run_again(function, rest, jobs, pending)

    def give_up(self) -> None:
        """Let what has not begun be: the run has failed."""
        if self.cluster:
            self.cluster.backend.drop_waiting()

    def stop(self) -> None:
        """Let nothing new start; end worker processes at once, and give threads a moment to finish what they do."""
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
    ) -> Iterator[Result]:
        from joblib import Parallel, delayed

        ticket = self.cluster.ticket if self.cluster else None
        call = delayed(_Numbered(function, self._busy if self.shared else None, ticket, jobs if ticket else None))
        wanted = (call(number, task) for number, task in numbered if not self._stopping.is_set())
        at_once = self.cluster.in_flight(jobs) if self.cluster else 2 * jobs
        parallel = Parallel(
            # joblib takes up to n_jobs tasks at once, beside those handed over; one would mean: in this very process
            n_jobs=2 if self.cluster else jobs,
            backend=self.cluster.backend if self.cluster else BACKENDS[self.strategy],
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch=at_once,
        )
        try:
            for answer in parallel(wanted):
                if isinstance(answer, Unfinished):
                    if not answer.killed:
                        del pending[answer.number]
                    continue
                number, result = answer
                del pending[number]
                yield result
        except Exception as error:
            if _is_death(error):
                raise _WorkerDied from error
            raise

    def _run_again(
        self, function: Callable[[Task], Result], tasks: Iterator[Task], jobs: int, pending: dict[int, Task]
    ) -> Iterator[Result]:
        killers = 0
        for number, task in list(pending.items()):
            with contextlib.suppress(_WorkerDied):
                # two workers for one task: with one, joblib would run it in this very process
                yield from self._run(function, [(number, task)], jobs if self.cluster else 2, pending)
            killers += pending.pop(number, None) is not None
        yield from self.map(function, tasks, jobs)
        if killers:
            words = self.cluster.last_words() if self.cluster else ""
            raise ResourceError(
                f"{killers} task(s) killed their worker, each when it ran alone too",
                why=f"most likely the system ended it for want of memory{'; ' * bool(words)}{words}",
                fix="run the same command again with less --memory or fewer --jobs; finished work is kept",
            )


@contextlib.contextmanager
def at_work(strategy: Strategy, jobs: int, sought: Sought, tell: Callable[[str], None]) -> Iterator[Workers]:
    """Workers for a run; none is left behind when it ends, whatever ends it. `tell` hears what it waits for.

    Those of a cluster are checked. Raises ResourceError.
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
    """Stop the workers if an error, or a signal, ends what they are for."""
    try:
        yield
    except BaseException:
        workers.stop()
        raise


class _WorkerDied(Exception):
    """A worker process ended without an answer."""


@dataclass(frozen=True)
class _Numbered:
    """Carries a task's number along, so that what was lost is known."""

    function: Callable[[Any], Any]
    busy: _Busy | None
    ticket: Ticket | None = None
    """On a cluster: what the worker must have."""
    slots: int | None = None
    """On a cluster: how many tasks a worker does side by side, however many threads it has."""

    def __call__(self, number: int, task: Any) -> tuple[int, Any]:
        if self.ticket:
            self.ticket.check()
        with self.busy or (_room(self.slots) if self.slots else contextlib.nullcontext()):
            return number, self.function(task)


@functools.cache
def _room(slots: int) -> threading.Semaphore:
    """Of this process: its memory is planned for so many tasks."""
    return threading.Semaphore(slots)


class _Busy:
    """Counts the tasks that run in threads of this process."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._count, seconds)


def _remembered(tasks: Iterable[Task], pending: dict[int, Task]) -> Iterator[tuple[int, Task]]:
    for number, task in enumerate(tasks):
        pending[number] = task
        yield number, task


def _is_death(error: Exception) -> bool:
    from joblib.externals.loky.process_executor import BrokenProcessPool

    return isinstance(error, BrokenProcessPool)
