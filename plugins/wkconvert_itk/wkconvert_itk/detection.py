"""Detection, from a few bytes."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from wkconvert_core import Confidence, Match
from wkconvert_core.toolkit.files import entries, files_below, is_folder, state_of
from wkconvert_core.toolkit.volumes.inflated import GZIP, bytes_of

from .magic import DICOM_BYTES, NRRD, is_dicom, is_gipl, is_metaimage

_LOOKED_AT = 100
"""Files of a folder whose first bytes are looked at."""
_SIDECARS = (".txt", ".json", ".csv", ".md", ".xml", ".html", ".htm", ".pdf", ".log", ".inf", ".exe", ".jar")
"""Suffixes of what lies beside slices on the disks that hospitals hand out."""
_INDEX = "dicomdir"
_HEADERS = (".nhdr", ".mhd")
"""Suffixes of headers whose voxels are in a file of their own."""
VOLUMES = (*_HEADERS, ".nrrd", ".mha", ".gipl")
"""Suffixes of all files that say what a volume is."""


def detect(path: Path, head: bytes) -> Match | None:
    """The claim to a file by its first bytes, to a folder if what lies in and below it is DICOM."""
    if is_folder(path):
        return _folder(path) or _folder_of_headers(path)
    name = path.name.lower()
    if head.startswith(NRRD):
        return Match("itk", Confidence.CONTENT, "it begins as NRRD does")
    if is_metaimage(head):
        return Match("itk", Confidence.CONTENT, "it begins with the fields of a MetaImage")
    if is_gipl(head):
        return Match("itk", Confidence.CONTENT, "it has a header of GIPL")
    if is_dicom(head) and name != _INDEX:
        # a slice may begin as TIFF does, so that it can be read as either; its name tells what it is meant to be
        sure = Confidence.CONTENT if name.endswith((".tif", ".tiff")) else Confidence.EXACT
        return Match("dicom", sure, "DICM stands at byte 128")
    if name.endswith(VOLUMES) or (name.endswith(".gipl.gz") and head.startswith(GZIP)):
        return Match("itk", Confidence.SUFFIX, "its name ends like that of a volume of ITK's")
    if name.endswith((".dcm", ".dicom")):
        return Match("dicom", Confidence.SUFFIX, "its name ends like that of DICOM")
    return None


def is_slice(path: Path) -> bool:
    """Whether a file may be a slice, by its name: no index, and nothing that only lies beside them."""
    name = path.name.lower()
    return not (name.startswith(_INDEX) or name.startswith("readme") or name.endswith(_SIDECARS))


def _folder(path: Path) -> Match | None:
    count = 0
    for file in islice(filter(is_slice, files_below(path, hidden=False)), _LOOKED_AT):
        if not state_of(file)[0]:  # a copy that failed among slices is told when they are opened
            continue
        if not is_dicom(bytes_of(file, DICOM_BYTES)):
            return None
        count += 1
    return Match("dicom", Confidence.CONTENT, f"DICM stands at byte 128 of {count} files in it") if count else None


def volumes_in(folder: Path) -> list[Path]:
    """The volumes right in a folder: headers, and files that hold both. Raises SourceNotFound, BrokenSource."""
    return [folder / entry.name for entry in entries(folder) if entry.name.lower().endswith(VOLUMES)]


def _folder_of_headers(path: Path) -> Match | None:
    """The claim to a folder of headers and their data files, which core would take for layers of their own."""
    volumes = volumes_in(path)
    if not any(volume.name.lower().endswith(_HEADERS) for volume in volumes):
        return None
    stems = {volume.name.split(".")[0] for volume in volumes}
    others = [entry for entry in entries(path) if entry.is_folder or entry.name.split(".")[0] not in stems]
    if any(entry.is_folder or not entry.name.lower().endswith(_SIDECARS) for entry in others):
        return None
    return Match("itk", Confidence.CONTENT, f"{len(volumes)} volumes, and data files of their names")
