"""The cluster that was requested, checked before it is contacted, and what its workers offer."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass

from wkconvert_core.cluster.job_resources import JobResources
from wkconvert_core.contract.errors import OptionError
from wkconvert_core.toolkit.byte_sizes import size_text

STRATEGIES = ("dask", "slurm")

_ADDRESS = re.compile(r"([a-z]+://)?([^/\s:]+|\[[0-9a-f:]+\]):[0-9]{1,5}(/\S*)?")


@dataclass(frozen=True)
class ClusterSpec:
    """The cluster that a run uses, if any."""

    scheduler: str | None = None
    """Address of dask's scheduler."""
    resources: JobResources | None = None
    """Resources of a Slurm job."""
    jobs: int | None = None

    def check(self, strategy: str, memory: int | None) -> None:
        """Raise OptionError for options that contradict each other or lack a package; nothing is contacted."""
        for option, given, owner in (("scheduler", self.scheduler, "dask"), ("job-resources", self.resources, "slurm")):
            if given is not None and strategy != owner:
                raise OptionError(
                    f"--{option} is for --distribution-strategy {owner}", fix=f"leave it out, or say {owner}"
                )
            if given is None and strategy == owner:
                example = "tcp://host:8786" if owner == "dask" else '\'{"mem": "4G", "time": "02:00:00"}\''
                raise OptionError(
                    f"--distribution-strategy {owner} needs --{option}", fix=f"say for example --{option} {example}"
                )
        needed = {"dask": ["distributed"], "slurm": ["distributed", "dask_jobqueue", "cryptography"]}.get(strategy, [])
        if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
            raise OptionError(
                f"--distribution-strategy {strategy} needs {missing[0]}, which is not installed",
                fix='pip install "wkconvert[cluster]"',
            )
        if self.scheduler is not None and not _ADDRESS.fullmatch(self.scheduler):
            raise OptionError(f"--scheduler {self.scheduler!r} is no address", fix="write for example tcp://host:8786")
        if self.resources and (memory or 0) > self.resources.memory:
            raise OptionError(
                f"--memory {size_text(memory or 0)} is more than a job's mem {size_text(self.resources.memory)}",
                why="--memory is what one worker may use, and a job is one worker",
                fix="ask for more mem in --job-resources, or say less --memory",
            )


@dataclass(frozen=True)
class Offer:
    """The workers of a cluster.

    >>> Offer(workers=10, threads=4, memory=2_000_000_000, share=0.8).usable(None)
    1600000000
    """

    workers: int
    threads: int
    """Threads of one worker."""
    memory: int | None
    """Bytes of one worker; None if unknown."""
    share: float
    """Fraction of that memory that a run uses by default."""

    def usable(self, wanted: int | None) -> int:
        """Bytes that a run may use of one worker. Raises OptionError if that is unknown, or more than a worker has."""
        if wanted is None and self.memory is None:
            raise OptionError(
                "the memory of a worker is unknown",
                why="the workers that have joined have no limit",
                fix="give --memory, which counts for each worker, or start workers with a limit",
            )
        if wanted and self.memory and wanted > self.memory:
            raise OptionError(
                f"--memory {size_text(wanted)} is more than a worker has: {size_text(self.memory)}",
                why="on a cluster, --memory counts for each worker",
                fix="say less, or start workers with more",
            )
        return wanted or int(self.share * (self.memory or 0))
