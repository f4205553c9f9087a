"""The range of values that a viewer shows from black to white, for a layer's metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.model import Source
from wkconvert_core.sources.category import sample_boxes

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

SAMPLE_SIDE = 96
"""Side of the sampled box in the middle of the coarsest mag, in its voxels."""


def intensity_range(coarsest: Source) -> tuple[float, float] | None:
    """The 0.1 and 99.9 percentiles of the finite values in a sample; None if there are none, or both are equal.

    >>> [round(value, 3) for value in intensity_range(in_memory(range(11)))]
    [0.01, 9.99]
    >>> intensity_range(in_memory([7, 7, 7])) is None
    True
    """
    whole, side = coarsest.info.box.shape, (SAMPLE_SIDE,) * 3
    values = coarsest.read(Box((whole - side).max((0, 0, 0)) // 2, whole.min(side)))
    return bulk(values)


def sampled_range(source: Source) -> tuple[float, float] | None:
    """The same percentiles in boxes all over the volume, always the same ones, for `--range auto`.

    >>> [round(value, 3) for value in sampled_range(in_memory(range(11)))]
    [0.01, 9.99]
    """
    return bulk(np.concatenate([source.read(box).ravel() for box in sample_boxes(source.info)]))


def bulk(values: Array) -> tuple[float, float] | None:
    """The 0.1 and 99.9 percentiles of the finite values; None if there are none, or both are equal."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, [0.1, 99.9])
    return (float(low), float(high)) if low < high else None
