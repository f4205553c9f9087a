"""One tile: what its header says, and its pixels, by Pillow.

Pillow changes the values of some pictures without a word: it cuts 16-bit colour, JPEG 2000 and AVIF to 8 bits, takes
int8 for uint8, uint32 for int32, stretches PNM to its maxval, and loses the byte order of compressed big-endian TIFF.
What is not listed here as read right is refused.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import BrokenSource, UnsupportedSource, WkconvertError

Array = np.ndarray[Any, np.dtype[Any]]
DType = np.dtype[Any]
Rectangle = tuple[int, int, int, int]
"""Left, top, and right, bottom, which are no longer in it."""

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
"""What Pillow may take a file for; of the dozens more that it knows, some would run other programs."""
_MODES = {"1": "?", "L": "u1", "LA": "u1", "P": "u1", "RGB": "u1", "RGBA": "u1"}
"""The dtype of each of Pillow's modes that is read."""
_TIFF = {
    ("1", 1, 1): "?",
    ("L", 1, 8): "u1",
    ("LA", 1, 8): "u1",
    ("P", 1, 8): "u1",
    ("RGB", 1, 8): "u1",
    ("RGBA", 1, 8): "u1",
    ("I;16", 1, 16): "u2",
    ("I;16B", 1, 16): "u2",
    ("I", 1, 32): "u4",
    ("I", 2, 16): "i2",
    ("I", 2, 32): "i4",
    ("F", 3, 32): "f4",
}
"""The dtype of a TIFF by Pillow's mode, SampleFormat and BitsPerSample."""
_PNM = {("1", b""): "?", ("L", b"255"): "u1", ("RGB", b"255"): "u1", ("I", b"65535"): "u2"}
"""The dtype of a PNM by Pillow's mode and maxval; Pillow stretches others."""
_COLOR = ("RGB", "RGBA")
_ENDS = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
"""What a whole file has near its end."""
MOST_PER_BYTE = 10_000
"""Bytes of pixels that a byte of file may stand for."""


@dataclass(frozen=True)
class Facts:
    """What a tile's header says."""

    width: int
    height: int
    dtype: DType
    channels: int
    grey_palette: bool
    """Whether its colours are all grey, and may as well stand among others."""
    notes: tuple[str, ...]

    def fits(self, dtype: DType, channels: int) -> bool:
        """Whether it can be read as this kind of pixels."""
        return self.dtype == dtype and (self.channels == channels or (self.grey_palette and channels == 3))

    def __str__(self) -> str:
        """`uint8 grey`."""
        return f"{self.dtype} {'RGB' if self.channels == 3 else 'grey'}"


def read_header(path: str) -> Facts:
    """What a tile is; its pixels are decoded only if its end is not what it should be.

    Raises BrokenSource, UnsupportedSource.
    """
    with _opened(path) as (picture, facts, is_whole):
        if not is_whole:
            picture.load()
    return facts


def read_pixels(path: str, choose: Callable[[Facts], Rectangle]) -> Array:
    """A part of a tile's pixels `[y, x, c]`, c being 3 with colours or a palette.

    `choose` says which part, or refuses the tile before it is decoded. Only that part is copied out of what Pillow
    decodes. Raises BrokenSource, UnsupportedSource.
    """
    with _opened(path) as (picture, facts, _):
        part = choose(facts)
        picture.load()
        if picture.size != (facts.width, facts.height):
            raise broken(path, f"{picture.size[0]} x {picture.size[1]} pixels were decoded")
        found = picture if part == (0, 0, *picture.size) else picture.crop(part)
        pixels = np.asarray(found).astype(facts.dtype, copy=False)
        if picture.mode == "P":
            pixels = _palette(picture)[pixels]
    return pixels.reshape(*pixels.shape[:2], 1 if pixels.ndim == 2 else pixels.shape[2])


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[Any, Facts, bool]]:
    """A picture, what its header says, and whether its file ends as it should; closed in the end."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Path(path).open("rb") as file:
            head, size = file.read(4096), file.seek(0, 2)
            file.seek(max(0, size - 4096))
            tail = file.read()
            if not size:
                raise broken(path, "the file has 0 bytes")
            file.seek(0)
            with Image.open(file, formats=_formats(path)) as picture:
                yield picture, _facts(path, picture, head, size), _is_whole(picture, tail, size)
    except WkconvertError:
        raise
    except UnidentifiedImageError as error:
        listed = ", ".join(_formats(path))
        why = f"it is damaged, or none of {listed} (Pillow's names), or of a kind such as TIFF of 64-bit numbers"
        raise broken(path, why) from error
    except OSError as error:
        raise broken(path, error.strerror or str(error)) from error
    except Exception as error:  # of damaged files, Pillow raises whatever its parsers run into
        raise broken(path, str(error) or type(error).__name__) from error


def _formats(path: str) -> tuple[str, ...]:
    """What a file may be; TGA has no mark of its own, so that only its name tells."""
    return (*_FORMATS, "TGA") if path.lower().endswith(".tga") else _FORMATS


def _facts(path: str, picture: Any, head: bytes, size: int) -> Facts:
    width, height = picture.size
    dtype, palette = np.dtype(_dtype(path, picture, head)), picture.mode == "P"
    _refuse_unclear(path, picture)
    grey_palette = palette and _is_grey(_palette(picture))
    color = picture.mode in _COLOR or (palette and not grey_palette)
    declared = width * height * dtype.itemsize * (3 if color else 1)
    if declared > MOST_PER_BYTE * size:
        why = f"{size} bytes cannot hold {width} x {height} pixels: that is more than {MOST_PER_BYTE} to 1"
        raise broken(path, why)
    return Facts(width, height, dtype, 3 if color else 1, grey_palette, tuple(_notes(picture, head)))


def _dtype(path: str, picture: Any, head: bytes) -> str:
    """The dtype of the pixels; raises UnsupportedSource where Pillow would change their values."""
    what = f"{picture.mode} (Pillow's name)"
    if picture.format == "TIFF":
        found, what = _tiff(picture)
    elif picture.format == "PPM":
        found, what = _pnm(picture, head)
    elif picture.format == "PNG" and head[24] == 16:
        found, what = ("u2" if head[25] == 0 else None), "16-bit PNG in colour or with alpha"
    else:
        found = _MODES.get(picture.mode)
    if found is None:
        raise UnsupportedSource(
            f"{path} cannot be converted",
            why=f"its pixels are {what}, which is not read here",
            fix="save the tiles as 8-bit grey or RGB, or as 16-bit grey PNG or TIFF",
        )
    return found


def _tiff(picture: Any) -> tuple[str | None, str]:
    """The dtype of a TIFF, if it is read right, and its description."""
    tags = picture.tag_v2
    bits, formats = (set(tags.get(tag, (1,))) for tag in (258, 339))
    compression, big = picture.info.get("compression"), tags.prefix == b"MM"
    numbers = f"{'/'.join(map(str, sorted(bits)))} bits, SampleFormat {'/'.join(map(str, sorted(formats)))}"
    what = f"TIFF of {numbers}, {'big' if big else 'little'}-endian, compression {compression}"
    inverted = tags.get(262) == 0
    if len(bits) > 1 or len(formats) > 1 or (inverted and max(bits) > 8):
        return None, what + (", in which white is 0" if inverted else "")
    if big and picture.mode in ("I", "F") and compression != "raw":
        return None, what
    return _TIFF.get((picture.mode, *formats, *bits)), what


def _pnm(picture: Any, head: bytes) -> tuple[str | None, str]:
    """The dtype of a PNM, if it is read right, and its description."""
    words = re.sub(rb"#[^\r\n]*", b"", head).split(maxsplit=4)
    most = words[3] if picture.mode != "1" and len(words) > 3 else b""
    return _PNM.get((picture.mode, most)), f"PNM of maxval {most.decode('ascii', 'replace')}, {picture.mode}"


def _refuse_unclear(path: str, picture: Any) -> None:
    """Raise UnsupportedSource for what is not one picture the right way up."""
    if (count := getattr(picture, "n_frames", 1)) > 1:
        raise UnsupportedSource(f"{path} holds {count} pictures", why="a tile is one", fix="save them one by one")
    in_time = picture.format != "PNG" or "exif" in picture.info  # for EXIF that may come later, Pillow decodes a PNG
    turned = picture.getexif().get(274, 1) if in_time else 1
    if turned in range(2, 9):
        raise UnsupportedSource(
            f"{path} is to be turned or mirrored before it is shown (EXIF or TIFF orientation {turned})",
            why="whether the tree's maker counted on that is not to be known",
            fix="turn the tiles, or remove the tag",
        )


def _palette(picture: Any) -> Array:
    """The colours [256, 3]; numbers that have none are black."""
    colors = np.array(picture.getpalette("RGB")[: 3 * 256], "u1").reshape(-1, 3)
    return np.concatenate([colors, np.zeros((256 - len(colors), 3), "u1")])


def _is_grey(colors: Array) -> bool:
    return bool((colors == colors[:, :1]).all())


def _notes(picture: Any, head: bytes) -> Iterator[str]:
    if picture.mode in ("LA", "RGBA"):
        yield "alpha dropped"
    if "transparency" in picture.info:
        yield "transparency ignored"
    if picture.mode == "P":
        yield "palette applied"
    if picture.format == "TIFF" and picture.tag_v2.get(262) == 0:
        yield "white is 0 in the files: inverted"
    if picture.format == "PNG" and picture.mode == "L" and head[24] in (2, 4):
        yield f"{head[24]}-bit grey is stretched to 8 bits"


def _is_whole(picture: Any, tail: bytes, size: int) -> bool:
    """Whether a PNG or JPEG has its end, and a TIFF room for its strips or tiles; true for other pictures."""
    if picture.format != "TIFF":
        return _ENDS.get(picture.format, b"") in tail
    tags = picture.tag_v2
    starts, counts = ((tags.get(273, ()), tags.get(279, ())), (tags.get(324, ()), tags.get(325, ())))[324 in tags]
    return all(start + count <= size for start, count in zip(starts, counts, strict=False))


def broken(path: str, why: str) -> BrokenSource:
    """The error for a file of which something is wrong."""
    fix = "write or copy the tile again, then repeat this"
    return BrokenSource(f"{path} is damaged, or no picture that can be read", why=why, fix=fix)
