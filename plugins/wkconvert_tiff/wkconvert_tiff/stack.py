"""The Source: a stack of slices, read from the files in a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wkconvert_core import Box, BrokenSource, VolumeInfo, WkconvertError
from wkconvert_core.toolkit.files import changed, reading
from wkconvert_images.facts import Array, Raster
from wkconvert_images.opening import raster

from .table import Recipe, volume_of

_MIRRORED = (2, 3, 6, 7)
"""Orientations whose columns are stored from right to left."""
_UPSIDE_DOWN = (3, 4, 7, 8)


@dataclass(frozen=True)
class Stack:
    """One channel, or RGB, of a stack of slices. Holds no list of files and keeps none open."""

    path: str
    """The folder or file."""
    recipe: Recipe
    digest: str
    """Of the names, sizes and times of the files when they were opened."""
    channel: int
    samples: tuple[int, ...]
    """Indices of the samples of a pixel that are read."""
    pad: bool
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box, x contiguous in memory except for colour. Raises BrokenSource."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        volume = volume_of(self.path, self.recipe, self.digest)
        (width, height, depth), first = box.shape, box.start[2]
        out = np.zeros((depth, height, width, len(self.samples)), self.info.dtype)
        planes = volume.planes[self.channel, first : first + depth].tolist()
        for z, (file, ifd, shift, sample) in enumerate(planes):
            if file >= 0:
                samples = (sample - 1,) if sample else self.samples
                self._fill(out[z], volume.files[file], ifd, samples, shift, box, first + z)
        return out.transpose(3, 2, 1, 0)

    def _fill(self, out: Array, path: str, ifd: int, samples: tuple[int, ...], shift: int, box: Box, z: int) -> None:
        """Read the box's part of one slice into `out[y, x, sample]`. Raises BrokenSource, which names the slice."""
        try:
            with reading(path, Exception):  # damaged data make decoders raise anything
                found = raster(path, ifd, self.recipe.format, colors=self.recipe.colors, invert=self.recipe.invert)
                self._check(found, path)
                width, height = found.facts.size
                # a padded slice may be smaller than the stack; beyond it, `out` stays zero
                part = out[: max(0, height - box.start[1]), : max(0, width - box.start[0])]
                if not part.size:
                    return
                if found.facts.dtype == out.dtype:
                    _upright(found, part, box, samples, shift)
                else:
                    buffer = np.empty(part.shape, found.facts.dtype)
                    _upright(found, buffer, box, samples, shift)
                    part[...] = buffer * np.uint8(255) if buffer.dtype == bool else buffer
        except WkconvertError as error:
            raise BrokenSource(f"slice {z}: {error.what}", why=error.why, fix=error.fix) from error

    def _check(self, found: Raster, path: str) -> None:
        """Raise BrokenSource for a file that has changed since it was opened."""
        sizes = list(zip(found.facts.size, self.info.shape[:2], strict=True))
        same = all(a == b or (a < b and self.pad) for a, b in sizes)
        fits = found.facts.dtype == self.info.dtype or np.can_cast(found.facts.dtype, self.info.dtype)
        if not (same and fits and self.samples[-1] <= found.facts.kept[-1]):
            raise changed(path, f"it now holds {sizes[0][0]} x {sizes[1][0]} pixels of {found.facts.dtype}")


def _upright(found: Raster, out: Array, box: Box, samples: tuple[int, ...], shift: int) -> None:
    """Fill `out[y, x, sample]` with the upright picture, through a turned view of `out`: each pixel is copied once."""
    (width, height), orientation = found.facts.size, found.facts.orientation
    row, column = box.start[1], box.start[0]
    if orientation in _UPSIDE_DOWN:
        row, out = height - row - out.shape[0], out[::-1]
    if orientation in _MIRRORED:
        column, out = width - column - out.shape[1], out[:, ::-1]
    if orientation > 4:
        row, column, out = column, row, out.transpose(1, 0, 2)
    found.fill(out, row, column, samples, shift)
