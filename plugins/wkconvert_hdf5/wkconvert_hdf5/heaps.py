"""Heaps of texts: damage in them that would keep HDF5's library busy for ever, in a loop that nothing interrupts.

Texts of variable length lie in global heaps, which the library walks through from object to object; it does not get
past a free one of the size 0. Layouts: HDF5 File Format Specification 3.0, III.E (global heap) and IV.A.1.a (object
headers of version 1, which HDF5 writes by default; others are not looked at).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from io import FileIO
from typing import Any

from wkconvert_core.toolkit.files import raw_file

_HEADER, _CONTINUATION = 16, 0x10
"""Bytes before the messages of an object header, and before those of each object in a heap; a kind of message."""
_MOST = 16 << 20
"""Most bytes of a heap or a block that are looked at."""


def check_heaps(item: Any) -> None:
    """Raise ValueError if a heap that an object's attributes refer to has no end."""
    import h5py

    with raw_file(item.file.filename) as file:
        base = item.file.userblock_size
        for block in _blocks(file, base, h5py.h5o.get_info(item.id).addr):
            for place in range(len(block) - 7):
                (address,) = struct.unpack_from("<Q", block, place)
                if _bytes(file, base + address, 4) == b"GCOL":
                    _check_heap(file, base + address)


def _blocks(file: FileIO, base: int, address: int) -> Iterator[bytes]:
    """The messages of an object header, and those of the blocks that continue it."""
    version, length = struct.unpack("<B7xI4x", _bytes(file, base + address, _HEADER).ljust(_HEADER, b"\0"))
    waiting, seen = [(address + _HEADER, length)] if version == 1 else [], set[int]()
    while waiting:
        start, length = waiting.pop()
        if start in seen or not 0 < length <= _MOST:
            continue
        seen.add(start)
        block = _bytes(file, base + start, length)
        yield block
        at = 0
        while at + 24 <= len(block):
            kind, size = struct.unpack_from("<HH", block, at)
            if kind == _CONTINUATION:
                waiting.append(struct.unpack_from("<QQ", block, at + 8))
            at += 8 + size


def _check_heap(file: FileIO, start: int) -> None:
    (length,) = struct.unpack("<8xQ", _bytes(file, start, _HEADER).ljust(_HEADER, b"\0"))
    content, at = _bytes(file, start, min(length, _MOST)), _HEADER
    while at + _HEADER <= len(content):
        index, size = struct.unpack_from("<H6xQ", content, at)
        if index == 0 and size < _HEADER:
            raise ValueError(f"the heap of texts at byte {start} has a free object of {size} bytes")
        at += size if index == 0 else _HEADER + -(-size // 8) * 8


def _bytes(file: FileIO, place: int, count: int) -> bytes:
    """Bytes of a file, fewer or none where it ends before."""
    if place >= file.seek(0, os.SEEK_END):
        return b""
    file.seek(place)
    return file.read(count)
