"""The tiles of a tree: one walk through its names, in memory that does not grow with the tree."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from wkconvert_core import InconsistentStack, Vec3Like
from wkconvert_core.toolkit.files import entries

from .numbered_layout import PICTURES
from .pattern import Padding, Part

SAMPLE = 4096
"""Headers that are read before anything is written. Of larger trees, that many tiles are drawn at random, and half as
many of the last column and of the last row."""


class Tile(NamedTuple):
    """An existing tile."""

    cell: Vec3Like
    """Index along x, y, z."""
    path: str


@dataclass
class Reservoir:
    """A uniform random sample of the tiles seen, of limited size; the seed is fixed, so that runs are reproducible."""

    limit: int
    tiles: list[Tile] = field(default_factory=list)
    seen: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(0))

    def add(self, tile: Tile) -> None:
        """Take a tile into account, and perhaps into the sample."""
        self.seen += 1
        if len(self.tiles) < self.limit:
            self.tiles.append(tile)
        # the n-th tile enters with the chance limit / n, in the place of any other (reservoir sampling)
        elif (place := self.dice.randrange(self.seen)) < self.limit:
            self.tiles[place] = tile


@dataclass
class Border:
    """A sample of the tiles with the highest index along one axis."""

    axis: int
    highest: int = -1
    sample: Reservoir = field(default_factory=lambda: Reservoir(SAMPLE // 2))

    def add(self, tile: Tile) -> None:
        """Take a tile into account if it is in the last column (or row) so far."""
        index = tile.cell[self.axis]
        if index > self.highest:
            self.highest, self.sample = index, Reservoir(SAMPLE // 2)
        if index == self.highest:
            self.sample.add(tile)


@dataclass
class Others:
    """Entries that are not tiles: their number, and the first."""

    count: int = 0
    first: str = ""

    def add(self, path: str) -> None:
        """Count one more."""
        self.first = self.first or path
        self.count += 1


@dataclass
class TileIndex:
    """The result of a walk through a tree: the extent, a sample of the tiles, and entries that are left out."""

    root: str
    parts: tuple[Part, ...]
    zoom: int
    suffix: str | None
    """Suffix of the tiles if it was recognised; then other pictures named like tiles are an error."""
    count: int = 0
    low: list[int] = field(default_factory=list)
    high: list[int] = field(default_factory=list)
    zooms: set[int] = field(default_factory=set)
    """Zoom levels that exist but are not read."""
    strays: Others = field(default_factory=Others)
    bare: Others = field(default_factory=Others)
    """Folders of slices or rows without any tile: at the end of the tree they may be ones that were to come."""
    links: Others = field(default_factory=Others)
    """Linked folders: they lead out of the tree, or to tiles that are found anyway."""
    sample: Reservoir = field(default_factory=lambda: Reservoir(SAMPLE))
    column: Border = field(default_factory=lambda: Border(0))
    row: Border = field(default_factory=lambda: Border(1))

    def __post_init__(self) -> None:
        """Walk through the tree. Raises BrokenSource, SourceNotFound, InconsistentStack."""
        self._paddings = [[Padding() for _ in part.fields] for part in self.parts]
        for tile in self._walk(self.root, 0, {}):
            self.low = list(map(min, self.low or tile.cell, tile.cell))
            self.high = list(map(max, self.high or tile.cell, tile.cell))
            self.count += 1
            for sample in (self.sample, self.column, self.row):
                sample.add(tile)
        self.parts = tuple(
            replace(part, widths=tuple(padding.widths for padding in paddings))
            for part, paddings in zip(self.parts, self._paddings, strict=True)
        )

    @property
    def tiles(self) -> list[Tile]:
        """The sampled tiles, each once."""
        return list(dict.fromkeys([*self.sample.tiles, *self.column.sample.tiles, *self.row.sample.tiles]))

    def _walk(self, folder: str, depth: int, above: dict[str, int]) -> Iterator[Tile]:
        """The tiles below a folder; `above` are the numbers in its name and in those of the folders above it."""
        part, is_last = self.parts[depth], depth + 1 == len(self.parts)
        seen: dict[tuple[int, ...], str] = {}
        for entry in entries(folder):
            path, digits = f"{folder}/{entry.name}", part.digits(entry.name)
            if digits is None:
                self._check_suffix(path, entry.name, is_last)
                self.strays.add(path)
                continue
            # a linked file is a file, a linked folder may lead in a circle
            if not (entry.is_file if is_last else entry.is_folder and not entry.is_link):
                (self.links if entry.is_link else self.strays).add(path)
                continue
            if (first := seen.setdefault(tuple(map(int, digits)), entry.name)) != entry.name:
                raise InconsistentStack(
                    f"{first} and {entry.name} in {folder} have the same number",
                    why="nothing says which of them is the tile",
                    fix="move one of them away",
                )
            numbers = above | dict(zip(part.fields, map(int, digits), strict=True))
            if any(numbers[name] != number for name, number in above.items()):
                self.strays.add(path)  # `{z}/{z}_{y}_{x}.png`, and the two differ
            elif numbers.get("zoom", self.zoom) != self.zoom:
                self.zooms.add(numbers["zoom"])
            else:
                for padding, text in zip(self._paddings[depth], digits, strict=True):
                    padding.see(text)
                if is_last:
                    yield Tile((numbers["x"], numbers["y"], numbers.get("z", 0)), path)
                else:
                    count = self.count
                    yield from self._walk(path, depth + 1, numbers)
                    if self.count == count:
                        self.bare.add(path)

    def _check_suffix(self, path: str, name: str, is_last: bool) -> None:
        """Raise InconsistentStack for a picture of another kind that is named as the tiles are."""
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - there may be millions of names
        if is_last and self.suffix and suffix.lower() in PICTURES and self.parts[-1].digits(stem + self.suffix):
            raise InconsistentStack(
                f"{path} is no {self.suffix} file, but other tiles are",
                why="a tree holds pictures of one kind",
                fix="say which with -o pattern=, for example -o pattern={z}/{y}/{x}" + self.suffix,
            )
