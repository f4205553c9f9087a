"""Neuroglancer's precomputed volumes: one file `info` describes all scales.

Facts from https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/volume.md
"""

from __future__ import annotations

from wkconvert_core import Category, UnsupportedSource
from wkconvert_core.toolkit.files import broken

from .image import Image, Level, numbers
from .node import Node

_KINDS: dict[str, Category] = {"image": "color", "segmentation": "segmentation"}


def image(node: Node) -> Image:
    """The image of a volume. Raises BrokenSource, UnsupportedSource for what lies there instead of one."""
    about = node.attributes
    scales = about.get("scales")
    if not isinstance(scales, list) or not scales or not all(isinstance(scale, dict) for scale in scales):
        kind = about.get("@type")
        if kind in (None, "neuroglancer_multiscale_volume") and "type" in about:
            raise broken(f"{node.store}/info", f"its scales are {scales!r}")
        raise UnsupportedSource(f"{node.store}/info describes {kind or 'no volume'}", why="volumes are read")
    levels = []
    for number, scale in enumerate(scales):
        node.store.child(str(scale.get("key", "")))  # a scale that lies elsewhere is refused
        place, size = numbers(scale.get("voxel_offset", [0, 0, 0])), numbers(scale.get("resolution"))
        if len(place) != 3 or len(size) != 3:
            said = ", ".join(f"{key} {scale.get(key)!r}" for key in ("resolution", "voxel_offset"))
            raise broken(f"{node.store}/info", f"scale {number} says {said}: three numbers each are wanted")
        address = node.store.address(node.driver, scale=number)
        offset = tuple(a * b for a, b in zip(place, size, strict=True))
        levels.append(Level(address, str(scale.get("key", number)), (*size, None), (*offset, 0.0)))
    return Image(
        node.store,
        tuple(levels),
        tuple("xyzc"),
        ("nm", "nm", "nm", None),
        category=_KINDS.get(str(about.get("type"))),
        stated="info",
    )
