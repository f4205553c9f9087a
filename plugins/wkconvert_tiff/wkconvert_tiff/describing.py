"""Descriptions of TIFF files in the words of those who made them: `ImageJ hyperstack, 3 channels, 24 slices`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from wkconvert_images.calibration import imagej
from wkconvert_images.ome import ElsewhereError, is_ome, read_ome
from wkconvert_images.tags import Ifd, TiffFile, is_slice

_MOST_PAGES = 1000
"""More pages are not counted, for a description must not take as long as opening."""
_MOST_XML = 1 << 20
_TAGS = {34412: "Zeiss LSM ", 34361: "FluoView "}
"""Programs by tags of theirs."""


def described(path: Path) -> str:
    """A few words on a TIFF file, also a damaged one: what kind it is, and how many of what it holds."""
    try:
        with TiffFile(str(path)) as tiff:
            first = tiff.ifd(tiff.first)
            is_scanimage = first.text(305).startswith("SI.")
            maker = "ScanImage " if is_scanimage else next((who for tag, who in _TAGS.items() if tag in first), "")
            return _told(first) or f"{maker}TIFF of {_pages(tiff)}"
    except Exception:  # what is wrong with it is said where it is opened
        return "TIFF, damaged"


def _told(first: Ifd) -> str:
    """The description of the first page in a few words; empty if neither ImageJ nor OME wrote it."""
    text = first.text(270)
    if lines := imagej(text):
        channels, slices, frames = (int(lines.get(noun, "1") or 1) for noun in ("channels", "slices", "frames"))
        is_stack = channels * frames == 1
        if is_stack and slices == 1:
            slices = int(lines.get("images", "1") or 1)
        kind = "stack" if is_stack and slices > 1 else "picture" if is_stack else "hyperstack"
        return f"ImageJ {kind}{_counted(channels, slices, frames)}"
    if not is_ome(text):
        return ""
    if len(text) > _MOST_XML:
        return "OME-TIFF"
    try:
        images = read_ome(text)
    except ElsewhereError:
        return "OME-TIFF, one file of a set"
    if len(images) != 1:
        return f"OME-TIFF of {len(images)} images"
    sizes, samples = images[0].sizes, max([channel.samples for channel in images[0].channels], default=1)
    return f"OME-TIFF{_counted(sizes['C'] // max(samples, 1), sizes['Z'], sizes['T'])}"


def _counted(channels: int, slices: int, times: int) -> str:
    """The counts above 1, each after a comma.

    >>> _counted(3, 24, 1)
    ', 3 channels, 24 slices'
    """
    counts = {"channels": channels, "slices": slices, "times": times}
    return "".join(f", {count} {noun}" for noun, count in counts.items() if count > 1)


def _pages(tiff: TiffFile) -> str:
    pages = sum(is_slice(ifd) for ifd in islice(tiff.chain(), _MOST_PAGES + 1))
    if pages > _MOST_PAGES:
        return f"more than {_MOST_PAGES} pages"
    return "1 page" if pages == 1 else f"{pages} pages"
