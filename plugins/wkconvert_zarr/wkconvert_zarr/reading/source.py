"""The Source: channels of an array, at one place of all axes but c, x, y, z."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from wkconvert_core import Box, Reference, UnsupportedSource, Vec3, Vec3Like, VolumeInfo
from wkconvert_core.toolkit.files import changed

from ..arrays import Address, reading, without_keys
from ..chunk_files import look_at_chunks
from .axes import SPACE
from .packed import unpacked

if TYPE_CHECKING:
    import tensorstore as ts

_DECODED_N5 = ("gzip", "blosc", "zstd")
"""Compressions of N5 that WEBKNOSSOS reads: its `N5CompressorFactory`."""
CXYZ = ("c", "x", "y", "z")
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class ArraySource:
    """One level of an image, and some of its channels."""

    address: Address
    axes: tuple[str, ...]
    """The array's axes in their order: `c`, `x`, `y`, `z`, and others."""
    shape: tuple[int, ...]
    """Along these axes, as the array was when it was opened."""
    picked: tuple[int, ...]
    """The place along each axis that is none of x, y and z; along c that of the first channel."""
    start: Vec3Like
    """Where the array's first voxel lies in its own domain."""
    read_cost: float
    info: VolumeInfo
    packed: bool = False
    """Whether the files of chunks are compressed once more, as `packed` explains."""

    def reference(self) -> Reference:
        """Where the array lies, if a mag can be that. Raises UnsupportedSource that says why it cannot."""
        from ..mags.description import layout_of

        if self.address.inner is not None:
            raise self._refused("datasets list arrays in folders and on servers only", "unpack the zip file first")
        if self.address.driver == "neuroglancer_precomputed":
            why = "WEBKNOSSOS and its Python library want its axes stated differently, and none suits both"
            raise self._refused(why, "add the volume in WEBKNOSSOS itself, as a remote dataset, if it lies on a server")
        if self.address.driver == "n5":
            kind = json.loads(self.address.metadata)["compression"]["type"]
            if kind not in _DECODED_N5:
                why = f"its chunks are compressed by {kind}; of N5, WEBKNOSSOS decodes {', '.join(_DECODED_N5)}"
                raise self._refused(why, "write it again so compressed")
        first = self.picked[self.axes.index("c")] if "c" in self.axes else 0
        layout = layout_of(self.address, self.axes, (first, self.info.channels))
        return Reference(layout.driver, self.address.place, layout.entry, Vec3(0, 0, 0))

    def _refused(self, why: str, fix: str) -> UnsupportedSource:
        return UnsupportedSource(
            f"{without_keys(str(self.address.place))} cannot be listed by reference",
            why=why,
            fix=f"{fix}; or leave --by-reference out, to copy its voxels",
        )

    def read(self, box: Box) -> Array:
        """The voxels of a box `[c, x, y, z]`. Raises SourceNotFound, BrokenSource."""
        if box not in self.info.box:
            raise ValueError(f"{box} is not within {self.info.box}")
        array = self.address.open()
        if (tuple(array.shape), start_of(array, self.axes)) != (self.shape, self.start):
            told = (
                f"its shape was {self.shape} from {self.start}, and is {tuple(array.shape)} from {array.domain.origin}"
            )
            raise changed(without_keys(str(self.address.place)), told)
        spans = dict(zip("xyz", (box + self.start).slices_in(Box((0, 0, 0), (0, 0, 0))), strict=True))
        index: list[slice | int] = []
        for name, place in zip(self.axes, self.picked, strict=True):
            span = slice(place, place + self.info.channels) if name == "c" else place
            index.append(spans.get(name, span))
        kept = [name for name in self.axes if name in CXYZ]
        order = [kept.index(name) for name in CXYZ if name in kept]
        is_x_first = self.axes.index("x") > self.axes.index("y")
        with reading(self.address.place):
            if self.packed:
                array = unpacked(self.address, array, index)
            else:
                look_at_chunks(self.address, array, index)
            view = array[tuple(index)].transpose(order)
            voxels = np.asarray(view.read(order="F" if is_x_first else "C").result())
        return np.expand_dims(voxels, [number for number, name in enumerate(CXYZ) if name not in kept])


def start_of(array: ts.TensorStore, axes: Sequence[str]) -> Vec3:
    """Where an array's first voxel lies in its own domain, along x, y, z; 0 along an axis that it lacks."""
    first = dict(zip(axes, array.domain.origin, strict=True))
    return Vec3(*(first.get(name, 0) for name in SPACE))
