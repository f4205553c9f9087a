"""Names and contents of folders, as readers need them."""

from __future__ import annotations

from pathlib import Path


def stem(path: Path) -> str:
    """A file's name without its suffix, and without that of what is compressed: `brain.nii.gz` gives `brain`."""
    inner = Path(path.stem) if path.suffix.lower() in (".gz", ".bz2", ".xz", ".zst") else path
    return inner.stem
