"""From a path and options to layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from wkconvert_core import (
    Box,
    Category,
    Layer,
    Mag,
    OptionError,
    SourceNotFound,
    VolumeInfo,
    WarningNote,
)
from wkconvert_core.toolkit.files import is_file, is_folder, stem
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.volumes.choosing import MOST_LAYERS, check_layers, groups
from wkconvert_core.toolkit.volumes.inflated import GZIP, Packing, bytes_of
from wkconvert_core.toolkit.volumes.orientation import Orientation
from wkconvert_core.toolkit.volumes.scaling import Scale, Slope, meaning
from wkconvert_core.toolkit.volumes.stored import Stored, check_size, chunk_of, source_of

from .calibration import voxel_size
from .detection import HDR, IMG, NII, SIDECARS, contents, has, header_of, is_header, partner
from .header import Header, read_header
from .orientation import Form, pose_of
from .placed import parse_box, place


@dataclass(frozen=True)
class Wanted:
    """Options that hold for every file."""

    orientation: Orientation | None
    form: Form | None
    slope: Slope
    volume: int | None
    volumes: Literal["channels"] | None
    unit: str | None
    category: Category | None
    box: Box | None
    roles: Mapping[str, Category]
    """Categories that the user gave to files, by name."""

    def role_of(self, path: Path) -> Category | None:
        """The category that the user gave to a file, or to the other file of its pair."""
        image = partner(path, IMG) if has(path, HDR) else None
        return self.roles.get(path.name) or self.roles.get(image.name if image else "")


def open_nifti(
    path: Path,
    *,
    orientation: Orientation | None = None,
    form: Form | None = None,
    slope: Slope = "apply",
    volume: int | None = None,
    volumes: Literal["channels"] | None = None,
    unit: str | None = None,
    category: Category | None = None,
    color_file: str | None = None,
    segmentation_file: str | None = None,
    enforce_bounding_box: str | None = None,
) -> list[Layer]:
    """The layers of a file, or of each file in a folder. Raises SourceError, OptionError.

    `color_file` and `segmentation_file` name files of a folder, whose layers are called `color` and `segmentation`.
    """
    if color_file is not None and color_file == segmentation_file:
        raise OptionError(f"{color_file} cannot be color_file and segmentation_file", fix="name two files")
    said: list[tuple[str | None, Category]] = [(color_file, "color"), (segmentation_file, "segmentation")]
    roles = {name: role for name, role in said if name is not None}
    folder = path if is_folder(path) else path.parent
    if lost := [name for name in roles if not is_file(folder / name)]:
        there = shorten([path.name for path in contents(folder)[0]])
        raise OptionError(f"{folder} has no file {', '.join(lost)}", fix=f"the files are: {there}")
    box = None if enforce_bounding_box is None else parse_box(enforce_bounding_box)
    wanted = Wanted(orientation, form, slope, volume, volumes, unit, category, box, roles)
    layers = list(islice(_folder(path, wanted) if is_folder(path) else _file(path, wanted), MOST_LAYERS + 1))
    check_layers(path, len(layers))
    return layers


def _folder(folder: Path, wanted: Wanted) -> Iterator[Layer]:
    """The layers of all files in a folder, each named after its file if there are several."""
    paths, others = contents(folder)
    if not paths:
        raise SourceNotFound(f"{folder} holds no NIfTI file", why=f"they end in {', '.join(NII)} or {', '.join(HDR)}")
    left = [entry.name for entry in others if not has(entry, SIDECARS)]
    note = (f"left out of {folder.name}: {shorten(left)}",) if left else ()
    for path in paths:
        for layer in _file(path, wanted):
            name = "_".join(part for part in (wanted.role_of(path) or stem(path), layer.name) if part)
            named = replace(layer, name=name) if len(paths) > 1 else layer
            yield _noted(named, (*note, *named.source.info.notes))
            note = ()


def _noted(layer: Layer, notes: tuple[str, ...]) -> Layer:
    """A layer with these notes instead of its own."""
    source = layer.source
    info = replace(source.info, notes=notes)
    return replace(layer, mags={Mag(1, 1, 1): replace(source, info=info)})  # type: ignore[type-var]


def _file(path: Path, wanted: Wanted) -> Iterator[Layer]:
    """The layers of a file, or of a pair of which either file is given; only the first layer carries the notes."""
    if has(path, IMG) and header_of(path) == path and not is_header(path):
        raise _half(path, ".hdr", "it holds the voxels of a pair, and the other file says how they lie")
    header = read_header(header_of(path))
    category = wanted.role_of(header.path) or wanted.category or ("segmentation" if header.is_label else None)
    data = header.path if header.kind.single else partner(header.path, IMG)
    if data is None:
        raise _half(header.path, ".img", "its header says that the voxels are in a file of their own")
    packing: Packing = "gzip" if bytes_of(data, len(GZIP)) == GZIP else ""
    unused = check_size(data, header.start + header.volumes * header.volume_bytes, packing)
    pose, form = pose_of(header, wanted.orientation, wanted.form)
    axes = pose.axes
    size, more = voxel_size(header, axes, wanted.unit, form)
    measured = None if header.samples > 1 and wanted.slope == "apply" else header.scale
    is_label = category == "segmentation"
    scale, dtype, scaling = meaning(header.path, header.dtype, measured, wanted.slope, ids=is_label)
    if header.scale and not measured:
        scaling = [WarningNote(f"{Scale(*header.scale)} are left out: colours are no measurements")]
    notes = (*pose.notes, *more, *scaling, *_oddities(header), *unused)
    colours = header.volumes == 3 and header.samples == 1 and dtype == np.uint8
    taken = groups(header.path, header.shape, header.volumes, wanted.volume, wanted.volumes, colours=colours)
    for group in taken:
        starts = tuple(header.start + number * header.volume_bytes for number in group)
        shape, channels = axes.seen_shape, len(group) * min(header.samples, 3)
        stored = Stored(header.dtype.str, header.samples, starts, scale, packing)
        chunk = chunk_of(stored, axes)
        info = VolumeInfo(shape, dtype, channels, size, chunk, notes=notes, affine=pose.affine, turned=pose.turned)
        name = f"volume_{group[0]}" if len(taken) > 1 else None
        source = source_of(data, stored, axes, info)
        layer = Layer({Mag(1, 1, 1): place(source, wanted.box) if wanted.box else source}, name, category)
        yield layer if group is taken[0] else _noted(layer, ())


def _half(path: Path, lost: str, why: str) -> SourceNotFound:
    fix = "put both files into one folder, under one name"
    return SourceNotFound(f"{path} has no {lost} of the same name beside it", why=why, fix=fix)


def _oddities(header: Header) -> list[str]:
    notes: list[str] = [WarningNote("alpha dropped")] if header.samples == 4 else []
    bits, stored = 8 * header.samples * header.dtype.itemsize, int(header.fields["bitpix"])
    if bits != stored:
        notes.append(WarningNote(f"bitpix is {stored}, the datatype {header.datatype} has {bits} bits, which count"))
    if header.is_label and header.dtype.kind == "f":
        notes.append(
            f"labels are stored as {header.dtype.newbyteorder('=')}: --dtype uint32 makes whole numbers of them"
        )
    return notes
