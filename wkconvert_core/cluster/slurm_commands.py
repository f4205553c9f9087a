"""Slurm's commands: what they say of a run's jobs, and how those are ended."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

COMMANDS = ("sbatch", "squeue", "scancel")
"""Without which no job can be run."""

CANCEL_SECONDS = 8.0
"""How long somebody who pressed Ctrl-C waits for a controller that is down."""

_LASTING = re.compile(
    "AccountNotAllowed|BadConstraints|DependencyNeverSatisfied|Invalid(Account|QOS)|JobHeld(Admin|User)|MaxMemPerLimit|"
    "Partition(Config|TimeLimit)|QOSNotAllowed|(Assoc|QOS)Max.*Per(Job|Node).*"
)
"""Why a job waits until its request, or the limit that it exceeds, is changed: Slurm's page of job reason codes."""


@dataclass(frozen=True)
class QueueState:
    """What Slurm says of a run's jobs."""

    ids: frozenset[str]
    pending: int
    running: int
    reasons: tuple[str, ...]
    """Why those wait."""

    def text(self) -> str:
        """`waiting for the queue: 2 jobs pending (Resources)`; and what to do where waiting does not help."""
        text = f"waiting for the queue: {self.pending} job{'s' * (self.pending != 1)} pending"
        if self.reasons:
            text += f" ({', '.join(self.reasons)})"
        if lasting := [reason for reason in self.reasons if _LASTING.fullmatch(reason)]:
            text += f"; {lasting[0]} does not pass by itself: change --job-resources, or ask who runs Slurm"
        return text


def queue_state(name: str) -> QueueState:
    """Ask for the jobs of a name. Raises OSError where Slurm does not answer."""
    listed = [line.split("|") for line in _lines("squeue", "--noheader", *_ours(name), "--format=%i|%T|%r")]
    pending = [job for job in listed if job[1] in ("PENDING", "CONFIGURING", "REQUEUED")]
    reasons = sorted({job[2] for job in pending} - {"None"})
    running = sum(job[1] == "RUNNING" for job in listed)
    return QueueState(frozenset(job[0] for job in listed), len(pending), running, tuple(reasons))


def job_state(job: str) -> str:
    """What Slurm calls the end of a job, `Slurm calls it CANCELLED; `; nothing where it does not tell (any more)."""
    try:
        told = " ".join(_lines("scontrol", "--oneliner", "show", "job", job))
    except OSError:
        return ""
    state = re.search(r"\bJobState=(\S+)", told)
    return f"Slurm calls it {state[1]}; " if state else ""


def cancel(name: str, *options: str) -> None:
    """End the jobs of a name. Raises OSError where Slurm does not answer."""
    _lines("scancel", *options, *_ours(name), seconds=CANCEL_SECONDS)


def environment() -> dict[str, str]:
    """Ours, without what would make Slurm's commands do, or show, something else."""
    foreign = ("SBATCH_", "SQUEUE_", "SCANCEL_", "SLURM_CLUSTERS")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _ours(name: str) -> tuple[str, str]:
    return f"--name={name}", f"--user={os.getuid()}"


def _lines(*command: str, seconds: float = 20) -> list[str]:
    """What a command of Slurm prints. Raises OSError where the command is missing or its controller silent."""
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=seconds, env=environment())
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} did not answer within {seconds:g} s") from None
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
        raise OSError(f"{command[0]} failed: {words[0]}") from None
    return done.stdout.decode(errors="replace").splitlines()  # a job's folder or comment may be in any encoding
