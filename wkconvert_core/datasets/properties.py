"""The metadata of a dataset on voxel size, layers and mags, in current and older forms.

Older files give `scale` as a list in nm, mags as `wkwResolutions` (with one number for three equal ones) and without a
path, and three-channel layers as `uint24` without `numChannels`.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.errors import BrokenSource, InconsistentStack, OptionError
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.model import Category, DatasetSpec
from wkconvert_core.contract.numbers import is_power_of_two
from wkconvert_core.contract.voxel_size import WEBKNOSSOS_UNITS, VoxelSize, unit_symbol
from wkconvert_core.datasets.naming import PROPERTIES_FILE, shown
from wkconvert_core.toolkit.files import cannot_open, exists, is_folder

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType

_FLOATS = {32: "float", 64: "double"}
_SAME_SIZE = 1e-6
"""Relative tolerance for equal voxel sizes: older tools store them as 32-bit floats."""

_LARGEST = sys.float_info.max

Properties = dict[str, Any]
"""The file, or the entry of a layer or mag in it, as parsed JSON."""


@dataclass(frozen=True)
class StoredLayer:
    """A layer as the metadata describe it."""

    name: str
    category: Category
    box: Box
    """Extent in mag-1 voxels."""
    dtype: DType
    channels: int
    data_format: str
    """Name of the mag format, such as `wkw`."""
    mags: Mapping[Mag, str | None]
    """Path of each mag, relative to the dataset, or a URL; None: the folder `LAYER/MAG`."""
    largest_segment_id: int | None = None
    color: tuple[int, int, int] | None = None
    intensity_range: tuple[float, float] | None = None
    """The values that are shown as black and as white."""
    entries: Mapping[Mag, Properties] = field(default_factory=dict)
    """All that the metadata state of each mag, and its layer's `numChannels`."""


def stored_layer(entry: Properties, dataset: Path = Path()) -> StoredLayer:
    """Parse the entry of a layer. Raises BrokenSource, naming the file and the layer, if it is malformed."""
    try:
        if entry["category"] not in ("color", "segmentation"):
            raise ValueError(f"the category {entry['category']!r} is neither 'color' nor 'segmentation'")
        dtype, channels = element_type(entry["elementClass"], entry.get("numChannels"))
        box = entry["boundingBox"]
        sides = {key: box[key] for key in ("width", "height", "depth")}
        for key, number in [*(("topLeft", number) for number in box["topLeft"]), *sides.items()]:
            if type(number) is not int or not 0 <= number < 1 << 53:  # JavaScript's largest integer
                raise ValueError(f"{key} holds {number!r}, which is not a number of voxels")
        mags = {mag_of(mag): mag.get("path") for mag in mag_entries(entry)}
        for mag, path in mags.items():
            if not isinstance(path, str | None):
                raise ValueError(f"the path of mag {mag} is {path!r}, not a text")
        if not all(isinstance(name, str) for name in entry.get("mappings") or []):
            raise ValueError("its mappings are no list of names")
        # JavaScript rounds integers from 2^53 on, so such ids come as text in an object.
        largest = entry.get("largestSegmentId")
        largest = largest.get("value") if isinstance(largest, dict) else largest
        view = entry.get("defaultViewConfiguration") or {}
        red, green, blue = map(int, view.get("color", (0, 0, 0)))
        return StoredLayer(
            entry["name"],
            entry["category"],
            Box(Vec3(*box["topLeft"]), Vec3(*sides.values())),
            dtype,
            channels,
            entry["dataFormat"],
            mags,
            None if largest is None else int(largest),
            (red, green, blue) if "color" in view else None,
            stated_range(view.get("intensityRange")),
            {mag_of(mag): {**mag, "numChannels": channels} for mag in mag_entries(entry)},
        )
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        file, name = dataset / PROPERTIES_FILE, shown(entry["name"])
        raise BrokenSource(f"{file}: layer {name} is malformed", why=why, fix="repair it") from error


def stated_range(stated: Any) -> tuple[float, float] | None:
    """Two numbers that a view states, whoever wrote it; None for anything else.

    >>> stated_range([0, 255]), stated_range([9, 9]), stated_range("all")
    ((0, 255), None, None)
    """
    is_pair = isinstance(stated, list) and len(stated) == 2 and all(type(each) in (int, float) for each in stated)
    return (stated[0], stated[1]) if is_pair and -_LARGEST <= stated[0] < stated[1] <= _LARGEST else None


def mag_folder(dataset: Path, layer: StoredLayer, mag: Mag) -> Path | None:
    """The folder of a mag, which may be missing; None if it is on a server, or outside the dataset's folder."""
    folders = [dataset / place for place in mag_places(dataset, layer, mag)]
    return next((folder for folder in folders if is_folder(folder)), folders[0] if folders else None)


def mag_places(dataset: Path, layer: StoredLayer, mag: Mag) -> list[str]:
    """The paths, relative to the dataset, at which a mag may lie; none if it is on a server, or outside its folder."""
    stated = layer.mags[mag]
    names = [stated] if stated is not None else [f"{layer.name}/{mag}", f"{layer.name}/{mag.x}-{mag.y}-{mag.z}"]
    return [Path(name).as_posix() for name in names if is_inside(dataset, name)]


def is_inside(dataset: Path, name: str) -> bool:
    """Whether a path relative to a dataset stays inside it, links followed; False where no file can have that path.

    Raises BrokenSource if the system cannot say: a mag that cannot be looked at is none that lies elsewhere.
    """
    if ".." in re.split(r"[/\\\\]", name) or "://" in name:
        return False
    place = dataset / name
    try:
        is_there = exists(place)
        if not is_there:
            place.is_dir()  # raises for a name that is too long
        return place.resolve(strict=is_there).is_relative_to(dataset.resolve(strict=is_there))
    except (RuntimeError, ValueError):
        return False
    except OSError as error:
        if is_there:
            raise cannot_open(place, error) from error
        return False


def element_class(dtype: DType, channels: int) -> str:
    """The `elementClass` of WEBKNOSSOS: the type of a voxel, with the bits of all channels together.

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
    """Dtype of one channel, and number of channels. Raises ValueError if this is no `elementClass`.

    >>> element_type("uint24"), element_type("uint48", 3), element_type("double")
    ((dtype('uint8'), 3), (dtype('uint16'), 3), (dtype('float64'), 1))
    >>> element_type("uint12")
    Traceback (most recent call last):
    ValueError: 'uint12' with 1 channels is not an element class
    """
    channels = channels if channels is not None else 3 if name == "uint24" else 1
    if type(channels) is not int:
        raise ValueError(f"{channels!r} is no number of channels")
    match = re.fullmatch(r"(u?int|float)([0-9]{1,9})", {"float": "float32", "double": "float64"}.get(name, name))
    bits, rest = divmod(int(match[2]), channels) if match and channels > 0 else (0, 0)
    kinds = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
    if not match or rest or f"{match[1]}{bits}" not in kinds:
        raise ValueError(f"{name!r} with {channels} channels is not an element class")
    return np.dtype(f"{match[1]}{bits}"), channels


def mag_entries(layer: Properties) -> list[Properties]:
    """The entries of a layer's mags, in the current form: each with `mag`, and perhaps `path` and `cubeLength`.

    >>> mag_entries({"wkwResolutions": [{"resolution": 2, "cubeLength": 1024}]})
    [{'mag': [2, 2, 2], 'cubeLength': 1024}]
    """
    if "mags" in layer:
        return list(layer["mags"])
    return [
        {"mag": list(mag_of({"mag": entry["resolution"]}))}
        | {key: value for key, value in entry.items() if key != "resolution"}
        for entry in layer["wkwResolutions"]
    ]


def mag_of(entry: Properties) -> Mag:
    """The mag of an entry: three factors along x, y, z, or one for all. Raises ValueError.

    >>> print(mag_of({"mag": [2, 2, 1]}), mag_of({"mag": 4}))
    2-2-1 4
    """
    mag = entry.get("mag")
    sides = [mag] * 3 if isinstance(mag, int) else mag
    if not isinstance(sides, list) or not all(type(side) is int for side in sides):
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
"""Units of other tools, in metres: voxel sizes in them are converted to `m`."""


def voxel_size(properties: Properties) -> VoxelSize:
    """The voxel size of mag 1. Raises ValueError if the metadata state none, or in an unknown form.

    >>> print(voxel_size({"scale": [11.24, 11.24, 25]}))
    11.24 x 11.24 x 25 nm
    >>> print(voxel_size({"scale": {"factor": [4, 4, 35], "unit": "nanometer"}}))
    4 x 4 x 35 nm
    """
    scale = properties["scale"]
    factor, unit = (scale, "nm") if isinstance(scale, list) else (scale.get("factor"), scale.get("unit", "nm"))
    if not isinstance(factor, list) or len(factor) != 3 or not all(type(n) in (int, float) for n in factor):
        raise ValueError(f"the scale {factor!r} is no list of three numbers")
    if not isinstance(unit, str):
        raise ValueError(f"the scale's unit {unit!r} is no text")
    try:
        x, y, z = map(float, factor)
    except OverflowError:
        raise ValueError("the scale is larger than any length") from None
    if unit in _MORE_UNITS:
        x, y, z, unit = (*(n * _MORE_UNITS[unit] for n in (x, y, z)), "m")
    if (symbol := unit_symbol(unit)) is None:
        raise ValueError(f"the scale's unit {unit!r} is none of {', '.join(WEBKNOSSOS_UNITS.values())}")
    return VoxelSize((x, y, z), symbol, PROPERTIES_FILE)


def scale(size: VoxelSize | None) -> Properties:
    """The JSON form of a voxel size. Raises OptionError if it is not known along every axis.

    >>> scale(VoxelSize((0.5, 0.5, 2.0), "µm"))
    {'factor': [0.5, 0.5, 2.0], 'unit': 'micrometer'}
    >>> scale(VoxelSize((4.0, 4.0, None), "nm"))
    Traceback (most recent call last):
    wkconvert_core.contract.errors.OptionError: the voxel size along z is not known. give it, for example \
--voxel-size 4,4,35
    """
    if size is None or size.missing():
        axes = ", ".join(size.missing()) if size else "x, y, z"
        raise OptionError(f"the voxel size along {axes} is not known", fix="give it, for example --voxel-size 4,4,35")
    return {"factor": list(size.size), "unit": size.unit_name}


def check_same_voxel_size(properties: Properties, dataset: DatasetSpec) -> None:
    """Raise InconsistentStack if a dataset's voxel size differs from that of the layers to be added."""
    if dataset.voxel_size is None:
        return
    ours = voxel_size(properties)
    theirs = dataset.voxel_size.to(ours.unit)
    sides = [(a, b) for a, b in zip(ours.size, theirs.size, strict=True) if a and b]
    if all(math.isclose(a, b, rel_tol=_SAME_SIZE) for a, b in sides):
        return
    fix = f"if the dataset is right, say --voxel-size {','.join(map(str, ours.size))} --unit {ours.unit}"
    factors = [round(b / a) for a, b in sides]
    fits = all(math.isclose(a * n, b, rel_tol=_SAME_SIZE) for (a, b), n in zip(sides, factors, strict=True))
    if fits and len(factors) == 3 and all(map(is_power_of_two, factors)):
        x, y, z = factors
        fix = f"if both are right, say --at-mag {Mag(x, y, z)} in place of --voxel-size; {fix}"
    raise InconsistentStack(
        f"the dataset's voxels measure {ours}, those of the new layers {dataset.voxel_size}",
        why="a dataset has one voxel size, that of mag 1; larger voxels are those of a coarser mag",
        fix=fix,
    )
