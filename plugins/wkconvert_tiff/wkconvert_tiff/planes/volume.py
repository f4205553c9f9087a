"""The volume in one TIFF file: which page holds which plane, by OME-XML, ImageJ, tifffile, or the order of pages."""

from __future__ import annotations

import json
import math
import operator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wkconvert_core import OptionError, UnsupportedSource
from wkconvert_core.toolkit.files import broken
from wkconvert_images.calibration import calibration_left_out, imagej, lut_colors, voxel_size
from wkconvert_images.ome import is_ome
from wkconvert_images.page import planes_of, read_page
from wkconvert_images.tags import Ifd, TiffFile

from ..detection import COMPANION
from .acquisition import counted_pages, lsm, metamorph_axis, micro_manager
from .axes import Axes, Choice, Numbers, by_hand, parse_planes, pick_series, several_series
from .ome_volume import companion_volume, ome_volume
from .pages import Opened, Volume, planes_at, walk
from .samples import samples_axis


def read_volume(path: str, choice: Choice) -> Volume:
    """The planes of one file, or of a set. Raises BrokenSource, UnsupportedSource, OptionError."""
    if path.lower().endswith(COMPANION):
        return companion_volume(path, choice)
    with TiffFile(path) as tiff:
        file = Opened(tiff, choice, *walk(tiff))
        if (count := planes_of(file.first)) > 1:
            volume = _metamorph(file, count)
        elif choice.planes is not None:
            axes, samples = _as_told(file, len(file.pages), file.first.number(277, 1))
            volume = _one_volume(file, planes_at(file, file.pages, axes, samples=samples))
        elif is_ome(file.description):
            volume = ome_volume(file)
        elif counted := micro_manager(file):
            volume = _one_volume(file, _counted(file, *counted))
        elif lines := imagej(file.description):
            volume = _imagej_volume(file, lines)
            volume = replace(volume, notes=(*volume.notes, *calibration_left_out(lines)))
        elif file.description.startswith("{") and '"shape"' in file.description:
            volume = _shaped_volume(file)
        elif header := lsm(file):
            planes = _counted(file, header.axes, "the header of Zeiss LSM", header.samples)
            volume = Volume((path,), planes, header.names, header.colors, voxel_size(file.first))
        elif counted := counted_pages(file):
            volume = _one_volume(file, _counted(file, *counted))
        else:
            volume = _pages(file)
        planes = volume.planes
        if volume.files[:1] == (path,):
            planes[(planes[..., 0] == 0) & (planes[..., 1] == file.first.offset), 1] = 0
        return volume


def _one_volume(file: Opened, planes: Numbers) -> Volume:
    return Volume((file.path,), planes, voxel_size=voxel_size(file.first), notes=file.notes)


def _as_told(file: Opened, count: int, samples: int = 1) -> tuple[Axes, int]:
    """The axes that `-o planes=` gives to `count` pages, and how many planes each page is: 1, or all its samples."""
    axes = parse_planes(file.choice.planes or "")
    apart = samples if axes.total == count * samples else 1
    if axes.total != count * apart:
        raise OptionError(
            f"-o planes={file.choice.planes} does not fit {file.path}",
            why=f"it counts {axes.total} planes, the file holds {count}",
            fix=f"give numbers that make {count} together",
        )
    return axes, apart


def _metamorph(file: Opened, count: int) -> Volume:
    """A MetaMorph stack: one page describes planes that lie one behind the other."""
    axes = metamorph_axis(file, count) if file.choice.planes is None else _as_told(file, count)[0]
    return _one_volume(file, planes_at(file, file.slices[:1], axes, step=_step(file, count)))


def _pages(file: Opened) -> Volume:
    """A file without a known description: every page except thumbnails is a slice."""
    links = file.pages
    apart = samples_axis(file.path, file.first, file.choice, [len(links)])
    if apart.letter and file.choice.axes is not None:
        axes = Axes("I" + apart.letter, [len(links), apart.count])
    else:
        axes = Axes("I", [len(links) * apart.count])
    return _one_volume(file, planes_at(file, links, axes, samples=apart.count))


_IMAGEJ_ORDERS = {"czt": "TZC", "ctz": "ZTC", "zct": "TCZ", "ztc": "CTZ", "tcz": "ZCT", "tzc": "CZT"}
"""The axes, the slowest first, by the `order` of a description, which gives the fastest first."""


_MOST_CHANNELS = 10
"""More channels of one slice are probably slices."""


def _imagej_volume(file: Opened, lines: dict[str, str]) -> Volume:
    """ImageJ's hyperstack: C is fastest, then Z, then T, unless an `order` is stated; one page may describe all."""
    keys = {"T": "frames", "Z": "slices", "C": "channels"}
    counts = {axis: max(1, _whole(lines.get(key, ""))) for axis, key in keys.items()}
    pick_series(file.path, file.choice.series or 0, ["the only one"])
    images, pages = _whole(lines.get("images", "")), len(file.slices)
    samples = file.first.number(277, 1)
    if counts["C"] == samples > 1 and pages == counts["T"] * counts["Z"]:
        counts["C"] = 1  # Bio-Formats counts the samples of RGB as channels
    if math.prod(counts.values()) == 1:
        if images <= 1 or images == pages:
            return _pages(file)
        counts["Z"] = images
    order = lines.get("order", "czt").strip().lower()
    if order not in _IMAGEJ_ORDERS:
        raise UnsupportedSource(
            f"{file.path} gives the order of its planes as {order!r}",
            why=f"known are {', '.join(_IMAGEJ_ORDERS)}",
            fix=by_hand(len(file.slices)),
        )
    letters = _IMAGEJ_ORDERS[order]
    if counts["C"] == images > _MOST_CHANNELS and file.choice.axes is None:
        raise UnsupportedSource(
            f"{file.path} holds {images} channels of one slice",
            why="ImageJ's description says so, but programs that do not know the axes call slices channels",
            fix="say -o axes=ZYX for slices, -o axes=CYX for channels",
        )
    planes = _counted(file, Axes(letters, [counts[axis] for axis in letters]), "ImageJ's description")
    colors = lut_colors(file.first) if len(planes) > 1 else ()
    return Volume((file.path,), planes, colors=colors, voxel_size=voxel_size(file.first))


def _counted(file: Opened, axes: Axes, who: str, samples: int = 1) -> Numbers:
    """The planes of a file whose description counts them, `samples` in each page.

    Raises BrokenSource, UnsupportedSource if the number of pages differs.
    """
    pages, count = len(file.slices), axes.total // samples
    if pages > count:
        raise UnsupportedSource(
            f"{file.path} holds more than it says",
            why=f"{who} counts {count} pictures, the file has {pages}",
            fix=by_hand(len(file.slices)),
        )
    if 1 < pages < count:
        raise broken(
            file.path,
            f"{who} counts {count} pictures, the file has {pages}",
            cut=True,
            fix=f"copy it again, or {by_hand(len(file.slices))}",
        )
    step = _step(file, count) if pages < count else 0
    return planes_at(file, file.slices, axes, samples=samples, step=step)


def _step(file: Opened, count: int) -> int:
    """Bytes from plane to plane if all are contiguous and only the first has a directory. Raises BrokenSource."""
    page, size = read_page(file.first), file.tiff.size
    otherwise = f"copy it again, or {by_hand(len(file.slices))}"
    starts, sizes = page.starts.astype(np.int64), page.counts.astype(np.int64)
    if page.coding.compression != 1 or (starts[1:] != (starts + sizes)[:-1]).any():
        raise broken(file.path, f"{count} pictures announced, 1 found", cut=True, fix=otherwise)
    step = int(sizes.sum())
    if (end := int(starts[0]) + count * step) > size:
        why = f"its {count} pictures reach to byte {end}, the file has {size} bytes"
        raise broken(file.path, why, cut=True, fix=otherwise)
    return step


class _Shape(NamedTuple):
    """The shape and axes that tifffile states of the pages from one on."""

    first: int
    """The number of that page."""
    axes: Axes
    samples: str | None
    """The letter of the axis along which the samples of a page lie; empty if unknown, None if nothing is stated."""
    page: str = "YX"
    """The axes of a page longer than 1, the slowest first, without that of its samples."""


def _shaped_volume(file: Opened) -> Volume:
    """A file by tifffile, whose description is JSON with the shape of a series of pages, or of each page."""
    groups, start, links = [], 0, file.slices
    while start < len(links):
        ifd = file.tiff.ifd(links[start].offset)
        groups.append(_shape(ifd, start))
        start += groups[-1].axes.total
    if all(group.axes.total == 1 for group in groups) and (len(groups) > 1 or groups[0].samples is None):
        return _pages(file)
    if len(groups) > 1 and file.choice.series is None:
        sizes = (" x ".join(map(str, group.axes.sizes)) or "1" for group in groups)
        raise several_series(file.path, ", ".join(f"{number}: {size} planes" for number, size in enumerate(sizes)))
    first, axes, stated, page = pick_series(file.path, file.choice.series or 0, groups)
    is_turned = set(page) <= set("XYZCT") and page not in ("YX", "Y", "X", "")
    if is_turned and file.choice.axes is None:
        raise UnsupportedSource(
            f"{file.path} says that its axes are {axes.letters}{page}",
            why=f"its pages would hold {' and '.join(page)}, and only pages of y and x are read",
            fix="say -o axes=ZYX if each page is a slice; else write it again with axes that end in YX",
        )
    ifd = file.tiff.ifd(links[first].offset)
    apart = samples_axis(file.path, ifd, file.choice, axes.sizes, stated)
    if apart.letter:
        axes = Axes(axes.letters + apart.letter, [*axes.sizes, apart.count])
    if len(groups) == 1:
        planes = _counted(file, axes, "its description", apart.count)
    else:
        pages = links[first : first + axes.total // apart.count]
        if len(pages) * apart.count < axes.total:
            why = f"series {file.choice.series} counts {axes.total // apart.count} pictures, {len(pages)} are there"
            raise broken(file.path, why, cut=True, fix=f"copy it again, or {by_hand(len(file.slices))}")
        planes = planes_at(file, pages, axes, samples=apart.count)
    return Volume((file.path,), planes, voxel_size=voxel_size(ifd), notes=apart.notes, guessed_color=bool(apart.notes))


def _shape(ifd: Ifd, first: int) -> _Shape:
    """The axes along which tifffile counts planes, from the page with number `first` on."""
    nothing = _Shape(first, Axes("", []), None)
    try:
        stated = json.loads(ifd.text(270) or "{}")
        shape = [operator.index(size) for size in stated.get("shape", ())]
        axes = str(stated.get("axes", "")).upper()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return nothing
    width, height, samples = ifd.number(256, 0), ifd.number(257, 0), ifd.number(277, 1)
    plane = width * height * samples
    # the last axes of the shape are those of a page: their product is its number of values
    lengths = list(shape)
    rest = 1
    while lengths and rest < plane:
        rest *= lengths.pop()
    if min(shape, default=0) < 1 or rest != plane:
        return nothing  # the page was cropped or edited later: it is one plane
    if len(axes) != len(shape):
        return _Shape(first, Axes("Q" * len(lengths), lengths), "")
    page = list(zip(axes, shape, strict=True))[len(lengths) :]
    if ifd.number(284, 1) != 2:
        page.reverse()  # the samples come last
    letter = next((letter for letter, size in page if size == samples), "S") if samples > 1 else ""
    sides = [axis for axis, size in zip(axes, shape, strict=True) if size > 1 and axis != letter][-2:]
    held = "".join(axis for axis in sides if axis in axes[len(lengths) :])
    return _Shape(first, Axes(axes[: len(lengths)], lengths), letter, held)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0
