"""From a path and options to layers: what the open hook of this plugin calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import Layer, Mag, SourceNotFound, VolumeInfo
from wkconvert_core.toolkit.stacks import Gaps, some, with_gaps

from .calibration import voxel_size
from .choosing import check, choose, is_complex, left_out
from .files import list_folder
from .images import read_images
from .kinds import KINDS, Component
from .messages import times
from .sources import DmStack, DmVolume, digest_of, slice_of, states_of
from .stacking import check_channels, check_flat, common_dtype, common_size, first_voxel_size
from .voxels import Voxels, state_of


def open_dm(
    path: Path,
    *,
    object: int | None = None,
    component: Component | None = None,
    gaps: Gaps = "error",
    pad: bool = False,
    mix_dtypes: bool = False,
) -> Sequence[Layer]:
    """Open a DM file, or a folder of slices, as a layer; raises SourceError, OptionError. The README explains each."""
    if not path.is_dir():
        source: DmVolume | DmStack = _open_file(str(path), object, component, ())
    else:
        source = _open_folder(str(path), object, component, gaps, pad=pad, mix=mix_dtypes)
    return [Layer({Mag(1, 1, 1): source}, category="color" if source.info.channels == 3 else None)]


def _open_file(path: str, object: int | None, component: Component | None, notes: tuple[str, ...]) -> DmVolume:
    state = state_of(path)
    images = read_images(path)
    image = choose(path, images, object)
    check(path, image, component)
    voxels, kind = Voxels(path, state, image), KINDS[image.kind]
    size, doubts = voxel_size(image)
    notes = (*notes, *left_out(images, image), *doubts, *_notes(voxels, component))
    info = VolumeInfo(voxels.shape, np.dtype(kind.dtype), kind.channels, size, (voxels.row, 1, 1), notes=notes)
    return DmVolume(voxels, component, info)


def _notes(voxels: Voxels, component: Component | None) -> tuple[str, ...]:
    """What is done to the values."""
    if KINDS[voxels.image.kind].channels == 3:
        return ("the fourth byte of each RGB value (alpha) dropped",)
    if component is None:
        return ()
    if is_complex(voxels.image):
        return (f"component {component} of complex values",)
    return (f"component={component} does not matter: the values are not complex",)


def _open_folder(
    folder: str, object: int | None, component: Component | None, gaps: Gaps, *, pad: bool, mix: bool
) -> DmVolume | DmStack:
    listing = list_folder(folder)
    notes = [f"other files ignored: {some(listing.others)}"] if listing.others else []
    notes += [f"folders ignored: {some(listing.folders)}"] if listing.folders else []
    if not listing.names:
        raise SourceNotFound(
            f"{folder} holds no DM files", why="no file in it ends in .dm3 or .dm4", fix="give the folder of the slices"
        )
    if len(listing.names) == 1:
        return _open_file(str(Path(folder, listing.names[0])), object, component, tuple(notes))
    entries = with_gaps(folder, listing.names, gaps)
    states = states_of(folder, listing.names)
    slices = [slice_of(path, state, object) for path, state in states.items()]
    for one in slices:
        check(one.path, one.image, component)
    check_flat(folder, slices)
    check_channels(folder, slices)
    width, height = common_size(folder, slices, pad=pad)
    dtype = common_dtype(folder, slices, mix=mix)
    size, doubts = first_voxel_size(slices)
    if missing := entries.count(None):
        notes.append(f"{missing} missing slices are filled with zeros")
    notes += [*doubts, *_stack_notes(slices, component, (width, height), dtype)]
    shape, channels = (width, height, len(entries)), KINDS[slices[0].image.kind].channels
    chunk = (max(one.row for one in slices), 1, 1)
    info = VolumeInfo(shape, dtype, channels, size, chunk, notes=tuple(notes))
    return DmStack(folder, gaps, object, component, digest_of(states), info)


def _stack_notes(
    slices: Sequence[Voxels], component: Component | None, size: tuple[int, int], dtype: np.dtype[Any]
) -> list[str]:
    counts = Counter(note for one in slices for note in _notes(one, component))
    notes = [
        note if count == len(slices) else f"{note} ({count} of {len(slices)} slices)" for note, count in counts.items()
    ]
    if any(one.shape[:2] != size for one in slices):
        notes.append(f"smaller slices padded with zeros to {times(size)}")
    if len({KINDS[one.image.kind].dtype for one in slices}) > 1:
        notes.append(f"slices of different dtypes become {dtype}")
    return notes
