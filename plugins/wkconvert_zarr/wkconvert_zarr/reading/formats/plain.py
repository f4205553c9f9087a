"""Arrays of Zarr and N5 that no standard of images describes, pyramids and groups of them.

What programs write down of axes and voxels: `dimension_names` of Zarr 3; `_ARRAY_DIMENSIONS` of xarray
(https://docs.xarray.dev/en/stable/internals/zarr-encoding-spec.html); `axes`, `units` and `resolution` of N5
(https://google.github.io/tensorstore/driver/n5); `pixelResolution`, `downsamplingFactors`, `scales` of Java's programs
(https://github.com/saalfeldlab/n5-viewer); `transform` of COSEM (https://openorganelle.janelia.org); `voxel_size`,
`offset` of funlib.persistence; setups and time points of BigDataViewer's N5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import ge
from typing import Any

from wkconvert_core import SourceNotFound

from .image import Image, Level, numbers, texts
from .node import Node
from .store import Json

_LEVEL = re.compile("s?([0-9]{1,3})")
"""Names of arrays that are levels of one pyramid: `s0`, `s1`, … or `0`, `1`, …"""


@dataclass(frozen=True)
class Calibration:
    """Axes and voxels as attributes describe them."""

    axes: tuple[str, ...] = ()
    """The axes of the other members; empty: those of the array, or of its voxels only."""
    scale: tuple[float | None, ...] = ()
    units: tuple[str | None, ...] = ()
    translation: tuple[float, ...] = ()
    stated: str = ""

    def along(self, names: Sequence[str]) -> Calibration:
        """The same in the order of other axes; unchanged if these are not the same ones."""
        if not self.axes or sorted(self.axes) != sorted(names) or tuple(names) == self.axes:
            return self
        order = [self.axes.index(name) for name in names]
        return replace(
            self,
            axes=tuple(names),
            scale=tuple(self.scale[at] for at in order) if self.scale else (),
            units=tuple(self.units[at] for at in order) if self.units else (),
            translation=tuple(self.translation[at] for at in order) if self.translation else (),
        )


def calibration(about: Json) -> Calibration:
    """Parse the attributes of an array or its group, also sizes beside an unknown unit.

    >>> calibration({"pixelResolution": {"dimensions": [4, 4, 40], "unit": "nm"}}).units
    ('nm', 'nm', 'nm')
    >>> calibration({"transform": {"axes": ["z", "y", "x"], "scale": [40, 4, 4]}}).along("xyz").scale
    (4.0, 4.0, 40.0)
    """
    inside = about.get("transform")
    if isinstance(inside, dict) and (scale := numbers(inside.get("scale"))):
        axes, moved = texts(inside.get("axes")), numbers(inside.get("translate") or inside.get("translation"))
        units = texts(inside.get("units"))
        if len(axes) == len(scale):
            moved = moved if len(moved) == len(scale) else ()
            return Calibration(axes, scale, units if len(units) == len(scale) else (), moved, "transform")
    inside = about.get("pixelResolution")
    if isinstance(inside, dict):
        scale = numbers(inside.get("dimensions"))
        return Calibration((), scale, _units(inside.get("unit"), len(scale)), (), "pixelResolution")
    for key in ("resolution", "voxel_size", "pixelResolution"):
        if scale := numbers(about.get(key)):
            moved = numbers(about.get("offset"))
            each = _units(about.get("units", about.get("unit")), len(scale))
            return Calibration((), scale, each, moved if len(moved) == len(scale) else (), key)
    return Calibration()


def _units(said: Any, count: int) -> tuple[str | None, ...]:
    """A unit for each of so many sizes: one for all, or one for each; none where what is said is neither."""
    each = (said,) * count if isinstance(said, str) else texts(said)
    return each if len(each) == count else (None,) * count


# --- arrays and pyramids ---------------------------------------------------------------------------------------------


def array(node: Node, above: Json | None = None) -> Image:
    """The image of one array; the attributes `above`, of its group, count where its own say nothing."""
    about = {**(above or {}), **node.attributes}
    usual = "xyz" if node.driver == "n5" else "zyx"
    named = tuple(name for name in node.dimensions if name)
    names = texts(about.get("_ARRAY_DIMENSIONS")) or texts(about.get("axes")) or texts(about.get("axis_names"))
    if named and len(named) == len(node.dimensions):
        names = named
    found = calibration(about)
    found = found.along(names or tuple(usual))
    level = Level(node.address(), node.store.path, found.scale, found.translation)
    return Image(node.store, (level,), names, found.units, usual, stated=found.stated)


def pyramid(group: Node, nodes: Sequence[Node]) -> Image:
    """The image of a group whose arrays are levels of a pyramid, the finest first.

    Coarser ones are as much coarser as `downsamplingFactors` or `scales` say, else their own size of a voxel, else
    their shapes.
    """
    finest = array(nodes[0], group.attributes)
    scale = finest.levels[0].scale
    listed = group.attributes.get("downsamplingFactors") or group.attributes.get("scales")
    factors = [numbers(each) for each in listed] if isinstance(listed, list) else []
    levels = []
    for number, node in enumerate(nodes[1:], 1):
        own = array(node).levels[0]
        factor = numbers(node.attributes.get("downsamplingFactors")) or next(iter(factors[number : number + 1]), ())
        if not factor and not (own.scale and scale):
            factor = _factor(nodes[0], node)
        known = scale if len(scale) == len(factor) else (1.0,) * len(factor)
        if factor:
            sides = (side * times if side else None for side, times in zip(known, factor, strict=True))
            own = Level(own.address, own.path, tuple(sides))
        levels.append(own)
    if not scale and levels:
        finest = replace(finest, levels=(replace(finest.levels[0], scale=(1.0,) * len(levels[0].scale)),))
    return replace(finest, store=group.store, levels=(*finest.levels, *levels))


def _factor(fine: Node, coarse: Node) -> tuple[float, ...]:
    """The powers of two by which an array is coarser than another along its axes, by their shapes; empty for others."""
    a, b = _shape(fine), _shape(coarse)
    if len(a) != len(b):
        return ()
    powers = [float(2**power) for power in range(12)]
    found = [
        next((f for f in powers if side in (whole // f, -(-whole // f))), 0.0) for whole, side in zip(a, b, strict=True)
    ]
    return tuple(found) if all(found) else ()


# --- groups ----------------------------------------------------------------------------------------------------------


def levels_in(group: Node) -> list[Node]:
    """The arrays of a group that are levels of one pyramid, the finest first; none if they are not.

    Servers list no folders: there they are asked for by their names.
    """
    listed = group.attributes.get("multiscales")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):  # of COSEM, in N5
        paths = [each.get("path") for each in listed[0].get("datasets", ()) if isinstance(each, dict)]
        nodes = [(path, group.at(path)) for path in paths if isinstance(path, str)]
        if lost := [path for path, node in nodes if node is None]:
            raise SourceNotFound(f"{group.store} lists {lost[0]}, which is not there", fix="copy it again")
        return [node for _, node in nodes if node]
    if (names := group.store.folders()) is None:
        names = numbered(group, "s")
    names = [name for name in names if _LEVEL.fullmatch(name)]
    if not names or names[0].lstrip("s") != "0":
        return []
    arrays = [node for name in names if (node := group.at(name)) and node.is_array]
    if len(arrays) < len(names):
        return []
    shapes = [_shape(each) for each in arrays]
    are_smaller = all(len(a) == len(b) and a != b and all(map(ge, a, b)) for a, b in pairwise(shapes))
    return arrays if names[0] == "s0" or (len(arrays) > 1 and are_smaller) else []


def _shape(array: Node) -> tuple[float, ...]:
    """The lengths of an array's axes."""
    return numbers(array.attributes.get("dimensions") or array.attributes.get("shape"))


def numbered(group: Node, word: str) -> list[str]:
    """Names such as `s0`, `s1`, … that are there, counted until one is missing."""
    names: list[str] = []
    while group.at(name := f"{word}{len(names)}"):
        names.append(name)
    return names
