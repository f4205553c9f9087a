"""Kernels: how a voxel of a coarser mag is computed from a block of finer ones. Registered as a plugin's are."""

from __future__ import annotations

from collections.abc import Mapping

from wkconvert_core.contract.hookspecs import hookimpl
from wkconvert_core.contract.model import Downsampler
from wkconvert_core.kernels import bicubic, mode, reductions

KERNELS = (
    Downsampler("median", reductions.median, keeps_zeros=True),
    Downsampler("mode", mode.mode, keeps_zeros=True),
    Downsampler("mean", reductions.mean, keeps_zeros=True),
    Downsampler("nearest", reductions.nearest, keeps_zeros=True),
    Downsampler("bilinear", reductions.bilinear, keeps_zeros=True),
    Downsampler("bicubic", bicubic.bicubic, (bicubic.HALO,) * 3, keeps_zeros=True),
    Downsampler("min", reductions.minimum, keeps_zeros=True),
    Downsampler("max", reductions.maximum, keeps_zeros=True),
)


@hookimpl
def wkconvert_downsamplers() -> Mapping[str, Downsampler]:
    """Core's kernels, by the name that `--interpolation-mode` takes.

    >>> list(wkconvert_downsamplers())
    ['median', 'mode', 'mean', 'nearest', 'bilinear', 'bicubic', 'min', 'max']
    """
    return {kernel.name: kernel for kernel in KERNELS}
