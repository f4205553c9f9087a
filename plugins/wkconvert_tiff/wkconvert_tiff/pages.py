"""The pages of an open TIFF file, and which of them make up a volume."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wkconvert_core import VoxelSize
from wkconvert_images.page import is_slice
from wkconvert_images.tags import Ifd, TiffFile

from .axes import Choice, Numbers

RGB = tuple[int, int, int]
MISSING = (-1, 0, 0)
"""A plane that no file holds."""


@dataclass(frozen=True)
class Volume:
    """The position of each plane of a volume."""

    files: tuple[str, ...]
    planes: Numbers
    """[channel, z, 3]: index of the file or -1, offset of the page's directory (0: the first), and the bytes to add to
    the offsets of pixels that the directory states."""
    names: tuple[str, ...] = ()
    """Names of the channels, if the file states them."""
    colors: tuple[RGB | None, ...] = ()
    voxel_size: VoxelSize | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """A page in the chain of a file, with the facts that decide whether it is a slice."""

    offset: int
    is_slice: bool
    size: tuple[int, ...]
    """Width, height, samples, bits."""


@dataclass
class Opened:
    """A file whose chain of pages has been walked."""

    tiff: TiffFile
    choice: Choice
    first: Ifd
    links: list[Link]
    description: str = field(init=False)

    def __post_init__(self) -> None:
        """Read the description, which says how the pages form a volume."""
        self.description = "" if self.choice.plain else self.first.text(270)

    @property
    def slices(self) -> list[Link]:
        """The pages that are not thumbnails or masks; all, if there are only such."""
        return [link for link in self.links if link.is_slice] or self.links

    @property
    def path(self) -> str:
        """The file."""
        return self.tiff.path


def walk(tiff: TiffFile) -> tuple[Ifd, list[Link]]:
    """The first page and the chain of all pages. Raises BrokenSource if it breaks off."""
    first, links = None, []
    for ifd in tiff.chain():
        first = first or ifd
        size = (ifd.number(256, 0), ifd.number(257, 0), ifd.number(277, 1), *ifd.numbers(258, (1,))[:1])
        links.append(Link(ifd.offset, is_slice(ifd), size))
    assert first is not None  # chain() raises for an empty one
    return first, links


def planes_at(offsets: list[int], numbers: Numbers) -> Numbers:
    """`Volume.planes` of one file: plane `numbers[channel, z]` is the page at that index of `offsets`."""
    planes = np.zeros((*numbers.shape, 3), np.int64)
    planes[..., 1] = np.array(offsets, np.int64)[numbers]
    return planes
