"""How voxels are stored: what a mode means, and whether bytes are signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from wkconvert_core import WarningNote

from .header import Header

Signs = Literal["signed", "unsigned"]

COMPLEX = (3, 4)
"""Modes of complex numbers."""
_BYTES, _COLOURS, _FOUR_BITS = 0, 16, 101
_DTYPES = {_BYTES: "u1", 1: "i2", 2: "f4", 6: "u2", 12: "f2", _COLOURS: "u1", _FOUR_BITS: "u1"}
_SIGNED, _PACKED = 1, 16
"""IMOD's flags for mode 0: bytes are signed; each holds two values of 4 bits, and is counted as one column."""


@dataclass(frozen=True)
class Kind:
    """How the voxels of a section are stored, row after row."""

    dtype: str
    """Of a value, as numpy writes it, with the byte order: `>i2`."""
    samples: int
    """Values of a voxel side by side: three for colours."""
    is_packed: bool
    """Whether each byte holds two values of 4 bits; every row begins with a byte of its own."""
    columns: int
    rows: int

    @property
    def section_bytes(self) -> int:
        """Bytes of a section.

        >>> Kind("|u1", 1, True, 5, 4).section_bytes
        12
        """
        row = self.columns * self.samples * np.dtype(self.dtype).itemsize
        return self.rows * (-(-self.columns // 2) if self.is_packed else row)


def kind_of(header: Header, said: Signs | None) -> tuple[Kind, list[str]]:
    """The kind of voxels of any mode but the complex ones, and notes; `said` is what the user says of bytes."""
    columns, rows, _ = header.lengths
    is_halved = header.mode == _BYTES and bool((header.flags or 0) & _PACKED)
    kind, notes = _DTYPES[header.mode], list[str]()
    if header.mode == _BYTES and not is_halved:
        is_signed, notes = _sign(header) if said is None else (said == "signed", [])
        kind = "i1" if is_signed else "u1"
    return Kind(
        np.dtype(header.byte_order + kind).str,
        3 if header.mode == _COLOURS else 1,
        is_halved or header.mode == _FOUR_BITS,
        2 * columns if is_halved else columns,
        rows,
    ), notes


def _sign(header: Header) -> tuple[bool, list[str]]:
    """Whether bytes are signed: as IMOD's flag says, else the least and greatest value, else the standard; and a note.

    Nearly all programs write these values, also those whose bytes are unsigned against the standard, under which files
    from before it fall. IMOD decides alike.
    """
    if header.flags is not None:
        return bool(header.flags & _SIGNED), []
    low, high = header.smallest, header.largest
    if low <= high and (low < 0 or high > 127):
        is_signed = low < 0 and (high <= 127 or -low > high - 128)
        told = f"greatest value is {high:g}, though the standard has them signed"
        return is_signed, [_unsigned(told)] if header.keeps_to_standard and not is_signed else []
    is_unknown = not low <= high or low == high == 0
    told = "header does not say it, as in files from before the standard"
    return header.keeps_to_standard, [_unsigned(told)] if is_unknown and not header.keeps_to_standard else []


def _unsigned(why: str) -> WarningNote:
    return WarningNote(f"bytes are taken as unsigned, as the file's {why}; -o bytes=signed reads them as signed")
