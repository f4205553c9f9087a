"""One picture of a TIFF file, as its tags describe it: checked, and ready to be read.

Tags and their values: TIFF 6.0, its supplements, and what libtiff and tifffile make of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from wkconvert_core import UnsupportedSource

from .coding import DTYPES, JPEGS, Coding, is_raw
from .facts import Array, Facts, Kind, palette_kind
from .messages import broken
from .tags import Ifd

Offsets: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]

_YCBCR_TO_RGB = (*JPEGS, 33003, 33004, 33005, 34712)
"""Compressions whose decoders return RGB for YCbCr."""
_REFUSED = {5: "CMYK", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32844: "LogL", 32845: "LogLuv"}
_SINGLE = (256, 257, 259, 262, 266, 274, 277, 284, 317, 322, 323, 32997)
"""Tags that have one value."""
_MOST_SAMPLES = 65535
"""The tag is a 16-bit number."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where the strips or tiles of a picture lie, and how to read them."""

    path: str
    ifd: int
    """Offset of its directory."""
    coding: Coding
    facts: Facts
    starts: Offsets
    counts: Offsets
    """Bytes of each strip or tile; 0 for one that was never written and is all `blank`."""
    palette: Array | None
    """The colours [index, 3] of a palette that is to be applied."""
    tables: bytes | None
    """What JPEG strips and tiles share."""
    blank: float


def read_page(ifd: Ifd, *, colors: bool = True) -> Page:
    """The picture that a directory describes; `colors=False` keeps the numbers of a palette's entries.

    Raises BrokenSource for what contradicts itself or the file's size, UnsupportedSource for what is sound but not
    to be read here.
    """
    path = ifd.tiff.path
    coding = _coding(ifd)
    palette = _palette(ifd, coding) if coding.photometric == 3 and colors else None
    starts, counts = _segments(ifd, coding)
    orientation = ifd.number(274, 1)
    facts = Facts(
        width=coding.width,
        height=coding.height,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        dtype=_dtype(coding, palette),
        kind=_kind(coding, palette),
        kept=(0, 1, 2) if palette is not None else _kept(coding),
        chunk=_chunk(coding),
        declared=_declared(coding),
        notes=tuple(_notes(coding, palette)),
        coding=None if is_raw(coding) else coding,
    )
    tables = ifd.raw(347) if 347 in ifd and coding.compression in JPEGS else None
    return Page(path, ifd.offset, coding, facts, starts, counts, palette, tables, _blank(ifd, coding.dtype))


def is_slice(ifd: Ifd) -> bool:
    """Whether a directory is a picture of its own: no thumbnail, no smaller copy, no mask of another."""
    return not ifd.number(254, 0) & 0b101 and ifd.number(255, 0) != 2 and ifd.number(262, 1) != 4


def _coding(ifd: Ifd) -> Coding:
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
        extras=_extras(ifd, samples, photometric),
        tiled=tiled,
        segment=segment,
    )
    _refuse(ifd, coding)
    return coding


def _same(ifd: Ifd, tag: int, default: int, what: str) -> int:
    """A value that a tag may give once or for each sample."""
    values = set(ifd.numbers(tag, (default,))[: max(ifd.number(277, 1), 1)])
    if len(values) != 1:
        listed = ", ".join(map(str, sorted(values)))
        raise _unsupported(ifd.tiff.path, f"{what} that differ: {listed}", "save it with equal samples")
    return values.pop()


def _extras(ifd: Ifd, samples: int, photometric: int) -> tuple[int, ...]:
    """What the samples after the colour are: 1 and 2 alpha, 0 anything."""
    extras = ifd.numbers(338)[:samples]
    color = 3 if photometric in (2, 6) else 1 if photometric == 3 else samples - len(extras)
    return (*extras, *(0,) * samples)[: max(samples - color, 0)]


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
    if ifd.count(33629) > 1:
        raise _unsupported(path, f"a MetaMorph stack of {ifd.count(33629)} planes", "save it as a plain or OME-TIFF")


def _unsupported(path: str, holds: str, fix: str) -> UnsupportedSource:
    return UnsupportedSource(f"{path} cannot be converted", why=f"it holds {holds}", fix=fix)


def _segments(ifd: Ifd, coding: Coding) -> tuple[Offsets, Offsets]:
    """Where each strip or tile starts, and how long it is; raises BrokenSource unless all lie within the file."""
    path, size, name = ifd.tiff.path, ifd.tiff.size, "tile" if coding.tiled else "strip"
    pairs = ((324, 325), (273, 279)) if coding.tiled else ((273, 279), (513, 514))
    where, length = next((pair for pair in pairs if pair[0] in ifd), pairs[0])
    if ifd.count(where) < coding.segments:
        raise broken(path, f"{coding.segments} {name}s expected, {ifd.count(where)} listed")
    starts = ifd.array(where)[: coding.segments]
    stored = ifd.array(length)[: coding.segments] if length in ifd else np.zeros(0, "u8")
    if coding.compression == 1:
        needed = _expected(coding)
        counts = np.where((starts == 0) & (stored == 0), 0, needed) if len(stored) == len(starts) else needed
    elif len(stored) < coding.segments:
        raise broken(path, f"the lengths of {coding.segments} {name}s expected, {len(stored)} listed")
    else:
        counts = np.where(starts == 0, 0, stored)
    ends = np.minimum(starts, size + 1) + np.minimum(counts, size + 1)
    if (ends > size).any():
        first = int(np.argmax(ends > size))
        end = int(starts[first]) + int(counts[first])
        raise broken(path, f"{name} {first} reaches to byte {end}, the file has {size} bytes", cut=True)
    return starts, counts.astype("u8")


def _expected(coding: Coding) -> Offsets:
    """Bytes of each strip or tile of a picture that is not compressed."""
    rows = np.full(coding.grid[1], coding.segment[1], "u8")
    if not coding.tiled:
        rows[-1] = coding.height - coding.segment[1] * (coding.grid[1] - 1)
    each = np.repeat(rows, coding.grid[0]) * np.uint64(coding.row_bytes())
    return np.tile(each, coding.segments // len(each))


def _palette(ifd: Ifd, coding: Coding) -> Array:
    """The colours [index, 3] as uint8; the tag counts in 16 bits."""
    entries = 1 << coding.bits
    if coding.bits > 16 or coding.format != 1 or ifd.count(320) != 3 * entries:
        raise broken(ifd.tiff.path, f"a palette of {entries} colours expected, {ifd.count(320) // 3} found")
    table = ifd.array(320)
    # some writers give 8-bit numbers; libtiff tells them apart in the same way
    return (table if table.max() < 256 else table >> np.uint64(8)).astype("u1").reshape(3, entries).T.copy()


def _kind(coding: Coding, palette: Array | None) -> Kind:
    if palette is not None:
        return palette_kind(palette)
    return "color" if coding.photometric in (2, 6) and coding.samples >= 3 else "samples"


def _kept(coding: Coding) -> tuple[int, ...]:
    """The samples that are not alpha."""
    base = coding.samples - len(coding.extras)
    return (*range(base), *(base + i for i, extra in enumerate(coding.extras) if extra not in (1, 2)))


def _dtype(coding: Coding, palette: Array | None) -> np.dtype[Any]:
    if palette is not None:
        return palette.dtype
    return coding.dtype


def _chunk(coding: Coding) -> tuple[int, int]:
    """Width and height of what one decode yields: of raw rows any piece, down to about a page of memory."""
    return (min(coding.width, 1024), 1) if is_raw(coding) else coding.segment


def _declared(coding: Coding) -> int:
    """Bytes of all strips or tiles, decoded: tiles may be much larger than the picture."""
    (across, down), (wide, high) = coding.grid, coding.segment
    pixels = across * wide * down * high if coding.tiled else coding.width * coding.height
    return pixels * coding.samples * coding.bits // 8


def _notes(coding: Coding, palette: Array | None) -> list[str]:
    notes = []
    if any(extra in (1, 2) for extra in coding.extras):
        multiplied = " (the colours stay multiplied by it)" if 1 in coding.extras else ""
        notes.append(f"alpha dropped{multiplied}")
    if palette is not None:
        notes.append("palette applied")
    if coding.photometric == 0:
        inverts = coding.format != 3
        notes.append("white is 0 in the file: " + ("inverted" if inverts else "not inverted, for these are floats"))
    return notes


def _blank(ifd: Ifd, dtype: np.dtype[Any]) -> float:
    """The value of strips and tiles that were never written: GDAL's nodata, else 0."""
    try:
        value = float(ifd.text(42113) or 0)
    except ValueError:
        return 0.0
    fits = dtype.kind == "f" or (dtype.kind in "iu" and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)
    return value if fits else 0.0
