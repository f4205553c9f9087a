"""MRC volumes for wkconvert: the two hooks. Importing this does not import numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import Layer, Match, hookimpl, parse_options

FORMATS = {"mrc": "MRC files and CCP4 maps: .mrc, .rec, .st, .ali, .map"}


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim files with a header of MRC; by the name alone those that no other program calls so; folders of slices."""
    if isinstance(path, str):
        return None
    from .header import detect

    return detect(path, head)


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open what `wkconvert_detect` named `mrc`; None for other formats."""
    if format not in FORMATS or isinstance(path, str):
        return None
    from .opening import open_mrc

    return open_mrc(path, **parse_options(open_mrc, options))
