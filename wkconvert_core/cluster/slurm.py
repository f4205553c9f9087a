"""Jobs of Slurm as dask workers: how many there are, what the queue says of them, and that they end."""

from __future__ import annotations

import contextlib
import functools
import logging
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wkconvert_core.cluster.job_resources import JobResources
from wkconvert_core.cluster.slurm_commands import COMMANDS, QueueState, cancel, environment, job_state, queue_state
from wkconvert_core.cluster.worker_check import wait_until
from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.toolkit.atomic import writing

DEFAULT_JOBS = 10
"""Jobs at a time at most, unless `--jobs` says more."""
IDLE_SECONDS = 60
"""A job that has nothing to do is kept this long: the next mag may need it, and the queue may be long."""
ORPHAN_SECONDS = 30
"""A job that finds nobody to work for ends after this time."""
KILL_SECONDS = 1.5
"""How long killed jobs are waited for."""
LOOKS = 3
"""So often in a row there are neither workers nor jobs before that is called a failure: a new job may be on its way."""
TAIL_LINES = 12


class Queue:
    """The jobs of one run: as many as there are tasks for, at most so many; none is left when it closes."""

    def __init__(self, resources: JobResources, jobs: int, token: str, logs: Path) -> None:
        """Nothing is submitted yet.

        Raises ResourceError where Slurm's commands are missing, or where it could not write the logs.
        """
        if missing := [command for command in COMMANDS if not shutil.which(command)]:
            raise ResourceError(
                f"{missing[0]} is not found",
                why="jobs are submitted from here",
                fix="run this where Slurm's commands are, mostly a login node",
            )
        self._jobs, self._name, self._logs, self._cpus = jobs, f"wkconvert-{token[:12]}", logs, resources.cpus
        self._arguments, self._memory = resources.arguments(self._name, logs), resources.memory
        self._refusals: list[str] = []
        self._joined: set[str] = set()
        self._outlived: set[str] = set()
        """Jobs submitted before others worked: that they ended is no sign that none can work."""
        self._deserted = 0
        self._answers = True
        """Whether Slurm does, as far as is known."""
        self._closing = threading.Event()
        self._cluster: Any = None
        self._config: Any = contextlib.nullcontext()

    def start(self, wanted: Callable[[], int]) -> str:
        """Begin to submit jobs; `wanted` tells how many have something to do. Returns the scheduler's address."""
        import dask

        SLURMCluster = _imported().SLURMCluster  # noqa: N806
        self._config = dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"})  # then its job is replaced
        with writing(self._logs):
            self._logs.mkdir(parents=True, exist_ok=True)
        options = {
            "job_cls": _job_class(self._arguments, self._refusals, self._closing),
            "name": self._name,
            "cores": self._cpus,
            "memory": f"{self._memory}B",
            "processes": 1,
            "death_timeout": ORPHAN_SECONDS,
            "python": f"exec {shlex.quote(sys.executable)}",  # else the job ends with its shell, the worker perhaps not
            "worker_command": "wkconvert_core.cluster.slurm_worker",
            "worker_extra_args": [],  # those of a configuration file are for dask's own worker
            "scheduler_options": {
                "allowed_failures": 1,  # each costs a job; the task is tried alone before it is blamed
                "dashboard": False,
                "dashboard_address": ":0",
                **(dask.config.get("jobqueue.slurm.scheduler-options", None) or {}),
            },
        }
        try:
            self._cluster = SLURMCluster(**options)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ResourceError(
                "the scheduler for Slurm's jobs cannot be started",
                why=str(error),
                fix="look at what dask's configuration says under jobqueue: slurm, such as the interface",
            ) from error
        adaptive = functools.partial(_adaptive_class(), wanted=wanted)
        self._cluster.adapt(
            Adaptive=adaptive, minimum_jobs=1, maximum_jobs=self._jobs, interval="1s", wait_count=IDLE_SECONDS
        )
        return str(self._cluster.scheduler_address)

    def state(self) -> QueueState:
        """Ask Slurm. Raises OSError where it does not answer."""
        return queue_state(self._name)

    def workers(self) -> int:
        """How many jobs work for us now; costs Slurm nothing."""
        there = [worker["name"] for worker in self._cluster.scheduler_info["workers"].values()]
        jobs = dict(self._cluster.workers)
        self._joined |= {jobs[name].job_id for name in there if name in jobs}
        if there:
            self._deserted = 0
            self._refusals.clear()
            self._outlived |= self.submitted()
        return len(there)

    def submitted(self) -> set[str]:
        """The ids of jobs."""
        return {job.job_id for job in dict(self._cluster.workers).values() if job.job_id}

    def forget(self, known: set[str], state: QueueState) -> None:
        """Let jobs that ended before they worked, although others worked, and refused ones, be submitted anew."""
        ended = (known - state.ids - self._joined) & self._outlived
        self._cluster.loop.add_callback(_forget, self._cluster, ended)

    def failure(self, known: set[str], state: QueueState) -> ResourceError | None:
        """What to tell when, again and again, no job is left of those submitted before the queue was asked."""
        if self.workers() or state.ids:
            self._deserted = 0
            return None
        self._deserted += 1
        if self._deserted < LOOKS:
            return None
        if self._refusals:
            return ResourceError("Slurm takes no job", why=self._refusals[-1], fix="mend --job-resources")
        if ended := sorted(known - self._joined - self._outlived, key=lambda job: (len(job), job)):
            return ResourceError(
                f"{len(ended)} job(s) ended before any work was done, the last one {ended[-1]}",
                why=f"{job_state(ended[-1])}{self.last_log_lines(ended[-1])}",
                fix=f"see {self._logs}",
            )
        return None

    def last_log_lines(self, job: str | None = None) -> str:
        """The end of a job's log, or of the one that was written last."""
        if job:
            wait_until((self._logs / f"{job}.log").exists)  # a network file system shows it a little later
        logs = [self._logs / f"{job}.log"] if job else sorted(self._logs.glob("*.log"), key=_changed)
        if not logs or not logs[-1].exists():
            return f"it left no log in {self._logs}; it may never have begun, or its machine does not have that folder"
        lines = logs[-1].read_text(errors="replace").splitlines()
        return f"{logs[-1]} ends with:\n" + "\n".join(lines[-TAIL_LINES:]) if lines else f"{logs[-1]} is empty"

    def close(self, *, at_once: bool) -> None:
        """End all jobs; `at_once` kills what they do."""
        self._closing.set()
        try:
            if self._cluster is not None:
                self._shut_down(at_once=at_once)
        finally:  # a signal may come in the farewell
            try:
                if self._cluster is not None:
                    self._cancel()
            finally:
                self._config.__exit__(None, None, None)

    def _cancel(self, *options: str) -> None:
        """End all jobs, unless Slurm has been found silent: then the user is told how to, once."""
        try:
            if self._answers:
                cancel(self._name, *options)
        except OSError as error:
            self._answers = False
            told = f"{error}: jobs that wait may be left. End them with: scancel --name={self._name}"
            logging.getLogger(__name__).warning(told)

    def _shut_down(self, *, at_once: bool) -> None:
        with contextlib.suppress(AttributeError):
            self._cluster._adaptive.stop()
        if at_once:
            self._cancel("--full", "--signal=KILL")
            self._cancel()
            deadline = time.monotonic() + KILL_SECONDS
            with contextlib.suppress(OSError):
                while self._answers and time.monotonic() < deadline and self.state().running:
                    time.sleep(0.05)  # what they leave is swept away after this
        with contextlib.suppress(Exception):  # whatever its farewell says: the jobs have to end
            self._cluster.close(timeout=5)


def _job_class(arguments: Sequence[str], refusals: list[str], closing: threading.Event) -> Any:
    """A job that asks for what the user said, and for nothing that a configuration file or the environment adds."""
    from distributed.core import Status

    class Job(_imported().slurm.SLURMJob):  # type: ignore[misc]
        refused = False

        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            self.job_header = ""

        async def start(self) -> None:
            if closing.is_set():
                self.status = Status.running
                return
            try:
                await super().start()
            except Exception as error:  # told by `failure`: raised here, it would only be logged
                refusals.append(str(error).split("stderr:\n")[-1].strip())
                self.refused, self.status = True, Status.running
            if closing.is_set():  # nobody may be left to end it
                await self.close()

        async def _submit_job(self, script_filename: str) -> str:
            return str(await self._call(["sbatch", *arguments, script_filename], env=environment()))

    return Job


async def _forget(cluster: Any, ended: set[str]) -> None:
    """In the loop of a cluster of dask's, which counts a job as there until its worker has come and gone."""
    jobs = cluster.workers.items()
    gone = [name for name, job in jobs if job.job_id in ended]
    gone += [name for name, job in jobs if job.refused][:1]  # what Slurm refused it may refuse again: one will tell
    for name in gone:
        cluster.workers.pop(name, None)
        cluster.worker_spec.pop(name, None)


def _imported() -> Any:
    """dask_jobqueue, whose import takes SIGINT for itself: a Ctrl-C would end us with exit code 0, and jobs left."""
    handler = signal.getsignal(signal.SIGINT)
    import dask_jobqueue.slurm

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
    return dask_jobqueue


def _adaptive_class() -> Any:
    from distributed.deploy.adaptive import Adaptive

    class AsManyAsTasks(Adaptive):  # type: ignore[misc]
        """A job for every few tasks that are handed over: dask's own rule guesses from how long tasks took so far."""

        def __init__(self, cluster: Any, *, wanted: Callable[[], int], **more: Any) -> None:
            super().__init__(cluster, **more)
            self._wanted = wanted

        async def target(self) -> int:
            return self._wanted()

    return AsManyAsTasks


def _changed(path: Path) -> float:
    return path.stat().st_mtime
