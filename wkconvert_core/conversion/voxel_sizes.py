"""The size of layers' voxels: the mags that differing sizes make, and the one size that a dataset has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isclose, log2

from wkconvert_core.contract.errors import InconsistentStack, OptionError
from wkconvert_core.contract.geometry import Mag, Vec3Like
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.contract.numbers import is_power_of_two
from wkconvert_core.contract.voxel_size import VoxelSize
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.datasets.records.existing_layers import ExistingLayers
from wkconvert_core.toolkit.shortened import shorten

_SAME = 1e-6
"""Relative tolerance for sizes: some formats store them as 32-bit floats."""
_ROUNDED = 1e-3
"""Relative tolerance for sizes of layers of one shape: some files state them rounded, as 0.4883 for 0.48828125."""
_NEARLY = 0.1
"""The part by which a ratio may miss a mag that is proposed."""
_DATASET = "the dataset"
"""Its name beside those of layers, which hold no space."""


# --- mags ------------------------------------------------------------------------------------------------------------


def at_mags(layers: Sequence[SourceLayer], settings: Settings, existing: ExistingLayers) -> list[SourceLayer]:
    """The layers at the mags that `--at-mag` or the ratios of their voxel sizes say.

    Raises InconsistentStack for ratios that are no mags, and for mags that make no pyramid.
    """
    if settings.at_mag is not None:
        if len(finest := sorted({layer.finest for layer in layers})) > 1:
            raise OptionError(
                f"--at-mag {settings.at_mag} fits layers of one mag, and these have {', '.join(map(str, finest))}",
                fix="convert them one by one, the later ones with --add",
            )
        moved = [_at_mag(layer, settings.at_mag, "as --at-mag says") for layer in layers]
    else:
        ratios = _ratios(layers, settings.voxel_size, existing)
        moved = []
        for layer in layers:
            mag = _mag_of(layer, ratios[layer.name])
            if mag is None and _is_rounded(layer, ratios[layer.name], layers, existing):
                mag = layer.finest  # `with_sizes_noted` tells
            if mag is None:
                raise _no_mag(layer, ratios[layer.name], layers, existing.voxel_size)
            why = f"because its voxels measure {layer.info.voxel_size}; --at-mag decides otherwise"
            moved.append(_at_mag(layer, mag, why))
        moved = [layer if layer.voxel_size else _with_hint(layer, moved, existing) for layer in moved]
    if any(new.finest != old.finest for new, old in zip(moved, layers, strict=True)):
        _check_parts(moved, settings)
        if settings.at_mag is None:
            _check_shapes(moved, layers, existing)
        _check_order(moved, existing)
    return moved


def _at_mag(layer: SourceLayer, mag: Mag, why: str) -> SourceLayer:
    """The layer with `mag` for its finest mag, and a note if that is another."""
    if mag == layer.finest:
        return layer
    mags = {Mag(*(each // layer.finest * mag)): source for each, source in layer.mags.items()}
    return replace(layer, mags=mags, notes=(*layer.notes, f"stored at mag {mag}, {why}"))


def _ratios(
    layers: Sequence[SourceLayer], wanted: VoxelSize | None, existing: ExistingLayers
) -> dict[str, tuple[float, float, float]]:
    """The size of each layer's mag-1 voxels along x, y, z, in multiples of the dataset's, or of the smallest.

    1 where a layer states nothing, and along axes that `--voxel-size` gives where its ratios are no mag.
    """
    stated = {_DATASET: existing.voxel_size, **{layer.name: layer.voxel_size for layer in layers}}
    sizes = {name: size.to("nm") for name, size in stated.items() if size}
    ratios = {layer.name: [1.0, 1.0, 1.0] for layer in layers}
    for axis in range(3):
        known = {name: side for name, size in sizes.items() if (side := size.size[axis]) is not None}
        unit = known.get(_DATASET, min(known.values(), default=1.0))
        for name in ratios.keys() & known.keys():
            ratio = known[name] / unit
            near = 2.0 ** round(log2(ratio))
            ratios[name][axis] = near if isclose(ratio, near, rel_tol=_SAME) else ratio
    for layer in layers:
        if wanted and _mag_of(layer, own := ratios[layer.name]) is None:
            own[:] = [ratio if side is None else 1.0 for ratio, side in zip(own, wanted.size, strict=True)]
    return {name: (x, y, z) for name, (x, y, z) in ratios.items()}


def _is_rounded(
    layer: SourceLayer, ratio: Sequence[float], layers: Sequence[SourceLayer], existing: ExistingLayers
) -> bool:
    """Whether the layer's size is another's but for rounding: nearly the same, where another has the same shape."""
    shapes = [other.extent.shape for other in layers if other is not layer]
    shapes += [box.shape for box in existing.boxes.values()]
    return layer.extent.shape in shapes and all(isclose(each, 1, rel_tol=_ROUNDED) for each in ratio)


def _mag_of(layer: SourceLayer, ratio: Sequence[float]) -> Mag | None:
    """The mag of the layer's finest voxels, if its mag-1 voxels are so much larger; None if there is none."""
    factors = [own * r for own, r in zip(layer.finest, ratio, strict=True)]
    x, y, z = (int(factor) if factor.is_integer() else 0 for factor in factors)
    return Mag(x, y, z) if all(map(is_power_of_two, (x, y, z))) else None


def _no_mag(
    layer: SourceLayer, ratio: Sequence[float], layers: Sequence[SourceLayer], own: VoxelSize | None
) -> InconsistentStack:
    """The error for a layer whose voxels are no mag of those of the dataset, or of the finest of the `layers`."""
    what = f"the layers differ in voxel size: {_told(layers, own)}"
    if own and all(each <= 1 and log2(each).is_integer() for each in ratio):
        return InconsistentStack(
            what,
            why=f"the voxels of {layer.name} are finer than the dataset's mag 1, and there is no mag below 1",
            fix=f"convert {layer.name} into a new dataset, and add the other layers to that: they will lie at a "
            "coarser mag; or say --at-mag 1 if its voxels are as large as the dataset's",
        )
    sizes = [own] if own else [size for each in layers if (size := each.voxel_size)]
    listed = list(dict.fromkeys(f"--voxel-size {_numbers(size)}" for size in sizes))
    fix = f"say {' or '.join(listed[:3])} if that is the size of all"
    near = [2 ** max(0, round(log2(each))) for each in ratio]
    if max(near) > 1 and all(isclose(each, n, rel_tol=_NEARLY) for each, n in zip(ratio, near, strict=True)):
        x, y, z = near
        fix += f"; or convert {layer.name} after the others, with --add and --at-mag {Mag(x, y, z)} if it is that"
    elif max(ratio) > 1 + _NEARLY:
        fix += f"; or resample {layer.name} to such a mag, or say --at-mag, with --add, if its stated size is wrong"
    times, finest = " x ".join(f"{each:.6g}" for each in ratio), "the dataset's" if own else "the smallest"
    why = f"the voxels of {layer.name} are {times} times {finest}, and a mag is a power of two along each axis"
    return InconsistentStack(what, why=why, fix=fix)


def _told(layers: Sequence[SourceLayer], own: VoxelSize | None) -> str:
    """List the voxel sizes and the layers that state them, for a message."""
    names: dict[str, list[str]] = {f"{own} ({own.origin})": []} if own else {}
    for layer in layers:
        if size := layer.voxel_size:
            names.setdefault(f"{size} ({size.origin})", []).append(layer.name)
    return "; ".join(f"{shorten(said)}: {size}" if said else size for size, said in names.items())


def _numbers(size: VoxelSize) -> str:
    """The size as `--voxel-size` and `--unit` take it."""
    unit = "" if size.unit == "nm" else f" --unit {size.unit}"
    return ",".join("" if side is None else f"{side:.9g}" for side in size.size) + unit


def _with_hint(layer: SourceLayer, layers: Sequence[SourceLayer], existing: ExistingLayers) -> SourceLayer:
    """A layer that states no voxel size, with a warning if it has the shape of a coarser mag of another one."""
    boxes = {other.name: other.extent for other in layers if other is not layer} | dict(existing.boxes)
    for name, box in boxes.items():
        mag = fitting_mag(layer.info.shape, box.shape)
        if mag and mag != layer.finest:
            hint = f"has the shape of mag {mag} of {name}: if it is that, say --at-mag {mag}, with --add after {name}"
            return replace(layer, notes=(*layer.notes, WarningNote(hint)))
    return layer


def fitting_mag(shape: Vec3Like, whole: Vec3Like) -> Mag | None:
    """The mag, other than 1, at which an extent in mag-1 voxels has this shape, rounded up or down; None if at none.

    >>> [str(fitting_mag(shape, (80, 65, 6))) for shape in ((40, 33, 6), (40, 30, 6))]
    ['2-2-1', 'None']
    """
    factors = []
    for side, full in zip(shape, whole, strict=True):
        factor = 2 ** max(0, round(log2(max(full, 1) / side)))
        if side not in (full // factor, -(-full // factor)):
            return None
        factors.append(factor)
    x, y, z = factors
    return Mag(x, y, z) if max(factors) > 1 else None


def _check_shapes(layers: Sequence[SourceLayer], before: Sequence[SourceLayer], existing: ExistingLayers) -> None:
    """Raise InconsistentStack for a layer that came to lie at a coarser mag, but has the shape of one that did not."""
    fine = {new.name: new.info.shape for new, old in zip(layers, before, strict=True) if new.finest == old.finest}
    fine |= {name: box.shape for name, box in existing.boxes.items()}
    for layer in layers:
        if layer.name not in fine and (same := [name for name, shape in fine.items() if shape == layer.info.shape]):
            x, y, z = layer.info.shape
            raise InconsistentStack(
                f"{layer.name} and {same[0]} both have {x} x {y} x {z} voxels, but differ in voxel size",
                why=f"{layer.name} states {layer.info.voxel_size}, which would be mag {layer.finest}: one of both "
                "is wrong, the size or the shape",
                fix=f"say --at-mag 1 with --voxel-size x,y,z if they cover the same place, --at-mag {layer.finest} "
                "(with --add, after the others) if not",
            )


def _check_order(layers: Sequence[SourceLayer], existing: ExistingLayers) -> None:
    """Raise InconsistentStack for mags of which WEBKNOSSOS makes no pyramid."""
    mags = sorted({*(layer.finest for layer in layers), *existing.mags})
    for layer in layers:
        for other in mags:
            same = max(layer.finest) == max(other)
            if other != layer.finest and (same or layer.finest.min(other) not in (layer.finest, other)):
                raise InconsistentStack(
                    f"{layer.name} would lie at mag {layer.finest} beside mag {other}",
                    why="the mags of a dataset have one order along x, y and z, and one for each largest factor",
                    fix="say with --at-mag which mag it is, or convert it into a dataset of its own",
                )


def _check_parts(layers: Sequence[SourceLayer], settings: Settings) -> None:
    """Raise OptionError for options that count voxels of each layer, where these come to differ in size."""
    given = {
        "--bbox": settings.bbox is not None,
        "--skip-first-z-slices": settings.skip_first_z_slices > 0,
        "--start-z": settings.start_z > 0,
    }
    mags = sorted({layer.finest for layer in layers})
    if len(mags) > 1 and (option := next((name for name, is_given in given.items() if is_given), None)):
        raise OptionError(
            f"{option} counts each layer's own voxels, and the layers lie at the mags {', '.join(map(str, mags))}",
            why=_told(layers, None),
            fix="convert them one by one, the finest first, the others with --add and numbers of their own",
        )


# --- the dataset's ---------------------------------------------------------------------------------------------------


def voxel_size(layers: Sequence[SourceLayer], wanted: VoxelSize | None) -> VoxelSize:
    """The one voxel size of the dataset: as wanted, and along the axes left open as the sources state it.

    A single slice of unknown thickness is as thick as its voxels are wide. Raises OptionError for an axis that is
    unknown, InconsistentStack if sources differ along an axis that `wanted` leaves open.
    """
    sizes = {layer.name: size for layer in layers if (size := layer.voxel_size)}
    size = wanted or next(iter(sizes.values()), VoxelSize((None, None, None)))
    for other in sizes.values():
        size = size.filled(other)
    for axis in range(3):
        known = [side for each in sizes.values() if (side := each.to("nm").size[axis]) is not None]
        is_open = wanted is None or wanted.size[axis] is None
        if is_open and known and max(known) - min(known) > _ROUNDED * max(known):
            raise InconsistentStack(
                f"the layers differ in voxel size: {_told(layers, None)}",
                why="a dataset has one voxel size",
                fix="decide with --voxel-size",
            )
    if (wanted is None or wanted.missing()) and (oddity := size.oddity()):
        raise OptionError(
            f"the voxel size {size} cannot be right",
            why=f"{oddity}: no microscope has such voxels, so a number or a unit is wrong; it is from {size.origin}",
            fix="look up the size, and give it along x, y and z with --voxel-size, for example --voxel-size 4,4,35",
        )
    x, y, z = size.size
    if all(layer.info.shape[2] == 1 for layer in layers) and z is None and x is not None:
        size = VoxelSize((x, y, x), size.unit, f"{size.origin}; z of the single slice taken from x")
    if missing := size.missing():
        known_axes = f" (known: {size}, {size.origin})" if any(size.size) else ""
        notes = [note for layer in layers for note in layer.info.notes if "size" in note or "unit" in note]
        guesses = zip(size.size, ("4", "4", "35"), strict=True)
        example = ["" if side is not None and not wanted else guess for side, guess in guesses]
        raise OptionError(
            f"the voxel size along {', '.join(missing)} is not known",
            why="; ".join([f"the source does not state it{known_axes}", *notes[:3]]),
            fix=f"give it, for example --voxel-size {','.join(example)}"
            + ("" if size.unit == "nm" else f" --unit {size.unit}"),
        )
    return size


def with_sizes_noted(
    layers: Sequence[SourceLayer], size: VoxelSize, wanted: VoxelSize | None, own: VoxelSize | None
) -> list[SourceLayer]:
    """The layers with notes on voxel sizes that are not their source's own, and on where each is from if that differs.

    `size` is that of the dataset, `wanted` what the user said of it, `own` what it was before layers are added.
    """
    origins = {stated.origin for layer in layers if (stated := layer.voxel_size)}

    def note(layer: SourceLayer) -> str:
        stated = layer.voxel_size or VoxelSize((None, None, None))
        open_axes = [axis for axis in range(3) if wanted is None or wanted.size[axis] is None]
        lacking = [axis for axis in open_axes if stated.size[axis] is None]
        givers = ["the dataset"] if own else []
        givers += [it.name for it in layers if (each := it.voxel_size) and any(each.size[axis] for axis in lacking)]
        if lacking and givers:
            axes = "" if len(lacking) == 3 else f" along {', '.join('xyz'[axis] for axis in lacking)}"
            return WarningNote(f"no voxel size{axes} is stated: that of {givers[0]} is taken, {size} ({size.origin})")
        sides = list(zip(stated.to(size.unit).size, size.size, strict=True))
        unlike = [axis for axis, (a, b) in enumerate(sides) if a and b and not isclose(a, b, rel_tol=_SAME)]
        told = f"its source says {layer.info.voxel_size} ({stated.origin})"
        if unlike:
            text = f"{told}; they are taken as {size.coarsened(layer.finest)} ({size.origin})"
            return WarningNote(text) if set(unlike) & set(open_axes) else text
        return told if len(origins) > 1 else ""

    return [replace(layer, notes=(*layer.notes, said)) if (said := note(layer)) else layer for layer in layers]
