"""Slurm's commands: the state of a run's jobs, and how to cancel them."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

COMMANDS = ("sbatch", "squeue", "scancel")
"""The commands that a run needs."""

CANCEL_SECONDS = 8.0
"""Timeout of `scancel`: after Ctrl-C, nobody should wait longer for a controller that is down."""

_LASTING = re.compile(
    "AccountNotAllowed|BadConstraints|DependencyNeverSatisfied|Invalid(Account|QOS)|JobHeld(Admin|User)|MaxMemPerLimit|"
    "Partition(Config|TimeLimit)|QOSNotAllowed|(Assoc|QOS)Max.*Per(Job|Node).*"
)
"""Reasons that do not pass until the request, or the limit that it exceeds, is changed (Slurm's job reason codes)."""


@dataclass(frozen=True)
class QueueState:
    """The jobs of a run, as `squeue` lists them."""

    ids: frozenset[str]
    pending: int
    running: int
    reasons: tuple[str, ...]
    """Why jobs are pending."""

    def text(self) -> str:
        """One line about the pending jobs, and what to do if waiting does not help.

        >>> print(QueueState(frozenset({"7", "8"}), 2, 0, ("Resources",)).text())
        waiting for the queue: 2 jobs pending (Resources)
        """
        text = f"waiting for the queue: {self.pending} job{'s' * (self.pending != 1)} pending"
        if self.reasons:
            text += f" ({', '.join(self.reasons)})"
        if lasting := [reason for reason in self.reasons if _LASTING.fullmatch(reason)]:
            text += f"; {lasting[0]} does not pass by itself: change --job-resources, or ask who runs Slurm"
        return text


def queue_state(name: str) -> QueueState:
    """Ask Slurm for the jobs of a name. Raises OSError if it does not answer."""
    listed = [line.split("|") for line in _lines("squeue", "--noheader", *_ours(name), "--format=%i|%T|%r")]
    pending = [job for job in listed if job[1] in ("PENDING", "CONFIGURING", "REQUEUED")]
    reasons = sorted({job[2] for job in pending} - {"None"})
    running = sum(job[1] == "RUNNING" for job in listed)
    return QueueState(frozenset(job[0] for job in listed), len(pending), running, tuple(reasons))


def job_state(job: str) -> str:
    """State of a job for messages, `Slurm calls it CANCELLED; `; empty if Slurm has forgotten the job."""
    try:
        shown = " ".join(_lines("scontrol", "--oneliner", "show", "job", job))
    except OSError:
        return ""
    state = re.search(r"\bJobState=(\S+)", shown)
    return f"Slurm calls it {state[1]}; " if state else ""


def cancel(name: str, *options: str) -> None:
    """Cancel the jobs of a name. Raises OSError if Slurm does not answer."""
    _lines("scancel", *options, *_ours(name), seconds=CANCEL_SECONDS)


def environment() -> dict[str, str]:
    """This process's environment without the variables that change what Slurm's commands do or print."""
    foreign = ("SBATCH_", "SQUEUE_", "SCANCEL_", "SLURM_CLUSTERS")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _ours(name: str) -> tuple[str, str]:
    return f"--name={name}", f"--user={os.getuid()}"


def _lines(*command: str, seconds: float = 20) -> list[str]:
    """Output of a Slurm command. Raises OSError if it is missing, fails, or its controller does not answer."""
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=seconds, env=environment())
    except subprocess.TimeoutExpired:
        raise OSError(f"{command[0]} did not answer within {seconds:g} s") from None
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
        raise OSError(f"{command[0]} failed: {words[0]}") from None
    return done.stdout.decode(errors="replace").splitlines()  # a job's folder or comment may be in any encoding
