"""Opening one picture of a file of any kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from wkconvert_core import SourceError, UnsupportedSource
from wkconvert_core.toolkit.files import raw_file, reading, state_of

from .cache import Cache
from .facts import Facts, Raster
from .page import read_page
from .picture import read_picture
from .tags import TiffFile, is_tiff
from .tiff_pixels import TiffRaster

Format = Literal["tiff", "pictures"]
_RASTERS: Cache[Raster] = Cache(32 << 20, lambda raster: raster.weight)


def raster(
    path: str, ifd: int = 0, format: Format | None = None, *, colors: bool = True, invert: bool = True
) -> Raster:
    """A picture, from this process's cache unless the file was written anew.

    Without a `format`, the first bytes tell it. `ifd` is the offset of a TIFF page's directory, 0 for the first;
    `colors=False` keeps indices of a palette, `invert=False` the numbers of a TIFF page whose white is 0.
    Raises BrokenSource, UnsupportedSource, SourceNotFound.
    """
    key = (path, ifd, format, colors, invert, state_of(path))
    return _RASTERS.get(key, lambda: next(_open(path, [ifd], format, colors, invert)))


def facts_of(
    path: str, ifds: Sequence[int], format: Format = "tiff", *, colors: bool = True, invert: bool = True
) -> list[Facts]:
    """Read the headers of a file's pictures and check each against the file; parameters and errors as of `raster`.

    Of several pages, the error names the one that it concerns.
    """
    if len(ifds) == 1:  # it is kept for when its pixels are read
        return [raster(path, ifds[0], format, colors=colors, invert=invert).facts]
    found: list[Facts] = []
    try:
        found.extend(each.facts for each in _open(path, ifds, format, colors, invert))
    except SourceError as error:
        raise type(error)(f"page {len(found)}: {error.what}", why=error.why, fix=error.fix) from error
    return found


def _open(path: str, ifds: Sequence[int], format: Format | None, colors: bool, invert: bool) -> Iterator[Raster]:
    """The pictures of a file, one at a time: the strip offsets of all together may take much memory."""
    if (format or _format_of(path)) == "pictures":
        yield read_picture(path, colors=colors)
        return
    # damaged headers make parsers raise anything
    with reading(path, Exception), TiffFile(path) as tiff:
        for ifd in ifds:
            yield TiffRaster(read_page(tiff.ifd(ifd or tiff.first), colors=colors, invert=invert))


def _format_of(path: str) -> Format:
    """Tell TIFF by its first bytes."""
    with reading(path), raw_file(path) as file:
        return "tiff" if is_tiff(file.read(4)) else "pictures"


def check_decoder(path: str, found: Raster) -> None:
    """Raise UnsupportedSource for a picture of `path` that is compressed in a way that tifffile cannot decode."""
    if not isinstance(found, TiffRaster) or found.facts.coding is None:
        return
    try:
        found.decode(None, 0)
    except Exception as error:  # tifffile and its codecs have many ways to say no
        raise UnsupportedSource(
            f"{path} cannot be decoded",
            why=f"compression {found.page.coding.compression}: {error}",
            fix="save it uncompressed, or with LZW or deflate",
        ) from error
