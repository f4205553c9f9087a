"""Voxel sizes in the binary structures that programs of microscopes write into tags of their own.

Sources: LSM's and FluoView's structures as tifffile names them; "MetaMorph Stack (STK) Image File Format" (Universal
Imaging); that distances along z are in µm, Bio-Formats.
"""

from __future__ import annotations

import math
import struct

from wkconvert_core import METRES, BrokenSource, VoxelSize, unit_symbol

from .tags import Ifd

_LSM = 34412
_FLUOVIEW = 34361
_UIC1, _UIC2 = 33628, 33629
_IS_CALIBRATED, _X, _Y, _UNIT = 3, 4, 5, 6
"""Codes in the table of MetaMorph's tag UIC1; behind the last three lies the place of a fraction, or of a text."""


def positive(number: float | None) -> bool:
    """Whether a number is there, finite, and more than 0."""
    return number is not None and math.isfinite(number) and number > 0


def known(x: float | None, y: float | None, z: float | None, unit: str, origin: str) -> VoxelSize | None:
    """A voxel size whose invalid lengths are left open; None if all are invalid."""
    a, b, c = (size if positive(size) else None for size in (x, y, z))
    return VoxelSize((a, b, c), unit, origin) if a or b or c else None


def lsm(ifd: Ifd) -> VoxelSize | None:
    """Zeiss LSM: x, y and z in metres, in the structure of tag 34412."""
    header = ifd.raw(_LSM)[:64] if _LSM in ifd else b""
    if len(header) < 64:
        return None
    x, y, z = struct.unpack_from(ifd.tiff.order + "3d", header, 40)
    size = known(x, y, z, "m", "the header of Zeiss LSM")
    return size and size.to("nm")


def fluoview(ifd: Ifd) -> VoxelSize | None:
    """Olympus FluoView: ten dimensions in tag 34361, each with its name, step and unit."""
    header = ifd.raw(_FLUOVIEW) if _FLUOVIEW in ifd else b""
    if len(header) < 1284:
        return None
    sizes: dict[bytes, float] = {}
    for name, step, unit in struct.iter_unpack(ifd.tiff.order + "16s12xd64s", header[284:1284]):
        symbol = unit_symbol(unit.split(b"\0")[0].decode("latin-1"))
        if symbol and positive(step):
            sizes[name.split(b"\0")[0].strip().upper()] = step * METRES[symbol]
    size = known(sizes.get(b"X"), sizes.get(b"Y"), sizes.get(b"Z"), "m", "FluoView's header")
    return size and size.to("µm")


def metamorph(ifd: Ifd) -> VoxelSize | None:
    """MetaMorph: x and y with their unit, and the distance of each plane along z in µm, where all are equal."""
    if _UIC2 not in ifd:
        return None
    x, y, unit = _metamorph_pixel(ifd)
    try:
        planes = struct.iter_unpack(ifd.tiff.order + "2I16x", _table(ifd, _UIC2, 24))
        distances = {over / under for over, under in planes}
    except (BrokenSource, ZeroDivisionError):
        distances = set()
    z = distances.pop() * METRES["µm"] / METRES[unit] if len(distances) == 1 else None
    return known(x, y, z, unit, "MetaMorph's tags")


def _metamorph_pixel(ifd: Ifd) -> tuple[float | None, float | None, str]:
    """The lengths of a pixel along x and y, and their unit; none where the table has none, or is damaged."""
    read, order = ifd.tiff.read, ifd.tiff.order
    try:
        told = dict(struct.iter_unpack(order + "2I", _table(ifd, _UIC1, 8)))
        (length,) = struct.unpack(order + "I", read(told[_UNIT], 4, "MetaMorph's unit"))
        text = read(told[_UNIT] + 4, min(length, 100), "MetaMorph's unit").split(b"\0")[0].decode("latin-1")
        x, y = (struct.unpack(order + "2I", read(told[code], 8, "MetaMorph's pixel")) for code in (_X, _Y))
        if told[_IS_CALIBRATED] and (unit := unit_symbol(text)):
            return x[0] / x[1], y[0] / y[1], unit
    except (BrokenSource, KeyError, ZeroDivisionError, struct.error):  # no reason to refuse a picture
        pass
    return None, None, "µm"


def _table(ifd: Ifd, tag: int, size: int) -> bytes:
    """The table behind a tag, whose entries are longer than TIFF's types say. Raises BrokenSource."""
    inline = ifd.entries[tag].inline
    (start,) = struct.unpack(ifd.tiff.order + ("Q" if len(inline) == 8 else "I"), inline)
    return ifd.tiff.read(start, size * ifd.count(tag), f"the table of tag {tag}")
