"""The size of voxels, the place of an image, and the mags that its levels are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from wkconvert_core import METRES, Affine, Mag, Vec3, VoxelSize, WarningNote, unit_symbol
from wkconvert_core.toolkit.volumes.choosing import said_unit

from .axes import SPACE, Axes
from .formats.image import Image, Level

_WHOLE = 0.05
"""The part of a voxel by which a place may miss a whole one."""
_FAR = 2**31
"""Places beyond are mistakes."""
_POWERS = [2**power for power in range(16)]

Three: TypeAlias = tuple[float | None, float | None, float | None]
T = TypeVar("T")


@dataclass(frozen=True)
class Sides:
    """A level's voxels along x, y, z; None along an axis of which nothing usable is stated."""

    scale: Three
    translation: tuple[float, float, float] | None

    @classmethod
    def of(cls, axes: Axes, level: Level) -> Sides:
        """The sides of a level of an image with these axes."""
        x, y, z = (side if _is_size(side) else None for side in along_xyz(axes, level.scale))
        place = along_xyz(axes, level.translation)
        if not level.translation or not all(side is None or math.isfinite(side) for side in place):
            return cls((x, y, z), None)
        i, j, k = (side or 0.0 for side in place)
        return cls((x, y, z), (i, j, k))


def along_xyz(axes: Axes, values: Sequence[T | None]) -> list[T | None]:
    """Values along an array's axes, or along its x, y and z only, in the order x, y, z; None where there is none.

    >>> along_xyz(Axes(("c", "z", "y", "x"), (2, 9, 9, 9)), (40, 4, 8))
    [8, 4, 40]
    """
    numbers = range(len(axes.names)) if len(values) == len(axes.names) else axes.spatial
    if len(values) != len(numbers):
        return [None, None, None]
    by_name = {axes.names[number]: value for number, value in zip(numbers, values, strict=True)}
    return [by_name.get(name) for name in SPACE]


def _is_size(side: float | None) -> bool:
    return side is not None and math.isfinite(side) and side > 0


def voxel_size(image: Image, axes: Axes, unit: str | None) -> tuple[VoxelSize | None, list[str]]:
    """The size of a voxel of the finest level, None if the file says none, and notes on it. Raises OptionError.

    `unit` overrides what the file says.
    """
    level = image.levels[0]
    notes: list[str] = [
        WarningNote(f"the voxel size along {name} is {side:g} by its {image.stated}, which is no size")
        for name, side in zip(SPACE, along_xyz(axes, level.scale), strict=True)
        if side is not None and not _is_size(side)
    ]
    said = [said_unit(unit)] * 3 if unit is not None else along_xyz(axes, image.units)
    units = [unit_symbol(each) if each else None for each in said]
    scale = Sides.of(axes, level).scale
    usable = [symbol for symbol, side in zip(units, scale, strict=True) if symbol and side]
    if not usable:
        if any(side not in (None, 1) for side in scale):
            told = " x ".join("?" if side is None else f"{side:g}" for side in scale)
            named = ", ".join(dict.fromkeys(each for each in said if each))
            told += f", in {named}" if named else ", and names no unit"
            notes.append(f"its {image.stated} says {told}: -o unit=µm would take the voxel size as µm")
        return None, notes
    main = usable[0]
    x, y, z = (
        None if not (side and symbol) else side if symbol == main else side * METRES[symbol] / METRES[main]
        for side, symbol in zip(scale, units, strict=True)
    )
    return VoxelSize((x, y, z), main, image.stated), notes


def place(image: Image, axes: Axes, size: VoxelSize | None) -> tuple[Vec3, Affine | None, list[str]]:
    """Where the finest level lies: its first voxel in the dataset, its affine, and notes.

    A translation of whole voxels is the place; what it says else is for core, which lays layers beside each other.
    Precomputed volumes count in whole voxels from a common 0, and need no affine.
    """
    zero = Vec3(0, 0, 0)
    sides = Sides.of(axes, image.levels[0])
    if image.levels[0].translation and sides.translation is None:
        return zero, None, [WarningNote(f"its place is {image.levels[0].translation}, which is none, and left out")]
    if sides.translation is None:
        return zero, None, []
    steps = [side or 1.0 for side in sides.scale]
    exact = [moved / step for moved, step in zip(sides.translation, steps, strict=True)]
    nearest = [round(each) if abs(each) < _FAR else -1 for each in exact]
    is_whole = all(abs(a - b) <= _WHOLE and b >= 0 for a, b in zip(exact, nearest, strict=True))
    notes: list[str] = []
    if not is_whole:
        told = ", ".join(f"{each:.6g}" for each in exact)
        notes.append(
            WarningNote(
                f"by its {image.stated} it begins at voxel {told}, and a bounding box at whole ones from 0 on: "
                "by itself it is laid at 0, 0, 0; --top-left decides otherwise"
            )
        )
    affine = None
    if image.levels[0].address.driver != "neuroglancer_precomputed":
        x, y, z = steps
        unit = size.unit if size else None
        affine = Affine((x, 0.0, 0.0), (0.0, y, 0.0), (0.0, 0.0, z), sides.translation, unit, image.stated)
    return Vec3(*nearest) if is_whole else zero, affine, notes


def mag_of(fine: Sides, coarse: Sides, fine_shape: Vec3, coarse_shape: Vec3, start: Vec3) -> Mag | str:
    """The mag of a coarser level whose voxels are those that core would make; else why it is none.

    `start` is where the finest level begins in the dataset. Translations may be those of a voxel's corner, and thus
    equal at all levels, or of its centre: both occur.
    """
    factors = []
    for axis, name in enumerate(SPACE):
        a, b, whole, part = fine.scale[axis], coarse.scale[axis], fine_shape[axis], coarse_shape[axis]
        ratio = b / a if a and b else None
        if ratio is None and any(fine.scale) and any(coarse.scale) and whole > 1:
            return f"its scale along {name} is not known"
        near = 2 ** round(math.log2(ratio)) if ratio and ratio > 0.75 else None
        if ratio is None:
            near = next((factor for factor in _POWERS if -(-whole // factor) == part), None)
        if near is None or (ratio is not None and abs(ratio / near - 1) * part > 0.5):
            factor = f"{ratio:g}" if ratio else f"{whole} to {part} voxels"
            return f"its factor along {name} is {factor}, no power of two"
        if fine.translation and coarse.translation and a:
            moved = (coarse.translation[axis] - fine.translation[axis]) / a
            if min(abs(moved), abs(moved - (near - 1) / 2)) > _WHOLE:
                return f"it begins {moved:.6g} voxels away along {name}"
        factors.append(near)
    x, y, z = factors
    mag = Mag(x, y, z)
    if max(mag) == 1:
        return "it is no coarser"
    if coarse_shape != (due := fine_shape.ceildiv(mag)):
        return f"it has {' x '.join(map(str, coarse_shape))} voxels, not {' x '.join(map(str, due))}"
    if start // mag * mag != start:
        return f"{', '.join(map(str, start))} is no multiple of {mag}"
    return mag
