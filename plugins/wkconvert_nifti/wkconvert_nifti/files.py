"""Names of files: the two of a pair, the volumes of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .magic import inflated, kind_of

NII = (".nii", ".nii.gz")
HDR = (".hdr", ".hdr.gz")
IMG = (".img", ".img.gz")
SIDECARS = (".json", ".bval", ".bvec", ".txt", ".tsv", ".csv", ".md", ".log", "thumbs.db", "desktop.ini")
"""What comes with volumes and is none."""
DOCUMENTS = (".doc", ".docx", ".htm", ".html", ".odt", ".pdf", ".ppt", ".pptx", ".rtf", ".xls", ".xlsx", ".xml")
"""What no reader takes either."""


def has(path: Path, suffixes: Sequence[str]) -> bool:
    """Whether a file's name ends so, in whatever case."""
    return path.name.lower().endswith(tuple(suffixes))


def stem(path: Path) -> str:
    """The name without `.nii.gz` and the like."""
    name = path.name.removesuffix(path.suffix) if path.suffix.lower() == ".gz" else path.name
    return name[:-4] if has(Path(name), (".nii", ".hdr", ".img")) else name


def partner(path: Path, suffixes: Sequence[str]) -> Path | None:
    """The other file of a pair, which is called the same up to its suffix, if it is there."""
    names = [stem(path) + form for suffix in suffixes for form in (suffix, suffix.upper())]
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def header_of(path: Path) -> Path:
    """The file that holds the header: the path itself, unless it is the `.img` of a pair."""
    return (has(path, IMG) and partner(path, HDR)) or path


def is_header(path: Path) -> bool:
    """Whether a file begins with NIfTI's header; a file that cannot be read does not."""
    try:
        with path.open("rb") as file:
            return kind_of(inflated(file.read(4096))) is not None
    except OSError:
        return False


def visible(folder: Path) -> list[Path]:
    """What a folder shows, sorted; nothing if it may not be read."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return []


def volumes_in(folder: Path) -> list[Path]:
    """The headers of the volumes right in a folder, sorted by name."""
    files = [entry for entry in visible(folder) if entry.is_file()]
    return [path for path in files if has(path, NII) or (has(path, HDR) and is_header(path))]


def others_in(folder: Path, volumes: Sequence[Path]) -> list[Path]:
    """What else there is in a folder: folders, and files that belong to no volume."""
    mine = {*volumes, *(partner(path, IMG) for path in volumes if has(path, HDR))}
    return [entry for entry in visible(folder) if entry not in mine]
