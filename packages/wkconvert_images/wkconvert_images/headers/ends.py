"""Whether a picture's file is whole, told by its end or by the lengths in it."""

from __future__ import annotations

import struct
from typing import IO

from wkconvert_core.toolkit.files import broken


def check_end(path: str, file: IO[bytes], head: bytes, size: int) -> None:
    """Raise BrokenSource for a PNG, JPEG, BMP, GIF or WebP that stops before its end."""
    file.seek(max(0, size - 4096))
    tail = file.read()
    if head.startswith(b"\x89PNG") and b"IEND" not in tail:
        _walk_png(path, file, size)
    if head.startswith(b"\xff\xd8") and b"\xff\xd9" not in tail:
        file.seek(0)
        content = file.read()
        if content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):  # a thumbnail's end comes before the picture
            raise broken(path, f"its end marker is missing after {size} bytes", cut=True)
    if head.startswith(b"BM"):
        _check_bmp(path, head, size)
    if head.startswith(b"GIF8") and not tail.endswith(b";"):
        _walk_gif(path, file, size)
    if head.startswith(b"RIFF") and (end := int.from_bytes(head[4:8], "little") + 8) > size:
        raise broken(path, f"it is {end} bytes long by its header, the file has {size}", cut=True)


def _walk_png(path: str, file: IO[bytes], size: int) -> None:
    """Raise BrokenSource with the place where a PNG breaks off, unless its end is followed by much else."""
    at = 8
    while at + 8 <= size:
        file.seek(at)
        length, name = int.from_bytes(file.read(4), "big"), file.read(4)
        # a chunk is its length, its name, its data and a checksum of 4 bytes
        if at + 12 + length > size:
            why = f"its {name.decode('ascii', 'replace')} chunk reaches to byte {at + 12 + length}"
            raise broken(path, f"{why}, the file has {size} bytes", cut=True)
        if name == b"IEND":
            return
        at += 12 + length
    raise broken(path, f"its IEND chunk is missing after {size} bytes", cut=True)


def _check_bmp(path: str, head: bytes, size: int) -> None:
    """Raise BrokenSource where the rows of an uncompressed BMP reach beyond the end of the file."""
    if len(head) < 34:
        raise broken(path, f"a BMP's header has 54 bytes, the file has {size}", cut=True)
    start, kind, width, height = struct.unpack_from("<IIii", head, 10)
    (bits,), (compression,) = struct.unpack_from("<H", head, 28), struct.unpack_from("<I", head, 30)
    # rows are padded to multiples of 32 bits; a negative height counts rows from the top
    end = start + (abs(width) * bits + 31) // 32 * 4 * abs(height)
    if kind >= 40 and compression in (0, 3) and end > size:
        raise broken(path, f"its pixels reach to byte {end}, the file has {size} bytes", cut=True)


def _walk_gif(path: str, file: IO[bytes], size: int) -> None:
    """Raise BrokenSource where a GIF ends before its trailer, which follows the last block of the last picture."""
    file.seek(0)
    content = file.read()
    at = 13 + _colors(content[10:11])
    while at < size and content[at] != 0x3B:
        # an extension has a label, a picture its place, its colours and a number for its decoder; sub-blocks follow
        at += 2 if content[at] != 0x2C else 11 + _colors(content[at + 9 : at + 10])
        while at < size and content[at]:
            at += 1 + content[at]
        at += 1
    if at >= size:
        raise broken(path, f"its trailer is missing after {size} bytes", cut=True)


def _colors(flags: bytes) -> int:
    """Bytes of a GIF's table of colours by the flags that announce it.

    >>> _colors(bytes([0x87])), _colors(bytes([0x07]))
    (768, 0)
    """
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0
