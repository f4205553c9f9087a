"""From a path and options to a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from wkconvert_core import (
    Layer,
    Mag,
    OptionError,
    Turn,
    UnknownOption,
    UnsupportedSource,
    VolumeInfo,
    VoxelSize,
)
from wkconvert_core.toolkit.files import broken, is_folder
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.volumes.axes import Axes
from wkconvert_core.toolkit.volumes.inflated import GZIP, Packing, bytes_of
from wkconvert_core.toolkit.volumes.stored import Stored, check_size, chunk_of, source_of

from .calibration import affine, voxel_size
from .header import MODES, Header, read_header, slices
from .source import PackedVolume
from .voxels import COMPLEX, Signs, kind_of

Orientation = Literal["canonical", "stored"]

_UP = "y runs up in MRC files, and down the screen in WEBKNOSSOS: --flip y,z shows slices upright and mirrors nothing"
_FIX = "say -o orientation=stored to take columns, rows and sections as x, y, z, or canonical to turn them nevertheless"
_STACKS = range(401, 631)
"""Space groups of a stack of volumes: 400 and that of each."""


def open_mrc(
    path: Path, *, volume: int | None = None, bytes: Signs | None = None, orientation: Orientation | None = None
) -> list[Layer]:
    """The layer of a file. Raises SourceNotFound, BrokenSource, UnsupportedSource, OptionError.

    `volume` is one of a stack of volumes, counted from 0. `bytes` says of mode 0 whether it is signed, whatever the
    header says. With `orientation` stored, x, y and z are columns, rows and sections.
    """
    if is_folder(path):
        found = slices(path)
        raise UnsupportedSource(
            f"{path} holds {len(found)} MRC files of one section each: {shorten(found)}"
            if found
            else f"{path} is no file",
            why="slices in files of their own are not joined; each would be a layer",
            fix="join them, such as with IMOD's newstack, and convert that file; or convert one file by itself",
        )
    header = read_header(path)
    if header.mode in COMPLEX:
        raise UnsupportedSource(
            f"{path} is of mode {header.mode}, {MODES[header.mode]}",
            why="these are the transform of an image, which cannot be shown as voxels",
            fix="transform it back, or save its amplitudes as mode 2",
        )
    if bytes is not None and header.mode != 0:
        fix = "it is for mode 0, whose bytes may be signed or not"
        raise UnknownOption(f"-o bytes={bytes} is not for {path} of mode {header.mode}", fix=fix, names=("bytes",))
    kind, notes = kind_of(header, bytes)
    packing: Packing = "gzip" if bytes_of(path, len(GZIP)) == GZIP else ""
    if packing and kind.is_packed:
        raise UnsupportedSource(
            f"{path} holds values of 4 bits, compressed",
            why="a compressed file is read in one pass, and values of 4 bits are not",
            fix=f"gunzip {path.name}",
        )
    notes += check_size(path, header.start + header.lengths[2] * kind.section_bytes, packing)
    first, depth = _volume(path, header, volume)
    shape = kind.columns, header.lengths[1], depth
    axes, leads = Axes(shape), header.axes
    if orientation != "stored":
        x, y, z = map(header.axes.index, range(3))
        axes, leads = Axes(shape, (x, y, z)), (0, 1, 2)
    sizes, doubts = voxel_size(header)
    place, placing = affine(header, sizes, leads)
    turned, turning = _turn(header, orientation)
    along_x, along_y, along_z = (sizes[axis] for axis in leads)
    start = header.start + first * kind.section_bytes
    stored = Stored(kind.dtype, kind.samples, (start,), packing=packing)
    info = VolumeInfo(
        axes.seen_shape,
        np.dtype(kind.dtype).newbyteorder("="),
        kind.samples,
        VoxelSize((along_x, along_y, along_z), "Å", "the header's cell over MX, MY, MZ") if any(sizes) else None,
        chunk_of(stored, axes),
        notes=(*notes, *doubts, *turning, *placing, _UP),
        affine=place,
        turned=turned,
    )
    source = PackedVolume(path, start, axes, info) if kind.is_packed else source_of(path, stored, axes, info)
    return [Layer({Mag(1, 1, 1): source})]


def _turn(header: Header, orientation: Orientation | None) -> tuple[Turn | None, list[str]]:
    """How axes are exchanged on account of the header alone, and a note."""
    if header.axes == (0, 1, 2):
        return None, []
    names = ", ".join("XYZ"[axis] for axis in header.axes)
    turned = Turn(f"from {names} to X, Y, Z", _FIX) if orientation is None else None
    return turned, [f"columns, rows and sections run along {names} (MAPC, MAPR, MAPS)"]


def _volume(path: Path, header: Header, volume: int | None) -> tuple[int, int]:
    """The first section of a volume, and how many it has. Raises BrokenSource, UnsupportedSource, OptionError."""
    sections = header.lengths[2]
    depth = header.intervals[2] if header.space_group in _STACKS else sections
    if depth <= 0 or sections % depth:
        raise broken(path, f"it is a stack of volumes of {depth} sections each (MZ), but has {sections} sections")
    count = sections // depth
    if volume is None and count > 1:
        raise UnsupportedSource(
            f"{path} is a stack of {count} volumes of {depth} sections each",
            why=f"its space group (ISPG) is {header.space_group}, and a layer is one volume",
            fix=f"take one with -o volume=N, 0 to {count - 1}",
        )
    if volume is not None and not 0 <= volume < count:
        raise OptionError(f"{path} has no volume {volume}", fix=f"-o volume takes 0 to {count - 1} for this file")
    return (volume or 0) * depth, depth
