"""Arrays as zarr-python writes them, for tests."""

import numpy as np
import pytest

from wkconvert_core.testing import Reader

zarr = pytest.importorskip("zarr", reason="the arrays of these tests are written by zarr-python")
import wkconvert_zarr  # noqa: E402

READER = Reader(wkconvert_zarr)


def saved(path, voxels, *, axes=None, chunks=None, shards=None, **options):
    """Write an array of Zarr 3; `voxels` have its axes, whose names are given like `cxyz`."""
    array = zarr.create_array(
        path,
        shape=voxels.shape,
        dtype=voxels.dtype,
        chunks=chunks or tuple(min(32, side) for side in voxels.shape),
        shards=shards,
        dimension_names=axes and list(axes),
        **options,
    )
    array[...] = voxels
    return path


def volume(*shape, dtype="uint8", seed=0):
    """Voxels without zeros, so that no chunk is left out."""
    return np.random.default_rng(seed).integers(1, 200, shape).astype(dtype)


def raw_volume(folder, shape, dtype, *, voxels=None, signed_zeros=False, seed=0):
    """A folder with one raw volume, which core reads, of noise that has zeros; `signed_zeros` adds -0.0 to floats."""
    if voxels is None:
        voxels = np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)
        if signed_zeros and voxels.dtype.kind == "f":
            voxels[5, 5, 5], voxels[33:] = -0.0, -0.0
    folder.mkdir(parents=True)
    size = "x".join(map(str, shape))
    (folder / f"color_{size}_{np.dtype(dtype)}.raw").write_bytes(voxels.tobytes("F"))
    return folder
