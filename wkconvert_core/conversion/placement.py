"""Where layers lie, against each other and those that a dataset has already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from wkconvert_core.contract.affine import Affine
from wkconvert_core.contract.errors import InconsistentStack, OptionError
from wkconvert_core.contract.geometry import Box, Mag, Vec3
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.voxel_size import METRES
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.conversion.voxel_sizes import at_mags
from wkconvert_core.datasets.records.existing_layers import ExistingLayers
from wkconvert_core.toolkit.shortened import shorten

_WHOLE = 0.05
"""The part of a mag-1 voxel by which a layer's first corner may miss a voxel's; affines are stored as 32-bit floats."""
_PARALLEL = 0.25
"""The part of a mag-1 voxel by which its last corner may be off on account of directions and sizes."""
_FAR = 2**31
"""Places beyond are mistakes."""

_FIX_PLACE = "say --top-left x,y,z, in mag-1 voxels, to lay the first voxel there whatever the affine says"
_FIX_DIRECTIONS = (
    "read both with -o orientation=canonical, or both with -o orientation=stored if they are stored alike; or resample "
    "one in the other's space"
)
_FIX_SIZES = "say with --at-mag which mag it is; where a file names no unit, say it (-o unit=mm)"


def placed(layers: Sequence[SourceLayer], settings: Settings, existing: ExistingLayers) -> list[SourceLayer]:
    """The layers at the mags and places that their sources, or the user, say, beside a dataset's `existing` ones.

    Voxel sizes whose ratio is a power of two along each axis become mags. Affines that agree up to a shift in whole
    voxels become places: the first its source's, else the least at 0. A single layer stays as it is. Raises
    InconsistentStack where what is stated does not go together, OptionError for a place that a layer's mag cannot have.
    """
    _check_turns(layers, existing)
    found = _in_place(at_mags(layers, settings, existing), settings, existing)
    if not (existing.affine and all(layer.info.affine for layer in layers)):  # these are compared themselves
        found = [replace(layer, notes=(*layer.notes, *existing.notes_on_flips(settings.flip))) for layer in found]
    others = existing if settings.top_left is None else ExistingLayers()
    return _with_places_told([_apart(layer, found, existing) for layer in found], others)


# --- turned axes -----------------------------------------------------------------------------------------------------


def _check_turns(layers: Sequence[SourceLayer], existing: ExistingLayers) -> None:
    """Raise InconsistentStack if a layer is turned, and it is not known that this lays it upon the others."""
    if all(layer.info.affine for layer in layers) and (existing.affine or not existing.mags):
        return  # these are compared themselves
    hows = {layer.name: layer.info.turned.how if layer.info.turned else "" for layer in layers}
    others = dict.fromkeys(existing.boxes, existing.turned)
    if len({*hows.values(), *others.values()}) < 2:
        return
    told = [f"{name} {f'is turned {how}' if how else 'is not turned'}" for name, how in {**others, **hows}.items()]
    fixes = dict.fromkeys(layer.info.turned.fix for layer in layers if layer.info.turned)
    doubts = [
        f"{layer.name}: {note}"
        for layer in layers
        for note in layer.info.notes
        if not layer.info.affine and isinstance(note, WarningNote)
    ]
    why = "not all of them state for certain how their axes lie, so they may end up mirrored against each other"
    raise InconsistentStack(
        f"the layers would be turned differently: {'; '.join(told)}",
        why="; ".join([why, *doubts[:3]]),
        fix="; ".join(fixes) or "convert the layers that are there again, with -o orientation=stored",
    )


# --- places ----------------------------------------------------------------------------------------------------------


def _in_place(layers: Sequence[SourceLayer], settings: Settings, existing: ExistingLayers) -> list[SourceLayer]:
    """The layers where `--top-left` or their affines say."""
    if settings.top_left is not None:
        return [_at_top_left(layer, Vec3(*settings.top_left)) for layer in layers]
    stating = [layer for layer in layers if layer.info.affine]
    moved = list(layers)
    if stating and (existing.affine or len(stating) > 1):
        grid, of = existing.affine, "the dataset"
        if grid is None:
            grid, of = _affine(stating[0]).refined(stating[0].finest), stating[0].name
        places = {layer.name: _place(layer, grid, of) for layer in stating}
        if not existing.affine:
            places = _from_zero(stating, places, settings)
        moved = [_moved(layer, places[layer.name], grid) if layer.info.affine else layer for layer in layers]
    if settings.flip and not (len(stating) == len(layers) and (existing.affine or not existing.boxes)):
        moved = _mirrored(moved, settings.flip, existing)
    return [_doubted(layer, moved, existing) for layer in moved]


def _mirrored(layers: Sequence[SourceLayer], flip: str, existing: ExistingLayers) -> list[SourceLayer]:
    """The layers, each mirrored in itself, moved so that they are mirrored in the box around all of them.

    Raises InconsistentStack where that is no place of a layer's mag, and beside others that may be mirrored already or
    lie by their affines.
    """
    axes = ["xyz".index(axis) for axis in flip]
    boxes = {**existing.boxes, **{layer.name: layer.extent for layer in layers}}
    if all(len({(box.start[axis], box.stop[axis]) for box in boxes.values()}) == 1 for axis in axes):
        return list(layers)
    around = reduce(Box.spanning, boxes.values())
    moved = []
    for layer in layers:
        ends = around.start + around.stop - layer.extent.start - layer.extent.stop
        move = Vec3(*(by if axis in axes else 0 for axis, by in enumerate(ends)))
        if existing.boxes or layer.info.affine or move // layer.finest * layer.finest != move:
            listed = "; ".join(f"{name} {box}" for name, box in list(boxes.items())[:5])
            raise InconsistentStack(
                f"--flip {flip} does not tell where {layer.name} lies: {listed}",
                why="each layer is mirrored in itself, and these differ in extent",
                fix="convert it by itself, with --add, and say with --top-left x,y,z where the first voxel of the "
                "mirrored layer lies, in mag-1 voxels",
            )
        note = f"begins at voxel {_numbers(layer.extent.start + move)}, mirrored in the box around all layers"
        notes = (*layer.notes, note) if any(move) else layer.notes
        moved.append(replace(layer, shift=layer.shift + move // layer.finest, notes=notes))
    return moved


def _at_top_left(layer: SourceLayer, place: Vec3) -> SourceLayer:
    """The layer with its source's first voxel at a place in mag-1 voxels. Raises OptionError."""
    if place // layer.finest * layer.finest != place:
        raise OptionError(
            f"--top-left {_numbers(place)} is no place for {layer.name}",
            why=f"voxels of mag {layer.finest} begin at multiples of {_numbers(layer.finest)}",
            fix=f"say --top-left {','.join(map(str, place // layer.finest * layer.finest))}, or another multiple",
        )
    note = [f"begins at {_numbers(place)}, as --top-left says; its affine is not used"] if layer.info.affine else []
    return replace(layer, shift=place // layer.finest - layer.start, notes=(*layer.notes, *note))


def _place(layer: SourceLayer, grid: Affine, of: str) -> Vec3:
    """Where the layer's first voxel begins, in voxels of a grid; perhaps before 0.

    Raises InconsistentStack if the layer's voxels are no boxes of whole voxels of the grid.
    """
    affine = _affine(layer)
    both = f"{layer.name}: {affine}; {of}: {grid}"
    unit = METRES[affine.unit] / METRES[grid.unit] if affine.unit and grid.unit else 1.0
    with np.errstate(all="ignore"):
        inverse = np.linalg.inv(_matrix(grid))
        steps = inverse @ _matrix(affine) * unit
        off = np.abs(steps - np.diag(layer.finest)) @ (np.array(layer.info.shape) - 1)
        corner = inverse @ (np.array(affine.origin) * unit - grid.origin) + 0.5 - np.array(layer.finest) / 2
    if not off.max() <= _PARALLEL:
        fix = _FIX_SIZES if (how := _how(steps, layer.finest)).startswith("with voxels") else _FIX_DIRECTIONS
        raise InconsistentStack(f"{layer.name} lies {how} {of}", why=both, fix=f"{fix}; or {_FIX_PLACE}")
    if not np.abs(corner).max() <= _FAR:
        raise InconsistentStack(f"{layer.name} lies too far from {of} to be true", why=both, fix=_FIX_PLACE)
    whole = np.round(corner)
    if np.abs(corner - whole).max() > _WHOLE:
        sides = zip(corner.tolist(), layer.finest, strict=True)
        nearest = ",".join(str(max(0, round(number / side) * side)) for number, side in sides)
        raise InconsistentStack(
            f"{layer.name} begins at {', '.join(f'{number:.6g}' for number in corner + 0.0)} voxels of {of}",
            why=f"only whole voxels are moved, and nothing is resampled; {both}",
            fix=f"{_FIX_PLACE}: the nearest place beside {of}, with --add, is {nearest}",
        )
    return Vec3(*map(int, whole))


def _affine(layer: SourceLayer) -> Affine:
    assert layer.lies.affine, "only layers that state where they lie are placed"
    return layer.lies.affine


def _matrix(affine: Affine) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([affine.x, affine.y, affine.z]).T


def _how(steps: np.ndarray[tuple[int, int], np.dtype[np.float64]], mag: Mag) -> str:
    """Say how a layer of this mag lies, given its steps in voxels of another, for a message."""
    lengths = np.linalg.norm(steps, axis=0)
    turned = steps / lengths
    if np.allclose(turned, np.eye(3), atol=1e-3):
        return f"with voxels of {' x '.join(f'{length:.6g}' for length in lengths)} at mag {mag} on those of"
    signs = np.round(turned)
    if np.allclose(turned, signs, atol=1e-3):
        against = [axis for axis, sign in zip("xyz", np.diag(signs), strict=True) if sign < 0]
        exchanged = [axis for axis, sign in zip("xyz", np.diag(signs), strict=True) if not sign]
        words = [f"mirrored along {', '.join(against)}"] * bool(against)
        words += [f"with {', '.join(exchanged)} exchanged"] * bool(exchanged)
        return f"{' and '.join(words)} against"
    angle = np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1)))
    return f"turned by {angle:.3g} degrees against"


def _from_zero(layers: Sequence[SourceLayer], places: Mapping[str, Vec3], settings: Settings) -> dict[str, Vec3]:
    """The places moved together: the first layer begins where its source says if that can be, else the least at 0.

    A part that `--bbox` chose keeps its place in the whole. Raises InconsistentStack where no move fits all mags.
    """
    cut = settings.bbox.start if settings.bbox else Vec3(0, 0, 0)
    own = layers[0].extent.start - places[layers[0].name]
    move = []
    for axis in range(3):
        least = -min(places[layer.name][axis] - cut[axis] * layer.finest[axis] for layer in layers)
        fitting = (
            by
            for by in (max(own[axis], least), *range(least, least + max(layer.finest[axis] for layer in layers)))
            if not any((places[layer.name][axis] + by) % layer.finest[axis] for layer in layers)
        )
        move.append(next(fitting, None))
    if None in move:
        told = "; ".join(f"{name} at {_numbers(place)}" for name, place in places.items())
        raise InconsistentStack(
            f"the layers' places do not fit their mags: {told}",
            why="voxels of a mag begin at multiples of its factors",
            fix=_FIX_PLACE,
        )
    x, y, z = (by or 0 for by in move)
    return {name: Vec3(x, y, z) + place for name, place in places.items()}


def _moved(layer: SourceLayer, place: Vec3, grid: Affine) -> SourceLayer:
    """The layer at a place in mag-1 voxels, with a note unless it is there anyway. Raises InconsistentStack."""
    affine = _affine(layer)
    if min(place) < 0:
        raise InconsistentStack(
            f"{layer.name} begins at voxel {_numbers(place)} of the dataset",
            why=f"bounding boxes begin at 0 or more; {layer.name}: {affine}; the dataset: {grid}",
            fix=f"convert all layers anew from one folder, which moves them together; or {_FIX_PLACE}",
        )
    if place // layer.finest * layer.finest != place:
        raise InconsistentStack(
            f"{layer.name} begins at voxel {_numbers(place)} of the dataset",
            why=f"voxels of mag {layer.finest} begin at multiples of {_numbers(layer.finest)}",
            fix=_FIX_PLACE,
        )
    shift = place // layer.finest - layer.info.offset
    if not any(shift):
        return layer
    doubt = "" if affine.stated == grid.stated else f", though the space may be another ({grid.stated})"
    note = f"begins at voxel {_numbers(place)}, as its affine says ({affine}){doubt}; --top-left decides otherwise"
    return replace(layer, shift=shift + layer.shift, notes=(*layer.notes, WarningNote(note) if doubt else note))


def _doubted(layer: SourceLayer, layers: Sequence[SourceLayer], existing: ExistingLayers) -> SourceLayer:
    """The layer with a warning if where it lies beside the others is not certain, though its affine says something."""
    affine = layer.info.affine
    if affine is None:
        return _elsewhere(layer, existing.affine) if layer.lies.affine and existing.affine else layer
    others = [other for other in layers if not other.info.affine]
    silent = {**({} if existing.affine else existing.boxes), **{other.name: other.extent for other in others}}
    if not silent or not any(affine.origin):
        return layer
    unlike = [name for name, box in silent.items() if box != layer.extent]
    who = f"{shorten(names := unlike or list(silent))} {'states' if len(names) == 1 else 'state'}"
    told = f"begins at {_numbers(layer.extent.start)}: its affine ({affine}) is not used where {who} none"
    is_known = layer.found.match.format in {other.found.match.format for other in others}
    doubt = " and the extents differ" if unlike else ", in a file of the same format" if is_known else ""
    return replace(layer, notes=(*layer.notes, WarningNote(f"{told}{doubt}; --top-left decides") if doubt else told))


def _elsewhere(layer: SourceLayer, grid: Affine) -> SourceLayer:
    """The layer of a dataset with a warning if, by the records of both, it does not belong where it is."""
    told = f"stays at {_numbers(layer.extent.start)}, where it lies in its own dataset"
    try:
        place = _place(layer, grid, "the dataset")
        told = f"{told}; by the affines that were recorded, it belongs at {_numbers(place)}: --top-left lays it there"
    except InconsistentStack as error:
        place, told = None, f"{told}; by the affines that were recorded, {error.what}"
    return layer if place == layer.extent.start else replace(layer, notes=(*layer.notes, WarningNote(told)))


def _apart(layer: SourceLayer, layers: Sequence[SourceLayer], existing: ExistingLayers) -> SourceLayer:
    """The layer with a warning if it lies where no other does."""
    boxes = [*existing.boxes.values(), *(other.extent for other in layers if other is not layer)]
    if not boxes or any(layer.extent.intersection(box).volume for box in boxes):
        return layer
    note = WarningNote(f"lies at {layer.extent}, where no other layer is; --top-left decides otherwise")
    return replace(layer, notes=(*layer.notes, note))


def _with_places_told(layers: list[SourceLayer], existing: ExistingLayers) -> list[SourceLayer]:
    """The layers with a warning if stages or numbers of slices of those without an affine say that they lie apart."""
    grids = {**existing.grids, **{layer.name: layer.lies for layer in layers}}
    silent = [(name, grid) for name, grid in grids.items() if not grid.affine]
    stages = {name: grid.stage for name, grid in silent if grid.stage}
    slices = {name: f"from {grid.first_slice} on" for name, grid in silent if grid.first_slice is not None}
    for what, facts in {"the stages differ": stages, "the numbers of first slices differ": slices}.items():
        if len({*facts.values()}) > 1 and facts.keys() & {layer.name for layer in layers}:
            told = f"{what}: {shorten([f'{name} {fact}' for name, fact in facts.items()])}"
            note = WarningNote(f"{told}; that moves no layer, --top-left does, with --add")
            layers = [replace(layer, notes=(*layer.notes, note)) for layer in layers]
    return layers


def _numbers(place: Sequence[int]) -> str:
    return ", ".join(map(str, place))
