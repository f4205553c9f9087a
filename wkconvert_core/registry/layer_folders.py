"""Layers of a folder that no reader claims as a whole: the files and folders below it that one claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from wkconvert_core.contract.errors import UnknownFormat, UnsupportedSource
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.registry.answers import Found, surest
from wkconvert_core.registry.known_shapes import SUFFIXES, are_numbered, counted_by, hints, tree_at
from wkconvert_core.registry.plugins import Plugins
from wkconvert_core.toolkit.files import Entry, entries, exists, state_of, stem
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.stacks import natural_key

DEPTH = 3
"""Levels below a layer's folder in which its files may lie."""
_UNKNOWN = "no reader knows them"
_LOST = "these links lead nowhere"
_EMPTY = "there is nothing in it"
_LINKED = "links to folders are not followed (convert what they lead to by itself, with --add)"
_ENDINGS = (*chain(*SUFFIXES.values()), ".npy", ".npz")


def layers_below(
    src: Path,
    listed: Sequence[Entry],
    plugins: Plugins,
    reader: str | None,
    options: Mapping[str, str] | None,
    depth: int = DEPTH,
) -> list[Found]:
    """One entry for each file or folder `listed` in `src` that a reader claims; a note on each tells of the others.

    Links to files count as files. Links to folders are left out, with a note: they may lead back to what is listed.
    Raises UnsupportedSource where folders are not layers, UnknownFormat where a reader is missing or failed.
    """
    tree = tree_at(src) if reader is None else None
    if tree and tree.reader not in plugins.formats():  # or it would become many layers
        raise UnknownFormat(
            f"{src} looks like {tree.what}",
            why=plugins.why_missing(tree.reader),
            fix=f'pip install "wkconvert[{tree.reader}]"; or, if each folder is a layer of its own, --reader pictures '
            "(for TIFF --reader tiff)",
        )
    found: list[Found] = []
    left_out: dict[str, list[str]] = {_UNKNOWN: [], _LOST: [], _EMPTY: [], _LINKED: []}
    folders: dict[str, bool] = {}  # and whether it holds one picture, and nothing that may be more
    for entry in sorted(listed, key=lambda entry: natural_key(entry.name)):
        path, has_ending = src / entry.name, entry.name.lower().endswith(_ENDINGS)
        if entry.is_folder and entry.is_link:
            left_out[_LINKED].append(entry.name)
            continue
        inside = entries(path) if entry.is_folder else []
        is_nothing = not inside if entry.is_folder else not exists(path) or (entry.is_file and not state_of(path)[0])
        if is_nothing:  # a copy that failed, or a link that leads nowhere
            if entry.is_link or entry.is_folder or has_ending:
                left_out[_LOST if entry.is_link else _EMPTY].append(entry.name)
            continue
        is_other = not (entry.is_folder or entry.is_file)  # a pipe or a device is refused if it looks like ours
        if is_other and not has_ending:
            continue
        match, failed = surest(path, plugins, options, reader)
        if failed and not match:
            fix = "convert it by itself with --reader, or do without that plugin"
            raise UnknownFormat(f"no reader knows what {path} is", why="; ".join(failed), fix=fix)
        goes_down = entry.is_folder and depth and not match
        inner = layers_below(path, inside, plugins, reader, options, depth - 1) if goes_down else []
        if entry.is_folder and (match or inner):
            folders[entry.name] = (
                len(inside) == 1 and inside[0].is_file and inside[0].name.lower().endswith(SUFFIXES["tiff"])
            )
        if match:  # files have a suffix, and folders of Zarr and N5
            is_named_by_stem = not entry.is_folder or path.suffix.lower() in SUFFIXES["zarr"]
            found.append(replace(match, layer=stem(path) if is_named_by_stem else entry.name))
        elif len(inner) == 1:  # a layer's folder with one file in it, such as labels/volume.nii
            found.append(replace(inner[0], layer=entry.name))
        elif inner:
            found += [replace(one, layer=f"{entry.name}_{one.layer}") for one in inner]
        elif entry.name != "MetaData":  # what LAS X writes beside its images
            left_out[_UNKNOWN].append(entry.name)
    notes = []
    if reader is None:
        _check_are_layers(src, folders)
        if are_numbered([*folders]):
            told = f"each folder of {src.name or src} is a layer: {shorten([*folders])}"
            notes.append(f"{told}; if their numbers count regions, runs or times, convert one of them")
    for why, names in left_out.items():
        if not names:
            continue
        hint = " or ".join(hints(names, plugins)) if why is _UNKNOWN else ""
        told = f"left out of {src.name or src}, as {why}: {shorten(names)}"
        notes.append(f"{told} (try {hint})" if hint else told)
    return [replace(one, notes=(*one.notes, *map(WarningNote, notes))) for one in found]


def _check_are_layers(src: Path, folders: Mapping[str, bool]) -> None:
    """Raise UnsupportedSource if folders count anything but layers, or may be slices, each of one picture."""
    names = shorten([*folders])
    if counted := counted_by([*folders]):
        raise UnsupportedSource(
            f"the folders in {src} count {counted}, not layers: {names}",
            why="a dataset shows one time, position or well, and its slices are files of one folder",
            fix=f"convert one of them, such as {src / next(iter(folders))}, or put the slices into one folder; or, if "
            "each is a layer, say so with --reader pictures (for TIFF --reader tiff)",
        )
    if len(folders) > 1 and all(name.isdecimal() and is_of_one for name, is_of_one in folders.items()):
        raise UnsupportedSource(
            f"the folders in {src} are numbered and hold one picture each: {names}",
            why="nothing says whether the pictures are slices of one stack, or layers",
            fix="put slices into one folder, named by their numbers; or, if each is a layer, say so with --reader "
            "pictures (for TIFF --reader tiff)",
        )
