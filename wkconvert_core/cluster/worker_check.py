"""Checks that run on workers of other machines: the same packages, and access to the source and the target."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import platform
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.errors import ResourceError
from wkconvert_core.toolkit.atomic import temporary_name, writing

PACKAGES = ("wkconvert", "numpy", "joblib", "lz4", "dask", "distributed")
"""Packages whose versions decide what is written, or whether a task can be unpickled at all."""

WITNESSES = 3
"""Names in a source's folder that a worker must see, too."""
PATIENCE = 5.0
"""Seconds that a network file system gets to show a new file on every machine."""


@dataclass(frozen=True)
class Unfinished:
    """Stands for the result of a task that was cancelled, or whose workers died again and again."""

    number: int
    killed: bool


@dataclass(frozen=True)
class Ticket:
    """A run's requirements of its workers; small, because each task carries it to workers that join later."""

    token: str
    """Identifies the run."""
    versions: tuple[tuple[str, str], ...]
    readers: tuple[tuple[str, str], ...] = ()
    """Readers in use, and the versions of their plugins."""
    kernels: tuple[str, ...] = ()
    reads: tuple[tuple[str, ...], ...] = ()
    """Paths that every worker must see, as `path_witness` gives them."""
    writes: str | None = None
    """Path of a file with the token, in the folder that the workers write to."""

    def check(self) -> None:
        """Raise ResourceError if this process cannot do the run's tasks. Each process checks once."""
        _checked(self)

    def forget(self) -> None:
        """Remove the file again."""
        if self.writes:
            file = Path(self.writes)
            file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it still holds logs
                file.parent.rmdir()

    def publish(self) -> None:
        """Write the file that workers look for."""
        if self.writes:
            file = Path(self.writes)
            with writing(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self.token)


def path_witness(path: Path) -> tuple[str, ...]:
    """A path and, if it is a folder, a few of the names in it."""
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        visible = (entry.name for entry in entries if not entry.name.startswith("."))
        return str(path), *itertools.islice(visible, WITNESSES)
    return (str(path),)


def versions() -> tuple[tuple[str, str], ...]:
    """Versions of Python and of `PACKAGES` in this process."""
    python = ".".join(platform.python_version_tuple()[:2])
    return (("python", python), *((name, _version(name)) for name in PACKAGES))


def reader_versions(formats: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Versions of the plugins that read or store these formats in this process; empty for missing ones."""
    from wkconvert_core.registry.plugins import plugins

    return tuple((name, plugins().version_of(name)) for name in formats)


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    if package == "wkconvert":
        from wkconvert_core import __version__

        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


@functools.lru_cache(maxsize=8)
def _checked(ticket: Ticket) -> None:
    _check_versions(ticket)
    for path, *names in ticket.reads:
        for name in ("", *names):  # the folder alone proves nothing: it may be an empty mount point
            _wait_for(Path(path, name), "the source")
    if ticket.writes:
        _check_writing(Path(ticket.writes), ticket.token)


def _check_versions(ticket: Ticket) -> None:
    from wkconvert_core.registry.plugins import plugins

    readers = reader_versions(name for name, _ in ticket.readers)
    differing = []
    for kind, wanted, found in (("", ticket.versions, versions()), ("reader ", ticket.readers, readers)):
        here = dict(found)
        differing += [f"{kind}{name} {here[name] or 'missing'}, here {v}" for name, v in wanted if here[name] != v]
    differing += [f"kernel {name} missing" for name in ticket.kernels if name not in plugins().downsamplers()]
    if differing:
        raise ResourceError(
            f"the worker on {socket.gethostname()} has other packages: {'; '.join(differing)}",
            why="different versions may write different bytes",
            fix="install the same versions on all machines, or use one environment on the shared file system",
        )


def _wait_for(path: Path, what: str) -> None:
    if not wait_until(path.exists):
        raise ResourceError(
            f"the worker on {socket.gethostname()} does not see {what}: {path}",
            why="every worker reads and writes files itself",
            fix="put it on a file system that all machines mount at the same place",
        )


def _check_writing(file: Path, token: str) -> None:
    _wait_for(file.parent, "the target")
    if not wait_until(lambda: file.exists() and file.read_text() == token):
        raise ResourceError(
            f"the worker on {socket.gethostname()} sees another folder at {file.parent}",
            why="what this machine wrote there does not appear there",
            fix="put the target on a file system that all machines mount at the same place",
        )
    probe = temporary_name(file)
    try:
        probe.write_text(token)
        probe.unlink()
    except OSError as error:
        raise ResourceError(
            f"the worker on {socket.gethostname()} cannot write in {file.parent}",
            why=error.strerror or str(error),
            fix="workers must run as a user who may write there",
        ) from None


def wait_until(there: Callable[[], bool]) -> bool:
    """Whether a condition holds, now or within `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError):  # no permission, or a stale handle of a network file system: not there yet
            if there():
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
