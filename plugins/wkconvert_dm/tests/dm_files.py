"""Writes DM3 and DM4 files of either byte order, as the tests need them, and opens them."""

import struct
from dataclasses import dataclass

import numpy as np
from helpers import paths

import wkconvert_dm
from wkconvert_core.testing import Reader

SAMPLES = paths.SAMPLES / "dm"

DM = Reader(wkconvert_dm, "dm")
detect, layer, source, voxels = DM.detect, DM.layer, DM.source, DM.voxels

FLAVOURS = [(3, "<"), (3, ">"), (4, "<"), (4, ">")]
"""Versions and byte orders."""

CODES = {"i2": 2, "i4": 3, "u2": 4, "u4": 5, "f4": 6, "f8": 7, "b1": 8, "i1": 9, "u1": 10, "i8": 11, "u8": 12}
KINDS = {
    "int16": 1,
    "float32": 2,
    "complex64": 3,
    "uint8": 6,
    "int32": 7,
    "int8": 9,
    "uint16": 10,
    "uint32": 11,
    "float64": 12,
    "complex128": 13,
    "bool": 14,
}


@dataclass
class Value:
    """A value of the tree: its type, and its bytes once the byte order is known."""

    kind: tuple
    array: np.ndarray


def number(value, code="u4"):
    return Value((CODES[code],), np.array(value, code))


def text(value):
    units = np.frombuffer(value.encode("utf-16-le"), "<u2")
    return Value((20, CODES["u2"], len(units)), units)


def values(array):
    """The values of an image, as DigitalMicrograph describes them."""
    if array.dtype.kind == "c":
        part = CODES[f"f{array.itemsize // 2}"]
        return Value((20, 15, 0, 2, 0, part, 0, part, array.size), array)
    return Value((20, CODES[array.dtype.str[1:]], array.size), array)


def image(voxels, kind=None, scales=(), name="", form=None, size=None, stage=()):
    """The tags of an image from `voxels[..., z, y, x]`; `kind` 23 takes them as 0xAARRGGBB."""
    calibrated = [{"Origin": number(0, "f4"), "Scale": number(s, "f4"), "Units": text(unit)} for s, unit in scales]
    tags = {
        "ImageData": {
            "Calibrations": {"Dimension": calibrated},
            "Data": values(voxels),
            "DataType": number(kind or KINDS[voxels.dtype.name]),
            "Dimensions": [number(extent) for extent in size or voxels.shape[::-1]],
            "PixelDepth": number(voxels.itemsize),
        },
        "Name": text(name),
    }
    more = {"Meta Data": {"Format": text(form)}} if form else {}
    if stage:
        places = {f"Stage {axis}": number(place, "f4") for axis, place in zip("XYZ", stage, strict=False)}
        more |= {"Microscope Info": {"Stage Position": places}}
    return tags | ({"ImageTags": more} if more else {})


THUMBNAIL = image(np.arange(12, dtype="i4").reshape(3, 4), 23)


def tree(*images, thumbnail=True):
    """The root of a file's tags, with many kinds of values that no reader needs."""
    return {
        "ApplicationBounds": Value((15, 0, 4, 0, 3, 0, 3, 0, 3, 0, 3), np.arange(4, dtype="i4")),
        "Padding": Value((20, 15, 0, 2, 0, 2, 0, 8, 3), np.zeros(9, "u1")),
        "Text": Value((18, 5), np.frombuffer(b"hello", "u1")),
        "Nested": Value((20, 20, 3, 2, 2), np.arange(4, dtype="i4")),
        "ImageList": [THUMBNAIL, *images] if thumbnail else list(images),
        "Thumbnails": [{"ImageIndex": number(0)}] if thumbnail else [],
        "Wide": number(1 << 40, "u8"),
    }


def encode(root, version=3, order="<"):
    """The bytes of a file."""
    word = ">Q" if version == 4 else ">I"

    def group(tags):
        entries = tags.items() if isinstance(tags, dict) else (("", tag) for tag in tags)
        found = b"".join(entry(name.encode(), tag) for name, tag in entries)
        return b"\1\0" + struct.pack(word, len(tags)) + found

    def entry(name, tag):
        if isinstance(tag, Value):
            words = b"".join(struct.pack(word, each) for each in (len(tag.kind), *tag.kind))
            body = b"%%%%" + words + tag.array.astype(tag.array.dtype.newbyteorder(order)).tobytes()
        else:
            body = group(tag)
        size = struct.pack(word, len(body)) if version == 4 else b""
        return struct.pack(">BH", 21 if isinstance(tag, Value) else 20, len(name)) + name + size + body

    body = group(root)
    return struct.pack(">I", version) + struct.pack(word, len(body)) + struct.pack(">I", order == "<") + body + bytes(8)


def write(path, *images, version=3, order="<", thumbnail=True):
    path.write_bytes(encode(tree(*images, thumbnail=thumbnail), version, order))
    return path


def volume(array):
    """`[c, x, y, z]` from `[z, y, x]` or `[y, x]`."""
    return array.reshape(-1, *array.shape[-2:]).transpose(2, 1, 0)[np.newaxis]
