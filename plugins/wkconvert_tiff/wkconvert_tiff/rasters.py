"""Opening one picture of a file, of whatever kind, so that it can be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wkconvert_core import SourceError, UnsupportedSource, WkconvertError

from .cache import Cache
from .facts import Facts, Raster
from .files import cannot_open, status
from .messages import broken
from .page import read_page
from .picture import read_picture
from .raster import TiffRaster
from .table import Recipe
from .tags import TiffFile

_RASTERS: Cache[Raster] = Cache(32 << 20, lambda raster: raster.weight)


def raster(path: str, ifd: int, recipe: Recipe) -> Raster:
    """A picture, from this process's cache unless the file was written anew; `ifd` 0 is a file's first.

    Raises BrokenSource, UnsupportedSource, SourceNotFound.
    """
    try:
        state = status(path)
    except OSError as error:
        raise cannot_open(path, error) from error
    key = (path, ifd, recipe.colors, state.st_size, state.st_mtime_ns)
    return _RASTERS.get(key, lambda: next(_open(path, [ifd], recipe)))


def facts_of(path: str, ifds: Sequence[int], recipe: Recipe) -> list[Facts]:
    """What the headers of a file's pictures say, each checked against the file.

    Raises BrokenSource, UnsupportedSource, SourceNotFound.
    """
    found: list[Facts] = []
    try:
        found.extend(each.facts for each in _open(path, ifds, recipe))
    except SourceError as error:
        if len(ifds) == 1:
            raise
        raise type(error)(f"page {len(found)}: {error.what}", why=error.why, fix=error.fix) from error
    return found


def _open(path: str, ifds: Sequence[int], recipe: Recipe) -> Iterator[Raster]:
    """The pictures of a file, one by one: together, the offsets of their strips may take much memory."""
    try:
        if recipe.format == "pictures":
            yield read_picture(path, colors=recipe.colors)
            return
        with TiffFile(path) as tiff:
            for ifd in ifds:
                yield TiffRaster(read_page(tiff.ifd(ifd or tiff.first), colors=recipe.colors))
    except WkconvertError:
        raise
    except OSError as error:
        raise cannot_open(path, error) from error
    except Exception as error:  # damaged headers make parsers stumble in any way they can
        raise broken(path, f"its header cannot be read: {error or type(error).__name__}") from error


def check_decoder(path: str, ifd: int, recipe: Recipe) -> None:
    """Raise UnsupportedSource for a picture in a compression that nothing here undoes."""
    found = raster(path, ifd, recipe)
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
