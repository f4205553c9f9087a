"""Jobs of Slurm as dask workers: submitting as many as are needed, watching the queue, ending them all."""

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

from wkconvert_core.cluster.credentials import PROTOCOL, issue, unserved
from wkconvert_core.cluster.job_resources import JobResources
from wkconvert_core.cluster.slurm_commands import COMMANDS, QueueState, cancel, environment, job_state, queue_state
from wkconvert_core.cluster.worker_check import wait_until
from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.toolkit.atomic import writing

DEFAULT_JOBS = 10
"""Most concurrent jobs without `--jobs`."""
IDLE_SECONDS = 60
"""Idle jobs are kept this long: the next mag may need them, and the queue may be long."""
ORPHAN_SECONDS = 30
"""A job ends if it cannot reach the scheduler for this time."""
KILL_SECONDS = 1.5
"""Time to wait for killed jobs to end."""
LOOKS = 3
"""Polls in a row without workers and jobs that count as a failure: fewer may just precede the next submission."""
TAIL_LINES = 12
"""Lines of a log in messages."""


class Queue:
    """The jobs of one run: as many as there are tasks for, up to a limit; closing ends them all."""

    def __init__(self, resources: JobResources, jobs: int, token: str, logs: Path) -> None:
        """Prepare, and submit nothing yet. Raises ResourceError if Slurm's commands are missing, or for bad `logs`."""
        if missing := [command for command in COMMANDS if not shutil.which(command)]:
            raise ResourceError(
                f"{missing[0]} is not found",
                why="jobs are submitted from here",
                fix="run this on a machine with Slurm's commands, usually a login node",
            )
        self._jobs, self._name, self._logs, self._cpus = jobs, f"wkconvert-{token[:12]}", logs, resources.cpus
        self._arguments, self._memory = resources.arguments(self._name, logs), resources.memory
        self._refusals: list[str] = []
        self._joined: set[str] = set()
        self._outlived: set[str] = set()
        """Jobs submitted before others worked: if these end, that does not mean that no job can work."""
        self._deserted = 0
        self._answers = True
        """False once Slurm has failed to answer."""
        self._closing = threading.Event()
        self._cluster: Any = None
        self._config: Any = contextlib.nullcontext()
        self.security: Any = None
        """The credentials of the scheduler, once it was started."""
        self._key = logs / f"{self._name}.key"

    def start(self, wanted: Callable[[], int]) -> str:
        """Begin to submit jobs, as many as `wanted()` says at any time. Returns the scheduler's address."""
        import dask
        from distributed import Scheduler

        SLURMCluster = _imported().SLURMCluster  # noqa: N806
        self._config = dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"})  # for a soon replacement
        with writing(self._logs):
            self._logs.mkdir(parents=True, exist_ok=True)
        self.security = issue(self._key)
        options = {
            "job_cls": _job_class(self._arguments, self._refusals, self._closing),
            "name": self._name,
            "cores": self._cpus,
            "memory": f"{self._memory}B",
            "processes": 1,
            "death_timeout": ORPHAN_SECONDS,
            "python": f"exec {shlex.quote(sys.executable)}",  # else the worker may outlive its shell
            "worker_command": "wkconvert_core.cluster.slurm_worker",
            # arguments in a configuration file are for dask's own worker
            "worker_extra_args": ["--key", shlex.quote(str(self._key))],
            "protocol": PROTOCOL,
            "security": self.security,
            "scheduler_cls": unserved(Scheduler),
            "scheduler_options": {
                "allowed_failures": 1,  # each costs a job; the task is tried alone before it is blamed
                **(dask.config.get("jobqueue.slurm.scheduler-options", None) or {}),
                "dashboard": False,
            },
        }
        try:
            self._cluster = SLURMCluster(**options)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ResourceError(
                "the scheduler for Slurm's jobs cannot be started",
                why=str(error),
                fix="check dask's configuration under jobqueue: slurm, such as the interface",
            ) from error
        adaptive = functools.partial(_adaptive_class(), wanted=wanted)
        self._cluster.adapt(
            Adaptive=adaptive, minimum_jobs=1, maximum_jobs=self._jobs, interval="1s", wait_count=IDLE_SECONDS
        )
        return str(self._cluster.scheduler_address)

    def state(self) -> QueueState:
        """The run's jobs in the queue. Raises OSError if Slurm does not answer."""
        return queue_state(self._name)

    def workers(self) -> int:
        """Number of jobs that have joined as workers; Slurm is not asked."""
        names = [worker["name"] for worker in self._cluster.scheduler_info["workers"].values()]
        jobs = dict(self._cluster.workers)
        self._joined |= {jobs[name].job_id for name in names if name in jobs}
        if names:
            self._deserted = 0
            self._refusals.clear()
            self._outlived |= self.submitted()
        return len(names)

    def submitted(self) -> set[str]:
        """Ids of the jobs that were submitted."""
        return {job.job_id for job in dict(self._cluster.workers).values() if job.job_id}

    def forget(self, known: set[str], state: QueueState) -> None:
        """Drop jobs that were refused or died before registering, so that replacements are submitted.

        `known` are the jobs submitted before the queue was in `state`.
        """
        ended = (known - state.ids - self._joined) & self._outlived
        self._cluster.loop.add_callback(_forget, self._cluster, ended)

    def failure(self, known: set[str], state: QueueState) -> ResourceError | None:
        """The error if, for `LOOKS` polls, none of the `known` jobs is left; None while there is hope."""
        if self.workers() or state.ids:
            self._deserted = 0
            return None
        self._deserted += 1
        if self._deserted < LOOKS:
            return None
        if self._refusals:
            return ResourceError("Slurm takes no job", why=self._refusals[-1], fix="correct --job-resources")
        if ended := sorted(known - self._joined - self._outlived, key=lambda job: (len(job), job)):
            return ResourceError(
                f"{len(ended)} job(s) ended before any work was done, the last one {ended[-1]}",
                why=f"{job_state(ended[-1])}{self.last_log_lines(ended[-1])}",
                fix=f"see {self._logs}",
            )
        return None

    def last_log_lines(self, job: str | None = None) -> str:
        """The end of a job's log, or of the newest one."""
        if job:
            wait_until((self._logs / f"{job}.log").exists)  # a network file system shows it a little later
        written = sorted(self._logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
        log = self._logs / f"{job}.log" if job else written[-1] if written else None
        if not log or not log.exists():
            return f"it left no log in {self._logs}; it may never have started, or its machine lacks that folder"
        lines = log.read_text(errors="replace").splitlines()
        return f"{log} ends with:\n" + "\n".join(lines[-TAIL_LINES:]) if lines else f"{log} is empty"

    def close(self, *, at_once: bool) -> None:
        """End all jobs; `at_once` kills them without waiting for their tasks."""
        self._closing.set()
        try:
            if self._cluster is not None:
                self._shut_down(at_once=at_once)
        finally:  # a signal may interrupt the shutdown
            try:
                if self._cluster is not None:
                    self._cancel()
            finally:
                self._key.unlink(missing_ok=True)
                self._config.__exit__(None, None, None)

    def _cancel(self, *options: str) -> None:
        """Cancel all jobs. If Slurm does not answer, warn once how to do so by hand."""
        try:
            if self._answers:
                cancel(self._name, *options)
        except OSError as error:
            self._answers = False
            advice = f"pending jobs may be left. End them with: scancel --name={self._name}"
            logging.getLogger(__name__).warning("%s: %s", error, advice)

    def _shut_down(self, *, at_once: bool) -> None:
        with contextlib.suppress(AttributeError):
            self._cluster._adaptive.stop()
        if at_once:
            self._cancel("--full", "--signal=KILL")
            self._cancel()
            deadline = time.monotonic() + KILL_SECONDS
            with contextlib.suppress(OSError):
                while self._answers and time.monotonic() < deadline and self.state().running:
                    time.sleep(0.05)  # their temporary files are removed after this
        with contextlib.suppress(Exception):  # whatever dask raises: the jobs have to end
            self._cluster.close(timeout=5)


def _job_class(arguments: Sequence[str], refusals: list[str], closing: threading.Event) -> Any:
    """A job class that requests only what the user said, without a configuration file's or the environment's extras."""
    from distributed.core import Status

    class Job(_imported().slurm.SLURMJob):  # type: ignore[misc]
        refused = False

        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(
                *args, **{**more, "security": None, "protocol": None}
            )  # the worker reads them from the key
            self.job_header = ""

        async def start(self) -> None:
            if closing.is_set():
                self.status = Status.running
                return
            try:
                await super().start()
            except Exception as error:  # reported by `failure`: raised here, it would only be logged
                refusals.append(str(error).split("stderr:\n")[-1].strip())
                self.refused, self.status = True, Status.running
            if closing.is_set():  # nobody else may be left to end it
                await self.close()

        async def _submit_job(self, script_filename: str) -> str:
            return str(await self._call(["sbatch", *arguments, script_filename], env=environment()))

    return Job


async def _forget(cluster: Any, ended: set[str]) -> None:
    """Remove jobs from dask's cluster, which counts each until its worker has come and gone; runs in its event loop."""
    jobs = cluster.workers.items()
    gone = [name for name, job in jobs if job.job_id in ended]
    gone += [name for name, job in jobs if job.refused][:1]  # one is enough to see whether Slurm still refuses
    for name in gone:
        cluster.workers.pop(name, None)
        cluster.worker_spec.pop(name, None)


def _imported() -> Any:
    """dask_jobqueue, whose import replaces the handler of SIGINT: Ctrl-C would exit with 0 and leave jobs."""
    handler = signal.getsignal(signal.SIGINT)
    import dask_jobqueue.slurm

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
    return dask_jobqueue


def _adaptive_class() -> Any:
    from distributed.deploy.adaptive import Adaptive

    class AsManyAsTasks(Adaptive):  # type: ignore[misc]
        """Requests as many jobs as there are tasks for; dask's own rule guesses from how long tasks took so far."""

        def __init__(self, cluster: Any, *, wanted: Callable[[], int], **more: Any) -> None:
            super().__init__(cluster, **more)
            self._wanted = wanted

        async def target(self) -> int:
            return self._wanted()

    return AsManyAsTasks
