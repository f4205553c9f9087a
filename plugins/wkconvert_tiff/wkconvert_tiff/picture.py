"""PNG, JPEG and BMP: what their headers say, and their pixels.

Pillow reads the headers and imageio, by Pillow, the pixels; but PNG of 16 bits goes to imagecodecs, for Pillow cuts
colour and grey with alpha to 8 bits without a word.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from wkconvert_core import UnsupportedSource, VoxelSize

from .calibration import from_density
from .facts import Array, Facts, Kind, chosen, palette_kind
from .files import status
from .messages import broken

_MODES: dict[str, tuple[str, Kind, tuple[int, ...]]] = {
    "1": ("?", "samples", (0,)),
    "L": ("u1", "samples", (0,)),
    "LA": ("u1", "samples", (0,)),
    "RGB": ("u1", "color", (0, 1, 2)),
    "RGBA": ("u1", "color", (0, 1, 2)),
    "P": ("u1", "palette", (0, 1, 2)),
}
"""dtype, kind and kept samples of each of Pillow's modes that has a place here."""
_PNG_16: dict[int, tuple[str, Kind, tuple[int, ...]]] = {
    0: ("u2", "samples", (0,)),
    2: ("u2", "color", (0, 1, 2)),
    4: ("u2", "samples", (0,)),
    6: ("u2", "color", (0, 1, 2)),
}
"""The same for PNG of 16 bits, by its colour type."""


@dataclass(frozen=True)
class PictureRaster:
    """A picture file that is decoded whole."""

    path: str
    facts: Facts
    deep: bool
    """Whether it is a PNG of 16 bits."""
    indexed: bool
    """Whether its pixels are numbers of a palette."""
    palette: Array | None
    """The colours [index, 3], if they are to be applied."""
    weight: int = 2000

    def fill(self, out: Array, row: int, column: int, samples: tuple[int, ...], shift: int) -> None:
        """Fill `out[y, x, sample]` with the pixels, as stored, from (row, column) on; may raise anything."""
        pixels = self._decode()
        if pixels.shape[:2] != (self.facts.height, self.facts.width):
            raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels were decoded")
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        part = pixels[row : row + out.shape[0], column : column + out.shape[1]]
        if self.palette is not None:
            part = self.palette[part[..., 0]]
        out[...] = chosen(part, samples)

    def _decode(self) -> Array:
        if self.deep:
            import imagecodecs

            with FileIO(self.path) as file:
                return np.asarray(imagecodecs.png_decode(file.read()))
        import imageio.v3

        mode = "P" if self.indexed else None  # Pillow would apply the palette, and warn of its transparency
        return np.asarray(imageio.v3.imread(self.path, plugin="pillow", index=0, mode=mode, writeable_output=False))


def read_picture(path: str, *, colors: bool = True) -> PictureRaster:
    """A picture file, from its header; `colors=False` keeps the numbers of a palette's entries.

    Raises BrokenSource, UnsupportedSource.
    """
    size = status(path).st_size
    if not size:
        raise broken(path, "it has 0 bytes", cut=True)
    with Path(path).open("rb") as file:
        head = file.read(64)
        _check_end(path, file, head, size)
        file.seek(0)
        return _header(path, file, head, colors)


def _header(path: str, file: IO[bytes], head: bytes, colors: bool) -> PictureRaster:
    from PIL import Image

    _expect_large_pictures()
    try:
        with Image.open(file) as picture:
            facts = _facts(path, picture, head, colors)
            indexed = picture.mode == "P"
            palette = _palette(picture) if indexed and colors else None
            return PictureRaster(path, facts, facts.dtype == np.uint16, indexed, palette)
    except Image.DecompressionBombError as error:
        raise UnsupportedSource(
            f"{path} is too large a picture", why=str(error), fix="save it as a tiled TIFF, which is read in parts"
        ) from error
    except UnsupportedSource:
        raise
    except Exception as error:  # of damaged headers, Pillow raises whatever its parsers run into
        raise broken(path, f"its header cannot be read: {error or type(error).__name__}") from error


def _expect_large_pictures() -> None:
    """Slices are large: Pillow's limit stays, but not its warning at half of it, which would only puzzle a user."""
    from PIL import Image

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def _facts(path: str, picture: Any, head: bytes, colors: bool) -> Facts:
    width, height = picture.size
    depth, color = (head[24], head[25]) if picture.format == "PNG" else (8, 0)
    found = _PNG_16.get(color) if depth == 16 else _MODES.get(picture.mode)
    if found is None:
        raise UnsupportedSource(
            f"{path} cannot be converted",
            why=f"its pixels are {picture.mode} (Pillow's name), not grey, palette, RGB or RGBA",
            fix="save it as RGB or grey",
        )
    dtype, kind, kept = found
    if kind == "palette":
        kind = palette_kind(_palette(picture)) if colors else "samples"
        kept = kept if colors else (0,)
    return Facts(
        width=width,
        height=height,
        orientation=_orientation(picture),
        dtype=np.dtype(dtype),
        kind=kind,
        kept=kept,
        chunk=(width, height),
        declared=width * height * len(kept) * np.dtype(dtype).itemsize,
        notes=tuple(_notes(picture, kind, color, depth)),
        voxel_size=_voxel_size(picture),
    )


def _palette(picture: Any) -> Array:
    """The colours [256, 3]; numbers that have none are black."""
    colors = np.array(picture.getpalette("RGB")[: 3 * 256], "u1").reshape(-1, 3)
    return np.concatenate([colors, np.zeros((256 - len(colors), 3), "u1")])


def _orientation(picture: Any) -> int:
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1  # asked for EXIF that may follow the pixels, Pillow decodes them all
    value = picture.getexif().get(274, 1)
    return value if value in range(1, 9) else 1


def _notes(picture: Any, kind: Kind, color: int, depth: int) -> list[str]:
    notes = []
    if picture.mode in ("LA", "RGBA") or (depth == 16 and color in (4, 6)):
        notes.append("alpha dropped")
    if "transparency" in picture.info:
        notes.append("transparency ignored")
    if "palette" in kind:
        notes.append("palette applied")
    if getattr(picture, "n_frames", 1) > 1:
        notes.append("only the first picture of each file is read")
    return notes


def _voxel_size(picture: Any) -> VoxelSize | None:
    dpi = picture.info.get("dpi")
    return from_density(float(dpi[0]), float(dpi[1]), "inch", f"{picture.format} density") if dpi else None


def _check_end(path: str, file: IO[bytes], head: bytes, size: int) -> None:
    """Raise BrokenSource for a file that stops before its end."""
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
    """Raise BrokenSource with the place where a PNG breaks off, unless its end is somewhere after all."""
    at = 8
    while at + 8 <= size:
        file.seek(at)
        length, name = int.from_bytes(file.read(4), "big"), file.read(4)
        if at + 12 + length > size:
            why = f"its {name.decode('ascii', 'replace')} chunk reaches to byte {at + 12 + length}"
            raise broken(path, f"{why}, the file has {size} bytes", cut=True)
        if name == b"IEND":
            return
        at += 12 + length
    raise broken(path, f"its IEND chunk is missing after {size} bytes", cut=True)


def _check_bmp(path: str, head: bytes, size: int) -> None:
    """Raise BrokenSource where the rows of an uncompressed BMP reach beyond its end."""
    if len(head) < 34:
        raise broken(path, f"a BMP's header has 54 bytes, the file has {size}", cut=True)
    start, kind, width, height = struct.unpack_from("<IIii", head, 10)
    (bits,), (compression,) = struct.unpack_from("<H", head, 28), struct.unpack_from("<I", head, 30)
    end = start + (abs(width) * bits + 31) // 32 * 4 * abs(height)
    if kind >= 40 and compression in (0, 3) and end > size:
        raise broken(path, f"its pixels reach to byte {end}, the file has {size} bytes", cut=True)
