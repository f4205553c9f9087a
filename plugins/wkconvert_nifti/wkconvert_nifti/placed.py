"""A volume in a box that the user gives: centred along x and y, from the first slice on along z."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from wkconvert_core import Box, OptionError, Vec3Like, VolumeInfo
from wkconvert_core.toolkit.raw_rows import pieces
from wkconvert_core.toolkit.volumes.stored import PIECE_BYTES, InflatedVolume, StoredVolume

from .header import Array


def parse_box(text: str) -> Box:
    """Parse `x,y,z,width,height,depth`. Raises OptionError.

    >>> str(parse_box("10,0,0,512,512,100"))
    'x 10:522, y 0:512, z 0:100'
    """
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9}){5}", text) or "0" in (numbers := text.split(","))[3:]:
        raise OptionError(
            f"-o enforce_bounding_box={text} is no bounding box",
            fix="say x,y,z,width,height,depth in whole voxels, for example 0,0,0,512,512,100",
        )
    x, y, z, width, height, depth = map(int, numbers)
    return Box((x, y, z), (width, height, depth))


def place(source: StoredVolume, box: Box) -> Placed | PlacedStream:
    """The source's voxels in a box of the dataset: cropped where the box is smaller, zero where it is larger."""
    x, y, z = source.info.shape
    shift = ((box.shape[0] - x) // 2, (box.shape[1] - y) // 2, 0)
    note = f"{x} x {y} x {z} voxels put into {box}, their first at {', '.join(map(str, shift))} in it"
    info = replace(source.info, shape=box.shape, offset=box.start, notes=(*source.info.notes, note), affine=None)
    if isinstance(source, InflatedVolume):
        return PlacedStream(source, shift, replace(info, chunk_shape=box.shape))
    return Placed(source, shift, info)


@dataclass(frozen=True)
class Placed:
    """A volume in a box of another size."""

    inner: StoredVolume
    shift: Vec3Like
    """Where the volume's first voxel lies in the box; negative where the volume is cropped."""
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`. Raises SourceNotFound, BrokenSource."""
        result = np.zeros((self.info.channels, *box.shape[::-1]), self.info.dtype).transpose(0, 3, 2, 1)
        here = self.inner.info.box.shifted(self.shift).intersection(box)
        if here.volume:
            x, y, z = self.shift
            result[:, *here.slices_in(box)] = self.inner.read(here.shifted((-x, -y, -z)))
        return result


@dataclass(frozen=True)
class PlacedStream(Placed):
    """The same for a gzip stream."""

    inner: InflatedVolume

    def stream(self) -> Iterator[tuple[Box, Array]]:
        """Every voxel once, those of the volume first. Raises SourceNotFound, BrokenSource."""
        for box, voxels in self.inner.stream():
            here = box.shifted(self.shift)
            part = here.intersection(self.info.box)
            if part.volume:
                yield part, voxels[:, *part.slices_in(here)]
        for margin in _margins(self.info.box, self.inner.info.box.shifted(self.shift)):
            for piece in pieces(margin, PIECE_BYTES // self.info.voxel_bytes):
                yield piece, np.zeros((self.info.channels, *piece.shape), self.info.dtype)


def _margins(box: Box, inner: Box) -> Iterator[Box]:
    """The parts of a box outside another one: before and behind it, along z, then y, then x."""
    inner = inner.intersection(box)
    for axis in (2, 1, 0):
        below, above = inner.start[axis], inner.stop[axis]
        yield Box.between(box.start, _with(box.stop, axis, below))
        yield Box.between(_with(box.start, axis, above), box.stop)
        box = Box.between(_with(box.start, axis, below), _with(box.stop, axis, above))


def _with(corner: Vec3Like, axis: int, number: int) -> Vec3Like:
    x, y, z = (number if i == axis else n for i, n in enumerate(corner))
    return x, y, z
