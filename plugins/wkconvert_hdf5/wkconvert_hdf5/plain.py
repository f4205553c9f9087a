"""Arrays of files that are of no special kind: which one is meant, and what its axes are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wkconvert_core import Layer, OptionError, SourceNotFound, UnsupportedSource, VoxelSize, WarningNote
from wkconvert_core.toolkit.shortened import shorten

from .arrays import Choice, Facts, layers_of, name_of, the_only
from .electron import detector_of
from .files import Dataset, File, document_of, is_numeric, text_of
from .heaps import check_heaps

_MOST = 100_000
"""Most groups and arrays of a file that are looked at."""
_MINC = "minc-2.0"
_SAY = "say -o axes= with a letter for each axis, the slowest first: c, t, x, y, z"


def plain_layers(path: Path, file: File, choice: Choice) -> list[Layer]:
    """The layers of the array that the user names, or of the only volume. Raises SourceError, OptionError."""
    if choice.dataset:
        data = _named(path, file, choice.dataset)
    elif _MINC in file:
        raise UnsupportedSource(
            f"{path} is a MINC 2 file, of which no reader is installed",
            why="its numbers are scaled slice by slice, and its own dimensions say how they lie in the scanner",
            fix="convert it to NIfTI first, with mnc2nii or nibabel; or say -o dataset=minc-2.0/image/0/image for the "
            "numbers as they are stored",
        )
    else:
        found = volumes(path, file)
        shown = [f"{each.name.strip('/')} ({' x '.join(map(str, each.shape))} {each.dtype})" for each in found]
        data = the_only(path, found, shown, "volumes")
    axes, notes = axes_of(path, data, choice.axes)
    size, doubts = _voxel_size(data)
    told = [] if choice.dataset else [f"read from {data.name.strip('/')}"]
    return layers_of(
        path,
        data,
        Facts(axes, size),
        choice,
        [*told, *notes, *doubts, *_unscaled(data)],
        detector_of(data) or name_of(data.name),
    )


def volumes(path: Path, file: File) -> list[Dataset]:
    """The arrays of numbers with three axes or more. Raises UnsupportedSource for too many groups."""
    found: list[Dataset] = []
    seen = 0

    def look(_: str, item: Any) -> object:
        nonlocal seen
        seen += 1
        is_volume = len(getattr(item, "shape", None) or ()) > 2 and sum(side > 1 for side in item.shape) > 1
        if is_volume and is_numeric(item):
            found.append(item)
        return seen > _MOST or None

    if file.visititems(look):
        fix = "say which array is meant with -o dataset=PATH"
        raise UnsupportedSource(
            f"{path} has more than {_MOST} groups and arrays", why="only so many are looked at", fix=fix
        )
    return found


def _named(path: Path, file: File, name: str) -> Dataset:
    item = file.get(name)
    link = file.get(name, getlink=True)
    if item is None and (lies := getattr(link, "filename", "")):
        raise SourceNotFound(f"{name} in {path} lies in {lies}, which cannot be read", fix="put both into one folder")
    if item is None or not hasattr(item, "shape"):
        there = shorten([data.name.strip("/") for data in volumes(path, file)]) or "none"
        raise OptionError(f"{path} has no data set {name}", fix=f"its volumes are: {there}")
    return item


# --- axes -------------------------------------------------------------------------------------------------------------


def axes_of(path: Path, data: Dataset, said: str | None) -> tuple[str, list[str]]:
    """The axes of an array, the slowest first, and notes. Raises OptionError, UnsupportedSource.

    The user's word counts, then ilastik's `axistags`, then the labels of HDF5's own dimensions, then MATLAB's order;
    else three axes are z, y, x, as numpy and most programs write them.
    """
    if said is not None:
        return _checked(path, data, said.lower(), f"-o axes={said}", OptionError), []
    if tags := document_of(text_of(data, "axistags")):
        return _checked(path, data, _tagged(tags), "axistags", UnsupportedSource), []
    if "DIMENSION_LABELS" in data.attrs:
        check_heaps(data)
    labels = "".join(dimension.label.lower() for dimension in data.dims)
    if len(labels) == data.ndim and set(labels) <= set("ctxyz"):
        return _checked(path, data, labels, "the labels of its dimensions", UnsupportedSource), []
    is_matlab = bool(text_of(data, "MATLAB_class"))
    axes = _guessed(data.shape, "zxy" if is_matlab else "zyx")
    if not axes:
        shape = " x ".join(map(str, data.shape))
        why = f"nothing in the file says what its axes of the lengths {shape} are"
        raise UnsupportedSource(f"the axes of {data.name} in {path} are unknown", why=why, fix=_SAY)
    if is_matlab:
        return axes, [WarningNote("taken as A(y, x, z), as MATLAB has images; -o axes=zyx takes A(x, y, z)")]
    return axes, []


def _guessed(shape: Sequence[int], volume: str) -> str:
    """The axes of an array of which nothing says them; empty where they may be something else.

    `volume` are those of one with three. Others of the length 1 stand for nothing; an axis that is a line of 2 to 4
    values is one of colours rather than x or, in MATLAB's order, z.

    >>> _guessed((30, 512, 512), "zyx"), _guessed((1, 30, 512, 512, 1), "zyx"), _guessed((512, 512, 3), "zyx")
    ('zyx', '1zyx1', '')
    """
    extra = len(shape) - 3
    if extra < 0:
        return volume[1:] if extra == -1 else ""
    long = [axis for axis, length in enumerate(shape) if length > 1]
    kept = long if len(long) == 3 else list(range(extra, len(shape)))
    if set(long) - set(kept):
        return ""
    sides = [shape[axis] for axis in kept]
    few = sides[0] if volume == "zxy" else sides[2]
    if few <= 4 < min(sides[1], *(sides[2:] if volume == "zxy" else sides[:1])):
        return ""
    letters = dict(zip(kept, volume, strict=True))
    return "".join(letters.get(axis, "1") for axis in range(len(shape)))


def _tagged(tags: Any) -> str:
    """The letters of ilastik's axistags; something that is no axis for each that is none."""
    listed = tags.get("axes", []) if isinstance(tags, dict) else []
    return "".join(str(tag.get("key", "?")) if isinstance(tag, dict) else "?" for tag in listed)


def _checked(path: Path, data: Dataset, axes: str, who: str, error: type[OptionError | UnsupportedSource]) -> str:
    """The axes, if they are some of an array. Raises the error."""
    if len(axes) != data.ndim or not set(axes) <= set("ctxyz") or len(set(axes)) < len(axes) or not {*"xy"} <= {*axes}:
        raise error(
            f"{who} does not fit {data.name} in {path}",
            why=f"it says {axes or 'nothing'} of axes of the lengths {' x '.join(map(str, data.shape))}",
            fix=_SAY,
        )
    return axes


def _voxel_size(data: Dataset) -> tuple[VoxelSize | None, list[str]]:
    """The size by `element_size_um`, which Fiji and ilastik's users write: z, y, x; and notes."""
    told = data.attrs.get("element_size_um")
    if told is None:
        resolution = text_of(data, "resolution")
        told = f"its attribute resolution, {resolution}, names no unit: --voxel-size says it"
        return None, [*[told] * bool(resolution), *_offset(data)]
    sides = [float(side) for side in told]
    sizes = [side if math.isfinite(side) and side > 0 else None for side in sides]
    notes: list[str] = []
    if None in sizes or len(sizes) != 3:
        notes.append(WarningNote(f"element_size_um is {sides}, not three sizes"))
    if len(sizes) != 3 or not any(sizes):
        return None, notes
    z, y, x = sizes
    return VoxelSize((x, y, z), "µm", "element_size_um"), notes


def _unscaled(data: Dataset) -> Iterator[WarningNote]:
    """The warning of a scale that is not applied: netCDF's and CF's `scale_factor` and `add_offset`, or MINC's."""
    said = [f"{name} {value}" for name in ("scale_factor", "add_offset") if (value := text_of(data, name))]
    if data.name.startswith(f"/{_MINC}/"):
        said.append("image-min and image-max")
    if said:
        yield WarningNote(f"the numbers are those that are stored: {' and '.join(said)} scale them, and are left out")


def _offset(data: Dataset) -> Iterator[WarningNote]:
    """The warning of an `offset` in the unit of `resolution`, z, y, x, as CREMI's labels have one: it moves nothing."""
    try:
        offset, steps = ([float(side) for side in data.attrs.get(name, ())] for name in ("offset", "resolution"))
    except (TypeError, ValueError):  # something else of the same name
        return
    if len(offset) != 3 or not any(offset):
        return
    told = f"its attribute offset, {text_of(data, 'offset')} along z, y, x, names no unit and moves nothing"
    sides = [place / step for place, step in zip(offset, steps, strict=True)] if len(steps) == 3 and all(steps) else []
    is_whole = sides and all(side >= 0 and abs(side - round(side)) < 1e-3 for side in sides)
    where = f"{','.join(str(round(side)) for side in sides[::-1])}, by its resolution," if is_whole else "x,y,z"
    yield WarningNote(f"{told}: --top-left {where} lays the layer there")
