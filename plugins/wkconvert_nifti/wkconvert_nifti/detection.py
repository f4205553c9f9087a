"""Detection, from a few bytes and from names; which files belong together: a pair, the volumes of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wkconvert_core import Confidence, Match
from wkconvert_core.toolkit.files import entries, is_file, is_folder, open_file, reading, stem
from wkconvert_core.toolkit.volumes.inflated import inflated

from .magic import HEAD_BYTES, analyze_of, kind_of

NII = (".nii", ".nii.gz")
HDR = (".hdr", ".hdr.gz")
IMG = (".img", ".img.gz")
SIDECARS = (".json", ".bval", ".bvec", ".txt", ".tsv", ".csv", ".md", ".log")
"""Suffixes of files that accompany volumes."""
DOCUMENTS = (".doc", ".docx", ".htm", ".html", ".odt", ".pdf", ".ppt", ".pptx", ".rtf", ".xls", ".xlsx", ".xml")
"""Suffixes of files that no other reader takes either."""


def detect(path: Path, head: bytes) -> Match | None:
    """The claim to a file by its header, its partner's header or its name; to a folder of volumes and nothing else."""
    if is_folder(path):
        return _folder(path)
    start = inflated(head, HEAD_BYTES)
    if kind := kind_of(start):
        return Match("nifti", Confidence.CONTENT, f"it starts with a header of NIfTI-{kind.version}")
    if has(path, IMG) and (header := header_of(path)) != path and is_header(header):
        return Match("nifti", Confidence.CONTENT, f"{header.name} beside it has a header of NIfTI, or of Analyze")
    if has(path, NII):
        return Match("nifti", Confidence.SUFFIX, "its name ends like that of a NIfTI file")
    if has(path, HDR) and analyze_of(start):
        return Match("nifti", Confidence.CONTENT, "it is a header of Analyze 7.5, which NIfTI came from")
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


def has(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a file has one of these suffixes, in upper or lower case."""
    return path.name.lower().endswith(tuple(suffixes))


def partner(path: Path, suffixes: Sequence[str]) -> Path | None:
    """The other file of a pair, which has the same name but one of these suffixes; None if there is none."""
    base = stem(path) if has(path, (*HDR, *IMG)) else path.name
    names = [base + form for suffix in suffixes for form in (suffix, suffix.upper())]
    return next((path.with_name(name) for name in names if is_file(path.with_name(name))), None)


def header_of(path: Path) -> Path:
    """The file with the header: the path itself, or the `.hdr` beside it if it is the `.img` of a pair."""
    return (has(path, IMG) and partner(path, HDR)) or path


def is_header(path: Path) -> bool:
    """Whether a file begins with a header of NIfTI, or is one of Analyze. Raises SourceNotFound, BrokenSource."""
    with reading(path), open_file(path) as file:
        head = inflated(file.read(4096), HEAD_BYTES)
    return kind_of(head) is not None or (has(path, HDR) and analyze_of(head) is not None)


def contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """The headers of the volumes right in a folder, by name, and all else: folders, and files of no volume.

    Raises SourceNotFound, BrokenSource.
    """
    found = entries(folder)
    files = [folder / entry.name for entry in found if not entry.is_folder]
    volumes = [path for path in files if has(path, NII) or (has(path, HDR) and is_header(path))]
    mine = {*volumes, *(partner(path, IMG) for path in volumes if has(path, HDR))}
    return volumes, [path for entry in found if (path := folder / entry.name) not in mine]
