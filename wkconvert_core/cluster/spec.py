"""Which cluster is asked for, and what its workers have: checked before any of it is contacted."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass

from wkconvert_core.cluster.job_resources import JobResources
from wkconvert_core.contract.errors import OptionError
from wkconvert_core.toolkit.byte_sizes import size_text

STRATEGIES = ("dask", "slurm")

_ADDRESS = re.compile(r"([a-z]+://)?([^/\s:]+|\[[0-9a-f:]+\]):\d+(/\S*)?")


@dataclass(frozen=True)
class ClusterSpec:
    """Which cluster."""

    scheduler: str | None = None
    """The address of dask's."""
    resources: JobResources | None = None
    """Of a job of Slurm."""
    jobs: int | None = None

    def check(self, strategy: str, memory: int | None) -> None:
        """Raise OptionError for what does not fit together; nothing is contacted."""
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
        if strategy in STRATEGIES:
            _check_installed(strategy)
        if self.scheduler is not None and not _ADDRESS.fullmatch(self.scheduler):
            raise OptionError(f"--scheduler {self.scheduler!r} is no address", fix="write for example tcp://host:8786")
        wanted = memory or 0
        if self.resources and wanted > self.resources.memory:
            raise OptionError(
                f"--memory {size_text(wanted)} is more than a job's mem {size_text(self.resources.memory)}",
                why="--memory is what one worker may use, and a job is one worker",
                fix="ask for more mem in --job-resources, or say less --memory",
            )


def _check_installed(strategy: str) -> None:
    needed = {"dask": ["distributed"], "slurm": ["distributed", "dask_jobqueue"]}[strategy]
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise OptionError(
            f"--distribution-strategy {strategy} needs {missing[0]}, which is not installed",
            fix='pip install "wkconvert[cluster]"',
        )


@dataclass(frozen=True)
class Offer:
    """What a cluster's workers have."""

    workers: int
    threads: int
    """Of one worker."""
    memory: int | None
    """Bytes of one worker; None if nobody knows."""
    share: float
    """Of that, what a run takes unless told."""

    def usable(self, wanted: int | None) -> int:
        """Bytes that a run may take of one worker. Raises OptionError where that is not known, or not there."""
        if wanted is None and self.memory is None:
            raise OptionError(
                "it is not known how much memory a worker has",
                why="no worker is there to be asked, or it has no limit",
                fix="start workers, or say --memory, which counts for each worker",
            )
        if wanted and self.memory and wanted > self.memory:
            raise OptionError(
                f"--memory {size_text(wanted)} is more than a worker has: {size_text(self.memory)}",
                why="on a cluster, --memory counts for each worker",
                fix="say less, or start workers with more",
            )
        return wanted or int(self.share * (self.memory or 0))
