"""Datasets, and every source that a reader opens, as arrays that read what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wkconvert_core.contract.geometry import Box, Mag
from wkconvert_core.contract.model import Category, Source
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.settings import Settings, location
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.byte_sizes import size_text

if TYPE_CHECKING:
    from types import EllipsisType

    from wkconvert_core.contract.model import Array, DType

    Index = int | np.integer[Any] | slice | EllipsisType


@dataclass(frozen=True)
class MagArray:
    """One mag of a layer: an array `[x, y, z]`, or `[c, x, y, z]` if it has several channels, counted from 0.

    Indexing with integers, slices and `...` reads the box that is asked for, and no more.

    >>> row = MagArray(in_memory(range(10)), Mag(1, 1, 1), "em")
    >>> row.shape, row[2:5, 0, 0].tolist(), row[::-4, 0, 0].tolist(), int(row[-1, 0, 0])
    ((10, 1, 1), [2, 3, 4], [9, 5, 1], 9)
    """

    source: Source
    mag: Mag
    name: str
    """The layer's."""

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the axes: `("x", "y", "z")`, with several channels `("c", "x", "y", "z")`."""
        return ("c", "x", "y", "z")[self.source.info.channels == 1 :]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along `dims`."""
        info = self.source.info
        return (info.channels, *info.shape)[-len(self.dims) :]

    @property
    def chunks(self) -> tuple[int, ...]:
        """The box along `dims` that is decoded at once; cubes of 64 voxels where any box costs what it holds."""
        info = self.source.info
        return tuple(map(min, (info.channels, *(info.chunk_shape or (64, 64, 64)))[-len(self.dims) :], self.shape))

    @property
    def dtype(self) -> DType:
        """Of the voxels."""
        return self.source.info.dtype

    @property
    def ndim(self) -> int:
        """Number of axes, 3 or 4."""
        return len(self.dims)

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels, uncompressed."""
        return self.source.info.box.volume * self.source.info.voxel_bytes

    @property
    def voxel_size(self) -> VoxelSize | None:
        """The size of this mag's voxels along x, y, z; None if it is not known."""
        return self.source.info.voxel_size

    @property
    def bounding_box(self) -> Box:
        """Where the array lies in its dataset, in voxels of this mag."""
        return self.source.info.extent

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Array:
        picked, kept = _ranges(index if isinstance(index, tuple) else (index,), self.shape)
        if not all(map(len, picked)):
            return np.empty([len(numbers) for numbers, keep in zip(picked, kept, strict=True) if keep], self.dtype)
        start, stop = ([end(n[0], n[-1]) for n in picked] for end in (min, max))
        (x, y, z), (to_x, to_y, to_z) = start[-3:], stop[-3:]
        voxels = self.source.read(Box.between((x, y, z), (to_x + 1, to_y + 1, to_z + 1)))
        voxels = voxels[start[0] : stop[0] + 1] if self.ndim == 4 else voxels[0]
        steps = tuple(slice(None, None, numbers.step) for numbers in picked)
        return voxels[steps][tuple(slice(None) if keep else 0 for keep in kept)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("voxels have to be read: they cannot be had without a copy")
        return np.asarray(self[...], dtype)

    def to_dask(self, chunks: Any = "auto") -> Any:
        """A `dask.array` over the voxels, by default in chunks that are multiples of those that are decoded at once.

        Raises ImportError where dask is missing.
        """
        array = _installed("dask.array")
        meta = np.empty((0,) * self.ndim, self.dtype)
        return array.from_array(self, chunks=chunks, asarray=False, fancy=False, meta=meta)

    def to_xarray(self) -> Any:
        """An `xarray.DataArray` over `to_dask()`; coordinates are the voxels' centres, in the voxel size's unit.

        The corner of the dataset's mag-1 voxel 0, 0, 0 is 0, so that its mags and layers lie on each other. An axis of
        unknown voxel size is counted in mag-1 voxels. Raises ImportError where xarray or dask is missing.
        """
        xarray = _installed("xarray")
        size, box = self.voxel_size or VoxelSize((None, None, None)), self.bounding_box
        coords = {
            axis: (axis, (np.arange(n) + start + 0.5) * (side or factor), {"units": size.unit if side else "voxel"})
            for axis, start, n, side, factor in zip("xyz", box.start, box.shape, size.size, self.mag, strict=True)
        }
        return xarray.DataArray(self.to_dask(), coords, self.dims, self.name)

    def __repr__(self) -> str:
        axes = ", ".join(f"{axis} {n}" for axis, n in zip(self.dims, self.shape, strict=True))
        return f"<{self.name} mag {self.mag}: {axes}, {self.dtype}, {self.voxel_size or 'voxel size unknown'}>"


def _installed(module: str) -> Any:
    """A module that `wkconvert[arrays]` brings. Raises ImportError that says so."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f'{error}; pip install "wkconvert[arrays]" brings it') from error


def _ranges(index: tuple[Index, ...], shape: tuple[int, ...]) -> tuple[list[range], list[bool]]:
    """The numbers along each axis that an index picks, and whether the axis stays in the result, as in numpy.

    >>> _ranges((..., slice(1, None, 2), -1), (5, 6, 7))
    ([range(0, 5), range(1, 6, 2), range(6, 7)], [True, True, False])
    """
    dots = [at for at, each in enumerate(index) if each is ...] or [len(index)]
    if len(dots) > 1 or len(index) - (dots[0] < len(index)) > len(shape):
        raise IndexError(f"{len(index)} indices are too many for {len(shape)} axes")
    before, after = index[: dots[0]], index[dots[0] + 1 :]
    index = (*before, *[slice(None)] * (len(shape) - len(before) - len(after)), *after)
    picked: list[range] = []
    for each, length in zip(index, shape, strict=True):
        if isinstance(each, slice):
            picked.append(range(length)[each])
        elif isinstance(each, int | np.integer) and not isinstance(each, bool):
            if not -length <= each < length:
                raise IndexError(f"index {each} is beyond an axis of {length} voxels")
            number = range(length)[each]
            picked.append(range(number, number + 1))
        else:
            raise IndexError(
                f"{each!r} is no index here: take integers, slices and ..., and index the numpy array that comes"
            )
    return picked, [isinstance(each, slice) for each in index]


@dataclass(frozen=True)
class LayerArrays(Mapping[Mag, MagArray]):
    """One layer: its mags, finest first, by `Mag`, by number (2 is 2-2-2) or by text (`"2-2-1"`)."""

    name: str
    category: Category
    mags: tuple[MagArray, ...]
    voxel_size: VoxelSize | None
    """Of mag 1."""
    color: tuple[int, int, int] | None
    """Red, green, blue (0 to 255) in which it is shown; None: grey, or colours of its own."""
    notes: tuple[str, ...]
    """The reader's notes on how it is read."""

    @property
    def finest(self) -> MagArray:
        """The finest mag."""
        return self.mags[0]

    def __getitem__(self, mag: Mag | int | str) -> MagArray:
        wanted = mag if isinstance(mag, Mag) else Mag.parse(str(mag))
        there = {each.mag: each for each in self.mags}
        if wanted not in there:
            raise KeyError(f"the layer {self.name} has no mag {wanted}; it has {', '.join(map(str, there))}")
        return there[wanted]

    def __iter__(self) -> Iterator[Mag]:
        return (each.mag for each in self.mags)

    def __len__(self) -> int:
        return len(self.mags)

    def __repr__(self) -> str:
        return f"<{self.name} ({self.category}), mags {', '.join(map(str, self))}: {self.finest!r}>"


class Layers(Mapping[str, LayerArrays]):
    """The layers of a dataset or of any other source, by name."""

    def __init__(self, path: Path | str, layers: list[SourceLayer]) -> None:
        self.path = path
        self._layers = {
            layer.name: LayerArrays(
                layer.name,
                layer.category,
                tuple(MagArray(source, mag, layer.name) for mag, source in sorted(layer.mags.items())),
                layer.voxel_size,
                layer.color,
                layer.notes,
            )
            for layer in layers
        }

    def __getitem__(self, name: str) -> LayerArrays:
        if name not in self._layers:
            raise KeyError(f"{self.path} has no layer {name}; it has {', '.join(self._layers)}")
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        return "\n".join([f"{self.path}", *(f"  {layer!r}" for layer in self.values())])

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = [
            (
                layer.name,
                layer.category,
                " x ".join(map(str, layer.finest.shape)),
                str(layer.finest.dtype),
                str(layer.voxel_size or "unknown"),
                ", ".join(map(str, layer)),
                size_text(layer.finest.nbytes),
            )
            for layer in self.values()
        ]
        head = ("layer", "category", "shape", "dtype", "voxel size", "mags", "finest mag")
        cells = ["".join(f"<td>{escape(text)}</td>" for text in row) for row in rows]
        heads = "".join(f"<th>{text}</th>" for text in head)
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<p>{escape(str(self.path))}</p><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def open(path: Path | str, *, reader: str | None = None, **options: str) -> Layers:  # noqa: A001  # as in `wkconvert.open`
    """Open a dataset, or whatever else an installed reader knows; reads headers only.

    `reader` and `options` are what `--reader` and `-o` say on the command line. Raises SourceNotFound, UnknownFormat,
    OptionError and the readers' errors.
    """
    settings = Settings(reader=reader, reader_options=options)
    return Layers(path, open_source(location(path), settings, plugins()))
