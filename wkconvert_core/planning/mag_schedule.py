"""The mags of a pyramid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from wkconvert_core.contract.errors import OptionError, one_of
from wkconvert_core.contract.geometry import Mag, Vec3, Vec3Like
from wkconvert_core.contract.numbers import is_power_of_two

SamplingMode = Literal["anisotropic", "isotropic", "constant-z"]


def default_max_mag(shape: Vec3Like) -> int:
    """The coarsest mag by default: the first, from 4 on, at which a layer of `shape` mag-1 voxels is 100 x 100 or less.

    >>> default_max_mag((100, 100, 5000)), default_max_mag((1601, 1000, 50))
    (4, 32)
    """
    mag = 4
    while 100 * mag < max(shape[:2]):
        mag *= 2
    return mag


def schedule(
    voxel_size: tuple[float, float, float],
    shape: Vec3Like,
    *,
    max_mag: int | None = None,
    sampling_mode: SamplingMode = "anisotropic",
    start: Mag = Mag(1, 1, 1),  # noqa: B008  # a tuple never changes
    existing: Iterable[Mag] = (),
) -> list[Mag]:
    """The mags coarser than `start` up to the largest factor `max_mag`, finest first.

    `voxel_size` is that of mag 1 along x, y, z, in any unit; `shape` is the layer's extent in mag-1 voxels; without
    `max_mag` it is `default_max_mag`. From mag to mag the largest factor doubles, and each axis is doubled or stays:
    `anisotropic` doubles the axes that bring voxels closest to cubes, `isotropic` all, `constant-z` x and y. A layer of
    one slice is always `constant-z`. `existing` are the mags of other layers of the dataset: WEBKNOSSOS wants one mag
    per largest factor, so one of theirs is taken where it has the factor that is due, and the mags before lead up to
    it.

    Raises OptionError for a `max_mag` or `sampling_mode` that does not exist, and if no mag fits between finer and
    coarser ones along x, y and z alike.

    >>> [str(mag) for mag in schedule((4, 4, 35), (4000, 4000, 500), max_mag=16)]  # z is doubled once voxels are cubes
    ['2-2-1', '4-4-1', '8-8-1', '16-16-2']
    >>> [str(mag) for mag in schedule((4, 4, 35), (4000, 4000, 500), max_mag=8, sampling_mode="isotropic")]
    ['2', '4', '8']
    >>> [str(mag) for mag in schedule((4, 4, 4), (900, 900, 900), max_mag=8, existing=[Mag(4, 4, 1)])]
    ['2-2-1', '4-4-1', '8-8-2']
    """
    if sampling_mode not in get_args(SamplingMode):
        fix = one_of(get_args(SamplingMode), sampling_mode)
        raise OptionError(f"--sampling-mode {sampling_mode} is unknown", fix=fix)
    coarsest = default_max_mag(shape) if max_mag is None else max_mag
    if not is_power_of_two(coarsest):
        raise OptionError(f"--max-mag {max_mag} is no mag", fix="take a power of two: 1, 2, 4, 8, 16, …")
    mode: SamplingMode = "constant-z" if shape[2] == 1 else sampling_mode
    others = sorted(set(existing))
    mags = [start]
    while (goal := 2 * max(mags[-1])) <= coarsest:
        shared = _shared(goal, others)
        mag = shared or _next(mags[-1], voxel_size, mode)
        for other in () if shared else others:  # change it as little as possible so that it lies between theirs
            if max(other) < goal:
                mag = Mag(*mag.max(other))
            else:  # no axis beyond the coarser mag's, nor so far below that more than doubling is needed to reach it
                least = (other * goal // max(other)).max((1, 1, 1))
                mag = Mag(*mag.min(other).max(least))
        mags.append(mag)
    for new in mags[1:]:
        for other in (*mags, *others):
            if new.min(other) not in (new, other):
                raise OptionError(
                    f"the mag {new} would be both coarser and finer than {other}",
                    why="along x, y and z, the mags of a dataset have one order",
                    fix=f"end before it with --max-mag {max(new) // 2}, or begin at another mag",
                )
    return mags[1:]


def _shared(goal: int, others: Sequence[Mag]) -> Mag | None:
    """The mag of other layers with this largest factor. Raises OptionError if they have several."""
    same = [mag for mag in others if max(mag) == goal]
    if len(same) > 1:
        raise OptionError(
            f"the dataset has the mags {' and '.join(map(str, same))}",
            why=f"layers must agree on one mag whose largest factor is {goal}",
            fix=f"end before it with --max-mag {goal // 2}, or remove one of them",
        )
    return same[0] if same else None


def _next(mag: Mag, voxel_size: tuple[float, float, float], mode: SamplingMode) -> Mag:
    """The mag that follows: of those with twice the largest factor, the one whose voxels are closest to cubes."""
    # doubling the smallest sides again and again leads through mags whose largest factor stays, if `mag` is far from
    # cubes; the last one before the factor exceeds the goal is the best
    goal = 2 * max(mag)
    candidate: Vec3 = mag
    following: Vec3 = mag
    while max(following) <= goal:
        candidate, following = following, _doubled(following, voxel_size, mode)
    if mode == "constant-z":
        return Mag(*candidate)
    # from one mag to the next no axis is more than doubled, so several steps may be needed to get there; the axes with
    # the largest factor are doubled in any case, because that is what makes it the next mag
    small = candidate.min(mag * 2)
    if max(small) == goal:
        return Mag(*small)
    return Mag(*(2 * m if m == max(mag) else s for m, s in zip(mag, small, strict=True)))


def _doubled(mag: Vec3, voxel_size: tuple[float, float, float], mode: SamplingMode) -> Vec3:
    """Double the axes of the mode; `anisotropic`: those along which a voxel is smallest, or all if it is a cube."""
    if mode != "anisotropic":
        return mag * ((2, 2, 2) if mode == "isotropic" else (2, 2, 1))
    sizes = [m * size for m, size in zip(mag, voxel_size, strict=True)]
    x, y, z = (2 if _same(size, min(sizes)) else 1 for size in sizes)
    grown = [size * f for size, f in zip(sizes, (x, y, z), strict=True)]
    # doubling the smallest sides only must not make the voxel less of a cube than doubling all would leave it
    before, after = max(sizes) / min(sizes), max(grown) / min(grown)
    return mag * (2 if before < after and not _same(before, after) else (x, y, z))


def _same(a: float, b: float) -> bool:
    """Whether two sizes are equal but for what rounding leaves after a change of units."""
    return math.isclose(a, b, rel_tol=1e-6)
