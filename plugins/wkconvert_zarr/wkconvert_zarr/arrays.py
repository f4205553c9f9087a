"""Arrays that tensorstore opens: by driver and place, lazily, with bounded memory and threads, and errors of wkconvert.

Sources and sinks keep an `Address`, which is small and a value; each thread opens it for itself when it reads.
"""

from __future__ import annotations

import functools
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from wkconvert_core import BrokenSource, SourceError, SourceNotFound

from .places import DIRECTORIES, kvstore_of

if TYPE_CHECKING:
    import tensorstore as ts

Driver: TypeAlias = Literal["zarr", "zarr3", "n5", "neuroglancer_precomputed"]
"""As tensorstore names them: `zarr` is Zarr 2."""

T = TypeVar("T")

DESCRIPTIONS: dict[Driver, str] = {"zarr3": "zarr.json", "zarr": ".zarray"}
"""The file that describes an array of Zarr, by driver."""

_OPEN = 64
"""Arrays that a thread keeps open: their metadata, no file."""
_REQUESTS = 8
"""Requests at a time that a thread sends to a server: it waits for them, and they cost no processor."""
_RETRIES = {"max_retries": 6, "initial_delay": "0.5s", "max_delay": "8s"}
"""Of a request that a server does not answer, or with an error that may pass: for about half a minute in all."""
_SILENCE = 30
"""Seconds without a byte after which a request to a server has failed."""
_DIRECTORY_BYTES = 64 << 20
"""Most bytes that a thread keeps of directories of zip files, which would be read again for each box."""


@dataclass(frozen=True)
class Address:
    """Where an array lies, and by which driver it is read."""

    driver: Driver
    place: Path | str
    """A folder, or a URL: `http`, `https`, `s3` or `gs`. Where `inner` is not None, a zip file."""
    inner: str | None = None
    """The folder of the array within a zip file, empty at its top; None for what lies in no zip file."""
    scale: int = 0
    """The number of its scale in the file `info` of neuroglancer's precomputed volumes."""
    separator: str = ""
    """Between the indices of a chunk in the names of files of Zarr 2 whose metadata do not tell; else empty."""
    metadata: str = ""
    """The array's metadata as JSON, if they are known: opening reads nothing then."""

    @property
    def kvstore(self) -> dict[str, Any]:
        """The place as tensorstore takes it. Raises OptionError for a URL of another kind."""
        return kvstore_of(self.place, self.inner)

    def open(self) -> ts.TensorStore:
        """The array, opened once for each thread; only metadata are read. Raises SourceNotFound, BrokenSource."""
        if (array := _kept().get(self)) is None:
            with reading(self.place):
                array = _opening(self).result()
            _keep(self, array)
        return array


def context() -> ts.Context:
    """The threads and memory of tensorstore for the calling thread: one thread that works, and no chunk that is kept.

    So jobs that read or write at once take as many processors as there are jobs, and no memory beside what they hold.
    """
    if (own := getattr(_thread, "context", None)) is None:
        own = _thread.context = new_context()
    found: ts.Context = own
    return found


def new_context() -> ts.Context:
    """The same, not shared with anybody, so that what is kept in memory is the caller's own."""
    # a server that goes silent would be waited for without end; tensorstore looks here when it is imported
    os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS", str(_SILENCE))
    os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES", "1")
    import tensorstore as ts

    requests: dict[str, dict[str, Any]] = {
        f"{name}_request_concurrency": {"limit": _REQUESTS} for name in ("http", "s3", "gcs")
    }
    requests |= {f"{name}_request_retries": _RETRIES for name in ("http", "s3", "gcs")}
    work = {"data_copy_concurrency": {"limit": 1}, "file_io_concurrency": {"limit": 1}}
    files = {"file_io_locking": {"mode": "none"}, "file_io_sync": False}  # no two write one shard; core syncs
    memory = {"cache_pool": {"total_bytes_limit": 0}, DIRECTORIES: {"total_bytes_limit": _DIRECTORY_BYTES}}
    return ts.Context({**memory, **work, **files, **requests})


_thread = threading.local()


def _kept() -> dict[Address, ts.TensorStore]:
    """The arrays that the calling thread has opened, the newest last."""
    if (kept := getattr(_thread, "opened", None)) is None:
        kept = _thread.opened = {}
    found: dict[Address, ts.TensorStore] = kept
    return found


def _keep(address: Address, array: ts.TensorStore) -> None:
    kept = _kept()
    kept.pop(address, None)
    kept[address] = array
    for oldest in list(kept)[:-_OPEN]:
        del kept[oldest]


def _opening(address: Address) -> ts.Future[ts.TensorStore]:
    shared = context()
    import tensorstore as ts

    spec: dict[str, Any] = {"driver": address.driver, "kvstore": address.kvstore}
    if address.driver == "neuroglancer_precomputed":
        spec["scale_index"] = address.scale
    if address.separator:
        spec["metadata"] = {"dimension_separator": address.separator}
    known = bool(address.metadata)
    if known:
        spec["metadata"] = json.loads(address.metadata)
    return ts.open(spec, open=True, assume_metadata=known, read=True, write=False, context=shared)


def opened(addresses: Sequence[Address]) -> list[ts.TensorStore | SourceError]:
    """Arrays at several places, opened anew, at once as a server takes time to answer; the error of each that fails.

    The thread keeps those on servers: who reads them next does not ask for their metadata again.
    """
    begun = [_or_error(address, functools.partial(_opening, address)) for address in addresses]
    found = [
        future if isinstance(future, SourceError) else _or_error(address, future.result)
        for address, future in zip(addresses, begun, strict=True)
    ]
    for address, array in zip(addresses, found, strict=True):
        if isinstance(address.place, str) and not isinstance(array, SourceError):
            _keep(address, array)
    return found


def _or_error(address: Address, call: Callable[[], T]) -> T | SourceError:
    try:
        with reading(address.place):
            return call()
    except SourceError as error:
        return error


def opened_in_memory(driver: Driver, metadata: str) -> ts.TensorStore:
    """An empty array with these metadata, to be asked what they say. Raises ValueError if they describe none."""
    return _assumed(driver, {"driver": "memory"}, metadata)


def opened_to_write(driver: Driver, folder: Path, metadata: str) -> ts.TensorStore:
    """An array with these metadata whose chunks are written into a folder; the metadata themselves are not."""
    return _assumed(driver, Address(driver, folder).kvstore, metadata)


def _assumed(driver: Driver, kvstore: dict[str, Any], metadata: str) -> ts.TensorStore:
    shared = context()
    import tensorstore as ts

    spec = {"driver": driver, "kvstore": kvstore, "metadata": json.loads(metadata)}
    return ts.open(spec, open=True, assume_metadata=True, context=shared).result()


# --- errors ----------------------------------------------------------------------------------------------------------


@contextmanager
def reading(place: Path | str) -> Iterator[None]:
    """Turn what tensorstore raises for an array into BrokenSource and SourceNotFound, which name it."""
    try:
        yield
    except SourceError:
        raise
    except (ValueError, OSError, NotImplementedError, OverflowError) as error:
        raise refusal(place, error) from error


def refusal(place: Path | str, error: Exception) -> SourceError:
    """The error of wkconvert for one of tensorstore, by the code that its text begins with."""
    place, why = without_keys(place) if isinstance(place, str) else place, shown(error)
    code, found, text = why.partition(": ")
    if not found or not re.fullmatch("[A-Z_]+", code):
        code, text = "", why
    if code == "NOT_FOUND":
        return SourceNotFound(f"{place} holds no such array", why=text)
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        fix = "check that it exists and may be read"
        if isinstance(place, str):
            fix += "; give the credentials as the cloud's own tools take them: AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            fix += "AWS_SECRET_ACCESS_KEY for s3, GOOGLE_APPLICATION_CREDENTIALS for gs"
        return BrokenSource(f"{place} may not be read", why=text, fix=fix)
    if code in ("ABORTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"):
        fix = "check the address and the network, then repeat the command: it goes on from what is finished"
        return BrokenSource(f"{place} cannot be reached", why=text, fix=fix)
    return BrokenSource(f"{place} cannot be read", why=text, fix="write or copy it again, then repeat this")


@contextmanager
def system_errors() -> Iterator[None]:
    """Turn what tensorstore says of the file system into OSErrors with their number; other errors pass."""
    try:
        yield
    except ValueError as error:
        if match := re.search(r"os_error_code='(\d+)'", str(error)):
            raise OSError(int(match[1]), os.strerror(int(match[1]))) from error
        raise


def shown(error: Exception) -> str:
    """The text of an error of tensorstore, without what it attaches in brackets and what says nothing to users.

    >>> shown(ValueError("ABORTED: Error reading https://example.org/a?key=secret: gone [tensorstore_spec='{}']"))
    'ABORTED: Error reading https://example.org/a: gone'
    """
    text = re.sub(r" \[(?!HTTP )[\w.\- ]+='.*", "", str(error), flags=re.DOTALL)
    return without_keys(text)


def without_keys(text: str) -> str:
    """A text without the queries of URLs in it, which may hold keys."""
    return re.sub(r"(https?://[^\s?]+)\?[^\s:]*", r"\1", text)
