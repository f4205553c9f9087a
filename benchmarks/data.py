"""The inputs: made once in a folder, the same ones each time."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import tifffile
from PIL import Image

from wkconvert_core.commands.demo import demo_volume

TILE = (256, 256, 64)
Volume = Callable[[], np.ndarray]
"""Makes voxels [x, y, z]."""


def em(shape: tuple[int, int, int]) -> np.ndarray:
    """Grey values [x, y, z] like electron microscopy: mirrored pieces of the demo's tissue, each a little brighter."""
    grey, _ = demo_volume(TILE)
    return _spread(grey, shape, lambda piece, number: piece + np.uint8(number % 7))


def labels(shape: tuple[int, int, int]) -> np.ndarray:
    """Ids [x, y, z] of thousands of cells: mirrored pieces of the demo's, each with ids of its own."""
    _, cells = demo_volume(TILE)
    return _spread(cells, shape, lambda piece, number: piece + np.uint32(number * 4096))


def sparse(shape: tuple[int, int, int]) -> np.ndarray:
    """The same, of which one cell in twenty is there."""
    ids = labels(shape)
    ids[ids % 20 != 0] = 0
    return ids


def _spread(
    piece: np.ndarray, shape: tuple[int, int, int], change: Callable[[np.ndarray, int], np.ndarray]
) -> np.ndarray:
    out = np.empty(shape, piece.dtype)
    steps = [range(0, length, side) for length, side in zip(shape, TILE, strict=True)]
    for number, (x, y, z) in enumerate((x, y, z) for z in steps[2] for y in steps[1] for x in steps[0]):
        mirrored = piece[:: 1 - 2 * (x // TILE[0] % 2), :: 1 - 2 * (y // TILE[1] % 2), :: 1 - 2 * (z // TILE[2] % 2)]
        place = out[x : x + TILE[0], y : y + TILE[1], z : z + TILE[2]]
        place[...] = change(mirrored[tuple(map(slice, place.shape))], number)
    return out


def stack(folder: Path, made: Volume) -> Path:
    """A TIFF for each slice, raw."""

    def write() -> None:
        volume = made()
        for z in range(volume.shape[2]):
            tifffile.imwrite(folder / f"{z:05}.tif", volume[:, :, z].T)

    return _made(folder, write)


def pictures(folder: Path, count: int, side: int) -> Path:
    """Many tiny PNG."""
    page = em((side, side, 1))[:, :, 0].T
    return _made(folder, lambda: [Image.fromarray(page).save(folder / f"{z:06}.png") for z in range(count)])


def tiles(folder: Path, made: Volume, side: int) -> Path:
    """`z/y/x.jpg`."""

    def write() -> None:
        volume = made()
        for z in range(volume.shape[2]):
            for y in range(0, volume.shape[1], side):
                row = folder / f"{z}" / f"{y // side}"
                row.mkdir(parents=True, exist_ok=True)
                for x in range(0, volume.shape[0], side):
                    Image.fromarray(volume[x : x + side, y : y + side, z].T).save(row / f"{x // side}.jpg", quality=90)

    return _made(folder, write)


def nifti(folder: Path, made: Volume) -> Path:
    """One `.nii.gz`, in µm."""

    def write() -> None:
        image = nibabel.Nifti1Image(made(), np.diag([0.004, 0.004, 0.04, 1]))
        image.header.set_xyzt_units("micron")
        nibabel.save(image, folder / "volume.nii")
        with (folder / "volume.nii").open("rb") as plain, gzip.open(folder / "volume.nii.gz", "wb", 1) as packed:
            shutil.copyfileobj(plain, packed)
        (folder / "volume.nii").unlink()

    return _made(folder, write)


def _made(folder: Path, write: Callable[[], object]) -> Path:
    """Write into a folder unless it was written whole before."""
    done = folder.with_name(folder.name + ".done")
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write()
        done.touch()
    return folder
