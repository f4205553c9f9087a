"""Which files of a folder make a stack, and in which order."""

from __future__ import annotations

import os
from dataclasses import dataclass

from wkconvert_core.stacks import natural_key

from .messages import cannot_open

SUFFIXES = (".dm3", ".dm4")


@dataclass(frozen=True)
class Listing:
    """What lies in a folder; hidden entries are left out."""

    names: tuple[str, ...]
    """The DM files, in natural order: `s2` before `s10`."""
    others: tuple[str, ...]
    folders: tuple[str, ...]


def list_folder(folder: str) -> Listing:
    """The entries of a folder by kind; a linked file is a file. Raises SourceNotFound, BrokenSource."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(
                (e for e in found if not e.name.startswith(".")), key=lambda entry: natural_key(entry.name)
            )
    except OSError as error:
        raise cannot_open(folder, error) from error
    folders = [entry.name for entry in entries if entry.is_dir()]
    files = [entry.name for entry in entries if not entry.is_dir()]
    names = [name for name in files if name.lower().endswith(SUFFIXES)]
    others = [name for name in files if not name.lower().endswith(SUFFIXES)]
    return Listing(tuple(names), tuple(others), tuple(folders))
