"""What the metadata of a written dataset say: voxel size, layers, mags; older forms are understood as well.

Older files give `scale` as a list in nm, mags as `wkwResolutions` (with one number for three equal ones) and without a
path, and three-channel layers as `uint24` without `numChannels`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.errors import BrokenSource
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import Category
from wkconvert_core.contract.voxel_size import WEBKNOSSOS_UNITS, VoxelSize, unit_symbol
from wkconvert_core.datasets.naming import PROPERTIES_FILE

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType

_FLOATS = {32: "float", 64: "double"}

Properties = dict[str, Any]
"""The content of the file, or of one layer in it, as JSON has it."""


@dataclass(frozen=True)
class StoredLayer:
    """A layer of a written dataset."""

    name: str
    category: Category
    box: Box
    """The extent in mag-1 voxels."""
    dtype: DType
    channels: int
    data_format: str
    """The name of a mag format: `wkw`."""
    mags: Mapping[Mag, str | None]
    """Where each mag lies, relative to the dataset; None: in the folder of its name."""
    largest_segment_id: int | None = None
    color: tuple[int, int, int] | None = None


def stored_layer(entry: Properties, dataset: Path = Path()) -> StoredLayer:
    """One layer. Raises BrokenSource, which names the file and the layer, where the entry makes no sense."""
    try:
        return _stored_layer(entry)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise BrokenSource(f"{dataset / PROPERTIES_FILE}: layer {entry['name']!r} makes no sense", why=why) from error


def _stored_layer(entry: Properties) -> StoredLayer:
    if entry["category"] not in ("color", "segmentation"):
        raise ValueError(f"the category {entry['category']!r} is neither 'color' nor 'segmentation'")
    dtype, channels = element_type(entry["elementClass"], entry.get("numChannels"))
    return StoredLayer(
        entry["name"],
        entry["category"],
        _box(entry["boundingBox"]),
        dtype,
        channels,
        entry["dataFormat"],
        {mag_of(mag): mag.get("path") for mag in mag_entries(entry)},
        _segment_id(entry.get("largestSegmentId")),
        _color(entry.get("defaultViewConfiguration") or {}),
    )


def _box(entry: Properties) -> Box:
    x, y, z = (_whole(n, "topLeft") for n in entry["topLeft"])
    w, h, d = (_whole(entry[key], key) for key in ("width", "height", "depth"))
    return Box((x, y, z), (w, h, d))


def _whole(number: Any, key: str) -> int:
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"{key} holds {number!r}, which is no count of voxels")
    return number


def _segment_id(value: Any) -> int | None:
    """An id; ids from 2^53 on come as text in an envelope, because JavaScript rounds such numbers."""
    if isinstance(value, dict):
        value = value.get("value")
    return None if value is None else int(value)


def _color(view: Properties) -> tuple[int, int, int] | None:
    if "color" not in view:
        return None
    red, green, blue = map(int, view["color"])
    return red, green, blue


def mag_folder(dataset: Path, layer: StoredLayer, mag: Mag) -> Path | None:
    """Where a mag lies; None if that is on a server, or outside the dataset's folder."""
    stated = layer.mags[mag]
    names = [stated] if stated is not None else [f"{layer.name}/{mag}", f"{layer.name}/{mag.x}-{mag.y}-{mag.z}"]
    folders = [dataset / name for name in names if is_inside(dataset, name)]
    return next((folder for folder in folders if folder.is_dir()), folders[0] if folders else None)


def is_inside(dataset: Path, name: str) -> bool:
    """Whether a path that is relative to a dataset stays in it, links followed."""
    out = ".." in re.split(r"[/\\\\]", name) or "://" in name or "\0" in name
    return not out and (dataset / name).resolve().is_relative_to(dataset.resolve())


def element_class(dtype: DType, channels: int) -> str:
    """The `elementClass` of WEBKNOSSOS: the type of a voxel, all channels together.

    >>> [element_class(np.dtype(name), 1) for name in ("uint8", "int64", "float32", "float64")]
    ['uint8', 'int64', 'float', 'double']
    >>> element_class(np.dtype("uint8"), 3)
    'uint24'
    """
    bits = 8 * dtype.itemsize * channels
    if dtype.kind == "f":
        return _FLOATS[bits] if channels == 1 else f"float{bits}"
    return f"{'u' if dtype.kind == 'u' else ''}int{bits}"


def element_type(name: str, channels: int | None = None) -> tuple[DType, int]:
    """The dtype of one channel and the number of channels of an element class. Raises ValueError."""
    channels = channels if channels is not None else 3 if name == "uint24" else 1
    match = re.fullmatch(r"(u?int|float)(\d+)", {"float": "float32", "double": "float64"}.get(name, name))
    bits, rest = divmod(int(match[2]), channels) if match and channels > 0 else (0, 0)
    kinds = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
    if not match or rest or f"{match[1]}{bits}" not in kinds:
        raise ValueError(f"{name!r} with {channels} channels is no element class")
    return np.dtype(f"{match[1]}{bits}"), channels


def mag_entries(layer: Properties) -> list[Properties]:
    """The mags of a layer, older forms brought to the newer: each with `mag`, `cubeLength`, perhaps `path`."""
    if "mags" in layer:
        return list(layer["mags"])
    return [_newer(entry) for entry in layer["wkwResolutions"]]


def _newer(entry: Properties) -> Properties:
    rest = {key: value for key, value in entry.items() if key != "resolution"}
    return {"mag": list(mag_of({"mag": entry["resolution"]})), **rest}


def mag_of(entry: Properties) -> Mag:
    """The mag of one entry of `mag_entries`. Raises ValueError."""
    mag = entry.get("mag")
    sides = [mag] * 3 if isinstance(mag, int) else mag
    if not isinstance(sides, list) or not all(isinstance(side, int) for side in sides):
        raise ValueError(f"{mag!r} is no mag")
    return Mag.parse("-".join(map(str, sides)))


_MORE_UNITS = {
    "femtometer": 1e-15,
    "decimeter": 0.1,
    "hectometer": 100.0,
    "kilometer": 1e3,
    "foot": 0.3048,
    "ft": 0.3048,
    "yard": 0.9144,
    "yd": 0.9144,
}
"""Units that other tools may have written, in metres; they become `m`."""


def voxel_size(properties: Properties) -> VoxelSize:
    """The voxel size that the metadata say. Raises ValueError where they say none that can be understood."""
    scale = properties["scale"]
    factor, unit = (scale, "nm") if isinstance(scale, list) else (scale.get("factor"), scale.get("unit", "nm"))
    if not isinstance(factor, list) or len(factor) != 3 or not all(isinstance(n, int | float) for n in factor):
        raise ValueError(f"the scale {factor!r} is no list of three numbers")
    x, y, z = map(float, factor)
    if unit in _MORE_UNITS:
        x, y, z, unit = (*(n * _MORE_UNITS[unit] for n in (x, y, z)), "m")
    if (symbol := unit_symbol(str(unit))) is None:
        raise ValueError(f"the scale's unit {unit!r} is none of {', '.join(WEBKNOSSOS_UNITS.values())}")
    return VoxelSize((x, y, z), symbol, PROPERTIES_FILE)
