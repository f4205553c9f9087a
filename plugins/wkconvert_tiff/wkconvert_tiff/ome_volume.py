"""The volume in an OME-TIFF, which may span several files of one folder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from wkconvert_core import UnsupportedSource
from wkconvert_core.toolkit.files import broken
from wkconvert_images.calibration import voxel_size
from wkconvert_images.ome import OmeImage, OmePlanes, read_ome
from wkconvert_images.tags import TiffFile

from .axes import Numbers, pick, pick_series, several_series
from .pages import MISSING, Opened, Volume, walk


def ome_volume(file: Opened) -> Volume:
    """The planes of an OME-TIFF. Raises BrokenSource, UnsupportedSource, OptionError."""
    image, number = _image(file)
    samples = max([channel.samples for channel in image.channels], default=1)
    count = max(image.sizes["C"] // max(samples, 1), 1)
    axes = image.order[:1:-1]
    sizes = [count if axis == "C" else image.sizes[axis] for axis in axes]
    offsets, absent = _chains(file, image)
    total, found = math.prod(sizes), sum(map(len, offsets.values()))
    if total > 1000 * (found + 1):
        raise broken(file.path, f"its OME-XML counts {total} planes, {found} pages were found", cut=True)
    stored = _stored(file, image, axes, sizes, offsets)
    planes = stored[pick(file.path, file.choice, axes, sizes)]
    channels = image.channels[: len(planes)]
    return Volume(
        files=tuple(offsets),
        planes=planes,
        names=tuple(channel.name for channel in channels),
        colors=tuple(channel.color for channel in channels),
        voxel_size=voxel_size(file.first, number),
        notes=(f"files that its OME-XML names are missing: {', '.join(sorted(absent))}",) if absent else (),
    )


def _image(file: Opened) -> tuple[OmeImage, int]:
    """The chosen image, and its index."""
    try:
        images = read_ome(file.description)
    except ValueError as error:
        raise UnsupportedSource(
            f"{file.path} cannot be understood", why=str(error), fix="take every page as a slice with -o plain=true"
        ) from error
    if not images:
        raise broken(file.path, "its OME-XML describes no image")
    if len(images) > 1 and file.choice.series is None:
        extents = (" x ".join(str(image.sizes[axis]) for axis in "XYZ") for image in images)
        named = [f"{n}: {images[n].name or 'unnamed'}, {extent}" for n, extent in enumerate(extents)]
        raise several_series(file.path, "; ".join(named[:20]))
    number = file.choice.series or 0
    image: OmeImage = pick_series(file.path, number, images)
    return image, number


def _chains(file: Opened, image: OmeImage) -> tuple[dict[str, list[int]], set[str]]:
    """The page offsets of each file of the image, this file first, and the names of missing files."""
    offsets = {file.path: [link.offset for link in file.links]}
    absent: set[str] = set()
    for planes in image.planes:
        path = _path(file, image, planes)
        if path in offsets or path in absent:
            continue
        if not Path(path).is_file():
            absent.add(path)
            continue
        with TiffFile(path) as other:
            offsets[path] = [link.offset for link in walk(other)[1]]
    return offsets, absent


def _path(file: Opened, image: OmeImage, planes: OmePlanes) -> str:
    """The file that holds these planes. Raises UnsupportedSource for one in another folder."""
    if planes.file is None or (planes.uuid is not None and planes.uuid == image.uuid):
        return file.path
    here = Path(file.path)
    if len({each.file for each in image.planes}) == 1:
        return file.path  # it has been renamed
    if Path(planes.file).name != planes.file or "\\" in planes.file:
        raise UnsupportedSource(
            f"{file.path} refers to {planes.file!r}",
            why="only files in the same folder are read",
            fix="put the files of the set into one folder",
        )
    return str(here.with_name(planes.file))


def _stored(file: Opened, image: OmeImage, axes: str, sizes: list[int], offsets: dict[str, list[int]]) -> Numbers:
    """Every plane of the image [plane, 3], in the order of its axes."""
    total = math.prod(sizes)
    stored = np.full((total, 3), MISSING, np.int64)
    numbers = {path: number for number, path in enumerate(offsets)}
    for planes in image.planes or [OmePlanes(dict.fromkeys("CZT", 0), 0, None, None, None)]:
        path = _path(file, image, planes)
        if path not in offsets:
            continue
        start = 0
        for axis, size in zip(axes, sizes, strict=True):
            start = start * size + min(max(planes.first[axis], 0), size)
        pages = offsets[path][max(planes.ifd, 0) :]
        count = len(pages) if planes.count is None else planes.count
        here = pages[: min(count, max(total - start, 0))]
        stored[start : start + len(here), 0] = numbers[path]
        stored[start : start + len(here), 1] = here
    return stored
