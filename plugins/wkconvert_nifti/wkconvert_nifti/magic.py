"""Telling a NIfTI header by its first bytes (nifti1.h and nifti2.h of the NIfTI Data Format Working Group)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

HEAD_BYTES = 552
"""The longest header, the flag behind it, and size and code of the first extension."""

_SIZES = {struct.pack(order + "i", size): (size, order) for size in (348, 540) for order in "<>"}
_NIFTI1 = {b"n+1\0": True, b"ni1\0": False}
_NIFTI2 = {b"n+2\0\r\n\x1a\n": True, b"ni2\0\r\n\x1a\n": False}


@dataclass(frozen=True)
class Kind:
    """The facts in the first bytes of a header."""

    version: Literal[0, 1, 2]
    """0 is Analyze 7.5, which NIfTI-1 extends."""
    order: str
    """`<` or `>`: the byte order."""
    single: bool
    """Whether the voxels follow in the same file."""

    @property
    def size(self) -> int:
        """Bytes of the header."""
        return 540 if self.version == 2 else 348


def kind_of(head: bytes) -> Kind | None:
    """The kind of the header that begins with `head`; None if it is not NIfTI's."""
    size, order = _SIZES.get(head[:4], (0, ""))
    if size == 348 and head[344:348] in _NIFTI1:
        return Kind(1, order, _NIFTI1[head[344:348]])
    if size == 540 and head[4:12] in _NIFTI2:
        return Kind(2, order, _NIFTI2[head[4:12]])
    return None


def promised_size(head: bytes) -> int:
    """Bytes of the header that begins with `head`; 0 if it is not NIfTI's."""
    return _SIZES.get(head[:4], (0, ""))[0]


def analyze_of(head: bytes) -> Kind | None:
    """The kind of a header of Analyze 7.5, which has NIfTI's size and a count of axes, and no magic; else None."""
    size, order = _SIZES.get(head[:4], (0, "<"))
    counts = {struct.pack(order + "h", n) for n in range(1, 8)}
    is_one = size == 348 <= len(head) and kind_of(head) is None and head[40:42] in counts
    return Kind(0, order, single=False) if is_one else None
