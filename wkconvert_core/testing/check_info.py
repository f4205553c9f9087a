"""Checks of a reader's layers and their VolumeInfo, and that a Source is a small value."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from wkconvert_core.contract.affine import Affine, Turn
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.model import DTYPES, Category, Layer, VolumeInfo
from wkconvert_core.contract.numbers import is_power_of_two
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.testing.samples import Rule, open_as, opened, reader_of, require

Options = Mapping[str, str] | None

PICKLED_BYTES = 4096
"""Most bytes of a pickled Source: it is sent to a worker with every task."""


def check_info(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """Every layer and its VolumeInfo are as the contract says, and the same when asked again."""
    path = Path(path)
    layers = open_as(reader_of(path, reader), path, options)
    for layer in layers:
        _check_layer(layer)
    names = [layer.name for layer in layers if layer.name is not None]
    require(len(set(names)) == len(names), f"{path} has several layers of one name: {names}", Rule.LAYER)
    for label, source in opened(path, reader, options):
        _check_volume_info(label, source.info)
        require(source.info == source.info, f"{label}: two calls of `info` differ", Rule.INFO)


def _check_layer(layer: Layer) -> None:
    require(layer.mags, f"{layer!r} has no mags", Rule.LAYER)
    for mag in layer.mags:
        good = isinstance(mag, Mag) and all(_is_count(n) and is_power_of_two(n) for n in mag)
        require(good, f"{mag!r} is no Mag of powers of two", Rule.LAYER)
    named = layer.name is None or (isinstance(layer.name, str) and layer.name.strip())
    require(named, f"{layer.name!r} is no name", Rule.LAYER)
    known = layer.category is None or layer.category in get_args(Category)
    require(known, f"{layer.category!r} is no category; the categories are {get_args(Category)}", Rule.LAYER)
    color = layer.color
    good = color is None or (len(color) == 3 and all(type(n) is int and 0 <= n <= 255 for n in color))
    require(good, f"{color!r} is no colour", Rule.LAYER)
    shown = layer.intensity_range
    good = shown is None or (len(shown) == 2 and all(map(math.isfinite, shown)) and shown[0] < shown[1])
    require(good, f"{shown!r} is no range of intensities", Rule.LAYER)
    _check_pyramid(layer)


def _check_pyramid(layer: Layer) -> None:
    """Coarser mags cover the extent of the finest one and have its dtype and channels."""
    finest = min(layer.mags)
    first = layer.mags[finest].info
    for mag, source in layer.mags.items():
        whole = [-(-n * fine // coarse) for n, fine, coarse in zip(first.shape, finest, mag, strict=True)]
        fits = all(abs(n - w) <= 1 for n, w in zip(source.info.shape, whole, strict=True))
        require(fits, f"mag {mag} has the shape {source.info.shape}, the finest mag makes it {whole}", Rule.LAYER)
        same = (source.info.dtype, source.info.channels) == (first.dtype, first.channels)
        require(same, f"mag {mag} holds other voxels than mag {finest}", Rule.LAYER)


def _check_volume_info(label: str, info: VolumeInfo) -> None:
    import numpy as np

    readable = [*DTYPES, "bool", "float16"]  # core makes uint8 of bool and float32 of float16
    require(isinstance(info, VolumeInfo), f"{label}: `info` is {info!r}, no VolumeInfo", Rule.INFO)
    require(_is_shape(info.shape), f"{label}: the shape {info.shape!r} is not three whole numbers above 0", Rule.INFO)
    require(isinstance(info.dtype, np.dtype), f"{label}: {info.dtype!r} is no numpy dtype; wrap it", Rule.INFO)
    require(info.dtype.isnative, f"{label}: the dtype {info.dtype.str} is not in native byte order", Rule.INFO)
    known = info.dtype.name in readable
    require(known, f"{label}: WKW has no dtype {info.dtype}; it has {', '.join(readable)}", Rule.INFO)
    channels = _is_count(info.channels) and info.voxel_bytes <= 255
    require(channels, f"{label}: {info.channels!r} channels of {info.dtype} are not 1 to 255 bytes", Rule.INFO)
    chunk = info.chunk_shape
    require(chunk is None or _is_shape(chunk), f"{label}: the chunk_shape {chunk!r} is no box's shape", Rule.INFO)
    placed = len(info.offset) == 3 and all(type(n) is int and n >= 0 for n in info.offset)
    require(placed, f"{label}: the offset {info.offset!r} is not three whole numbers from 0", Rule.INFO)
    words = isinstance(info.notes, tuple) and all(isinstance(note, str) and note for note in info.notes)
    require(words, f"{label}: the notes {info.notes!r} are no tuple of texts", Rule.INFO)
    _check_voxel_size(label, info.voxel_size)
    _check_affine(label, info)


def _check_voxel_size(label: str, size: VoxelSize | None) -> None:
    if size is not None:
        require(isinstance(size, VoxelSize), f"{label}: the voxel size {size!r} is no VoxelSize", Rule.INFO)
        require(any(size.size), f"{label}: a VoxelSize without any size; None says that none is known", Rule.INFO)
        require(size.origin.strip(), f"{label}: the voxel size {size} does not say where it came from", Rule.INFO)


def _check_affine(label: str, info: VolumeInfo) -> None:
    affine, turned = info.affine, info.turned
    if affine is not None:
        require(isinstance(affine, Affine), f"{label}: the affine {affine!r} is no Affine", Rule.INFO)
        sound = Affine.parse(affine.document) == affine and affine.spans
        require(sound, f"{label}: {affine!r} is no affine of finite numbers that spans a space", Rule.INFO)
        require(affine.stated.strip(), f"{label}: the affine {affine} does not say what states it", Rule.INFO)
    words = turned is None or (isinstance(turned, Turn) and turned.how.strip() and turned.fix.strip())
    require(words, f"{label}: {turned!r} is no Turn that says how, and what decides otherwise", Rule.INFO)


def _is_count(number: object) -> bool:
    return type(number) is int and number > 0


def _is_shape(shape: object) -> bool:
    return isinstance(shape, tuple) and len(shape) == 3 and all(map(_is_count, shape))


def check_pickle(path: Path, *, reader: str | None = None, options: Options = None) -> None:
    """A Source pickles to less than 4 KiB; afterwards, and when opened again, it is equal and has the same hash."""
    again = dict(opened(path, reader, options))
    for label, source in opened(path, reader, options):
        try:
            stored = pickle.dumps(source)
            copy = pickle.loads(stored)
            hashes = {hash(source), hash(copy), hash(again[label])}
        except Exception as error:
            require(False, f"{label}: pickling or hashing raises {type(error).__name__}: {error}", Rule.VALUE)
        size = f"{label}: the pickled Source has {len(stored)} bytes, more than {PICKLED_BYTES}"
        require(len(stored) < PICKLED_BYTES, size, Rule.VALUE)
        require(copy == source, f"{label}: the Source differs from itself after pickling", Rule.VALUE)
        require(again[label] == source, f"{label}: opened twice, the Sources differ", Rule.VALUE)
        require(len(hashes) == 1, f"{label}: equal Sources have different hashes", Rule.VALUE)
        require(copy.info == source.info, f"{label}: `info` differs after pickling", Rule.VALUE)
