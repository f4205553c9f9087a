"""Boxes and chunks, of which files of JPEG 2000, AVIF and WebP consist, and the codings that they hold.

Sources: ISO/IEC 15444-1 (JPEG 2000: markers in annex A, boxes in annex I), ISO/IEC 14496-12 (boxes), AV1-ISOBMFF
(av1C), RFC 9649 (WebP).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from wkconvert_core import UnsupportedSource
from wkconvert_core.toolkit.files import broken

JP2, J2K, JXL = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", b"\0\0\0\x0cJXL \r\n\x87\n"
"""First bytes of a JP2 file, of a bare codestream of JPEG 2000, of a JPEG XL file in boxes."""
_MOST_COMPONENTS = 16384
_FOLDERS = {b"meta": 4, b"iprp": 0, b"ipco": 0}
"""Boxes of AVIF that hold boxes, on the way to `av1C`, and the bytes before those."""


@dataclass(frozen=True)
class Samples:
    """The numbers of a picture as they are coded."""

    bits: int
    signed: bool = False
    lossy: bool = False
    """Whether the coding changes numbers in any case."""
    is_float: bool = False

    @property
    def dtype(self) -> str | None:
        """The smallest dtype that holds the numbers, which are not stretched; None if none does.

        >>> Samples(12).dtype, Samples(8, signed=True).dtype, Samples(20).dtype, Samples(32, is_float=True).dtype
        ('u2', 'i1', None, 'f4')
        """
        if self.is_float:
            return "f4" if self.bits == 32 else None
        return f"{'i' if self.signed else 'u'}{1 if self.bits <= 8 else 2}" if self.bits <= 16 else None

    def __str__(self) -> str:
        """`12-bit integers`."""
        return f"{self.bits}-bit {'floats' if self.is_float else 'signed integers' if self.signed else 'integers'}"


def boxes(path: str, file: IO[bytes], start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The name of each box between two bytes of a file, and where its content begins and ends.

    Raises BrokenSource for a box that reaches beyond the end.
    """
    while start < end:
        file.seek(start)
        head = file.read(16)
        length, name = (*struct.unpack_from(">I4s", head),) if len(head) >= 8 else (8, b"")
        wide = length == 1 and len(head) == 16
        size = struct.unpack_from(">Q", head, 8)[0] if wide else length or end - start
        if start + size > end or not name:
            shown = name.decode("ascii", "replace")
            raise broken(path, f"its box {shown} reaches to byte {start + size}, of {end}", cut=True)
        if size < (16 if wide else 8):
            raise broken(path, f"its box at byte {start} is {size} bytes long")
        yield name, start + (16 if wide else 8), start + size
        start += size


def jpeg2000(path: str, file: IO[bytes], head: bytes, size: int) -> Samples:
    """The numbers of a JP2 file or a bare codestream. Raises BrokenSource, UnsupportedSource."""
    start, end = 0, size
    if head.startswith(JP2):
        streams = [(first, last) for name, first, last in boxes(path, file, 0, size) if name == b"jp2c"]
        if len(streams) != 1:
            raise broken(path, f"a JP2 file holds one codestream, this {len(streams)}", cut=not streams)
        start, end = streams[0]
    file.seek(max(start, end - 4096))
    if b"\xff\xd9" not in file.read(end - file.tell()):
        raise broken(path, f"its end marker is missing after {size} bytes", cut=True)
    file.seek(start)
    stream = file.read(min(end - start, 1 << 16))
    if not stream.startswith(J2K):
        raise broken(path, "its codestream does not begin as one of JPEG 2000 does")
    (count,) = struct.unpack_from(">H", stream, 40)
    found = set(struct.iter_unpack("3B", stream[42 : 42 + 3 * min(count, _MOST_COMPONENTS)]))
    if len(found) != 1 or any(step != [1, 1] for _, *step in found):
        raise UnsupportedSource(
            f"{path} cannot be converted",
            why="its components differ in bits or resolution",
            fix="save it with equal components",
        )
    ((depth, *_),) = found
    return Samples((depth & 127) + 1, depth > 127, not _is_reversible(path, stream))


def _is_reversible(path: str, stream: bytes) -> bool:
    """Whether the wavelet is the one of integers: the last number of the first COD marker is 1."""
    at = 2
    while at + 14 <= len(stream):
        marker, length = struct.unpack_from(">2H", stream, at)
        if marker == 0xFF52:
            return stream[at + 13] == 1
        at += 2 + length
    raise broken(path, "its codestream does not say how it is coded")


def avif(path: str, file: IO[bytes], size: int) -> Samples:
    """The numbers of an AVIF file: the most bits of its parts, such as the tiles of a grid. Raises BrokenSource."""
    depths = {(12 if flags & 32 else 10) if flags & 64 else 8 for flags in _av1(path, file, 0, size)}
    if not depths:
        raise broken(path, "its header does not say how it is coded")
    return Samples(max(depths))


def _av1(path: str, file: IO[bytes], start: int, end: int) -> Iterator[int]:
    """The byte of each `av1C` that has the bit depth: 64 for more than 8 bits, 32 with it for 12."""
    for name, first, last in boxes(path, file, start, end):
        if name in _FOLDERS:
            yield from _av1(path, file, first + _FOLDERS[name], last)
        elif name == b"av1C":
            file.seek(first + 2)
            yield file.read(1)[0]


def webp_is_lossy(path: str, file: IO[bytes], size: int) -> bool:
    """Whether a WebP file has a lossy picture: a chunk `VP8 ` rather than `VP8L`. Raises BrokenSource without one."""
    at = 12
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name in (b"VP8 ", b"VP8L"):
            return bool(name == b"VP8 ")
        # the picture of an animation, of which there may be one, lies in a chunk behind 16 bytes
        at += 24 if name == b"ANMF" else 8 + length + length % 2
    raise broken(path, "it holds no picture", cut=True)
