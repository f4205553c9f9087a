"""The facts that the slices of a stack have in common, from their headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wkconvert_core import BrokenSource, InconsistentStack, SourceError, VoxelSize
from wkconvert_core.toolkit.files import broken, state_of
from wkconvert_core.toolkit.shortened import ranges
from wkconvert_core.toolkit.slices import agreed, common_dtype, common_size, counted, first_voxel_size, made_alike
from wkconvert_images.calibration import beside
from wkconvert_images.facts import MOST_PER_BYTE, Facts, lossy_labels, with_option
from wkconvert_images.opening import check_decoder, facts_of, raster

from .planes.pages import Volume
from .table import Recipe, Table, parallel_map


@dataclass(frozen=True)
class StackFacts:
    """The facts that all slices of a stack share."""

    size: tuple[int, int]
    """Along x and y, upright."""
    dtype: np.dtype[Any]
    color: bool
    """Whether the first three samples are red, green and blue."""
    from_palettes: bool
    """Whether they are so by palettes alone, which labels have, too."""
    kept: tuple[int, ...]
    """Indices of the samples that are read."""
    chunk: tuple[int, int]
    """Along x and y, upright."""
    voxel_size: VoxelSize | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """One picture of the stack."""

    path: str
    ifd: int
    page: int | None
    """Its index, if the file has several pages."""
    alone: bool
    """Whether the stack is a single file."""
    facts: Facts

    @property
    def name(self) -> str:
        """Its name in messages."""
        page = "" if self.page is None else f"page {self.page}"
        return page if self.alone and page else f"{Path(self.path).name} {page}".rstrip()


def stack_facts(path: str, table: Table, recipe: Recipe, *, pad: bool, mix: bool) -> StackFacts:
    """Read every header and return what the slices have in common.

    `pad` allows slices of different sizes, `mix` of different dtypes. Raises BrokenSource, UnsupportedSource,
    InconsistentStack.
    """
    volume = table.volume
    missing = np.flatnonzero((volume.planes[..., 0] < 0).any(axis=0)).tolist()
    if missing and recipe.gaps != "fill":
        raise InconsistentStack(
            f"slices are missing in {path}: {ranges(missing)} ({len(missing)} in all)",
            why="; ".join(volume.notes) or "its description announces more than there are",
            fix="add them, or say --gaps fill for empty slices",
        )
    if (volume.planes[..., 0] < 0).all():
        raise broken(path, "it holds none of the pictures that it announces")
    slices = _slices(volume, recipe)
    noun, fix = "slices", "say --pad to fill up with zeros"
    if slices[0].name.startswith("page"):
        noun, fix = "pages", f"{fix}, or -o series=N to take pages of one size"
    size = common_size(path, slices, lambda one: one.facts.size, _name, pad=pad, fix=fix, noun=noun)
    _check_believable(path, volume, slices, size)
    for one in {one.facts.coding: one for one in slices}.values():
        check_decoder(one.path, raster(one.path, one.ifd, recipe.format, colors=recipe.colors, invert=recipe.invert))
    dtypes = {one.facts.dtype for one in slices}
    bits = np.dtype(bool) in dtypes and mix and len(dtypes) > 1
    # among slices of more bits, 1-bit slices count as 0 and 255
    as_read = {found: np.dtype("u1") if bits and found.kind == "b" else found for found in dtypes}
    dtype = common_dtype(path, slices, lambda one: as_read[one.facts.dtype], _name, mix=mix)
    color, kept = _samples(path, slices)
    sizes = table.voxel_sizes or tuple(one.facts.voxel_size for one in slices)
    voxel_size, differing = first_voxel_size(sizes)
    if voxel_size is None:
        voxel_size = beside(slices[0].path)
    if voxel_size is not None and slices[0].facts.orientation > 4:
        x, y, z = voxel_size.size
        voxel_size = VoxelSize((y, x, z), voxel_size.unit, voxel_size.origin)
    done = [with_option(note) for one in slices for note in one.facts.notes]
    done += ["turned upright, as the orientation tag says" for one in slices if one.facts.orientation > 1]
    becomes = f"{dtype}, 1-bit ones 0 and 255" if bits else dtype
    notes = [*volume.notes, *counted(done, len(slices)), *differing]
    notes += made_alike((one.facts.size for one in slices), dtypes, size, becomes)
    if recipe.choice.labels:
        notes += lossy_labels(one.facts.lossy for one in slices)
    # turned slices have their rows and columns swapped, and with them what one decode yields
    chunks = [one.facts.chunk[:: -1 if one.facts.orientation > 4 else 1] for one in slices]
    chunk = min(max(c[0] for c in chunks), size[0]), min(max(c[1] for c in chunks), size[1])
    from_palettes = all(one.facts.kind != "color" for one in slices)
    return StackFacts(size, dtype, color, from_palettes, kept, chunk, voxel_size, tuple(notes))


def _name(one: Slice) -> str:
    return one.name


def _slices(volume: Volume, recipe: Recipe) -> list[Slice]:
    """Every picture of the stack, once, with the facts of its header."""
    used: dict[int, list[int]] = {}
    where = volume.planes[..., :2].tolist()
    for file, ifd in dict.fromkeys((file, ifd) for row in where for file, ifd in row if file >= 0):
        used.setdefault(file, []).append(ifd)
    alone = len(volume.files) == 1
    apart = int(volume.planes[..., 3].max(initial=0))  # samples of a page that are planes of their own, or 0
    known: dict[Facts, Facts] = {}  # there may be a million slices, and most are equal: they share one object

    def headers(item: tuple[int, list[int]]) -> list[Slice]:
        file, ifds = item
        path = volume.files[file]
        try:
            found = facts_of(path, ifds, recipe.format, colors=recipe.colors, invert=recipe.invert)
            if apart:
                found = [one.of_one_sample(apart) for one in found]
        except SourceError as error:
            where = "" if alone else f"file {file + 1} of {len(volume.files)}: "
            raise type(error)(where + error.what, why=error.why, fix=error.fix) from error
        pages = range(len(ifds)) if len(ifds) > 1 else [None]
        return [
            Slice(path, ifd, page, alone, known.setdefault(facts, facts))
            for ifd, page, facts in zip(ifds, pages, found, strict=True)
        ]

    return [one for slices in parallel_map(headers, sorted(used.items())) for one in slices]


def _check_believable(path: str, volume: Volume, slices: Sequence[Slice], size: tuple[int, int]) -> None:
    """Raise BrokenSource for a decompression bomb; over all slices, for one that is empty may compress better."""
    # bytes of a decoded pixel, of the slice where they are most: tiles may hold more than the picture
    pixels = max(one.facts.declared / (one.facts.width * one.facts.height) for one in slices)
    declared = int(pixels * size[0] * size[1] * volume.planes.shape[0] * volume.planes.shape[1])
    stored = sum(state_of(file)[0] for file in volume.files)
    if declared > MOST_PER_BYTE * stored:
        raise BrokenSource(
            f"{path} claims to hold more than it can",
            why=f"{declared} bytes of pixels in {stored} bytes of file are more than {MOST_PER_BYTE} to 1",
            fix="if it is sound and really so empty, save it with less compression",
        )


def _samples(path: str, slices: Sequence[Slice]) -> tuple[bool, tuple[int, ...]]:
    """Whether the stack is in colour, and which samples of a pixel are read.

    A palette of greys fits among colour and among grey slices.
    """
    color = any(one.facts.kind in ("color", "palette") for one in slices)

    def kept(facts: Facts) -> tuple[bool, tuple[int, ...]]:
        if facts.kind == "grey palette":
            return (True, (0, 1, 2)) if color else (False, (0,))
        return facts.kind != "samples", facts.kept

    def shown(found: tuple[bool, tuple[int, ...]]) -> str:
        return "colour" if found[0] else "grey" if len(found[1]) == 1 else f"of {len(found[1])} channels"

    fix = "save them alike, all grey or all in colour"
    return agreed(path, slices, lambda one: kept(one.facts), _name, what="their channels", fix=fix, shown=shown)
