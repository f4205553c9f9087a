"""How this plugin words what is wrong with a file."""

from __future__ import annotations

from collections.abc import Sequence

from wkconvert_core import BrokenSource, SourceNotFound


def broken(path: str, why: str, *, cut: bool = False) -> BrokenSource:
    """The error for a damaged file, or one that is `cut` short."""
    what = f"{path} is {'cut short' if cut else 'damaged'}"
    return BrokenSource(what, why=why, fix="copy the file again from where it was written, then repeat this")


def changed(path: str, how: str) -> BrokenSource:
    """The error for a source that is not what it was when it was opened."""
    fix = "leave the source alone until the conversion is done, then start it again"
    return BrokenSource(f"{path} has changed since it was opened", why=how, fix=fix)


def cannot_open(path: str, error: OSError) -> SourceNotFound | BrokenSource:
    """The error for a file or folder that the system does not let us read."""
    kind = SourceNotFound if isinstance(error, FileNotFoundError) else BrokenSource
    why = error.strerror or str(error)
    return kind(f"{path} cannot be read", why=why, fix="check that it exists and may be read")


def times(size: Sequence[int]) -> str:
    """`512 x 512 x 30`."""
    return " x ".join(map(str, size))
