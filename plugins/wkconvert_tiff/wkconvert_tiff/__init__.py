"""Stacks of TIFF, PNG, JPG and other pictures: the three hooks. Importing this imports no format library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import DatasetSink, DatasetSpec, Layer, Match, hookimpl, parse_options

FORMATS = {
    "tiff": "TIFF files (also BigTIFF, OME-TIFF, ImageJ's), and folders of them",
    "pictures": "PNG, JPEG, JPEG 2000, WebP, AVIF, JPEG XL, PNM, BMP and GIF files, and folders of them",
}
WRITERS = {"tiff": "a TIFF file per slice, or a tree of tiles"}
EXPORTS = {**WRITERS, "ome-tiff": "one OME-TIFF file of a layer, .ome.tif"}


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim TIFF, PNG, JPEG and other pictures, and folders with such files in them."""
    if isinstance(path, str):
        return None
    from .detection import detect

    return detect(path, head)


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open what `wkconvert_detect` named `tiff` or `pictures`; None for other formats."""
    if format not in FORMATS or isinstance(path, str):
        return None
    from .opening import open_pictures, open_tiff

    if format == "tiff":
        return open_tiff(path, **parse_options(open_tiff, options))
    return open_pictures(path, **parse_options(open_pictures, options))


@hookimpl
def wkconvert_create(format: str, path: Path, spec: DatasetSpec, options: Mapping[str, str]) -> DatasetSink | None:
    """Write one mag of one layer as TIFF files, or as one OME-TIFF file; None for other formats."""
    if format not in EXPORTS:
        return None
    from . import ome_writing, writing

    dataset = writing.dataset if format == "tiff" else ome_writing.dataset
    return dataset(path, spec, **parse_options(dataset, options, shown="--to-option {}={}".format))
