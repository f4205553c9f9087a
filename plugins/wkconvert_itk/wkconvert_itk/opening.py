"""From a volume of NRRD, MetaImage or GIPL to layers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from wkconvert_core import Category, Layer, Mag, SourceNotFound, VolumeInfo, VoxelSize, WarningNote
from wkconvert_core.toolkit.files import broken, is_folder, state_of, stem
from wkconvert_core.toolkit.volumes.axes import Axes
from wkconvert_core.toolkit.volumes.choosing import check_layers, groups, said_unit, split_channels
from wkconvert_core.toolkit.volumes.inflated import bytes_of
from wkconvert_core.toolkit.volumes.orientation import Orientation, Pose, affine_of, as_stored, pose
from wkconvert_core.toolkit.volumes.stored import Stored, check_size, chunk_of, source_of

from .detection import VOLUMES, volumes_in
from .gipl import read_gipl
from .header import Header
from .magic import NRRD, is_metaimage
from .metaimage import read_metaimage
from .nrrd import read_nrrd


def open_itk(
    path: Path,
    *,
    orientation: Orientation | None = None,
    volume: int | None = None,
    volumes: Literal["channels"] | None = None,
    channel: int | None = None,
    unit: str | None = None,
    category: Category | None = None,
) -> list[Layer]:
    """The layers of a file, or of each file in a folder. Raises SourceError, OptionError."""
    files = volumes_in(path) if is_folder(path) else [path]
    if not files:
        raise SourceNotFound(f"{path} holds no volume", why=f"they end in {', '.join(VOLUMES)}")
    found = [
        (file, layer)
        for file in files
        for layer in _file(read_header(file), orientation, volume, volumes, channel, unit, category)
    ]
    check_layers(path, len(found))
    if len(files) == 1:
        return [layer for _, layer in found]
    return [replace(layer, name="_".join(filter(None, (stem(file), layer.name)))) for file, layer in found]


def _file(
    header: Header,
    orientation: Orientation | None,
    volume: int | None,
    volumes: Literal["channels"] | None,
    channel: int | None,
    unit: str | None,
    category: Category | None,
) -> list[Layer]:
    """The layers of a file: one, or one for each channel and volume."""
    path, end = header.path, header.volumes * header.volume_bytes
    start = state_of(header.data)[0] - end if header.start is None else header.start
    if start < 0:
        raise broken(header.data, f"{end} bytes of voxels expected, {start + end} found", cut=True)
    unused = check_size(header.data, start + end, header.packing, header.base)
    lie = _pose(header, orientation)
    size, told = _voxel_size(header, lie.axes, unit)
    taken = groups(path, (*header.shape, header.volumes), header.volumes, volume, volumes)
    is_rgba = header.has_alpha and header.samples == 4 and header.dtype == np.uint8 and channel is None
    channels = split_channels(path, 3 if is_rgba else header.samples, header.dtype, channel)
    check_layers(path, len(taken) * len(channels))
    notes = (*lie.notes, *header.notes, *told, *unused)
    if is_rgba:
        notes += (WarningNote("alpha dropped"),)
    if header.data.name.split(".")[0] != path.name.split(".")[0]:  # core looks at files that share the source's stem
        text = f"its voxels are in {header.data.name}: an interrupted run that goes on does not notice if that changed"
        notes += (WarningNote(text),)
    layers = []
    for (number,), samples in itertools.product(taken, channels):
        starts = (start + number * header.volume_bytes,)
        first, count = samples.start, len(samples)
        stored = Stored(header.dtype.str, header.samples, starts, packing=header.packing, base=header.base, first=first)
        info = VolumeInfo(
            lie.axes.seen_shape,
            header.dtype.newbyteorder("="),
            count,
            size,
            chunk_of(stored, lie.axes),
            notes=notes,
            affine=lie.affine,
            turned=lie.turned,
        )
        words = [f"volume_{number}"] * (len(taken) > 1) + [f"channel_{first}"] * (len(channels) > 1)
        source = source_of(header.data, stored, lie.axes, info)
        layers.append(Layer({Mag(1, 1, 1): source}, "_".join(words) or None, category))
        notes = ()  # one layer carries them
    return layers


def read_header(path: Path) -> Header:
    """Read and check the header of a file. Raises SourceNotFound, BrokenSource, UnsupportedSource."""
    start = bytes_of(path, 4096)
    if start.startswith(NRRD) or path.suffix.lower() in (".nrrd", ".nhdr"):
        return read_nrrd(path)
    if is_metaimage(start) or path.suffix.lower() in (".mha", ".mhd"):
        return read_metaimage(path)
    return read_gipl(path)


def _pose(header: Header, wanted: Orientation | None) -> Pose:
    """How the stored axes become x, y, z: turned where the header says how they run in a body."""
    place = header.place
    if place is None:
        return as_stored(header.shape, "the file states no orientation")
    if not place.of_body:
        axes = Axes(header.shape)
        note = f"x, y, z are the file's axes as stored: its space is no body's ({place.by})"
        return Pose(axes, affine_of(place.matrix, axes, header.unit, place.by), notes=(note,))
    return pose(header.shape, place.matrix, wanted, unit=header.unit or "mm", by=place.by)


def _voxel_size(header: Header, axes: Axes, unit: str | None) -> tuple[VoxelSize | None, list[str]]:
    """The voxel size along x, y, z, None if the header gives none, and notes on it. Raises OptionError.

    ITK's programs mean mm where they write no unit: so does a header that says where voxels lie in a body.
    """
    symbol, origin = header.unit, header.sized_by
    if symbol is None and header.place and header.place.of_body:
        symbol, origin = "mm", f"{header.sized_by}, mm as in ITK"
    if said := said_unit(unit):
        symbol, origin = said, f"{header.sized_by}, -o unit"
    sizes = [header.sizes[axis] for axis in axes.order]
    if not any(sizes):
        return None, []
    if symbol is None:
        told = " x ".join("?" if size is None else f"{size:g}" for size in sizes)
        return None, [f"{header.sized_by} is {told}, and no unit is named: -o unit=mm would take it as mm"]
    x, y, z = sizes
    return VoxelSize((x, y, z), symbol, origin), []
