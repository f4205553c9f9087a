"""The machine's limit for the same work: each part alone, on all cores, in a process of its own.

    python -m benchmarks.limit STACK OUT [lz4hc]

Decodes every slice and forgets it; encodes every cube of a volume that is in memory; makes each coarser mag of it;
writes as many bytes as came out and syncs them. The parts are added up: they are what every converter has to do.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lz4.block
import numpy as np
import tifffile

BLOCK = 32


def main() -> None:
    """Print the seconds of each part as JSON."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    how: dict[str, Any] = {"mode": "high_compression", "compression": 9} if "lz4hc" in sys.argv else {"mode": "default"}
    paths = sorted(source.iterdir())
    with ThreadPoolExecutor(os.cpu_count()) as threads:

        def timed(work: Callable[[Any], Any], items: Iterable[Any]) -> tuple[float, list[Any]]:
            began = time.perf_counter()
            done = list(threads.map(work, items))
            return time.perf_counter() - began, done

        decode, pages = timed(tifffile.imread, paths)
        volume = np.stack(pages)
        mags, kernels = [volume], 0.0
        while max(mags[-1].shape[1:]) > 100 * 2:
            finer = mags[-1]
            rows = range(0, finer.shape[1], 256)
            seconds, parts = timed(lambda y, finer=finer: _halved(finer[:, y : y + 256]), rows)
            kernels += seconds
            mags.append(np.concatenate(parts, axis=1))
        cubes = [
            mag[z : z + BLOCK, y : y + BLOCK, x : x + BLOCK]
            for mag in mags
            for z in range(0, mag.shape[0], BLOCK)
            for y in range(0, mag.shape[1], BLOCK)
            for x in range(0, mag.shape[2], BLOCK)
        ]
        groups = [cubes[at : at + 64] for at in range(0, len(cubes), 64)]
        encode, packed = timed(
            lambda group: b"".join(lz4.block.compress(_padded_block(c), store_size=False, **how) for c in group), groups
        )
        began = time.perf_counter()
        with out.open("wb") as stream:
            for piece in packed:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        write = time.perf_counter() - began
    out.unlink()
    print(json.dumps({"decode": decode, "kernels": kernels, "encode": encode, "write": write}))  # noqa: T201


def _padded_block(cube: np.ndarray) -> bytes:
    """The bytes of a block, which at the edges of the volume is padded with zeros."""
    if cube.shape == (BLOCK,) * 3:
        return np.ascontiguousarray(cube).data
    padded = np.zeros((BLOCK,) * 3, cube.dtype)
    padded[tuple(map(slice, cube.shape))] = cube
    return padded.data


def _halved(volume: np.ndarray) -> np.ndarray:
    """Half as wide and high: the median of two by two, or one voxel of them for ids."""
    even = volume[:, : volume.shape[1] // 2 * 2, : volume.shape[2] // 2 * 2]
    if volume.itemsize > 2:
        return np.ascontiguousarray(even[:, ::2, ::2])
    corners = np.stack([even[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]).astype(np.uint16)
    low, high = corners.min(0), corners.max(0)
    return ((corners.sum(0, dtype=np.uint16) - low - high) >> 1).astype(volume.dtype)


if __name__ == "__main__":
    main()
