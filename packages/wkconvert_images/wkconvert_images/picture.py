"""Pictures in files of their own, such as PNG and JPEG: what their headers say, and their pixels.

Pillow reads the headers and imageio, by Pillow, the pixels. What Pillow would change goes elsewhere: it cuts colour,
grey with alpha, and AVIF to 8 bits without a warning, stretches JPEG 2000 to 8 or 16, and knows no JPEG XL, all of
which imagecodecs decodes; and it stretches PGM and PPM to their maxval, which are read here. Whatever is not listed
here as read unchanged is refused.
"""

from __future__ import annotations

import os
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
from .headers.boxes import JXL, avif, jpeg2000, webp_is_lossy
from .headers.ends import check_end
from .headers.jpeg_xl import BARE, jpeg_xl
from .headers.pnm import Pnm, pnm_header, read_pnm

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP", "JPEG2000", "AVIF")
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
_PNG_16: dict[int, Kind] = {0: "samples", 2: "color", 4: "samples", 6: "color"}
"""Kind of the pixels of a PNG of 16 bits, by PNG's colour type; 4 and 6 have alpha."""
_WIDE: dict[str, Kind] = {"L": "samples", "I;16": "samples", "LA": "samples", "RGB": "color", "RGBA": "color"}
"""Kind of the pixels of JPEG 2000 and AVIF that are not unsigned ones of 8 bits, by Pillow's mode."""
_LOSSY = {"JPEG": "JPEG", "MPO": "JPEG", "JPEG2000": "JPEG 2000", "WEBP": "WebP", "AVIF": "AVIF"}
"""Names of the codings that may change numbers, by Pillow's name of the format."""

if find_spec("pillow_heif") is None:
    # imageio tries to import it twice for each picture; this answers without a search through sys.path, which would
    # take as long as decoding a small tile
    sys.modules["pillow_heif"] = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Stored:
    """How the pixels of a picture are stored, and who decodes them."""

    dtype: str
    kind: Kind
    decoder: str | Pnm = ""
    """The codec of imagecodecs, a PGM or PPM that is read here, or empty for Pillow."""
    alpha: bool = False
    lossy: bool = False


@dataclass(frozen=True)
class PictureRaster:
    """A picture that is decoded whole, whatever region is read; a Raster."""

    path: str
    facts: Facts
    several: bool
    format: str
    """Pillow's name, such as `JPEG`; `JPEG XL`."""
    mode: str
    """Pillow's name of the kind of pixels, such as `L`."""
    decoder: str | Pnm
    """As of `Stored`."""
    palette: Array | None = None
    """Colours [index, 3], if they are to be applied."""
    weight: int = 2000

    def fill(self, out: Array, row: int, column: int, samples: tuple[int, ...], shift: int = 0) -> None:
        """Fill `out[y, x, sample]`, see `facts.Raster`."""
        pixels = self._decoded()
        if pixels.shape[:2] != (self.facts.height, self.facts.width):
            raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels were decoded")
        if pixels.dtype != self.facts.dtype:  # a palette is of bytes, and so are its indices
            raise ValueError(f"pixels of {pixels.dtype} were decoded, not of {self.facts.dtype}")
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        part = pixels[row : row + out.shape[0], column : column + out.shape[1]]
        out[...] = chosen(part if self.palette is None else self.palette[part[..., 0]], samples)

    def _decoded(self) -> Array:
        if isinstance(self.decoder, Pnm):
            return read_pnm(self.path, self.decoder)
        if self.decoder:
            codec = self._codec(self.decoder)
            with raw_file(self.path) as file:
                return np.asarray(codec(file.read()))
        import imageio.v3

        # asked for P, Pillow leaves the indices of a palette alone; else it applies it, and warns of transparency
        mode = "P" if self.mode == "P" else None
        return np.asarray(imageio.v3.imread(self.path, plugin="pillow", index=0, mode=mode, writeable_output=False))

    def _codec(self, name: str) -> Any:
        """The decoder of imagecodecs. Raises UnsupportedSource where it is not installed, or built without it."""
        if find_spec("imagecodecs"):
            import imagecodecs

            if getattr(imagecodecs, name.upper()).available:
                return getattr(imagecodecs, f"{name}_decode")
        raise UnsupportedSource(
            f"{self.path} cannot be decoded",
            why=f"{self.format} of {self.facts.dtype} needs the package imagecodecs",
            fix='pip install "wkconvert-images[tiff]"',
        )


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
        check_end(path, file, head, size)
        if head.startswith((JXL, BARE)):
            return _jpeg_xl(path, file, head, size)
        file.seek(0)
        try:
            with pillow.open(file, formats=formats) as picture:
                return _described(path, picture, _stored(path, picture, file, head, size), head, colors=colors)
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


def _stored(path: str, picture: Any, file: IO[bytes], head: bytes, size: int) -> Stored:
    """How a picture that Pillow has opened is stored.

    Raises BrokenSource, UnsupportedSource for animations and for pixels that it would change.
    """
    form, mode = picture.format, picture.mode
    # MPO is JPEG with previews behind the picture
    if (frames := getattr(picture, "n_frames", 1)) > 1 and form != "MPO":
        raise UnsupportedSource(
            f"{path} holds several pictures",
            why=f"they are the {frames} frames of an animation: slices, times, or one picture and changes to it",
            fix="save each frame as a picture of its own",
        )
    described = f"{mode} (Pillow's name), not grey, palette, RGB or RGBA"
    alpha, wide = mode in ("LA", "RGBA"), _WIDE.get(mode)
    # of a PNG, byte 24 is the bit depth and byte 25 the colour type
    if form == "PNG" and head[24] == 16 and head[25] in _PNG_16:
        return Stored("u2", _PNG_16[head[25]], "png", head[25] > 3)
    if form == "PPM" and (pnm := pnm_header(path, file, head, size)):
        return Stored(pnm.dtype, "samples" if pnm.samples == 1 else "color", pnm)
    lossy = form in ("JPEG", "MPO", "AVIF")
    if form in ("JPEG2000", "AVIF"):
        samples = jpeg2000(path, file, head, size) if form == "JPEG2000" else avif(path, file, size)
        lossy = lossy or samples.lossy
        if (samples.bits, samples.signed) != (8, False):
            if wide and (dtype := samples.dtype):
                return Stored(dtype, wide, "jpeg2k" if form == "JPEG2000" else "avif", alpha, lossy)
            described = f"{samples}, {mode} (Pillow's name)"
            mode = ""
    if form == "WEBP":
        lossy = webp_is_lossy(path, file, size)
    if mode not in _MODES or (form == "PPM" and mode != "1"):
        raise UnsupportedSource(
            f"{path} cannot be converted", why=f"its pixels are {described}", fix="save it as 8-bit RGB or grey"
        )
    return Stored(*_MODES[mode], alpha=alpha, lossy=lossy)


def _described(path: str, picture: Any, stored: Stored, head: bytes, *, colors: bool) -> PictureRaster:
    """Describe a picture that Pillow has opened."""
    width, height = picture.size
    kind, several = stored.kind, getattr(picture, "n_frames", 1) > 1
    palette = None
    if kind == "palette" and colors:
        table = np.array(picture.getpalette("RGB")[: 3 * 256], "u1").reshape(-1, 3)
        palette = np.concatenate([table, np.zeros((256 - len(table), 3), "u1")])  # indices without a colour are black
        kind = palette_kind(palette)
    elif kind == "palette":
        kind = "samples"
    kept = (0,) if kind == "samples" else (0, 1, 2)
    # asked for EXIF that may follow the pixels of a PNG, Pillow would decode them all
    orientation = 1 if picture.format == "PNG" and "exif" not in picture.info else picture.getexif().get(274, 1)
    dpi = picture.info.get("dpi")

    def notes() -> Iterator[str]:
        if stored.alpha:
            yield WarningNote("alpha dropped")
        if "transparency" in picture.info:
            yield WarningNote("transparency ignored")
        if palette is not None:
            yield "palette applied"
        elif picture.mode == "P":
            yield "palette not applied"
        depth = head[24] if picture.format == "PNG" else 8
        if picture.mode == "L" and depth in (2, 4):
            note = f"{depth}-bit grey is stretched to 8 bits"
            yield note if colors else WarningNote(f"{note}: numbers are multiplied by {255 // (2**depth - 1)}")
        if isinstance(stored.decoder, Pnm) and stored.decoder.maxval not in (255, 65535):
            yield f"maxval {stored.decoder.maxval}: numbers are kept, not stretched"
        if several:
            yield WarningNote("only the first picture of each file is read")

    facts = Facts(
        width=width,
        height=height,
        orientation=orientation if orientation in range(1, 9) else 1,
        dtype=np.dtype(stored.dtype),
        kind=kind,
        kept=kept,
        chunk=(width, height),
        declared=width * height * len(kept) * np.dtype(stored.dtype).itemsize,
        notes=tuple(notes()),
        lossy=_LOSSY[picture.format] if stored.lossy else "",
        voxel_size=from_density(float(dpi[0]), float(dpi[1]), "inch", f"{picture.format} density") if dpi else None,
    )
    return PictureRaster(path, facts, several, picture.format, picture.mode, stored.decoder, palette)


def _jpeg_xl(path: str, file: IO[bytes], head: bytes, size: int) -> PictureRaster:
    """Describe a JPEG XL picture, which its decoder turns upright. Raises BrokenSource, UnsupportedSource."""
    found = jpeg_xl(path, file, head, size)
    if (dtype := found.samples.dtype) is None:
        raise UnsupportedSource(
            f"{path} cannot be converted", why=f"its pixels are {found.samples}", fix="save it with 8 or 16 bits"
        )
    kept = (0,) if found.grey else (0, 1, 2)
    facts = Facts(
        width=found.width,
        height=found.height,
        orientation=1,
        dtype=np.dtype(dtype),
        kind="samples" if found.grey else "color",
        kept=kept,
        chunk=(found.width, found.height),
        declared=found.width * found.height * len(kept) * np.dtype(dtype).itemsize,
        notes=(WarningNote("alpha dropped"),) if found.alpha else (),
        lossy="JPEG XL" if found.samples.lossy else "",
    )
    return PictureRaster(path, facts, several=False, format="JPEG XL", mode="", decoder="jpegxl")
