"""Figures of a finished layer, for its metadata."""

from __future__ import annotations

import numpy as np

from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.model import Source

SAMPLE_SIDE = 96
"""Of the box in the middle of the coarsest mag whose values decide what a viewer shows as black and white."""


def intensity_range(coarsest: Source) -> tuple[float, float] | None:
    """The values between which 99.8 % of a sample lie; None if nothing in it is finite, or all is one value."""
    shape = coarsest.info.shape
    start = [max(0, (n - SAMPLE_SIDE) // 2) for n in shape]
    x, y, z = (min(n, SAMPLE_SIDE) for n in shape)
    values = coarsest.read(Box((start[0], start[1], start[2]), (x, y, z)))
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, [0.1, 99.9])
    return (float(low), float(high)) if low < high else None
