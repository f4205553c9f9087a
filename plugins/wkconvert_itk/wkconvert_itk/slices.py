"""The files of DICOM series: what a slice's header says, and its pixels, decoded by SimpleITK (GDCM)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import UnsupportedSource
from wkconvert_core.toolkit.files import State, broken, changed, reading, state_of

from .elements import BIG_ENDIAN, SOP_CLASS, SYNTAX, read_elements
from .header import Array, DType

_NO_IMAGES = re.compile(r"1\.2\.840\.10008\.(1\.3\.10|5\.1\.4\.1\.1\.(88|9|11|66\.[1235]|104|481\.[345689])(\.\d+)*)")
"""SOP classes that hold no image: indices, reports, waveforms, presentation states, registrations, documents, plans and
structures of radiotherapy (DICOM PS3.4, annex B)."""

_PHASE = ((0x0020, 0x0100), (0x0018, 0x0086), (0x0018, 0x0081))
"""TemporalPositionIdentifier, EchoNumbers and EchoTime."""
_DIFFUSION = (0x0018, 0x9087)
"""DiffusionBValue, a binary number."""

_FIX = "write it again as uncompressed grey or RGB of 8 bits, one frame per file (dcmtk: dcmdjpeg; dcm4che: emf2sf)"


@dataclass(frozen=True, slots=True)
class Slice:
    """The header of a file, in DICOM's patient space (LPS, mm)."""

    path: str
    state: State
    series: str
    """SeriesInstanceUID."""
    told: str
    """Number, modality and description of the series, for people."""
    instance: str
    """SOPInstanceUID: two files of one instance are copies."""
    phase: tuple[str, ...]
    """Values by which images of one place differ: time, echo, diffusion, in DICOM's text."""
    order: tuple[int, int]
    """AcquisitionNumber and InstanceNumber."""
    size: tuple[int, int]
    """Columns and rows."""
    samples: int
    dtype: str
    """Numpy's name of the stored values."""
    inverted: int | None
    """Of MONOCHROME1, the largest stored value: GDCM gives that minus the stored one."""
    scale: tuple[float, float]
    """RescaleSlope and RescaleIntercept; (1, 0) where there are none."""
    spacing: tuple[float, float] | None
    """Between columns, and between rows."""
    directions: tuple[float, ...] | None
    """Where a row leads, and where a column leads: six numbers."""
    position: tuple[float, ...] | None
    """Of the first pixel's centre."""

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name


@lru_cache(maxsize=1 << 14)
def read_slice(path: str, state: State) -> Slice | None:
    """Read a file's header, cached as long as the file is in that `state`; None if it holds no image.

    Raises BrokenSource, UnsupportedSource.
    """
    tags = read_elements(path)
    syntax = tags.text(*SYNTAX)
    if _NO_IMAGES.fullmatch(tags.text(*SOP_CLASS)):
        return None
    size = (tags.short(0x0028, 0x0011), tags.short(0x0028, 0x0010))
    frames, bits, stored = tags.whole(0x0028, 0x0008, 1), tags.short(0x0028, 0x0100), tags.short(0x0028, 0x0101)
    photometric = tags.text(0x0028, 0x0004)
    samples = 3 if photometric == "PALETTE COLOR" else tags.short(0x0028, 0x0002, 1)  # GDCM looks the colours up
    if not all(size) or samples not in (1, 3) or not 0 < stored <= bits:
        kind = f"{size[1]} rows of {size[0]} pixels, {samples} values of {bits} bits, {stored} of them stored"
        raise broken(path, f"its header says {kind}")
    if tags.pixel_bytes is None:
        raise broken(path, "it holds no pixels", cut=True)
    expected = size[0] * size[1] * tags.short(0x0028, 0x0002, 1) * bits // 8
    if tags.pixel_bytes < (expected * 2 // 3 if photometric == "YBR_FULL_422" else expected) and frames == 1:
        raise broken(path, f"{expected} bytes of pixels expected, {tags.pixel_bytes} found", cut=True)
    if frames > 1:
        raise UnsupportedSource(f"{path} holds {frames} frames", why="files of one are read", fix=_FIX)
    is_wide = samples > 1 and bits > 8 and photometric != "PALETTE COLOR"
    if bits not in (8, 16, 32) or is_wide or (bits == 32 and syntax == BIG_ENDIAN):
        kind = f"{bits} bits per value, {samples} values per pixel, transfer syntax {syntax}"
        raise UnsupportedSource(f"{path} holds {kind}", why="8, 16 and 32 bits, and colours of 8, are read", fix=_FIX)
    is_signed, is_inverted = tags.short(0x0028, 0x0103, 0) == 1, photometric == "MONOCHROME1"
    if is_inverted and is_signed:
        raise UnsupportedSource(f"{path} holds signed values of MONOCHROME1", why="unsigned ones are read", fix=_FIX)
    rows = tags.floats(0x0028, 0x0030, 2)
    (slope,), (intercept,) = tags.floats(0x0028, 0x1053, 1) or (1.0,), tags.floats(0x0028, 0x1052, 1) or (0.0,)
    return Slice(
        path,
        state,
        series=tags.text(0x0020, 0x000E),
        told=" ".join(filter(None, (tags.text(0x0020, 0x0011), tags.text(0x0008, 0x0060), tags.text(0x0008, 0x103E)))),
        instance=tags.text(0x0008, 0x0018),
        phase=(*(tags.text(*tag) for tag in _PHASE), tags.values.get(_DIFFUSION, b"").hex()),
        order=(tags.whole(0x0020, 0x0012, 0), tags.whole(0x0020, 0x0013, 0)),
        size=size,
        samples=samples,
        dtype=f"{'' if is_signed else 'u'}int{bits}",
        inverted=2**stored - 1 if is_inverted else None,
        scale=(slope, intercept),
        spacing=(rows[1], rows[0]) if rows and min(rows) > 0 else None,
        directions=tags.floats(0x0020, 0x0037, 6),
        position=tags.floats(0x0020, 0x0032, 3),
    )


def _reader(path: str) -> Any:
    """A reader of SimpleITK's that has read the header. Raises RuntimeError."""
    import SimpleITK

    library: Any = SimpleITK  # it is typed in part
    library.ProcessObject.SetGlobalWarningDisplay(False)  # its warnings would stand between the lines of a command
    reader = library.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(path)
    reader.ReadImageInformation()
    return reader


@contextmanager
def _decoding(path: str) -> Iterator[None]:
    """Turn errors of SimpleITK, which speak of its own source files, into BrokenSource."""
    try:
        with reading(path):
            yield
    except RuntimeError as error:
        raise broken(path, "GDCM, which decodes DICOM, cannot read it") from error


def pixels(one: Slice) -> Array:
    """The stored values of a slice as `[c, i, j]`, without slope and intercept. Raises SourceNotFound, BrokenSource.

    GDCM applies slope and intercept and turns MONOCHROME1 around; both are undone, exactly, as it computes in float64.
    """
    import SimpleITK

    if state_of(one.path) != one.state:
        raise changed(one.path, "it was written again")
    with _decoding(one.path):
        found: Array = SimpleITK.GetArrayFromImage(_reader(one.path).Execute())
    columns, rows = one.size
    if found.size != columns * rows * one.samples or (one.samples > 1 and found.dtype != np.uint8):
        raise broken(one.path, f"it decodes to {found.dtype} {found.shape}, not to {rows} rows of {columns} pixels")
    slope, intercept = one.scale
    if (slope, intercept) != (1, 0) and one.samples == 1:
        found = np.rint((found.astype(np.float64) - intercept) / slope)
    if one.inverted is not None:
        found = one.inverted - found
    return found.astype(stored_dtype(one), copy=False).reshape(rows, columns, one.samples).transpose(2, 1, 0)


def stored_dtype(one: Slice) -> DType:
    """The dtype of a slice's stored values."""
    return np.dtype(np.uint8 if one.samples > 1 else one.dtype)
