"""Imaris (`.ims`): levels, channels and extents.

The format: https://imaris.oxinst.com/support/imaris-file-format. Arrays are filled up to whole chunks; the attributes
of a channel say how many voxels it has.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from wkconvert_core import METRES, Affine, Layer, Vec3, VoxelSize, WarningNote, unit_symbol
from wkconvert_core.toolkit.dyes import view_colors
from wkconvert_core.toolkit.volumes.choosing import no_channel, pick_time

from .arrays import Choice, Facts, mags_of
from .files import File, group_of, numbers, text_of

_UNNAMED = "(name not specified)"
"""The name of a channel that has none."""


def is_imaris(file: File) -> bool:
    """Whether a file is one of Imaris."""
    return "ResolutionLevel 0" in group_of(file, "DataSet")


def imaris_layers(path: Path, file: File, choice: Choice) -> list[Layer]:
    """A layer for each channel, with a mag for each level that is one. Raises SourceError, OptionError."""
    finest = file["DataSet/ResolutionLevel 0"]
    time = pick_time(path, _numbers(finest, "TimePoint"), choice.timepoint)
    channels = _numbers(finest[f"TimePoint {time}"], "Channel")
    if choice.channel is not None and choice.channel not in channels:
        raise no_channel(path, choice.channel, len(channels))
    about = {number: file.get(f"DataSetInfo/Channel {number}") for number in channels}
    names = {number: text_of(group, "Name").replace(_UNNAMED, "") if group else "" for number, group in about.items()}
    shown = dict(zip(channels, view_colors(list(names.values())), strict=True))
    layers: list[Layer] = []
    for number in [choice.channel] if choice.channel is not None else channels:
        groups = [
            f"DataSet/ResolutionLevel {level}/TimePoint {time}/Channel {number}"
            for level in _numbers(file["DataSet"], "ResolutionLevel")
        ]
        shapes = [_shape(file[group]) for group in groups]
        size, affine, notes = _extents(file["DataSetInfo/Image"], shapes[0])
        levels = [
            ([round(all_ / some) for all_, some in zip(shapes[0], shape, strict=True)], f"{group}/Data", facts)
            for group, shape in zip(groups, shapes, strict=True)
            for facts in [Facts("zyx", size, affine, shape)]
        ]
        mags, left = mags_of(path, file, levels)
        name = names[number] or f"channel_{number}" if len(channels) > 1 else None
        color = _color(about[number]) or (shown[number] if len(channels) > 1 else None)
        layers.append(Layer(mags, name, color=color, notes=() if layers else (*notes, *left)))
    return layers


def _extents(image: Any, shape: Vec3) -> tuple[VoxelSize | None, Affine | None, list[str]]:
    """The voxel size, and where the first voxel lies: the extents are those of the outer faces of the volume."""
    ends = [[_number(text_of(image, f"Ext{end}{axis}")) for axis in range(3)] for end in ("Min", "Max")]
    spelled = text_of(image, "Unit") or "um"
    unit = unit_symbol(spelled)
    sides = [(high - low) / count for low, high, count in zip(*ends, shape, strict=True)]
    if unit is None or not all(math.isfinite(side) and side > 0 for side in sides):
        told = "; ".join(f"{low:g} to {high:g}" for low, high in zip(*ends, strict=True))
        return None, None, [WarningNote(f"its extents {told} {spelled} are no sizes: {', '.join(METRES)} are units")]
    x, y, z = (float(f"{side:.7g}") for side in sides)  # written with few digits
    size = VoxelSize((x, y, z), unit, "the extents (ExtMin, ExtMax)")
    if not any(ends[0]):
        return size, None, []
    first = ends[0][0] + sides[0] / 2, ends[0][1] + sides[1] / 2, ends[0][2] + sides[2] / 2
    affine = Affine((x, 0, 0), (0, y, 0), (0, 0, z), first, unit, "extents")
    corner = ", ".join(f"{low:g}" for low in ends[0])
    return size, affine, [f"it begins at {corner} {unit} (ExtMin), which counts beside other files that state it"]


def _shape(group: Any) -> Vec3:
    """The number of voxels along x, y, z of a channel. Raises ValueError."""
    found = Vec3(*(int(text_of(group, f"ImageSize{axis}")) for axis in "XYZ"))
    if min(found) < 1:
        raise ValueError(f"{group.name} has {' x '.join(map(str, found))} voxels (ImageSizeX, Y, Z)")
    return found


def _color(group: Any) -> tuple[int, int, int] | None:
    """The colour of a channel: `1.000 0.500 0.000`; None if it has a table of colours."""
    parts = [_number(part) for part in text_of(group, "Color").split()] if group else []
    if len(parts) != 3 or not all(0 <= part <= 1 for part in parts):
        return None
    red, green, blue = (round(255 * part) for part in parts)
    return red, green, blue


def _number(text: str) -> float:
    """The number that a text writes; NaN for any other."""
    with suppress(ValueError):
        return float(text)
    return math.nan


def _numbers(group: Any, word: str) -> list[int]:
    """The numbers of the groups `{word} 0`, `{word} 1` and so on. Raises ValueError if there is none."""
    if found := numbers(group, rf"{word} ([0-9]{{1,6}})"):
        return found
    raise ValueError(f"{group.name} holds no {word}")
