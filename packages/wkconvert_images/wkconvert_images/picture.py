"""Pictures in files of their own, such as PNG and JPEG: what their headers say, and their pixels.

Pillow reads the headers and imageio, by Pillow, the pixels; PNG of 16 bits goes to imagecodecs, because Pillow cuts
colour, and grey with alpha, to 8 bits without a warning. Pillow also stretches PNM to its maxval and cuts JPEG 2000 and
AVIF: whatever is not listed here as read unchanged is refused.
"""

from __future__ import annotations

import os
import re
import struct
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import IO, Any

import numpy as np

from wkconvert_core import UnsupportedSource, WarningNote
from wkconvert_core.toolkit.files import broken, open_file, raw_file, reading

from .calibration import from_density
from .facts import Array, Facts, Kind, chosen, palette_kind

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")
"""The formats that Pillow may try; of the dozens more that it knows, some would start other programs."""
_MODES: dict[str, tuple[str, Kind]] = {
    "1": ("?", "samples"),
    "L": ("u1", "samples"),
    "LA": ("u1", "samples"),
    "RGB": ("u1", "color"),
    "RGBA": ("u1", "color"),
    "P": ("u1", "palette"),
}
"""dtype and kind of the pixels, by Pillow's mode."""
_PNG_16: dict[int, tuple[str, Kind]] = {
    0: ("u2", "samples"),
    2: ("u2", "color"),
    4: ("u2", "samples"),
    6: ("u2", "color"),
}
"""The same for PNG of 16 bits, by PNG's colour type; 4 and 6 have alpha."""
_PNM: dict[tuple[str, bytes], tuple[str, Kind]] = {
    ("1", b""): ("?", "samples"),
    ("L", b"255"): ("u1", "samples"),
    ("RGB", b"255"): ("u1", "color"),
    ("I", b"65535"): ("u2", "samples"),
}
"""The same for PNM, by Pillow's mode and the file's maxval."""

if find_spec("pillow_heif") is None:
    # imageio tries to import it twice for each picture; this answers without a search through sys.path, which would
    # take as long as decoding a small tile
    sys.modules["pillow_heif"] = None  # type: ignore[assignment]


@dataclass(frozen=True)
class PictureRaster:
    """A picture that is decoded whole, whatever region is read; a Raster."""

    path: str
    facts: Facts
    several: bool
    format: str
    """Pillow's name, such as `JPEG`."""
    mode: str
    """Pillow's name of the kind of pixels, such as `L`."""
    palette: Array | None
    """Colours [index, 3], if they are to be applied."""
    weight: int = 2000

    def fill(self, out: Array, row: int, column: int, samples: tuple[int, ...], shift: int = 0) -> None:
        """Fill `out[y, x, sample]`, see `facts.Raster`."""
        if self.format == "PNG" and self.facts.dtype == np.uint16:
            if find_spec("imagecodecs") is None:
                raise UnsupportedSource(
                    f"{self.path} cannot be decoded",
                    why="a PNG of 16 bits needs the package imagecodecs",
                    fix='pip install "wkconvert-images[tiff]"',
                )
            import imagecodecs

            with raw_file(self.path) as file:
                pixels = np.asarray(imagecodecs.png_decode(file.read()))
        else:
            import imageio.v3

            # asked for P, Pillow leaves the indices of a palette alone; else it applies it, and warns of transparency
            mode = "P" if self.mode == "P" else None
            pixels = imageio.v3.imread(self.path, plugin="pillow", index=0, mode=mode, writeable_output=False)
        if pixels.shape[:2] != (self.facts.height, self.facts.width):
            raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels were decoded")
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        part = pixels[row : row + out.shape[0], column : column + out.shape[1]]
        out[...] = chosen(part if self.palette is None else self.palette[part[..., 0]], samples)


def read_picture(path: str, *, colors: bool = True) -> PictureRaster:
    """Read the header of a picture and check that the file is whole; `colors=False` keeps indices of a palette.

    Raises BrokenSource, UnsupportedSource, SourceNotFound.
    """
    pillow = _pillow()
    # TGA has no magic number, only the suffix tells
    formats = (*_FORMATS, "TGA") if path.lower().endswith(".tga") else _FORMATS
    # damaged headers make Pillow's parsers raise anything
    with reading(path, Exception), open_file(path) as file:
        head, size = file.read(4096), file.seek(0, os.SEEK_END)
        if not size:
            raise broken(path, "it has 0 bytes", cut=True)
        _check_end(path, file, head, size)
        file.seek(0)
        try:
            with pillow.open(file, formats=formats) as picture:
                return _described(path, picture, head, colors=colors)
        except pillow.UnidentifiedImageError as error:
            why = f"its header is damaged, or it is none of {', '.join(formats)} (Pillow's names)"
            raise broken(path, why) from error
        except pillow.DecompressionBombError as error:
            raise UnsupportedSource(
                f"{path} is too large a picture", why=str(error), fix="save it as a tiled TIFF, which is read in parts"
            ) from error


@cache
def _pillow() -> ModuleType:
    """Pillow, its warnings silenced once: they name lines of libraries, not files, and change nothing that is read.

    One is of pictures above half of its limit, which stays, and slices are large; others are of damaged EXIF.
    """
    from PIL import Image

    warnings.filterwarnings("ignore", module=r"(PIL|imageio|wkconvert_images)(\.|$)")
    return Image


def _described(path: str, picture: Any, head: bytes, *, colors: bool) -> PictureRaster:
    """Describe a picture that Pillow has opened. Raises UnsupportedSource for pixels that it would change."""
    width, height = picture.size
    # of a PNG, byte 24 is the bit depth and byte 25 the colour type
    depth, color = (head[24], head[25]) if picture.format == "PNG" else (8, 0)
    described = f"{picture.mode} (Pillow's name), not grey, palette, RGB or RGBA"
    found = _PNG_16.get(color) if depth == 16 else _MODES.get(picture.mode)
    if picture.format == "PPM":
        words = re.sub(rb"#[^\r\n]*", b"", head).split(maxsplit=4)
        maxval = words[3] if picture.mode != "1" and len(words) > 3 else b""
        described = f"PNM of maxval {maxval.decode('ascii', 'replace')}, {picture.mode} (Pillow's name)"
        found = _PNM.get((picture.mode, maxval))
    if found is None:
        raise UnsupportedSource(
            f"{path} cannot be converted", why=f"its pixels are {described}", fix="save it as 8-bit RGB or grey"
        )
    dtype, kind = found
    palette = None
    if kind == "palette" and colors:
        table = np.array(picture.getpalette("RGB")[: 3 * 256], "u1").reshape(-1, 3)
        palette = np.concatenate([table, np.zeros((256 - len(table), 3), "u1")])  # indices without a colour are black
        kind = palette_kind(palette)
    elif kind == "palette":
        kind = "samples"
    several = getattr(picture, "n_frames", 1) > 1
    kept = (0,) if kind == "samples" else (0, 1, 2)
    # asked for EXIF that may follow the pixels of a PNG, Pillow would decode them all
    orientation = 1 if picture.format == "PNG" and "exif" not in picture.info else picture.getexif().get(274, 1)
    dpi = picture.info.get("dpi")

    def notes() -> Iterator[str]:
        if picture.mode in ("LA", "RGBA") or (depth == 16 and color in (4, 6)):
            yield WarningNote("alpha dropped")
        if "transparency" in picture.info:
            yield WarningNote("transparency ignored")
        if palette is not None:
            yield "palette applied"
        elif picture.mode == "P":
            yield "palette not applied"
        if picture.mode == "L" and depth in (2, 4):
            note = f"{depth}-bit grey is stretched to 8 bits"
            yield note if colors else WarningNote(f"{note}: numbers are multiplied by {255 // (2**depth - 1)}")
        if several:
            yield WarningNote("only the first picture of each file is read")

    facts = Facts(
        width=width,
        height=height,
        orientation=orientation if orientation in range(1, 9) else 1,
        dtype=np.dtype(dtype),
        kind=kind,
        kept=kept,
        chunk=(width, height),
        declared=width * height * len(kept) * np.dtype(dtype).itemsize,
        notes=tuple(notes()),
        lossy=picture.format == "JPEG",
        voxel_size=from_density(float(dpi[0]), float(dpi[1]), "inch", f"{picture.format} density") if dpi else None,
    )
    return PictureRaster(path, facts, several, picture.format, picture.mode, palette)


def _check_end(path: str, file: IO[bytes], head: bytes, size: int) -> None:
    """Raise BrokenSource for a PNG, JPEG or BMP that stops before its end."""
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
