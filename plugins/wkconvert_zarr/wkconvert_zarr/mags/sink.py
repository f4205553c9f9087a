"""A mag that is written as an array of Zarr, as a Sink: each shard is written beside its place, then moved there."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core import NO_FILE, Box, Checksum, MagSpec, TargetError, Vec3
from wkconvert_core.toolkit.atomic import file_checksum, sync, temporary_name, write_atomically, writing
from wkconvert_core.toolkit.files import exists, is_file, open_file

from ..arrays import DESCRIPTIONS, opened_to_write, system_errors
from .description import said_again
from .layout import Layout
from .stored import ZarrMag

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

_COSTS = {"none": 2.0, "blosc": 5.5}
"""Bytes per byte of a shard while it is written; of the other compressions 2.5."""
_INDEX_BYTES = 16
"""Of a chunk in the index of its shard."""


@dataclass(frozen=True)
class ZarrSink:
    """A mag being written; voxel (0, 0, 0) of the array is that of the dataset, as in WKW."""

    folder: Path
    spec: MagSpec
    layout: Layout

    @property
    def shard_shape(self) -> Vec3:
        """A cube."""
        return self.layout.grid.shard

    def source(self) -> ZarrMag:
        """The mag as written so far."""
        return ZarrMag(self.folder, self.layout, self.spec.box)

    def begin(self) -> None:
        """Write the description, which makes the folder a mag even without shards. Raises TargetError."""
        path = self.folder / DESCRIPTIONS[self.layout.driver]
        about = self.layout.parsed
        if self.layout.driver == "zarr3":
            about["attributes"] = said_again(about)
        content = json.dumps(about, indent=2).encode() + b"\n"
        with writing(path):
            if not exists(path):
                self.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)
                sync([path])
            with open_file(path) as file:
                found = file.read()
        if found != content:
            fix = "choose another DST, or another layer name"
            raise TargetError(f"{path} belongs to another mag", why="it describes another array", fix=fix)

    def omits(self, box: Box) -> bool:
        """True: a missing shard reads as zeros."""
        return True

    def most_bytes(self, shards: int, voxels: int) -> int:
        """Upper bound on the bytes of `shards` shards with `voxels` voxels inside the extent."""
        grid = self.layout.grid
        blocks = grid.shard.volume // grid.block.volume
        voxel_bytes = grid.channels * grid.dtype.itemsize
        padded = shards * grid.shard.volume * voxel_bytes
        if self.layout.compression == "none":
            return padded + shards * blocks * (_INDEX_BYTES + 4)
        return int(1.01 * voxels * voxel_bytes) + padded // 250 + shards * blocks * (_INDEX_BYTES + 64)

    @property
    def write_cost(self) -> float:
        """As measured with voxels that do not compress: tensorstore copies them, and holds all chunks encoded."""
        return _COSTS.get(self.layout.compression, 2.5)

    def has(self, box: Box) -> bool:
        """Whether the file of the shard exists; it was put in place whole, and `checksum` compares it."""
        return is_file(self.source().shard_path(box.start))

    def checksum(self, box: Box) -> Checksum:
        """The checksum of the file of a shard, as it lies there. Raises OSError."""
        return file_checksum(self.source().shard_path(box.start))

    def write(self, box: Box, data: Array) -> Checksum:
        """Write one shard from `data[c, x, y, z]` atomically; returns the checksum of its file, NO_FILE for zeros.

        The file is not synced. Raises NoSpace, TargetNotWritable, TargetError.
        """
        path = self.source().shard_path(box.start)
        folder = temporary_name(path)
        with writing(path):
            folder.mkdir(parents=True)
            try:
                encoded = self._encoded(folder, box, data)
                if not exists(encoded):
                    path.unlink(missing_ok=True)
                    return NO_FILE
                found = file_checksum(encoded)
                encoded.replace(path)
                return found
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _encoded(self, folder: Path, box: Box, data: Array) -> Path:
        """Write an array that is this shard alone into a folder, by tensorstore; returns the file, missing for zeros.

        The source's voxels are copied on the way: by reference, tensorstore 0.1.86 writes others where they are part of
        a larger array. Raises OSError.
        """
        corner, layout = box.aligned(self.shard_shape).start, self.layout.one_shard()
        with system_errors():
            array = opened_to_write(layout.driver, folder, layout.document)
            array[layout.spans(box - corner)].write(data).result()
        return folder / layout.name_of((0, 0, 0))
