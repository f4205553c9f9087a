"""What runs the tasks: joblib, told to use this thread, threads, or processes; a killed worker's tasks run again."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from wkconvert_core.errors import ResourceError

Task = TypeVar("Task")
Result = TypeVar("Result")

Strategy = Literal["threads", "multiprocessing", "sequential"]
BACKENDS: dict[str, str] = {"threads": "threading", "multiprocessing": "loky", "sequential": "sequential"}
"""joblib's name for each strategy."""

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

    def __post_init__(self) -> None:
        """Prepare to be stopped."""
        self._stopping = threading.Event()
        self._busy = _Busy()

    @property
    def shared(self) -> bool:
        """Whether the workers see this process's memory."""
        return self.strategy != "multiprocessing"

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> Iterator[Result]:
        """Run every task, lazily taken, and yield the results as they come; at most `jobs` at a time.

        A worker process that dies takes others' tasks with it: all that were running are run again, and again one by
        one to find the one that kills. Raises ResourceError for that one, after the rest is done.
        """
        pending: dict[int, Task] = {}
        rest = iter(tasks)
        try:
            yield from self._run(function, _remembered(rest, pending), jobs, pending)
        except _WorkerDied:
            yield from self._run_again(function, rest, jobs, pending)

    def stop(self) -> None:
        """Let nothing new start; end worker processes at once, and give threads a moment to finish what they do."""
        self._stopping.set()
        if self.strategy == "multiprocessing":
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

        call = delayed(_Numbered(function, self._busy if self.shared else None))
        wanted = (call(number, task) for number, task in numbered if not self._stopping.is_set())
        parallel = Parallel(
            n_jobs=jobs,
            backend=BACKENDS[self.strategy],
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch=2 * jobs,
        )
        try:
            for number, result in parallel(wanted):
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
            try:
                # two workers for one task: with one, joblib would run it in this very process
                yield from self._run(function, [(number, task)], 2, pending)
            except _WorkerDied:
                killers += 1
        yield from self.map(function, tasks, jobs)
        if killers:
            raise ResourceError(
                f"{killers} task(s) killed their worker, each when it ran alone too",
                why="most likely the system ended it for want of memory",
                fix="run the same command again with less --memory or fewer --jobs; finished work is kept",
            )


class _WorkerDied(Exception):
    """A worker process ended without an answer."""


@dataclass(frozen=True)
class _Numbered:
    """Carries a task's number along, so that what was lost is known."""

    function: Callable[[Any], Any]
    busy: _Busy | None

    def __call__(self, number: int, task: Any) -> tuple[int, Any]:
        with self.busy or contextlib.nullcontext():
            return number, self.function(task)


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
