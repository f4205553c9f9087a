"""From a path and options to layers: what the open hook of this plugin calls."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wkconvert_core import Layer, Mag, SourceNotFound, UnsupportedSource, VolumeInfo, WarningNote
from wkconvert_core.toolkit.files import is_folder, state_of
from wkconvert_core.toolkit.folders import digest, list_folder
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.slices import (
    agreed,
    common_dtype,
    common_size,
    counted,
    first_voxel_size,
    made_alike,
    stages_apart,
)
from wkconvert_core.toolkit.stacks import Gaps, Naming, check_used, filled_note, with_gaps

from .calibration import voxel_size
from .choosing import check, choose, is_complex, left_out
from .detection import SUFFIXES
from .images import read_images
from .kinds import KINDS, Component
from .sources import DmStack, DmVolume, StoredImage, slice_of, states_of


def open_dm(
    path: Path,
    *,
    object: int | None = None,
    component: Component | None = None,
    gaps: Gaps = "error",
    pad: bool = False,
    mix_dtypes: bool = False,
    names: str | None = None,
    timepoint: int | None = None,
    position: int | None = None,
    well: str | None = None,
) -> Sequence[Layer]:
    """Open a DM file, or a folder of slices, as a layer. Raises SourceError, OptionError. The README explains each."""
    source: DmVolume | DmStack
    naming = Naming(names, timepoint, position, well)
    if is_folder(path):
        source = _open_folder(str(path), object, component, gaps, naming, pad=pad, mix=mix_dtypes)
    else:
        check_used(str(path), naming, ())
        source = _open_file(str(path), object, component)
    return [Layer({Mag(1, 1, 1): source}, category="color" if source.info.channels == 3 else None)]


def _open_file(path: str, object: int | None, component: Component | None, notes: Sequence[str] = ()) -> DmVolume:
    state = state_of(path)
    images = read_images(path)
    image = choose(path, images, object)
    check(path, image, component)
    stored, kind = StoredImage(path, state, image), KINDS[image.kind]
    size, doubts = voxel_size(image)
    notes = (*notes, *left_out(images, image), *doubts, *_notes(stored, component))
    chunk, dtype, stage = (stored.run, 1, 1), np.dtype(kind.dtype), image.stage
    info = VolumeInfo(stored.shape, dtype, kind.channels, size, chunk, notes=notes, stage=stage)
    return DmVolume(stored, component, info)


def _notes(stored: StoredImage, component: Component | None) -> list[str]:
    """How the values are converted."""
    if KINDS[stored.image.kind].channels == 3:
        return [WarningNote("the fourth byte of each RGB value (alpha) dropped")]
    if component is None:
        return []
    if is_complex(stored.image):
        return [f"component {component} of complex values"]
    return [f"component={component} does not matter: the values are not complex"]


def _open_folder(
    folder: str,
    object: int | None,
    component: Component | None,
    gaps: Gaps,
    naming: Naming,
    *,
    pad: bool,
    mix: bool,
) -> DmVolume | DmStack:
    listing = list_folder(folder, SUFFIXES)
    if not listing.names:
        why, fix = f"no file in it ends in {' or '.join(SUFFIXES)}", "give the folder of the slices"
        raise SourceNotFound(f"{folder} holds no DM files", why=why, fix=fix)
    if len(listing.names) == 1:
        return _open_file(str(Path(folder, listing.names[0])), object, component, listing.notes)
    entries = with_gaps(folder, listing.names, gaps, naming)
    states = states_of(folder, [name for name in entries if name is not None])
    slices = [slice_of(path, state, object) for path, state in states.items()]
    for one in slices:
        check(one.path, one.image, component)
    if deep := [f"{_name(one)} ({one.image})" for one in slices if one.shape[2] > 1]:
        raise UnsupportedSource(
            f"files in {folder} hold several slices each: {shorten(deep)}",
            why="a folder of files is a stack of one slice per file",
            fix="convert each by itself, or give each a folder of its own to make it a layer",
        )
    channels = agreed(
        folder,
        slices,
        lambda one: KINDS[one.image.kind].channels,
        _name,
        what="their channels",
        shown={1: "grey", 3: "in colour"}.__getitem__,
        fix="save them alike, all grey or all in colour",
    )
    width, height = common_size(folder, slices, lambda one: one.shape[:2], _name, pad=pad)
    dtype = common_dtype(folder, slices, lambda one: np.dtype(KINDS[one.image.kind].dtype), _name, mix=mix)
    sizes = [voxel_size(one.image) for one in slices]
    size, differing = first_voxel_size([size for size, _ in sizes])
    notes = [*listing.notes, *filled_note([z for z, entry in enumerate(entries) if entry is None])]
    notes += [*sizes[0][1], *differing, *counted((n for one in slices for n in _notes(one, component)), len(slices))]
    notes += stages_apart((_name(one), one.image.stage) for one in slices)
    dtypes = [KINDS[one.image.kind].dtype for one in slices]
    notes += made_alike([one.shape[:2] for one in slices], dtypes, (width, height), dtype)
    chunk = (max(one.run for one in slices), 1, 1)
    info = VolumeInfo(
        (width, height, len(entries)), dtype, channels, size, chunk, notes=tuple(notes), stage=slices[0].image.stage
    )
    return DmStack(folder, gaps, naming, object, component, digest(states.items()), info)


def _name(stored: StoredImage) -> str:
    return os.path.basename(stored.path)  # noqa: PTH119 - paths are strings here: there may be very many
