"""The volume in an OME-TIFF, which may span several files of one folder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from wkconvert_core import UnsupportedSource, WarningNote
from wkconvert_core.toolkit.files import broken, cannot_open, is_file
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_images.calibration import ome_voxel_size
from wkconvert_images.ome import ElsewhereError, OmeImage, OmePlanes, own_uuid, read_ome
from wkconvert_images.page import read_page
from wkconvert_images.tags import TiffFile

from .axes import PLAIN_HELP, Choice, Numbers, by_hand, pick, pick_series, several_series
from .pages import MISSING, Opened, Volume, walk

_MOST_XML = 1 << 28
_UUID_BY = 2048
"""Bytes of OME-XML in which the UUID of its file comes, if it does."""
_MOST_TOLD = 100
"""Most images that a message lists."""


@dataclass(frozen=True)
class OmeSet:
    """OME-XML, and the files that it is about."""

    path: str
    """The file that the user named, or the first that was found."""
    home: str | None
    """The TIFF file that holds the XML; None for a companion."""
    images: list[OmeImage]

    def file_of(self, image: OmeImage, planes: OmePlanes) -> str:
        """The file that holds these planes. Raises UnsupportedSource for one in another folder, BrokenSource."""
        own = planes.file is None or (planes.uuid is not None and planes.uuid == image.uuid)
        if self.home is not None and (own or self._names_one_file):
            return self.home  # it may have been renamed
        name = planes.file or ""
        if not name:
            raise broken(self.path, "its OME-XML does not name the file of its planes")
        if Path(name).name != name or name == ".." or "\\" in name:
            raise UnsupportedSource(
                f"{self.path} refers to {name!r}",
                why="only files in the same folder are read",
                fix="put the files of the set into one folder",
            )
        return str(Path(self.path).with_name(name))

    @cached_property
    def _names_one_file(self) -> bool:
        return len({planes.file for image in self.images for planes in image.planes}) == 1

    @cached_property
    def members(self) -> frozenset[str]:
        """Every file that the XML names."""
        return frozenset(self.file_of(image, planes) for image in self.images for planes in image.planes)


def companion_volume(path: str, choice: Choice) -> Volume:
    """The planes of the TIFF files that a companion describes. Raises BrokenSource, UnsupportedSource, OptionError."""
    ome = OmeSet(path, None, _images(path, _text(path)))
    members = sorted(ome.members)
    if not (there := [member for member in members if is_file(member)]):
        raise UnsupportedSource(
            f"{path} describes TIFF files that are not there: {shorten([Path(member).name for member in members])}",
            fix="put it into the folder of these files",
        )
    with TiffFile(there[0]) as tiff:
        return _volume(Opened(tiff, choice, *walk(tiff)), ome)


def ome_volume(file: Opened) -> Volume:
    """The planes of an OME-TIFF. Raises BrokenSource, UnsupportedSource, OptionError."""
    home: str | None = file.path
    text = file.description
    try:
        read_ome(text)
    except ElsewhereError as elsewhere:
        home, text = _elsewhere(file.path, elsewhere.file)
    except ValueError:
        pass  # said where the images are needed
    return _volume(file, OmeSet(file.path, home, _images(file.path, text)))


def _elsewhere(path: str, name: str) -> tuple[str | None, str]:
    """The TIFF file with the OME-XML to which a file refers, or None for a companion, and the XML."""
    other = Path(path).with_name(Path(name).name or "?")
    if other.name != name or not is_file(other):
        raise UnsupportedSource(
            f"{path} is one of a set, whose OME-XML is in {name!r}",
            why="that file is not there" if other.name == name else "only files in the same folder are read",
            fix=f"put it beside the others; or {PLAIN_HELP}",
        )
    if name.lower().endswith((".ome", ".xml")):
        return None, _text(str(other))
    with TiffFile(str(other)) as tiff:
        return str(other), tiff.ifd(tiff.first).text(270)


def _text(path: str) -> str:
    """The XML in a file. Raises BrokenSource, SourceNotFound."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_XML + 1)
        if len(content) > _MOST_XML:
            raise broken(path, f"it has more than {_MOST_XML} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise cannot_open(path, error) from error
    except UnicodeDecodeError as error:
        raise broken(path, f"it is no text in UTF-8: {error}") from error


def _images(path: str, text: str) -> list[OmeImage]:
    """The images that OME-XML describes. Raises UnsupportedSource, BrokenSource."""
    try:
        images = read_ome(text)
    except ValueError as error:
        raise UnsupportedSource(f"{path} cannot be understood", why=str(error), fix=PLAIN_HELP) from error
    if not images:
        raise broken(path, "its OME-XML describes no image")
    return images


def _volume(file: Opened, ome: OmeSet) -> Volume:
    """The planes of one image of a set; `file` is one of its files, and open."""
    image = _chosen(file, ome.images)
    samples = max([channel.samples for channel in image.channels], default=1)
    count = max(image.sizes["C"] // max(samples, 1), 1)
    axes = image.order[:1:-1]
    sizes = [count if axis == "C" else image.sizes[axis] for axis in axes]
    offsets, absent = _chains(file, ome, image)
    total, found = math.prod(sizes), sum(map(len, offsets.values()))
    if total > 1000 * (found + 1):
        raise broken(file.path, f"its OME-XML counts {total} planes, {found} pages were found", cut=True)
    _check_all_announced(file, ome)
    stored = _stored(ome, image, axes, sizes, offsets)
    planes = stored[pick(file.path, file.choice, axes, sizes)]
    channels = image.channels[: len(planes)]
    missing = f"files that its OME-XML names are missing: {shorten(sorted(absent))}"
    missing += f" (if the files were renamed, {PLAIN_HELP})"
    return Volume(
        files=tuple(offsets),
        planes=planes,
        names=tuple(channel.name for channel in channels),
        colors=tuple(channel.color for channel in channels),
        voxel_size=ome_voxel_size(image),
        notes=(*_unlike_pages(file, image), *[WarningNote(missing)] * bool(absent)),
        members=ome.members,
        stage=image.stage,
    )


def _unlike_pages(file: Opened, image: OmeImage) -> Iterator[WarningNote]:
    """The warning for pages that hold other numbers than the XML says."""
    stated = {"float": "float32", "double": "float64", "bit": "bool"}.get(image.type, image.type)
    coding = read_page(file.first).coding
    if stated and "complex" not in stated and coding.bits in (8, 16, 32, 64) and coding.dtype.name != stated:
        yield WarningNote(f"its OME-XML says {stated}, and the pages hold {coding.dtype.name}, which is taken")


def _chosen(file: Opened, images: list[OmeImage]) -> OmeImage:
    """The image that `-o series=` chooses. Raises UnsupportedSource, OptionError."""
    if len(images) > 1 and file.choice.series is None:
        told = [f"{number}: {_described(image)}" for number, image in enumerate(images[:_MOST_TOLD])]
        more = f"; {len(images) - _MOST_TOLD} more" if len(images) > _MOST_TOLD else ""
        raise several_series(file.path, "; ".join(told) + more)
    image: OmeImage = pick_series(file.path, file.choice.series or 0, images)
    return image


def _check_all_announced(file: Opened, ome: OmeSet) -> None:
    """Raise UnsupportedSource for a file with slices that none of the images counts: nothing says what they are."""
    announced: set[int] = set()
    for image in ome.images:
        samples = max([channel.samples for channel in image.channels], default=1)
        total = image.sizes["Z"] * image.sizes["T"] * max(image.sizes["C"] // max(samples, 1), 1)
        for planes in image.planes or [_WHOLE]:
            if ome.file_of(image, planes) == file.path:
                count = total if planes.count is None else min(planes.count, total)
                announced.update(link.offset for link in file.links[max(planes.ifd, 0) :][: max(count, 0)])
    if over := [link for link in file.slices if link.offset not in announced]:
        raise UnsupportedSource(
            f"{file.path} holds more than it says",
            why=f"its OME-XML counts {len(file.slices) - len(over)} pictures, the file has {len(file.slices)}",
            fix=by_hand(len(file.slices)),
        )


def _described(image: OmeImage) -> str:
    """`A1, nuclei, 512 x 512 x 20, 2 channels`."""
    several = {noun: image.sizes[axis] for axis, noun in (("C", "channels"), ("T", "time points"))}
    counts = [f"{count} {noun}" for noun, count in several.items() if count > 1]
    named = [part for part in (image.well, image.name or "unnamed") if part]
    return ", ".join([*named, " x ".join(str(image.sizes[axis]) for axis in "XYZ"), *counts])


def _chains(file: Opened, ome: OmeSet, image: OmeImage) -> tuple[dict[str, list[int]], set[str]]:
    """The page offsets of each file of the image, and the names of missing files. Raises UnsupportedSource."""
    paths = {ome.file_of(image, planes): planes.uuid for planes in image.planes or [_WHOLE]}
    offsets: dict[str, list[int]] = {}
    absent: set[str] = set()
    for path in sorted(paths, key=file.path.__ne__):
        if path == file.path:
            offsets[path] = [link.offset for link in file.links]
        elif is_file(path):
            with TiffFile(path) as other:
                _check_not_exchanged(ome, other, paths)
                offsets[path] = [link.offset for link in walk(other)[1]]
        else:
            absent.add(path)
    return offsets, {Path(path).name for path in absent}


def _check_not_exchanged(ome: OmeSet, other: TiffFile, uuids: Mapping[str, str | None]) -> None:
    """Raise UnsupportedSource if a file is, by the UUID in its own XML, another of the set than its name says."""
    uuid = own_uuid(other.ifd(other.first).text(270, _UUID_BY))
    if uuid and uuid != uuids[other.path] and uuid in uuids.values():
        name = next(Path(path).name for path, known in uuids.items() if known == uuid)
        raise UnsupportedSource(
            f"{other.path} was renamed: by its UUID, it is {name}",
            why=f"the OME-XML in {ome.path} says so, and finds the planes of the set by the names of the files",
            fix=f"give the files the names that they had; or {PLAIN_HELP}",
        )


_WHOLE = OmePlanes(dict.fromkeys("CZT", 0), 0, None, None, None)
"""All pages of the file, for XML that says nothing of them."""


def _stored(ome: OmeSet, image: OmeImage, axes: str, sizes: list[int], offsets: dict[str, list[int]]) -> Numbers:
    """Every plane of the image [plane, 4], in the order of its axes."""
    total = math.prod(sizes)
    stored = np.full((total, len(MISSING)), MISSING, np.int64)
    numbers = {path: number for number, path in enumerate(offsets)}
    for planes in image.planes or [_WHOLE]:
        path = ome.file_of(image, planes)
        if path not in offsets:
            continue
        start = 0
        for axis, size in zip(axes, sizes, strict=True):
            start = start * size + min(max(planes.first[axis], 0), size)
        pages = offsets[path][max(planes.ifd, 0) :]
        count = len(pages) if planes.count is None else planes.count
        here = pages[: max(min(count, total - start), 0)]
        stored[start : start + len(here), 0] = numbers[path]
        stored[start : start + len(here), 1] = here
    return stored
