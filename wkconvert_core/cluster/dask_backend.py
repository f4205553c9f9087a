"""joblib's way to a dask scheduler; imported only when a run asks for one.

joblib's own dask backend runs tasks in this very process where the workers have one thread in all, gives up after ten
seconds without a worker, opens a client in every worker for calls nested in a task, polls for results, and takes a lost
scheduler's tasks for done. This one hands each task to `distributed`, and says what became of it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
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
    """A call that is done by unpickling it: a scheduler takes apart what it is sent, and may not know our packages."""

    call: Callable[[], Any]

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        """What a worker does."""
        return _done, (self.call,)


def _done(call: Callable[[], Any]) -> Any:
    return call()


class DaskBackend(ParallelBackendBase):  # type: ignore[misc]  # joblib ships no types
    """Runs joblib's batches on the workers of a dask scheduler; keeps nothing of those that are done."""

    supports_retrieve_callback = True
    default_n_jobs = 2

    def __init__(
        self, client: Client, lost: Callable[[str], Exception], unable: Callable[[BaseException], Exception]
    ) -> None:
        """`lost` makes the error that tells of a scheduler that is gone, from what dask says.

        `unable` makes the one of a worker that cannot even take a task.
        """
        super().__init__(nesting_level=0)
        self._client, self._lost, self._unable = client, lost, unable
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Answer, Any]] = {}
        self._dropped: set[str] = set()
        self._error: BaseException | None = None

    @property
    def load(self) -> int:
        """Tasks that are handed over and not done."""
        return len(self._open)

    def effective_n_jobs(self, n_jobs: int) -> int:
        """As many as are asked for: how many workers there are may change at any time."""
        return n_jobs

    def get_nested_backend(self) -> tuple[Any, int]:
        """What runs joblib calls of a task: its own thread."""
        return SequentialBackend(nesting_level=1), 1

    def submit(self, func: Any, callback: Callable[[Answer], None]) -> Answer:
        """Hand a batch over; `callback` is told in the client's thread."""
        answer: Answer = concurrent.futures.Future()
        answer.add_done_callback(callback)
        self._client.loop.add_callback(self._carry, func, answer)
        return answer

    def submit_check(self, check: Callable[[], None]) -> Any:
        """Hand a call over; returns dask's future."""
        return self._send(check, f"wkconvert-{uuid4().hex}")

    def retrieve_result_callback(self, answer: Answer) -> list[Any]:
        """The batch's results. Raises what a task raised, or why it cannot be known."""
        return answer.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Forget all tasks."""
        self._client.loop.add_callback(self._cancel, lambda: list(self._open))

    def drop_waiting(self) -> None:
        """Forget the tasks that no worker has yet: they end without a result."""
        self._client.loop.add_callback(self._cancel, self._waiting)

    def fail(self, error: BaseException) -> None:
        """End the run with an error, whatever the tasks do."""
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
        except (ImportError, AttributeError) as error:  # of unpickling: a task's own errors are among its results
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
        with contextlib.suppress(Exception):  # a scheduler that is gone has nothing left to forget
            keys = which()
            if asyncio.iscoroutine(keys):
                keys = await keys
            self._dropped.update(keys)
            await self._client.cancel([self._open[key][1] for key in keys if key in self._open])

    def _fail_open(self) -> None:
        for answer, _ in list(self._open.values()):
            _settle(answer, self._error)


def _unfinished(func: Any, *, killed: bool) -> list[Unfinished]:
    """In place of the results of a batch of joblib's."""
    return [Unfinished(args[0], killed) for _, args, _ in func.items]


def _settle(answer: Answer, outcome: Any) -> None:
    if answer.done():
        return
    if isinstance(outcome, BaseException):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
