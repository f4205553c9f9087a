"""What a job of Slurm asks for: `--job-resources`, checked and passed on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wkconvert_core.contract.errors import OptionError, ResourceError

_OWN = (
    *("job-name", "output", "error", "ntasks", "ntasks-per-node", "nodes", "array", "wrap", "chdir"),
    *("requeue", "no-requeue", "test-only", "wait", "clusters", "parsable", "quiet", "help", "usage", "version"),
)
"""What we say, and what leads to no job, to several, to one whose number is not told, or told too late."""
_KEY, _VALUE = re.compile(r"[a-z][a-z0-9-]+"), re.compile(r"[^\x00-\x1f\x7f]*")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f\\]*")
_MEMORY = re.compile(r"([0-9]+)([KMGT]?)B?", re.IGNORECASE)


@dataclass(frozen=True)
class JobResources:
    """What one job asks for, in Slurm's own words."""

    options: tuple[tuple[str, str | None], ...]
    """Names without dashes, and values; None for an option without one."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> JobResources:
        """From `--job-resources`. Raises OptionError for what cannot be given to `sbatch`."""
        options = {_key(name): _value(name, value) for name, value in given.items() if value is not False}
        return cls(tuple(options.items()))

    @property
    def cpus(self) -> int:
        """Processors of a job: it does as many tasks at a time. Raises OptionError."""
        text = dict(self.options).get("cpus-per-task") or "1"
        if not text.isdecimal() or not int(text):
            raise _refused("cpus-per-task", text, "it is a number of processors, such as 4")
        return int(text)

    @property
    def memory(self) -> int:
        """Bytes of a job. Raises OptionError where that is not said."""
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
        """Those of `sbatch`: they hold against its environment variables, which lines in the script do not.

        Raises ResourceError where Slurm would write the logs elsewhere.
        """
        if not _PLAIN.fullmatch(str(logs)):
            raise ResourceError(
                f"the logs of Slurm's jobs cannot lie in {str(logs)!r}",
                why="in the name of a job's log, Slurm takes a backslash for its own, and a control character ends it",
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


def _key(name: str) -> str:
    key = name.lstrip("-").replace("_", "-")
    if not _KEY.fullmatch(key):
        raise _refused(name, name, "names are the long ones of sbatch, without dashes in front")
    if any(own.startswith(key) for own in _OWN):  # sbatch takes the beginning of a name for the name
        raise OptionError(
            f"--job-resources: {name} cannot be given",
            why=f"wkconvert sets {', '.join(_OWN)} itself, or has no use for them",
            fix="leave it out",
        )
    return key


def _value(name: str, value: Any) -> str | None:
    if value is True:
        return None
    if not isinstance(value, str | int | float) or not _VALUE.fullmatch(str(value)):
        raise _refused(name, value, "values are texts in one line, numbers, or true")
    return str(value)


def _bytes(name: str, text: str) -> int:
    """Slurm counts in MiB unless told otherwise."""
    match = _MEMORY.fullmatch(text)
    if not match or not int(match[1]):
        raise _refused(name, text, "it is a number with K, M, G or T, such as 4G")
    return int(match[1]) << {"K": 10, "": 20, "M": 20, "G": 30, "T": 40}[match[2].upper()]
