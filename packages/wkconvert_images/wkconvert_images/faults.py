"""The errors for files that are damaged or cannot be opened."""

from __future__ import annotations

from wkconvert_core import BrokenSource, SourceNotFound

AGAIN = "write or copy the file again, then repeat this"


def broken(path: str, why: str, *, cut: bool = False) -> BrokenSource:
    """The error for a damaged file, or one that is `cut` short.

    >>> print(broken("a.tif", "the file has 7 bytes", cut=True).what)
    a.tif is cut short
    """
    return BrokenSource(f"{path} is {'cut short' if cut else 'damaged'}", why=why, fix=AGAIN)


def cannot_open(path: str, error: OSError) -> SourceNotFound | BrokenSource:
    """The error for a file or folder that the system does not let us read."""
    kind = SourceNotFound if isinstance(error, FileNotFoundError) else BrokenSource
    return kind(
        f"{path} cannot be opened", why=error.strerror or str(error), fix="check that it exists and may be read"
    )
