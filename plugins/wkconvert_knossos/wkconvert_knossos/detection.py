"""Detection, from names alone."""

from __future__ import annotations

from pathlib import Path

from wkconvert_core import Confidence, InconsistentStack, Match

from .tree import locate


def detect(path: Path) -> Match | None:
    """Claim whatever holds at least one cube; also two folders for one mag, so that opening explains them."""
    try:
        tree = locate(path)
    except InconsistentStack as error:
        return Match("knossos", Confidence.EXACT, error.what)
    if tree is None:
        return None
    names = ", ".join(folder.name for folder in tree.mags.values())
    return Match("knossos", Confidence.EXACT, f"cubes of KNOSSOS in {names}")
