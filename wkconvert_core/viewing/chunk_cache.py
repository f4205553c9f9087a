"""A source that keeps the chunks that were read last, for readers of many small boxes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.model import Source, VolumeInfo

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


class ChunkCache:
    """Reads whole chunks of a source, and keeps up to `most` bytes of them; one without chunks is passed through."""

    def __init__(self, inner: Source, most: int = 512 << 20) -> None:
        self.inner, self.most = inner, most
        self._kept: OrderedDict[Box, Array] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def info(self) -> VolumeInfo:
        """The inner source's."""
        return self.inner.info

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box. Raises BrokenSource."""
        info, shape = self.info, self.info.chunk_shape
        if shape is None or Box((0, 0, 0), shape).volume * info.voxel_bytes > self.most:
            return self.inner.read(box)
        voxels = np.empty((info.channels, *box.shape), info.dtype)
        cells = (box - info.chunk_start).aligned(shape) + info.chunk_start
        for cell in cells.tiles(shape, info.chunk_start):
            chunk = cell.intersection(info.box)
            part = chunk.intersection(box)
            voxels[:, *part.slices_in(box)] = self._chunk(chunk)[:, *part.slices_in(chunk)]
        return voxels

    def _chunk(self, box: Box) -> Array:
        with self._lock:
            if box in self._kept:
                self._kept.move_to_end(box)
                return self._kept[box]
        chunk = self.inner.read(box)  # by two threads at once, perhaps: they do not wait for each other
        with self._lock:
            self._kept[box] = chunk
            while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > self.most:
                self._kept.popitem(last=False)
        return chunk
