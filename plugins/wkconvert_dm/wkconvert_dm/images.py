"""The images of a DM file, as its tag tree describes them, without the thumbnail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wkconvert_core.toolkit.files import broken

from .kinds import KINDS, size_of
from .tags import Span, Tags, read_tags

_LONGEST_NAME = 60
_MOST_AXES = 16


@dataclass(frozen=True, slots=True)
class Scale:
    """The calibration of one axis."""

    size: float
    """Of a voxel, in `unit`."""
    unit: str
    """As the file spells it; empty if there is none."""


@dataclass(frozen=True, slots=True)
class Image:
    """One data set of a file."""

    name: str
    size: tuple[int, ...]
    """Along x, y, z and so on; x is fastest in the file."""
    kind: int
    """DigitalMicrograph's number of the data type."""
    order: str
    """Byte order of its values, as numpy writes it."""
    offset: int
    """Where its values start in the file."""
    scales: tuple[Scale | None, ...]
    """Of x, y, z and so on; None if the file gives none."""
    spectral: bool
    """Whether one axis is of energies or wavelengths."""
    stage: str = ""
    """Where the stage stood, as `VolumeInfo.stage` has it."""

    def __str__(self) -> str:
        """`'STEM', 512 x 512, uint16`."""
        kind = KINDS[self.kind].name if self.kind in KINDS else f"data type {self.kind}"
        return ", ".join([*([repr(self.name)] if self.name else []), times(self.size), kind])


def read_images(path: str) -> tuple[Image, ...]:
    """The images of a file in their order, without thumbnails. Raises SourceNotFound, BrokenSource."""
    tags = read_tags(path)
    thumbnails = {
        str(value) for key, value in tags.values.items() if key[0] == "Thumbnails" and key[-1] == "ImageIndex"
    }
    places = dict.fromkeys(key[1] for key in tags.values if key[0] == "ImageList" and key[2:3] == ("ImageData",))
    return tuple(_image(path, tags, place) for place in places if place not in thumbnails)


def _image(path: str, tags: Tags, place: str) -> Image:
    image, data = ("ImageList", place), ("ImageList", place, "ImageData")
    kind = tags.number((*data, "DataType"))
    span = tags.values.get((*data, "Data"))
    size = _size(tags, (*data, "Dimensions"))
    if not isinstance(kind, int) or not isinstance(span, Span) or not size:
        raise broken(path, f"image {place} lacks its data type, its values or its size")
    if min(size) < 1:
        raise broken(path, f"image {place} is {times(size)} in size")
    expected = math.prod(size) * size_of(kind)
    if kind in KINDS and span.size != expected:
        raise broken(
            path, f"image {place}, {times(size)} of {KINDS[kind].name}, takes {expected} bytes; {span.size} are there"
        )
    scales: list[Scale | None] = []
    for axis in range(len(size)):
        path_to = (*data, "Calibrations", "Dimension", str(axis))
        length, unit = tags.number((*path_to, "Scale")), tags.text((*path_to, "Units")).strip()[:_LONGEST_NAME]
        scales.append(None if length is None else Scale(float(length), unit))
    form = tags.text((*image, "ImageTags", "Meta Data", "Format"))
    name = tags.text((*image, "Name"))[:_LONGEST_NAME]
    at = (*image, "ImageTags", "Microscope Info", "Stage Position")
    places = [(axis, tags.number((*at, f"Stage {axis.upper()}"))) for axis in "xyz"]
    stage = ", ".join(f"{axis} {place:.6g} µm" for axis, place in places if place is not None)
    is_spectral = form.startswith("Spectrum")
    return Image(name, size, kind, tags.order, span.offset, tuple(scales), spectral=is_spectral, stage=stage)


def _size(tags: Tags, path: tuple[str, ...]) -> tuple[int, ...]:
    """The extents, x first, without trailing extents of 1 from the third on."""
    found: list[int] = []
    while len(found) < _MOST_AXES and isinstance(extent := tags.number((*path, str(len(found)))), int):
        found.append(extent)
    while len(found) > 2 and found[-1] == 1:
        found.pop()
    return tuple(found)


def times(size: Sequence[int]) -> str:
    """A size as text: `512 x 512 x 30`."""
    return " x ".join(map(str, size))
