"""Files of HDF5: opening them, their attributes, and whether what an array needs is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from wkconvert_core import DTYPES, SourceNotFound, UnsupportedSource
from wkconvert_core.toolkit.files import broken, is_file, reading

from .detection import first_bytes, is_hdf5
from .heaps import check_heaps

File: TypeAlias = Any
"""An `h5py.File`, as h5py has no types."""
Dataset: TypeAlias = Any
"""An `h5py.Dataset`."""

_FAULTS = (KeyError, IndexError, RuntimeError, ValueError, TypeError, OverflowError, AttributeError)
"""The exceptions that h5py raises for damaged files, beside OSError."""
_OWN = (1, 2, 3, 5, 6, 32000)
"""Filters that HDF5 and h5py have themselves: deflate, shuffle, fletcher32, nbit, scaleoffset, lzf."""


@contextmanager
def opened(path: Path, *, with_filters: bool = False) -> Iterator[File]:
    """Open a file for reading; `with_filters` registers the filters of hdf5plugin before.

    Errors within the block that come of damaged content become BrokenSource. Raises SourceNotFound, BrokenSource.
    """
    import h5py

    if with_filters:
        with suppress(ImportError):  # others have them from HDF5_PLUGIN_PATH
            import hdf5plugin  # noqa: F401 - which registers them
    with reading(path, *_FAULTS), h5py.File(path, "r") as file:
        yield file


def check_is_hdf5(path: Path) -> None:
    """Raise BrokenSource unless a file begins as HDF5 does."""
    if not is_hdf5(first_bytes(path)):
        raise broken(path, "it does not have the signature of HDF5")


def group_of(file: Any, name: str) -> Any:
    """A group of a file, or an empty mapping where there is none of this name, or an array."""
    found = file.get(name)
    return found if hasattr(found, "keys") else {}


def text_of(item: Any, name: str) -> str:
    """An attribute as text, empty if there is none."""
    import h5py

    if name not in item.attrs:
        return ""
    kind = item.attrs.get_id(name).get_type()
    if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
        check_heaps(item)
    return as_text(item.attrs[name])


def as_text(value: Any) -> str:
    """The value of an attribute as text; Imaris stores each letter as an element of its own.

    >>> as_text(np.array([b"u", b"m"])), as_text(b"nm"), as_text(np.array([40, 4]))
    ('um', 'nm', '40 4')
    """
    if isinstance(value, np.ndarray):
        parts = value.ravel().tolist()
        value = b"".join(parts) if value.dtype.kind == "S" else " ".join(map(str, parts))
    return value.decode("utf-8", "replace").strip("\0 ") if isinstance(value, bytes) else str(value).strip("\0 ")


def document_of(text: str) -> Any:
    """The value of a JSON text; None if it is not JSON."""
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return None


def is_numeric(data: Dataset) -> bool:
    """Whether an array holds numbers of a kind that voxels may have."""
    dtype = data.dtype
    return dtype.names is None and (dtype.newbyteorder("=").name in (*DTYPES, "bool", "float16"))


def check_array(path: Path, data: Dataset) -> bool:
    """Whether an array needs filters that HDF5 does not have itself.

    Raises UnsupportedSource for dtypes and filters that cannot be read, SourceNotFound for files that are missing,
    whose voxels HDF5 would give as zeros.
    """
    if not is_numeric(data) or not data.size:
        raise UnsupportedSource(
            f"{data.name} in {path} is no volume of numbers",
            why=f"it holds {data.dtype} of the shape {data.shape}",
            fix=f"voxels are {', '.join(DTYPES)}, float16 or bool",
        )
    if data.external:
        raise UnsupportedSource(
            f"the values of {data.name} in {path} lie in other files: {data.external[0][0]}",
            why="HDF5 gives zeros where such a file is too short",
            fix="write them into one file, such as with h5repack",
        )
    for part in data.virtual_sources() if data.is_virtual else ():
        _check_part(path, data, part)
    needed = _filters(data)
    if missing := {code: name for code, name in needed.items() if not _is_available(code)}:
        raise UnsupportedSource(
            f"{data.name} in {path} is compressed by {', '.join(f'{name} ({code})' for code, name in missing.items())}",
            why="HDF5 has no such filter itself, and hdf5plugin is not installed or lacks it, too",
            fix="pip install hdf5plugin",
        )
    return bool(needed)


def _check_part(path: Path, data: Dataset, part: Any) -> None:
    """Raise SourceNotFound unless a part of a virtual array is there."""
    places = (
        [path] if part.file_name == "." else [path.parent / part.file_name, path.parent / Path(part.file_name).name]
    )
    place = next(filter(is_file, places), None)
    if place is not None:
        with opened(place) as file:
            if part.dset_name in file:
                return
    raise SourceNotFound(
        f"{part.dset_name} in {places[0]} does not exist",
        why=f"{data.name} in {path} is put together from it and others, and HDF5 gives zeros where one is missing",
        fix="put the files into one folder",
    )


def _filters(data: Dataset) -> dict[int, str]:
    """The names of an array's filters, by their numbers, that neither HDF5 nor h5py has itself."""
    made = data.id.get_create_plist()
    filters = [made.get_filter(number) for number in range(made.get_nfilters())]
    return {
        code: name.decode("utf-8", "replace") or "a filter"
        for code, _, _, name in filters
        if code not in _OWN or not _is_available(code)
    }


def _is_available(code: int) -> bool:
    """Whether HDF5 has a filter, perhaps by hdf5plugin."""
    import h5py

    with suppress(ImportError):
        import hdf5plugin  # noqa: F401 - which registers its filters
    return bool(h5py.h5z.filter_avail(code))
