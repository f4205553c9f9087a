"""A small stack that looks like electron microscopy, with its labels: made up, the same every time, for a first try."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.errors import NoSpace, PluginError, TargetNotWritable
from wkconvert_core.contract.geometry import Vec3Like

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

SHAPE: Vec3Like = (256, 256, 64)
"""Extent along x, y, z."""
VOXEL_SIZE = (11.24, 11.24, 28.0)
"""In nm along x, y, z."""

_VOXELS_PER_CELL = 32_000
_PIXELS_PER_NM = (25, 281)
"""1 / 11.24 as TIFF stores it, a ratio of whole numbers."""


def demo_volume(shape: Vec3Like = SHAPE, seed: int = 0) -> tuple[Array, Array]:
    """Make tissue of cells, membranes and mitochondria.

    Returns grey values `[x, y, z]` uint8 and the id of each voxel's cell `[x, y, z]` uint32, from 1.
    """
    rng = np.random.default_rng(seed)
    cells = _cells(shape, rng)
    borders = _borders(cells)
    grey = _cytoplasm(cells, rng)
    grey = _with_mitochondria(grey, borders, rng)
    grey = _with_membranes(grey, borders)
    return _recorded(grey, rng), cells


def write_demo_stack(folder: Path, shape: Vec3Like = SHAPE, seed: int = 0) -> None:
    """Write `folder/color/slice_0000.tif …` and `folder/segmentation/slice_0000.tif …`, calibrated as ImageJ does it.

    Slices that are there already, whole, are left alone: so a conversion of the stack that was interrupted can go on.
    Raises PluginError without tifffile, NoSpace or TargetNotWritable when the disk is full or says no.
    """
    _tifffile()
    grey, cells = demo_volume(shape, seed)
    try:
        for name, volume in (("color", grey), ("segmentation", cells)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for z in range(shape[2]):
                _put(folder / name / f"slice_{z:04d}.tif", _encoded(volume[:, :, z].T))
    except OSError as error:
        kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else TargetNotWritable
        raise kind(f"the demo stack cannot be written to {folder}", why=error.strerror or str(error)) from error


def _tifffile() -> Any:
    """The TIFF library, which core itself does not depend on."""
    try:
        import tifffile
    except ImportError as error:
        raise PluginError(
            "the demo writes TIFF files, and tifffile is not installed", fix='pip install "wkconvert[tiff]"'
        ) from error
    return tifffile


def _encoded(page: Array) -> bytes:
    """A TIFF file of a page `[y, x]`. ImageJ has no 32-bit integers, but this is how it says a voxel's size."""
    file = io.BytesIO()
    _tifffile().imwrite(
        file,
        np.ascontiguousarray(page),
        resolution=(_PIXELS_PER_NM, _PIXELS_PER_NM),
        resolutionunit="NONE",
        description=f"ImageJ=1.54f\nimages=1\nunit=nm\nspacing={VOXEL_SIZE[2]}\n",
        metadata=None,
    )
    return file.getvalue()


def _put(path: Path, content: bytes) -> None:
    """Put a file in place whole, unless it is there."""
    if path.exists() and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# --- what is in the tissue -------------------------------------------------------------------------------------------


def _smooth(shape: Vec3Like, rng: np.random.Generator, grain: Vec3Like) -> Array:
    """Random values of mean 0 and spread 1 that change over about `grain` voxels: cubic B-splines on a coarse grid."""
    weights = [_spline(n, g) for n, g in zip(shape, grain, strict=True)]
    field = rng.standard_normal([w.shape[1] for w in weights], dtype=np.float32)
    for w in weights:  # each turn puts the first axis last: after three they are in order again
        field = np.tensordot(field, w, (0, 1))
    result: Array = (field - field.mean()) / (field.std() + 1e-6)
    return result


def _spline(size: int, grain: int) -> Array:
    """The share `[voxel, node]` that each node of a grid `grain` voxels wide has in each voxel."""
    nodes = np.arange(-1, size // grain + 3)
    t = np.abs(np.arange(size)[:, None] / grain - nodes)
    return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6).astype(np.float32)


def _cells(shape: Vec3Like, rng: np.random.Generator) -> Array:
    """Ids from 1: each voxel belongs to the nearest of random points, seen through a wavy glass."""
    from scipy import ndimage

    count = max(int(np.prod(shape)) // _VOXELS_PER_CELL, 2)
    points = (rng.random((count, 3)) * shape).astype(np.int64)
    seeds = np.zeros(shape, np.uint32)
    seeds[tuple(points.T)] = np.arange(1, count + 1)
    nearest = ndimage.distance_transform_edt(
        seeds == 0, sampling=VOXEL_SIZE, return_distances=False, return_indices=True
    )
    cells = seeds[tuple(nearest)]
    x, y, z = np.indices(shape, dtype=np.int32, sparse=True)
    waves = [4 * _smooth(shape, rng, (20, 20, 10)) + 1.2 * _smooth(shape, rng, (6, 6, 3)) for _ in range(2)]
    dx, dy = (np.rint(wave).astype(np.int32) for wave in waves)
    result: Array = cells[np.clip(x + dx, 0, shape[0] - 1), np.clip(y + dy, 0, shape[1] - 1), z]
    return result


def _borders(cells: Array) -> Array:
    """1 where a cell's neighbour in the same slice is another cell, else 0."""
    borders = np.zeros(cells.shape, np.float32)
    borders[1:][cells[1:] != cells[:-1]] = 1
    borders[:, 1:][cells[:, 1:] != cells[:, :-1]] = 1
    return borders


def _cytoplasm(cells: Array, rng: np.random.Generator) -> Array:
    """Grey values of the cells' inside: each cell has its own, with a fine texture."""
    tint = rng.normal(168, 9, int(cells.max()) + 1).astype(np.float32)
    result: Array = tint[cells] + 7 * _smooth(cells.shape, rng, (3, 3, 2)) + 5 * _smooth(cells.shape, rng, (12, 12, 6))
    return result


def _with_mitochondria(grey: Array, borders: Array, rng: np.random.Generator) -> Array:
    """Dark bodies with a rim and folds inside, away from the membranes."""
    from scipy import ndimage

    body = _smooth(grey.shape, rng, (16, 16, 9)) - 14 * ndimage.gaussian_filter(borders, (4, 4, 1))
    folds = np.sin(_smooth(grey.shape, rng, (10, 10, 8)) * 9)
    inside = np.clip((body - 0.85) * 6, 0, 1)
    rim = np.exp(-(((body - 0.9) / 0.12) ** 2))
    result: Array = grey - inside * (38 + 12 * folds) - 38 * rim
    return result


def _with_membranes(grey: Array, borders: Array) -> Array:
    """Dark lines between the cells."""
    from scipy import ndimage

    lines = np.clip(ndimage.gaussian_filter(borders, (1.0, 1.0, 0.5)) * 1.7, 0, 1)
    result: Array = grey * (1 - lines) + 62 * lines
    return result


def _recorded(grey: Array, rng: np.random.Generator) -> Array:
    """What the microscope makes of it: a little blur, noise, slices of slightly different brightness."""
    from scipy import ndimage

    blurred = ndimage.gaussian_filter(grey, (0.6, 0.6, 0))
    blurred += rng.standard_normal(grey.shape, dtype=np.float32) * 7
    blurred += rng.normal(0, 1.5, grey.shape[2]).astype(np.float32)
    result: Array = np.clip(np.rint(blurred), 0, 255).astype(np.uint8)
    return result
