"""Reads the volumes that numpy.save writes: .npy files with the axes x, y, z (or z, y, x with `-o zyx=yes`)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import wkconvert_core as wk

FORMATS = {"npy": "volumes that numpy.save wrote"}


@dataclass(frozen=True)
class NpySource:
    path: Path
    info: wk.VolumeInfo
    layout: tuple[object, ...]  # of the file, as np.memmap takes it

    def read(self, box: wk.Box) -> np.ndarray:
        voxels = np.memmap(self.path, *self.layout)
        return voxels[box.slices_in(self.info.box)].astype(self.info.dtype)[np.newaxis]


def source(path: Path, *, zyx: bool = False) -> NpySource:
    try:
        voxels = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy answers a damaged header with ValueError, SyntaxError, TokenError and others
        raise wk.BrokenSource(f"{path} is no sound .npy file", why=str(error)) from error
    voxels = voxels.T if zyx else voxels
    if voxels.ndim != 3 or not voxels.size or voxels.dtype.char not in "?bBhHiIlLqQefd":
        raise wk.UnsupportedSource(f"{path} is no volume of numbers", why=f"it holds {voxels.dtype} {voxels.shape}")
    layout = (voxels.dtype, "r", voxels.offset, voxels.shape, "F" if voxels.flags.f_contiguous else "C")
    return NpySource(path, wk.VolumeInfo(voxels.shape, voxels.dtype.newbyteorder("=")), layout)


@wk.hookimpl
def wkconvert_detect(head: bytes) -> wk.Match | None:
    return wk.Match("npy", wk.Confidence.CONTENT, "magic bytes of .npy") if head.startswith(b"\x93NUMPY") else None


@wk.hookimpl
def wkconvert_open(format: str, path: Path, options: dict[str, str]) -> list[wk.Layer] | None:
    return [wk.Layer({wk.Mag(1, 1, 1): source(path, **wk.parse_options(source, options))})] if format == "npy" else None
