"""The volume in one TIFF file: which page holds which plane, by OME-XML, ImageJ, tifffile, or the order of pages."""

from __future__ import annotations

import json
import math
import struct

import numpy as np

from wkconvert_core import UnsupportedSource
from wkconvert_core.toolkit.files import broken
from wkconvert_images.calibration import imagej, lut_colors, voxel_size
from wkconvert_images.ome import is_ome
from wkconvert_images.page import read_page
from wkconvert_images.tags import Ifd, TiffFile

from .axes import Choice, Numbers, pick, pick_series, several_series
from .ome_volume import ome_volume
from .pages import Opened, Volume, planes_at, walk


def read_volume(path: str, choice: Choice) -> Volume:
    """The planes of one file. Raises BrokenSource, UnsupportedSource, OptionError."""
    with TiffFile(path) as tiff:
        file = Opened(tiff, choice, *walk(tiff))
        if is_ome(file.description):
            volume = ome_volume(file)
        elif lines := imagej(file.description):
            volume = _imagej_volume(file, lines)
        elif file.description.startswith('{"shape"'):
            volume = _shaped_volume(file)
        else:
            _refuse_time_of_lsm(file)
            volume = _pages(file)
        planes = volume.planes
        planes[(planes[..., 0] == 0) & (planes[..., 1] == file.first.offset), 1] = 0
        return volume


def _pages(file: Opened) -> Volume:
    """A file without a known description: every page except thumbnails is a slice."""
    links = file.slices
    if file.choice.series is not None:
        kinds = list(dict.fromkeys(link.size for link in links))
        kind = pick_series(file.path, file.choice.series, kinds)
        links = [link for link in links if link.size == kind]
    numbers = pick(file.path, file.choice, "I", [len(links)])
    return Volume((file.path,), planes_at([link.offset for link in links], numbers), voxel_size=voxel_size(file.first))


def _imagej_volume(file: Opened, lines: dict[str, str]) -> Volume:
    """ImageJ's hyperstack: C is fastest, then Z, then T; one page may describe all planes if they are contiguous."""
    counts = [max(1, _whole(lines.get(key, ""))) for key in ("frames", "slices", "channels")]
    pick_series(file.path, file.choice.series or 0, ["the only one"])
    images, pages = _whole(lines.get("images", "")), len(file.slices)
    samples = file.first.number(277, 1)
    if counts[2] == samples > 1 and pages == counts[0] * counts[1]:
        counts[2] = 1  # Bio-Formats counts the samples of RGB as channels
    if math.prod(counts) == 1:
        if images <= 1 or images == pages:
            return _pages(file)
        counts[1] = images
    planes = _counted(file, "TZC", counts, "ImageJ's description")
    colors = lut_colors(file.first) if len(planes) > 1 else ()
    return Volume((file.path,), planes, colors=colors, voxel_size=voxel_size(file.first))


def _counted(file: Opened, axes: str, sizes: list[int], who: str) -> Numbers:
    """The planes of a file whose description counts them. Raises BrokenSource if the number of pages differs."""
    pages, count = len(file.slices), math.prod(sizes)
    if pages > count:
        raise UnsupportedSource(
            f"{file.path} holds more than it says",
            why=f"{who} counts {count} pictures, the file has {pages}",
            fix="take every page as a slice with -o plain=true",
        )
    if 1 < pages < count:
        raise broken(file.path, f"{who} counts {count} pictures, the file has {pages}", cut=True)
    step = _step(file, count) if pages < count else 0
    numbers = pick(file.path, file.choice, axes, sizes)
    if not step:
        return planes_at([link.offset for link in file.slices], numbers)
    planes = np.zeros((*numbers.shape, 3), np.int64)
    planes[..., 1], planes[..., 2] = file.first.offset, numbers * step
    return planes


def _step(file: Opened, count: int) -> int:
    """Bytes from plane to plane if all are contiguous and only the first has a directory. Raises BrokenSource."""
    page, size = read_page(file.first), file.tiff.size
    starts, sizes = page.starts.astype(np.int64), page.counts.astype(np.int64)
    if page.coding.compression != 1 or (starts[1:] != (starts + sizes)[:-1]).any():
        raise broken(file.path, f"{count} pictures announced, 1 found", cut=True)
    step = int(sizes.sum())
    if (end := int(starts[0]) + count * step) > size:
        raise broken(file.path, f"its {count} pictures reach to byte {end}, the file has {size} bytes", cut=True)
    return step


def _shaped_volume(file: Opened) -> Volume:
    """A file by tifffile, whose description is JSON with the shape of a series of pages, or of each page."""
    groups, start, links = [], 0, file.slices
    while start < len(links):
        ifd = file.tiff.ifd(links[start].offset)
        axes, sizes = _leading(ifd)
        groups.append((start, axes, sizes))
        start += math.prod(sizes)
    if all(math.prod(sizes) == 1 for _, _, sizes in groups):
        return _pages(file)
    if len(groups) > 1 and file.choice.series is None:
        listed = ", ".join(f"{n}: {' x '.join(map(str, sizes)) or 1} planes" for n, (_, _, sizes) in enumerate(groups))
        raise several_series(file.path, listed)
    first, axes, sizes = pick_series(file.path, file.choice.series or 0, groups)
    if len(groups) == 1:
        planes = _counted(file, axes, sizes, "its description")
    else:
        offsets = [link.offset for link in links[first : first + math.prod(sizes)]]
        planes = planes_at(offsets, pick(file.path, file.choice, axes, sizes))
    return Volume((file.path,), planes, voxel_size=voxel_size(file.tiff.ifd(links[first].offset)))


def _leading(ifd: Ifd) -> tuple[str, list[int]]:
    """The axes along which tifffile counts planes, and their lengths."""
    try:
        stated = json.loads(ifd.text(270) or "{}")
        shape = [int(size) for size in stated.get("shape", ())]
        axes = str(stated.get("axes", ""))
    except (ValueError, TypeError, AttributeError):
        return "", []
    width, height, samples = ifd.number(256, 0), ifd.number(257, 0), ifd.number(277, 1)
    plane = width * height * samples
    # the last axes of the shape are those of a page: their product is its number of values
    lengths = list(shape)
    rest = 1
    while lengths and rest < plane:
        rest *= lengths.pop()
    if min(shape, default=0) < 1 or rest != plane:
        return "", []  # the page was cropped or edited later: it is one plane
    letters = axes if len(axes) == len(shape) else "Q" * len(shape)
    return letters[: len(lengths)], lengths


def _refuse_time_of_lsm(file: Opened) -> None:
    """Raise UnsupportedSource for a Zeiss LSM with several time points, which a tag of its own states."""
    if 34412 not in file.first or file.choice.plain:
        return
    header = file.first.raw(34412)[:28]
    times = struct.unpack(file.tiff.order + "i", header[24:28])[0] if len(header) == 28 else 1
    if times > 1:
        raise UnsupportedSource(
            f"{file.path} holds {times} time points of a Zeiss LSM",
            why="the order of its pages is not supported",
            fix="save it as OME-TIFF",
        )


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
