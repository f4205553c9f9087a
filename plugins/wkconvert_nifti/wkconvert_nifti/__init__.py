"""NIfTI volumes for wkconvert: the three hooks. Importing this imports no format library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core import DatasetSink, DatasetSpec, Layer, Match, hookimpl, parse_options

FORMATS = {"nifti": "NIfTI-1 and NIfTI-2: .nii, .nii.gz, .hdr with .img (also of Analyze 7.5), and folders of them"}
EXPORTS = {"nifti": "one NIfTI file of a layer, .nii or .nii.gz"}


@hookimpl
def wkconvert_detect(path: Path | str, head: bytes) -> Match | None:
    """Claim NIfTI files, either file of a pair, and folders that hold nothing else."""
    if isinstance(path, str):
        return None
    from .detection import detect

    return detect(path, head)


@hookimpl
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open what `wkconvert_detect` named `nifti`; None for other formats."""
    if format not in FORMATS or isinstance(path, str):
        return None
    from .opening import open_nifti

    return open_nifti(path, **parse_options(open_nifti, options))


@hookimpl
def wkconvert_create(format: str, path: Path, spec: DatasetSpec, options: Mapping[str, str]) -> DatasetSink | None:
    """Write one mag of one layer as a NIfTI file; None for formats other than `nifti`."""
    if format not in EXPORTS:
        return None
    from .writing import dataset

    return dataset(path, spec, **parse_options(dataset, options, shown="--to-option {}={}".format))
