"""Whether a folder is a tree of tiles, from a few of the names in it."""

from __future__ import annotations

from pathlib import Path

from wkconvert_core import OptionError
from wkconvert_core.toolkit.files import is_folder

from .named_layout import by_words
from .numbered_layout import DOZEN, FOLDERS, Doubt, Layout, by_numbers, first_entries, split_picture
from .pattern import parse

_DEEP_ZOOM = "_files"
"""How folders of tiles of the Deep Zoom format end; `NAME.dzi` lies beside them."""


def recognise(root: Path) -> Layout | Doubt | None:
    """The layout of the tiles below a folder; None if there are none, or also other pictures."""
    found = by_numbers(root) or by_words(root)
    if isinstance(found, Layout) and root.name.endswith(_DEEP_ZOOM):
        suffix = Path(found.pattern).suffix
        levels = [int(entry.name) for entry in first_entries(str(root)) if entry.name.isdecimal()]
        pattern, finest = f"{{zoom}}/{{x}}_{{y}}{suffix}", max(levels, default=0)
        return Doubt(
            f"a folder {root.name} is of the Deep Zoom format, which numbers levels, and columns before rows",
            f"say -o pattern={pattern} -o zoom={finest} for its finest level, if the tiles do not overlap",
        )
    return found


def fits(root: Path, pattern: str) -> bool:
    """Whether a file below a folder matches a pattern; also true for an invalid pattern, which opening reports."""
    try:
        parts = parse(pattern)
    except OptionError:
        return is_folder(root)
    waiting = [(str(root), 0)]
    for _ in range(FOLDERS):
        if not waiting:
            return False
        path, depth = waiting.pop()
        named = [entry for entry in first_entries(path) if parts[depth].digits(entry.name)]
        if depth == len(parts) - 1:
            if any(not entry.is_dir() for entry in named):
                return True
        else:
            waiting += [(entry.path, depth + 1) for entry in reversed(named) if entry.is_dir(follow_symlinks=False)]
    return False


def misnamed(root: Path, pattern: str | None) -> bool:
    """Whether there are pictures below a folder, but no tiles in its subfolders either."""
    inner = [Path(entry.path) for entry in first_entries(str(root)) if entry.is_dir(follow_symlinks=False)][:DOZEN]
    if any(fits(path, pattern) if pattern else recognise(path) for path in inner):
        return False
    waiting = [str(root)]
    for _ in range(FOLDERS):
        if not waiting:
            return False
        visible = first_entries(waiting.pop())
        folders = [entry for entry in visible if entry.is_dir(follow_symlinks=False)]
        if any(split_picture(entry.name) for entry in visible if entry not in folders):
            return True
        waiting += [entry.path for entry in reversed(folders)]
    return False
