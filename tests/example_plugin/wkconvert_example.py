"""Reads an invented format, .vox: `VOX1`, three lengths, then uint16 with x fastest (z with `-o zyx=yes`)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import wkconvert_core as wk

FORMATS = {"vox": "volumes of the invented format VOX1"}


@dataclass(frozen=True)
class VoxSource:
    path: Path
    info: wk.VolumeInfo
    layout: tuple[object, ...]  # of the file, as np.memmap takes it

    def read(self, box: wk.Box) -> np.ndarray:
        voxels = np.memmap(self.path, *self.layout)
        return voxels[box.slices_in(self.info.box)].astype(self.info.dtype)[np.newaxis]


def source(path: Path, *, zyx: bool = False) -> VoxSource:
    try:
        shape = tuple(np.fromfile(path, ">u4", 3, offset=4).tolist())
        layout = (">u2", "r", 16, shape, "C" if zyx else "F")
        voxels = np.memmap(path, *layout)
    except Exception as error:  # numpy answers a file that is too short with ValueError, absurd lengths with others
        raise wk.BrokenSource(f"{path} is no sound .vox file", why=str(error)) from error
    if voxels.ndim != 3 or not voxels.size or voxels.nbytes + 16 != path.stat().st_size:
        raise wk.BrokenSource(f"{path} is no sound .vox file", why=f"its size is not that of {shape} voxels")
    return VoxSource(path, wk.VolumeInfo(voxels.shape, voxels.dtype.newbyteorder("=")), layout)


@wk.hookimpl
def wkconvert_detect(head: bytes) -> wk.Match | None:
    return wk.Match("vox", wk.Confidence.CONTENT, "it begins with VOX1") if head.startswith(b"VOX1") else None


@wk.hookimpl
def wkconvert_open(format: str, path: Path, options: dict[str, str]) -> list[wk.Layer] | None:
    return [wk.Layer({wk.Mag(1, 1, 1): source(path, **wk.parse_options(source, options))})] if format == "vox" else None
