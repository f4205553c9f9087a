"""The common ground of the headers of NRRD, MetaImage and GIPL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from wkconvert_core import BrokenSource, UnsupportedSource
from wkconvert_core.toolkit.files import broken, is_file
from wkconvert_core.toolkit.volumes.inflated import Packing

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
DType: TypeAlias = np.dtype[Any]

MOST_HEADER = 64 << 10
"""Bytes that a text header may have; real ones have a few hundred."""


@dataclass(frozen=True)
class Place:
    """Where a header says that the voxels lie in space."""

    matrix: Array
    """[4, 4]: voxel (i, j, k) is at `matrix @ (i, j, k, 1)`."""
    by: str
    """The field that says so."""
    of_body: bool
    """Whether the space runs to a subject's right, front and top (RAS+), and is not just some space."""


@dataclass(frozen=True)
class Header:
    """A header whose numbers were checked."""

    path: Path
    data: Path
    """The file that holds the voxels: the same, unless the header is detached."""
    shape: tuple[int, int, int]
    """Along the stored axes i, j, k, the fastest first."""
    dtype: DType
    """Of a value as stored, with its byte order."""
    samples: int
    """Values side by side in each voxel."""
    volumes: int
    """Volumes one behind the other."""
    packing: Packing
    base: int
    """The first byte of the compressed stream; 0 where nothing is compressed."""
    start: int | None
    """The first byte of the voxels, in what is inflated; None: they end where the file ends."""
    sizes: tuple[float | None, float | None, float | None]
    """Of a voxel along i, j, k; None where unknown."""
    sized_by: str
    """The field that says so."""
    unit: str | None
    """A key of `METRES`; None if the header does not say it."""
    place: Place | None
    has_alpha: bool = False
    """Whether the last of four samples is said to be alpha."""
    notes: tuple[str, ...] = ()

    @property
    def volume_bytes(self) -> int:
        """Bytes of one volume."""
        return math.prod(self.shape) * self.samples * self.dtype.itemsize


def numbers(path: Path, name: str, text: str, count: int) -> tuple[float, ...]:
    """Parse a fixed count of finite numbers. Raises BrokenSource.

    >>> numbers(Path("a.mha"), "Offset", "1 -2.5 3e2", 3)
    (1.0, -2.5, 300.0)
    """
    try:
        found = tuple(map(float, text.split()))
    except ValueError:
        found = ()
    if len(found) != count or not all(map(math.isfinite, found)):
        raise broken(path, f"its {name} is {text!r}; {count} numbers are expected")
    return found


def extents(path: Path, name: str, text: str, count: int) -> tuple[int, ...]:
    """Parse the lengths of a fixed count of axes. Raises BrokenSource.

    >>> extents(Path("a.mha"), "DimSize", "512 512 60", 3)
    (512, 512, 60)
    """
    words = text.split()
    if len(words) != count or not all(word.isascii() and word.isdecimal() and 0 < int(word) < 2**31 for word in words):
        raise broken(path, f"its {name} is {text!r}; {count} whole numbers from 1 to 2147483647 are expected")
    return tuple(map(int, words))


def one_of(path: Path, name: str, text: str, known: Mapping[str, str]) -> str:
    """Look up the meaning of a field's word. Raises BrokenSource if there is none, UnsupportedSource for others."""
    if not text:
        raise broken(path, f"its header has no field `{name}`", cut=True)
    if text not in known:
        raise UnsupportedSource(f"{path} has the {name} {text!r}", why=f"{', '.join(known)} are read")
    return known[text]


def data_beside(path: Path, name: str, again: str) -> Path:
    """The file of a detached header's voxels. Raises BrokenSource, UnsupportedSource.

    `again` says how to write all in one file.
    """
    found = path.parent / name
    if name.split()[:1] == ["LIST"] or "%" in name:
        raise UnsupportedSource(
            f"{path} has its voxels in several files ({name})", why="one file of them is read", fix=again
        )
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UnsupportedSource(
            f"{path} says that its voxels are in {name}",
            why="only files in the header's own folder, or below it, are read",
            fix="put the file beside the header, and correct its name there",
        )
    if not name or not is_file(found):
        raise BrokenSource(
            f"{path} says that its voxels are in {name or 'a file without a name'}",
            why="there is no such file",
            fix="put the file beside its header",
        )
    return found
