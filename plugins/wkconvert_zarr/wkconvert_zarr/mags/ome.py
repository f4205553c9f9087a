"""A layer of a dataset as an OME-Zarr image: the group whose metadata list its mags.

Source of the facts: OME-Zarr 0.4 for Zarr 2 and 0.5 for Zarr 3, https://ngff.openmicroscopy.org/specifications.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from wkconvert_core import ListedLayer, Mag
from wkconvert_core.toolkit.atomic import write_atomically
from wkconvert_core.toolkit.files import is_file, is_link, open_file, reading

from ..arrays import DESCRIPTIONS, Driver
from .description import read_layout

Json = dict[str, Any]

_RGB = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
_TYPES = {"c": "channel", "t": "time", "x": "space", "y": "space", "z": "space"}


def list_mags(driver: Driver, dataset: Path, layer: ListedLayer) -> None:
    """Make the layer's folder an image with its mags as resolutions, or bring that up to date. Raises TargetError.

    Mags that lie elsewhere than in that folder are left out; where axes differ between mags, nothing is written.
    """
    mags = dict(_mags_within(driver, dataset, layer))
    axes = {read_layout(driver, dataset / layer.mags[mag]).axes for mag in mags}
    if len(axes) != 1:
        return
    image = image_of(layer, mags, axes.pop())
    if driver == "zarr3":
        _put_group3(dataset, {})
        _put_group3(dataset / layer.name, {"ome": {"version": "0.5", **image}})
    else:
        versioned: Json = {**image, "multiscales": [{"version": "0.4", **image["multiscales"][0]}]}
        for folder in (dataset, dataset / layer.name):
            _put(folder / ".zgroup", {"zarr_format": 2})
        _put(dataset / layer.name / ".zattrs", _joined(_read(dataset / layer.name / ".zattrs"), versioned))


def _mags_within(driver: Driver, dataset: Path, layer: ListedLayer) -> Iterator[tuple[Mag, str]]:
    """The mags whose arrays lie right in the layer's folder, with their names there, finest first."""
    for mag, place in sorted(layer.mags.items()):
        path = PurePosixPath(place)
        if path.parent == PurePosixPath(layer.name) and is_file(dataset / path / DESCRIPTIONS[driver]):
            yield mag, path.name


def image_of(
    layer: ListedLayer,
    mags: Mapping[Mag, str],
    axes: tuple[str, ...],
    places: Mapping[Mag, Sequence[float]] | None = None,
) -> Json:
    """The metadata of an image, but for the version of OME-Zarr.

    `places` are those of the centres of the mags' first voxels along x, y, z, in voxels of mag 1; None: arrays begin at
    voxel 0 of the dataset, whose centre is the origin.
    """
    places = places or {mag: [(factor - 1) / 2 for factor in mag] for mag in mags}
    multiscale = {
        "name": layer.name,
        "axes": [_axis(axis, layer.voxel_size.unit_name) for axis in axes],
        "datasets": [
            {"path": name, "coordinateTransformations": _placed(mag, places[mag], layer, axes)}
            for mag, name in mags.items()
        ],
    }
    image: Json = {"multiscales": [multiscale]}
    if layer.category == "segmentation":
        image["image-label"] = {}
    elif window := _window(layer):
        image["omero"] = {"channels": list(_channels(layer, window))}
    return image


def _axis(name: str, unit: str) -> Json:
    kind = _TYPES.get(name)
    found = {"name": name, **({"type": kind} if kind else {})}
    return {**found, "unit": unit} if kind == "space" else found


def _placed(mag: Mag, place: Sequence[float], layer: ListedLayer, axes: tuple[str, ...]) -> list[Json]:
    """The size of a voxel of a mag, and the place of the centre of its first one among the voxels of mag 1.

    The centre of a voxel of mag 4 lies 1.5 voxels of mag 1 after that of the first of the four.
    """
    sizes = {axis: float(size or 1) for axis, size in zip("xyz", layer.voxel_size.size, strict=True)}
    factors = dict(zip("xyz", mag, strict=True))
    scale = [sizes.get(axis, 1.0) * factors.get(axis, 1) for axis in axes]
    moved = dict(zip("xyz", place, strict=True))
    shift = [sizes.get(axis, 1.0) * moved.get(axis, 0) for axis in axes]
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]


def _window(layer: ListedLayer) -> Json | None:
    """The values that there may be, and those to show as black and white; None for floats of unknown range."""
    if layer.dtype.kind in "iu":
        limits = np.iinfo(layer.dtype)
        least, most = layer.value_range if layer.dtype.itemsize > 2 and layer.value_range else (limits.min, limits.max)
    elif layer.value_range:
        least, most = layer.value_range
    else:
        return None
    start, end = layer.intensity_range or layer.value_range or (least, most)
    return {"min": least, "max": most, "start": start, "end": end}


def _channels(layer: ListedLayer, window: Json) -> Iterator[Json]:
    """The channels of an intensity layer: three of 8 bits are colours."""
    if layer.channels == 1:
        colors = {layer.name: layer.color or (255, 255, 255)}
    elif layer.channels == 3 and layer.dtype == np.uint8:
        colors = _RGB
    else:
        colors = {f"channel {number}": (255, 255, 255) for number in range(layer.channels)}
    for label, color in colors.items():
        yield {"label": label, "color": bytes(color).hex().upper(), "active": True, "window": window}


# --- groups ----------------------------------------------------------------------------------------------------------


def _put_group3(folder: Path, attributes: Json) -> None:
    """Write the `zarr.json` of a group with these attributes; what others added stays."""
    path = folder / "zarr.json"
    old = _read(path)
    if old.get("node_type", "group") == "group":
        joined = _joined(old.get("attributes") or {}, attributes)
        _put(path, {"zarr_format": 3, "node_type": "group", **old, "attributes": joined})


def _joined(old: Json, new: Json) -> Json:
    """JSON with what is new in it: objects are joined, of a list of objects the first, anything else is replaced.

    Channels that are there keep what people changed in them; an image is either one of intensities or a label.

    >>> _joined({"multiscales": [{"name": "old", "type": "mean"}], "more": 1}, {"multiscales": [{"name": "new"}]})
    {'multiscales': [{'name': 'new', 'type': 'mean'}], 'more': 1}
    """
    kept = {key: value for key, value in old.items() if key not in ("omero", "image-label") or key in new}
    for key, value in new.items():
        known = kept.get(key)
        if key in ("omero", "image-label") and isinstance(known, dict):
            is_fitting = len(known.get("channels", ())) == len(value.get("channels", ()))
            kept[key] = known if is_fitting else value
        elif isinstance(known, dict) and isinstance(value, dict):
            kept[key] = _joined(known, value)
        elif key == "multiscales" and isinstance(known, list) and known and isinstance(known[0], dict):
            kept[key] = [{**known[0], **value[0]}, *known[1:]]
        else:
            kept[key] = value
    return kept


def _read(path: Path) -> Json:
    """The JSON object in a file; empty if there is none, or none that is valid: it is written anew then."""
    if is_link(path) or not is_file(path):  # what a link leads to is none of the dataset's
        return {}
    try:
        with reading(path), open_file(path) as file:
            found = json.loads(file.read())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _put(path: Path, content: Json) -> None:
    """Write a file atomically, unless that is what it holds."""
    if _read(path) != content:
        write_atomically(path, json.dumps(content, indent=2).encode() + b"\n")
