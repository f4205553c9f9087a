"""The resources that each Slurm job requests: `--job-resources`, checked and passed on to `sbatch`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import OptionError, ResourceError
from wkconvert_core.contract.numbers import whole_number

_OWN = (
    *("job-name", "output", "error", "ntasks", "ntasks-per-node", "nodes", "array", "wrap", "chdir"),
    *("requeue", "no-requeue", "test-only", "wait", "clusters", "parsable", "quiet", "help", "usage", "version"),
)
"""Options that wkconvert sets itself, or that lead to no job, to several, or to one whose id is not printed in time."""
_KEY, _VALUE = re.compile(r"[a-z][a-z0-9-]+"), re.compile(r"[^\x00-\x1f\x7f]*")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\\]*")
_MOST_CPUS = 65533
"""Slurm counts them in 16 bits, of which two values mean something else."""
_MEMORY = re.compile(r"([0-9]{1,12})([KMGT]?)B?", re.IGNORECASE)


@dataclass(frozen=True)
class JobResources:
    """The options of `sbatch` for one job.

    >>> resources = JobResources.of({"mem-per-cpu": "500M", "cpus_per_task": 4, "exclusive": True})
    >>> resources.cpus, resources.memory
    (4, 2097152000)
    >>> resources.options
    (('mem-per-cpu', '500M'), ('cpus-per-task', '4'), ('exclusive', None))
    """

    options: tuple[tuple[str, str | None], ...]
    """Names without leading dashes, and values; None for a flag."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> JobResources:
        """From the object of `--job-resources`. Raises OptionError for options that `sbatch` cannot be given."""
        options: dict[str, str | None] = {}
        for name, value in given.items():
            key = name.lstrip("-").replace("_", "-")
            if not _KEY.fullmatch(key):
                raise _refused(name, name, "names are the long ones of sbatch, without dashes in front")
            if any(own.startswith(key) for own in _OWN):  # sbatch accepts abbreviated names
                raise OptionError(
                    f"--job-resources: {name} cannot be given",
                    why=f"wkconvert sets {', '.join(_OWN)} itself, or has no use for them",
                    fix="leave it out",
                )
            if not isinstance(value, str | int | float) or not _VALUE.fullmatch(str(value)):
                raise _refused(name, value, "values are texts in one line, numbers, or true")
            if value is not False:
                options[key] = None if value is True else str(value)
        return cls(tuple(options.items()))

    @property
    def cpus(self) -> int:
        """Processors of a job, and so its concurrent tasks. Raises OptionError."""
        text = dict(self.options).get("cpus-per-task") or "1"
        try:
            cpus = whole_number(text)
        except ValueError:
            cpus = 0
        if not 1 <= cpus <= _MOST_CPUS:
            raise _refused("cpus-per-task", text, f"it is a number of processors from 1 to {_MOST_CPUS}, such as 4")
        return cpus

    @property
    def memory(self) -> int:
        """Memory of a job in bytes. Raises OptionError if none is requested."""
        options, cpus = dict(self.options), self.cpus
        if {"mem", "mem-per-cpu"} <= options.keys():
            raise OptionError("--job-resources: mem and mem-per-cpu exclude each other", fix="leave one of them out")
        if text := options.get("mem"):
            return _bytes("mem", text)
        if text := options.get("mem-per-cpu"):
            return cpus * _bytes("mem-per-cpu", text)
        raise OptionError(
            "--job-resources does not say how much memory a job gets",
            why="the plan must fit in it",
            fix='add for example "mem": "4G"',
        )

    def arguments(self, name: str, logs: Path) -> list[str]:
        """Arguments of `sbatch`: unlike lines of the script, they override its environment variables.

        Raises ResourceError for a folder of logs whose name Slurm would read otherwise.
        """
        if not _PLAIN.fullmatch(str(logs)):
            raise ResourceError(
                f"the logs of Slurm's jobs cannot lie in {str(logs)!r}",
                why="Slurm interprets backslashes in the name of a log, and ends it at a control character",
                fix="use a folder without such characters in its path",
            )
        log = str(logs).replace("%", "%%")
        own = [f"--job-name={name}", "--ntasks=1", "--no-requeue", f"--output={log}/%j.log"]
        return own + [f"--{key}" if value is None else f"--{key}={value}" for key, value in self.options]


def _refused(name: str, value: object, why: str) -> OptionError:
    return OptionError(
        f"--job-resources: {name} cannot be {value!r}",
        why=why,
        fix='write for example \'{"mem": "4G", "time": "02:00:00", "cpus-per-task": 4}\'',
    )


def _bytes(name: str, text: str) -> int:
    """Bytes of `4G` or `500`; without a unit, Slurm counts in MiB."""
    match = _MEMORY.fullmatch(text)
    if not match or not int(match[1]):
        raise _refused(name, text, "it is a number with K, M, G or T, such as 4G")
    return int(match[1]) << {"K": 10, "": 20, "M": 20, "G": 30, "T": 40}[match[2].upper()]
