"""Arrays that tensorstore opens: by driver and place, lazily, with bounded memory and threads, and errors of wkconvert.

Sources and sinks keep an `Address`, which is small and a value; each thread opens it for itself when it reads.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from wkconvert_core import BrokenSource, SourceNotFound

if TYPE_CHECKING:
    import tensorstore as ts

Driver: TypeAlias = Literal["zarr", "zarr3", "n5", "neuroglancer_precomputed"]
"""As tensorstore names them: `zarr` is Zarr 2."""

_OPEN = 64
"""Arrays that a thread keeps open: their metadata, no file."""
_REQUESTS = 8
"""Requests at a time that a thread sends to a server: it waits for them, and they cost no processor."""


@dataclass(frozen=True)
class Address:
    """Where an array lies, and by which driver it is read."""

    driver: Driver
    place: Path | str
    """A folder, or a URL: `http`, `https`, `s3` or `gs`."""

    @property
    def kvstore(self) -> dict[str, Any] | str:
        """The place as tensorstore takes it."""
        if isinstance(self.place, str):
            return self.place.rstrip("/") + "/"
        return {"driver": "file", "path": f"{self.place.absolute()}/"}

    def open(self) -> ts.TensorStore:
        """The array, opened once for each thread; only metadata are read. Raises SourceNotFound, BrokenSource."""
        cached = getattr(_thread, "opened", None)
        if cached is None:
            cached = _thread.opened = functools.lru_cache(_OPEN)(_open)
        array: ts.TensorStore = cached(self)
        return array


def context() -> ts.Context:
    """The threads and memory of tensorstore for the calling thread: one thread that works, and no chunk that is kept.

    So jobs that read or write at once take as many processors as there are jobs, and no memory beside what they hold.
    """
    if (own := getattr(_thread, "context", None)) is None:
        import tensorstore as ts

        own = _thread.context = ts.Context(
            {
                "cache_pool": {"total_bytes_limit": 0},
                "data_copy_concurrency": {"limit": 1},
                "file_io_concurrency": {"limit": 1},
                "http_request_concurrency": {"limit": _REQUESTS},
                "s3_request_concurrency": {"limit": _REQUESTS},
                "gcs_request_concurrency": {"limit": _REQUESTS},
            }
        )
    found: ts.Context = own
    return found


_thread = threading.local()


def _open(address: Address) -> ts.TensorStore:
    import tensorstore as ts

    with reading(address.place):
        spec = {"driver": address.driver, "kvstore": address.kvstore}
        return ts.open(spec, open=True, read=True, write=False, context=context()).result()


@contextmanager
def reading(place: Path | str) -> Iterator[None]:
    """Turn what tensorstore raises for an array into BrokenSource and SourceNotFound, which name it."""
    try:
        yield
    except (ValueError, OSError) as error:
        why = shown(error)
        if why.startswith("NOT_FOUND"):
            raise SourceNotFound(f"{place} holds no such array", why=why) from error
        raise BrokenSource(f"{place} cannot be read", why=why) from error


def shown(error: Exception) -> str:
    """The text of an error of tensorstore, without the specification of the array, which says nothing to users."""
    return str(error).split(" [tensorstore_spec=")[0].split(" [source locations=")[0]
