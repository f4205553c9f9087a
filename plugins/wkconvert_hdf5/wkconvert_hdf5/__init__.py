"""Volumes in HDF5 for wkconvert: the two hooks. Importing this imports no format library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import Layer, Match, hookimpl, parse_options

FORMATS = {"hdf5": "HDF5: .h5, .hdf5, ilastik, BigDataViewer's .xml with .h5, Imaris .ims, .emd, MATLAB 7.3"}


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim HDF5 files, XML of BigDataViewer, and folders that hold both."""
    if isinstance(path, str):
        return None
    from .detection import detect

    return detect(path, head)


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open what `wkconvert_detect` named `hdf5`; None for other formats."""
    if format not in FORMATS or isinstance(path, str):
        return None
    from .opening import open_hdf5

    return open_hdf5(path, **parse_options(open_hdf5, options))
