"""Which files of a folder make a stack, and in which order."""

from __future__ import annotations

import os
from dataclasses import dataclass

from wkconvert_core.toolkit.stacks import natural_key

from .messages import cannot_open

SUFFIXES = (".dm3", ".dm4")
_LITTER = {"thumbs.db", "desktop.ini", "ehthumbs.db"}


@dataclass(frozen=True)
class Listing:
    """What lies in a folder; hidden entries and the system's litter are left out."""

    names: tuple[str, ...]
    """The DM files, in natural order: `s2` before `s10`."""
    others: tuple[str, ...]
    folders: tuple[str, ...]


def list_folder(folder: str) -> Listing:
    """The entries of a folder by kind; a linked file is a file. Raises SourceNotFound, BrokenSource."""
    try:
        with os.scandir(folder) as found:
            shown = [e for e in found if not e.name.startswith(".") and e.name.lower() not in _LITTER]
    except OSError as error:
        raise cannot_open(folder, error) from error
    names: list[str] = []
    others: list[str] = []
    folders: list[str] = []
    for entry in sorted(shown, key=lambda entry: natural_key(entry.name)):
        kind = folders if _is_folder(entry) else names if entry.name.lower().endswith(SUFFIXES) else others
        kind.append(entry.name)
    return Listing(tuple(names), tuple(others), tuple(folders))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a loop; where it should be a slice, opening it says what is wrong
        return False
