"""From a path and options to layers: what the open hook of this plugin calls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wkconvert_core import (
    Box,
    Category,
    InconsistentStack,
    Layer,
    Mag,
    OptionError,
    UnsupportedSource,
    Vec3,
    VolumeInfo,
    VoxelSize,
    WarningNote,
)
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_images.facts import lossy_labels

from .conf import UNKNOWN, Conf, nearest_conf
from .cube_file import lossy
from .source import CubeSource
from .survey import KINDS, Cubes, Survey, survey
from .tree import OVERLAYS, PICTURES, UNREAD, Tree, locate

Mags = Literal["all", "first"]
Extent = Literal["conf", "cubes"]

_DTYPES: dict[Category, np.dtype[Any]] = {"color": np.dtype("uint8"), "segmentation": np.dtype("uint64")}
_SPARSEST = 10_000
"""Most cubes in the extent for each that exists; beyond, the extent must be wrong."""


@dataclass(frozen=True)
class Found:
    """All cubes of one category."""

    category: Category
    tree: Tree
    mags: dict[Mag, Cubes]
    conf: Conf
    most: int
    """Number of cubes of the finest mag, in the category that has more of them."""
    notes: tuple[str, ...]

    @property
    def finest(self) -> Mag:
        """The finest mag that is there."""
        return min(self.mags)


def open_knossos(
    path: Path, *, mags: Mags = "all", extent: Extent | None = None, category: Category | None = None
) -> Sequence[Layer]:
    """Open a KNOSSOS dataset, or a part of it: a layer of the image and one of overlays, each with its mags.

    Raises SourceError, OptionError. The README explains each option.
    """
    tree = locate(path) or Tree({})
    numbers = sorted(tree.mags, key=lambda number: number or 0)
    numbers = numbers[:1] if mags == "first" else numbers
    surveys = {number: survey(tree.mags[number], tree) for number in numbers}
    found = [each for category in _DTYPES if (each := _found(category, tree, surveys))]
    if not found:
        raise _nothing(path, tree, [note for each in surveys.values() for note in each.notes])
    layers = [_layer(each, extent, named=len(found) > 1) for each in found]
    notes = [note for each in found for note in each.conf.notes]
    notes += [note for each in surveys.values() for note in each.notes]
    if category == "segmentation":
        cubes = (path for each in found for path in each.mags[each.finest].states.values())
        notes += lossy_labels(map(lossy, cubes))
    return [_noted(layer, list(dict.fromkeys(notes))) for layer in layers]


def _nothing(path: Path, tree: Tree, notes: Sequence[str]) -> UnsupportedSource:
    if tree.mags and tree.suffix in (None, *UNREAD):
        return UnsupportedSource(
            f"{path} holds cubes of KNOSSOS of a kind that is not read",
            why="; ".join(notes),
            fix=f"write them again as cubes that are: {', '.join((*PICTURES, *OVERLAYS))}",
        )
    return UnsupportedSource(
        f"{path} holds no cubes of KNOSSOS",
        why="they lie in folders such as mag1/x0000/y0000/z0000",
        fix="give the dataset's folder, a mag's, or one below it",
    )


def _found(category: Category, tree: Tree, surveys: dict[int | None, Survey]) -> Found | None:
    present = {number: each.cubes[category] for number, each in surveys.items() if len(each.cubes[category])}
    if not present:
        return None
    number, first = next(iter(present.items()))
    conf = _conf(number, first, present) or UNKNOWN
    notes: list[str] = []
    mags: dict[Mag, Cubes] = {}
    for number, cubes in present.items():
        cubes.check(conf.cube)
        mag = conf.mag(number or conf.magnification)
        if mag is None or mag in mags:
            notes.append(WarningNote(f"{cubes.folder.name} left out: it is no mag of its own that is a power of two"))
        elif mags and (doubt := _other_size(number, cubes, conf.voxel_size(mag))):
            notes.append(WarningNote(f"{cubes.folder.name} left out: {doubt}"))
        else:
            mags[mag] = cubes
    if not mags:
        raise UnsupportedSource(
            f"{first.folder} cannot be converted",
            why=f"WEBKNOSSOS has mags that are powers of two, and {number} is none",
            fix="convert another mag",
        )
    experiments = sorted({name for cubes in mags.values() for name in cubes.experiments})
    if len(experiments) > 1:
        notes.append(WarningNote(f"cubes are of {len(experiments)} experiments by their names: {shorten(experiments)}"))
    most = max(len(cubes) for cubes in surveys[next(iter(present))].cubes.values())
    return Found(category, tree, mags, conf, most, tuple(notes))


def _conf(number: int | None, first: Cubes, present: dict[int | None, Cubes]) -> Conf | None:
    """The configuration beside the finest mag, else beside all mags, in a folder above, or beside another mag."""
    folder, above = first.folder, list(first.folder.parents)
    near = [folder] if number is None else [folder, *above[:1]]
    far = above[len(near) - 1 : len(near) + 1]
    suffix = next(iter(first.states))[0]
    conf = nearest_conf(near, far, first.experiment, suffix)
    conf = conf or nearest_conf([cubes.folder for cubes in present.values()], [], first.experiment, suffix)
    if conf and conf.file.parent == folder and number and conf.magnification not in (1, number):
        raise InconsistentStack(
            f"{conf.file} says magnification {conf.magnification}",
            why=f"it lies in {folder.name}, which holds mag {number}",
            fix="correct the file, or rename the folder",
        )
    return conf


def _other_size(number: int | None, cubes: Cubes, size: VoxelSize | None) -> str:
    """What the configuration beside a coarser mag says, if its voxels are of another size than they should be."""
    conf = nearest_conf([cubes.folder], [], cubes.experiment, next(iter(cubes.states))[0])
    own = conf.voxel_size(Mag(*[number] * 3)) if conf and number and conf.magnification == number else None
    sides = zip(own.size, size.size, strict=True) if own and size else ()
    if all(one is None or other is None or math.isclose(one, other, rel_tol=0.01) for one, other in sides):
        return ""
    return f"its {conf.file.name} says {own}, where the finest mag's makes {size} of it" if conf else ""


def _layer(found: Found, extent: Extent | None, *, named: bool) -> Layer:
    box, notes = _extent(found, extent)
    sources = {found.finest: _source(found, found.finest, box)}
    notes += map(WarningNote, _missing(found, found.finest, box))
    for mag in sorted(found.mags)[1:]:
        factor = mag // found.finest
        if factor * found.finest != mag:
            notes.append(WarningNote(f"mag {mag} left out: it is no multiple of mag {found.finest}"))
            continue
        if lacking := found.mags[mag].lacking(found.mags[found.finest], factor, box, found.conf.cube):
            why = f"as it lacks cubes where mag {found.finest} has some ({lacking} in all)"
            notes.append(WarningNote(f"mag {mag} left out, {why}"))
            continue
        sources[mag] = _source(found, mag, box.coarsened(factor))
        notes += [WarningNote(f"mag {mag}: {note}") for note in _missing(found, mag, box.coarsened(factor))]
    return _noted(Layer(sources, found.category if named else None, found.category), [*found.notes, *notes])


def _noted(layer: Layer, notes: Sequence[str]) -> Layer:
    """The layer with more notes on its finest mag: those are shown."""
    finest = min(layer.mags)
    source = layer.mags[finest]
    assert isinstance(source, CubeSource)
    info = replace(source.info, notes=(*source.info.notes, *notes))
    return replace(layer, mags={**layer.mags, finest: replace(source, info=info)})


def _source(found: Found, mag: Mag, box: Box) -> CubeSource:
    info = VolumeInfo(
        box.shape,
        _DTYPES[found.category],
        voxel_size=found.conf.voxel_size(mag),
        chunk_shape=box.shape.min(found.conf.cube),
        offset=box.start,
    )
    suffixes = KINDS[found.category] if found.tree.suffix is None else (found.tree.suffix,)
    cubes = found.mags[mag]
    return CubeSource(cubes.folder, len(found.tree.part), suffixes, found.conf.cube, box.start, cubes.first, info)


def _extent(found: Found, extent: Extent | None) -> tuple[Box, list[str]]:
    """Extent of the finest mag in its voxels, and notes on it. Raises OptionError, SourceError."""
    cubes, cube = found.mags[found.finest], found.conf.cube
    boundary = None if extent == "cubes" else found.conf.extent(found.finest)
    notes = [f"only {cubes.first.parents[3 - len(found.tree.part)].name} is read"] if found.tree.part else []
    if boundary is None:
        if extent == "conf":
            raise OptionError("-o extent=conf needs a boundary", why=f"no configuration of {cubes.folder} has one")
        box = cubes.box(cube)
        why = "" if extent else ", for no configuration says the boundary"
        said = f"the extent is that of the cubes, in whole cubes{why}"
        notes.append(said if extent else WarningNote(said))
    else:
        # the indices that the opened path fixes leave one cube's length along their axes
        index = (*found.tree.part, 0, 0, 0)[:3]
        edges = [edge if axis < len(found.tree.part) else boundary[axis] for axis, edge in enumerate(cube)]
        part = Box(Vec3(*index), (1, 1, 1)).refined(Vec3(*edges))
        box = Box((0, 0, 0), boundary).intersection(part)
        notes += _beyond(found, box, extent)
    if (cells := box.count_tiles(cube)) > _SPARSEST * found.most:
        raise UnsupportedSource(
            f"{cubes.folder} has {found.most} of {cells} cubes",
            why=f"an extent with fewer than one cube in {_SPARSEST} is mostly a mistake: {box}",
            fix="correct the boundary, say -o extent=cubes, or convert the parts of it (x0000, …) by themselves",
        )
    return box, notes


def _beyond(found: Found, box: Box, extent: Extent | None) -> list[str]:
    cubes, cube = found.mags[found.finest], found.conf.cube
    beyond = len(cubes) - cubes.inside(box, cube)
    if beyond and (extent is None or beyond == len(cubes)):
        raise InconsistentStack(
            f"{beyond} of {len(cubes)} cubes in {cubes.folder} lie beyond the boundary",
            why=f"{found.conf.file} says {found.conf.boundary}, the cubes reach to {cubes.box(cube).stop}",
            fix="say -o extent=cubes to take all of them, -o extent=conf to leave those out, or correct the boundary",
        )
    left_out = WarningNote(f"{beyond} of {len(cubes)} cubes lie beyond the boundary and are left out")
    return [left_out] if beyond else []


def _missing(found: Found, mag: Mag, box: Box) -> list[str]:
    cubes, cube = found.mags[mag], found.conf.cube
    cells, inside = box.count_tiles(cube), cubes.inside(box, cube)
    notes = [f"{cells - inside} of {cells} cubes are missing and read as zeros"] if inside < cells else []
    if mag != found.finest and inside < len(cubes):
        notes.append(f"{len(cubes) - inside} of {len(cubes)} cubes lie beyond the extent and are left out")
    return notes
