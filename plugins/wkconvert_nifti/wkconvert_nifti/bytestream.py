"""Bytes of a file that may be compressed: read at places that only grow, and every failure told by the file's name."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from wkconvert_core import BrokenSource

from .magic import GZIP

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

MOST_INFLATED = 1032
"""Deflate makes at most so many bytes of one: a match of 258 bytes takes at least two bits."""

_PIECE = 1 << 20
_COMPRESSED_PIECE = 32 << 10


class Inflated:
    """What a gzip file holds, to be read in order; going back is beginning anew.

    As gunzip does it, several members make one stream, and bytes behind a member that begin no other are left out.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = FileIO(path)
        self._begin()

    def _begin(self) -> None:
        self._file.seek(0)
        self._place, self._compressed, self._member = 0, b"", _decompressor()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def seek(self, place: int) -> None:
        """Go to a byte, or to the end if there are fewer."""
        if place < self._place:
            self._begin()
        while self._place < place and self._read(min(_PIECE, place - self._place)):
            pass

    def readinto(self, wanted: memoryview | bytearray) -> int:
        """Read some of the wanted bytes, none only at the end; raises EOFError where the file is cut short."""
        data = self._read(len(wanted))
        wanted[: len(data)] = data
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
                raise EOFError
        return b""

    def _at_another(self) -> bool:
        """Go on to the next member, if there is one; zeros may lie between."""
        self._compressed = self._compressed.lstrip(b"\0")
        while len(self._compressed) < len(GZIP) and self._more():
            self._compressed = self._compressed.lstrip(b"\0")
        if self._compressed.startswith(GZIP):
            self._member = _decompressor()
        return not self._member.eof

    def _more(self) -> bool:
        piece = self._file.read(_COMPRESSED_PIECE)
        self._compressed += piece
        return bool(piece)


Reader: TypeAlias = FileIO | Inflated


def _decompressor() -> Any:
    """For one gzip member; faster where isal is installed."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj(31)
    return isal_zlib.decompressobj(31)


def broken(path: Path, why: str, *, cut: bool = False) -> BrokenSource:
    """The error for a damaged file, or one that is `cut` short."""
    return BrokenSource(
        f"{path} is {'cut short' if cut else 'damaged'}", why=why, fix="write or copy the file again, then repeat this"
    )


def bytes_of(path: Path, count: int, place: int = 0) -> bytes:
    """Bytes as they lie in a file, fewer where it ends. Raises BrokenSource."""
    with _errors(path), path.open("rb", buffering=0) as file:
        file.seek(place)
        return file.read(count)


@contextmanager
def opened(path: Path, compressed: bool) -> Iterator[Reader]:
    """A file to be read, inflated if it is compressed. What goes wrong within becomes a BrokenSource."""
    with _errors(path), closing(Inflated(path) if compressed else FileIO(path)) as file:
        yield file


def fill(file: Reader, path: Path, place: int, wanted: Array) -> None:
    """Read a contiguous array from a place in a file. Raises BrokenSource where the file ends too early."""
    file.seek(place)
    left = wanted.reshape(-1).view(np.uint8).data
    while left:
        count = file.readinto(left)
        if not count:
            end = place + wanted.nbytes
            raise broken(path, f"its header promises voxels to byte {end}, it ends at byte {end - len(left)}", cut=True)
        left = left[count:]


def drain(file: Reader) -> None:
    """Read to the end: only there a gzip file tells whether what it held was sound."""
    rest = bytearray(_PIECE)
    while file.readinto(rest):
        pass


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise broken(path, f"its compressed data ends early, after {path.stat().st_size} bytes", cut=True) from error
    except OSError as error:
        raise BrokenSource(f"{path} cannot be read", why=error.strerror or str(error)) from error
    except Exception as error:
        if not isinstance(error, zlib.error) and type(error).__name__ != "IsalError":
            raise
        raise broken(path, f"it cannot be decompressed: {error}") from error
