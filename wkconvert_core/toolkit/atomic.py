"""Writing files: whole or not at all, and what a refusal of the file system means to the user."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from wkconvert_core.contract.errors import NoSpace, TargetError, TargetNotWritable, WkconvertError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SYNC_THREADS = 8
FORBIDDEN = (errno.EACCES, errno.EROFS, errno.EPERM)
_NEVER_SYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)
"""What a folder says that cannot be synced: on Windows, on some network file systems, or where it cannot be read."""


def target_error(path: Path, error: OSError) -> TargetError:
    """Say in our terms why a path could not be written."""
    why = error.strerror or str(error)
    if error.errno in FULL:
        return NoSpace(f"no space left for {path}", why=why, fix="free some and run the same command again")
    if error.errno in FORBIDDEN:
        return TargetNotWritable(f"{path} cannot be written", why=why, fix="check the folder's permissions")
    return TargetError(f"{path} cannot be written", why=why)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the file system's errors into ours. Raises NoSpace, TargetNotWritable, TargetError."""
    try:
        yield
    except WkconvertError:  # some of ours are OSErrors as well
        raise
    except OSError as error:
        raise target_error(path, error) from error


def temporary_name(path: Path) -> Path:
    """A name beside `path` that no other writer takes; `TEMPORARY` finds what a kill left of them."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


TEMPORARY = ".*.tmp"


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Put a file in place whole and synced, or not at all; `content` may come bit by bit.

    Raises NoSpace, TargetNotWritable, TargetError.
    """
    temporary = temporary_name(path)
    with writing(path):
        try:
            with temporary.open("xb") as file:
                for part in [content] if isinstance(content, bytes) else content:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def sync(paths: Iterable[Path]) -> None:
    """Wait until files, and their names in the three folders above them, are safe from a power cut. Raises TargetError.

    A sync mostly waits, so several wait side by side: that is several times as fast as one after the other.
    """
    folders: set[Path] = set()
    remaining = iter(paths)
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        while batch := list(islice(remaining, 1000)):
            folders.update(folder for path in batch for folder in path.parents[:3])
            list(pool.map(_sync_file, batch))
        list(pool.map(sync_folder, sorted(folders)))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are safe, where folders can be synced. Raises TargetError."""
    with writing(folder):
        try:
            _sync(folder)
        except OSError as error:
            if error.errno not in _NEVER_SYNCED:
                raise


def _sync_file(path: Path) -> None:
    with writing(path):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
