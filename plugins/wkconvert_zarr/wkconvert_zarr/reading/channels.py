"""Channels of an array as layers: three of colour together, others one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wkconvert_core import OptionError
from wkconvert_core.toolkit.dyes import RGB, view_colors

from .formats.image import Channel

_COLOURS: tuple[RGB, RGB, RGB] = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
_UNNAMED = re.compile(r"(?:(?:channel|ch|c)[ _:-]*)?[0-9:]*|r(?:ed)?|g(?:reen)?|b(?:lue)?", re.IGNORECASE)
"""Names that say no more than which channel it is."""


def groups_of(where: str, count: int, dtype: str, channels: Sequence[Channel], wanted: int | None) -> list[range]:
    """The channels of each layer. Raises OptionError for a channel that is not there."""
    if wanted is not None:
        if not 0 <= wanted < count:
            raise OptionError(f"channel {wanted} does not exist in {where}", fix=f"its channels are 0 to {count - 1}")
        return [range(wanted, wanted + 1)]
    if count == 3 and dtype == "uint8" and _are_colours(channels):
        return [range(3)]
    return [range(number, number + 1) for number in range(count)]


def _are_colours(channels: Sequence[Channel]) -> bool:
    """Whether three channels are red, green and blue of one picture, for all that is said of them."""
    if not all(_UNNAMED.fullmatch(channel.name.strip()) for channel in channels):
        return False
    said = [channel.color for channel in channels if channel.color]
    return not said or tuple(said) == _COLOURS


def named(channels: Sequence[Channel], count: int) -> list[Channel]:
    """The channels of an array with so many, each with a name and a colour of its own."""
    known = [channels[number] if number < len(channels) else Channel() for number in range(count)]
    colors = view_colors([channel.name for channel in known])
    return [
        Channel(channel.name.strip() or f"channel{number}", channel.color or color, channel.shown)
        for number, (channel, color) in enumerate(zip(known, colors, strict=True))
    ]
