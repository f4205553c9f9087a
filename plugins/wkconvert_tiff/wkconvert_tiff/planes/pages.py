"""The pages of an open TIFF file, and which of them make up a volume."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wkconvert_core import VoxelSize
from wkconvert_images.tags import Ifd, TiffFile, is_slice

from .axes import Axes, Choice, Numbers, pick, pick_series

RGB = tuple[int, int, int]
MISSING = (-1, 0, 0, 0)
"""A plane that no file holds."""


@dataclass(frozen=True)
class Volume:
    """The position of each plane of a volume."""

    files: tuple[str, ...]
    planes: Numbers
    """[channel, z, 4]: index of the file or -1, offset of the page's directory (0: the first), the bytes to add to the
    offsets of pixels that the directory states, and 0 for a whole page or n + 1 for its sample n alone."""
    names: tuple[str, ...] = ()
    """Names of the channels, if the file states them."""
    colors: tuple[RGB | None, ...] = ()
    voxel_size: VoxelSize | None = None
    notes: tuple[str, ...] = ()
    guessed_color: bool = False
    """Whether only its writer's guess makes colours of it; `notes` say so."""
    members: frozenset[str] = frozenset()
    """Every file of the set to which the file belongs, also those of other images; empty if it belongs to none."""
    stage: str = ""
    """Where the stage stood, as `VolumeInfo.stage` has it."""


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
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Read the description, which says how the pages form a volume."""
        told = self.choice.plain or self.choice.planes is not None
        self.description = "" if told else self.first.text(270)

    @property
    def slices(self) -> list[Link]:
        """The pages that are not thumbnails or masks; all, if there are only such."""
        return [link for link in self.links if link.is_slice] or self.links

    @property
    def pages(self) -> list[Link]:
        """The slices of the size that `-o series=` chooses; all without it. Raises OptionError."""
        if self.choice.series is None:
            return self.slices
        kinds = list(dict.fromkeys(link.size for link in self.slices))
        kind = pick_series(self.path, self.choice.series, kinds)
        return [link for link in self.slices if link.size == kind]

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


def planes_at(file: Opened, links: list[Link], axes: Axes, *, samples: int = 1, step: int = 0) -> Numbers:
    """`Volume.planes` of one file, counted along `axes`.

    Each page of `links` is as many planes as `samples` says; `step` is the number of bytes from page to page where only
    the first has a directory. Raises UnsupportedSource, OptionError.
    """
    page = pick(file.path, file.choice, *axes)
    planes = np.zeros((*page.shape, 4), np.int64)
    if samples > 1:
        page, planes[..., 3] = page // samples, page % samples + 1
    if step:
        planes[..., 1], planes[..., 2] = file.first.offset, page * step
    else:
        planes[..., 1] = np.array([link.offset for link in links], np.int64)[page]
    return planes
