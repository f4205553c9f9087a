"""Detection, from a few bytes and from names."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from wkconvert_core import Confidence, Match
from wkconvert_core.toolkit.files import is_file, is_folder, listed, open_file

SUFFIXES = (".h5", ".hdf5", ".ims", ".emd")
"""Suffixes of files that are HDF5 and nothing else. MATLAB's `.mat` may be older than that."""
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PLACES = (0, 512, 1024, 2048)
"""Where the signature may stand: at powers of two from 512 on, behind what a program such as MATLAB puts first."""
_MOST_XML = 100
"""Most files of XML in a folder of BigDataViewer."""


def detect(path: Path, head: bytes) -> Match | None:
    """The claim to a file by its content or, failing that, its name; to a folder by the XML in it."""
    if is_folder(path):
        found = spim_files(path)
        return Match("hdf5", Confidence.CONTENT, f"{found[0].name} in it is of BigDataViewer") if found else None
    if is_hdf5(head):
        return Match("hdf5", Confidence.CONTENT, "it has the signature of HDF5")
    if is_spim(head):
        return Match("hdf5", Confidence.CONTENT, "XML of BigDataViewer that describes an HDF5 file")
    if path.name.lower().endswith(SUFFIXES):
        return Match("hdf5", Confidence.SUFFIX, "its name ends like that of an HDF5 file")
    return None


def is_hdf5(head: bytes) -> bool:
    r"""Whether the first bytes of a file are those of HDF5.

    >>> is_hdf5(bytes(512) + b"\x89HDF\r\n\x1a\n"), is_hdf5(b"CDF\x01")
    (True, False)
    """
    return any(head.startswith(_SIGNATURE, place) for place in _PLACES)


def is_spim(head: bytes) -> bool:
    """Whether the first bytes of a file are XML of BigDataViewer whose images lie in HDF5."""
    return b"<SpimData" in head and b'"bdv.hdf5"' in head


def spim_files(folder: Path) -> list[Path]:
    """The XML of BigDataViewer for HDF5 right in a folder. Raises SourceNotFound, BrokenSource.

    Many files of XML are those that a microscope writes for each image, and are not looked at.
    """
    found = [path for path in listed(folder) if path.suffix.lower() == ".xml" and not path.name.startswith(".")]
    return [path for path in found if is_file(path) and is_spim(_readable(path))] if len(found) <= _MOST_XML else []


def _readable(path: Path) -> bytes:
    """The first bytes of a file; none of one that nobody may read, which is no reason to leave its neighbours alone."""
    with suppress(PermissionError), open_file(path) as file:
        return file.read(4096)
    return b""
