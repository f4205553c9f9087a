"""Volumes of ITK's world for wkconvert: the two hooks. Importing this imports no format library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import Layer, Match, hookimpl, parse_options

FORMATS = {
    "itk": "NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) and GIPL (.gipl)",
    "dicom": "DICOM: folders of slices, whatever their names, and single files of one frame or many",
}


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim files by their first bytes, and folders that hold DICOM."""
    if isinstance(path, str):
        return None
    from .detection import detect

    return detect(path, head)


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open what `wkconvert_detect` named `itk` or `dicom`; None for other formats."""
    if isinstance(path, str) or format not in FORMATS:
        return None
    if format == "dicom":
        from .dicom import open_dicom

        return open_dicom(path, **parse_options(open_dicom, options))
    from .opening import open_itk

    return open_itk(path, **parse_options(open_itk, options))
