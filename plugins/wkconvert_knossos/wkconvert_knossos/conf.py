"""The configurations `knossos.conf`, `*.k.conf` and `*.k.toml`.

Keys and their meaning as KNOSSOS reads them: `boundary` counts voxels, and `scale` gives nm per voxel, of the mag that
`magnification` names (1 if it is not there). In a toml, `Extent_px` counts voxels of mag 1, `VoxelSize_nm` lists each
mag's voxel size, and folders are numbered by the place in that list, or by the mag if `ServerFormat` is "knossos".
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wkconvert_core import InconsistentStack, Mag, UnsupportedSource, Vec3, Vec3Like, VoxelSize, WarningNote
from wkconvert_core.toolkit.files import broken, open_file, reading
from wkconvert_core.toolkit.shortened import shorten

from .tree import suffix_of

Size = tuple[float | None, float | None, float | None]

_MOST_BYTES = 1 << 20
_STATEMENT = re.compile(
    r'(experiment name|boundary [xyz]|scale [xyz]|magnification|cube_edge_length) "?([^"]*)"?', re.IGNORECASE
)
_CONF = re.compile(r"knossos\.conf|[^.].*\.k\.(conf|toml)", re.DOTALL)
_LONGEST_EDGE = 1024
_ATOM = 0.1
"""nm that an atom measures."""
_MOST_VOXELS = 1 << 40
"""Longest believable extent along an axis."""


@dataclass(frozen=True)
class Conf:
    """One dataset, or one layer of a toml."""

    file: Path
    experiment: str
    """Prefix of the cubes' names, without `_mag1`."""
    boundary: Vec3Like | None
    """Voxels of mag `magnification` along x, y, z."""
    sizes: tuple[Size, ...]
    """nm per voxel along x, y, z: of mag `magnification`, or, in a toml, of each mag."""
    magnification: int = 1
    cube: Vec3Like = (128, 128, 128)
    suffixes: tuple[str, ...] = ()
    """Suffixes of the cubes that it describes; empty: all."""
    by_place: bool = False
    """Whether a folder's number is the position of its mag in `sizes`, from 1."""
    notes: tuple[str, ...] = ()
    """Statements that are ignored, and why."""

    @property
    def facts(self) -> tuple[object, ...]:
        """Facts that several configurations of one dataset must share."""
        return self.boundary, self.sizes, self.magnification, self.cube

    def mag(self, number: int) -> Mag | None:
        """The mag of the folder with a number; None if it is no power of two.

        >>> UNKNOWN.mag(4), UNKNOWN.mag(3)
        (Mag(x=4, y=4, z=4), None)
        """
        listed = self.by_place and number <= len(self.sizes)
        if not listed and number & (number - 1):
            return None
        place = number - 1 if listed else number.bit_length() - 1
        first, own = self.sizes[0], self.sizes[place] if place < len(self.sizes) else (None, None, None)
        factors = [number if a is None or b is None or not place else b / a for a, b in zip(first, own, strict=True)]
        powers = [round(math.log2(factor)) if 0 < factor < 1e9 else -1 for factor in factors]
        # voxel sizes are rounded by whoever writes them down: 1 % off a power of two is one
        exact = all(math.isclose(2.0**power, n, rel_tol=0.01) for power, n in zip(powers, factors, strict=True))
        return Mag(*(1 << power for power in powers)) if exact and min(powers) >= 0 else None

    def voxel_size(self, mag: Mag) -> VoxelSize | None:
        """The voxel size of a mag, along the axes for which it is known."""
        x, y, z = (
            None if size is None else size * factor / self.magnification
            for size, factor in zip(self.sizes[0], mag, strict=True)
        )
        known = any(size is not None for size in (x, y, z))
        return VoxelSize((x, y, z), "nm", self.file.name) if known else None

    def extent(self, mag: Mag) -> Vec3Like | None:
        """The extent of a mag within the boundary, rounded up; None without a boundary.

        >>> Conf(Path(), "", (1000, 1001, 7), ((9.0, 9.0, 20.0),)).extent(Mag(4, 4, 2))
        (250, 251, 4)
        """
        if self.boundary is None:
            return None
        return (Vec3(*self.boundary) * self.magnification).ceildiv(mag)


UNKNOWN = Conf(Path(), "", None, ((None, None, None),))
"""The defaults without a configuration."""


def nearest_conf(near: Sequence[Path], far: Sequence[Path], experiment: str, suffix: str) -> Conf | None:
    """The first configuration, folder by folder, that describes cubes of a suffix.

    Configurations of the experiment's name win in a near folder, and are the only ones that count in a far one.
    Raises BrokenSource, and InconsistentStack where they differ.
    """
    for folder in (*near, *far):
        found = [conf for conf in _read_all(folder) if not conf.suffixes or suffix in conf.suffixes]
        named = [conf for conf in found if conf.experiment == experiment]
        found = named or (found if folder in near else [])
        if len({conf.facts for conf in found}) > 1:
            raise InconsistentStack(
                f"{folder} has several configurations: {shorten(sorted({conf.file.name for conf in found}))}",
                why="they differ in boundary, voxel size or magnification",
                fix="move those away that do not belong to it",
            )
        if found:
            return found[0]
    return None


def _read_all(folder: Path) -> list[Conf]:
    if not os.access(folder, os.R_OK):  # a folder above may be another's
        return []
    with reading(folder), os.scandir(folder) as entries:  # it may hold thousands of files that are none of ours
        names = sorted(entry.name for entry in entries if _CONF.fullmatch(entry.name))
    confs: list[Conf] = []
    for path in (folder / name for name in names):
        if path.suffix == ".toml":
            confs += read_toml(path, _text(path))
        else:
            confs.append(read_conf(path, _text(path)))
    return confs


def _text(path: Path) -> str:
    with reading(path), open_file(path) as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise broken(path, f"a configuration has a few lines, this file more than {_MOST_BYTES} bytes")
    return content.decode("utf-8", "replace")


def read_conf(path: Path, text: str) -> Conf:
    """Parse a `knossos.conf`. Raises BrokenSource if it has no known statement, UnsupportedSource for bad numbers."""
    said: dict[str, str] = {}
    notes: list[str] = []
    for number, key, value in _statements(text):
        size = _size([value])[0] if key.startswith("scale") else math.inf
        doubts = {
            "is no size in nm, such as 25.5, and not taken": size is None,
            "is taken as nm, and is less than an atom measures": size is not None and size < _ATOM,
            f"takes the place of {said.get(key)}": said.get(key, value) != value,
        }
        notes += [
            WarningNote(f"{path}, line {number}: {key} {value} {doubt}") for doubt, is_so in doubts.items() if is_so
        ]
        said[key] = value
    if not said:
        raise broken(path, "no line of it describes a KNOSSOS dataset", fix="correct it, or move it away")
    boundary = [said.get(f"boundary {axis}") for axis in "xyz"]
    edge = _whole(path, "cube_edge_length", said.get("cube_edge_length", 128), _LONGEST_EDGE)
    return Conf(
        path,
        re.sub(r"_mag\d+$", "", said.get("experiment name", "")),
        _vector(path, "boundary", boundary) if any(boundary) else None,
        (_size([said.get(f"scale {axis}") for axis in "xyz"]),),
        _whole(path, "magnification", said.get("magnification", 1), 1 << 20),
        (edge, edge, edge),
        notes=tuple(notes),
    )


def _statements(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, key and value of each known statement; others concern KNOSSOS alone."""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        for statement in line.split(";"):
            if match := _STATEMENT.fullmatch(" ".join(statement.split())):
                yield number, match[1].lower(), match[2].strip()


def read_toml(path: Path, text: str) -> list[Conf]:
    """Parse a `*.k.toml`: its layers of cubes, without remote ones. Raises BrokenSource, UnsupportedSource."""
    try:
        layers = tomllib.loads(text)["Layer"]
        return [_layer(path, layer) for layer in layers if layer.get("ServerFormat", "knossos") != "precomputed"]
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise broken(path, f"it is no sound TOML: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise broken(path, f"it is not what KNOSSOS writes: {error!r}") from error


def _layer(path: Path, layer: dict[str, Any]) -> Conf:
    extensions, sizes = layer.get("FileExtension", []), layer.get("VoxelSize_nm") or [[]]
    extensions = [extensions] if isinstance(extensions, str) else extensions
    boundary, cube = layer.get("Extent_px"), layer.get("CubeShape_px", [128, 128, 128])
    return Conf(
        path,
        str(layer.get("Name", "")),
        None if boundary is None else _vector(path, "Extent_px", boundary),
        tuple(_size(size) for size in sizes),
        1,
        _vector(path, "CubeShape_px", cube, _LONGEST_EDGE),
        tuple(suffix_of(f"cube{extension}") or str(extension).lower() for extension in extensions),
        layer.get("ServerFormat") != "knossos",
    )


def _vector(path: Path, name: str, values: Iterable[Any], most: int = _MOST_VOXELS) -> Vec3Like:
    return Vec3(*(_whole(path, f"{name} {axis}", value, most) for axis, value in zip("xyz", values, strict=True)))


def _whole(path: Path, name: str, value: Any, most: int) -> int:
    """A whole number from 1, also if it is written as 1000.0."""
    number = _number(value)
    if number is None or not 1 <= number <= most or number != int(number):
        raise UnsupportedSource(
            f"{path} says {name} {value!r}",
            why=f"that is a whole number from 1 to {most}",
            fix="correct it, or move the file away: then the extent is that of the cubes",
        )
    return int(number)


def _size(values: Iterable[Any]) -> Size:
    """Sizes in nm; None for missing ones, and for numbers that are not positive and finite."""
    numbers = [*map(_number, values), None, None, None][:3]
    x, y, z = (number if number is not None and 0 < number < math.inf else None for number in numbers)
    return x, y, z


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
