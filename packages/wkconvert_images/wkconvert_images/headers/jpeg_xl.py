"""The header of a JPEG XL picture, of which Pillow knows nothing.

Source: ISO/IEC 18181-1 (codestream: SizeHeader, ImageMetadata, ColourEncoding) and 18181-2 (boxes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from wkconvert_core import UnsupportedSource
from wkconvert_core.toolkit.files import broken

from .boxes import JXL, Samples, boxes

BARE = b"\xff\x0a"
"""First bytes of a codestream without boxes."""
_RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, where the width is not written."""
_SIZES = ((9, 1), (13, 1), (18, 1), (30, 1))
_ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))
_WHOLE, _FLOATS = ((0, 8), (0, 10), (0, 12), (6, 1)), ((0, 32), (0, 16), (0, 24), (6, 1))
_GREY = 1


@dataclass(frozen=True)
class JpegXl:
    """The facts of a picture, upright: the decoder turns it."""

    width: int
    height: int
    samples: Samples
    grey: bool
    alpha: bool


class _Bits:
    """Numbers of any width, the lowest bit first."""

    def __init__(self, content: bytes) -> None:
        self._left, self._count = int.from_bytes(content, "little"), 8 * len(content)

    def take(self, count: int) -> int:
        """The next bits. Raises EOFError behind the last."""
        if count > self._count:
            raise EOFError("it ends within its header")
        number, self._left = self._left & ((1 << count) - 1), self._left >> count
        self._count -= count
        return number

    def flag(self) -> bool:
        return self.take(1) == 1

    def u32(self, kinds: tuple[tuple[int, int], ...]) -> int:
        """A number in one of four widths, chosen by two bits, and what is added to it."""
        width, base = kinds[self.take(2)]
        return base + self.take(width)


def jpeg_xl(path: str, file: IO[bytes], head: bytes, size: int) -> JpegXl:
    """The facts in the header. Raises BrokenSource, UnsupportedSource for animations and channels without a meaning."""
    stream, from_jpeg = head[:1024], False
    if head.startswith(JXL):
        found = list(boxes(path, file, 0, size))
        from_jpeg = any(name == b"jbrd" for name, *_ in found)
        # a codestream in parts numbers each with 4 bytes
        starts = [start + 4 * (name == b"jxlp") for name, start, _ in found if name in (b"jxlc", b"jxlp")]
        if not starts:
            raise broken(path, "it holds no codestream", cut=True)
        file.seek(starts[0])
        stream = file.read(1024)
    if not stream.startswith(BARE):
        raise broken(path, "its codestream does not begin as one of JPEG XL does")
    return _header(path, _Bits(stream[2:]), from_jpeg=from_jpeg)


def _header(path: str, bits: _Bits, *, from_jpeg: bool) -> JpegXl:
    width, height = _size(bits)
    if bits.flag():  # all is as by default
        return JpegXl(width, height, Samples(8, lossy=True), grey=False, alpha=False)
    turned = False
    if bits.flag():
        turned = bits.take(3) >= 4
        if bits.flag():
            _size(bits)
        for what in ("a preview", "several pictures, the frames of an animation"):
            if bits.flag():
                raise UnsupportedSource(
                    f"{path} cannot be converted", why=f"it holds {what}", fix="save one picture a file"
                )
    is_float, depth = _depth(bits)
    bits.take(1)
    extras = list(_extras(bits, bits.u32(((0, 0), (0, 1), (4, 2), (12, 1)))))
    if extras not in ([], [0]):
        raise UnsupportedSource(
            f"{path} cannot be converted",
            why=f"beside its colours it holds {len(extras)} channels that are not only alpha",
            fix="save it with colours, or grey, alone",
        )
    lossy = bits.flag() or from_jpeg
    grey = False if bits.flag() else bits.take(1) >= 0 and bits.u32(_ENUM) == _GREY
    size = (height, width) if turned else (width, height)
    return JpegXl(*size, Samples(depth, lossy=lossy, is_float=is_float), grey, bool(extras))


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()

    def length() -> int:
        return 8 * (bits.take(5) + 1) if small else bits.u32(_SIZES)

    height, ratio = length(), bits.take(3)
    over, under = _RATIOS[ratio]
    return height * over // under if ratio else length(), height


def _depth(bits: _Bits) -> tuple[bool, int]:
    """Whether numbers are floats, and their bits."""
    if not bits.flag():
        return False, bits.u32(_WHOLE)
    depth = bits.u32(_FLOATS)
    bits.take(4)
    return True, depth


def _extras(bits: _Bits, count: int) -> Iterator[int]:
    """The kind of each channel beside the colours; 0 is alpha. None follows one of another kind."""
    for _ in range(count):
        kind = 0
        if not bits.flag():
            kind = bits.u32(_ENUM)
            _depth(bits)
            bits.u32(((0, 0), (0, 3), (0, 4), (3, 1)))
            bits.take(8 * bits.u32(((0, 0), (4, 0), (5, 16), (10, 48))))
            if kind == 0:
                bits.take(1)
        yield kind
        if kind:
            return
