"""A joblib backend for a dask scheduler; imported only if a run uses one.

joblib's own dask backend runs tasks in this very process if the workers have one thread in all, gives up after ten
seconds without a worker, opens a client in every worker for calls nested in a task, polls for results, and takes a lost
scheduler's tasks for done. This one hands each task to `distributed` and reports its result or its loss.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import operator
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from distributed import Client, KilledWorker
from distributed.comm import CommClosedError
from distributed.protocol.pickle import dumps
from joblib.parallel import ParallelBackendBase, SequentialBackend

from wkconvert_core.cluster.worker_check import Unfinished

Answer = concurrent.futures.Future[list[Any]]


@dataclass(frozen=True)
class Sealed:
    """A call that runs when it is unpickled: the scheduler, which may lack our packages, only sees bytes."""

    call: Callable[[], Any]

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        """Have `pickle.loads`, on a worker, call it and return the result."""
        return operator.call, (self.call,)


class DaskBackend(ParallelBackendBase):  # type: ignore[misc]  # joblib ships no types
    """Runs joblib's batches on the workers of a dask scheduler, and forgets finished ones."""

    supports_retrieve_callback = True
    default_n_jobs = 2

    def __init__(
        self, client: Client, lost: Callable[[str], Exception], unable: Callable[[BaseException], Exception]
    ) -> None:
        """`lost` makes the error for a scheduler that is gone, `unable` for a worker that cannot unpickle a task."""
        super().__init__(nesting_level=0)
        self._client, self._lost, self._unable = client, lost, unable
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Answer, Any]] = {}
        self._dropped: set[str] = set()
        self._error: BaseException | None = None

    @property
    def load(self) -> int:
        """Number of unfinished tasks in the scheduler's hands."""
        return len(self._open)

    def effective_n_jobs(self, n_jobs: int) -> int:
        """The number that was asked for: the number of workers may change at any time."""
        return n_jobs

    def get_nested_backend(self) -> tuple[Any, int]:
        """The backend of joblib calls within a task: the task's own thread."""
        return SequentialBackend(nesting_level=1), 1

    def submit(self, func: Any, callback: Callable[[Answer], None]) -> Answer:
        """Hand over a batch; `callback` is called with its answer in the client's thread."""
        answer: Answer = concurrent.futures.Future()
        answer.add_done_callback(callback)
        self._client.loop.add_callback(self._carry, func, answer)
        return answer

    def submit_check(self, check: Callable[[], None]) -> Any:
        """Hand over a single call; returns dask's future."""
        return self._send(check, f"wkconvert-{uuid4().hex}")

    def retrieve_result_callback(self, answer: Answer) -> list[Any]:
        """The batch's results. Raises a task's error, or the reason why its result is lost."""
        return answer.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel all tasks."""
        self._client.loop.add_callback(self._cancel, lambda: list(self._open))

    def drop_waiting(self) -> None:
        """Cancel the tasks that no worker has begun: they end without a result."""
        self._client.loop.add_callback(self._cancel, self._waiting)

    def fail(self, error: BaseException) -> None:
        """Fail all tasks, present and future, with an error."""
        self._error = error
        self._client.loop.add_callback(self._fail_open)

    async def _carry(self, func: Any, answer: Answer) -> None:
        results: list[Any] | BaseException
        key = f"wkconvert-{uuid4().hex}"
        try:
            if self._error:
                raise self._error
            future = self._send(func, key)
            self._open[key] = answer, future
            results = await future
        except KilledWorker:
            results = _unfinished(func, killed=True)
        except (asyncio.CancelledError, concurrent.futures.CancelledError, CommClosedError) as error:
            results = _unfinished(func, killed=False)
            if key not in self._dropped:
                results = self._error or self._lost(getattr(error, "reason", str(error)))
        except (ImportError, AttributeError) as error:  # raised by unpickling: tasks return their own errors
            results = self._unable(error)
        except Exception as error:
            results = error
        finally:
            self._open.pop(key, None)
            self._dropped.discard(key)
        _settle(answer, results)

    def _send(self, call: Callable[[], Any], key: str) -> Any:
        return self._client.submit(pickle.loads, dumps(Sealed(call)), key=key, pure=False)

    async def _waiting(self) -> list[str]:
        busy = await self._client.scheduler.processing(workers=None)
        taken = {key for keys in busy.values() for key in keys}
        return [key for key in self._open if key not in taken]

    async def _cancel(self, which: Callable[[], Any]) -> None:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            keys = which()
            if asyncio.iscoroutine(keys):
                keys = await keys
            self._dropped.update(keys)
            await self._client.cancel([self._open[key][1] for key in keys if key in self._open])

    def _fail_open(self) -> None:
        for answer, _ in list(self._open.values()):
            _settle(answer, self._error)


def _unfinished(func: Any, *, killed: bool) -> list[Unfinished]:
    """Stands for the results of a joblib batch."""
    return [Unfinished(args[0], killed) for _, args, _ in func.items]


def _settle(answer: Answer, outcome: Any) -> None:
    if answer.done():
        return
    if isinstance(outcome, BaseException):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
