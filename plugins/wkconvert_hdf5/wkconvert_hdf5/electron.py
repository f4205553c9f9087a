"""EMD of electron microscopes: Velox (Thermo Fisher) and Berkeley's.

Velox stores images as `Data/Image/ID/Data`, rows, columns and frames, with JSON beside them; the open format of
Berkeley (https://emdatasets.com/format) has groups with an array `data` and arrays `dim1`, `dim2`, … along its axes.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import Layer, UnsupportedSource, VoxelSize, WarningNote, unit_symbol

from .arrays import Choice, Facts, layers_of, name_of, the_only
from .files import File, document_of, group_of, is_numeric, text_of


def is_velox(file: File) -> bool:
    """Whether a file holds images of Velox."""
    images = group_of(file, "Data/Image")
    return any("Data" in group_of(images, name) for name in images)


def velox_layers(path: Path, file: File, choice: Choice) -> list[Layer]:
    """The layer of the only image; frames are times. Raises SourceError, OptionError."""
    found = {
        data: _metadata(image)
        for image in file["Data/Image"].values()
        if (data := group_of(file, image.name).get("Data")) is not None and is_numeric(data) and data.ndim == 3
    }
    names = [f"{data.name.strip('/')} ({_detector(about) or 'no detector named'})" for data, about in found.items()]
    data = the_only(path, list(found), names, "images")
    size, notes = _pixel_size(found[data])
    if data.shape[2] > 1:
        notes.append("frames are times; -o axes=yxz with -o dataset takes them as slices")
    return layers_of(path, data, Facts("yxt", size), choice, notes, _detector(found[data]) or None)


def _metadata(image: Any) -> dict[str, Any]:
    """Parse the JSON that describes the first frame."""
    raw = image["Metadata"][:, 0].tobytes() if "Metadata" in image else b""
    found = document_of(raw.split(b"\0")[0].decode("utf-8", "replace"))
    return found if isinstance(found, dict) else {}


def _detector(about: dict[str, Any]) -> str:
    """The name of the detector, by its number where there is one: segments of a detector have one name in short."""
    try:
        short = about["BinaryResult"].get("Detector", "")
        named = about.get("Detectors", {}).get(f"Detector-{about['BinaryResult'].get('DetectorIndex')}", {})
        return str(named.get("DetectorName") or short)
    except (KeyError, AttributeError):
        return ""


def detector_of(data: Any) -> str:
    """The name of an array's detector; empty where it is no image of Velox."""
    return _detector(_metadata(data.parent)) if data.name.startswith("/Data/Image/") else ""


def _pixel_size(about: dict[str, Any]) -> tuple[VoxelSize | None, list[str]]:
    """The size of a pixel, and a note if that is none."""
    result = about.get("BinaryResult", {})
    try:
        sizes = [float(result["PixelSize"][side]) for side in ("width", "height")]
        units = [unit_symbol(result[f"PixelUnit{axis}"]) for axis in "XY"]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, []
    unit = units[0]
    if unit is None or units[0] != units[1] or not all(math.isfinite(size) and size > 0 for size in sizes):
        return None, [WarningNote(f"pixels of {sizes[0]:g} x {sizes[1]:g} {result['PixelUnitX']} have no size")]
    x, y = sizes
    return VoxelSize((x, y, None), unit, "Velox metadata (PixelSize)").to("nm"), []


def is_berkeley(file: File) -> bool:
    """Whether a file has groups of Berkeley's format."""
    return bool(_groups(file))


def _groups(file: File) -> list[Any]:
    """The groups of a file that hold an array with its axes, as far as links within the file lead."""
    found: list[Any] = []

    def look(_: str, item: Any) -> None:
        if hasattr(item, "keys") and item.attrs.get("emd_group_type") == 1 and "data" in item:
            found.append(item)

    file.visititems(look)
    return found


def berkeley_layers(path: Path, file: File, choice: Choice) -> list[Layer]:
    """The layer of the only array with its axes. Raises SourceError, OptionError."""
    groups = _groups(file)
    group = the_only(path, groups, [f"{group.name.strip('/')}/data" for group in groups], "arrays")
    data = group["data"]
    dims = [group.get(f"dim{number + 1}") for number in range(data.ndim)]
    names = [re.sub(r"\W", "", text_of(dim, "name").lower()) if dim is not None else "" for dim in dims]
    positional = {2: "yx", 3: "zyx"}.get(data.ndim, "")
    named = "".join(names) if all(len(name) == 1 for name in names) else ""
    axes = named if {*"xy"} <= {*named} <= {*"ctxyz"} and len({*named}) == data.ndim else positional
    if not axes:
        raise UnsupportedSource(
            f"the axes of {data.name} in {path} are {', '.join(name or 'unnamed' for name in names)}",
            why="a volume has x, y, z and perhaps c and t",
            fix=f"say -o dataset={data.name.strip('/')} with -o axes= and a letter for each, the slowest first",
        )
    size, notes = _steps(dict(zip(axes, dims, strict=True)))
    if axes != named:
        notes.append(f"its axes ({', '.join(name or 'unnamed' for name in names)}) are taken as {', '.join(axes)}")
    return layers_of(path, data, Facts(axes, size), choice, notes, name_of(group.name))


def _steps(dims: dict[str, Any]) -> tuple[VoxelSize | None, list[str]]:
    """The voxel size by the places along each axis, and notes where these are no steps of one length."""
    sizes: list[float | None] = []
    unit, notes = None, list[str]()
    for axis in "xyz":
        sizes.append(None)
        if (dim := dims.get(axis)) is None:
            continue
        places = np.asarray(dim[...], float).ravel()
        steps = np.diff(places)
        spelled = re.sub(r"[\[\]_ ]", "", text_of(dim, "units"))
        symbol = unit_symbol(spelled)
        if not steps.size or (not symbol and spelled.lower() in ("", "px", "pixel", "pixels")):
            continue
        if symbol is None or not (np.isfinite(steps).all() and np.ptp(steps) < 1e-3 * steps.mean()):
            why = f"runs from {places[0]:g} to {places[-1]:g} {spelled}"
            notes.append(WarningNote(f"{axis} {why}, not in steps of one length"))
            continue
        unit = unit or symbol
        step = VoxelSize((float(steps.mean()), None, None), symbol).to(unit).size[0]
        sizes[-1] = step and float(f"{step:.7g}")
    x, y, z = sizes
    return VoxelSize((x, y, z), unit, "dim1, dim2, …") if unit else None, notes
