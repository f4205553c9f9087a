"""Detection, from the names in a folder and a few bytes."""

from __future__ import annotations

import json
from pathlib import Path

from wkconvert_core import Confidence, Match
from wkconvert_core.toolkit.files import is_file, open_file

ARRAY_FILE = "zarr.json"
_MOST_BYTES = 1 << 20


def detect(path: Path) -> Match | None:
    """The claim to the folder of an array of Zarr 3."""
    if not is_file(path / ARRAY_FILE):
        return None
    with open_file(path / ARRAY_FILE) as file:
        content = file.read(_MOST_BYTES)
    try:
        about = json.loads(content)
    except (ValueError, RecursionError):
        return Match("zarr", Confidence.SUFFIX, f"{ARRAY_FILE}, damaged")
    if not isinstance(about, dict) or about.get("node_type") != "array":
        return None
    return Match("zarr", Confidence.CONTENT, f"{ARRAY_FILE} says that it is an array")
