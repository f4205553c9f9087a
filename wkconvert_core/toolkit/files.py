"""Files of a source: listing folders, noticing changes, and one wording for each fault.

    with reading(path), open(path, "rb") as file:
        ...

turns every error of the system into BrokenSource or SourceNotFound, which name the file.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from wkconvert_core.contract.errors import BrokenSource, SourceNotFound, WkconvertError
from wkconvert_core.contract.notes import WarningNote
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
    "fingerprint",
    "first_of_stack",
    "list_folder",
    "reading",
    "reason",
    "state_of",
    "stem",
]

State: TypeAlias = tuple[int, int]
"""Size in bytes and modification time in ns: if neither has changed, the file counts as unchanged."""

_LITTER = {"thumbs.db", "desktop.ini", "ehthumbs.db"}
"""Files that Windows puts into folders of pictures, beside hidden ones."""
_COPY_AGAIN = "write or copy the file again, then repeat this"


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
    """Entries of a folder, sorted by name, without hidden files and the litter of Windows (`Thumbs.db`).

    Raises SourceNotFound, BrokenSource.
    """
    with reading(folder), os.scandir(folder) as found:
        shown = [e for e in found if not e.name.startswith(".") and e.name.lower() not in _LITTER]
        return sorted(map(_entry, shown))


def _entry(entry: os.DirEntry[str]) -> Entry:
    is_link = entry.is_symlink()
    try:
        is_folder = entry.is_dir()
    except OSError:  # a link in a loop
        is_folder = False
    return Entry(entry.name, is_folder, not is_folder and (is_link or entry.is_file()), is_link)


def list_folder(folder: str | Path, suffixes: Sequence[str]) -> Listing:
    """Files of a folder with one of these suffixes (in lower case; they match any case), and all other entries.

    Raises SourceNotFound, BrokenSource.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("s10.tif", "s2.TIF", ".DS_Store", "Thumbs.db", "README.txt"):
    ...         Path(folder, name).touch()
    ...     list_folder(folder, (".tif", ".tiff"))
    Listing(names=('s2.TIF', 's10.tif'), others=('README.txt',), folders=())
    """
    names: list[str] = []
    others: list[str] = []
    folders: list[str] = []
    for entry in sorted(entries(folder), key=lambda entry: natural_key(entry.name)):
        wanted = entry.is_file and entry.name.lower().endswith(tuple(suffixes))
        (folders if entry.is_folder else names if wanted else others).append(entry.name)
    return Listing(tuple(names), tuple(others), tuple(folders))


def first_of_stack(folder: Path, suffixes: Sequence[str]) -> tuple[Listing, bytes] | None:
    """For detection: what `list_folder` finds, and the first 64 bytes of the first file, empty if it cannot be read.

    None if the folder holds no stack: it cannot be listed, has no such file, or only one beside folders, which is a
    preview or one of several layers (core looks at each).

    >>> first_of_stack(Path("nowhere"), (".tif",)) is None
    True
    """
    try:
        listing = list_folder(folder, suffixes)
    except WkconvertError:
        return None
    if not listing.names or (len(listing.names) == 1 and listing.folders):
        return None
    try:
        with (folder / listing.names[0]).open("rb") as file:
            return listing, file.read(64)
    except OSError:
        return listing, b""


def stem(path: Path) -> str:
    """A file's name without its suffix and that of a compression.

    >>> stem(Path("brain.nii.gz"))
    'brain'
    """
    inner = Path(path.stem) if path.suffix.lower() in (".gz", ".bz2", ".xz", ".zst") else path
    return inner.stem


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


def fingerprint(source: Path | str) -> str:
    """The `digest` of a source's visible files, in folders at any depth, without reading them; a URL stays as it is.

    A file counts with all files beside it that share its stem: `brain.img` holds the voxels of `brain.hdr`. Raises
    SourceNotFound, BrokenSource.
    """
    if isinstance(source, str):
        return source

    def files() -> Iterator[Path]:
        if source.is_file():
            yield from sorted(source.parent.glob(f"{glob.escape(source.name.split('.')[0])}.*"))
        for folder, folders, names in os.walk(source):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))

    return digest((str(path.relative_to(source.parent)), state_of(path)) for path in files() if path.is_file())
