"""How the array of a mag is stored: what `zarr.json` or `.zarray` says, without opening the mag.

Source of the facts: the core specifications of Zarr 2 and Zarr 3, and Zarr's codec `sharding_indexed`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wkconvert_core import (
    DTYPES,
    Box,
    BrokenSource,
    UnsupportedSource,
    Vec3,
    Vec3Like,
)

from ..arrays import Address, Driver, opened_in_memory, shown
from ..chunk_files import naming

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]
    DType = np.dtype[Any]

AXES = {2: "xy", 3: "xyz", 4: "cxyz"}
"""Names of axes that have none, by their number, as WEBKNOSSOS takes them."""
_COMPRESSIONS = {"zlib": "gzip"}
"""Codecs that `--compression` calls otherwise."""
_PLAIN = ("transpose", "bytes", "crc32c", "sharding_indexed")
"""Codecs that compress nothing."""


def compact(about: Mapping[str, Any]) -> str:
    """The description of an array as text, as a `Layout` has it."""
    return json.dumps(about, separators=(",", ":"))


class Grid(NamedTuple):
    """The description of an array in the terms of a mag."""

    shape: Vec3
    """Extent of the array from voxel (0, 0, 0) of the mag on."""
    dtype: DType
    channels: int
    shard: Vec3
    """The box that is one file."""
    block: Vec3
    """The box that one decode yields."""
    shard_of_channels: int = 0
    """The place of the file along c that holds the channels."""


@dataclass(frozen=True)
class Layout:
    """The description of an array as text, and the names of its axes."""

    driver: Driver
    document: str
    """The description as compact JSON, without attributes."""
    axes: tuple[str, ...]
    """Names of the array's axes in their order; those beside c, x, y and z have length 1."""
    channels: tuple[int, int] | None = None
    """The first of those that the mag has, and how many it has; None: all."""

    @property
    def parsed(self) -> dict[str, Any]:
        """The description as JSON."""
        found: dict[str, Any] = json.loads(self.document)
        return found

    @property
    def grid(self) -> Grid:
        """Extent, dtype, shards and blocks. Raises BrokenSource, UnsupportedSource."""
        return _grid(self)

    @property
    def entry(self) -> dict[str, Any]:
        """The place of each axis, and the channel if it is one of several, as the metadata of a dataset state them.

        >>> Layout("zarr3", "{}", ("c", "x", "y", "z")).entry
        {'axisOrder': {'c': 0, 'x': 1, 'y': 2, 'z': 3}}
        >>> Layout("zarr", "{}", ("t", "c", "y", "x"), (2, 1)).entry
        {'axisOrder': {'c': 1, 'x': 3, 'y': 2}, 'channelIndex': 2}
        """
        order = {axis: self.axes.index(axis) for axis in "cxyz" if axis in self.axes}
        return {"axisOrder": order, **({"channelIndex": self.channels[0]} if self.channels else {})}

    @property
    def compression(self) -> str:
        """As `--compression` names it."""
        about = self.parsed
        if self.driver == "zarr":
            codecs = [about.get("compressor") or {}]
        else:  # of a chunk, or of the chunks within it
            inner = (codec.get("configuration", {}).get("codecs", ()) for codec in about["codecs"])
            codecs = [*about["codecs"], *chain.from_iterable(inner)]
        names = [str(codec.get("name", codec.get("id", "none"))) for codec in codecs]
        name = next((each for each in names if each not in _PLAIN), "none")
        return _COMPRESSIONS.get(name, name)

    def address(self, folder: Path | str) -> Address:
        """Where the array lies, to be opened without reading its description again."""
        return Address(self.driver, folder, metadata=self.document)

    def spans(self, box: Box) -> tuple[slice | int, ...]:
        """Indices of a box in the array, of all channels that the mag has.

        >>> Layout("zarr3", "{}", ("t", "z", "y", "x")).spans(Box((1, 2, 3), (10, 10, 10)))
        (0, slice(3, 13, None), slice(2, 12, None), slice(1, 11, None))
        """
        along = {axis: slice(a, b) for axis, a, b in zip("xyz", box.start, box.stop, strict=True)}
        first, count = self.channels or (None, 0)
        along["c"] = slice(None) if first is None else slice(first, first + count)
        return tuple(along.get(axis, 0) for axis in self.axes)

    def seen(self, voxels: Array) -> Array:
        """Voxels as the array has them, with the axes of `spans`, as `[c, x, y, z]`.

        >>> Layout("zarr3", "{}", ("z", "y", "x")).seen(np.zeros((3, 4, 5))).shape
        (1, 5, 4, 3)
        """
        own = [axis for axis in self.axes if axis in "cxyz"]
        ordered = voxels.transpose([own.index(axis) for axis in "cxyz" if axis in own])
        missing = [at for at, axis in enumerate("cxyz") if axis not in own]
        return np.expand_dims(ordered, missing)

    def resized(self, shape: Vec3) -> Layout:
        """The same with another extent."""
        about, sides = self.parsed, dict(zip("xyz", shape, strict=True))
        about["shape"] = [sides.get(axis, side) for axis, side in zip(self.axes, about["shape"], strict=True)]
        return replace(self, document=compact(about))

    def one_shard(self) -> Layout:
        """The same for an array that is one shard, whose name is no path."""
        about = self.resized(self.grid.shard).parsed
        if self.driver == "zarr":
            about["dimension_separator"] = "."
        else:
            about["chunk_key_encoding"] = {"name": "default", "configuration": {"separator": "."}}
        return replace(self, document=compact(about))

    # --- names of shards

    def name_of(self, start: Vec3Like) -> str:
        """The path of the shard that holds a voxel, below the mag's folder."""
        cell = self._cell(Vec3(*start) // self.grid.shard)
        prefix, separator = naming(self.driver, self.parsed)
        return prefix + separator.join(str(cell.get(axis, 0)) for axis in self.axes)

    def _cell(self, numbers: Vec3) -> dict[str, int]:
        """The place of a shard along each axis at which it may be other than 0."""
        return {**dict(zip("xyz", numbers, strict=True)), "c": self.grid.shard_of_channels}

    def start_of(self, name: str) -> Vec3 | None:
        """The first voxel of the shard with a path below the mag's folder; None if no shard has it."""
        prefix, separator = naming(self.driver, self.parsed)
        number = "(0|[1-9][0-9]{0,17})"
        match = re.fullmatch(re.escape(prefix) + re.escape(separator).join([number] * len(self.axes)), name)
        if not match:
            return None
        cell = dict(zip(self.axes, map(int, match.groups()), strict=True))
        numbers = Vec3(*(cell.get(axis, 0) for axis in "xyz"))
        own = self._cell(numbers)
        return numbers * self.grid.shard if all(at == own.get(axis, 0) for axis, at in cell.items()) else None

    def tree(self, box: Box) -> tuple[str, list[range]] | None:
        """The folder below the mag's in which shards are sought, and the numbers at each level, for those of a box.

        None if the names of shards are no paths.
        """
        prefix, separator = naming(self.driver, self.parsed)
        if separator != "/":
            return None
        cells = box.coarsened(self.grid.shard)
        first, last = self._cell(cells.start), self._cell(cells.stop - Vec3(1, 1, 1))
        return prefix, [range(first.get(axis, 0), last.get(axis, 0) + 1) for axis in self.axes]


@functools.lru_cache(256)
def _grid(layout: Layout) -> Grid:
    try:
        array = opened_in_memory(layout.driver, layout.document)
    except (ValueError, TypeError, OverflowError) as error:
        raise BrokenSource("it describes no array that can be read", why=shown(error)) from error
    dtype, axes = array.dtype.numpy_dtype, layout.axes
    if dtype.name not in DTYPES:
        raise UnsupportedSource(f"the voxels are {dtype}", why=f"a dataset holds {', '.join(DTYPES)}")
    if len(set(axes)) != array.rank or not {"x", "y"} <= set(axes):
        raise UnsupportedSource(f"the axes are {', '.join(axes) or array.rank}", why="x and y, z and c are wanted")
    if array.fill_value is not None and np.any(array.fill_value != 0):
        raise UnsupportedSource(f"what is not stored is {array.fill_value}", why="in a dataset, it is 0")
    whole = dict(zip(axes, array.shape, strict=True))
    shard = dict(zip(axes, array.chunk_layout.write_chunk.shape or (), strict=True))
    block = dict(zip(axes, array.chunk_layout.read_chunk.shape or (), strict=True))
    first, channels = layout.channels or (0, whole.get("c", 1))
    if not 0 <= first < first + channels <= whole.get("c", 1):
        why = f"channels {first} to {first + channels - 1} are listed"
        raise BrokenSource(f"it has {whole.get('c', 1)} channels", why=why)
    if more := [axis for axis, length in whole.items() if axis not in "cxyz" and length != 1]:
        raise UnsupportedSource(f"the axis {more[0]} has {whole[more[0]]} places", why="a mag has c, x, y and z")
    together = shard.get("c") or 1
    if first // together != (first + channels - 1) // together:
        why = "in a dataset, a shard holds all channels of a layer"
        raise UnsupportedSource(f"its {channels} channels lie in files of {together}", why=why)
    shape, shard_shape, block_shape = (Vec3(*(each.get(axis) or 1 for axis in "xyz")) for each in (whole, shard, block))
    return Grid(shape, dtype, channels, shard_shape, block_shape, first // together)
