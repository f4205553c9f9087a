"""Opening a tree: its names, the headers of its tiles, and from these the grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from wkconvert_core import InconsistentStack, Layer, Mag, OptionError, UnsupportedSource, VolumeInfo

from .calibration import voxel_size
from .grid import Grid
from .layout import Doubt, Layout, recognise
from .pattern import parse
from .picture import DType, Facts
from .source import TileSource, Tree
from .survey import Others, Survey, Tile
from .tile import read_header

Headers = Mapping[Tile, Facts]
_MOST_SPARSE = 10_000
"""Cells of the grid for each tile that is there; with more, a number is no index."""


def open_tiles(path: Path, *, pattern: str | None = None, zoom: int = 0) -> list[Layer]:
    """The tree of tiles at a folder, as one layer of one mag.

    `pattern` says how the tiles are named, where that is not to be recognised; `zoom` is the level that is read as
    mag 1. Raises OptionError, BrokenSource, SourceNotFound, UnsupportedSource, InconsistentStack.
    """
    layout = recognise(path) if pattern is None else Layout(pattern, "")
    if isinstance(layout, Doubt):
        raise UnsupportedSource(f"what the names in {path} count is not to be known", why=layout.why, fix=layout.fix)
    if layout is None:
        raise UnsupportedSource(
            f"how the tiles in {path} are named is not to be recognised",
            why="it is neither {z}/{y}/{x}, {z}/{row}_{col}, a way of CATMAID's, nor one that says x and y in words",
            fix="say it, for example -o pattern=slice_{z}/tile_{y}_{x}.png",
        )
    survey = _surveyed(path, layout.pattern, zoom, recognised=pattern is None)
    headers = {tile: read_header(tile.path) for tile in survey.tiles}
    tree = Tree(str(path), survey.parts, zoom, survey.sample.tiles[0].path)
    grid = _grid(survey, headers, tree)
    notes = (f"tiles named {layout}", *_notes(survey, headers, grid))
    dtype, channels = _kind(headers)
    size = voxel_size(tree.witness)
    info = VolumeInfo(grid.shape, dtype, channels, size, (*grid.tile, 1), offset=grid.offset, notes=notes)
    source = TileSource(tree, grid, info)
    for tile, facts in headers.items():
        source.check(tile.path, tile.cell, facts)
    return [Layer({Mag(1, 1, 1): source})]


def _surveyed(path: Path, pattern: str, zoom: int, *, recognised: bool) -> Survey:
    """What there is; raises an error for a tree without a tile, or with too few."""
    parts = parse(pattern)
    if zoom and not any("zoom" in part.fields for part in parts):
        raise OptionError(
            f"-o zoom={zoom} does not fit {path}",
            why=f"there is no zoom level in {pattern}",
            fix="leave it out, or say where it is with -o pattern=, such as {z}/{zoom}/{y}_{x}.png",
        )
    survey = Survey(str(path), parts, zoom, Path(pattern).suffix if recognised else None)
    if not survey.count:
        raise _no_tiles(survey, pattern)
    spans = [high - low + 1 for low, high in zip(survey.low, survey.high, strict=True)]
    if spans[0] * spans[1] * spans[2] > _MOST_SPARSE * survey.count:
        listed = ", ".join(f"{axis} {a} to {b}" for axis, a, b in zip("xyz", survey.low, survey.high, strict=True))
        raise InconsistentStack(
            f"the tiles in {path} lie too far apart: {listed}",
            why=f"{survey.count} tiles are there, which is less than 1 in {_MOST_SPARSE}",
            fix="move tiles with a stray number away, or correct -o pattern=",
        )
    return survey


def _no_tiles(survey: Survey, pattern: str) -> UnsupportedSource:
    if survey.zooms:
        return UnsupportedSource(
            f"{survey.root} has no tiles of zoom {survey.zoom}",
            why=f"it has zoom {_some(survey.zooms)}",
            fix=f"read another level as mag 1, for example -o zoom={min(survey.zooms)}: its voxels are "
            f"2^{min(survey.zooms)} times as large along x and y as those of zoom 0",
        )
    return UnsupportedSource(
        f"no file in {survey.root} is named {pattern}",
        why=f"{survey.strays.count} others are there{_such_as(survey.strays, survey.root)}",
        fix="correct -o pattern=",
    )


def _such_as(others: Others, root: str) -> str:
    """`, such as 1/small.jpg`; what is no UTF-8 in it becomes backslashes."""
    name = Path(others.first).relative_to(root).as_posix() if others.count else ""
    return f", such as {name.encode('utf-8', 'backslashreplace').decode()}" if name else ""


def _some(numbers: set[int]) -> str:
    """The smallest numbers, and how many more there are."""
    shown = sorted(numbers)[:5]
    return ", ".join(map(str, shown)) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")


def _kind(headers: Headers) -> tuple[DType, int]:
    """The dtype and channels of most tiles; a grey palette counts as colours where others have colours."""
    firm = [facts for facts in headers.values() if not facts.grey_palette] or list(headers.values())
    (found, _), *_ = Counter((facts.dtype, facts.channels) for facts in firm).most_common()
    return found


def _grid(survey: Survey, headers: Headers, tree: Tree) -> Grid:
    x0, y0, z0 = survey.low
    x1, y1, z1 = survey.high
    tile = _usual(headers, tree, 0), _usual(headers, tree, 1)
    border = (
        max(facts.width for tile, facts in headers.items() if tile.cell[0] == x1),
        max(facts.height for tile, facts in headers.items() if tile.cell[1] == y1),
    )
    return Grid((x0, y0, z0), (x1, y1, z1), tile, border)


def _usual(headers: Headers, tree: Tree, axis: int) -> int:
    """The commonest width (axis 0) or height of the tiles that another one follows: they are no border tiles."""
    sizes = {tile: (facts.width, facts.height)[axis] for tile, facts in headers.items()}
    everywhere = Counter(sizes.values())
    doubtful = sizes if len(everywhere) > 1 else {}
    followed = Counter(size for tile, size in doubtful.items() if tree.follower(tile.cell, axis))
    return max(followed, key=lambda size: (followed[size], everywhere[size]), default=max(everywhere))


def _notes(survey: Survey, headers: Headers, grid: Grid) -> Iterator[str]:
    if missing := grid.cells - survey.count:
        yield f"{missing} of {grid.cells} tiles are missing: zero"
    if survey.zoom:
        yield f"the voxel size is that of zoom {survey.zoom}: 2^{survey.zoom} times that of zoom 0 along x and y"
    if survey.zooms:
        yield f"zoom {survey.zoom} is read as mag 1; zoom {_some(survey.zooms)} is there too (-o zoom=)"
    for others, what in ((survey.strays, "what is no tile"), (survey.links, "links to folders")):
        if others.count:
            yield f"left out: {what} ({others.count}{_such_as(others, survey.root)})"
    if len(headers) < survey.count:
        yield f"{len(headers)} of {survey.count} headers are read before the run, the others with the tiles"
    yield from _size_notes(headers, grid)
    counts = Counter(note for facts in headers.values() for note in facts.notes)
    for note, count in counts.items():
        yield note if count == len(headers) else f"{note} ({count} of {len(headers)} tiles)"


def _size_notes(headers: Headers, grid: Grid) -> Iterator[str]:
    cells = [(grid.cell(tile.cell).shape, facts) for tile, facts in headers.items()]
    smaller = sum(facts.width < width or facts.height < height for (width, height, _), facts in cells)
    if smaller:
        yield f"{smaller} border tiles are smaller than their cell: zero beyond them, to the right and below"
    for axis, line in enumerate(("column", "row")):
        if grid.first[axis] == grid.last[axis] > 0:
            yield f"there is only one {line} of tiles: it is placed as if all measured {grid.tile[axis]}"
