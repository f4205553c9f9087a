"""Zarr for wkconvert: the hooks. Importing this imports no format library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import DatasetSink, DatasetSpec, Layer, MagFormat, Match, hookimpl, parse_options

FORMATS = {"zarr": "OME-Zarr, arrays of Zarr 2 and 3, N5 and neuroglancer's volumes: folders, .ozx, http, s3, gs"}
EXPORTS = {"ozx": "one zipped OME-Zarr image of a layer with its mags, .ozx"}


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim folders of arrays, zip files of Zarr, and URLs."""
    from .reading.detection import detect

    return detect(path, head)


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open what `wkconvert_detect` named `zarr`; None for other formats."""
    if format not in FORMATS:
        return None
    from .reading.opening import open_zarr

    return open_zarr(path, **parse_options(open_zarr, options))


@hookimpl
def wkconvert_create(format: str, path: Path, spec: DatasetSpec, options: Mapping[str, str]) -> DatasetSink | None:
    """Write the mags of one layer as a zipped OME-Zarr image; None for other formats."""
    if format not in EXPORTS:
        return None
    from .mags.zipped import dataset

    return dataset(path, spec, options)


@hookimpl
def wkconvert_mag_formats() -> Sequence[MagFormat]:
    """Zarr 3 and Zarr 2."""
    from .mags import FORMATS

    return FORMATS
