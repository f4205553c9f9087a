"""One tile: a single upright picture of one grey sample or of 8-bit RGB, read by `wkconvert_images`."""

from __future__ import annotations

import numpy as np

from wkconvert_core import SourceError, UnsupportedSource, VoxelSize
from wkconvert_core.toolkit.files import broken, state_of
from wkconvert_images import calibration
from wkconvert_images.facts import MOST_PER_BYTE, Facts, Raster
from wkconvert_images.opening import raster
from wkconvert_images.tags import TiffFile


def open_tile(path: str, *, colors: bool = True, invert: bool = True) -> Raster:
    """Open a tile by its header, with palette and white as `raster` takes them.

    Raises BrokenSource, SourceNotFound, UnsupportedSource.
    """
    found, (size, _) = raster(path, colors=colors, invert=invert), state_of(path)
    facts = found.facts
    if found.several:
        raise UnsupportedSource(f"{path} holds several pictures", why="a tile is one", fix="save them one by one")
    if facts.orientation > 1:
        raise UnsupportedSource(
            f"{path} is to be turned or mirrored before it is shown (EXIF or TIFF orientation {facts.orientation})",
            why="whether the tree's maker counted on that is not known",
            fix="turn the tiles, or remove the tag",
        )
    # a fourth sample of 8-bit RGB counts as alpha, also if a TIFF does not say what it is
    unread = len(facts.kept) - channels(facts) if facts.kind == "samples" else len(facts.kept[4:])
    if unread or (channels(facts) == 3 and facts.dtype != np.uint8):
        raise UnsupportedSource(
            f"{path} cannot be converted",
            why=f"its pixels are {facts.dtype} in {len(facts.kept)} samples",
            fix="save the tiles as grey or as 8-bit RGB",
        )
    if facts.declared > MOST_PER_BYTE * size:
        why = f"{size} bytes cannot hold {facts.width} x {facts.height} pixels: that is more than {MOST_PER_BYTE} to 1"
        raise broken(path, why)
    return found


def channels(facts: Facts) -> int:
    """Channels of the layer that a tile fits: 3 for colour, 1 for grey."""
    return 3 if facts.kind in ("color", "palette") else 1


def described(dtype: np.dtype[np.generic], channels: int) -> str:
    """The kind of pixels, in messages.

    >>> described(np.dtype("uint8"), 3)
    'uint8 RGB'
    """
    return f"{dtype} {'RGB' if channels == 3 else 'grey'}"


def voxel_size(path: str) -> VoxelSize | None:
    """The voxel size that ImageJ's tags in a TIFF tile state; None for other tiles, whose resolutions mean nothing."""
    try:
        with TiffFile(path) as tiff:
            size = calibration.voxel_size(tiff.ifd(tiff.first))
    except SourceError:  # no TIFF: it has no voxel size
        return None
    if size is None or size.origin != "ImageJ tags" or size.unit == "inch":
        return None
    return VoxelSize(size.size, size.unit, "ImageJ tags of the tiles")
