"""The files of a folder, and what the system says of them."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from wkconvert_core import InconsistentStack
from wkconvert_core.toolkit.stacks import natural_key, some

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".tf2")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_LITTER = {"thumbs.db", "desktop.ini", "ehthumbs.db"}


@dataclass(frozen=True)
class Listing:
    """What lies in a folder."""

    names: tuple[str, ...]
    """The pictures, in natural order."""
    ignored: tuple[str, ...]
    """Other files."""
    folders: tuple[str, ...]


def list_folder(path: Path, suffixes: Sequence[str]) -> Listing:
    """The files of a folder by kind; hidden ones and the system's litter are left out. Linked files are files."""
    names, ignored, folders = [], [], []
    try:
        entries = list(os.scandir(path))
    except OSError as error:
        from wkconvert_images.faults import cannot_open

        raise cannot_open(str(path), error) from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _LITTER:
            continue
        if _is_folder(entry):
            folders.append(entry.name)
        elif entry.name.lower().endswith(tuple(suffixes)) and (entry.is_symlink() or entry.is_file()):
            names.append(entry.name)  # a link to nothing or in a loop, too: that slice is missing
        else:
            ignored.append(entry.name)
    return Listing(tuple(sorted(names, key=natural_key)), tuple(sorted(ignored)), tuple(sorted(folders)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Also through a link; one in a loop, which the system refuses to follow, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def base(path: str) -> str:
    """The last part of a path."""
    return os.path.basename(path)  # noqa: PTH119 - paths are strings here: there may be a million of them


def status(path: str) -> os.stat_result:
    """Size and time of a file; raises OSError."""
    return os.stat(path)  # noqa: PTH116 - see `base`


def _state(path: str) -> tuple[int, int]:
    found = status(path)
    return found.st_size, found.st_mtime_ns


def paths_in(folder: str, names: Sequence[str]) -> list[str]:
    """The paths of a folder's files."""
    return [os.path.join(folder, name) for name in names]  # noqa: PTH118 - see `base`


def digest(paths: Iterable[str]) -> str:
    """A fingerprint of the files' names, sizes and times."""
    found = hashlib.sha256()
    for path in paths:
        try:
            found.update(b"%b\0%d\0%d\0" % (os.fsencode(base(path)), *_state(path)))
        except OSError as error:
            from wkconvert_images.faults import cannot_open

            raise cannot_open(path, error) from error
    return found.hexdigest()[:16]


def check_one_kind(paths: Sequence[str], kind_of: Callable[[bytes], str | None]) -> None:
    """Raise InconsistentStack where pictures of several kinds lie in one folder; files of no kind are left alone."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        try:
            with FileIO(path) as file:
                kind = kind_of(file.read(16))
        except OSError as error:
            from wkconvert_images.faults import cannot_open

            raise cannot_open(path, error) from error
        if kind:
            kinds[kind].append(base(path))
    if len(kinds) > 1:
        listed = "; ".join(f"{kind}: {some(names)}" for kind, names in sorted(kinds.items(), key=lambda k: -len(k[1])))
        raise InconsistentStack(
            f"the folder holds pictures of several kinds: {listed}",
            why="a stack is made of one kind",
            fix="move the others away, or choose by name with -o suffix=png",
        )
