"""The workers of a run and their memory: the options of every command that reads voxels."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from wkconvert_core.cluster import session
from wkconvert_core.cluster.job_resources import JobResources
from wkconvert_core.cluster.spec import STRATEGIES, ClusterSpec
from wkconvert_core.contract.errors import OptionError, one_of
from wkconvert_core.engine.progress import Listener, Progress
from wkconvert_core.engine.workers import Strategy, Workers, at_work, default_jobs
from wkconvert_core.planning.costs import Budget
from wkconvert_core.toolkit import process


@dataclass(frozen=True)
class Resources:
    """The workers of a run and their memory; the defaults are those of every command."""

    jobs: int | None = None
    """Number of workers; None: one per processor, on a cluster all that it has."""
    memory: int | None = None
    """Peak of all processes together, in bytes; on a cluster, of each worker. None: half of what is available."""
    strategy: Strategy = "threads"
    scheduler: str | None = None
    """For dask: the scheduler's address, such as `tcp://host:8786`."""
    job_resources: Mapping[str, Any] | None = None
    """For slurm: options of sbatch for each job."""
    follow: bool = False
    """Whether mags are read that a dataset lists elsewhere: outside its folder, or on a server."""

    def check(self) -> None:
        """Raise OptionError for the first option that is out of range or contradicts another one."""
        check_literals(self)
        check_least(1, jobs=self.jobs, memory=self.memory)
        self.cluster.check(self.strategy, self.memory)

    @property
    def cluster(self) -> ClusterSpec:
        """The requested cluster, if any. Raises OptionError for resources that sbatch cannot be given."""
        resources = None if self.job_resources is None else JobResources.of(self.job_resources)
        return ClusterSpec(self.scheduler, resources, self.jobs)

    def reached(self, path: Path) -> Path:
        """The path to give to workers: absolute for a cluster, whose workers run in other folders."""
        return path.resolve() if self.strategy in STRATEGIES else path


def budget_of(resources: Resources, free: int) -> Budget:
    """The memory and workers that a run may use on this machine or cluster, with `free` bytes of disk for scratch.

    Raises OptionError if a cluster has less memory than requested, or an unknown amount.
    """
    if resources.strategy in STRATEGIES:
        offer = session.offer(resources.cluster)
        return Budget(offer.usable(resources.memory), offer.threads, False, free, session.WORKER_BYTES, offer.workers)
    jobs = 1 if resources.strategy == "sequential" else resources.jobs or default_jobs()
    shared = resources.strategy != "multiprocessing"  # whether the workers see each other's arrays
    return Budget(resources.memory or process.available() // 2, jobs, shared, free, process.baseline_bytes())


@contextlib.contextmanager
def readers_at_work(
    resources: Resources, budget: Budget, paths: Sequence[Path], listen: Listener | None, kernels: Collection[str] = ()
) -> Iterator[Workers]:
    """Workers that only read `paths`; a cluster's jobs write their logs to the working directory.

    Raises ResourceError if a cluster has no workers, or they lack something, such as one of the `kernels`.
    """
    sought = session.Sought(resources.cluster, [], sorted(kernels), paths, Path.cwd() / "wkconvert-logs")
    with at_work(resources.strategy, budget.workers, sought, report_waiting(listen, 1)) as workers:
        yield workers


def report_waiting(listen: Listener | None, steps: int) -> Callable[[str], None]:
    """A function that passes texts about waiting on to the listener, if there is one."""
    return lambda text: listen(Progress("", 0, steps, 0, 0, 1, waiting=text)) if listen else None


# --- checks that all groups of options share -------------------------------------------------------------------------


def check_literals(options: object) -> None:
    """Raise OptionError for the first field of a dataclass whose value is not listed in its Literal type.

    >>> check_literals(Resources(strategy="fork"))
    Traceback (most recent call last):
    wkconvert_core.contract.errors.OptionError: --distribution-strategy cannot be 'fork'. \
take one of threads, multiprocessing, sequential, dask, slurm
    """
    legals = _literals(type(options))  # type: ignore[arg-type]  # mypy takes `__hash__` for one of instances
    for name, legal in legals.items():
        value = getattr(options, name)
        if value is not None and value not in legal:
            option = {"strategy": "distribution-strategy"}.get(name, name.replace("_", "-"))
            raise OptionError(f"--{option} cannot be {value!r}", fix=one_of(legal, value))


@functools.cache
def _literals(kind: type) -> dict[str, list[Any]]:
    """The legal values of each field whose type is a Literal, or one among others; evaluating the hints is slow."""
    parts = {name: (hint, *get_args(hint)) for name, hint in get_type_hints(kind).items()}
    literals = {name: [part for part in found if get_origin(part) is Literal] for name, found in parts.items()}
    return {name: [one for part in found for one in get_args(part)] for name, found in literals.items() if found}


def check_least(least: int, **numbers: int | None) -> None:
    """Raise OptionError for the first number below `least`; the keywords are the options' names.

    >>> check_least(0, start_z=3, channel=-1)
    Traceback (most recent call last):
    wkconvert_core.contract.errors.OptionError: --channel -1 is too small. take 0 or more
    """
    for name, number in numbers.items():
        if number is not None and number < least:
            raise OptionError(f"--{name.replace('_', '-')} {number} is too small", fix=f"take {least} or more")
