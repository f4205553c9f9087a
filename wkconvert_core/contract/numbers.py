"""Whole numbers rounded and tested; and numbers as texts write them.

Of texts, Python's own `int` and `float` take more: `٣`, `1_000`, numbers without end.
"""

from __future__ import annotations

_MOST_DIGITS = 20
"""The digits of the largest number of 64 bits."""


def whole_number(text: str) -> int:
    """The whole number that a text writes with at most 20 digits 0 to 9. Raises ValueError.

    >>> whole_number("042"), whole_number("-1")
    (42, -1)
    >>> whole_number("1_000")
    Traceback (most recent call last):
    ValueError: '1_000' is no whole number; write it with digits 0 to 9, at most 20
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS):
        raise ValueError(f"{text!r} is no whole number; write it with digits 0 to 9, at most {_MOST_DIGITS}")
    return int(text)


def decimal_number(text: str) -> float:
    """The number that a text writes, as 0.5 or 1e-3; also nan and inf. Raises ValueError.

    >>> decimal_number("2.5e3")
    2500.0
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"{text!r} is no number; write for example 0.5 or 1e-3")
    return float(text)


def ceil_div(a: int, b: int) -> int:
    """The quotient, rounded up.

    >>> ceil_div(7, 4), ceil_div(8, 4), ceil_div(-7, 4)
    (2, 2, -1)
    """
    return -(-a // b)


def is_power_of_two(n: int) -> bool:
    """Whether `n` is 1, 2, 4, 8, and so on.

    >>> [n for n in range(-2, 10) if is_power_of_two(n)]
    [1, 2, 4, 8]
    """
    return n > 0 and n & (n - 1) == 0
