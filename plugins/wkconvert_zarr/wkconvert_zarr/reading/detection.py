"""Detection: of folders by the documents in them, of zip files by what lies in them, of URLs by their text."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wkconvert_core import Confidence, Match
from wkconvert_core.toolkit.files import is_file, is_folder, open_file

from ..places import SCHEMES
from .formats.store import DOCUMENTS, ZIPPED, bare_url

_MOST_BYTES = 1 << 20
_ZIP = b"PK\3\4"
_TOLD = {
    "zarr.json": "Zarr 3",
    ".zarray": "an array of Zarr 2",
    ".zgroup": "a group of Zarr 2",
    ".zattrs": "a group of Zarr 2",
    "attributes.json": "N5",
    "info": "a volume of neuroglancer",
}
_WORDS = (".zarr", ".n5", ".precomputed", *ZIPPED)
"""Of the names in a URL that say that a reader of arrays is meant."""
_FILES = re.compile(
    r"\.(tiff?|png|jpe?g|bmp|nii|gz|hdr|img|mrc|rec|st|ali|map|dm[34]|h5|hdf5?|raw|nrrd|mhd|czi|lif|nd2)"
)
"""Suffixes of files that hold other things; nothing says that a URL with any other name is none of ours."""


def detect(path: Path | str, head: bytes) -> Match | None:
    """The claim to a folder, a zip file or a URL."""
    if isinstance(path, str):
        return _url(path)
    if head.startswith(_ZIP) or (is_file(path) and path.suffix.lower() == ".ozx"):
        return _zipped(path, head)
    return _folder(path) if is_folder(path) else None


def _url(url: str) -> Match | None:
    """A URL of a kind that is read; nothing is fetched."""
    bare = bare_url(url)
    parts = urlsplit(bare)
    if parts.scheme not in (*SCHEMES, "file"):
        return None
    is_named = bare != url or any(name.endswith(_WORDS) for name in parts.path.lower().split("/"))
    if not is_named and _FILES.fullmatch(Path(parts.path.lower()).suffix):
        return None
    told = "names an array" if is_named else "may be an array"
    return Match("zarr", Confidence.CONTENT if is_named else Confidence.SUFFIX, f"a URL that {told}")


def _zipped(path: Path, head: bytes) -> Match | None:
    """A zip file whose names are those of Zarr."""
    try:
        with zipfile.ZipFile(path) as file:
            names = {name.rpartition("/")[2]: name for name in file.namelist() if name.count("/") < 2}
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return Match("zarr", Confidence.SUFFIX, "its name ends in .ozx") if path.suffix.lower() == ".ozx" else None
    told = next((_TOLD[name] for name in DOCUMENTS[:4] if name in names), None)
    return Match("zarr", Confidence.CONTENT, f"{told}, zipped") if told else None


def _folder(path: Path) -> Match | None:
    for name in DOCUMENTS:
        if not is_file(path / name):
            continue
        about = _document(path / name)
        if about is None:
            if name != "info":
                return Match("zarr", Confidence.SUFFIX, f"{name}, damaged")
        elif name == "attributes.json" and not _is_n5(path, about):
            continue
        elif name != "info" or "scales" in about or str(about.get("@type", "")).startswith("neuroglancer"):
            return Match("zarr", Confidence.CONTENT, f"{name} says that it is {_TOLD[name]}")
    is_pyramid = is_file(path / "s0" / "attributes.json")
    return Match("zarr", Confidence.CONTENT, "s0 in it is an array of N5") if is_pyramid else None


def _is_n5(path: Path, about: dict[str, Any]) -> bool:
    """Whether attributes are those of N5: they say so, describe an array, or groups of it lie below."""
    known = {"n5", "dimensions", "downsamplingFactors", "multiscales", "scales", "pixelResolution", "painteraData"}
    return bool(known & set(about)) or path.name.lower().endswith(".n5") or is_file(path / "s0" / "attributes.json")


def _document(file: Path) -> dict[str, Any] | None:
    """A JSON object; None for anything else."""
    with open_file(file) as opened:
        content = opened.read(_MOST_BYTES)
    try:
        about = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return about if isinstance(about, dict) else None
