"""How this plugin words what is wrong with a file."""

from __future__ import annotations

from wkconvert_core import BrokenSource


def broken(path: str, why: str, *, cut: bool = False) -> BrokenSource:
    """The error for a damaged file, or one that is `cut` short."""
    return BrokenSource(
        f"{path} is {'cut short' if cut else 'damaged'}", why=why, fix="write or copy the file again, then repeat this"
    )
