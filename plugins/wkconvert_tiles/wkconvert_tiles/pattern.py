"""Patterns such as `{z}/{y}/{x}.jpg`: the numbers in a name, and the names that numbers may have."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wkconvert_core import OptionError

FIELDS = {"z": "z", "y": "y", "row": "y", "x": "x", "col": "x", "zoom": "zoom"}
"""The axis that each word in braces counts."""
_FIELD = re.compile(r"\{([^{}]*)\}")
_EXAMPLE = "write for example -o pattern={z}/{y}/{x}.jpg or -o pattern=slice_{z}/{row}_{col}_{zoom}.png"


@dataclass(frozen=True)
class Part:
    """The part of a pattern that names one folder, or the file.

    >>> part = Part(("tile_", "_", ".png"), ("y", "x"), ((1,), (1, 3)))
    >>> part.digits("tile_2_013.png")
    ('2', '013')
    >>> list(part.names({"x": 13, "y": 2}))
    ['tile_2_13.png', 'tile_2_013.png']
    """

    texts: tuple[str, ...]
    """The text before, between and after the numbers."""
    fields: tuple[str, ...]
    """The axis of each number: x, y, z, zoom."""
    widths: tuple[tuple[int, ...], ...] = ()
    """The widths to which each number may be padded with zeros; 1: not padded."""

    def digits(self, name: str) -> tuple[str, ...] | None:
        """The digits of each number in a name; None if the name does not match."""
        found = _regex(self).fullmatch(name)
        return found.groups() if found else None

    def names(self, numbers: Mapping[str, int]) -> Iterator[str]:
        """Every name of these numbers, one for each combination of widths."""
        for widths in itertools.product(*self.widths):
            pairs = zip(self.fields, widths, self.texts[1:], strict=True)
            yield self.texts[0] + "".join(f"{numbers[field]:0{width}}{text}" for field, width, text in pairs)


@functools.cache
def _regex(part: Part) -> re.Pattern[str]:
    return re.compile("([0-9]+)".join(map(re.escape, part.texts)))


def parse(pattern: str) -> tuple[Part, ...]:
    """The parts of a pattern, folder by folder. Raises OptionError.

    >>> [part.fields for part in parse("slice_{z}/tile_{row}_{col}.png")]
    [('z',), ('y', 'x')]
    """
    parts = tuple(_part(pattern, text) for text in pattern.split("/"))
    fields = {field for part in parts for field in part.fields}
    if not {"x", "y"} <= fields:
        raise _wrong(pattern, f"it has no place for {' and '.join(sorted({'x', 'y'} - fields))}")
    return parts


def _part(pattern: str, text: str) -> Part:
    if text in ("", ".", ".."):
        raise _wrong(pattern, f"{text!r} is not the name of a folder below SRC, or of a file")
    pieces = _FIELD.split(text)
    texts, words = tuple(pieces[::2]), pieces[1::2]
    if any("{" in piece or "}" in piece for piece in texts):
        raise _wrong(pattern, "its braces do not match")
    if "" in texts[1:-1]:
        raise _wrong(pattern, "two numbers follow one another, and nothing says where the first one ends")
    return Part(texts, tuple(_field(pattern, word) for word in words))


def _field(pattern: str, word: str) -> str:
    """The field of a word in braces; wkcuber repeats a letter, `{zzzz}`."""
    short = word[:1] if word and set(word) <= {word[0]} else word
    if short not in FIELDS:
        raise _wrong(pattern, f"{{{word}}} is unknown; {', '.join(f'{{{known}}}' for known in FIELDS)} are known")
    return FIELDS[short]


def _wrong(pattern: str, why: str) -> OptionError:
    return OptionError(f"-o pattern={pattern} cannot be a pattern of tiles", why=why, fix=_EXAMPLE)


class Padding:
    """Learns the widths to which a number is padded with zeros.

    >>> padding = Padding()
    >>> for digits in ("001", "017", "140"):
    ...     padding.see(digits)
    >>> padding.widths
    (3,)
    """

    def __init__(self) -> None:
        self._padded: set[int] = set()
        self._shortest: int | None = None

    def see(self, digits: str) -> None:
        """Take one number into account, as it is written."""
        if digits[0] == "0" and len(digits) > 1:
            self._padded.add(len(digits))
        elif self._shortest is None or len(digits) < self._shortest:
            self._shortest = len(digits)

    @property
    def widths(self) -> tuple[int, ...]:
        """The smallest set of widths that explains every number seen."""
        least = min(self._padded, default=None)
        plain = least is None or (self._shortest is not None and self._shortest < least)
        return tuple(sorted(self._padded | ({1} if plain else set())))
