"""A thousand workers that are none: what this process holds and sends while it leads them through a petabyte.

The plan, the loop, joblib and our backend for it are the real ones; in place of dask's client there is one that answers
each task as a worker would, from the task as it was sent, after some others. Workers die at random.

python tests/helpers/simulated_cluster.py    runs it for a petabyte, and prints the figures of docs/clusters.md
"""

from __future__ import annotations

import asyncio
import gc
import io
import pickle
import random
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
from distributed import KilledWorker

from wkconvert_core import Checksum, Mag, MagSpec, VolumeInfo
from wkconvert_core.cluster.dask_backend import DaskBackend
from wkconvert_core.cluster.session import AHEAD
from wkconvert_core.cluster.worker_check import Ticket, versions
from wkconvert_core.contract.geometry import Box
from wkconvert_core.conversion.execute import _copy_all
from wkconvert_core.conversion.steps import PlannedStep
from wkconvert_core.datasets.records.journal import Journal, Request
from wkconvert_core.engine.consumers import WriteShards
from wkconvert_core.engine.workers import Workers
from wkconvert_core.formats.wkw.sink import WkwSink
from wkconvert_core.planning.costs import Budget
from wkconvert_core.planning.route import planned
from wkconvert_core.planning.step import ShardDone
from wkconvert_core.sources.downsampled import Downsampled

WORKERS = 1000
DEATHS = 0.002
"""Of all tasks, those whose worker dies."""
STRIKES = 4
"""A task whose worker died so often is given up by dask."""


@dataclass(frozen=True)
class Volume:
    """A source of tiled slices that nobody reads."""

    path: Path
    info: VolumeInfo

    def read(self, box: Box) -> np.ndarray:
        raise AssertionError("nobody reads here")


class _Opener(pickle.Unpickler):
    """Opens what was sent without doing it."""

    def find_class(self, module: str, name: str):
        if name == "call" and module in ("operator", "_operator"):
            return lambda call: call
        return super().find_class(module, name)


class Fleet:
    """Answers like a client of dask with many workers; counts what passes."""

    def __init__(self, workers: int = WORKERS, seed: int = 0) -> None:
        self.workers, self._random = workers, random.Random(seed)
        self.tasks = self.deaths = self.killed = self.most_open = self.largest_task = self.largest_answer = 0
        self.sent = 0
        self._waiting: deque = deque()
        self._running: list = []
        self._strikes: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._calls: set = set()
        self.loop = SimpleNamespace(add_callback=self._add_callback)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._add_callback(self._work)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def submit(self, function, blob: bytes, *, key: str, pure: bool) -> asyncio.Future:
        assert function is pickle.loads
        assert not pure
        self.tasks += 1
        self.sent += len(blob)
        self.largest_task = max(self.largest_task, len(blob))
        future = self._loop.create_future()
        self._waiting.append((key, blob, future))
        self.most_open = max(self.most_open, len(self._waiting) + len(self._running))
        return future

    def _add_callback(self, function, *args) -> None:
        def call() -> None:
            result = function(*args)
            if asyncio.iscoroutine(result):
                task = self._loop.create_task(result)
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)

        self._loop.call_soon_threadsafe(call)

    async def _work(self) -> None:
        while True:
            while self._waiting and len(self._running) < self.workers:
                self._running.append(self._waiting.popleft())
            if self._running:
                place = self._random.randrange(len(self._running))
                self._running[place], self._running[-1] = self._running[-1], self._running[place]
                key, blob, future = self._running.pop()
                try:
                    self._finish(key, blob, future)
                except Exception as error:  # else everybody waits for ever
                    future.set_exception(error)
            await asyncio.sleep(0 if self._running else 0.001)

    def _finish(self, key: str, blob: bytes, future: asyncio.Future) -> None:
        call = _Opener(io.BytesIO(blob)).load()
        ((_, (number, task), _),) = call.items
        # some tasks kill every worker, until they run alone; others lose theirs by chance
        deadly = number % 1000 == 77 and (self._waiting or self._running)
        if deadly or self._random.random() < DEATHS:
            self.deaths += 1
            self._strikes[key] = self._strikes.get(key, 0) + 1
            if self._strikes[key] < STRIKES:
                self._waiting.appendleft((key, blob, future))
            else:
                self.killed += 1
                del self._strikes[key]
                future.set_exception(KilledWorker(key, SimpleNamespace(address="gone"), STRIKES))
            return
        self._strikes.pop(key, None)
        answer = pickle.dumps([(number, list(_written(task)))])
        self.largest_answer = max(self.largest_answer, len(answer))
        future.set_result(pickle.loads(answer))


def _written(task):
    for consumer, shard in task.step.shards(task.box):
        if (consumer.mag, shard.start) in task.wanted:
            checksum = Checksum(hash(shard.start) & 0xFFFFFFFF, 1_000_000_000 + shard.start[0])
            yield ShardDone(consumer.mag, shard.start, checksum, 0, 255, 0, shard.volume)


def steps(
    folder: Path, side: int, mags: int = 3, workers: int = WORKERS, file_len: int | None = None
) -> list[PlannedStep]:
    """The plan for a cube of tiled slices, and its coarser mags."""
    source = Volume(folder / "src", VolumeInfo((side,) * 3, np.dtype("uint8"), 1, chunk_shape=(1024, 1024, 1)))
    layer = SimpleNamespace(name="color")
    sinks, sources = [], [source]
    for power in range(mags):
        mag = Mag(*(2**power,) * 3)
        box = Box((0, 0, 0), (side,) * 3).coarsened(mag)
        spec = MagSpec("color", "color", mag, box, source.info.dtype, 1)
        sinks.append(WkwSink(folder / "ds" / "color" / str(mag), spec, file_len=file_len))
    for finer, sink in pairwise(sinks):
        factor = sink.spec.mag // finer.spec.mag
        sources.append(Downsampled(finer.source(), finer.spec.box, factor, "median"))
    budget = Budget(32 << 30, 1, False, 10**15, 140_000_000, workers)
    made = []
    while sinks:
        step, route = planned(sources[0], list(map(WriteShards, sinks)), "median", budget)
        made.append(PlannedStep(layer, step, route))
        sources, sinks = sources[len(step.sinks) :], sinks[len(step.sinks) :]
    return made


@dataclass
class Figures:
    shards: int
    seconds: float
    journal_bytes: int
    fleet: SimpleNamespace
    """What the fleet counted."""
    memory: int
    """Bytes by which this process grew at most."""
    kept: int
    """Bytes that are left of it when the last shard is recorded."""
    cpu_ms: list[float]
    """Processor time of each tenth of the shards, per shard: how long it takes says more of what else runs here."""


def simulate(
    folder: Path, side: int, held, *, mags: int = 3, workers: int = WORKERS, file_len: int | None = None
) -> Figures:
    """Lead the fleet through a volume; `held` tells how much memory is taken."""
    plan = steps(folder, side, mags, workers, file_len)
    journal = Journal(folder / "ds", "color", "auto")
    (folder / "ds" / ".wkconvert").mkdir(parents=True)
    journal.begin(Request("auto", "", "", {}, {}), [sink for made in plan for sink in made.step.sinks])
    fleet = Fleet(workers)
    ticket = Ticket("0" * 32, versions(), (("tiff", "0.1.0"),), ("median",), ((str(folder),),), str(folder / "run"))
    backend = DaskBackend(fleet, AssertionError, lambda error: error)
    cluster = SimpleNamespace(
        backend=backend,
        ticket=ticket,
        in_flight=lambda slots: AHEAD * workers * slots,
        status=lambda: f"{workers} workers, {backend.load} tasks",
        last_log_lines=lambda: "",
    )
    inputs = SimpleNamespace(settings=SimpleNamespace(verify=False))
    conversion = SimpleNamespace(steps=plan, inputs=inputs, destination=SimpleNamespace(building=folder / "ds"))
    before, most, shards, began, spent = held(), 0, 0, time.monotonic(), list[float]()

    def listen(progress) -> None:
        nonlocal most, shards
        shards += 1
        if shards % 1000 == 0:
            most = max(most, held())
            spent.append(time.process_time())

    try:
        _copy_all(conversion, {"color": journal}, Workers("dask", 1, cluster), listen)
    finally:
        fleet.close()
    gc.collect()
    kept = held() - before
    most = max(most, held())
    size = sum(path.stat().st_size for path in (folder / "ds" / ".wkconvert").glob("*.journal"))
    count = sum(tally.count for tally in journal.done.values())
    journal.close()
    counts = SimpleNamespace(**{name: count for name, count in vars(fleet).items() if isinstance(count, int)})
    tenths = spent[:: max(1, len(spent) // 10)]
    cpu_ms = [(b - a) / max(1, len(spent) // 10) for a, b in pairwise(tenths)]
    return Figures(count, time.monotonic() - began, size, counts, most - before, kept, cpu_ms)


def traced(folder: Path, side: int, **more) -> Figures:
    """Simulate a volume and measure the memory of Python's objects: in a process in which nothing else happens."""
    tracemalloc.start()
    return simulate(folder, side, lambda: tracemalloc.get_traced_memory()[0], **more)


if __name__ == "__main__":
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000  # voxels of a byte each: a petabyte
    with tempfile.TemporaryDirectory() as place:
        for step in steps(Path(place), side, 1, file_len=32):
            print(step.step.title, step.route, step.step.finest.grid, flush=True)  # noqa: T201
        process = psutil.Process()
        figures = simulate(Path(place), side, lambda: process.memory_info().rss, mags=1, file_len=32)
        print(figures)  # noqa: T201
        print(vars(figures.fleet))  # noqa: T201
