"""The images in files of DICOM, one in each or many: what pydicom reads of their headers, and their pixels."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import UnsupportedSource
from wkconvert_core.toolkit.files import State, broken, changed, open_file, state_of

from .header import Array, DType
from .magic import DICOM_BYTES, check_dicom

logging.getLogger("pydicom").propagate = False  # what it would tell of a file, and counts, is told here

_NO_IMAGES = re.compile(r"1\.2\.840\.10008\.(1\.3\.10|5\.1\.4\.1\.1\.(88|9|11|66\.[1235]|104|481\.[345689])(\.\d+)*)")
"""SOP classes that hold no image: indices, reports, waveforms, presentation states, registrations, documents, plans and
structures of radiotherapy (DICOM PS3.4, annex B)."""
_PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_PHASE = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "StackID",
    "EchoNumbers",
    "EchoTime",
    "EffectiveEchoTime",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
)
_NEEDED = ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation")
_DEFERRED = 1 << 20
"""Bytes from which a value of a header is not read: no slice needs one of that length."""


@dataclass(frozen=True, slots=True)
class Slice:
    """An image of a file, in DICOM's patient space (LPS, mm)."""

    path: str
    state: State
    name: str
    """The file's, and which frame it is of several."""
    series: str
    """SeriesInstanceUID."""
    told: str
    """Number, modality and description of the series, for people."""
    instance: str
    """SOPInstanceUID and frame: two images of one instance are copies."""
    phase: tuple[str, ...]
    """Values by which images of one place differ: time, stack, echo, diffusion, in DICOM's text."""
    order: tuple[int, int, int]
    """AcquisitionNumber, InstanceNumber and frame."""
    size: tuple[int, int]
    """Columns and rows."""
    samples: int
    dtype: str
    """Numpy's name of the stored values."""
    inverted: bool
    """Whether small values are meant to be shown bright (MONOCHROME1)."""
    scale: tuple[float, float]
    """RescaleSlope (or DoseGridScaling) and RescaleIntercept; (1, 0) where there are none."""
    spacing: tuple[float, ...] | None
    """Between columns, and between rows."""
    directions: tuple[float, ...] | None
    """Where a row leads, and where a column leads: six numbers."""
    position: tuple[float, ...] | None
    """Of the first pixel's centre."""
    start: int
    """The first byte of the pixels' value."""
    coding: tuple[tuple[str, Any], ...]
    """How pydicom is to decode it."""


@lru_cache(maxsize=1 << 14)
def read_slices(path: str, state: State) -> tuple[Slice, ...]:
    """Read a file's header, cached as long as the file is in that `state`; nothing if it holds no image.

    Raises BrokenSource, UnsupportedSource.
    """
    from .coded import by_pydicom

    with by_pydicom(path, "an element of its header is cut, or holds what none of its kind may hold"):
        return _slices(path, state)


def _slices(path: str, state: State) -> tuple[Slice, ...]:
    from pydicom.pixels.utils import as_pixel_options

    from .coded import check_decoded, check_length

    header, (keyword, kind, length, start) = _header(path)
    if _NO_IMAGES.fullmatch(str(header.get("SOPClassUID", ""))):
        return ()
    if not keyword:
        raise broken(path, "it holds no pixels", cut=True)
    if missing := [word for word in _NEEDED if header.get(word) is None]:
        raise broken(path, f"its header lacks {', '.join(missing)}")
    syntax = header.file_meta.TransferSyntaxUID
    coding = as_pixel_options(header, pixel_keyword=keyword, pixel_vr=kind or "OW", transfer_syntax_uid=syntax)
    size, photometric = (header.Columns, header.Rows), str(header.PhotometricInterpretation)
    frames, bits, stored = coding["number_of_frames"], header.BitsAllocated, coding.get("bits_stored", 1)
    samples = header.get("SamplesPerPixel", 1)
    if not (all(size) and samples in (1, 3) and 0 < stored <= bits):
        held = f"{size[1]} rows of {size[0]} pixels, {samples} values of {bits} bits, {stored} of them stored"
        raise broken(path, f"its header says {held}")
    _check_values(path, bits, samples)
    check_decoded(path, syntax)
    check_length(path, math.prod(size) * samples * bits // 8 * frames, photometric, start, length, state[0])
    seen = 3 if photometric == "PALETTE COLOR" else samples
    is_signed = header.get("PixelRepresentation", 0) == 1
    kinds = {"PixelData": f"{'' if is_signed else 'u'}int{bits}"}
    found = []
    for frame in range(frames):
        at = _Facts(path, header, frame)
        spacing = at.numbers("PixelSpacing", 2)
        slope = at.numbers("RescaleSlope", 1) or at.numbers("DoseGridScaling", 1) or (1.0,)
        told = (header.get(word) for word in ("SeriesNumber", "Modality", "SeriesDescription"))
        found.append(
            Slice(
                path,
                state,
                name=Path(path).name + (f" frame {frame}" if frames > 1 else ""),
                series=str(header.get("SeriesInstanceUID", "")),
                told=" ".join(str(each) for each in told if each not in (None, "")),
                instance=f"{uid}:{frame}" if (uid := header.get("SOPInstanceUID")) else "",
                phase=tuple(str(at.value(word)) for word in _PHASE),
                order=(int(header.get("AcquisitionNumber") or 0), int(header.get("InstanceNumber") or 0), frame),
                size=size,
                samples=seen,
                dtype=kinds.get(keyword, f"float{bits}"),
                inverted=photometric == "MONOCHROME1",
                scale=(slope[0], (at.numbers("RescaleIntercept", 1) or (0.0,))[0]),
                spacing=spacing[::-1] if spacing and min(spacing) > 0 else None,
                directions=at.numbers("ImageOrientationPatient", 6),
                position=at.position(frames),
                start=start,
                coding=(*coding.items(), ("index", frame)),
            )
        )
    if frames > 1 and not all(one.position and one.directions for one in found):
        why = "frames are slices where their positions are stated; these may be times, or views"
        fix = "export it as one file per frame: if these are slices, each with its place (ImagePositionPatient)"
        raise UnsupportedSource(f"{path} holds {frames} frames", why=why, fix=fix)
    return tuple(found)


def _check_values(path: str, bits: int, samples: int) -> None:
    """Raise UnsupportedSource for values that are not read, with the remedy for their kind."""
    if bits in (8, 16, 32, 64) and (samples == 1 or bits == 8):
        return
    fix = "write it again with 8, 16, 32 or 64 bits allocated for each value"
    if bits == 1:
        fix = "for a segmentation (SEG), dcmqi's segimage2itkimage makes NRRD or NIfTI of it, which are read"
    elif samples > 1:
        fix = "write it again in colours of 8 bits"
    held = f"{bits} bit{'s' * (bits > 1)} per value, {samples} value{'s' * (samples > 1)} per pixel"
    raise UnsupportedSource(f"{path} holds {held}", why="grey of 8 to 64 bits, and colours of 8, are read", fix=fix)


def _header(path: str) -> tuple[Any, tuple[str, str | None, int, int]]:
    """The elements up to the pixels; and the pixels' keyword, kind, length and first byte, where there are any.

    Raises BrokenSource, UnsupportedSource, and errors of pydicom.
    """
    from pydicom.filereader import read_partial

    found: list[Any] = []

    def is_at_pixels(tag: int, kind: str | None, length: int) -> bool:
        if tag in _PIXELS:
            found[:] = _PIXELS[tag], kind, length
        return tag in _PIXELS

    with open_file(path) as file:
        check_dicom(path, file.read(DICOM_BYTES))
        file.seek(0)
        header = read_partial(file, is_at_pixels, defer_size=_DEFERRED)
        syntax = header.file_meta.get("TransferSyntaxUID")
        if syntax is None or not syntax.is_transfer_syntax:
            told = f"it states {str(syntax)!r}" if syntax else "it states nothing"
            raise broken(path, f"{told} as its transfer syntax, so that nobody knows how it is coded")
        if syntax.is_deflated:
            why = "all of its elements are compressed together (Deflated Explicit VR Little Endian)"
            fix = "write it in another transfer syntax, for example with dcmtk: dcmconv +te IN OUT"
            raise UnsupportedSource(f"{path} is deflated", why=why, fix=fix)
        if not found:
            return header, ("", None, 0, 0)
        return header, (*found, file.tell() + (8 if found[1] is None else 12))


class _Facts:
    """The elements that hold for a frame: those of its own functional groups, then of the shared ones, then the file's.

    Functional groups: DICOM PS3.3, C.7.6.16.
    """

    def __init__(self, path: str, header: Any, frame: int) -> None:
        own, shared = (header.get(f"{which}FunctionalGroupsSequence", []) for which in ("PerFrame", "Shared"))
        self._path, self._frame = path, frame
        groups = [*own[frame : frame + 1], *shared[:1]]
        self._sets = [*(items for group in groups for each in group if each.VR == "SQ" for items in each.value), header]

    def value(self, word: str) -> Any:
        """An element's value; None where it is missing or empty."""
        return next((found for each in self._sets if (found := each.get(word)) not in (None, "", [])), None)

    def numbers(self, word: str, count: int) -> tuple[float, ...] | None:
        """Finite numbers, so many; None where the element is missing or empty. Raises BrokenSource."""
        if (value := self.value(word)) is None:
            return None
        try:
            found = tuple(map(float, np.atleast_1d(np.asarray(value, float)).tolist()))
        except (TypeError, ValueError):
            found = ()
        if len(found) != count or not all(map(math.isfinite, found)):
            raise broken(self._path, f"{word} is {value}, and {count} number{'s' * (count > 1)} should be there")
        return found

    def position(self, frames: int) -> tuple[float, ...] | None:
        """Where the frame's first pixel lies, None where it is not said.

        A dose grid states the place of its first frame and the offsets of all along the normal; where these do not
        begin with 0, they are places along z (DICOM PS3.3, C.8.8.3.2). What a file without groups states otherwise is
        no place of each of its frames. Raises BrokenSource.
        """
        stated = self.numbers("ImagePositionPatient", 3)
        if frames == 1 or stated is None or len(self._sets) > 1:
            return stated
        if (offsets := self.numbers("GridFrameOffsetVector", frames)) is None:
            return None
        if offsets[0] == stated[2] != 0:
            return (*stated[:2], offsets[self._frame])
        directions = self.numbers("ImageOrientationPatient", 6)
        if directions is None or offsets[0] != 0:
            return None
        normal = np.cross(directions[:3], directions[3:])
        return tuple((np.array(stated) + offsets[self._frame] * normal).tolist())


def pixels(one: Slice) -> Array:
    """The stored values of a slice as `[c, i, j]`, without slope and intercept. Raises SourceNotFound, BrokenSource."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.processing import apply_color_lut

    from .coded import by_pydicom

    if state_of(one.path) != one.state:
        raise changed(one.path, "it was written again")
    coding = dict(one.coding)
    syntax = coding.pop("transfer_syntax_uid")
    told = f"its pixels cannot be decoded as what they should be, {syntax.name}"
    with by_pydicom(one.path, told), open_file(one.path) as file:
        file.seek(one.start)
        found, _ = get_decoder(syntax).as_array(file, validate=False, **coding)
        if coding["photometric_interpretation"] == "PALETTE COLOR":
            found = apply_color_lut(found, _header(one.path)[0])
            found = (found >> 8 if found.itemsize > 1 else found).astype(np.uint8)
    columns, rows = one.size
    if found.size != columns * rows * one.samples or (one.samples > 1 and found.dtype != np.uint8):
        raise broken(one.path, f"it decodes to {found.dtype} {found.shape}, not to {rows} rows of {columns} pixels")
    return found.astype(stored_dtype(one), copy=False).reshape(rows, columns, one.samples).transpose(2, 1, 0)


def stored_dtype(one: Slice) -> DType:
    """The dtype of a slice's stored values."""
    return np.dtype(np.uint8 if one.samples > 1 else one.dtype)
