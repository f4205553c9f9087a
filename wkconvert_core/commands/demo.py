"""A small synthetic stack that looks like electron microscopy, with labels, always the same, for a first try."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.errors import PluginError, TargetExists
from wkconvert_core.contract.geometry import Vec3Like
from wkconvert_core.toolkit.atomic import replacing, writing
from wkconvert_core.toolkit.files import exists, listed

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array

SHAPE: Vec3Like = (256, 256, 64)
"""Voxels along x, y, z."""
VOXEL_SIZE = (11.24, 11.24, 28.0)
"""In nm along x, y, z."""

_VOXELS_PER_CELL = 32_000
_PIXELS_PER_NM = (25, 281)
"""1 / 11.24 as a fraction, which is how TIFF stores it."""


def demo_volume(shape: Vec3Like = SHAPE, seed: int = 0) -> tuple[Array, Array]:
    """Tissue with cells, membranes and mitochondria: grey values `[x, y, z]` uint8, and ids of cells from 1, uint32."""
    rng = np.random.default_rng(seed)
    cells = _cells(shape, rng)
    borders = _borders(cells)
    grey = _with_mitochondria(_cytoplasm(cells, rng), borders, rng)
    return _recorded(_with_membranes(grey, borders), rng), cells


def write_demo_stack(folder: Path, shape: Vec3Like = SHAPE, seed: int = 0) -> None:
    """Write `folder/color/slice_0000.tif …` and `folder/segmentation/slice_0000.tif …`, calibrated as ImageJ does it.

    Slices that exist and are complete are not touched, so that an interrupted conversion of the stack can be continued.
    Raises PluginError without tifffile, TargetExists if the folder holds anything else, TargetError where the files
    cannot be written.
    """
    _tifffile()
    for path in (path for inner in listed(folder, "[!.]*") for path in listed(inner, "[!.]*")):
        if path.parent.name not in ("color", "segmentation") or not path.match("slice_[0-9][0-9][0-9][0-9].tif"):
            raise TargetExists(f"{folder} holds other files", why=f"such as {path}", fix="choose another DST")
    grey, cells = demo_volume(shape, seed)
    for name, volume in (("color", grey), ("segmentation", cells)):
        with writing(folder / name):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for z in range(shape[2]):
            path, content = folder / name / f"slice_{z:04d}.tif", _encoded(volume[:, :, z].T)
            with writing(path):
                there = path.read_bytes() if exists(path) else b""
            if not content.startswith(there):  # neither complete nor torn
                raise TargetExists(f"{path} is another file", why="it would be overwritten", fix="choose another DST")
            if there != content:
                with replacing(path) as temporary:
                    temporary.write_bytes(content)


def _tifffile() -> Any:
    """The TIFF library, on which core itself does not depend."""
    try:
        import tifffile
    except ImportError as error:
        raise PluginError(
            "the demo writes TIFF files, and tifffile is not installed", fix='pip install "wkconvert[tiff]"'
        ) from error
    return tifffile


def _encoded(page: Array) -> bytes:
    """A TIFF file of a page `[y, x]`, with the voxel size as ImageJ states it."""
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


# --- what is in the tissue -------------------------------------------------------------------------------------------


def _smooth(shape: Vec3Like, rng: np.random.Generator, grain: Vec3Like) -> Array:
    """Random values `[x, y, z]` of mean 0 and deviation 1, smooth over `grain` voxels: B-splines on a coarse grid."""
    weights = [_spline(n, g) for n, g in zip(shape, grain, strict=True)]
    field = rng.standard_normal([w.shape[1] for w in weights], dtype=np.float32)
    for w in weights:  # each product moves the first axis to the end: after three, the order is restored
        field = np.tensordot(field, w, (0, 1))
    result: Array = (field - field.mean()) / (field.std() + 1e-6)
    return result


def _spline(size: int, grain: int) -> Array:
    """Weights `[voxel, node]` of a cubic B-spline whose nodes are `grain` voxels apart."""
    nodes = np.arange(-1, size // grain + 3)
    t = np.abs(np.arange(size)[:, None] / grain - nodes)
    return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6).astype(np.float32)


def _cells(shape: Vec3Like, rng: np.random.Generator) -> Array:
    """Ids from 1: the nearest of random points to each voxel, displaced by smooth waves."""
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
    """1 where the neighbour in the same slice belongs to another cell, else 0."""
    borders = np.zeros(cells.shape, np.float32)
    borders[1:][cells[1:] != cells[:-1]] = 1
    borders[:, 1:][cells[:, 1:] != cells[:, :-1]] = 1
    return borders


def _cytoplasm(cells: Array, rng: np.random.Generator) -> Array:
    """Grey values inside cells: one mean for each cell, and a fine texture."""
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
    """The image of a microscope: slightly blurred, with noise, and slices of varying brightness."""
    from scipy import ndimage

    blurred = ndimage.gaussian_filter(grey, (0.6, 0.6, 0))
    blurred += rng.standard_normal(grey.shape, dtype=np.float32) * 7
    blurred += rng.normal(0, 1.5, grey.shape[2]).astype(np.float32)
    result: Array = np.clip(np.rint(blurred), 0, 255).astype(np.uint8)
    return result
