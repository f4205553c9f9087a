"""A layer as neuroglancer's `precomputed` volume: its `info`, and any chunk of it, read when it is asked for.

The format: https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/volume.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.geometry import Box, Mag, Vec3, Vec3Like
from wkconvert_core.contract.model import Category, Source
from wkconvert_core.contract.voxel_size import VoxelSize, proportions
from wkconvert_core.planning.mag_schedule import schedule
from wkconvert_core.viewing.planes import sampled

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array, DType

CHUNK = Vec3(64, 64, 64)
"""The shape of a chunk; flat for sources that are decoded slice by slice."""
FLAT = Vec3(256, 256, 1)


@dataclass(frozen=True)
class Scale:
    """One scale of a volume: a mag as it is, or every n-th voxel of one."""

    mag: Mag
    source: Source
    step: Vec3Like
    """Of how many voxels of the source one is shown, along x, y, z."""

    @property
    def box(self) -> Box:
        """Where it lies, in its own voxels."""
        extent = self.source.info.extent
        return Box(extent.start // self.step, Vec3(*extent.shape).ceildiv(self.step))

    @property
    def chunk(self) -> Vec3:
        """The shape of its chunks."""
        flat = self.source.info.chunk_shape and self.source.info.chunk_shape[2] == 1
        return FLAT if flat else CHUNK

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box in its own voxels. Raises BrokenSource."""
        inside = box - self.box.start
        start = inside.start * self.step
        stop = (inside.stop * self.step).min(self.source.info.shape)
        return sampled(self.source, Box.between(start, stop), self.step)


@dataclass(frozen=True)
class Precomputed:
    """A layer's volume. Mags that are missing between its coarsest and a thumbnail are shown by every n-th voxel."""

    category: Category
    mags: Mapping[Mag, Source]
    voxel_size: VoxelSize | None
    """Of mag 1; None is shown as cubes of 1 nm."""

    @cached_property
    def scales(self) -> dict[str, Scale]:
        """The scales by key, such as `2-2-1`, finest first."""
        coarsest = max(self.mags)
        source, sides = self.mags[coarsest], proportions(self.voxel_size)
        further = schedule(sides, source.info.extent.refined(coarsest).shape, start=coarsest)
        scales = [Scale(mag, source, (1, 1, 1)) for mag, source in sorted(self.mags.items())]
        scales += [Scale(mag, source, mag // coarsest) for mag in further]
        return {str(scale.mag): scale for scale in scales}

    @property
    def dtype(self) -> DType:
        """Of the values that are sent: what the viewer lacks becomes float32, and signed ids become uint64."""
        own = self.mags[min(self.mags)].info.dtype
        if self.category == "segmentation":
            return own if own.kind == "u" else np.dtype("uint64")
        if own.kind == "b":
            return np.dtype("uint8")
        return np.dtype("float32") if own.kind == "f" or own.itemsize == 8 else own

    def info(self) -> dict[str, Any]:
        """The document `info`."""
        x, y, z = (side or 1.0 for side in self.voxel_size.to("nm").size) if self.voxel_size else (1.0, 1.0, 1.0)
        return {
            "@type": "neuroglancer_multiscale_volume",
            "type": "segmentation" if self.category == "segmentation" else "image",
            "data_type": self.dtype.name,
            "num_channels": self.mags[min(self.mags)].info.channels,
            "scales": [
                {
                    "key": key,
                    "size": scale.box.shape,
                    "voxel_offset": scale.box.start,
                    "resolution": [x * scale.mag.x, y * scale.mag.y, z * scale.mag.z],
                    "chunk_sizes": [scale.chunk],
                    "encoding": "raw",
                }
                for key, scale in self.scales.items()
            ],
        }

    def chunk(self, key: str, box: Box) -> bytes:
        """The bytes of a box of a scale: x fastest, then y, z, channel, little endian.

        Raises KeyError for an unknown scale, ValueError for a box outside of it or larger than a chunk, BrokenSource.
        """
        scale = self.scales[key]
        if box not in scale.box or not box.volume or max(*(box.shape - scale.chunk), 0):
            raise ValueError(f"{box} is no chunk of {scale.box}")
        voxels = scale.read(box)
        return voxels.astype(self.dtype.newbyteorder("<")).transpose(0, 3, 2, 1).tobytes()
