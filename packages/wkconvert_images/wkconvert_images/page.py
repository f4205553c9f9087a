"""One picture of a TIFF file as its tags describe it, checked against the file.

Tags and their values: TIFF 6.0, its supplements, and libtiff and tifffile for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from wkconvert_core import UnsupportedSource, WarningNote
from wkconvert_core.toolkit.files import broken

from .coding import DTYPES, JPEGS, Coding, is_raw
from .facts import Array, Facts, Kind, palette_kind
from .tags import Ifd

Offsets: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]

_YCBCR_TO_RGB = (*JPEGS, 33003, 33004, 33005, 34712)
"""Compressions whose decoders convert YCbCr to RGB."""
_REFUSED = {5: "CMYK", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32844: "LogL", 32845: "LogLuv"}
_SINGLE = (256, 257, 259, 262, 266, 274, 277, 284, 317, 322, 323, 32997)
"""Tags that must have exactly one value."""
_MOST_SAMPLES = 65535
"""The tag is a 16-bit number."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where the strips or tiles of a picture lie, and how to read them."""

    path: str
    ifd: int
    """Offset of its directory."""
    next: int
    """Offset of the next page's directory; 0 after the last."""
    coding: Coding
    facts: Facts
    starts: Offsets
    counts: Offsets
    """Bytes of each strip or tile; 0 for one that was never written: all its pixels are `blank`."""
    palette: Array | None
    """Colours [index, 3], if a palette is to be applied."""
    tables: bytes | None
    """Tables that all JPEG strips and tiles share."""
    blank: float
    inverted: bool
    """Whether white, which is 0, is to be exchanged with black."""
    planes: int
    """Number of planes like this in a row, of which MetaMorph stacks describe only the first; else 1."""


def read_page(ifd: Ifd, *, colors: bool = True, invert: bool = True) -> Page:
    """The picture that a directory describes; `colors=False` keeps the indices of a palette.

    `invert=False` keeps the numbers of a picture whose white is 0.

    Raises BrokenSource for what contradicts itself or the size of the file, UnsupportedSource for a sound picture that
    cannot become voxels as it is.
    """
    coding = coding_of(ifd)
    palette = _palette(ifd, coding) if coding.photometric == 3 and colors else None
    # floats have no largest value and stay
    inverted = coding.photometric == 0 and coding.format != 3 and invert
    starts, counts = _segments(ifd, coding)
    orientation = ifd.number(274, 1)
    # the colours come first, then the extra samples, of which 1 and 2 are alpha
    base = coding.samples - len(coding.extras)
    alpha = (1, 2) if coding.may_be_color else ()
    kept = (*range(base), *(base + i for i, extra in enumerate(coding.extras) if extra not in alpha))
    is_color = coding.photometric in (2, 6) and coding.samples >= 3 and coding.may_be_color
    kind: Kind = "color" if is_color else "samples"
    # tiles are stored whole, and may be much larger than the picture
    (across, down), (wide, high) = coding.grid, coding.segment
    pixels = across * wide * down * high if coding.tiled else coding.width * coding.height
    raw = is_raw(coding)
    facts = Facts(
        width=coding.width,
        height=coding.height,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        dtype=coding.dtype if palette is None else palette.dtype,
        kind=kind if palette is None else palette_kind(palette),
        kept=kept if palette is None else (0, 1, 2),
        # of raw rows any piece can be read; below a page of memory, smaller ones gain nothing
        chunk=(min(coding.width, 1024), 1) if raw else coding.segment,
        declared=pixels * coding.samples * coding.bits // 8,
        notes=tuple(_notes(coding, palette, inverted=inverted)),
        coding=None if raw else coding,
        lossy="JPEG" if coding.compression in JPEGS else "",
    )
    tables = ifd.raw(347) if 347 in ifd and coding.compression in JPEGS else None
    blank = _blank(ifd, coding.dtype)
    return Page(
        ifd.tiff.path,
        ifd.offset,
        ifd.next,
        coding,
        facts,
        starts,
        counts,
        palette,
        tables,
        blank,
        inverted,
        planes_of(ifd),
    )


def coding_of(ifd: Ifd) -> Coding:
    """How the pixels of a directory are stored. Raises BrokenSource, UnsupportedSource."""
    path = ifd.tiff.path
    if repeated := [tag for tag in _SINGLE if ifd.count(tag) > 1]:
        raise broken(path, f"its tag {repeated[0]} has {ifd.count(repeated[0])} values instead of one")
    width, height, samples = ifd.number(256, 0), ifd.number(257, 0), ifd.number(277, 1)
    if not (width and height and 0 < samples <= _MOST_SAMPLES):
        raise broken(path, f"its picture is {width} x {height} pixels of {samples} samples")
    tiled = 322 in ifd
    rows = ifd.number(278, height) or height
    segment = (ifd.number(322, 0), ifd.number(323, 0)) if tiled else (width, min(rows, height))
    if not all(segment):
        raise broken(path, f"its tiles are {segment[0]} x {segment[1]} pixels")
    photometric = ifd.number(262, 1)
    # meaning of each sample after the colours: 1 and 2 alpha, 0 unspecified; some writers do not state all
    extras = ifd.numbers(338)[:samples]
    color = 3 if photometric in (2, 6) else 1 if photometric == 3 else max(samples - len(extras), 1)
    coding = Coding(
        order=ifd.tiff.order,
        width=width,
        height=height,
        samples=samples,
        bits=_same(ifd, 258, 1, "bits per sample"),
        format=_same(ifd, 339, 1, "sample formats"),
        compression=ifd.number(259, 1),
        photometric=photometric,
        planar=ifd.number(284, 1) == 2 and samples > 1,
        predictor=ifd.number(317, 1),
        fill_order=ifd.number(266, 1),
        extras=(*extras, *(0,) * samples)[: max(samples - color, 0)],
        tiled=tiled,
        segment=segment,
    )
    _refuse(ifd, coding)
    return coding


def _same(ifd: Ifd, tag: int, default: int, what: str) -> int:
    """The value of a tag that is stored once, or once for each sample; raises UnsupportedSource if they differ."""
    values = set(ifd.numbers(tag, (default,))[: max(ifd.number(277, 1), 1)])
    if len(values) != 1:
        listed = ", ".join(map(str, sorted(values)))
        raise _unsupported(ifd.tiff.path, f"{what} that differ: {listed}", "save it with equal samples")
    return values.pop()


def _refuse(ifd: Ifd, coding: Coding) -> None:
    """Raise UnsupportedSource for a sound picture that cannot become voxels as it is."""
    path, photometric = ifd.tiff.path, coding.photometric
    if coding.format in (5, 6):
        raise _unsupported(path, "complex numbers", "save their real part or their magnitude")
    if (coding.format, coding.bits) not in DTYPES:
        kind = {2: "signed integers", 3: "floating-point numbers"}.get(coding.format, "integers")
        raise _unsupported(path, f"{coding.bits}-bit {kind}", "save it with 8, 16, 32 or 64 bits")
    if photometric in _REFUSED:
        raise _unsupported(path, f"{_REFUSED[photometric]} colours", "save it as RGB or grey")
    if photometric == 6 and (coding.compression not in _YCBCR_TO_RGB or coding.planar):
        raise _unsupported(path, "YCbCr colours outside of JPEG", "save it as RGB")
    if ifd.number(32997, 1) > 1:
        raise _unsupported(path, f"pages of {ifd.number(32997, 1)} slices each", "save it with one slice a page")


def _unsupported(path: str, holds: str, fix: str) -> UnsupportedSource:
    return UnsupportedSource(f"{path} cannot be converted", why=f"it holds {holds}", fix=fix)


def _segments(ifd: Ifd, coding: Coding) -> tuple[Offsets, Offsets]:
    """Offset and length of each strip or tile; raises BrokenSource unless all lie within the file."""
    path, size, name = ifd.tiff.path, ifd.tiff.size, "tile" if coding.tiled else "strip"
    pairs = ((324, 325), (273, 279)) if coding.tiled else ((273, 279), (513, 514))
    where, length = next((pair for pair in pairs if pair[0] in ifd), pairs[0])
    if ifd.count(where) < coding.segments:
        raise broken(path, f"{coding.segments} {name}s expected, {ifd.count(where)} listed")
    starts = ifd.array(where)[: coding.segments]
    stored = ifd.array(length)[: coding.segments] if length in ifd else np.zeros(0, "u8")
    if coding.compression == 1:  # the size follows from the picture; some writers state wrong lengths
        needed = _expected(coding)
        counts = np.where((starts == 0) & (stored == 0), 0, needed) if len(stored) == len(starts) else needed
    elif len(stored) < coding.segments:
        raise broken(path, f"the lengths of {coding.segments} {name}s expected, {len(stored)} listed")
    else:
        counts = np.where(starts == 0, 0, stored)
    # clipped before they are added, because damaged offsets of 64 bits would overflow
    ends = np.minimum(starts, size + 1) + np.minimum(counts, size + 1)
    if (ends > size).any():
        first = int(np.argmax(ends > size))
        end = int(starts[first]) + int(counts[first])
        raise broken(path, f"{name} {first} reaches to byte {end}, the file has {size} bytes", cut=True)
    return starts, counts.astype("u8")


def _expected(coding: Coding) -> Offsets:
    """Bytes of each strip or tile of a picture that is not compressed."""
    rows = np.full(coding.grid[1], coding.segment[1], "u8")
    if not coding.tiled:  # tiles are stored whole, the last strip ends with the picture
        rows[-1] = coding.height - coding.segment[1] * (coding.grid[1] - 1)
    # row by row of strips or tiles, then once more for each plane of a planar picture
    each = np.repeat(rows, coding.grid[0]) * np.uint64(coding.row_bytes())
    return np.tile(each, coding.segments // len(each))


def _palette(ifd: Ifd, coding: Coding) -> Array:
    """The colours [index, 3] as uint8; the tag counts in 16 bits."""
    entries = 1 << coding.bits
    if coding.bits > 16 or coding.format != 1 or ifd.count(320) != 3 * entries:
        raise broken(ifd.tiff.path, f"a palette of {entries} colours expected, {ifd.count(320) // 3} found")
    table = ifd.array(320)
    # some writers store 8-bit numbers; libtiff recognises them in the same way
    return (table if table.max() < 256 else table >> np.uint64(8)).astype("u1").reshape(3, entries).T.copy()


def _notes(coding: Coding, palette: Array | None, *, inverted: bool) -> Iterator[str]:
    if coding.photometric == 2 and coding.samples >= 3 and not coding.may_be_color:
        yield WarningNote(
            f"samples of {coding.dtype} are no colours, though the file says so: each is taken as a channel"
        )
    elif any(extra in (1, 2) for extra in coding.extras) and coding.may_be_color:
        yield WarningNote("alpha dropped" + (" (the colours stay multiplied by it)" if 1 in coding.extras else ""))
    if palette is not None:
        yield "palette applied"
    elif coding.photometric == 3:
        yield "palette not applied"
    if coding.photometric == 0:
        if coding.format == 3:
            yield WarningNote("white is 0 in the file: not inverted, for these are floats")
        elif inverted:
            yield WarningNote("white is 0 in the file: inverted")
        else:
            yield "white is 0 in the file: not inverted"


def _blank(ifd: Ifd, dtype: np.dtype[Any]) -> float:
    """The value of strips and tiles that were never written: GDAL's nodata (tag 42113), else 0."""
    try:
        value = float(ifd.text(42113) or 0)
    except ValueError:
        return 0.0
    fits = dtype.kind == "f" or (dtype.kind in "iu" and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)
    return value if fits else 0.0


def planes_of(ifd: Ifd) -> int:
    """Number of planes that a directory stands for: several in MetaMorph's stacks."""
    return max(ifd.count(33629), 1)
