"""The table of the planes of a folder or file: made once in each process, never sent to another."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from wkconvert_core import InconsistentStack, OptionError, SourceNotFound, UnsupportedSource, VoxelSize
from wkconvert_core.toolkit.files import changed, is_folder, reading, state_of
from wkconvert_core.toolkit.folders import Listing, digest, list_folder
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.slices import counted, stages_apart
from wkconvert_core.toolkit.stacks import Gaps, Naming, channel_stacks, check_used, left_out_note
from wkconvert_images.opening import Format, facts_of

from .detection import COMPANION, PICTURE_SUFFIXES, TIFF_SUFFIXES
from .planes.axes import PLAIN_HELP, Choice, Numbers
from .planes.pages import MISSING, Volume
from .planes.volume import read_volume

Multipage = Literal["error", "join", "layers"]
T = TypeVar("T")
R = TypeVar("R")

_THREADS = 16
_TRIED = 32
"""Headers that are read one by one to measure whether threads help."""
_WAITING = 5.0
"""Threads are used if reading takes at least this many times its processor time."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that the table of planes depends on besides the files."""

    format: Format
    gaps: Gaps = "error"
    suffix: str | None = None
    multipage: Multipage = "error"
    choice: Choice = field(default_factory=Choice)
    colors: bool = True
    """Whether palettes are applied."""
    invert: bool = True
    """Whether pages whose white is 0 are inverted."""
    naming: Naming = field(default_factory=Naming)
    channel: str | None = None
    """Of a folder, the channel by its name in the files' names, empty where they name none; None: of a set of OME-TIFF,
    whose description tells where each plane is."""
    left_out: tuple[str, ...] = ()
    """Files of the folder that are no slices."""
    simple: bool = False
    """Whether each file is known to hold one slice, its first page: the table is then made without opening files."""


@dataclass(frozen=True)
class Table:
    """Where each slice of a stack is."""

    volume: Volume
    digest: str
    """Of the names, sizes and times of the files."""
    simple: bool
    """The value of `Recipe.simple` for making the same table again."""
    voxel_sizes: tuple[VoxelSize | None, ...] = ()
    """Of each TIFF file."""
    first_slice: int | None = None
    """As `VolumeInfo.first_slice`."""


@functools.lru_cache(maxsize=8)
def volume_of(path: str, recipe: Recipe, digest: str) -> Volume:
    """The planes of a folder or file, cached in this process. Raises BrokenSource if the files have changed."""
    how = "files have come, gone or grown"
    try:
        made = make_table(path, recipe)
    except (InconsistentStack, UnsupportedSource) as error:  # the names of the files no longer make the stack
        raise changed(path, how) from error
    if made.digest != digest:
        raise changed(path, how)
    return made.volume


def make_table(path: str, recipe: Recipe) -> Table:
    """The planes of a folder or file as they are now. Raises SourceError, OptionError."""
    if not is_folder(Path(path)):
        volume = _read(path, recipe)
        simple = recipe.format == "pictures"
        return Table(volume, _digest(volume.files), simple, () if simple else (volume.voxel_size,))
    listing = list_pictures(path, recipe)
    if recipe.channel is None:
        if (of_set := _set_of(path, recipe, listing)) is None:
            raise changed(path, "its files are no longer a set of OME-TIFF")
        return Table(of_set, _digest(of_set.files), simple=False, voxel_sizes=(of_set.voxel_size,))
    kept = [name for name in listing.names if name not in recipe.left_out]
    slices = channel_stacks(path, kept, recipe.gaps, recipe.naming)
    entries = slices.channels[recipe.channel]
    names = [name for name in entries if name is not None]
    paths = _joined_to(path, names)
    notes = () if recipe.simple else (*left_out_note(recipe.left_out), *listing.notes, *slices.notes)
    if recipe.simple or recipe.format == "pictures":
        return Table(_slices(paths, entries, notes), _digest(paths), simple=True, first_slice=slices.first_slice)
    volumes = parallel_map(lambda file: _read(file, recipe), paths)
    _check_volumes(path, recipe, names, volumes, len(entries))
    notes = (*notes, *counted((note for volume in volumes for note in volume.notes), len(volumes), "files"))
    notes = (*notes, *stages_apart(zip(names, (volume.stage for volume in volumes), strict=True)))
    if all(volume.planes.shape == (1, 1, 4) and not volume.planes.any() for volume in volumes):
        stack = _slices(paths, entries, notes)
        joined, simple = replace(volumes[0], files=stack.files, planes=stack.planes, notes=notes), True
    else:
        joined, simple = _joined(paths, entries, volumes, notes), False
    sizes = tuple(volume.voxel_size for volume in volumes)
    return Table(joined, _digest(paths), simple, sizes, slices.first_slice)


def by_channel(path: str, recipe: Recipe) -> dict[str, Recipe]:
    """The recipe of each channel that the names in a folder tell, by its name; for a file, the recipe as it is.

    Raises SourceError, OptionError.
    """
    naming = recipe.naming
    if not is_folder(path):
        check_used(path, naming, {"timepoint"} if recipe.format == "tiff" else set())
        return {"": recipe}
    listing, is_tiff, refused = list_pictures(path, recipe), recipe.format == "tiff", None
    names = listing.names

    def size_of(name: str) -> tuple[int, int]:
        return facts_of(str(Path(path, name)), [0], recipe.format)[0].size

    try:
        if _set_of(path, recipe, listing) is not None:
            check_used(path, naming, {"timepoint"})
            return {"": recipe}
    except OptionError as error:  # the time point may be one that the names count
        refused = error
    try:
        found = channel_stacks(path, names, recipe.gaps, naming, size_of)
    except (InconsistentStack, UnsupportedSource) as error:
        if is_tiff and recipe.multipage == "error":
            volume = _read(_joined_to(path, names)[0], recipe)
            if volume.planes.shape[1] > 1:
                raise _several_pages(path, names, [volume]) from error
        raise
    if refused and "timepoint" not in found.used:
        raise refused
    check_used(path, naming, found.used | ({"timepoint"} if is_tiff else set()))
    choice = replace(recipe.choice, timepoint=None) if "timepoint" in found.used else recipe.choice
    recipe = replace(recipe, choice=choice, left_out=found.left_out)
    return {channel: replace(recipe, channel=channel) for channel in found.channels}


def _joined_to(folder: str, names: Sequence[str]) -> list[str]:
    return [os.path.join(folder, name) for name in names]  # noqa: PTH118 - there may be a million


def list_pictures(path: str, recipe: Recipe, *, of_any_kind: bool = False) -> Listing:
    """The files of a folder that belong to the stack. Raises SourceNotFound if there are none.

    `of_any_kind` includes pictures of the other format, unless files are chosen by suffix.
    """
    suffixes: tuple[str, ...] = TIFF_SUFFIXES if recipe.format == "tiff" else PICTURE_SUFFIXES
    if of_any_kind:
        suffixes = TIFF_SUFFIXES + PICTURE_SUFFIXES
    wanted = (f".{recipe.suffix.lower().lstrip('.')}",) if recipe.suffix else suffixes
    listing = list_folder(path, wanted)
    if not listing.names:
        raise SourceNotFound(
            f"{path} holds no pictures",
            why=f"no file in it ends in {', '.join(wanted)}",
            fix="give the folder that holds the slices themselves",
        )
    return listing


def parallel_map(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The results of `work` for each item, in order; with threads if most of the time is spent waiting for files.

    So it is on a network; for files in the page cache, threads would only contend for Python's lock.
    """
    wall, busy = time.perf_counter(), time.thread_time()
    done = [work(item) for item in items[:_TRIED]]
    if time.perf_counter() - wall < _WAITING * (time.thread_time() - busy):
        return done + [work(item) for item in items[_TRIED:]]
    with ThreadPoolExecutor(_THREADS) as pool:
        return done + list(pool.map(work, items[_TRIED:]))


def _read(path: str, recipe: Recipe) -> Volume:
    """The planes of one file."""
    if recipe.format == "pictures":
        return Volume((path,), np.zeros((1, 1, 4), np.int64))
    with reading(path):
        return read_volume(path, recipe.choice)


def _digest(paths: Sequence[str]) -> str:
    return digest((os.path.basename(path), state_of(path)) for path in paths)  # noqa: PTH119 - there may be a million


def _slices(paths: list[str], entries: Sequence[str | None], notes: tuple[str, ...]) -> Volume:
    """A stack of files with one slice each."""
    planes = np.zeros((1, len(entries), 4), np.int64)
    here = [entry is not None for entry in entries]
    planes[0, here, 0] = np.arange(len(paths))
    planes[0, np.logical_not(here)] = MISSING
    return Volume(tuple(paths), planes, notes=notes)


def _joined(paths: list[str], entries: Sequence[str | None], volumes: list[Volume], notes: tuple[str, ...]) -> Volume:
    """The volumes of several files, one after another along z."""
    parts: list[Numbers] = []
    numbered = iter(enumerate(volumes))
    for entry in entries:
        if entry is None:
            parts.append(np.broadcast_to(np.array(MISSING), (len(volumes[0].planes), 1, 4)))
            continue
        number, volume = next(numbered)
        parts.append(volume.planes.copy())
        parts[-1][..., 0] = np.where(volume.planes[..., 0] < 0, -1, number)
    return replace(volumes[0], files=tuple(paths), planes=np.concatenate(parts, axis=1), notes=notes)


def _set_of(path: str, recipe: Recipe, listing: Listing) -> Volume | None:
    """The volume of a folder whose files are one set of OME-TIFF; None for other folders.

    Raises InconsistentStack where files lie beside those of the set, and the errors of opening.
    """
    if recipe.simple or recipe.format == "pictures":
        return None
    told = recipe.choice.plain or recipe.choice.planes is not None
    companions = [name for name in listing.others if name.lower().endswith(COMPANION) and not told]
    names = listing.names
    volume = _read(os.path.join(path, (companions or names)[0]), recipe)  # noqa: PTH118 - as the paths of members
    if not companions and len(volume.members) < 2:
        return None
    members = {Path(member).name for member in volume.members}
    if others := [*companions[1:], *(name for name in names if name not in members)]:
        raise InconsistentStack(
            f"{path} holds more than one image: {shorten(others)}",
            why=f"{(companions or names)[0]} is of a set of {len(members)} OME-TIFF files",
            fix="give one file of the set instead of the folder, or move the others away; if the files were renamed, "
            f"{PLAIN_HELP}",
        )
    return volume


def _check_volumes(path: str, recipe: Recipe, names: Sequence[str], volumes: Sequence[Volume], entries: int) -> None:
    """Raise for files that do not make one stack."""
    channels = [len(volume.planes) for volume in volumes]
    if odd := [f"{name} ({n})" for name, n in zip(names, channels, strict=True) if n != channels[0]]:
        raise InconsistentStack(
            f"files in {path} differ in their number of channels: {shorten(odd)}",
            why=f"{names[0]} has {channels[0]}",
            fix="move them away, or convert them by themselves",
        )
    deep = [name for name, volume in zip(names, volumes, strict=True) if volume.planes.shape[1] > 1]
    if not deep or len(names) == 1:
        return
    if recipe.multipage != "join":
        raise _several_pages(path, deep, volumes)
    if entries > len(names):
        raise InconsistentStack(
            f"files are missing between those of many pages in {path}",
            why="nothing says how many slices to fill in",
            fix="add the missing files, or say --gaps close",
        )


def _several_pages(path: str, names: Sequence[str], volumes: Sequence[Volume]) -> UnsupportedSource:
    if any((volume.planes[..., 0] < 0).any() for volume in volumes):
        return UnsupportedSource(
            f"files in {path} hold fewer pages than their OME-XML counts: {shorten(names)}",
            why="they may be the slices of one stack, each with the XML of the whole",
            fix=PLAIN_HELP,
        )
    return UnsupportedSource(
        f"files in {path} hold several pages each: {shorten(names)}",
        why="they may be layers, or parts of one stack",
        fix="say -o multipage=layers for a layer from each, -o multipage=join to concatenate them along z",
    )
