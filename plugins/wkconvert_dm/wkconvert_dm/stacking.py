"""Whether the slices of a folder fit together, from their headers alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from wkconvert_core import InconsistentStack, UnsupportedSource, VoxelSize
from wkconvert_core.toolkit.stacks import some

from .calibration import voxel_size
from .kinds import KINDS
from .messages import times
from .voxels import Voxels


def _odd(slices: Sequence[Voxels], key: Callable[[Voxels], Hashable]) -> tuple[Any, list[Voxels]]:
    """What most slices have, and those that have something else."""
    usual = Counter(map(key, slices)).most_common(1)[0][0]
    return usual, [one for one in slices if key(one) != usual]


def _listed(slices: Sequence[Voxels]) -> str:
    return some([f"{os.path.basename(one.path)} ({one.image})" for one in slices])  # noqa: PTH119 - paths are strings here


def check_flat(folder: str, slices: Sequence[Voxels]) -> None:
    """Raise UnsupportedSource for files that are stacks themselves."""
    if deep := [one for one in slices if one.shape[2] > 1]:
        raise UnsupportedSource(
            f"files in {folder} hold several slices each: {_listed(deep)}",
            why="a folder of files is a stack of one slice a file",
            fix="convert each by itself, or give each a folder of its own to make it a layer",
        )


def check_channels(folder: str, slices: Sequence[Voxels]) -> None:
    """Raise InconsistentStack where grey and colour are mixed."""
    _, odd = _odd(slices, lambda one: KINDS[one.image.kind].channels)
    if odd:
        raise InconsistentStack(
            f"slices in {folder} differ in their channels: {_listed(odd)}",
            why="grey and coloured slices do not make a stack",
            fix="save them alike, all grey or all in colour",
        )


def common_size(folder: str, slices: Sequence[Voxels], *, pad: bool) -> tuple[int, int]:
    """Along x and y; the largest of each with `pad`."""
    usual, odd = _odd(slices, lambda one: one.shape)
    if odd and not pad:
        raise InconsistentStack(
            f"the slices of {folder} differ in size: {_listed(odd)}",
            why=f"{len(slices) - len(odd)} of {len(slices)} have {times(usual[:2])} pixels",
            fix="say --pad to fill up with zeros",
        )
    return max(one.shape[0] for one in slices), max(one.shape[1] for one in slices)


def common_dtype(folder: str, slices: Sequence[Voxels], *, mix: bool) -> np.dtype[Any]:
    """The dtype of all slices; with `mix`, the smallest that holds all of theirs exactly."""
    usual, odd = _odd(slices, lambda one: KINDS[one.image.kind].dtype)
    if odd and not mix:
        raise InconsistentStack(
            f"the slices of {folder} differ in dtype: {_listed(odd)}",
            why=f"{len(slices) - len(odd)} of {len(slices)} hold {usual}",
            fix="say --dtype for a common one",
        )
    dtypes = {np.dtype(KINDS[one.image.kind].dtype) for one in slices}
    if len(dtypes) > 1 and np.dtype(bool) in dtypes:
        raise UnsupportedSource(
            f"the slices of {folder} have no common dtype",
            why=f"what a bool is worth as a number is not to be known, and they hold {some(sorted(map(str, dtypes)))}",
            fix="save them with one data type",
        )
    return np.result_type(*dtypes)


def first_voxel_size(slices: Sequence[Voxels]) -> tuple[VoxelSize | None, list[str]]:
    """The voxel size of the first file, with a note where others say something else."""
    sizes = [voxel_size(one.image) for one in slices]
    first, doubts = sizes[0]
    others = [size for size, _ in sizes if size != first]
    if not others:
        return first, list(doubts)
    note = f"{len(others)} of {len(sizes)} files give another voxel size ({others[0] or 'none'}); the first counts"
    return first, [*doubts, note]
