"""From a folder to layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core import DTYPES, Box, Layer, Mag, UnsupportedSource, Vec3, VolumeInfo

from ..arrays import Address, reading

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

_DEFAULT_AXES = {3: "xyz", 4: "cxyz"}


@dataclass(frozen=True)
class ArraySource:
    """An array as a Source."""

    address: Address
    axes: str
    """The array's axes in their order, such as `cxyz`."""
    info: VolumeInfo

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box. Raises SourceNotFound, BrokenSource."""
        spans = {"c": slice(None), **dict(zip("xyz", box.slices_in(self.info.box), strict=True))}
        with reading(self.address.place):
            voxels = np.asarray(self.address.open()[tuple(spans[axis] for axis in self.axes)].read().result())
        found = np.moveaxis(voxels, [self.axes.index(axis) for axis in "xyz"], [-3, -2, -1])
        return found if "c" in self.axes else found[np.newaxis]


def open_zarr(path: Path) -> list[Layer]:
    """The layer of an array. Raises SourceNotFound, BrokenSource, UnsupportedSource."""
    address = Address("zarr3", path)
    array = address.open()
    labels = "".join(array.domain.labels)
    axes = labels or _DEFAULT_AXES.get(array.rank, "")
    if array.rank not in _DEFAULT_AXES or sorted(axes) != sorted(_DEFAULT_AXES[array.rank]):
        raise UnsupportedSource(f"{path} has the axes {labels or array.rank}", why="x, y, z and perhaps c are read")
    dtype = array.dtype.numpy_dtype
    if dtype.name not in DTYPES:
        raise UnsupportedSource(f"{path} holds {dtype}", why=f"these are read: {', '.join(DTYPES)}")
    shape, chunk = dict(zip(axes, array.shape, strict=True)), array.chunk_layout.read_chunk.shape or array.shape
    chunks = dict(zip(axes, chunk, strict=True))
    info = VolumeInfo(
        Vec3(*(shape[axis] for axis in "xyz")),
        dtype,
        shape.get("c", 1),
        chunk_shape=Vec3(*(chunks[axis] or 1 for axis in "xyz")),
    )
    return [Layer({Mag(1, 1, 1): ArraySource(address, axes, info)})]
