"""The axes of an array: c, x, y, z, and those of which one place is taken, such as t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wkconvert_core import OptionError, UnsupportedSource

_WORDS = {
    "c": ("c", "channel", "channels", "ch"),
    "t": ("t", "time", "times", "timepoint", "frame"),
    "x": ("x", "width", "column", "columns"),
    "y": ("y", "height", "row", "rows"),
    "z": ("z", "depth", "plane", "planes", "slice", "slices"),
}
"""The names that programs give each axis, in lower case."""
_LETTERS = {word: letter for letter, words in _WORDS.items() for word in words}
SPACE = "xyz"


@dataclass(frozen=True)
class Axes:
    """The axes of an array, in its order: `c`, `x`, `y`, `z`, `t`, or another name."""

    names: tuple[str, ...]
    shape: tuple[int, ...]

    def at(self, name: str) -> int | None:
        """The number of an axis; None if there is none of this name."""
        return self.names.index(name) if name in self.names else None

    def size(self, name: str) -> int:
        """The length of an axis; 1 if there is none of this name."""
        return self.shape[self.names.index(name)] if name in self.names else 1

    @property
    def spatial(self) -> list[int]:
        """The numbers of those axes that are x, y or z, in the array's order."""
        return [number for number, name in enumerate(self.names) if name in SPACE]

    def __str__(self) -> str:
        """`t 2, z 30, y 512, x 512`."""
        return ", ".join(f"{name} {size}" for name, size in zip(self.names, self.shape, strict=True))


def axes_of(where: str, shape: Sequence[int], stated: Sequence[str], usual: str, wanted: str | None) -> Axes:
    """The axes of an array: as `-o axes=` says, as its file states, else the usual ones, beside others of length 1.

    Raises UnsupportedSource where it is not known which is which, OptionError for names that do not fit.

    >>> axes_of("a.zarr", (1, 1, 30, 20, 10), (), "zyx", None).names
    ('', '', 'z', 'y', 'x')
    >>> axes_of("a.zarr", (2, 30, 20, 10), (), "zyx", "cxyz").names
    ('c', 'x', 'y', 'z')
    >>> axes_of("a.zarr", (30, 20), (), "zyx", None).names
    ('y', 'x')
    """
    shown = " x ".join(map(str, shape))
    if wanted is not None:
        given = wanted.split(",") if "," in wanted else list(wanted)
        names = [_LETTERS.get(name.strip().lower(), name.strip()) for name in given]
        if len(names) != len(shape):
            raise OptionError(
                f"-o axes={wanted} does not fit {where}",
                why=f"it has {len(shape)} axes, of {shown}",
                fix="give a letter for each, in the array's order, for example -o axes=" + "tczyx"[-len(shape) :],
            )
    elif len(stated) == len(shape):
        names = [_LETTERS.get(name.lower(), name) for name in stated]
    else:
        names = _usual(where, shape, stated, usual)
    axes = Axes(tuple(names), tuple(shape))
    if {"x", "y"} - set(names) or len({name for name in names if name}) < len([name for name in names if name]):
        raise UnsupportedSource(
            f"the axes of {where} are {', '.join(names)} of {shown}",
            why="x and y have to be among them, each once",
            fix="name them in the array's order with -o axes=, for example -o axes=" + "tczyx"[-max(2, len(shape)) :],
        )
    return axes


def _usual(where: str, shape: Sequence[int], stated: Sequence[str], usual: str) -> list[str]:
    """The usual axes, where all others have the length 1. Raises UnsupportedSource."""
    if stated:
        raise UnsupportedSource(
            f"{where} names {len(stated)} axes ({', '.join(stated)}) and has {len(shape)}",
            why=f"its shape is {' x '.join(map(str, shape))}",
            fix="name them in the array's order with -o axes=",
        )
    if len(shape) == 2:
        return list(usual.replace("z", ""))
    others = len(shape) - 3
    beside = shape[3:] if usual == "xyz" else shape[:others]
    if others < 0 or any(side != 1 for side in beside):
        raise UnsupportedSource(
            f"{where} has {len(shape)} axes without names, of {' x '.join(map(str, shape))}",
            why="which of them is x, y, z, channel or time is not known",
            fix="name them in the array's order with -o axes=, for example -o axes=" + "tczyx"[-len(shape) :],
        )
    return [*usual, *[""] * others] if usual == "xyz" else [*[""] * others, *usual]
