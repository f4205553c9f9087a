"""Schedulers and workers of dask as processes of their own, and runs of the command that can be disturbed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from helpers import conversions, npy_volumes
from helpers.processes import Forked, WarmInterpreter, interpreter
from wkconvert_core import VoxelSize
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings

OPTIONS = ("--name", "ds", "--file-len", "1", "--compression", "lz4hc", "--compression-level", "12")
"""As slow as can be, so that there is time to disturb."""
TESTS = str(Path(__file__).parents[1])


def dataset(folder, shape=(320, 320, 160), most=4, **settings) -> Path:
    """A WKW dataset: a source that core reads without any plugin, so that other processes can."""
    voxels = np.random.default_rng(0).integers(0, most, (1, *shape), "uint8")
    settings = {"downsample": False, "category": "color", **settings}
    with npy_volumes.registered() as make_folder:
        convert(make_folder(folder / "raw", voxels), folder / "src", Settings(VoxelSize((4.0, 4.0, 35.0)), **settings))
    shutil.rmtree(folder / "raw")
    return folder / "src"


def different(a: Path, b: Path) -> list[str]:
    """The files that two datasets do not have in common, or that differ; what jobs said does not count."""
    return [name for name in conversions.different(a, b) if not name.startswith(".wkconvert/logs/")]


def warm() -> WarmInterpreter:
    """An interpreter that has imported what clients, schedulers and workers need, and finds the functions of tests."""
    return interpreter("distributed.cli.dask_scheduler", "distributed.cli.dask_worker", PYTHONPATH=TESTS)


def command(source, target, *options) -> list[str]:
    return ["auto", str(source), str(target), *OPTIONS, *options]


def run(source, target, *options) -> subprocess.CompletedProcess:
    """A run to its end."""
    return warm().run(*command(source, target, *options))


def started(source, target, *options) -> Forked:
    """A run that has recorded its first shards."""
    process = warm().start(*command(source, target, *options))
    wait(
        lambda: process.poll() is not None or any(map(os.path.getsize, target.glob(".wkconvert/*.journal"))),
        60,
        "a shard",
    )
    assert process.poll() is None, process.stderr.read()
    return process


def wait(done, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.02)


def workers_of(slurm_conf: str) -> list[psutil.Process]:
    """The workers of the jobs of one Slurm: another one may run on this machine at the same time."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        line, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        ours = environment.get("SLURM_CONF") == slurm_conf
        if ours and "wkconvert_core.cluster.slurm_worker" in line and "python" in process.name():
            found.append(process)
    return found


# --- functions for workers: those of a test's own file cannot be imported elsewhere ----------------------------------


def double(task):
    return 2 * task


def place(task):
    begun = time.monotonic()
    time.sleep(0.05)
    return os.getpid(), begun, time.monotonic()


def fails(task):
    if task == 3:
        raise FileNotFoundError("the task's own")
    return task


def deadly(task):
    if task == 3:
        os.kill(os.getpid(), 9)
    return task


class Dask:
    """A scheduler, and workers that can be killed one by one."""

    def __init__(
        self, folder: Path, workers: int = 2, threads: int = 1, *, nanny: bool = False, key: Path | None = None
    ) -> None:
        """With a nanny, a worker that dies is started anew. `key` holds a key and its certificate, for TLS."""
        self._tls = [f"--tls-{name}={key}" for name in ("ca-file", "cert", "key")] + ["--protocol=tls"] if key else []
        self._file = folder / "scheduler.json"
        self._threads, self._nanny = threads, "--nanny" if nanny else "--no-nanny"
        self._count = workers
        self._log = folder / "dask.log"
        self._processes: list[Forked | subprocess.Popen] = []

    def __enter__(self) -> Dask:
        try:
            self.scheduler = self._start("dask_scheduler", "--port", "0", "--no-dashboard", "--no-show")
            wait(lambda: self._file.exists() and self._file.read_text().rstrip().endswith("}"), 30, "a scheduler")
            self.workers = [self.add_worker() for _ in range(self._count)]
            self.wait_for(self._count)
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_for(self, workers: int) -> None:
        wait(lambda: self._log.read_text().count("Registered to") >= workers, 30, "the workers")

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()

    @property
    def address(self) -> str:
        return json.loads(self._file.read_text())["address"]

    @property
    def options(self) -> tuple[str, ...]:
        return ("--distribution-strategy", "dask", "--scheduler", self.address)

    def add_worker(self, *options: str, **environment: str) -> Forked | subprocess.Popen:
        limits = ["--memory-limit", "2GiB", "--nthreads", str(self._threads)]
        return self._start("dask_worker", self._nanny, "--no-dashboard", *limits, *options, **environment)

    def _start(self, module: str, *options: str, **environment: str) -> Forked | subprocess.Popen:
        module, line = f"distributed.cli.{module}", ["--scheduler-file", str(self._file), *self._tls, *options]
        with self._log.open("ab") as log:
            if environment:  # which only a fresh interpreter obeys
                fresh, variables = [sys.executable, "-m", module, *line], {**os.environ, **environment}
                process = subprocess.Popen(fresh, stdout=log, stderr=log, env=variables)
            else:
                process = warm().start(*line, module=module, stdout=log, stderr=log)
        self._processes.append(process)
        return process


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two workers for all tests of a file; what kills one starts its own."""
    with Dask(tmp_path_factory.mktemp("dask"), threads=2) as running:
        yield running


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return dataset(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory, source):
    """What one thread writes."""
    target = tmp_path_factory.mktemp("clean") / "ds"
    assert run(source, target, "--distribution-strategy", "sequential").returncode == 0
    return target
