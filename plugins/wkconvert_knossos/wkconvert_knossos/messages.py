"""How this plugin words what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

from wkconvert_core import BrokenSource, SourceNotFound

_AGAIN = "write or copy the file again, then repeat this"


def broken(path: Path | str, why: str, fix: str = _AGAIN) -> BrokenSource:
    """The error for a damaged file."""
    return BrokenSource(f"{path} is damaged", why=why, fix=fix)


def cannot_open(path: Path | str, error: OSError) -> SourceNotFound | BrokenSource:
    """The error for a file or folder that the system does not let us read, or for a picture that is damaged."""
    if error.errno is None:  # not the system's: Pillow, too, calls what it cannot decode so
        return broken(path, f"it cannot be decoded: {error}")
    kind = SourceNotFound if isinstance(error, FileNotFoundError) else BrokenSource
    return kind(
        f"{path} cannot be opened", why=error.strerror or str(error), fix="check that it exists and may be read"
    )
