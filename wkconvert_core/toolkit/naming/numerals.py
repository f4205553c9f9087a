"""Numbers that names write otherwise than in decimals: hexadecimal, as `img_0a`, and Roman, as `slice_IV`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import cache

from wkconvert_core.toolkit.naming.words import stem

__all__ = ["in_decimals"]

_HEXADECIMAL = re.compile(r"(?<![0-9A-Fa-f])([0-9A-Fa-f]+)(?![0-9A-Za-z])")
_ROMAN = re.compile(r"(?<![0-9A-Za-z])([IVXLC]+|[ivxlc]+)(?![0-9A-Za-z])")
_DENSE = 0.9
"""Part of the numbers from the least to the largest that must be there: words that look like numerals are sparse."""
_FEWEST = 3


def in_decimals(names: Sequence[str], *, is_said: bool = False) -> tuple[str, dict[str, str]] | None:
    """The kind of numerals, and names with decimals in their place, each with its own; None where there are none.

    Names are alike but for the numerals, and nearly none is missing, unless `is_said` that they count.

    >>> in_decimals(["s08.tif", "s09.tif", "s0a.tif", "s0b.tif"])
    ('hexadecimal', {'s8.tif': 's08.tif', 's9.tif': 's09.tif', 's10.tif': 's0a.tif', 's11.tif': 's0b.tif'})
    >>> in_decimals(["a_I.tif", "a_II.tif", "a_III.tif"])
    ('Roman', {'a_1.tif': 'a_I.tif', 'a_2.tif': 'a_II.tif', 'a_3.tif': 'a_III.tif'})
    >>> in_decimals(["s1.tif", "s1a.tif", "s2.tif"])
    """
    for kind, numerals, read in (("hexadecimal", _HEXADECIMAL, _hexadecimal), ("Roman", _ROMAN, _roman)):
        pieces = [numerals.split(stem(name)) for name in names]
        if len({tuple(row[::2]) for row in pieces}) == 1 and (columns := _columns(pieces, read, is_said=is_said)):
            around = pieces[0][::2]
            rows = [zip(around, (*row, ""), strict=True) for row in zip(*columns, strict=True)]
            texts = ["".join(map("".join, row)) for row in rows]
            found = {text + name[len(stem(name)) :]: name for text, name in zip(texts, names, strict=True)}
            return (kind, found) if len(found) == len(names) else None
    return None


def _columns(
    pieces: Sequence[Sequence[str]], read: Callable[[Sequence[str]], list[int]], *, is_said: bool
) -> list[Sequence[str]]:
    """The fields of names in decimals; none unless letters run in one of them, and all that do are numerals."""
    columns: list[Sequence[str]] = []
    found = False
    for column in list(zip(*pieces, strict=True))[1::2]:
        if len(distinct := set(column)) > 1 and not all(map(str.isdecimal, distinct)):
            # the end of a word, such as the `ce` of `slice0a`
            shared = re.match("[A-Fa-f]*", os.path.commonprefix(column))  # noqa: RUF071 - no paths
            word = shared[0] if shared and read is _hexadecimal else ""
            values = read([text.removeprefix(word) for text in column])
            if (
                not values
                or len(distinct) < _FEWEST
                or not (is_said or len(distinct) >= _DENSE * (max(values) - min(values) + 1))
            ):
                return []
            column, found = tuple(f"{word}{value}" for value in values), True
        columns.append(column)
    return columns if found else []


def _hexadecimal(column: Sequence[str]) -> list[int]:
    """The values of hexadecimal numbers of one width, or without leading zeros, which end in digits and in letters."""
    together = "".join(column)
    is_of_one_width = len({*map(len, column)}) == 1
    if (
        not all(column)
        or together not in (together.lower(), together.upper())
        or not (is_of_one_width or all(text == "0" or text[0] != "0" for text in column))
        or len({text[-1].isdecimal() for text in column}) < 2
    ):
        return []
    return [int(text, 16) for text in column]


def _roman(column: Sequence[str]) -> list[int]:
    """The values of Roman numbers, one of them at least of several letters."""
    known = _roman_numerals()
    if max(map(len, column)) < 2 or any(text.upper() not in known for text in column):
        return []
    return [known[text.upper()] for text in column]


@cache
def _roman_numerals() -> dict[str, int]:
    """The numbers from I to CCCXCIX."""
    ones = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
    tens = [digits.translate(str.maketrans("IVX", "XLC")) for digits in ones]
    return {f"{'C' * (n // 100)}{tens[n // 10 % 10]}{ones[n % 10]}": n for n in range(1, 400)}
