"""One tile: what its header says, and its pixels, by Pillow; where Pillow cannot read a TIFF right, by ourselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from wkconvert_core import SourceError

from . import picture, plain_tiff
from .picture import Array, Facts, Rectangle

T = TypeVar("T")


def read_header(path: str) -> Facts:
    """What a tile is; its pixels are decoded only if its end is not what it should be.

    Raises BrokenSource, UnsupportedSource.
    """
    return _either(path, lambda: picture.read_header(path), lambda: plain_tiff.read_header(path))


def read_pixels(path: str, choose: Callable[[Facts], Rectangle]) -> Array:
    """A part of a tile's pixels `[y, x, c]`, c being 3 with colours or a palette.

    `choose` says which part, or refuses the tile before it is decoded. Raises BrokenSource, UnsupportedSource, and what
    `choose` raises.
    """
    return _either(path, lambda: picture.read_pixels(path, choose), lambda: plain_tiff.read_pixels(path, choose))


def _either(path: str, first: Callable[[], T], second: Callable[[], T]) -> T:
    """What the first gives; of a TIFF that it refuses, what the second does."""
    try:
        return first()
    except SourceError as error:
        if not plain_tiff.is_tiff(path):
            raise
        try:
            return second()
        except SourceError:
            raise error from None
