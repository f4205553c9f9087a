"""From an image of bioio to layers: a scene, a time, a layer for each channel."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import (
    Layer,
    Mag,
    OptionError,
    UnsupportedSource,
    VolumeInfo,
    VoxelSize,
    WarningNote,
    unit_symbol,
)
from wkconvert_core.toolkit.files import broken, is_file, open_file, state_of
from wkconvert_core.toolkit.volumes.choosing import no_channel, pick_time

from .image import BioioVolume, by_bioio, is_czi, opened

_AXES = "XYZ"


def open_bioio(
    path: Path, *, scene: str | None = None, timepoint: int | None = None, channel: int | None = None
) -> list[Layer]:
    """The layers of a scene, or with `scene` all of every scene. Raises SourceError, OptionError."""
    if not is_file(path):
        raise UnsupportedSource(f"{path} is no file", why="bioio is given files", fix="give the file of the image")
    image = opened(path, state_of(path), 0)
    names = [str(name) for name in image.scenes]
    if len(names) == 1 and is_czi(image):
        _check_is_one_scene(path)
    numbers = _scenes(path, names, scene)
    return [
        layer
        for number in numbers
        for layer in _layers(path, number, names[number] if len(numbers) > 1 else "", timepoint, channel)
    ]


def _check_is_one_scene(path: Path) -> None:
    """Raise UnsupportedSource for CZI of several scenes that its metadata do not list: bioio-czi gives the first."""
    from aicspylibczi import CziFile

    with by_bioio(path), open_file(path) as file:
        count = sum(len(range(*shape.get("S", (0, 1)))) for shape in CziFile(file).get_dims_shape())
    if count > 1:
        raise UnsupportedSource(
            f"{path} holds {count} scenes, of which its metadata list none",
            why="bioio-czi gives only those that are listed, or the first",
            fix="save each scene as a file of its own, for example with ZEN",
        )


def _scenes(path: Path, names: list[str], wanted: str | None) -> list[int]:
    """The numbers of the scenes that are wanted. Raises UnsupportedSource, OptionError."""
    listed = "; ".join(f"{number}: {name}" for number, name in enumerate(names))
    if wanted is None and len(names) > 1:
        raise UnsupportedSource(
            f"{path} holds {len(names)} scenes: {listed}",
            why="a dataset shows one place",
            fix="choose one with -o scene=, by its number or its name, or -o scene=all, each as layers",
        )
    if wanted in (None, "all"):
        return list(range(len(names)))
    if wanted in names:
        return [names.index(wanted)]
    if not (wanted.isascii() and wanted.isdecimal() and int(wanted) < len(names)):
        raise OptionError(f"{path} has no scene {wanted}", fix=f"it has {listed}")
    return [int(wanted)]


def _layers(path: Path, scene: int, prefix: str, timepoint: int | None, channel: int | None) -> list[Layer]:
    state = state_of(path)
    image = opened(path, state, scene)
    with by_bioio(path):
        order, data = str(image.dims.order), image.dask_data
        channels = [str(name) for name in image.channel_names or ()]
    if not order.startswith("TCZYX") or order[5:] not in ("", "S"):
        raise UnsupportedSource(f"{path} has the axes {order}", why="T, C, Z, Y, X and samples of colour are read")
    dtype = data.dtype.newbyteorder("=")
    if dtype.char not in "?bBhHiIlLqQefd" or not all(data.shape):
        raise UnsupportedSource(f"{path} holds {dtype} {data.shape}", why="volumes of integers and floats are read")
    times, count, depth, height, width = data.shape[:5]
    samples = data.shape[5] if len(data.shape) > 5 else 1
    if samples not in (1, 3, 4) or (samples > 1 and dtype != np.uint8):
        raise UnsupportedSource(f"{path} has {samples} samples of {dtype} per voxel", why="three of uint8 are colours")
    if len(channels) not in (0, count):
        raise broken(path, f"it names {len(channels)} channels, and has {count}")
    time = pick_time(path, range(times), timepoint)
    if channel is not None and not 0 <= channel < count:
        raise no_channel(path, channel, count)
    size, notes = _voxel_size(image, scene)
    if samples == 4:
        notes.append(WarningNote("alpha dropped"))
    (deep, *_), (high, *_), (wide, *_) = data.chunks[2:5]
    layers = []
    for number in range(count) if channel is None else [channel]:
        info = VolumeInfo(
            (int(width), int(height), int(depth)),
            dtype,
            min(samples, 3),
            size,
            (int(wide), int(high), int(deep)),
            notes=tuple(notes),
        )
        name = channels[number] if channels and count > 1 else f"channel_{number}" if count > 1 else ""
        source = BioioVolume(path, state, scene, time, number, info)
        named = "_".join(filter(None, (prefix, name))) or None
        color = _color(image, scene, number) if count > 1 else None
        layers.append(Layer({Mag(1, 1, 1): source}, named, "color" if samples > 1 else None, color))
        notes = []  # one layer carries them
    return layers


def _ome(image: Any, scene: int) -> Any:
    """The OME metadata of a scene's pixels; None where the reader gives none."""
    with (
        suppress(Exception),
        warnings.catch_warnings(),
    ):  # many readers have none, which are errors of any kind
        warnings.simplefilter("ignore")
        return image.ome_metadata.images[scene].pixels
    return None


def _voxel_size(image: Any, scene: int) -> tuple[VoxelSize | None, list[str]]:
    """The voxel size in nm, and notes on it. bioio's own numbers have no unit: OME metadata go first."""
    nm: list[float | None] = [None, None, None]
    if pixels := _ome(image, scene):
        for axis, name in enumerate(_AXES.lower()):
            length, unit = getattr(pixels, f"physical_size_{name}"), getattr(pixels, f"physical_size_{name}_unit")
            if length and (symbol := unit_symbol(str(getattr(unit, "value", unit)))):
                nm[axis] = _size(float(length), symbol)
        if any(nm):
            x, y, z = nm
            return VoxelSize((x, y, z), "nm", "OME metadata, by bioio"), []
    stated, guessed = image.physical_pixel_sizes, []
    for axis, name in enumerate(_AXES):
        length = getattr(stated, name)
        symbol = unit_symbol(str(getattr(getattr(image.dimension_properties, name, None), "unit", None)))
        if length:
            nm[axis] = _size(float(length), symbol or "µm")
            guessed += [name] * (symbol is None)
    if not any(nm):
        return None, []
    told = f"bioio gives its size along {', '.join(guessed).lower()} without a unit: it is taken as µm"
    x, y, z = nm
    return VoxelSize((x, y, z), "nm", "bioio"), [WarningNote(told)] if guessed else []


def _size(length: float, unit: str) -> float | None:
    """A length in nm; None if it is none."""
    if not 0 < length < np.inf:
        return None
    return VoxelSize((length, None, None), unit).to("nm").size[0]


def _color(image: Any, scene: int, channel: int) -> tuple[int, int, int] | None:
    """The colour of a channel by the OME metadata; None where they state none."""
    with suppress(Exception):
        red, green, blue = _ome(image, scene).channels[channel].color.as_rgb_tuple(alpha=False)
        return int(red), int(green), int(blue)
    return None
