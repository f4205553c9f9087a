"""Whether a folder is a tree of tiles, from a few of the names in it."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from wkconvert_core import OptionError

from .named_layout import by_words
from .numbered_layout import DOZEN, ENTRIES, FOLDERS, Doubt, Layout, by_numbers, entries, split_picture
from .pattern import parse


def recognise(root: Path) -> Layout | Doubt | None:
    """How the tiles below a folder are named; None where they are not, or where there is something else, too."""
    return by_numbers(root) or by_words(root)


def fits(root: Path, pattern: str) -> bool:
    """Whether a file below a folder is named as a pattern says; also where it is none: opening it says why."""
    try:
        parts = parse(pattern)
    except OptionError:
        return root.is_dir()
    waiting = [(str(root), 0)]
    for _ in range(FOLDERS):
        if not waiting:
            return False
        path, depth = waiting.pop()
        named = [entry for entry in entries(path) if parts[depth].digits(entry.name)]
        if depth == len(parts) - 1:
            if any(entry.is_file() for entry in named):
                return True
        else:
            waiting += [(entry.path, depth + 1) for entry in reversed(named) if entry.is_dir(follow_symlinks=False)]
    return False


def misnamed(root: Path, pattern: str | None) -> bool:
    """Whether there are pictures below a folder, though none in it or in the folders below is tiles of this name."""
    inner = [Path(entry.path) for entry in entries(str(root)) if entry.is_dir(follow_symlinks=False)][:DOZEN]
    if any(fits(path, pattern) if pattern else recognise(path) for path in inner):
        return False
    found = itertools.islice(os.walk(root), FOLDERS)
    return any(split_picture(name) for _, _, names in found for name in names[:ENTRIES])
