"""Sources that keep the chunks that were read last, for readers of many small boxes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.geometry import Box
from wkconvert_core.contract.model import Source, VolumeInfo

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


class KeptChunks:
    """The chunks of several sources that were read last, up to `most` bytes in all."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.most = most
        self._kept: OrderedDict[tuple[int, Box], Array] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def read(self, source: Source, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a chunk of a source, which outlives this. Raises BrokenSource."""
        place = id(source), box
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
                return self._kept[place]
        chunk = source.read(box)  # by two threads at once, perhaps: they do not wait for each other
        with self._lock:
            self._bytes += 0 if place in self._kept else chunk.nbytes
            self._kept[place] = chunk
            while len(self._kept) > 1 and self._bytes > self.most:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.nbytes
        return chunk


class ChunkCache:
    """Reads whole chunks of a source, and lets `kept` keep them; without chunks, or with larger ones, it passes on."""

    def __init__(self, inner: Source, kept: KeptChunks) -> None:
        self.inner, self.kept = inner, kept

    @property
    def info(self) -> VolumeInfo:
        """The inner source's."""
        return self.inner.info

    def read(self, box: Box) -> Array:
        """The voxels `[c, x, y, z]` of a box. Raises BrokenSource."""
        info, shape = self.info, self.info.chunk_shape
        if shape is None or Box((0, 0, 0), shape).volume * info.voxel_bytes > self.kept.most:
            return self.inner.read(box)
        voxels = np.empty((info.channels, *box.shape), info.dtype)
        cells = (box - info.chunk_start).aligned(shape) + info.chunk_start
        for cell in cells.tiles(shape, info.chunk_start):
            chunk = cell.intersection(info.box)
            part = chunk.intersection(box)
            voxels[:, *part.slices_in(box)] = self.kept.read(self.inner, chunk)[:, *part.slices_in(chunk)]
        return voxels
