"""Tasks in threads of this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_threads(
    call: Callable[[int, Task], Result], numbered: Iterable[tuple[int, Task]], jobs: int
) -> Iterator[Result]:
    """Results of calls in threads of this process, as they come; tasks are taken lazily. One job runs in this thread.

    joblib has threads, too, but importing it takes a tenth of a second, which is a fifth of a small run.
    """
    if jobs == 1:
        for item in numbered:
            yield call(*item)
        return
    tasks, answers = SimpleQueue[tuple[int, Task] | None](), SimpleQueue[tuple[Result | None, BaseException | None]]()

    def work() -> None:
        while (item := tasks.get()) is not None:
            try:
                answers.put((call(*item), None))
            except BaseException as error:
                answers.put((None, error))

    for _ in range(jobs):
        threading.Thread(target=work, daemon=True).start()  # a stopped run does not wait for them
    under_way = 0
    rest = iter(numbered)
    try:
        while True:
            for item in islice(rest, 2 * jobs - under_way):  # one waits for each that runs
                tasks.put(item)
                under_way += 1
            if not under_way:
                return
            result, error = answers.get()
            under_way -= 1
            if error:
                raise error
            yield result  # type: ignore[misc]  # there is one where there is no error
    finally:
        with contextlib.suppress(Empty):
            while True:
                tasks.get_nowait()
        for _ in range(jobs):
            tasks.put(None)


class BusyThreads:
    """Counts the tasks that threads of this process are working on: each enters it for as long as it takes."""

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
        """Wait until none is, for so many seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count, seconds)
