"""The files of an array's chunks in a folder: their names, and that what lies in their place is a file.

tensorstore takes a folder or a link that leads nowhere for a chunk that is not stored, and waits for pipes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wkconvert_core.toolkit.files import is_stored, listed

from .arrays import Address, Driver

if TYPE_CHECKING:
    import tensorstore as ts


def naming(driver: Driver, about: Mapping[str, Any]) -> tuple[str, str]:
    """The beginning of chunks' names, and the separator of their indices, as an array's description tells them.

    >>> naming("zarr3", {"chunk_key_encoding": {"name": "default"}}), naming("zarr", {}), naming("n5", {})
    (('c/', '/'), ('', '.'), ('', '/'))
    """
    if driver != "zarr3":
        return "", "/" if driver == "n5" else about.get("dimension_separator", ".")
    encoding = about["chunk_key_encoding"]
    is_default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if is_default else ".")
    return f"c{separator}" if is_default else "", separator


def look_at_chunks(address: Address, array: ts.TensorStore, index: Sequence[slice | int]) -> None:
    """Raise BrokenSource where one of the chunks that a part of an array touches is no file, but something is there.

    The part is given along the array's axes, in its own domain. Nothing is asked of zip files and servers.
    """
    if isinstance(address.place, str) or address.inner is not None:
        return
    sound: set[str] = set()  # folders, there or not, of which the chunks that are missing are just missing
    for name in names(address.driver, array, index):
        path = f"{address.place}/{name}"
        try:
            if stat.S_ISREG(os.lstat(path).st_mode):  # there may be a million: one call for each
                continue
        except FileNotFoundError:
            folder = path.rpartition("/")[0]
            if folder in sound:
                continue
            sound.add(folder)
        except OSError:
            pass  # it is raised again, in words
        is_stored(path)


def names(driver: Driver, array: ts.TensorStore, index: Sequence[slice | int]) -> Iterator[str]:
    """The files of the chunks that a part of an array touches, below the array's folder; none of sharded volumes."""
    spec = array.spec().to_json()
    sides = array.chunk_layout.write_chunk.shape or array.shape
    chunks = [side or whole for side, whole in zip(sides, array.shape, strict=True)]
    cells = []
    for part, first, side in zip(index, array.domain.origin, chunks, strict=True):
        start, stop = (part.start, part.stop) if isinstance(part, slice) else (part, part + 1)
        cells.append(range((start - first) // side, -((first - stop) // side)))
    if driver != "neuroglancer_precomputed":
        prefix, separator = naming(driver, spec["metadata"])
        yield from (prefix + separator.join(map(str, cell)) for cell in product(*cells))
    elif not spec["scale_metadata"].get("sharding"):
        key, ends = spec["scale_metadata"]["key"], array.domain.exclusive_max
        spans = [
            [f"{first + cell * side}-{min(first + (cell + 1) * side, end)}" for cell in numbers]
            for numbers, first, side, end in zip(cells[:3], array.domain.origin, chunks, ends, strict=False)
        ]
        yield from (f"{key}/{'_'.join(each)}" for each in product(*spans))


def look_at_shards(folder: Path) -> None:
    """Raise BrokenSource where a shard of a scale of a precomputed volume is no file, but something is there.

    Which shard has a chunk, only a hash tells; there are few.
    """
    for path in listed(folder, "*.shard"):
        is_stored(path)
