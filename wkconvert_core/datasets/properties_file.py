"""The metadata of a dataset, `datasource-properties.json`: reading, adding layers, writing so that it is never torn.

Facts of the format as WEBKNOSSOS and `webknossos` 4.3.3 read it: required are `id`, `scale` and `dataLayers`, and in
each layer `name`, `category`, `boundingBox` (in mag-1 voxels), `elementClass`, `dataFormat` and `mags`. Three uint8
channels are `uint24` with `numChannels` 3; other element classes count the bits of all channels together likewise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wkconvert_core.contract.errors import (
    BrokenSource,
    ConversionError,
    InconsistentStack,
    NoSpace,
    OptionError,
    TargetError,
    TargetExists,
    TargetNotWritable,
    WkconvertError,
)
from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import DatasetSpec, LayerSpec
from wkconvert_core.contract.voxel_size import WEBKNOSSOS_UNITS, VoxelSize
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.datasets.properties import Properties, element_class, mag_entries, mag_of, stored_layer, voxel_size
from wkconvert_core.toolkit.atomic import sync_folder, write_atomically

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType

_TOP = ("id", "scale", "dataLayers", "version", "defaultViewConfiguration")
_REQUIRED = {"id": dict, "scale": (dict, list), "dataLayers": list}
_LAYER_REQUIRED = {"name": str, "category": str, "boundingBox": dict, "elementClass": str, "dataFormat": str}
_AXIS_ORDER = {"c": 0, "x": 1, "y": 2, "z": 3}
_SAME_SIZE = 1e-6
"""Voxel sizes may differ by this part: older tools store them as 32-bit floats."""


# --- reading ---------------------------------------------------------------------------------------------------------


def read(path: Path, error: type[WkconvertError] = BrokenSource) -> Properties:
    """Read the file. Raises `error`, which names it, where it is no valid JSON or lacks what every reader needs."""
    try:
        properties = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_no_number)
    except OSError as problem:
        raise error(f"{path} cannot be read", why=problem.strerror or str(problem)) from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is no valid JSON", why=str(problem), fix="mend it, or restore a copy") from problem
    if missing := _missing(properties):
        raise error(f"{path} does not describe a dataset", why=missing, fix="mend it, or restore a copy")
    return dict(properties)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _missing(properties: Any) -> str:
    """What a file's content lacks, for people; nothing if it is sound."""
    if not isinstance(properties, dict):
        return "it holds no object"
    if problem := _lacking(properties, _REQUIRED, "it"):
        return problem
    try:
        voxel_size(properties)
    except ValueError as error:
        return str(error)
    for number, layer in enumerate(properties["dataLayers"]):
        if not isinstance(layer, dict):
            return f"layer {number} is no object"
        if problem := _lacking(layer, _LAYER_REQUIRED, f"layer {layer.get('name', number)!r}"):
            return problem
        if not isinstance(layer.get("mags", layer.get("wkwResolutions")), list):
            return f"layer {layer['name']!r} has no list 'mags'"
    return ""


def _lacking(found: Mapping[str, Any], required: Mapping[str, Any], who: str) -> str:
    for key, kind in required.items():
        if not isinstance(found.get(key), kind):
            return f"{who} has no {key!r}" if key not in found else f"{who} has a {key!r} of the wrong kind"
    return ""


# --- a layer's entry -------------------------------------------------------------------------------------------------


def layer_entry(spec: LayerSpec, data_format: str, mags: Iterable[Properties]) -> Properties:
    """Describe a layer, whose mags `mag_entry` has described. Raises TargetError for a layer without voxels."""
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
    """An extent in mag-1 voxels."""
    return {"topLeft": list(box.start), **dict(zip(("width", "height", "depth"), box.shape, strict=True))}


def mag_entry(mag: Mag, path: str, stored: Mapping[str, Any]) -> Properties:
    """One mag of a layer; `path` is relative to the dataset, `stored` what its format says of it."""
    entry: Properties = {"mag": list(mag), "path": f"./{path}", **stored}
    return {**entry, "axisOrder": entry.get("axisOrder", dict(_AXIS_ORDER))}


def with_kind(entry: Properties, dtype: DType, channels: int) -> Properties:
    """A layer's entry with voxels of another type; what its view says of values goes where the dtype is another.

    Raises BrokenSource for an entry that makes no sense.
    """
    new = {**entry, "elementClass": element_class(dtype, channels), "numChannels": channels}
    if stored_layer(entry).dtype != dtype and (view := entry.get("defaultViewConfiguration")):
        new["defaultViewConfiguration"] = {key: value for key, value in view.items() if key not in _OF_VALUES}
    return new


_OF_VALUES = ("min", "max", "intensityRange")


def _view(spec: LayerSpec) -> Properties:
    """Colour and range of values in which a viewer shows a layer; 8-bit layers need no range."""
    view: Properties = {} if spec.color is None else {"color": list(spec.color)}
    if spec.category == "color" and spec.dtype.itemsize > 1:
        whole = spec.dtype.kind in "iu"
        if (values := _proper_range(spec.value_range)) is not None:
            view |= {"min": _number(values[0], whole), "max": _number(values[1], whole)}
        if (shown := _proper_range(spec.intensity_range) or values) is not None:
            view["intensityRange"] = [_number(value, whole) for value in shown]
    return view


def _proper_range(values: tuple[float, float] | None) -> tuple[float, float] | None:
    """A range that a viewer can divide by, or None."""
    return values if values and all(map(math.isfinite, values)) and values[0] < values[1] else None


def _number(value: float, whole: bool) -> int | float:
    return round(value) if whole else float(value)


# --- adding to it ----------------------------------------------------------------------------------------------------


def merge(
    existing: Properties | None,
    dataset: DatasetSpec,
    layers: Iterable[Properties],
    *,
    same: Literal["refuse", "replace", "extend"] = "refuse",
) -> Properties:
    """Add layers, as `layer_entry` makes them, to a dataset's metadata, or begin it. `existing` is not changed.

    Whatever else the metadata hold stays as it is, name and scale too. `same` says what becomes of a layer whose name
    is there already: `replace` forgets the old entry; `extend` takes extent, mags and largest id from the new one and
    keeps the rest. Raises TargetExists, OptionError without a complete voxel size, InconsistentStack for another one.
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
        place = [entry["name"] for entry in entries].index(new["name"]) if new["name"] in layer_names(merged) else None
        if place is None:
            entries.append(new)
        else:
            entries[place] = _joined(entries[place], new, same)
    return merged


def layer_names(properties: Properties) -> list[str]:
    """The names of all layers, whatever their format."""
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
    joined = {**old, "boundingBox": new["boundingBox"], "mags": _joined_mags(old, new), "numChannels": ours.channels}
    joined.pop("wkwResolutions", None)
    if new.get("largestSegmentId") is not None:
        joined["largestSegmentId"] = new["largestSegmentId"]
    if view := {**new.get("defaultViewConfiguration", {}), **old.get("defaultViewConfiguration", {})}:
        joined["defaultViewConfiguration"] = view
    return joined


def _joined_mags(old: Properties, new: Properties) -> list[Properties]:
    return in_order((*mag_entries(old), *mag_entries(new)))


def in_order(mags: Iterable[Properties]) -> list[Properties]:
    """Entries of mags, finest first, the last of each. Readers want `axisOrder` in all of them or in none."""
    entries = {mag_of(entry): entry for entry in mags}
    return [{**entries[mag], "axisOrder": entries[mag].get("axisOrder", dict(_AXIS_ORDER))} for mag in sorted(entries)]


# --- the voxel size --------------------------------------------------------------------------------------------------


def scale(size: VoxelSize | None) -> Properties:
    """A voxel size as the metadata hold it. Raises OptionError where it is not known along every axis."""
    if size is None or size.missing():
        axes = ", ".join(size.missing()) if size else "x, y, z"
        raise OptionError(f"the voxel size along {axes} is not known", fix="say it, for example --voxel-size 4,4,35")
    return {"factor": list(size.size), "unit": WEBKNOSSOS_UNITS[size.unit]}


def check_same_voxel_size(properties: Properties, dataset: DatasetSpec) -> None:
    """Raise InconsistentStack if a dataset has another voxel size than the layers to be added to it."""
    if dataset.voxel_size is None:
        return
    ours = voxel_size(properties)
    theirs = dataset.voxel_size.to(ours.unit)
    for a, b in zip(ours.size, theirs.size, strict=True):
        if a and b and not math.isclose(a, b, rel_tol=_SAME_SIZE):
            raise InconsistentStack(
                f"the dataset's voxels measure {ours}, those of the new layers {dataset.voxel_size}",
                why="a dataset has one voxel size",
                fix=f"if the dataset is right, say --voxel-size {','.join(map(str, ours.size))} --unit {ours.unit}",
            )


# --- writing ---------------------------------------------------------------------------------------------------------


def write(path: Path, properties: Properties) -> None:
    """Put the metadata in place whole or not at all: after a crash the file is the old one or the new one.

    Raises ConversionError for NaN and infinity, NoSpace, TargetNotWritable; the old file is intact then, and nothing
    else is left.
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
    """Remove what killed runs left of unfinished metadata; only for who holds the dataset's lock."""
    for path in folder.glob(f".{PROPERTIES_FILE}.*.tmp"):
        path.unlink(missing_ok=True)
