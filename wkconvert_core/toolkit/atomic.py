"""Writing files whole or not at all, and errors for what the file system refuses."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from wkconvert_core.contract.errors import NoSpace, TargetError, TargetNotWritable, WkconvertError
from wkconvert_core.contract.model import Checksum
from wkconvert_core.toolkit.files import open_file, reason
from wkconvert_core.toolkit.shards import crc32

__all__ = [
    "TEMPORARY",
    "file_checksum",
    "replacing",
    "sync",
    "sync_folder",
    "target_error",
    "temporary_name",
    "write_atomically",
    "writing",
]

TEMPORARY = ".*.tmp"
"""Glob pattern of the files that a killed run leaves behind; core deletes them when the run is repeated."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EROFS, errno.EPERM)
_NEVER_SYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)
"""Errors for folders that cannot be synced: on Windows, on some network file systems, or without read permission."""
_SYNC_THREADS = 8
_PIECE = 1 << 20


def target_error(path: Path, error: OSError) -> TargetError:
    """The error for a path that cannot be written: NoSpace, TargetNotWritable or TargetError.

    >>> str(target_error(Path("out/1"), OSError(28, "No space left on device")))
    'no space left for out/1. No space left on device. free some and run the same command again'
    """
    if error.errno in _FULL:
        return NoSpace(f"no space left for {path}", why=reason(error), fix="free some and run the same command again")
    if error.errno in _FORBIDDEN:
        fix = "check the folder's permissions"
        return TargetNotWritable(f"{path} cannot be written", why=reason(error), fix=fix)
    return TargetError(f"{path} cannot be written", why=reason(error))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn OSErrors within the block into NoSpace, TargetNotWritable or TargetError, which name the path."""
    try:
        yield
    except WkconvertError:  # some of ours are OSErrors as well
        raise
    except OSError as error:
        raise target_error(path, error) from error


def temporary_name(path: Path) -> Path:
    """A name beside `path` that no other writer takes, and that `TEMPORARY` matches."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it replaces `path` when the block ends, and is deleted on an error.

    So `path` exists whole or not at all, even after a crash. The file is not synced: see `sync`. Raises NoSpace,
    TargetNotWritable, TargetError.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "7.tif")) as temporary:
    ...         _ = temporary.write_bytes(b"II*")
    ...     [path.name for path in Path(folder).iterdir()]
    ['7.tif']
    """
    temporary = temporary_name(path)
    with writing(path):
        try:
            yield temporary
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_atomically(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write and sync a file, whole or not at all; `content` may come in parts.

    Raises NoSpace, TargetNotWritable, TargetError.
    """
    with replacing(path) as temporary, temporary.open("xb") as file:
        for part in [content] if isinstance(content, bytes) else content:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def file_checksum(path: Path) -> Checksum:
    """The checksum of a file, read in pieces. Raises OSError."""
    crc = size = 0
    with open_file(path) as file:
        while piece := file.read(_PIECE):
            crc, size = crc32(piece, crc), size + len(piece)
    return Checksum(crc, size)


def sync(paths: Iterable[Path]) -> None:
    """Wait until files, and the three folders above each, would survive a power cut. Raises TargetError.

    Several files are synced at a time: as syncing is mostly waiting, that is several times as fast.
    """
    folders: set[Path] = set()
    remaining = iter(paths)
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        while batch := list(islice(remaining, 1000)):  # the pool would keep a future for each of a million files
            folders.update(folder for path in batch for folder in path.parents[:3])
            list(pool.map(_sync, batch))
        list(pool.map(sync_folder, sorted(folders)))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder would survive a power cut, if folders can be synced. Raises TargetError."""
    _sync(folder, ignored=_NEVER_SYNCED)


def _sync(path: Path, ignored: Collection[int] = ()) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in ignored:
            raise target_error(path, error) from error
