"""Which mags a pyramid has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from wkconvert_core.contract.errors import OptionError
from wkconvert_core.contract.geometry import Mag, Vec3

SamplingMode = Literal["anisotropic", "isotropic", "constant-z"]

_ALL, _XY = (2, 2, 2), (2, 2, 1)


def default_max_mag(shape: Vec3) -> int:
    """The mag at which the larger of x and y (`shape` is in mag-1 voxels) comes down to 100 voxels; at least 4."""
    mag = 4
    while 100 * mag < max(shape[:2]):
        mag *= 2
    return mag


def schedule(
    voxel_size: tuple[float, float, float],
    shape: Vec3,
    *,
    max_mag: int | None = None,
    sampling_mode: SamplingMode = "anisotropic",
    start: Mag = Mag(1, 1, 1),  # noqa: B008  # a tuple never changes
    existing: Iterable[Mag] = (),
) -> list[Mag]:
    """The mags coarser than `start`, finest first, as far as their largest factor is at most `max_mag`.

    `voxel_size` is that of mag 1 along x, y, z in any unit, `shape` the layer's extent in mag-1 voxels; `max_mag` None
    means `default_max_mag`. From mag to mag the largest factor doubles, and each axis is doubled or left alone:
    `anisotropic` doubles what brings voxels closest to cubes, `isotropic` all axes, `constant-z` x and y; a layer one
    slice thick is always `constant-z`. `existing` are the mags of other layers: where one has the largest factor that
    is due, it is taken, however it differs from the one before, and what comes before leads up to it.

    Raises OptionError for a `max_mag` or `sampling_mode` that does not exist, and where there is no mag that is
    coarser than the finer ones and finer than the coarser ones along all of x, y and z.
    """
    if sampling_mode not in get_args(SamplingMode):
        legal = ", ".join(get_args(SamplingMode))
        raise OptionError(f"--sampling-mode {sampling_mode} is unknown", fix=f"take one of {legal}")
    coarsest = default_max_mag(shape) if max_mag is None else max_mag
    if coarsest < 1 or coarsest & (coarsest - 1):
        raise OptionError(f"--max-mag {max_mag} is no mag", fix="take a power of two: 1, 2, 4, 8, 16, …")
    mode: SamplingMode = "constant-z" if shape[2] == 1 else sampling_mode
    others = sorted(set(existing))
    mags = [start]
    while (goal := 2 * max(mags[-1])) <= coarsest:
        mags.append(_shared(goal, others) or _fitted(_next(mags[-1], voxel_size, mode), others))
    _check_order(mags, others)
    return mags[1:]


def _shared(goal: int, others: Sequence[Mag]) -> Mag | None:
    """The mag with this largest factor that other layers have."""
    same = [mag for mag in others if max(mag) == goal]
    if len(same) > 1:
        raise OptionError(
            f"the dataset has the mags {' and '.join(map(str, same))}",
            why=f"layers must agree on one mag whose largest factor is {goal}",
            fix=f"end before it with --max-mag {goal // 2}, or remove one of them",
        )
    return same[0] if same else None


def _next(mag: Mag, voxel_size: tuple[float, float, float], mode: SamplingMode) -> Mag:
    """The closest to cubes of the mags that come next and have twice the largest factor."""
    goal = 2 * max(mag)
    candidate = following = mag
    while max(following) <= goal:
        candidate, following = following, _grown(following, voxel_size, mode)
    if mode == "constant-z":
        return candidate
    small = Mag(*(min(c, 2 * m) for m, c in zip(mag, candidate, strict=True)))
    if max(small) == goal:
        return small
    return Mag(*(2 * m if m == max(mag) else s for m, s in zip(mag, small, strict=True)))


def _grown(mag: Mag, voxel_size: tuple[float, float, float], mode: SamplingMode) -> Mag:
    """Double the axes that the mode says; `anisotropic`: all, or only those along which a voxel is smallest."""
    if mode != "anisotropic":
        return _times(mag, _ALL if mode == "isotropic" else _XY)
    sizes = [m * size for m, size in zip(mag, voxel_size, strict=True)]
    smallest = [2 if _same(size, min(sizes)) else 1 for size in sizes]
    grown = [size * f for size, f in zip(sizes, smallest, strict=True)]
    before, after = max(sizes) / min(sizes), max(grown) / min(grown)
    return _times(mag, _ALL if before < after and not _same(before, after) else smallest)


def _same(a: float, b: float) -> bool:
    """Whether two sizes differ by no more than a change of units leaves behind."""
    return math.isclose(a, b, rel_tol=1e-6)


def _times(mag: Mag, factor: Iterable[int]) -> Mag:
    return Mag(*(m * f for m, f in zip(mag, factor, strict=True)))


def _fitted(mag: Mag, others: Sequence[Mag]) -> Mag:
    """The mag, changed as little as takes it from the finer to the coarser mags of other layers by small steps."""
    goal = max(mag)
    for other in others:
        if max(other) < goal:
            mag = Mag(*map(max, mag, other))
        else:
            least = (max(1, axis * goal // max(other)) for axis in other)
            mag = Mag(*(max(low, min(axis, high)) for axis, low, high in zip(mag, least, other, strict=True)))
    return mag


def _check_order(mags: Sequence[Mag], others: Sequence[Mag]) -> None:
    """Raise OptionError if a new mag (not the first) is coarser than another along one axis, finer along the next."""
    for new in mags[1:]:
        for other in (*mags, *others):
            least = Mag(*map(min, new, other))
            if least not in (new, other):
                raise OptionError(
                    f"the mag {new} would be both coarser and finer than {other}",
                    why="along x, y and z, the mags of a dataset have one order",
                    fix=f"end before it with --max-mag {max(new) // 2}, or begin at another mag",
                )
