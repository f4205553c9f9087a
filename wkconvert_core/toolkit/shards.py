"""Files of shards: their checksums, how large they should be, and which of many numbered ones are there.

CRC-32, as in zip and gzip, is computed by ISA-L where there is a wheel of it: four times as fast as zlib's, and equal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from wkconvert_core.contract.geometry import Box

with suppress(ImportError):
    from isal.isal_zlib import crc32

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType

__all__ = ["crc32", "numbered", "shard_side"]

_BLOCK = 32
"""Voxels along the side of what WEBKNOSSOS reads at once."""
_LARGE_SHARD = 128 << 20
_SMALL_SHARD = 2 << 20
_ENOUGH_SHARDS = 256


def shard_side(box: Box, dtype: DType, channels: int) -> int:
    """Voxels along a shard's side for a mag of this extent: few files, yet enough of them for all workers.

    A mag of at most 32 voxels a side is one shard of 32 voxels. For others, a shard's side begins at 64 voxels and
    doubles while it is shorter than the extent and than twice the thinnest axis (empty blocks take space, too), the
    shard is at most 128 MiB uncompressed, and either 256 shards remain or it has less than 2 MiB, so that a file costs
    more than its voxels.

    >>> import numpy as np
    >>> [shard_side(Box((0, 0, 0), (n, n, n)), np.dtype("uint8"), 1) for n in (32, 100, 1000, 4000)]
    [32, 128, 128, 512]
    >>> shard_side(Box((0, 0, 0), (4000, 4000, 60)), np.dtype("uint8"), 1)  # thin
    128
    """
    longest, thinnest = max(box.shape), max(min(box.shape), 2 * _BLOCK)
    if longest <= _BLOCK:
        return _BLOCK
    side = 2 * _BLOCK
    while side < min(longest, 2 * thinnest) and 2 * side <= 32 * _BLOCK:
        raw = side**3 * channels * dtype.itemsize
        many = box.count_tiles((2 * side,) * 3) >= _ENOUGH_SHARDS
        if 8 * raw > _LARGE_SHARD or not (many or raw < _SMALL_SHARD):
            break
        side *= 2
    return side


_FEW = 16
"""Names to look up one by one; beyond that, listing the folder is cheaper."""


def numbered(folder: str, name: str, numbers: range) -> Iterator[str]:
    """Existing entries of a folder whose names, such as `x{}.wkw`, have one of these numbers; also lost links.

    Raises OSError where access fails, and for a folder that is a link which leads nowhere.

    >>> list(numbered("nowhere", "x{}.wkw", range(40)))
    []
    """
    before, after = name.split("{}")
    is_empty = True
    for number in numbers[:_FEW]:
        with suppress(FileNotFoundError):
            os.lstat(path := f"{folder}/{before}{number}{after}")  # planning asks this for each shard: no Path is made
            is_empty = False
            yield path
    if len(numbers) > _FEW:
        rest = numbers[_FEW:]
        with suppress(FileNotFoundError):
            found = [each.removeprefix(before).removesuffix(after) for each in os.listdir(folder)]  # noqa: PTH208
            known = sorted(int(each) for each in found if each.isascii() and each.isdigit())
            yield from (f"{folder}/{before}{number}{after}" for number in known if number in rest)
            return
    if is_empty and (place := Path(folder)).is_symlink():
        place.stat()  # raises
