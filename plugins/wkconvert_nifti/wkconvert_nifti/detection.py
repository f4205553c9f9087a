"""Detection, from a few bytes and from names."""

from __future__ import annotations

from pathlib import Path

from wkconvert_core import Confidence, Match
from wkconvert_core.toolkit.files import is_folder

from .files import DOCUMENTS, HDR, IMG, NII, SIDECARS, contents, has, header_of, is_header
from .magic import inflated, is_analyze, kind_of


def detect(path: Path, head: bytes) -> Match | None:
    """The claim to a file by its header, its partner's header or its name; to a folder of volumes and nothing else."""
    if is_folder(path):
        return _folder(path)
    start = inflated(head)
    if kind := kind_of(start):
        return Match("nifti", Confidence.CONTENT, f"it starts with a header of NIfTI-{kind.version}")
    if has(path, IMG) and (header := header_of(path)) != path and is_header(header):
        return Match("nifti", Confidence.CONTENT, f"{header.name} beside it has a header of NIfTI")
    if has(path, NII):
        return Match("nifti", Confidence.SUFFIX, "its name ends like that of a NIfTI file")
    if has(path, HDR) and is_analyze(start):
        return Match("nifti", Confidence.SUFFIX, "a header of Analyze 7.5, which NIfTI came from")
    if has(path, IMG):
        return Match("nifti", Confidence.SUFFIX, "its name ends like that of a pair's voxels")
    return None


def _folder(path: Path) -> Match | None:
    """A folder with one file is left to core, which names the layer after folder or file."""
    volumes, others = contents(path)
    if not volumes or (len(volumes) == 1 and has(volumes[0], NII)):
        return None
    if any(is_folder(entry) or not has(entry, SIDECARS + DOCUMENTS) for entry in others):
        return None
    sure = any(map(is_header, volumes[:1]))
    reason = f"{len(volumes)} NIfTI {'volumes' if len(volumes) > 1 else 'volume'}"
    return Match("nifti", Confidence.CONTENT if sure else Confidence.SUFFIX, reason)
