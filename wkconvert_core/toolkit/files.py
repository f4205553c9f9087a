"""Files of a source: asking what there is, listing folders, opening, noticing changes.

    with reading(path), open_file(path) as file:
        ...

turns every error of the system into BrokenSource or SourceNotFound, which name the file. Ask here instead of
`Path.is_file`, `Path.glob`, `os.walk` and the like: these take an error of the disk for nothing there, and what is left
of a listing that failed looks like a smaller volume.
"""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BufferedReader, FileIO
from pathlib import Path
from typing import NamedTuple, NoReturn

from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.toolkit.faults import State, broken, cannot_open, changed, digest, reading, reason, state_of
from wkconvert_core.toolkit.naming.words import texts
from wkconvert_core.toolkit.stacks import natural_key, shorten

__all__ = [
    "Entry",
    "Listing",
    "State",
    "broken",
    "cannot_open",
    "changed",
    "digest",
    "entries",
    "exists",
    "files_below",
    "fingerprint",
    "first_of_stack",
    "is_file",
    "is_folder",
    "is_link",
    "list_folder",
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
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Errors that mean that nothing can be there: no such name, a lost link or one in a circle, a name too long."""


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


def _mode(path: str | Path, *, follow_symlinks: bool = True) -> int:
    """The mode of what is at a path; 0 if that is nothing."""
    try:
        return os.stat(path, follow_symlinks=follow_symlinks).st_mode  # noqa: PTH116 - it may be a text
    except ValueError:  # a name with a NUL
        return 0
    except OSError as error:
        if error.errno in _NOWHERE:
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
        if error.errno in _NOWHERE:
            return []
        raise cannot_open(folder, error) from error


def files_below(folder: Path, *, hidden: bool = True) -> Iterator[Path]:
    """The regular files below a folder, at any depth, folder by folder; links to folders are not followed.

    Without `hidden` ones, `wkconvert.toml` is left out, too.

    None if there is no such folder. Raises BrokenSource for a folder that cannot be listed.
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


@dataclass(frozen=True)
class Listing:
    """The visible entries of a folder, each kind in natural order (`s2` before `s10`)."""

    names: tuple[str, ...]
    """Files with one of the requested suffixes."""
    others: tuple[str, ...]
    """All other files."""
    folders: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """Notes about entries that are ignored when `names` are read as a stack, for `VolumeInfo.notes`.

        >>> Listing(("s1.tif", "s2.tif"), ("README.txt",), ()).notes
        ['other files ignored: README.txt']
        """
        ignored = {"other files ignored": self.others, "folders ignored": self.folders}
        return [WarningNote(f"{what}: {shorten(names)}") for what, names in ignored.items() if names]


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
        if error.errno not in (*_NOWHERE, errno.EACCES):  # a link in a circle, or to where nobody may look
            raise
        is_folder = False
    return Entry(entry.name, is_folder, not is_folder and (is_link or entry.is_file()), is_link)


def list_folder(folder: str | Path, suffixes: Sequence[str]) -> Listing:
    """Files of a folder with one of these suffixes (in lower case; they match any case), and all other entries.

    Pipes, devices, and folders that are named like one of the files but for numbers count as files: in a stack they
    stand where a slice should be, and reading them says so. Raises SourceNotFound, BrokenSource.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("s10.tif", "s2.TIF", ".DS_Store", "Thumbs.db", "README.txt"):
    ...         Path(folder, name).touch()
    ...     list_folder(folder, (".tif", ".tiff"))
    Listing(names=('s2.TIF', 's10.tif'), others=('README.txt',), folders=())
    """
    found = sorted(entries(folder), key=lambda entry: natural_key(entry.name))
    fitting = {entry for entry in found if entry.name.lower().endswith(tuple(suffixes))}
    alike = {texts(entry.name) for entry in fitting if entry.is_file} if any(e.is_folder for e in fitting) else set()
    wanted = {entry for entry in fitting if not entry.is_folder or texts(entry.name) in alike}
    others = [entry.name for entry in found if not entry.is_folder and entry not in wanted]
    folders = [entry.name for entry in found if entry.is_folder and entry not in wanted]
    return Listing(tuple(entry.name for entry in found if entry in wanted), tuple(others), tuple(folders))


def first_of_stack(folder: Path, suffixes: Sequence[str]) -> tuple[Listing, bytes] | None:
    """For detection: what `list_folder` finds, and the first 64 bytes of the first file, empty if it cannot be opened.

    None if the folder holds no stack: it has no such file, or only one beside folders, which is a preview or one of
    several layers (core looks at each). Raises BrokenSource.

    >>> first_of_stack(Path("nowhere"), (".tif",)) is None
    True
    """
    if not is_folder(folder):
        return None
    listing = list_folder(folder, suffixes)
    if not listing.names or (len(listing.names) == 1 and listing.folders):
        return None
    first = folder / listing.names[0]
    try:
        with open_file(first) as file:
            return listing, file.read(64)
    except OSError as error:
        if error.errno in (*_NOWHERE, errno.EACCES, errno.EINVAL, errno.ENXIO, errno.EISDIR):
            return listing, b""  # opening the stack names it
        raise cannot_open(first, error) from error


def stem(path: Path) -> str:
    """A file's name without its suffix and that of a compression.

    >>> stem(Path("brain.nii.gz"))
    'brain'
    """
    inner = Path(path.stem) if path.suffix.lower() in (".gz", ".bz2", ".xz", ".zst") else path
    return inner.stem


def fingerprint(source: Path | str) -> str:
    """The `digest` of a source's visible files, in folders at any depth, without reading them; a URL stays as it is.

    A file counts with all files beside it that share its stem: `brain.img` holds the voxels of `brain.hdr`. Raises
    SourceNotFound, BrokenSource.
    """
    if isinstance(source, str):
        return source

    def files() -> Iterator[Path]:
        if is_file(source) and os.access(source.parent, os.R_OK):
            yield from filter(is_file, listed(source.parent, f"{glob.escape(source.name.split('.')[0])}.*"))
        elif is_file(source):
            yield source
        else:
            yield from files_below(source, hidden=False)

    return digest((str(path.relative_to(source.parent)), state_of(path)) for path in files())
