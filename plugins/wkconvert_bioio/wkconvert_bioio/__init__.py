"""A bridge to bioio, which takes seconds to import: only opening does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wkconvert_core import Confidence, Layer, Match, hookimpl, parse_options

FORMATS = {"bioio": "what the installed readers of bioio take, such as bioio-czi, bioio-lif, bioio-nd2"}

_OTHERS = (".oib", ".oif", ".oir", ".sld", ".vsi", ".zvi")
_SUFFIXES = {
    "bioio-czi": (".czi",),
    "bioio-dv": (".dv", ".r3d"),
    "bioio-lif": (".lif",),
    "bioio-nd2": (".nd2",),
    "bioio-sldy": (".sldy",),
    "bioio-bioformats": (".czi", ".dv", ".lif", ".nd2", ".r3d", *_OTHERS),
}
"""Distributions of bioio's readers, and the suffixes of theirs that no other reader of wkconvert takes."""


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim files by suffixes that an installed reader of bioio knows, and none of wkconvert's own."""
    if isinstance(path, str) or not head:
        return None
    suffix = path.suffix.lower()
    for name, suffixes in _SUFFIXES.items():
        if suffix in suffixes and _is_installed(name):
            return Match("bioio", Confidence.SUFFIX, f"its name ends in {suffix}, which {name} reads")
    return None


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open what `wkconvert_detect` named `bioio`, or any file where the user chose it; None for other formats."""
    if format not in FORMATS or isinstance(path, str):
        return None
    from .opening import open_bioio

    return open_bioio(path, **parse_options(open_bioio, options))
