"""Files whose voxels may be deflated, as one gzip or zlib stream, read as if they were not."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any, Literal, TypeAlias

from wkconvert_core.toolkit.files import open_file, raw_file, reading

__all__ = ["GZIP", "MOST_INFLATED", "Packing", "Reader", "bytes_of", "drain", "inflated", "opened"]

GZIP = b"\x1f\x8b"
"""The first bytes of a gzip member."""

Packing: TypeAlias = Literal["", "gzip", "zlib", "zip"]
"""The compression of the voxels' bytes; empty for none."""

MOST_INFLATED = 1032
"""Most bytes that deflate makes of one: a match of 258 bytes takes at least two bits."""

_PIECE = 1 << 20
_COMPRESSED_PIECE = 32 << 10


class Inflated:
    """The content of a gzip or zlib stream, to be read forwards; seeking back starts again from the beginning.

    As with gunzip, several members of gzip make one stream, and bytes behind a member that do not begin another are
    ignored.
    """

    def __init__(self, path: Path, codec: Any, packing: Packing, base: int) -> None:
        """`codec` is zlib or isal_zlib; the stream begins at byte `base`. Raises OSError."""
        self._file, self._codec, self._base = raw_file(path), codec, base
        self._window = 31 if packing == "gzip" else 15
        self._begin()

    def _begin(self) -> None:
        self._file.seek(self._base)
        self._place, self._compressed, self._member = 0, b"", self._codec.decompressobj(self._window)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def seek(self, place: int, /) -> None:
        """Go to a byte, or to the end if there are fewer."""
        if place < self._place:
            self._begin()
        while self._place < place and self._read(min(_PIECE, place - self._place)):
            pass

    def readinto(self, buffer: memoryview | bytearray, /) -> int:
        """Fill a part of the buffer, and return how many bytes; 0 at the end. Raises EOFError for a file cut short."""
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _read(self, most: int) -> bytes:
        while not self._member.eof or self._at_another():
            data: bytes = self._member.decompress(self._compressed, most)
            ended = self._member.eof
            self._compressed = self._member.unused_data if ended else self._member.unconsumed_tail
            if data:
                self._place += len(data)
                return data
            if not ended and not self._compressed and not self._more():
                raise EOFError(f"its compressed data end after {self._file.tell()} bytes")
        return b""

    def _at_another(self) -> bool:
        """Go on to the next member, if there is one; zeros may lie between."""
        self._compressed = self._compressed.lstrip(b"\0")
        while len(self._compressed) < len(GZIP) and self._more():
            self._compressed = self._compressed.lstrip(b"\0")
        if self._window == 31 and self._compressed.startswith(GZIP):
            self._member = self._codec.decompressobj(31)
        return not self._member.eof

    def _more(self) -> bool:
        piece = self._file.read(_COMPRESSED_PIECE)
        self._compressed += piece
        return bool(piece)


Reader: TypeAlias = FileIO | Inflated | zipfile.ZipExtFile


def bytes_of(path: Path, count: int, place: int = 0) -> bytes:
    """Bytes of a file as stored, fewer where it ends. Raises SourceNotFound, BrokenSource."""
    with reading(path), raw_file(path) as file:
        file.seek(place)
        return file.read(count)


def inflated(head: bytes, most: int) -> bytes:
    """At most so many of the first bytes of a file, inflated if it is a gzip file; nothing if that is damaged.

    >>> import gzip
    >>> inflated(gzip.compress(b"header and voxels")[:-4], 6), inflated(b"header and voxels", 6)
    (b'header', b'header')
    """
    if not head.startswith(GZIP):
        return head[:most]
    try:
        return zlib.decompressobj(31).decompress(head, most)
    except zlib.error:
        return b""


@contextmanager
def opened(path: Path, packing: Packing, base: int = 0) -> Iterator[Reader]:
    """Open a file to be read; with a packing, what is inflated from byte `base` on, or the member that begins there.

    Raises SourceNotFound, BrokenSource, also within.
    """
    if packing == "zip":
        errors = (zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, StopIteration)
        with reading(path, *errors), open_file(path) as held, zipfile.ZipFile(held) as archive:
            entry = next(one for one in archive.infolist() if one.header_offset == base)
            member: Any = archive.open(entry)  # reading it to its end compares its checksum
            with closing(member):
                yield member
        return
    codec: Any = zlib
    if packing:
        with suppress(ImportError):
            from isal import isal_zlib as codec  # faster than zlib, but not on every platform
    with reading(path, codec.error):
        file = Inflated(path, codec, packing, base) if packing else raw_file(path)
        with closing(file):
            yield file


def drain(file: Reader) -> None:
    """Read to the end: the checksum of a compressed stream is checked only there."""
    rest = bytearray(_PIECE)
    while file.readinto(rest):
        pass
