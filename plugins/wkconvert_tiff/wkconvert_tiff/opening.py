"""Opening a path with options as layers, for the hook `wkconvert_open`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from wkconvert_core import Category, InconsistentStack, Layer, Mag, UnsupportedSource, VolumeInfo
from wkconvert_core.toolkit.dyes import view_colors
from wkconvert_core.toolkit.files import is_folder, raw_file, reading
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.stacks import Gaps, Naming, filled_note
from wkconvert_core.toolkit.volumes.choosing import no_channel

from .detection import TIFF_SUFFIXES, kind_of
from .planes.axes import Choice
from .planes.pages import RGB, Volume
from .stack import Stack
from .stack_facts import StackFacts, stack_facts
from .table import Multipage, Recipe, by_channel, list_pictures, make_table

Palette = Literal["colors", "indices"]
White = Literal["invert", "keep"]

_COLOR_NAMES = ("red", "green", "blue")
_WHITE = (255, 255, 255)
_MOST_LAYERS = 256


def open_tiff(
    path: Path,
    *,
    gaps: Gaps = "error",
    pad: bool = False,
    mix_dtypes: bool = False,
    channel: int | None = None,
    timepoint: int | None = None,
    volume: int | None = None,
    series: int | None = None,
    axes: str | None = None,
    planes: str | None = None,
    plain: bool = False,
    multipage: Multipage = "error",
    palette: Palette | None = None,
    white: White | None = None,
    suffix: str | None = None,
    category: Category | None = None,
    names: str | None = None,
    position: int | None = None,
    well: str | None = None,
) -> Sequence[Layer]:
    """Open a TIFF file, or a folder of them, as layers. Raises SourceError, OptionError. README: all options."""
    labels = category == "segmentation"
    choice = Choice(series, timepoint, volume, axes, planes, plain, labels)
    naming = Naming(names, timepoint, position, well)
    # ids are numbers: neither a palette nor what is shown white changes them
    colors = palette == "colors" or (palette is None and not labels)
    invert = white == "invert" or (white is None and not labels)
    recipe = Recipe("tiff", gaps, suffix, multipage, choice, colors, invert, naming)
    if multipage == "layers" and is_folder(path):
        return _layer_for_each_file(path, recipe, pad=pad, mix_dtypes=mix_dtypes, channel=channel)
    return _open(path, recipe, pad=pad, mix_dtypes=mix_dtypes, channel=channel)


def open_pictures(
    path: Path,
    *,
    gaps: Gaps = "error",
    pad: bool = False,
    mix_dtypes: bool = False,
    channel: int | None = None,
    palette: Palette | None = None,
    suffix: str | None = None,
    category: Category | None = None,
    names: str | None = None,
    timepoint: int | None = None,
    position: int | None = None,
    well: str | None = None,
) -> Sequence[Layer]:
    """Open a picture such as a PNG or JPEG, or a folder of them, as layers. Raises SourceError, OptionError."""
    naming, labels = Naming(names, timepoint, position, well), category == "segmentation"
    colors = palette == "colors" or (palette is None and not labels)
    recipe = Recipe("pictures", gaps, suffix, choice=Choice(labels=labels), colors=colors, naming=naming)
    return _open(path, recipe, pad=pad, mix_dtypes=mix_dtypes, channel=channel)


def _open(path: Path, recipe: Recipe, *, pad: bool, mix_dtypes: bool, channel: int | None) -> list[Layer]:
    where = str(path)
    if is_folder(path):
        _check_one_kind(path, recipe, list_pictures(where, recipe, of_any_kind=True).names)
    recipes = by_channel(where, recipe)
    if len(recipes) == 1:
        return _stack(where, *recipes.values(), pad=pad, mix_dtypes=mix_dtypes, channel=channel)
    layers = []
    for (name, each), shown in zip(recipes.items(), view_colors(list(recipes)), strict=True):
        found = _stack(where, each, pad=pad, mix_dtypes=mix_dtypes, channel=None)
        for layer in found:
            own = shown if len(found) == 1 and layer.category is None else None
            label = "_".join(filter(None, (_legal(name), layer.name)))
            layers.append(replace(layer, name=label, color=layer.color or own))
    if channel is None:
        return layers
    if not 0 <= channel < len(layers):
        raise no_channel(where, channel, len(layers))
    return [layers[channel]]


def _stack(where: str, recipe: Recipe, *, pad: bool, mix_dtypes: bool, channel: int | None) -> list[Layer]:
    """The layers of a file, or of the files of one channel."""
    table = make_table(where, recipe)
    found = stack_facts(where, table, recipe, pad=pad, mix=mix_dtypes)
    recipe = replace(recipe, simple=table.simple)
    # (channel of the file, samples) of each layer: 8-bit colour is one layer, otherwise each sample is one
    together = 3 if found.color and found.dtype == np.uint8 else 1
    parts = [found.kept[:together], *((sample,) for sample in found.kept[together:])]
    groups = [(plane, samples) for plane in range(len(table.volume.planes)) for samples in parts]
    if channel is not None:
        singles = [(plane, (sample,)) for plane, samples in groups for sample in samples]
        if not 0 <= channel < len(singles):
            raise no_channel(where, channel, len(singles))
        groups = [singles[channel]]
    if len(groups) > _MOST_LAYERS:
        raise UnsupportedSource(
            f"{where} holds {len(groups)} channels",
            why=f"each would become a layer; the limit is {_MOST_LAYERS}",
            fix="choose one with -o channel=N",
        )
    layers = []
    for (plane, samples), (name, color) in zip(groups, _shown(groups, found, table.volume), strict=True):
        info = VolumeInfo(
            shape=(*found.size, table.volume.planes.shape[1]),
            dtype=found.dtype,
            channels=len(samples),
            voxel_size=found.voxel_size,
            chunk_shape=(*found.chunk, 1),
            notes=(*found.notes, *filled_note(np.flatnonzero(table.volume.planes[plane, :, 0] < 0).tolist())),
            stage=table.volume.stage,
            first_slice=table.first_slice,
        )
        stack = Stack(where, recipe, table.digest, plane, samples, pad, info)
        is_color = len(samples) == 3 and not table.volume.guessed_color and not found.from_palettes
        category: Literal["color"] | None = "color" if is_color else None
        layers.append(Layer({Mag(1, 1, 1): stack}, name=name, category=category, color=color))
    return layers


def _check_one_kind(folder: Path, recipe: Recipe, names: Sequence[str]) -> None:
    """Raise InconsistentStack for a folder with pictures of several kinds; other files are ignored.

    Unless a suffix is asked for, raise UnsupportedSource where their names say TIFF and they are none, or the other
    way round.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in names:
        with reading(folder / name), raw_file(folder / name) as file:
            if kind := kind_of(file.read(16)):
                kinds[kind].append(name)
    if len(kinds) > 1:
        suffixes = {kind: found[0].rpartition(".")[2] for kind, found in kinds.items()}
        readers = {kind: "tiff" if kind == "TIFF" else "pictures" for kind in kinds}
        others = {kind: f" --reader {reader}" for kind, reader in readers.items() if reader != recipe.format}
        ways = [f"-o suffix={suffix}{others.get(kind, '')}" for kind, suffix in suffixes.items()]
        listed = "; ".join(
            f"{kind}: {shorten(names)}" for kind, names in sorted(kinds.items(), key=lambda k: -len(k[1]))
        )
        raise InconsistentStack(
            f"the folder holds pictures of several kinds: {listed}",
            why="a stack consists of one kind",
            fix=f"move the others away, or choose by name with {' or with '.join(ways)}",
        )
    for kind, found in kinds.items() if recipe.suffix is None else ():
        if odd := [name for name in found if name.lower().endswith(TIFF_SUFFIXES) != (kind == "TIFF")]:
            raise UnsupportedSource(
                f"{folder} holds files that are {kind}, whatever their names say: {shorten(odd)}",
                fix=f"rename them to .{kind.lower()}; or say -o suffix={odd[0].rpartition('.')[2]}",
            )


def _layer_for_each_file(
    path: Path, recipe: Recipe, *, pad: bool, mix_dtypes: bool, channel: int | None
) -> list[Layer]:
    """Each file of a folder as layers of its own, named after the file."""
    layers = []
    for name in list_pictures(str(path), recipe).names:
        stem = _legal(Path(name).stem.removesuffix(".ome"))
        found = _open(path / name, recipe, pad=pad, mix_dtypes=mix_dtypes, channel=channel)
        layers += [replace(layer, name=f"{stem}_{layer.name}" if layer.name else stem) for layer in found]
    return layers


def _shown(
    groups: list[tuple[int, tuple[int, ...]]], found: StackFacts, volume: Volume
) -> list[tuple[str | None, RGB | None]]:
    """Name and view colour of each layer; core names a single one."""
    given = [volume.colors[channel] if channel < len(volume.colors) else None for channel, _ in groups]
    if len(groups) == 1:
        color = given[0] if given[0] != _WHITE else None
        return [(None, color if len(groups[0][1]) == 1 else None)]
    known = all(given) and len(set(given)) == len(given)
    names: list[str] = []
    for number, (channel, samples) in enumerate(groups):
        name = _name(number, channel, samples, found, volume)
        names.append(name if name not in names else f"{name}_{number}")
    cycle = given if known else view_colors(names)
    return [
        (name, color if len(each) == 1 else None) for name, color, (_, each) in zip(names, cycle, groups, strict=True)
    ]


def _name(number: int, channel: int, samples: tuple[int, ...], found: StackFacts, volume: Volume) -> str:
    """The name of a layer: of its channel and its sample, if there are several."""
    parts = []
    if len(volume.planes) > 1:
        given = volume.names[channel] if channel < len(volume.names) else ""
        parts.append(_legal(given) or f"channel{channel}")
    if len(found.kept) > 1 and len(samples) == 1:
        named = found.color and samples[0] < 3
        parts.append(_COLOR_NAMES[samples[0]] if named else f"channel{samples[0]}")
    return "_".join(parts) or ("color" if len(samples) == 3 else f"channel{number}")


def _legal(name: str) -> str:
    """A name in the characters that are legal in names of layers.

    >>> _legal("anti-GFP (488 nm)")
    'anti-GFP_488_nm'
    """
    return re.sub(r"[^A-Za-z0-9_$@.-]+", "_", name).strip("._")
