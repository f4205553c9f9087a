"""Files of a source: asking what there is, listing folders, opening; and one wording for each of their faults.

    with reading(path), open_file(path) as file:
        ...

turns every error of the system into BrokenSource or SourceNotFound, which name the file. Ask here instead of
`Path.is_file`, `Path.glob`, `os.walk` and the like: these take an error of the disk for nothing there, and what is left
of a listing that failed looks like a smaller volume.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from io import BufferedReader, FileIO
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeAlias

from wkconvert_core.contract.errors import BrokenSource, SourceNotFound, WkconvertError

__all__ = [
    "Entry",
    "State",
    "broken",
    "cannot_open",
    "changed",
    "check_absent",
    "entries",
    "exists",
    "files_below",
    "is_file",
    "is_folder",
    "is_link",
    "is_stored",
    "listed",
    "open_file",
    "raw_file",
    "reading",
    "reason",
    "state_of",
    "stem",
    "walk",
]

CONFIG_FILE = "wkconvert.toml"
"""Options for the command line, beside the data: no part of them."""
_LITTER = {"thumbs.db", "desktop.ini", "ehthumbs.db", CONFIG_FILE}
"""Files that Windows puts into folders of pictures, beside hidden ones; and ours."""
NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Errors that mean that nothing can be there: no such name, a lost link or one in a circle, a name too long."""
State: TypeAlias = tuple[int, int]
"""Size in bytes and modification time in ns: if neither has changed, the file counts as unchanged."""

_COPY_AGAIN = "write or copy the file again, then repeat this"


# --- what there is ---------------------------------------------------------------------------------------------------


def exists(path: str | Path) -> bool:
    """Whether anything is at a path. Raises BrokenSource if the system cannot say."""
    return _mode(path) != 0


def is_file(path: str | Path) -> bool:
    """Whether a path leads to a regular file. Raises BrokenSource if the system cannot say."""
    return stat.S_ISREG(_mode(path))


def is_folder(path: str | Path) -> bool:
    """Whether a path leads to a folder. Raises BrokenSource if the system cannot say."""
    return stat.S_ISDIR(_mode(path))


def is_link(path: str | Path) -> bool:
    """Whether a path is a link, lost or not. Raises BrokenSource if the system cannot say."""
    return stat.S_ISLNK(_mode(path, follow_symlinks=False))


def is_stored(path: str | Path) -> bool:
    """Whether there is the file of a chunk or shard, which need not be stored: where nothing is, it is empty.

    Raises BrokenSource for what is neither: libraries take a folder or a lost link for nothing, and wait for a pipe.
    """
    mode = _mode(path)
    if not mode:
        check_absent(path)
    elif not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise BrokenSource(f"{path} cannot be read", why=f"it is {what}, no file", fix=_COPY_AGAIN)
    return mode != 0


def check_absent(path: str | Path) -> None:
    """Raise BrokenSource where a link that leads nowhere, or what is no folder, stands for a file that is not found."""
    if is_link(path):
        raise BrokenSource(f"{path} has vanished", why="it is a link that leads nowhere", fix=_COPY_AGAIN)
    above = Path(path).parent
    mode = _mode(above)
    if not mode:
        check_absent(above)
    elif not stat.S_ISDIR(mode):
        raise BrokenSource(f"{above} cannot be read", why="it is no folder", fix=_COPY_AGAIN)


def _mode(path: str | Path, *, follow_symlinks: bool = True) -> int:
    """The mode of what is at a path; 0 if that is nothing."""
    try:
        return os.stat(path, follow_symlinks=follow_symlinks).st_mode  # noqa: PTH116 - it may be a text
    except ValueError:  # a name with a NUL
        return 0
    except OSError as error:
        if error.errno in NOWHERE:
            return 0
        raise cannot_open(path, error) from error


def listed(folder: Path, pattern: str = "*") -> list[Path]:
    """The entries of a folder whose names match a pattern, sorted; none if it is no folder. Raises BrokenSource.

    >>> listed(Path("nowhere"), "*.plan")
    []
    """
    try:
        return sorted(folder / name for name in os.listdir(folder) if fnmatchcase(name, pattern))  # noqa: PTH208
    except OSError as error:
        if error.errno in NOWHERE:
            return []
        raise cannot_open(folder, error) from error


def files_below(folder: Path, *, hidden: bool = True) -> Iterator[Path]:
    """The regular files below a folder, at any depth, folder by folder; links to folders are not followed.

    None if there is no such folder. Without `hidden` ones, `wkconvert.toml` is left out, too. Raises BrokenSource for a
    folder that cannot be listed.
    """
    for inner, folders, names in walk(folder):
        folders[:] = sorted(name for name in folders if hidden or not name.startswith("."))
        shown = (name for name in sorted(names) if hidden or not (name.startswith(".") or name == CONFIG_FILE))
        yield from filter(is_file, (Path(inner, name) for name in shown))


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` that raises BrokenSource for a folder that cannot be listed; nothing if there is no such folder."""

    def fail(error: OSError) -> NoReturn:
        raise cannot_open(error.filename, error) from error

    yield from os.walk(folder, onerror=fail) if is_folder(folder) else ()


def open_file(path: str | Path) -> BufferedReader:
    """Open a file to read its bytes. Pipes and devices are refused: opening them may wait for ever. Raises OSError."""
    return BufferedReader(raw_file(path))


def raw_file(path: str | Path) -> FileIO:
    """The same without a buffer."""
    return FileIO(path, opener=_opened)


def _opened(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):  # FileIO itself refuses folders
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is a pipe or a device, no file", path)


# --- folders ---------------------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """A visible entry of a folder."""

    name: str
    is_folder: bool
    """A folder, or a link to one."""
    is_file: bool
    """A regular file, or a link to anything but a folder; also a broken link, so that opening it gives the reason.
    False for pipes and devices."""
    is_link: bool


def entries(folder: str | Path) -> list[Entry]:
    """Entries of a folder, sorted by name, without hidden files, litter (`Thumbs.db`) and `wkconvert.toml`.

    Raises SourceNotFound, BrokenSource.
    """
    with reading(folder), os.scandir(folder) as found:
        shown = [e for e in found if not e.name.startswith(".") and e.name.lower() not in _LITTER]
        return sorted(map(_entry, shown))


def _entry(entry: os.DirEntry[str]) -> Entry:
    is_link = entry.is_symlink()
    try:
        is_folder = entry.is_dir()
    except OSError as error:
        if error.errno not in (*NOWHERE, errno.EACCES):  # a link in a circle, or to where nobody may look
            raise
        is_folder = False
    return Entry(entry.name, is_folder, not is_folder and (is_link or entry.is_file()), is_link)


def stem(path: Path) -> str:
    """A file's name without its suffix and that of a compression.

    >>> stem(Path("brain.nii.gz"))
    'brain'
    """
    inner = Path(path.stem) if path.suffix.lower() in (".gz", ".bz2", ".xz", ".zst") else path
    return inner.stem


# --- faults ----------------------------------------------------------------------------------------------------------


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
