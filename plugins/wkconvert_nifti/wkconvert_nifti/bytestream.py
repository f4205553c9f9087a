"""Bytes of a file that may be compressed: read at places that only grow, and every failure told by the file's name."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np

from wkconvert_core import BrokenSource

from .magic import GZIP

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

MOST_INFLATED = 1032
"""Deflate makes at most so many bytes of one: a match of 258 bytes takes at least two bits."""

_PIECE = 1 << 20


def broken(path: Path, why: str, *, cut: bool = False) -> BrokenSource:
    """The error for a damaged file, or one that is `cut` short."""
    return BrokenSource(
        f"{path} is {'cut short' if cut else 'damaged'}", why=why, fix="write or copy the file again, then repeat this"
    )


def is_gzip(path: Path) -> bool:
    """Whether a file starts like a gzip file, whatever its name. Raises BrokenSource."""
    with _errors(path), path.open("rb", buffering=0) as file:
        return file.read(2) == GZIP


@contextmanager
def opened(path: Path, compressed: bool) -> Iterator[BinaryIO]:
    """A file to be read, inflated if it is compressed. What goes wrong within becomes a BrokenSource."""
    with _errors(path):
        if not compressed:
            with path.open("rb", buffering=0) as raw:
                yield cast(BinaryIO, raw)
        else:
            with _gzip_open(path) as inflating:
                yield inflating


def fill(file: BinaryIO, path: Path, place: int, wanted: Array) -> None:
    """Read a contiguous array from a place in a file. Raises BrokenSource where the file ends too early."""
    file.seek(place)
    left = wanted.reshape(-1).view(np.uint8).data
    while left:
        count = file.readinto(left)  # type: ignore[attr-defined]
        if not count:
            end = place + wanted.nbytes
            raise broken(path, f"its header promises voxels to byte {end}, it ends at byte {end - len(left)}", cut=True)
        left = left[count:]


def drain(file: BinaryIO) -> None:
    """Read to the end: only there a gzip file tells whether what it held was sound."""
    rest = bytearray(_PIECE)
    while file.readinto(rest):  # type: ignore[attr-defined]
        pass


def _gzip_open(path: Path) -> BinaryIO:
    """The same as gzip's, and faster where isal is installed."""
    kind: Any = gzip.GzipFile
    with suppress(ImportError):
        from isal import igzip

        kind = igzip.IGzipFile
    return cast(BinaryIO, kind(path, "rb"))


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise broken(path, f"its compressed data ends early, after {path.stat().st_size} bytes", cut=True) from error
    except gzip.BadGzipFile as error:
        raise broken(path, f"{error}") from error
    except OSError as error:
        raise BrokenSource(f"{path} cannot be read", why=error.strerror or str(error)) from error
    except Exception as error:
        if not isinstance(error, zlib.error) and type(error).__name__ != "IsalError":
            raise
        raise broken(path, f"it cannot be decompressed: {error}") from error
