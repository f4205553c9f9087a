"""GIPL headers: 256 bytes, big endian (ITK's GIPL image IO; Guy's Image Processing Lab, King's College London)."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from wkconvert_core import UnsupportedSource
from wkconvert_core.toolkit.files import broken
from wkconvert_core.toolkit.volumes.inflated import GZIP, bytes_of, inflated

from .header import Header
from .magic import GIPL_BYTES, is_gipl

_TYPES = {7: "i1", 8: "u1", 15: "i2", 16: "u2", 31: "u4", 32: "i4", 64: "f4", 65: "f8"}


def read_gipl(path: Path) -> Header:
    """Read and check a header. Raises BrokenSource, UnsupportedSource."""
    start = bytes_of(path, 4096)
    head = inflated(start, GIPL_BYTES)
    if not is_gipl(head):
        raise broken(path, "it has no header of GIPL, which ends in a magic number at byte 252")
    *lengths, kind = struct.unpack_from(">5H", head)
    sizes = struct.unpack_from(">4f", head, 10)
    if kind not in _TYPES:
        known = ", ".join(f"{number} ({np.dtype(name)})" for number, name in _TYPES.items())
        raise UnsupportedSource(f"{path} has the image type {kind}", why=f"{known} are read")
    lengths = [length or 1 for length in lengths]
    i, j, k = lengths[:3]
    # stored as float32, read as the shortest decimal number that gives it
    x, y, z = (float(str(np.float32(size))) if 0 < size < math.inf else None for size in sizes[:3])
    return Header(
        path,
        path,
        (i, j, k),
        np.dtype(_TYPES[kind]).newbyteorder(">"),
        samples=1,
        volumes=lengths[3],
        packing="gzip" if start.startswith(GZIP) else "",
        base=0,
        start=GIPL_BYTES,
        sizes=(x, y, z),
        sized_by="pixdim",
        unit="mm",
        place=None,
    )
