"""A second opinion: what another reader, on another library, finds in the same file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.contract.model import Layer, VolumeInfo
from wkconvert_core.contract.voxel_size import METRES
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing.samples import ContractViolation, NotApplicable, Rule, open_as, reader_of, region, require

_ROUNDED = 1e-5
"""Relative difference of voxel sizes that libraries may store as 32-bit floats."""


def check_second_opinion(path: Path, *, reader: str | None = None, options: Mapping[str, str] | None = None) -> None:
    """Another installed reader finds the same layers: shape, dtype, channels, voxel size, and the voxels of a part.

    Readers say by `SECOND_OPINIONS` whose files they read as well. Raises NotApplicable where there is none.
    """
    path, first = Path(path), reader_of(Path(path), reader)
    second = plugins().second_opinions().get(first)
    if second is None:
        raise NotApplicable(f"no installed reader gives a second opinion on what {first} reads")
    ours = open_as(first, path, options)
    try:
        theirs = open_as(second, path, None)
    except ContractViolation:
        raise
    except WkconvertError as error:
        raise NotApplicable(f"{second} gives no opinion on it: {error}") from error
    counts = f"{first} finds {len(ours)} layers in {path}, {second} {len(theirs)}"
    require(len(ours) == len(theirs), counts, Rule.SECOND_OPINION)
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        _compare(f"{path}, layer {mine.name or number}", (first, mine), (second, other))


def _compare(label: str, first: tuple[str, Layer], second: tuple[str, Layer]) -> None:
    (ours, mine), (theirs, other) = first, second
    a, b = mine.source.info, other.source.info
    facts = [
        ("shape", tuple(a.shape), tuple(b.shape), tuple(a.shape) == tuple(b.shape)),
        ("dtype", a.dtype, b.dtype, a.dtype == b.dtype),
        ("channels", a.channels, b.channels, a.channels == b.channels),
        ("voxel size", _metres(a), _metres(b), np.allclose(_metres(a), _metres(b), _ROUNDED, 0, equal_nan=True)),
    ]
    for what, one, another, same in facts:
        require(same, f"{label}: the {what} is {one} by {ours}, {another} by {theirs}", Rule.SECOND_OPINION)
    box = region(a)
    found, by_other = mine.source.read(box), other.source.read(box)
    both_nan = (found != found) & (by_other != by_other)
    count = int(np.count_nonzero((found != by_other) & ~both_nan))
    what = f"{label}: {count} of {box.volume} voxels in {box} differ between {ours} and {theirs}"
    require(not count, what, Rule.SECOND_OPINION)


def _metres(info: VolumeInfo) -> list[float]:
    """The voxel size in metres, NaN along axes where it is not known."""
    size = info.voxel_size
    return [np.nan if length is None else length * METRES[size.unit] for length in size.size] if size else [np.nan] * 3
