"""The files of DICOM series: what a slice's header says, and its pixels, decoded by SimpleITK (GDCM)."""

from __future__ import annotations

import math
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

from .elements import BIG_ENDIAN, read_structure
from .header import Array, DType

_NO_IMAGES = re.compile(r"1\.2\.840\.10008\.(1\.3\.10|5\.1\.4\.1\.1\.(88|9|11|66\.[1235]|104|481\.[345689])(\.\d+)*)")
"""SOP classes that hold no image: indices, reports, waveforms, presentation states, registrations, documents, plans and
structures of radiotherapy (DICOM PS3.4, annex B)."""

_FIX = "write it again as uncompressed grey or RGB of 8 bits, one frame per file (dcmtk: dcmdjpeg; dcm4che: emf2sf)"


@dataclass(frozen=True, slots=True)
class Slice:
    """What the header of a file says, in DICOM's patient space (LPS, mm)."""

    path: str
    state: State
    series: str
    """SeriesInstanceUID."""
    told: str
    """Number, modality and description of the series, for people."""
    instance: str
    """SOPInstanceUID: two files of one instance are copies."""
    phase: tuple[str, ...]
    """What tells images of one place apart: time, echo, diffusion, in DICOM's text."""
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
    """What a file's header says, cached as long as the file is in that `state`; None if it holds no image.

    Raises BrokenSource, UnsupportedSource.
    """
    meta = read_structure(path)
    if _NO_IMAGES.fullmatch(meta.get(2, "")):
        return None
    with _decoding(path):
        tags = _Tags(path, _reader(path))
    size = (tags.whole("0028|0011"), tags.whole("0028|0010"))
    frames, bits, stored = tags.whole("0028|0008", 1), tags.whole("0028|0100"), tags.whole("0028|0101")
    samples = tags.components
    if frames > 1 or tags.depth > 1:
        raise UnsupportedSource(f"{path} holds {max(frames, tags.depth)} frames", why="files of one are read", fix=_FIX)
    kind = f"{bits} bits per value, {samples} values per pixel, transfer syntax {meta.get(0x10, 'unknown')}"
    if bits not in (8, 16, 32) or (samples > 1 and bits > 8) or (bits == 32 and meta.get(0x10) == BIG_ENDIAN):
        raise UnsupportedSource(f"{path} holds {kind}", why="8, 16 and 32 bits, and colours of 8, are read", fix=_FIX)
    is_signed = tags.whole("0028|0103", 0) == 1
    is_inverted = tags.text("0028|0004") == "MONOCHROME1"
    if is_inverted and is_signed:
        raise UnsupportedSource(f"{path} holds signed values of MONOCHROME1", why="unsigned ones are read", fix=_FIX)
    rows = tags.floats("0028|0030", 2)
    (slope,), (intercept,) = tags.floats("0028|1053", 1) or (1.0,), tags.floats("0028|1052", 1) or (0.0,)
    number = tags.text("0020|0011")
    return Slice(
        path,
        state,
        series=tags.text("0020|000e"),
        told=" ".join(filter(None, (number, tags.text("0008|0060"), tags.text("0008|103e")))),
        instance=tags.text("0008|0018"),
        phase=tuple(map(tags.text, ("0020|0100", "0018|0086", "0018|0081", "0018|9087"))),
        order=(tags.whole("0020|0012", 0), tags.whole("0020|0013", 0)),
        size=size,
        samples=samples,
        dtype=f"{'' if is_signed else 'u'}int{bits}",
        inverted=2**stored - 1 if is_inverted else None,
        scale=(slope, intercept),
        spacing=(rows[1], rows[0]) if rows and min(rows) > 0 else None,
        directions=tags.floats("0020|0037", 6),
        position=tags.floats("0020|0032", 3),
    )


class _Tags:
    """The elements of a file's header, as SimpleITK gives them: texts, by group and element."""

    def __init__(self, path: str, reader: Any) -> None:
        self.path = path
        self.texts: dict[str, str] = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
        self.components, self.depth = int(reader.GetNumberOfComponents()), math.prod(reader.GetSize()[2:])

    def text(self, key: str) -> str:
        return self.texts.get(key, "").strip().strip("\0")

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number. Raises BrokenSource where there is none and no default."""
        text = self.text(key)
        if re.fullmatch(r"[+-]?[0-9]{1,10}", text):
            return int(text)
        if default is None:
            raise broken(self.path, f"its element ({key.replace('|', ',')}) is {text!r}, which is no whole number")
        return default

    def floats(self, key: str, count: int) -> tuple[float, ...] | None:
        """So many numbers; None where the element is missing or empty. Raises BrokenSource."""
        if not (text := self.text(key)):
            return None
        try:
            found = tuple(float(number) for number in text.split("\\"))
        except ValueError:
            found = ()
        if len(found) != count or not all(map(math.isfinite, found)):
            raise broken(self.path, f"its element ({key.replace('|', ',')}) is {text!r}; {count} numbers are expected")
        return found


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
