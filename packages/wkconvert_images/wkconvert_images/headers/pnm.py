"""PNM: PGM and PPM, whose numbers Pillow stretches to 255 or 65535, read here as they are.

Source: the pages pgm(5) and ppm(5) of Netpbm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO

import numpy as np

from wkconvert_core import UnsupportedSource
from wkconvert_core.toolkit.files import broken, raw_file

from ..facts import Array

MOST = 65535
"""The largest maxval."""
_NUMBER = rb"(?:\s|#[^\r\n]*[\r\n])+([0-9]{1,9})"
_HEADER = re.compile(rb"P([2356])" + 3 * _NUMBER + rb"\s")
"""Magic number, width, height and maxval, comments between them, and one blank before binary numbers."""
_BITMAP = re.compile(rb"P4" + 2 * _NUMBER + rb"\s")
"""That of a binary PBM: width and height; eight pixels are a byte, and rows begin at whole bytes."""
_NEXT = re.compile(rb"\s*P[1-7]\s+[0-9#W]")


@dataclass(frozen=True)
class Pnm:
    """The header of a PGM or PPM."""

    width: int
    height: int
    samples: int
    maxval: int
    start: int
    """Where the numbers begin."""
    in_words: bool
    """Whether numbers are written in decimal digits."""

    @property
    def stored(self) -> np.dtype[np.uint8 | np.uint16]:
        """Type of the binary numbers, the highest byte first."""
        return np.dtype("u1" if self.maxval < 256 else ">u2")

    @property
    def dtype(self) -> str:
        """Type of the numbers as they are read."""
        return f"u{self.stored.itemsize}"

    @property
    def end(self) -> int:
        """Where binary numbers end."""
        return self.start + self.width * self.height * self.samples * self.stored.itemsize


def pnm_header(path: str, file: IO[bytes], head: bytes, size: int) -> Pnm | None:
    """The header of a PGM or PPM; None for other PNM.

    Raises BrokenSource for a file that is cut short, UnsupportedSource for several pictures in one, also of PBM.
    """
    if bitmap := _BITMAP.match(head):
        width, height = map(int, bitmap.groups())
        _check_last(path, file, bitmap.end() + (width + 7) // 8 * height, size)
    if (match := _HEADER.match(head)) is None:
        return None
    kind, width, height, maxval = map(int, match.groups())
    found = Pnm(width, height, 3 if kind in (3, 6) else 1, maxval, match.end(), kind < 4)
    if not 0 < maxval <= MOST:
        raise broken(path, f"its maxval is {maxval}, not one of 1 to {MOST}")
    if not found.in_words:
        _check_last(path, file, found.end, size)
    return found


def _check_last(path: str, file: IO[bytes], end: int, size: int) -> None:
    """Raise BrokenSource for binary pixels that reach beyond the file, UnsupportedSource if another picture follows."""
    if end > size:
        raise broken(path, f"its pixels reach to byte {end}, the file has {size} bytes", cut=True)
    file.seek(end)
    if _NEXT.match(file.read(100)):
        raise UnsupportedSource(
            f"{path} holds several pictures", why="another follows the first", fix="save each as a picture of its own"
        )


def read_pnm(path: str, pnm: Pnm) -> Array:
    """The numbers [y, x, sample] of a PGM or PPM. Raises BrokenSource for ones above its maxval."""
    count = pnm.width * pnm.height * pnm.samples
    with raw_file(path) as file:
        content = file.read() if pnm.in_words else file.read(pnm.end)
    if pnm.in_words:
        words = re.sub(rb"#[^\r\n]*", b"", content[pnm.start :]).split()
        if len(words) != count:
            raise broken(path, f"{count} numbers expected, {len(words)} found", cut=len(words) < count)
        numbers = np.array(words).astype(np.int64)
    else:
        numbers = np.frombuffer(content, pnm.stored, count, pnm.start)
    if numbers.size and (numbers.min() < 0 or numbers.max() > pnm.maxval):
        raise broken(path, f"its numbers are {numbers.min()} to {numbers.max()}, beyond its maxval of {pnm.maxval}")
    pixels: Array = numbers.astype(pnm.dtype)
    return pixels.reshape(pnm.height, pnm.width, pnm.samples)
