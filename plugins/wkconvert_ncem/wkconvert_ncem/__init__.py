"""The two hooks for the files that ncempy reads. It takes seconds to import, and only opening does so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import Confidence, Layer, Match, hookimpl, parse_options

FORMATS = {"ncem": "SER of TIA (.ser), SMV (.img); DM3 and DM4 with --reader ncem"}
SECOND_OPINIONS = {"dm": "ncem"}

_SER = b"II\x97\x01"
"""Byte order and series of TIA's files."""


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim SER and SMV by their first bytes. DM files are left to the reader for them, which takes more of them."""
    if isinstance(path, str):
        return None
    if head.startswith(_SER):
        return Match("ncem", Confidence.CONTENT, "it begins as SER of TIA does")
    if head.startswith(b"{") and b"HEADER_BYTES=" in head[:64]:
        return Match("ncem", Confidence.CONTENT, "it begins with a header of SMV")
    return Match("ncem", Confidence.SUFFIX, "its name ends in .ser") if path.suffix.lower() == ".ser" else None


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open what `wkconvert_detect` named `ncem`, and DM files; None for other formats."""
    if format not in FORMATS or isinstance(path, str):
        return None
    from .opening import open_ncem

    return open_ncem(path, **parse_options(open_ncem, options))
