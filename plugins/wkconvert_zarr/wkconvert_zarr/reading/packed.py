"""Precomputed volumes as cloud-volume writes them to a disk: each chunk's file is compressed once more, and named so.

Servers tell of such a compression in a header, which tensorstore understands; on a disk only the suffix does.
https://github.com/seung-lab/cloud-volume/wiki/Compression-Choices
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wkconvert_core import Box, BrokenSource, UnsupportedSource, Vec3
from wkconvert_core.toolkit.files import broken, is_file, open_file, reading, walk

from ..arrays import Address, new_context

if TYPE_CHECKING:
    import tensorstore as ts

_GZIP = ".gz"
_CHUNK = re.compile(r"(?:-?\d+--?\d+_){2}-?\d+--?\d+(\.[a-z0-9]+)?|[0-9a-f]+\.shard")


def scale_of(array: ts.TensorStore) -> dict[str, Any]:
    """The metadata of the scale that an array of a precomputed volume is."""
    about: dict[str, Any] = array.spec().to_json()["scale_metadata"]
    return about


def is_packed(address: Address, array: ts.TensorStore) -> bool | None:
    """Whether the chunks of a precomputed volume on this disk are in files of gzip; None if there is no chunk.

    Raises UnsupportedSource for another compression, BrokenSource for files that are no chunks.
    """
    assert isinstance(address.place, Path), "servers say in a header how a file is compressed"
    folder = address.place / scale_of(array)["key"]
    name = next((name for _, _, names in walk(folder) for name in sorted(names) if not name.startswith(".")), None)
    if name is None:
        return None
    match = _CHUNK.fullmatch(name)
    if match is None:
        raise BrokenSource(f"{folder} has files such as {name}, which are no chunks", fix="copy the volume again")
    if match[1] not in (None, _GZIP):
        raise UnsupportedSource(
            f"{folder} has chunks such as {name}",
            why=f"of files that are compressed once more, those with {_GZIP} are read",
            fix="write them again with cloud-volume and compress=None or 'gzip', or read them from a server",
        )
    return match[1] == _GZIP


def unpacked(address: Address, array: ts.TensorStore, box: Box) -> ts.TensorStore:
    """The array with those of its chunks that touch a box, in its own domain, in memory. Raises BrokenSource."""
    import tensorstore as ts

    spec = array.spec().to_json()
    about = {key: spec[key] for key in ("driver", "dtype", "scale_metadata", "multiscale_metadata")}
    shared = new_context()
    own = ts.KvStore.open("memory://", context=shared).result()
    chunk = math.prod(side or 1 for side in array.chunk_layout.read_chunk.shape or ())
    most = 4 * chunk * array.dtype.numpy_dtype.itemsize + 65536
    assert isinstance(address.place, Path), "servers say in a header how a file is compressed"
    for name in _names(array, box):
        file = address.place / spec["scale_metadata"]["key"] / name
        if is_file(file):
            with reading(file), open_file(file) as opened:
                content = opened.read()
        elif is_file(packed := file.with_name(name + _GZIP)):
            content = _inflated(packed, most)
        else:
            continue
        own.write(f"{spec['scale_metadata']['key']}/{name}", content).result()
    return ts.open({**about, "kvstore": "memory://"}, create=True, context=shared).result()


def _names(array: ts.TensorStore, box: Box) -> Iterator[str]:
    """The names of the chunks that touch a box: where they begin and end along x, y, z."""
    x, y, z, _ = array.chunk_layout.read_chunk.shape or array.shape
    chunk, first = Vec3(x or 1, y or 1, z or 1), Vec3(*array.domain.origin[:3])
    whole = Box(first, Vec3(*array.shape[:3]))
    for tile in box.tiles(chunk, origin=first):
        cell = ((tile - first).aligned(chunk) + first).intersection(whole)
        yield "_".join(f"{begin}-{end}" for begin, end in zip(cell.start, cell.stop, strict=True))


def _inflated(file: Path, most: int) -> bytes:
    """The content of a file of gzip, its checksum compared. Raises BrokenSource, also for what is far too large."""
    with reading(file, zlib.error), open_file(file) as opened:
        inflater = zlib.decompressobj(31)
        content = inflater.decompress(opened.read(), most)
    if not inflater.eof:
        why = f"it holds more than {most} bytes" if len(content) == most else "its compressed data end too early"
        raise broken(file, why, cut=len(content) < most)
    return content
