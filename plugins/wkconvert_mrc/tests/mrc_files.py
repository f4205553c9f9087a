"""Writing MRC files by the table of the standard, field by field, and opening them as core does."""

import gzip
import struct

import numpy as np

import wkconvert_mrc
from wkconvert_core.testing import Reader

MRC = Reader(wkconvert_mrc, "mrc")
detect, layers, source, voxels = MRC.detect, MRC.layers, MRC.source, MRC.voxels

MODES = {"i1": 0, "u1": 0, "i2": 1, "f4": 2, "u2": 6, "f2": 12, "c8": 4}
FIELDS = {
    "lengths": (0, "3i"),
    "mode": (12, "i"),
    "starts": (16, "3i"),
    "intervals": (28, "3i"),
    "cell": (40, "3f"),
    "angles": (52, "3f"),
    "axes": (64, "3i"),
    "range": (76, "3f"),
    "group": (88, "i"),
    "extended_bytes": (92, "i"),
    "kind": (104, "4s"),
    "version": (108, "i"),
    "stamp": (152, "i"),
    "flags": (156, "i"),
    "origin": (196, "3f"),
    "map": (208, "4s"),
    "machine": (212, "4s"),
    "labels": (220, "i"),
}
IMOD = 1146047817


def header(order="<", **fields):
    """1024 bytes with these fields, and zeros."""
    content = bytearray(1024)
    for name, value in fields.items():
        place, kind = FIELDS[name]
        struct.pack_into(order + kind, content, place, *(value if isinstance(value, tuple) else (value,)))
    return bytes(content)


def write(path, stored, order="<", *, extended=b"", behind=b"", **fields):
    """A file of `stored[section, row, column]`, or of bytes, whose lengths and mode have to be given then."""
    if isinstance(stored, np.ndarray):
        lengths = stored.shape[2], stored.shape[1], stored.shape[0]
        low, high = (float(stored.min()), float(stored.max())) if stored.dtype.kind != "c" else (0, -1)
        told = {"lengths": lengths, "mode": MODES[stored.dtype.str[1:]], "range": (low, high, (low + high) / 2)}
        stored = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    else:
        told = {}
    lengths = fields.get("lengths") or told["lengths"]
    usual = {
        "intervals": lengths,
        "cell": tuple(2.0 * length for length in lengths),
        "angles": (90.0, 90.0, 90.0),
        "axes": (1, 2, 3),
        "group": 1,
        "version": 20140,
        "map": b"MAP ",
        "machine": b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0",
        "extended_bytes": len(extended),
    }
    path.write_bytes(header(order, **{**usual, **told, **fields}) + extended + stored + behind)
    return path


def zipped(path):
    """The file compressed, as EMDB has its maps."""
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()
    return packed


def seen(stored):
    """What is stored as `[section, row, column]`, as `[c, x, y, z]`."""
    return stored.T[np.newaxis]
