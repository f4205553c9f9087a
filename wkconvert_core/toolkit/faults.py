"""One wording for each fault of the data that are read; and whether files are still what they were."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from wkconvert_core.contract.errors import BrokenSource, SourceNotFound, WkconvertError

__all__ = ["State", "broken", "cannot_open", "changed", "digest", "reading", "reason", "state_of"]

State: TypeAlias = tuple[int, int]
"""Size in bytes and modification time in ns: if neither has changed, the file counts as unchanged."""

_COPY_AGAIN = "write or copy the file again, then repeat this"


def reason(error: BaseException) -> str:
    """The message of an error of the system or a library, without number and path; its type if it has none.

    >>> reason(PermissionError(13, "Permission denied", "a.tif")), reason(ValueError("bad magic")), reason(KeyError())
    ('Permission denied', 'bad magic', 'KeyError')
    """
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def broken(path: str | Path, why: str, *, cut: bool = False, fix: str = _COPY_AGAIN) -> BrokenSource:
    """The error for a file whose content is damaged, or `cut` short.

    >>> str(broken("a.tif", "page 3 begins at byte 812 of 600", cut=True))
    'a.tif is cut short. page 3 begins at byte 812 of 600. write or copy the file again, then repeat this'
    """
    return BrokenSource(f"{path} is {'cut short' if cut else 'damaged'}", why=why, fix=fix)


def cannot_open(path: str | Path, error: OSError) -> SourceNotFound | BrokenSource:
    """The error for a file or folder that the system cannot open.

    >>> str(cannot_open("a.tif", PermissionError(13, "Permission denied")))
    'a.tif cannot be read. Permission denied. check that it exists and may be read'
    """
    kind = SourceNotFound if isinstance(error, FileNotFoundError) else BrokenSource
    return kind(f"{path} cannot be read", why=reason(error), fix="check that it exists and may be read")


def changed(path: str | Path, how: str) -> BrokenSource:
    """The error for a file or folder that has changed since it was opened.

    >>> changed("stack", "3 files are new").fix
    'leave the source alone until the conversion is done, then start it again'
    """
    fix = "leave the source alone until the conversion is done, then start it again"
    return BrokenSource(f"{path} has changed since it was opened", why=how, fix=fix)


@contextmanager
def reading(path: str | Path, *decoding: type[Exception]) -> Iterator[None]:
    """Turn errors within the block into BrokenSource or SourceNotFound, which name the file.

    An OSError becomes the error of `cannot_open`, an EOFError a file that is cut short. OSErrors without a number come
    from libraries and mean damaged content; so do exceptions listed as `decoding`, such as `zlib.error`. For decoders
    that raise anything at all on damaged data, pass `Exception`. Errors of wkconvert pass unchanged.

    >>> with reading("a.raw"):  # doctest: +ELLIPSIS
    ...     raise EOFError("it ends at byte 12")
    Traceback (most recent call last):
    wkconvert_core.contract.errors.BrokenSource: a.raw is cut short. it ends at byte 12...
    """
    try:
        yield
    except WkconvertError:  # SourceNotFound is an OSError, too
        raise
    except EOFError as error:
        raise broken(path, str(error) or "its data end too early", cut=True) from error
    except OSError as error:
        raise (
            broken(path, f"it cannot be decoded: {error}") if error.errno is None else cannot_open(path, error)
        ) from error
    except decoding as error:
        raise broken(path, f"it cannot be decoded: {reason(error)}") from error


def state_of(path: str | Path) -> State:
    """Size and time of a file. Raises SourceNotFound, BrokenSource."""
    with reading(path):
        found = os.stat(path)  # noqa: PTH116 - a string may be given, as there may be a million of them
        return found.st_size, found.st_mtime_ns


def digest(files: Iterable[tuple[str, State]]) -> str:
    """A short text that changes with the name, size or time of any file, and with their order.

    A Source of many files keeps this instead of their names, to notice whether they have changed.

    >>> digest([("s1.tif", (100, 5))]) == digest([("s1.tif", (100, 6))])
    False
    """
    found = hashlib.sha256()
    for name, state in files:
        found.update(b"%b\0%d\0%d\n" % (os.fsencode(name), *state))
    return found.hexdigest()
