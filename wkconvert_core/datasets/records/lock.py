"""The lock that keeps a dataset for one writer: a file in its `.wkconvert` that is there only while a run writes."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from wkconvert_core.contract.errors import TargetError, TargetLocked
from wkconvert_core.datasets.naming import FOLDER
from wkconvert_core.toolkit.atomic import writing
from wkconvert_core.toolkit.files import exists, is_link, listed, reason

LOCK = "lock"
_TRIES = 50
"""Times to begin anew because a run that ended meanwhile has removed the empty folder."""


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold a dataset for one writer; nothing of the lock is left afterwards, nor a folder in which nothing was written.

    Warns of a lock that cannot be removed. Raises TargetLocked, TargetNotWritable, and TargetError if the dataset, its
    `.wkconvert` or anything right in that is a link: what a run writes and removes there would lie elsewhere.
    """
    from filelock import FileLock, Timeout

    folder = target / FOLDER
    lock = FileLock(folder / LOCK, timeout=0)
    made = list(takewhile(lambda path: not exists(path), (folder, *folder.parents)))
    with writing(target), contextlib.ExitStack() as stack:
        for tries_left in reversed(range(_TRIES)):
            try:
                _check_no_links(target)
                folder.mkdir(parents=True, exist_ok=True)
                lock.acquire()
            except (FileNotFoundError, FileExistsError):
                if not tries_left:
                    raise
            except Timeout:
                raise TargetLocked(
                    f"another run is writing {target}", fix="wait until it has ended, or write to another place"
                ) from None
            else:
                break
        stack.callback(lock.release)
        descriptor = _opened(folder)
        held = stack.pop_all()
    try:
        yield
    finally:
        # Removed while it is held: who has opened this file meanwhile finds, once it is theirs, that it has no name any
        # more, and begins anew. Through its folder, because that may have been moved to its final place.
        left = ""
        try:
            _remove(descriptor, folder)
        except FileNotFoundError:  # with its folder, by who held it
            pass
        except OSError as error:
            left = reason(error)
        held.close()
        with contextlib.suppress(OSError):
            for path in made or [folder]:
                path.rmdir()  # a folder without records, and those that hold nothing else
        if left:
            told = f"{folder / LOCK} could not be removed: {left}. It keeps no run out, but it is empty"
            fix = "so that the dataset cannot be uploaded: look at the disk, then remove it"
            warnings.warn(f"{told}, {fix}", RuntimeWarning, stacklevel=3)


def _check_no_links(target: Path) -> None:
    folder = target / FOLDER
    inside = () if is_link(folder) else listed(folder)
    for path in (target, folder, *inside):
        if is_link(path):
            raise TargetError(
                f"{path} is a link",
                why="no run of wkconvert makes one there, and what is written and removed behind it lies elsewhere",
                fix="remove the link, or put what it points to in its place",
            )


def _opened(folder: Path) -> int | None:
    """A descriptor of the folder, where files can be removed through one."""
    if os.unlink not in os.supports_dir_fd:
        return None
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _remove(descriptor: int | None, folder: Path) -> None:
    if descriptor is None:
        (folder / LOCK).unlink()
        return
    try:
        os.unlink(LOCK, dir_fd=descriptor)
    finally:
        os.close(descriptor)
