"""Fluorescent dyes by the names that channels have, and the colours in which channels are shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

__all__ = ["CHANNEL_WORD", "RGB", "dye_color", "view_colors"]

RGB: TypeAlias = tuple[int, int, int]

_BLUE, _CYAN, _GREEN, _YELLOW = (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0)
_ORANGE, _RED, _MAGENTA, _WHITE = (255, 128, 0), (255, 0, 0), (255, 0, 255), (255, 255, 255)
_CYCLE = (_RED, _GREEN, _BLUE, _CYAN, _MAGENTA, _YELLOW, _WHITE)

_WORDS = {
    _BLUE: r"blue dapi hoechst(-33\d+)? e?bfp2? ALEXA-(350|405) tagbfp cascade-blue pacific-blue dylight-405 bv421",
    _CYAN: r"cyan [em]?cfp m?cerulean mturquoise2? ALEXA-430",
    _GREEN: r"green [em]?gfp s[fg]gfp fitc ALEXA-488 cy2 fluo-4 gcamp\d?\w? mneongreen oregon-green sytox-green "
    r"dylight-488 atto-488 yoyo-1 calcein bodipy mclover3?",
    _YELLOW: r"yellow [em]?yfp m?citrine m?venus ALEXA-(514|532)",
    _ORANGE: r"orange cy3 tritc rhodamine m?orange2? m?ko2? ALEXA-(546|555) pe atto-550 tamra dylight-550",
    _MAGENTA: r"magenta far-red cy5([.]5)? cy7 ALEXA-(633|647|660|680|700|750) draq5 irfp\d* atto-6[34]7n? apc sir "
    r"jf64[67] dylight-650 did",
    _RED: r"red m?rfp1? mcherry\d? (td)?tomato ds-red\d? texas-red txred ALEXA-(56[18]|594|610) m?ruby\d? m?scarlet "
    r"mkate2? propidium(-iodide)? dil dii jf549 atto-594",
    _WHITE: r"white gr[ae]y bright-field bf dic phase(-contrast)? ph[123]? trans(mitted)?(-light)? tl t-?pmt "
    "bse se in-lens esb",
}
"""The names of channels of each colour: colours, dyes, fluorescent proteins; white for transmitted light and
for detectors of electrons. A hyphen
is any separator, or none. The first that fits counts: far-red is not red."""
_NAMES = {
    color: "|".join(words.split()).replace("ALEXA", "(alexa(-fluor)?|af)").replace("-", "[ _-]?").replace("(", "(?:")
    for color, words in _WORDS.items()
}
CHANNEL_WORD = rf"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?i:{'|'.join(_NAMES.values())})(?![A-Za-z0-9])"
"""A regular expression for these names where they stand as words, also in `w1DAPI` and `ChannelDAPI`."""
_COLORS = {color: re.compile(rf"(?<![A-Za-z])(?:{names})(?![A-Za-z0-9])", re.I) for color, names in _NAMES.items()}


def dye_color(name: str) -> RGB | None:
    """The colour in which a channel of this name is shown; None if no dye is known in it.

    >>> dye_color("DAPI"), dye_color("anti-GFP (488 nm)"), dye_color("channel 3")
    ((0, 0, 255), (0, 255, 0), None)
    """
    return next((color for color, known in _COLORS.items() if known.search(name)), None)


def view_colors(names: Sequence[str]) -> list[RGB]:
    """A colour for each channel: its dye's, if that is known and not taken yet, else the next that is free.

    >>> view_colors(["DAPI", "GFP", "my protein"])
    [(0, 0, 255), (0, 255, 0), (255, 0, 0)]
    >>> view_colors(["", ""])
    [(255, 0, 0), (0, 255, 0)]
    """
    known = [dye_color(name) for name in names]
    firsts = [color if color not in known[:at] else None for at, color in enumerate(known)]
    free = [color for color in _CYCLE if color not in firsts]
    cycle = iter([*free, *_CYCLE * (len(names) // len(_CYCLE) + 1)])
    return [color or next(cycle) for color in firsts]
