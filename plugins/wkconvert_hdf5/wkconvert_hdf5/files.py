"""Files of HDF5: opening them, their attributes, and whether what an array needs is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from wkconvert_core import DTYPES, SourceNotFound, UnsupportedSource
from wkconvert_core.toolkit.files import broken, is_file, reading
from wkconvert_core.toolkit.volumes.inflated import bytes_of

from .detection import is_hdf5
from .heaps import check_heaps

File: TypeAlias = Any
"""An `h5py.File`, as h5py has no types."""
Dataset: TypeAlias = Any
"""An `h5py.Dataset`."""

_FAULTS = (KeyError, IndexError, RuntimeError, ValueError, TypeError, OverflowError, AttributeError)
"""The exceptions that h5py raises for damaged files, beside OSError."""


@contextmanager
def opened(path: Path) -> Iterator[File]:
    """Open a file for reading. Errors within the block that come of damaged content become BrokenSource.

    Raises SourceNotFound, BrokenSource.
    """
    import h5py

    with suppress(ImportError):  # others have its filters from HDF5_PLUGIN_PATH
        import hdf5plugin  # noqa: F401 - which registers its filters
    with reading(path, *_FAULTS), h5py.File(path, "r") as file:
        yield file


def check_is_hdf5(path: Path) -> None:
    """Raise BrokenSource unless a file begins as HDF5 does."""
    if not is_hdf5(bytes_of(path, 4096)):
        raise broken(path, "it does not have the signature of HDF5")


def group_of(file: Any, name: str) -> Any:
    """A group of a file, or an empty mapping where there is none of this name, or an array."""
    found = file.get(name)
    return found if hasattr(found, "keys") else {}


def numbers(group: Any, pattern: str) -> list[int]:
    """The numbers in the names of a group's members that match a pattern, in order; its first part in brackets counts.

    >>> numbers(["t00001", "t00000", "s00"], r"t([0-9]{5,9})")
    [0, 1]
    """
    return sorted(int(found[1]) for found in map(re.compile(pattern).fullmatch, group) if found)


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


def check_array(path: Path, data: Dataset) -> None:
    """Check that all is there that an array's voxels need.

    Raises UnsupportedSource for dtypes and filters that cannot be read, SourceNotFound for files that are missing,
    whose voxels HDF5 would give as zeros.
    """
    import h5py

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
        names = ["."] if part.file_name == "." else [part.file_name, Path(part.file_name).name]
        places = [path if name == "." else path.parent / name for name in names]
        if not _holds(next(filter(is_file, places), None), part.dset_name):
            raise SourceNotFound(
                f"{part.dset_name} in {places[0]} does not exist",
                why=f"{data.name} in {path} is put together from it and others: HDF5 gives zeros where one is missing",
                fix="put the files into one folder",
            )
    made = data.id.get_create_plist()
    filters = [made.get_filter(number) for number in range(made.get_nfilters())]
    missing = [
        f"{name.decode('utf-8', 'replace') or 'a filter'} ({code})"
        for code, _, _, name in filters
        if not h5py.h5z.filter_avail(code)
    ]
    if missing:
        raise UnsupportedSource(
            f"{data.name} in {path} is compressed by {', '.join(missing)}",
            why="HDF5 has no such filter itself, and hdf5plugin is not installed or lacks it, too",
            fix="pip install hdf5plugin",
        )


def _holds(path: Path | None, name: str) -> bool:
    """Whether there is a file, and an array in it."""
    if path is None:
        return False
    with opened(path) as file:
        return name in file
