"""Numbers of bytes as text."""

from __future__ import annotations


def size_text(size: float) -> str:
    """A number of bytes as text, with a unit that `parse_size` reads.

    >>> size_text(999), size_text(1.5 * 2**30)
    ('999B', '1.5GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1000 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.3g}{unit}"


def parse_size(text: str) -> int:
    """The number of bytes that a text with a decimal unit, a binary one or none gives. Raises ValueError.

    >>> parse_size("2GiB"), parse_size("500 MB"), parse_size("4096")
    (2147483648, 500000000, 4096)
    """
    import re

    match = re.fullmatch(r"\s*([0-9]{1,20}(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if not match:
        raise ValueError(f"{text!r} is no size; write for example 2GiB or 500MB")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kmgt".index(prefix or " "))
