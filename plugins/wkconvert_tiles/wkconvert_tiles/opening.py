"""Opening a tree: its names, the headers of its tiles, and from these the grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from math import gcd
from pathlib import Path
from typing import Literal

from wkconvert_core import (
    Category,
    InconsistentStack,
    Layer,
    Mag,
    OptionError,
    UnsupportedSource,
    VolumeInfo,
    WarningNote,
)
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.slices import counted
from wkconvert_images.facts import Facts, lossy_labels, with_option
from wkconvert_images.opening import check_decoder

from .grid import Grid
from .numbered_layout import Doubt, Layout
from .pattern import parse
from .recognition import recognise
from .source import TileSource, Tree
from .tile import channels, open_tile, voxel_size
from .tile_index import Others, Tile, TileIndex

Headers = Mapping[Tile, Facts]
_SMALLEST = 16
"""Side of a tile from which on a step as large shows that numbers count pixels; smaller tiles may lie as far apart."""
_MOST_SPARSE = 10_000
"""Cells of the grid per existing tile; with more, a number in the names does not count tiles."""


def open_tiles(
    path: Path,
    *,
    pattern: str | None = None,
    zoom: int = 0,
    palette: Literal["colors", "indices"] | None = None,
    white: Literal["invert", "keep"] | None = None,
    category: Category | None = None,
) -> list[Layer]:
    """The tree of tiles at a folder, as one layer of one mag.

    `pattern` says how the tiles are named, if that is not recognised; `zoom` is the level that is read as mag 1. Ids
    are numbers: of labels, neither `palette` nor `white` changes them, unless said.
    Raises OptionError, BrokenSource, SourceNotFound, UnsupportedSource, InconsistentStack.
    """
    labels = category == "segmentation"
    layout = recognise(path) if pattern is None else Layout(pattern, "")
    if isinstance(layout, Doubt):
        raise UnsupportedSource(
            f"the names in {path} do not say what their numbers count", why=layout.why, fix=layout.fix
        )
    if layout is None:
        raise UnsupportedSource(
            f"the names of the tiles in {path} are not recognised",
            why="they are neither {z}/{y}/{x}, {z}/{row}_{col} nor of CATMAID's types, and do not say x and y in words",
            fix="say it, for example -o pattern=slice_{z}/tile_{y}_{x}.png",
        )
    index = _index(path, layout.pattern, zoom, recognised=pattern is None)
    colors = palette == "colors" or (palette is None and not labels)
    invert = white == "invert" or (white is None and not labels)
    tree = Tree(str(path), index.parts, zoom, index.sample.tiles[0].path, colors, invert)
    headers: dict[Tile, Facts] = {}
    codings: set[Hashable] = set()
    for tile in index.tiles:
        found = open_tile(tile.path, colors=colors, invert=invert)
        if found.facts.coding not in codings:
            check_decoder(tile.path, found)
            codings.add(found.facts.coding)
        headers[tile] = found.facts
    grid = _grid(index, headers, tree)
    _check_counted(path, index, grid)
    # a palette of greys counts as colours where others have colours
    firm = [facts for facts in headers.values() if facts.kind != "grey palette"] or list(headers.values())
    ((dtype, samples), _), *_ = Counter((facts.dtype, channels(facts)) for facts in firm).most_common()
    lossy = lossy_labels(facts.lossy for facts in headers.values()) if labels else []
    notes = (f"tiles named {layout}", *_notes(index, headers, grid), *lossy)
    size = voxel_size(tree.witness)
    info = VolumeInfo(grid.shape, dtype, samples, size, (*grid.tile, 1), offset=grid.offset, notes=notes)
    source = TileSource(tree, grid, info)
    for tile, facts in headers.items():
        source.check(tile.path, tile.cell, facts)
    return [Layer({Mag(1, 1, 1): source})]


def _index(path: Path, pattern: str, zoom: int, *, recognised: bool) -> TileIndex:
    """The tiles of a tree. Raises UnsupportedSource if there are none, InconsistentStack if they lie too far apart."""
    parts = parse(pattern)
    if zoom and not any("zoom" in part.fields for part in parts):
        raise OptionError(
            f"-o zoom={zoom} does not fit {path}",
            why=f"there is no zoom level in {pattern}",
            fix="leave it out, or say where it is with -o pattern=, such as {z}/{zoom}/{y}_{x}.png",
        )
    index = TileIndex(str(path), parts, zoom, Path(pattern).suffix if recognised else None)
    if not index.count:
        raise _no_tiles(index, pattern)
    spans = [high - low + 1 for low, high in zip(index.low, index.high, strict=True)]
    if spans[0] * spans[1] * spans[2] > _MOST_SPARSE * index.count:
        listed = ", ".join(f"{axis} {a} to {b}" for axis, a, b in zip("xyz", index.low, index.high, strict=True))
        raise InconsistentStack(
            f"the tiles in {path} lie too far apart: {listed}",
            why=f"there are {index.count} tiles, less than 1 in {_MOST_SPARSE} cells",
            fix="move tiles with a stray number away, or correct -o pattern=",
        )
    return index


def _check_counted(path: Path, index: TileIndex, grid: Grid) -> None:
    """Raise UnsupportedSource for numbers that count pixels: all are multiples of the tiles' size, or nearly that."""
    for axis, letter in enumerate("xy"):
        numbers = sorted({tile.cell[axis] for tile in index.tiles})
        step = gcd(*(number - numbers[0] for number in numbers))
        if grid.tile[axis] < 2 * step <= 2 * grid.tile[axis] and step >= _SMALLEST:
            raise UnsupportedSource(
                f"the numbers of the tiles in {path} rise by {step} along {letter}: {shorten(list(map(str, numbers)))}",
                why=f"a tile measures {grid.tile[axis]}, so they count pixels, and not tiles",
                fix="name the tiles by their rows and columns, 0, 1, 2 and so on; stitch them first if they overlap",
            )


def _no_tiles(index: TileIndex, pattern: str) -> UnsupportedSource:
    if index.zooms:
        return UnsupportedSource(
            f"{index.root} has no tiles of zoom {index.zoom}",
            why=f"it has zoom {shorten([str(zoom) for zoom in sorted(index.zooms)])}",
            fix=f"read another level as mag 1, for example -o zoom={min(index.zooms)}: its voxels are "
            f"2^{min(index.zooms)} times as large along x and y as those of zoom 0",
        )
    return UnsupportedSource(
        f"no file in {index.root} is named {pattern}",
        why=f"{index.strays.count} others are there{_such_as(index.strays, index.root)}",
        fix="correct -o pattern=",
    )


def _such_as(others: Others, root: str) -> str:
    """An example, `, such as 1/small.jpg`; bytes that are not UTF-8 are shown with backslashes."""
    name = Path(others.first).relative_to(root).as_posix() if others.count else ""
    return f", such as {name.encode('utf-8', 'backslashreplace').decode()}" if name else ""


def _grid(index: TileIndex, headers: Headers, tree: Tree) -> Grid:
    x0, y0, z0 = index.low
    x1, y1, z1 = index.high
    tile = _usual(headers, tree, 0), _usual(headers, tree, 1)
    border = (
        max(facts.width for tile, facts in headers.items() if tile.cell[0] == x1),
        max(facts.height for tile, facts in headers.items() if tile.cell[1] == y1),
    )
    return Grid((x0, y0, z0), (x1, y1, z1), tile, border)


def _usual(headers: Headers, tree: Tree, axis: int) -> int:
    """The most common width (axis 0) or height of tiles that another one follows: those cannot be border tiles."""
    sizes = {tile: (facts.width, facts.height)[axis] for tile, facts in headers.items()}
    everywhere = Counter(sizes.values())
    doubtful = sizes if len(everywhere) > 1 else {}
    followed = Counter(size for tile, size in doubtful.items() if tree.follower(tile.cell, axis))
    return max(followed, key=lambda size: (followed[size], everywhere[size]), default=max(everywhere))


def _notes(index: TileIndex, headers: Headers, grid: Grid) -> Iterator[str]:
    if missing := grid.cells - index.count:
        yield WarningNote(f"{missing} of {grid.cells} tiles are missing: zero")
    if index.zoom:
        yield f"the voxel size is that of zoom {index.zoom}: 2^{index.zoom} times that of zoom 0 along x and y"
    if index.zooms:
        zooms = shorten([str(zoom) for zoom in sorted(index.zooms)])
        yield WarningNote(f"zoom {index.zoom} is read as mag 1; zoom {zooms} is there too (-o zoom=)")
    left_out = {"what is no tile": index.strays, "folders without tiles": index.bare, "links to folders": index.links}
    for what, others in left_out.items():
        if others.count:
            yield WarningNote(f"left out: {what} ({others.count}{_such_as(others, index.root)})")
    if len(headers) < index.count:
        yield f"{len(headers)} of {index.count} headers are read before the run, the others with the tiles"
    yield from _size_notes(headers, grid)
    yield from counted((with_option(note) for facts in headers.values() for note in facts.notes), len(headers), "tiles")


def _size_notes(headers: Headers, grid: Grid) -> Iterator[str]:
    cells = [(grid.cell(tile.cell).shape, facts) for tile, facts in headers.items()]
    smaller = sum(facts.width < width or facts.height < height for (width, height, _), facts in cells)
    if smaller:
        yield WarningNote(
            f"{smaller} border tiles are smaller than their cell: zero beyond them, to the right and below"
        )
    for axis, line in enumerate(("column", "row")):
        if grid.first[axis] == grid.last[axis] > 0:
            yield WarningNote(f"there is only one {line} of tiles: it is placed as if all measured {grid.tile[axis]}")
