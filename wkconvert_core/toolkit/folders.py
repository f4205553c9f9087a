"""Folders of slices: their files in natural order, what else lies there; and whether a source is still what it was."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.toolkit.files import (
    NOWHERE,
    State,
    cannot_open,
    entries,
    files_below,
    is_file,
    is_folder,
    listed,
    open_file,
    state_of,
)
from wkconvert_core.toolkit.naming.words import texts
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.stacks import natural_key

__all__ = ["Listing", "digest", "fingerprint", "first_of_stack", "list_folder"]


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
        if error.errno in (*NOWHERE, errno.EACCES, errno.EINVAL, errno.ENXIO, errno.EISDIR):
            return listing, b""  # opening the stack names it
        raise cannot_open(first, error) from error


def fingerprint(source: Path | str) -> str:
    """The `digest` of a source's visible files, in folders at any depth, without reading them; a URL stays as it is.

    A file counts with all files beside it that share its stem: `brain.img` holds the voxels of `brain.hdr`. Raises
    SourceNotFound, BrokenSource.
    """
    if isinstance(source, str):
        return source

    def files() -> Iterator[Path]:
        if is_file(source):
            beside = f"{glob.escape(source.name.split('.')[0])}.*"
            siblings = listed(source.parent, beside) if os.access(source.parent, os.R_OK) else []
            yield from filter(is_file, sorted({source, *siblings}))
        else:
            yield from files_below(source, hidden=False)

    return digest((str(path.relative_to(source.parent)), state_of(path)) for path in files())


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
