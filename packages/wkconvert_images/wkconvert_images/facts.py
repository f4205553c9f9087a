"""The facts of one picture that are known before it is decoded, and how its pixels are read."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from wkconvert_core import VoxelSize, WarningNote

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Kind = Literal["color", "palette", "grey palette", "samples"]
"""Red, green and blue; a palette with colours; a palette of greys only; samples that are no colour."""

MOST_PER_BYTE = 10_000
"""A file that claims more decoded bytes than that for each stored byte is damaged or a decompression bomb; the best
ratios of ordinary codecs are around 1,000."""


_OPTIONS = {
    "white is 0 in the file: inverted": "-o white=keep keeps the numbers",
    "palette applied": "-o palette=indices takes its numbers",
    "palette not applied": "-o palette=colors takes its colours",
}
SAMPLES_NOTES = ("alpha", "samples")
"""How notes begin that concern a picture's samples together."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts in a picture's header."""

    width: int
    """In pixels, as stored: before the orientation is applied."""
    height: int
    orientation: int
    """As TIFF and EXIF count: 1 is upright; 5 to 8 also swap x and y."""
    dtype: np.dtype[Any]
    """Of the samples as `Raster.fill` returns them."""
    kind: Kind
    kept: tuple[int, ...]
    """Indices of the samples that are not alpha; (0, 1, 2) for every palette that is applied."""
    chunk: tuple[int, int]
    """Width and height, as stored, of the piece that one decode yields."""
    declared: int
    """Bytes of the decoded picture, including what tiles hold beyond its right and lower edge."""
    notes: tuple[str, ...] = ()
    """Changes that reading makes, and parts that it leaves out."""
    coding: Hashable = None
    """Equal for pictures that the same decoder reads; None if no decoder is needed."""
    voxel_size: VoxelSize | None = None
    """Along the stored axes."""
    lossy: str = ""
    """The coding's name, such as `JPEG`, where numbers are only about those that were saved; else empty."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture, upright."""
        return (self.height, self.width) if self.orientation > 4 else (self.width, self.height)

    def of_one_sample(self, samples: int) -> Facts:
        """The facts of one of so many samples, each taken as a picture of its own: it is neither colour nor alpha."""
        notes = tuple(note for note in self.notes if not note.startswith(SAMPLES_NOTES))
        return replace(self, kind="samples", kept=(0,), declared=self.declared // samples, notes=notes)


class Raster(Protocol):
    """A picture whose header was read and checked; several threads may read it at a time."""

    @property
    def facts(self) -> Facts:
        """Size, dtype and samples, from the header."""
        ...

    @property
    def several(self) -> bool:
        """Whether further pictures follow in the file."""
        ...

    @property
    def weight(self) -> int:
        """Approximate memory of this object, in bytes."""
        ...

    def fill(self, out: Array, row: int, column: int, samples: tuple[int, ...], shift: int = 0) -> None:
        """Fill `out[y, x, sample]` with the stored pixels from (row, column) on.

        `out` has the dtype of `facts` and any strides. `shift` (bytes) is added to the offsets that a TIFF states, for
        files that describe only the first of several slices. Damaged data may raise any exception: call it
        within `reading(path, Exception)` of the toolkit.
        """
        ...


def chosen(pixels: Array, samples: tuple[int, ...]) -> Array:
    """The given samples of `pixels[y, x, sample]`; a view if these are all of them.

    >>> chosen(np.array([[[10, 20, 30]]]), (0, 2)).tolist()
    [[[10, 30]]]
    """
    return pixels if samples == tuple(range(pixels.shape[-1])) else pixels[..., list(samples)]


def lossy_labels(codings: Iterable[str]) -> list[WarningNote]:
    """The note on labels in pictures that are `lossy`, by the codings of all pictures; none where all are empty.

    >>> lossy_labels(["", "JPEG"])[0][:48]
    'the pictures are JPEG, which changes numbers: wh'
    """
    return [
        WarningNote(
            f"the pictures are {coding}, which {'may change' if coding == 'AVIF' else 'changes'} numbers: "
            "where they were labels, ids are false along every border"
        )
        for coding in sorted({*codings} - {""})
    ]


def with_option(note: str) -> str:
    """A note on a picture, with the reader's option that decides otherwise if there is one.

    >>> with_option("palette applied"), with_option("alpha dropped")
    ('palette applied (-o palette=indices takes its numbers)', 'alpha dropped')
    """
    return type(note)(f"{note} ({_OPTIONS[note]})") if note in _OPTIONS else note


def palette_kind(palette: Array) -> Kind:
    """`grey palette` if red, green and blue are equal in each row of `palette[index, 3]`, else `palette`.

    >>> palette_kind(np.array([[0, 0, 0], [9, 9, 9]]))
    'grey palette'
    """
    return "grey palette" if (palette == palette[:, :1]).all() else "palette"
