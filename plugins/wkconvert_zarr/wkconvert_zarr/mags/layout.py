"""How the array of a mag is stored: what `zarr.json` or `.zarray` says, without opening the mag.

Source of the facts: the core specifications of Zarr 2 and Zarr 3, and Zarr's codec `sharding_indexed`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wkconvert_core import (
    DTYPES,
    Box,
    BrokenSource,
    SourceNotFound,
    UnsupportedSource,
    Vec3,
    Vec3Like,
    WkconvertError,
)
from wkconvert_core.toolkit.files import is_file, open_file, reading

from ..arrays import DESCRIPTIONS, Address, Driver, opened_in_memory, shown

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]
    DType = np.dtype[Any]

AXES = {2: "xy", 3: "xyz", 4: "cxyz"}
"""Names of axes that have none, by their number, as WEBKNOSSOS takes them."""
_COMPRESSIONS = {"zlib": "gzip"}
"""Codecs that `--compression` calls otherwise."""
_PLAIN = ("transpose", "bytes", "crc32c", "sharding_indexed")
"""Codecs that compress nothing."""


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


@dataclass(frozen=True)
class Layout:
    """The description of an array as text, and the names of its axes."""

    driver: Driver
    document: str
    """The description as compact JSON, without attributes."""
    axes: tuple[str, ...]
    """Names of the array's axes in their order; those beside c, x, y and z have length 1."""

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
    def axis_order(self) -> dict[str, int]:
        """The place of each axis, as the metadata of a dataset state it.

        >>> Layout("zarr3", "{}", ("c", "x", "y", "z")).axis_order
        {'c': 0, 'x': 1, 'y': 2, 'z': 3}
        """
        return {axis: self.axes.index(axis) for axis in "cxyz" if axis in self.axes}

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
        """Indices of a box of all channels in the array.

        >>> Layout("zarr3", "{}", ("t", "z", "y", "x")).spans(Box((1, 2, 3), (10, 10, 10)))
        (0, slice(3, 13, None), slice(2, 12, None), slice(1, 11, None))
        """
        along = {axis: slice(a, b) for axis, a, b in zip("xyz", box.start, box.stop, strict=True)}
        return tuple(along.get(axis, slice(None) if axis == "c" else 0) for axis in self.axes)

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
        return replace(self, document=json.dumps(about, separators=(",", ":")))

    def one_shard(self) -> Layout:
        """The same for an array that is one shard, whose name is no path."""
        about = self.resized(self.grid.shard).parsed
        if self.driver == "zarr":
            about["dimension_separator"] = "."
        else:
            about["chunk_key_encoding"] = {"name": "default", "configuration": {"separator": "."}}
        return replace(self, document=json.dumps(about, separators=(",", ":")))

    # --- names of shards

    def name_of(self, start: Vec3Like) -> str:
        """The path of the shard that holds a voxel, below the mag's folder."""
        cell = dict(zip("xyz", Vec3(*start) // self.grid.shard, strict=True))
        prefix, separator = self._naming()
        return prefix + separator.join(str(cell.get(axis, 0)) for axis in self.axes)

    def start_of(self, name: str) -> Vec3 | None:
        """The first voxel of the shard with a path below the mag's folder; None if no shard has it."""
        prefix, separator = self._naming()
        number = "(0|[1-9][0-9]{0,17})"
        match = re.fullmatch(re.escape(prefix) + re.escape(separator).join([number] * len(self.axes)), name)
        if not match:
            return None
        cell = dict(zip(self.axes, map(int, match.groups()), strict=True))
        if any(at for axis, at in cell.items() if axis not in "xyz"):
            return None
        return Vec3(*(cell.get(axis, 0) for axis in "xyz")) * self.grid.shard

    def tree(self, box: Box) -> tuple[str, list[range]] | None:
        """The folder below the mag's in which shards are sought, and the numbers at each level, for those of a box.

        None if the names of shards are no paths.
        """
        prefix, separator = self._naming()
        if separator != "/":
            return None
        cells = box.coarsened(self.grid.shard)
        along = {axis: range(a, b) for axis, a, b in zip("xyz", cells.start, cells.stop, strict=True)}
        return prefix, [along.get(axis, range(1)) for axis in self.axes]

    def _naming(self) -> tuple[str, str]:
        """The beginning of shards' names, and the separator of their numbers."""
        about = self.parsed
        if self.driver == "zarr":
            return "", about.get("dimension_separator", ".")
        encoding = about["chunk_key_encoding"]
        is_default = encoding["name"] == "default"
        separator = encoding.get("configuration", {}).get("separator", "/" if is_default else ".")
        return f"c{separator}" if is_default else "", separator


def read_layout(driver: Driver, folder: Path, order: Any = None) -> Layout:
    """Read the description of the array in a folder; `order` is what a dataset says of its axes: `{"x": 1, …}`.

    Raises SourceNotFound where there is none, BrokenSource, UnsupportedSource for what no mag can be.
    """
    path = folder / DESCRIPTIONS[driver]
    if not is_file(path):
        raise SourceNotFound(f"{folder} is no mag of {driver}", why=f"there is no {path.name} in it")
    with reading(path, ValueError, RecursionError), open_file(path) as file:
        about = json.loads(file.read())
    kept = {key: value for key, value in about.items() if key != "attributes"} if isinstance(about, dict) else {}
    if kept.get("node_type", "array") != "array" or not isinstance(kept.get("shape"), list):
        raise BrokenSource(f"{path} describes no array", fix="give the folder of an array")
    layout = _checked(Layout(driver, json.dumps(kept, separators=(",", ":")), _axes(kept, order)), path)
    attributes = about.get("attributes")
    if isinstance(attributes, dict) and isinstance(again := attributes.get(AGAIN), dict):
        _check_again(layout, again, path)
    return layout


AGAIN = "wkconvert"
"""The attribute of an array of Zarr 3 in which wkconvert says once more how it is stored: chunks have no header."""


def said_again(about: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a description that attributes repeat: all that would give other voxels without an error."""
    keys = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs", "dimension_names")
    return {AGAIN: {key: about[key] for key in keys}}


def _check_again(layout: Layout, again: Mapping[str, Any], path: Path) -> None:
    """Raise BrokenSource unless an array is stored as its attributes say; it may have become larger."""

    def normal(about: Mapping[str, Any]) -> Any:
        return opened_in_memory(layout.driver, json.dumps(about)).spec().to_json()["metadata"]

    about = layout.parsed
    try:
        first = {**about, **again}
        is_whole = all(now >= then for now, then in zip(about["shape"], first["shape"], strict=True))
        is_same = is_whole and normal({**first, "shape": about["shape"]}) == normal(about)
    except (ValueError, TypeError, OverflowError):
        is_same = False
    if not is_same:
        why = "it says twice how the array is stored, and not the same; or another program has made the array smaller"
        raise BrokenSource(f"{path} is damaged", why=why, fix="restore it from a copy, or convert again")


def layout_at(driver: Driver, url: str, order: Any = None) -> Layout:
    """The layout of an array on a server. Raises SourceError."""
    address = Address(driver, url)
    return layout_of(address, _axes(address.open().spec().to_json()["metadata"], order))


def _axes(about: Mapping[str, Any], order: Any) -> tuple[str, ...]:
    """Names of an array's axes: those that a dataset states, if they fit, else its own, else the usual ones."""
    names = about.get("dimension_names") or []
    rank = len(about["shape"])
    known = [*map(str, names)] if len(names) == rank and all(names) else [*AXES.get(rank, "")]
    axes = ["c" if axis == "channel" else axis for axis in known] or [""] * rank
    places = list(order.values()) if isinstance(order, dict) else []
    is_fitting = all(type(at) is int and 0 <= at < rank for at in places) and len({*map(str, places)}) == len(places)
    if places and is_fitting:
        axes = [f"axis {at}" if axis in order or not axis else axis for at, axis in enumerate(axes)]
        for axis, at in order.items():
            axes[at] = axis
    return tuple(axes)


def layout_of(address: Address, axes: Sequence[str]) -> Layout:
    """The layout of an array anywhere, with these names of axes. Raises SourceError for what no mag can be."""
    about = address.open().spec().to_json()["metadata"]
    kept = {key: value for key, value in about.items() if key != "attributes"}
    layout = Layout(address.driver, json.dumps(kept, separators=(",", ":")), tuple(axes))
    return _checked(layout, address.place)


def _checked(layout: Layout, place: Path | str) -> Layout:
    try:
        _ = layout.grid
    except WkconvertError as error:
        raise type(error)(f"{place}: {error.what}", why=error.why, fix=error.fix) from error
    return layout


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
    channels = whole.get("c", 1)
    if more := [axis for axis, length in whole.items() if axis not in "cxyz" and length != 1]:
        raise UnsupportedSource(f"the axis {more[0]} has {whole[more[0]]} places", why="a mag has c, x, y and z")
    if shard.get("c", 1) != channels:
        why = "in a dataset, a shard holds all channels"
        raise UnsupportedSource(f"the {channels} channels lie in files of {shard['c']}", why=why)
    shape, shard_shape, block_shape = (Vec3(*(each.get(axis) or 1 for axis in "xyz")) for each in (whole, shard, block))
    return Grid(shape, dtype, channels, shard_shape, block_shape)
