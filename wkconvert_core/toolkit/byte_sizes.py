"""Numbers of bytes, as people read and type them."""

from __future__ import annotations


def size_text(size: float) -> str:
    """A number of bytes for people, in units that `--memory` takes: `1.5GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1000 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.3g}{unit}"


def parse_size(text: str) -> int:
    """Bytes from `2GiB`, `500 MB` or `1073741824`. Raises ValueError."""
    import re

    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if not match:
        raise ValueError(f"{text!r} is no size; write for example 2GiB or 500MB")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kmgt".index(prefix or " "))
