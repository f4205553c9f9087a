"""Precomputed volumes as cloud-volume writes them to a disk: each chunk's file is compressed once more, and named so.

Servers tell of such a compression in a header, which tensorstore understands; on a disk only the suffix does.
https://github.com/seung-lab/cloud-volume/wiki/Compression-Choices
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wkconvert_core import BrokenSource, UnsupportedSource
from wkconvert_core.toolkit.files import broken, is_stored, open_file, reading, walk

from ..arrays import Address, new_context
from ..chunk_files import look_at_shards, names

if TYPE_CHECKING:
    import tensorstore as ts

_GZIP = ".gz"
_CHUNK = re.compile(r"(?:-?\d+--?\d+_){2}-?\d+--?\d+(\.[a-z0-9]+)?|[0-9a-f]+\.shard")


def is_packed(address: Address, array: ts.TensorStore) -> bool | None:
    """Whether the chunks of a precomputed volume on this disk are in files of gzip; None if there is no chunk.

    Raises UnsupportedSource for another compression, BrokenSource for files that are no chunks.
    """
    assert isinstance(address.place, Path), "servers say in a header how a file is compressed"
    about = array.spec().to_json()["scale_metadata"]
    folder = address.place / about["key"]
    if about.get("sharding"):
        look_at_shards(folder)
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


def unpacked(address: Address, array: ts.TensorStore, index: Sequence[slice | int]) -> ts.TensorStore:
    """The array with those of its chunks in memory that a part, in its own domain, touches. Raises BrokenSource."""
    import tensorstore as ts

    spec = array.spec().to_json()
    about = {key: spec[key] for key in ("driver", "dtype", "scale_metadata", "multiscale_metadata")}
    shared = new_context()
    own = ts.KvStore.open("memory://", context=shared).result()
    chunk = math.prod(side or 1 for side in array.chunk_layout.read_chunk.shape or ())
    most = 4 * chunk * array.dtype.numpy_dtype.itemsize + 65536
    assert isinstance(address.place, Path), "servers say in a header how a file is compressed"
    for name in names(address.driver, array, index):
        file = address.place / name
        if is_stored(file):
            with reading(file), open_file(file) as opened:
                content = opened.read()
        elif is_stored(packed := file.with_name(file.name + _GZIP)):
            content = _inflated(packed, most)
        else:
            continue
        own.write(name, content).result()
    return ts.open({**about, "kvstore": "memory://"}, create=True, context=shared).result()


def _inflated(file: Path, most: int) -> bytes:
    """The content of a file of gzip, its checksum compared. Raises BrokenSource, also for what is far too large."""
    with reading(file, zlib.error), open_file(file) as opened:
        inflater = zlib.decompressobj(31)
        content = inflater.decompress(opened.read(), most)
    if not inflater.eof:
        why = f"it holds more than {most} bytes" if len(content) == most else "its compressed data end too early"
        raise broken(file, why, cut=len(content) < most)
    return content
