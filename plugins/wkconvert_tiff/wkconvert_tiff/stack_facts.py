"""Whether the slices of a stack fit together, from their headers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wkconvert_core import BrokenSource, InconsistentStack, SourceError, UnsupportedSource, VoxelSize
from wkconvert_core.toolkit.stacks import ranges, some
from wkconvert_images.facts import MOST_PER_BYTE, Facts
from wkconvert_images.faults import broken
from wkconvert_images.rasters import check_decoder, facts_of, raster

from .files import base, status
from .pages import Volume
from .table import Recipe, Table, each


@dataclass(frozen=True)
class StackFacts:
    """What the headers of all slices say together."""

    size: tuple[int, int]
    """Along x and y, upright."""
    dtype: np.dtype[Any]
    color: bool
    """Whether the first three samples are red, green and blue."""
    kept: tuple[int, ...]
    """The samples to be read."""
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
    """Its number, where the file has several."""
    alone: bool
    """Whether there is no other file."""
    facts: Facts

    @property
    def name(self) -> str:
        """What messages call it."""
        page = "" if self.page is None else f"page {self.page}"
        return page if self.alone and page else f"{base(self.path)} {page}".rstrip()


def stack_facts(path: str, table: Table, recipe: Recipe, *, pad: bool, mix: bool) -> StackFacts:
    """Read every header and say what the slices have in common.

    `pad` allows slices of different sizes, `mix` of different dtypes. Raises BrokenSource, UnsupportedSource,
    InconsistentStack.
    """
    volume = table.volume
    _check_complete(path, volume, recipe)
    slices = _slices(volume, recipe)
    size = _size(path, slices, pad)
    _check_believable(path, volume, slices, size)
    for one in {one.facts.coding: one for one in slices}.values():
        check_decoder(one.path, raster(one.path, one.ifd, recipe.format, colors=recipe.colors))
    dtype = _dtype(path, slices, mix)
    color, kept = _samples(path, slices)
    sizes = table.voxel_sizes or tuple(one.facts.voxel_size for one in slices)
    voxel_size, notes = _voxel_size(sizes, slices[0].facts)
    if len({one.facts.dtype for one in slices}) > 1:
        notes.append(f"slices of different dtypes become {dtype}" + _bool_note(slices))
    if len({one.facts.size for one in slices}) > 1:
        notes.append(f"smaller slices padded with zeros to {size[0]} x {size[1]}")
    chunks = [one.facts.chunk[:: -1 if one.facts.orientation > 4 else 1] for one in slices]
    chunk = min(max(c[0] for c in chunks), size[0]), min(max(c[1] for c in chunks), size[1])
    return StackFacts(size, dtype, color, kept, chunk, voxel_size, (*volume.notes, *_notes(slices), *notes))


def _check_complete(path: str, volume: Volume, recipe: Recipe) -> None:
    """Raise InconsistentStack for planes that a description announces and no file holds."""
    missing = np.flatnonzero((volume.planes[..., 0] < 0).any(axis=0)).tolist()
    if missing and recipe.gaps != "fill":
        raise InconsistentStack(
            f"slices are missing in {path}: {ranges(missing)} ({len(missing)} in all)",
            why="; ".join(volume.notes) or "its description announces more than there are",
            fix="add them, or say --gaps fill for empty slices",
        )
    if (volume.planes[..., 0] < 0).all():
        raise broken(path, "it holds none of the pictures that it announces")


def _slices(volume: Volume, recipe: Recipe) -> list[Slice]:
    """Every picture of the stack, once."""
    used: dict[int, list[int]] = {}
    for file, ifd in dict.fromkeys((file, ifd) for row in volume.planes.tolist() for file, ifd, _ in row if file >= 0):
        used.setdefault(file, []).append(ifd)
    alone = len(volume.files) == 1
    known: dict[Facts, Facts] = {}  # most slices are alike: there may be a million, so they share what is said of them

    def headers(item: tuple[int, list[int]]) -> list[Slice]:
        file, ifds = item
        path = volume.files[file]
        try:
            found = [
                known.setdefault(facts, facts) for facts in facts_of(path, ifds, recipe.format, colors=recipe.colors)
            ]
        except SourceError as error:
            where = "" if alone else f"file {file + 1} of {len(volume.files)}: "
            raise type(error)(where + error.what, why=error.why, fix=error.fix) from error
        pages = range(len(ifds)) if len(ifds) > 1 else [None]
        return [
            Slice(path, ifd, page, alone, known.setdefault(facts, facts))
            for ifd, page, facts in zip(ifds, pages, found, strict=True)
        ]

    return [one for slices in each(headers, sorted(used.items())) for one in slices]


def _odd(slices: Sequence[Slice], key: Callable[[Facts], Hashable]) -> tuple[Any, list[Slice]]:
    """What most slices have, and those that have something else."""
    usual = Counter(key(one.facts) for one in slices).most_common(1)[0][0]
    return usual, [one for one in slices if key(one.facts) != usual]


def _size(path: str, slices: Sequence[Slice], pad: bool) -> tuple[int, int]:
    (width, height), odd = _odd(slices, lambda facts: facts.size)
    if odd and not pad:
        listed = some([f"{one.name} ({one.facts.size[0]} x {one.facts.size[1]})" for one in odd])
        pages = odd[0].name.startswith("page")
        raise InconsistentStack(
            f"the {'pages' if pages else 'slices'} of {path} differ in size: {listed}",
            why=f"{len(slices) - len(odd)} of {len(slices)} have {width} x {height} pixels",
            fix="say --pad to fill up with zeros" + (", or -o series=N to take pages of one size" if pages else ""),
        )
    return max(one.facts.size[0] for one in slices), max(one.facts.size[1] for one in slices)


def _check_believable(path: str, volume: Volume, slices: Sequence[Slice], size: tuple[int, int]) -> None:
    """Raise BrokenSource where so few bytes claim to hold so much that it must be damage, or meant to do some."""
    pixels = max(one.facts.declared / (one.facts.width * one.facts.height) for one in slices)
    declared = int(pixels * size[0] * size[1] * volume.planes.shape[0] * volume.planes.shape[1])
    stored = sum(status(file).st_size for file in volume.files)
    if declared > MOST_PER_BYTE * stored:
        raise BrokenSource(
            f"{path} claims to hold more than it can",
            why=f"{declared} bytes of pixels in {stored} bytes of file are more than {MOST_PER_BYTE} to 1",
            fix="if it is sound and really so empty, save it with less compression",
        )


def _dtype(path: str, slices: Sequence[Slice], mix: bool) -> np.dtype[Any]:
    usual, odd = _odd(slices, lambda facts: facts.dtype)
    if odd and not mix:
        listed = some([f"{one.name} ({one.facts.dtype})" for one in odd])
        raise InconsistentStack(
            f"the slices of {path} differ in dtype: {listed}",
            why=f"{len(slices) - len(odd)} of {len(slices)} hold {usual}",
            fix="say --dtype for a common one",
        )
    dtypes = {one.facts.dtype for one in slices}
    common = np.result_type(*(dtypes - {np.dtype(bool)} or dtypes))
    if inexact := sorted(str(dtype) for dtype in dtypes if not _holds(common, dtype)):
        raise UnsupportedSource(
            f"the slices of {path} have no common dtype",
            why=f"not every value of {', '.join(inexact)} is one of {common}",
            fix="save them with one dtype",
        )
    return common


def _holds(common: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Whether every value of a dtype is exactly one of the common dtype."""
    if common.kind == "f" and dtype.kind in "iu":
        return 8 * dtype.itemsize <= np.finfo(common).nmant + 1
    return True


def _bool_note(slices: Sequence[Slice]) -> str:
    return ", 1-bit ones 0 and 255" if any(one.facts.dtype == bool for one in slices) else ""


def _samples(path: str, slices: Sequence[Slice]) -> tuple[bool, tuple[int, ...]]:
    """Whether the stack is in colour, and which samples of a pixel are read.

    A palette that is all grey fits with colour and with grey slices.
    """
    color = any(one.facts.kind in ("color", "palette") for one in slices)

    def kept(facts: Facts) -> tuple[bool, tuple[int, ...]]:
        if facts.kind == "grey palette":
            return (True, (0, 1, 2)) if color else (False, (0,))
        return facts.kind != "samples", facts.kept

    usual, odd = _odd(slices, kept)
    if odd:
        listed = some([f"{one.name} ({_described(kept(one.facts))})" for one in odd])
        raise InconsistentStack(
            f"the slices of {path} differ in their channels: {listed}",
            why=f"{len(slices) - len(odd)} of {len(slices)} are {_described(usual)}",
            fix="save them alike, all grey or all in colour",
        )
    found: tuple[bool, tuple[int, ...]] = usual
    return found


def _described(kept: tuple[bool, tuple[int, ...]]) -> str:
    color, samples = kept
    return "colour" if color else "grey" if len(samples) == 1 else f"of {len(samples)} channels"


def _voxel_size(sizes: Sequence[VoxelSize | None], facts: Facts) -> tuple[VoxelSize | None, list[str]]:
    """The voxel size of the first file, upright, with a note where others say something else."""
    first = sizes[0]
    notes = []
    if differ := sum(size != first for size in sizes):
        other = next(size for size in sizes if size != first)
        notes.append(f"{differ} of {len(sizes)} files give another voxel size ({other or 'none'}); the first counts")
    if first is not None and facts.orientation > 4:
        x, y, z = first.size
        first = VoxelSize((y, x, z), first.unit, first.origin)
    return first, notes


def _notes(slices: Sequence[Slice]) -> list[str]:
    """What is done to the slices as they are read, with how many, unless all are."""
    counts = Counter(note for one in slices for note in one.facts.notes)
    turned = sum(one.facts.orientation > 1 for one in slices)
    if turned:
        counts["turned upright, as the orientation tag says"] = turned
    total = len(slices)
    return [note if count == total else f"{note} ({count} of {total} slices)" for note, count in counts.items()]
