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
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lz4.block
import numpy as np
import tifffile

from wkconvert_core.kernels.mode import mode
from wkconvert_core.kernels.reductions import median

BLOCK = 32
SLAB = 256
"""Slices at a time: memory for more costs more than the work on them."""


def main() -> None:
    """Print the seconds of each part as JSON."""
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    how: dict[str, Any] = {"mode": "high_compression", "compression": 9} if "lz4hc" in sys.argv else {"mode": "default"}
    paths, seconds = sorted(source.iterdir()), Counter[str]()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for at in range(0, len(paths), SLAB):
            _add_slab(paths[at : at + SLAB], out, how, threads, seconds)
    print(json.dumps(seconds))  # noqa: T201


def _add_slab(
    paths: list[Path], out: Path, how: dict[str, Any], threads: ThreadPoolExecutor, seconds: Counter[str]
) -> None:
    """Do each part of the work on some slices, and add its seconds."""

    def timed(part: str, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        began = time.perf_counter()
        done = list(threads.map(work, items))
        seconds[part] += time.perf_counter() - began  # type: ignore[assignment]  # a counter adds floats, too
        return done

    mags = [np.stack(timed("decode", tifffile.imread, paths))]
    while max(mags[-1].shape[1:]) > 100 * 2:
        finer = mags[-1]
        rows = range(0, finer.shape[1], 256)
        mags.append(np.concatenate(timed("kernels", lambda y, of=finer: _halved(of[:, y : y + 256]), rows), axis=1))
    cubes = [
        mag[z : z + BLOCK, y : y + BLOCK, x : x + BLOCK]
        for mag in mags
        for z in range(0, mag.shape[0], BLOCK)
        for y in range(0, mag.shape[1], BLOCK)
        for x in range(0, mag.shape[2], BLOCK)
    ]
    groups = [cubes[at : at + 64] for at in range(0, len(cubes), 64)]

    def encoded(group: list[np.ndarray]) -> bytes:
        return b"".join(lz4.block.compress(_padded_block(cube), store_size=False, **how) for cube in group)

    packed = timed("encode", encoded, groups)
    with out.open("wb") as stream:
        began = time.perf_counter()
        stream.writelines(packed)
        stream.flush()
        os.fsync(stream.fileno())
        seconds["write"] += time.perf_counter() - began  # type: ignore[assignment]
    out.unlink()


def _padded_block(cube: np.ndarray) -> bytes:
    """The bytes of a block, which at the edges of the volume is padded with zeros."""
    if cube.shape == (BLOCK,) * 3:
        return np.ascontiguousarray(cube).data
    padded = np.zeros((BLOCK,) * 3, cube.dtype)
    padded[tuple(map(slice, cube.shape))] = cube
    return padded.data


def _halved(volume: np.ndarray) -> np.ndarray:
    """Half as wide and high, by the kernel that `auto` takes: it is the fastest that is known."""
    even = volume[:, : volume.shape[1] // 2 * 2, : volume.shape[2] // 2 * 2]
    kernel = mode if volume.itemsize > 2 else median
    return kernel(even.T[np.newaxis], (2, 2, 1))[0].T


if __name__ == "__main__":
    main()
