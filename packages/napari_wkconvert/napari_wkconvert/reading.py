"""The reader as napari wants it: layers as arrays, and their look.

https://napari.org/stable/plugins/building_a_plugin/guides.html
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import wkconvert
from wkconvert import LayerArrays, WkconvertError
from wkconvert_core import WarningNote
from wkconvert_core.sources.intensity_range import intensity_range

LayerData = tuple[Any, dict[str, Any], str]
"""Data, keyword arguments of the layer, and its kind."""


def reader_of(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """The function that reads a path, or None where no reader of wkconvert knows it or several paths are a stack."""
    if not isinstance(path, str):
        return None
    try:
        wkconvert.open(path)
    except WkconvertError:
        return None
    return read


def read(path: str | Sequence[str]) -> list[LayerData]:
    """The layers of a path, each with all its mags; napari shows what the reader warns of.

    Raises the errors of `wkconvert.open`.
    """
    layers = wkconvert.open(str(path)).values()
    for note in dict.fromkeys(note for layer in layers for note in layer.notes if isinstance(note, WarningNote)):
        warnings.warn(note, stacklevel=2)
    return [data for layer in layers for data in _shown(layer)]


def _shown(layer: LayerArrays) -> Iterator[LayerData]:
    """One layer, with axes z, y, x; of several channels that are no RGB, one for each."""
    finest = layer.finest
    size = finest.voxel_size
    known = size is not None and None not in size.size
    sides = [side or 1.0 for side in size.size] if size and known else [float(n) for n in finest.mag]
    look: dict[str, Any] = {
        "name": layer.name,
        "scale": sides[::-1],
        "translate": [start * side for start, side in zip(finest.bounding_box.start, sides, strict=True)][::-1],
        "axis_labels": ["z", "y", "x"],
        "units": [size.unit if size and known else "pixel"] * 3,
        "multiscale": len(layer.mags) > 1,
        "metadata": {"mags": [str(mag) for mag in layer], "notes": list(layer.notes)},
    }
    levels = [mag.to_dask().T for mag in layer.mags]  # [z, y, x], of several channels [z, y, x, c]
    if layer.category == "segmentation":
        yield _data([level if level.ndim == 3 else level[..., 0] for level in levels]), look, "labels"
        return
    if finest.ndim == 4 and finest.shape[0] == 3 and finest.dtype == "uint8":
        yield _data(levels), {**look, "rgb": True}, "image"
        return
    look["contrast_limits"] = intensity_range(layer.mags[-1].source) or (0, 1)
    if layer.color:
        look["colormap"] = "#{:02x}{:02x}{:02x}".format(*layer.color)  # from black to it
        look["blending"] = "additive"
    if finest.ndim == 3:
        yield _data(levels), look, "image"
        return
    for channel in range(finest.shape[0]):
        name = f"{layer.name} {channel}"
        yield _data([level[..., channel] for level in levels]), {**look, "name": name}, "image"


def _data(levels: list[Any]) -> Any:
    return levels if len(levels) > 1 else levels[0]
