"""KNOSSOS datasets for wkconvert: the two hooks. Importing this imports no format library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import Layer, Match, hookimpl, parse_options

FORMATS = {"knossos": "KNOSSOS datasets: cubes of raw, PNG, JPEG, JPEG 2000, and overlay cubes"}


@hookimpl
def wkconvert_detect(path: Path | str) -> Match | None:
    """Claim a KNOSSOS dataset, a folder of it that holds cubes, or a cube."""
    if isinstance(path, str):
        return None
    from .detection import detect

    return detect(path)


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open what `wkconvert_detect` named `knossos`; None for other formats."""
    if format not in FORMATS or isinstance(path, str):
        return None
    from .opening import open_knossos

    return open_knossos(path, **parse_options(open_knossos, options))
