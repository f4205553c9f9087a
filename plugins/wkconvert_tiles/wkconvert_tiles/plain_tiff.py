"""TIFF of numbers that Pillow does not read, such as labels of 64 bits: strips, raw or in deflate, of one picture.

Facts of the format: TIFF 6.0, and BigTIFF, whose tables Pillow reads. What is not as simple as this is refused.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import BrokenSource, UnsupportedSource

from .picture import MOST_PER_BYTE, Array, DType, Facts, Rectangle, broken

_KINDS = {1: "u", 2: "i", 3: "f"}
"""numpy's letters for SampleFormat."""
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STARTS, _ORIENTATION, _SAMPLES = (
    *(256, 257, 258, 259, 262, 273, 274, 277),
)
_ROWS, _COUNTS, _PLANAR, _PREDICTOR, _TILES, _FORMAT = 278, 279, 284, 317, 324, 339
_LEGAL = {_COMPRESSION: (1, 8, 32946), _ORIENTATION: (1,), _PLANAR: (1,), _PREDICTOR: (1,)}
_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class _Plain:
    """One file's table."""

    path: str
    facts: Facts
    dtype: DType
    """As it is stored."""
    rows: int
    """Of a strip."""
    strips: tuple[tuple[int, int], ...]
    """Where each begins, and its bytes."""
    is_packed: bool

    def pixels(self) -> Array:
        """All pixels `[y, x, c]`. Raises BrokenSource for a strip that does not hold what it must."""
        width, channels = self.facts.width, self.facts.channels
        out = np.empty((self.facts.height, width, channels), self.facts.dtype)
        with Path(self.path).open("rb") as file:
            for (start, count), top in zip(self.strips, range(0, self.facts.height, self.rows), strict=True):
                part = out[top : top + self.rows]
                file.seek(start)
                data = self._unpacked(file.read(count), part.nbytes, top)
                part[...] = np.frombuffer(data, self.dtype).reshape(part.shape)
        return out

    def _unpacked(self, data: bytes, size: int, top: int) -> bytes:
        if self.is_packed:
            try:
                data = zlib.decompressobj().decompress(data, size + 1)
            except zlib.error as error:
                raise broken(self.path, f"the strip at row {top} does not decompress: {error}") from error
        if len(data) != size:
            raise broken(self.path, f"the strip at row {top} has {len(data)} bytes, not {size}")
        return data


def read_header(path: str) -> Facts:
    """What a tile is. Raises BrokenSource, UnsupportedSource."""
    return _plain(path).facts


def read_pixels(path: str, choose: Callable[[Facts], Rectangle]) -> Array:
    """A part of a tile's pixels `[y, x, c]`, which `choose` names. Raises BrokenSource, UnsupportedSource."""
    plain = _plain(path)
    left, top, right, bottom = choose(plain.facts)
    return plain.pixels()[top:bottom, left:right]


def is_tiff(path: str) -> bool:
    """Whether a file begins as a TIFF does."""
    try:
        with Path(path).open("rb") as file:
            return file.read(4) in _MARKS
    except OSError:
        return False


def _plain(path: str) -> _Plain:
    try:
        size, tags, order = table(path)
        return _understood(path, size, tags, order)
    except (BrokenSource, UnsupportedSource):
        raise
    except OSError as error:
        raise broken(path, error.strerror or str(error)) from error
    except Exception as error:  # of damaged tables, Pillow raises whatever it runs into
        raise broken(path, str(error) or type(error).__name__) from error


def table(path: str) -> tuple[int, dict[int, Any], str]:
    """A file's size, the tags of its only picture, each a tuple, and its byte order. Raises whatever Pillow raises."""
    from PIL import TiffImagePlugin

    with Path(path).open("rb") as file:
        head = file.read(16)
        found = TiffImagePlugin.ImageFileDirectory_v2(head[: 16 if head[2:3] == b"+" or head[3:4] == b"+" else 8])
        file.seek(found.next)
        found.load(file)
        tags = {tag: value if isinstance(value, tuple) else (value,) for tag, value in dict(found).items()}
        if found.next:
            raise UnsupportedSource(f"{path} holds several pictures", why="a tile is one", fix="save them one by one")
        return file.seek(0, 2), tags, ">" if found.prefix == b"MM" else "<"


def _understood(path: str, size: int, tags: dict[int, Any], order: str) -> _Plain:
    width, height, samples = tags[_WIDTH][0], tags[_HEIGHT][0], tags.get(_SAMPLES, (1,))[0]
    bits, kinds = set(tags.get(_BITS, (1,))), set(tags.get(_FORMAT, (1,)))
    odd = [f"tag {tag} is {tags[tag][0]}" for tag, legal in _LEGAL.items() if tag in tags and tags[tag][0] not in legal]
    odd += [f"{samples} samples per pixel"] if samples != 1 or tags.get(_PHOTOMETRIC, (1,))[0] != 1 else []
    odd += [f"{bits} bits in formats {kinds}"] if len(bits | kinds) > 2 or min(bits) not in (8, 16, 32, 64) else []
    if odd or _TILES in tags or min(kinds) not in _KINDS:
        raise UnsupportedSource(f"{path} cannot be read", why="; ".join(odd) or "it is cut into tiles of its own")
    dtype = np.dtype(f"{order}{_KINDS[min(kinds)]}{min(bits) // 8}")
    rows = min(tags.get(_ROWS, (height,))[0], height)
    strips = tuple(zip(tags[_STARTS], tags[_COUNTS], strict=True))
    if rows < 1 or len(strips) != math.ceil(height / rows) or any(sum(strip) > size for strip in strips):
        raise broken(path, "its strips do not fit its size")
    if width * height * dtype.itemsize > MOST_PER_BYTE * size:
        raise broken(
            path, f"{size} bytes cannot hold {width} x {height} pixels: that is more than {MOST_PER_BYTE} to 1"
        )
    facts = Facts(width, height, dtype.newbyteorder("="), 1, grey_palette=False, notes=())
    return _Plain(path, facts, dtype, rows, strips, tags.get(_COMPRESSION, (1,))[0] != 1)
