"""How this plugin words what is wrong with a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wkconvert_core import BrokenSource, SourceNotFound

_SHOWN = 5


def broken(path: Path | str, why: str) -> BrokenSource:
    """The error for a damaged file."""
    return BrokenSource(f"{path} is damaged", why=why, fix="write or copy the file again, then repeat this")


def cannot_open(path: Path | str, error: OSError) -> SourceNotFound | BrokenSource:
    """The error for a file or folder that the system does not let us read."""
    kind = SourceNotFound if isinstance(error, FileNotFoundError) else BrokenSource
    return kind(
        f"{path} cannot be opened", why=error.strerror or str(error), fix="check that it exists and may be read"
    )


def some(items: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    shown = ", ".join(items[:_SHOWN])
    return shown if len(items) <= _SHOWN else f"{shown} and {len(items) - _SHOWN} more"
