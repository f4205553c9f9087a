"""The metadata file `datasource-properties.json`: reading, adding layers, writing atomically.

Facts of the format as WEBKNOSSOS and `webknossos` 4.3.3 read it: required are `id`, `scale` and `dataLayers`, and in
each layer `name`, `category`, `boundingBox` (in mag-1 voxels), `elementClass`, `dataFormat` and `mags`. Three uint8
channels are `uint24` with `numChannels` 3; other element classes count the bits of all channels together likewise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wkconvert_core.contract.errors import (
    BrokenSource,
    ConversionError,
    NoSpace,
    TargetError,
    TargetExists,
    TargetNotWritable,
    WkconvertError,
)
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import DatasetSpec, LayerSpec
from wkconvert_core.datasets.naming import PROPERTIES_FILE, shown
from wkconvert_core.datasets.properties import (
    Properties,
    check_same_voxel_size,
    element_class,
    mag_entries,
    mag_of,
    scale,
    stored_layer,
    voxel_size,
)
from wkconvert_core.toolkit.atomic import sync_folder, write_atomically
from wkconvert_core.toolkit.files import listed, open_file

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType

_TOP = ("id", "scale", "dataLayers", "version", "defaultViewConfiguration")
_REQUIRED = {"id": dict, "scale": (dict, list), "dataLayers": list}
_LAYER_REQUIRED = {"name": str, "category": str, "boundingBox": dict, "elementClass": str, "dataFormat": str}
_AXIS_ORDER = {"c": 0, "x": 1, "y": 2, "z": 3}
_MOST_NESTED = 50
"""Depth of arrays and objects: those that other programs add lie 6 deep at most."""


# --- reading ---------------------------------------------------------------------------------------------------------


def read(path: Path, error: type[WkconvertError] = BrokenSource) -> Properties:
    """Read the metadata. Raises `error`, naming the file, if it is no valid JSON or lacks a key that is required."""
    try:
        with open_file(path) as file:
            properties = json.loads(file.read().decode("utf-8-sig"), parse_constant=_no_number)
    except OSError as problem:
        raise error(f"{path} cannot be read", why=problem.strerror or str(problem)) from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is no valid JSON", why=str(problem), fix="repair it, or restore a backup") from problem
    if missing := _missing(properties):
        raise error(f"{path} does not describe a dataset", why=missing, fix="repair it, or restore a backup")
    return dict(properties)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _is_nested(document: Any, depth: int) -> bool:
    """Whether arrays and objects lie in one another deeper than `depth`; without recursion, which has a limit."""
    level = [document]
    for _ in range(depth):
        inside = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = list(chain.from_iterable(inside))
    return bool(level)


def _missing(properties: Any) -> str:
    """Name what is missing or of the wrong type in the metadata, for a message; "" if they are complete."""
    if not isinstance(properties, dict):
        return "it does not hold a JSON object"
    if problem := _lacking(properties, _REQUIRED, "it"):
        return problem
    if _is_nested(properties, _MOST_NESTED):
        return f"its arrays and objects are nested more than {_MOST_NESTED} deep"
    try:
        voxel_size(properties)
    except ValueError as error:
        return str(error)
    for number, layer in enumerate(properties["dataLayers"]):
        if not isinstance(layer, dict):
            return f"layer {number} is not a JSON object"
        if problem := _lacking(layer, _LAYER_REQUIRED, f"layer {shown(str(layer.get('name', number)))}"):
            return problem
        if not isinstance(layer.get("mags", layer.get("wkwResolutions")), list):
            return f"layer {shown(layer['name'])} has no list 'mags'"
    try:
        json.dumps(properties, allow_nan=False)
    except ValueError:
        return "it holds a number that is larger than any that a program can hold, such as 1e999"
    names = layer_names(properties)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"two layers have the name {shown(twice[0])}"
    return ""


def _lacking(found: Mapping[str, Any], required: Mapping[str, Any], who: str) -> str:
    for key, kind in required.items():
        if not isinstance(found.get(key), kind):
            return f"{who} has no {key!r}" if key not in found else f"{who} has a {key!r} of the wrong type"
    return ""


# --- a layer's entry -------------------------------------------------------------------------------------------------


def layer_entry(spec: LayerSpec, data_format: str, mags: Iterable[Properties]) -> Properties:
    """The entry of a layer; `mags` are entries made by `mag_entry`. Raises TargetError for a layer without voxels."""
    if not spec.box.volume:
        raise TargetError(f"the layer {spec.name} has no voxels ({spec.box})", why="WEBKNOSSOS refuses an empty layer")
    entry: Properties = {
        "name": spec.name,
        "category": spec.category,
        "boundingBox": bounding_box(spec.box),
        "elementClass": element_class(spec.dtype, spec.channels),
        "dataFormat": data_format,
        "mags": sorted(mags, key=mag_of),
        "numChannels": spec.channels,
    }
    if spec.category == "segmentation":
        largest = spec.largest_segment_id
        entry["largestSegmentId"] = largest if largest is not None and largest > 0 else None
        entry["mappings"] = []
    if view := _view(spec):
        entry["defaultViewConfiguration"] = view
    return entry


def bounding_box(box: Box) -> Properties:
    """The JSON form of an extent in mag-1 voxels.

    >>> bounding_box(Box((10, 0, 0), (100, 80, 30)))
    {'topLeft': [10, 0, 0], 'width': 100, 'height': 80, 'depth': 30}
    """
    return {"topLeft": list(box.start), **dict(zip(("width", "height", "depth"), box.shape, strict=True))}


def mag_entry(mag: Mag, path: str, stored: Mapping[str, Any]) -> Properties:
    """The entry of a mag; `path` is relative to the dataset, `stored` are the keys that its format adds.

    >>> mag_entry(Mag(2, 2, 1), "em/2-2-1", {"cubeLength": 1024})["path"]
    './em/2-2-1'
    """
    entry: Properties = {"mag": list(mag), "path": f"./{path}", **stored}
    return {**entry, "axisOrder": entry.get("axisOrder", dict(_AXIS_ORDER))}


def with_kind(entry: Properties, dtype: DType, channels: int) -> Properties:
    """A layer's entry with voxels of another type; what its view says of values goes where the dtype is another.

    Raises BrokenSource for a malformed entry.
    """
    new = {**entry, "elementClass": element_class(dtype, channels), "numChannels": channels}
    if stored_layer(entry).dtype != dtype and (view := entry.get("defaultViewConfiguration")):
        new["defaultViewConfiguration"] = {key: value for key, value in view.items() if key not in _OF_VALUES}
    return new


_OF_VALUES = ("min", "max", "intensityRange")


def _view(spec: LayerSpec) -> Properties:
    """Color and value range in which a viewer shows a layer; 8-bit layers need none unless a source says one."""
    view: Properties = {} if spec.color is None else {"color": list(spec.color)}

    def proper(values: tuple[float, float] | None) -> list[int | float] | None:
        """A range by whose length a viewer can divide, or None."""
        if not values or not all(map(math.isfinite, values)) or values[0] >= values[1]:
            return None
        return [round(value) if spec.dtype.kind in "iu" else float(value) for value in values]

    if spec.category == "color":
        values = proper(spec.value_range) if spec.dtype.itemsize > 1 else None
        if values:
            view |= {"min": values[0], "max": values[1]}
        if shown := proper(spec.intensity_range) or values:
            view["intensityRange"] = shown
    return view


# --- adding to it ----------------------------------------------------------------------------------------------------


def merge(
    existing: Properties | None,
    dataset: DatasetSpec,
    layers: Iterable[Properties],
    *,
    same: Literal["refuse", "replace", "extend"] = "refuse",
) -> Properties:
    """Add layer entries, made by `layer_entry`, to metadata, or begin new metadata. Returns a copy.

    All other keys are kept, also name and scale. If a layer of that name exists, `same` decides: `refuse` it, `replace`
    its entry, or `extend` it with extent, mags and largest id of the new entry. Raises TargetExists, OptionError for an
    incomplete voxel size, InconsistentStack for one that differs from the existing one.

    >>> from wkconvert_core import VoxelSize
    >>> spec = DatasetSpec("mouse", VoxelSize((4.0, 4.0, 35.0), "nm"))
    >>> merged = merge(None, spec, [{"name": "em", "mags": []}])
    >>> merged["scale"], layer_names(merge(merged, spec, [{"name": "labels", "mags": []}]))
    ({'factor': [4.0, 4.0, 35.0], 'unit': 'nanometer'}, ['em', 'labels'])
    """
    if existing is None:
        merged: Properties = {
            "id": {"name": dataset.name, "team": ""},
            "scale": scale(dataset.voxel_size),
            "dataLayers": [],
            "version": 1,
        }
    else:
        merged = {key: existing[key] for key in (*_TOP, *existing) if key in existing}
        check_same_voxel_size(merged, dataset)
    merged["dataLayers"] = entries = list(merged["dataLayers"])
    for new in layers:
        names = layer_names(merged)
        if new["name"] in names:
            index = names.index(new["name"])
            entries[index] = _joined(entries[index], new, same)
        else:
            entries.append(new)
    return merged


def layer_names(properties: Properties) -> list[str]:
    """Names of all layers, in any format."""
    return [layer["name"] for layer in properties["dataLayers"]]


def _joined(old: Properties, new: Properties, same: str) -> Properties:
    if same == "replace":
        return new
    what, fix = f"the dataset has a layer {new['name']} already", "choose another name with --layer-name"
    if same == "refuse":
        raise TargetExists(what, fix=fix)
    ours, theirs = stored_layer(new), stored_layer(old)
    facts = [f"{one.data_format} with {one.channels} x {one.dtype}" for one in (theirs, ours)]
    if facts[0] != facts[1]:
        raise TargetExists(what, why=f"it is {facts[0]}, not {facts[1]}", fix=fix)
    mags = finest_first((*mag_entries(old), *mag_entries(new)))
    joined = {**old, "boundingBox": new["boundingBox"], "mags": mags, "numChannels": ours.channels}
    joined.pop("wkwResolutions", None)
    if new.get("largestSegmentId") is not None:
        joined["largestSegmentId"] = new["largestSegmentId"]
    if view := {**new.get("defaultViewConfiguration", {}), **old.get("defaultViewConfiguration", {})}:
        joined["defaultViewConfiguration"] = view
    return joined


def finest_first(mags: Iterable[Properties]) -> list[Properties]:
    """Sort entries of mags; the last entry of each mag is taken. Readers want `axisOrder` in all of them or in none."""
    entries = {mag_of(entry): entry for entry in mags}
    return [{**entries[mag], "axisOrder": entries[mag].get("axisOrder", dict(_AXIS_ORDER))} for mag in sorted(entries)]


# --- writing ---------------------------------------------------------------------------------------------------------


def write(path: Path, properties: Properties) -> None:
    """Write the metadata atomically: after a crash or an error, the file is the complete old or new one.

    Raises ConversionError for NaN and infinity, NoSpace, TargetNotWritable.
    """
    try:
        content = json.dumps(properties, indent=4, allow_nan=False).encode() + b"\n"
    except ValueError as error:
        raise ConversionError(f"{path} cannot hold NaN or infinity", why=str(error)) from error
    try:
        write_atomically(path, content)
        sync_folder(path.parent)
    except (NoSpace, TargetNotWritable):
        raise
    except TargetError as error:
        raise TargetNotWritable(f"{path} cannot be written", why=error.why) from error


def sweep(folder: Path) -> None:
    """Remove unfinished metadata files that killed runs left. The caller holds the dataset's lock."""
    for path in listed(folder, f".{PROPERTIES_FILE}.*.tmp"):
        path.unlink(missing_ok=True)
