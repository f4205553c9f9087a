"""An image as a file describes it: levels of a pyramid, the finest first, axes, channels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wkconvert_core import Category

from ...arrays import Address
from .store import Store

MOST = 32
"""Most levels, layers or names that are looked at or listed one by one."""


@dataclass(frozen=True)
class Channel:
    """A channel, as it is named and shown."""

    name: str = ""
    color: tuple[int, int, int] | None = None
    shown: tuple[float, float] | None = None
    """The values that are shown as black and as full colour."""


@dataclass(frozen=True)
class Level:
    """One array of a pyramid."""

    address: Address
    path: str
    """As messages name it."""
    scale: tuple[float | None, ...] = ()
    """Along the array's axes, in the units of the image; empty if nothing is said."""
    translation: tuple[float, ...] = ()
    """Where the first voxel lies; empty if nothing is said."""

    @property
    def coarseness(self) -> float:
        """The product of the sides of a voxel: levels of one image are as much finer as theirs is less."""
        return math.prod(side for side in self.scale if side is not None)


@dataclass(frozen=True)
class Image:
    """An image that becomes a layer, or one for each channel."""

    store: Store
    levels: tuple[Level, ...]
    axes: tuple[str, ...] = ()
    """Names of the array's axes; empty if nothing is said."""
    units: tuple[str | None, ...] = ()
    """Units along the axes, as written; empty if nothing is said."""
    usual: str = "zyx"
    """The axes of arrays in this format where nothing is said."""
    name: str | None = None
    category: Category | None = None
    channels: tuple[Channel, ...] = ()
    stated: str = ""
    """The part of the file that states the voxel size, for people."""
    notes: tuple[str, ...] = ()


def numbers(said: Any) -> tuple[float, ...]:
    """A list of numbers, NaN and infinity among them; empty for anything else.

    >>> numbers([4, 4.5]), numbers([4, "a"]), numbers(None)
    ((4.0, 4.5), (), ())
    """
    if not isinstance(said, Sequence) or isinstance(said, str):
        return ()
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in said):
        return ()
    return tuple(map(float, said))


def texts(said: Any) -> tuple[str, ...]:
    """A list of texts; empty for anything else.

    >>> texts(["z", "y"]), texts(["z", 1]), texts("zyx")
    (('z', 'y'), (), ())
    """
    return tuple(said) if isinstance(said, list) and all(isinstance(each, str) for each in said) else ()


def color_of(said: Any) -> tuple[int, int, int] | None:
    """Red, green and blue of `FF8000`; None for anything else.

    >>> color_of("FF8000"), color_of("white")
    ((255, 128, 0), None)
    """
    if not isinstance(said, str) or not re.fullmatch("#?[0-9a-fA-F]{6}", said):
        return None
    red, green, blue = bytes.fromhex(said[-6:])
    return red, green, blue
