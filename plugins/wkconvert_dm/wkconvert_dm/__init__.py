"""Gatan DigitalMicrograph's DM3 and DM4 files for wkconvert: the two hooks. Importing this does not import numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import Layer, Match, hookimpl, parse_options

FORMATS = {"dm": "DM3 and DM4 files of Gatan DigitalMicrograph, and folders of them"}


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim DM3 and DM4 files, and folders with such files in them."""
    if isinstance(path, str):
        return None
    from .detection import detect

    return detect(path, head)


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open what `wkconvert_detect` named `dm`; None for other formats."""
    if format not in FORMATS or isinstance(path, str):
        return None
    from .opening import open_dm

    return open_dm(path, **parse_options(open_dm, options))
