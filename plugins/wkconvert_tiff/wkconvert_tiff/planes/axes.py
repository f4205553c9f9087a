"""The axes along which the planes of a file are counted, and the choice of planes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from wkconvert_core import OptionError, UnknownOption, UnsupportedSource

Numbers = np.ndarray[Any, np.dtype[np.int64]]

PLAIN_HELP = "take every page as a slice with -o plain=true"
_NAMED_LIKE = {0: "YX", 1: "ZYX", 2: "TZYX", 3: "TCZYX"}
"""Examples of `-o axes=` by the number of axes along which planes count; more than a time, a channel and z are rare."""


@dataclass(frozen=True)
class Choice:
    """The options that concern the inside of a file."""

    series: int | None = None
    timepoint: int | None = None
    volume: int | None = None
    axes: str | None = None
    planes: str | None = None
    plain: bool = False
    """Every page is a slice, also if a description says otherwise."""
    labels: bool = False
    """Whether the voxels are ids, which are no colours."""


class Axes(NamedTuple):
    """The axes along which planes are counted, the slowest first, and their lengths."""

    letters: str
    """C channel, Z depth, T time, V volume, S sample of a pixel, I and Q for what is unknown."""
    sizes: list[int]

    def __str__(self) -> str:
        """`T4,Z3,C2`, as `-o planes=` takes it."""
        return ",".join(f"{letter}{size}" for letter, size in zip(self.letters, self.sizes, strict=True) if size > 1)

    @property
    def total(self) -> int:
        """The number of planes."""
        return math.prod(self.sizes)


def planes_help(count: int | None = None) -> str:
    """The advice to say what the pages of a file count; with the number of its planes, by an example that fits.

    >>> planes_help(24)
    'say what its pages count, the slowest first, such as -o planes=Z12,C2 (T time, V volume, Z depth, C channel)'
    """
    such = f"-o planes=Z{count // 2},C2" if count and count % 2 == 0 and count > 2 else f"-o planes=Z{count}"
    example = such if count else "-o planes=T4,Z3,C2 for 24 pages"
    return f"say what its pages count, the slowest first, such as {example} (T time, V volume, Z depth, C channel)"


def by_hand(count: int) -> str:
    """The remedies for a description that does not fit a number of planes."""
    return f"{planes_help(count)}; or {PLAIN_HELP}"


def axes_like(count: int) -> str:
    """An example of `-o axes=` for planes that count along a number of axes.

    >>> axes_like(2)
    '-o axes=TZYX'
    """
    return f"-o axes={_NAMED_LIKE.get(count, 'TVCZYX')}"


def parse_planes(text: str) -> Axes:
    """The axes that `-o planes=` gives. Raises OptionError.

    >>> parse_planes("T4,Z3,C2")
    Axes(letters='TZC', sizes=[4, 3, 2])
    """
    found = [re.fullmatch(r"\s*([A-Za-z])\s*([1-9]\d{0,8})\s*", part) for part in text.split(",")]
    parts = [(match[1].upper(), int(match[2])) for match in found if match]
    letters = "".join(letter for letter, _ in parts)
    if len(parts) < len(found) or len(set(letters)) < len(letters) or set(letters) - set("TVZC"):
        raise OptionError(
            f"-o planes={text} does not fit",
            why="it takes letters with their numbers, the slowest axis first",
            fix="write it like -o planes=T4,Z3,C2 (T time, V volume, Z depth, C channel)",
        )
    return Axes(letters, [size for _, size in parts])


def pick(path: str, choice: Choice, axes: str, sizes: list[int]) -> Numbers:
    """The numbers of the planes as an array `[channel, z]`, given their axes (the slowest first) and lengths.

    Raises UnsupportedSource if the user has to choose, OptionError for a choice that does not exist.

    Two time points of three channels of two planes each:

    >>> pick("a.tif", Choice(timepoint=1), "TZC", [2, 2, 3]).tolist()
    [[6, 9], [7, 10], [8, 11]]
    """
    numbers = np.arange(math.prod(sizes), dtype=np.int64).reshape(sizes)
    letters = [letter for letter, size in zip(axes, sizes, strict=True) if size > 1]
    numbers = numbers.reshape([size for size in sizes if size > 1])
    if choice.axes is not None:
        letters = _renamed(path, choice.axes, letters, list(numbers.shape))
    numbers, letters = _at(path, "timepoint", "time point", choice.timepoint, "T", numbers, letters)
    numbers, letters = _at(path, "volume", "volume", choice.volume, "V", numbers, letters)
    depths = [letter for letter in letters if letter not in "CS"]
    if len(depths) > 1 or len(letters) - len(depths) > 1:
        unnamed = {"Q": "unnamed", "I": "unnamed"}
        sizes_of = zip(letters, numbers.shape, strict=True)
        listed = ", ".join(f"{unnamed.get(letter, letter)} {size}" for letter, size in sizes_of)
        raise UnsupportedSource(
            f"{path} has more axes than a volume: {listed}",
            why="nothing says which of them is z",
            fix=f"give a letter for each (T time, C channel, Z depth), then YX, such as {axes_like(len(letters))}",
        )
    if depths and letters[0] in depths:
        numbers = numbers.T
    return numbers.reshape(-1 if len(letters) > len(depths) else 1, numbers.shape[-1] if depths else 1)


def named_axes(axes: str) -> str:
    """The letters that `-o axes=` gives for the planes of a file, without those of a page.

    >>> named_axes("tzcyx"), named_axes("ZYXS")
    ('TZC', 'Z')
    """
    given = axes.upper()
    return next((given[: -len(page)] for page in ("SYX", "YXS", "YX") if given.endswith(page)), given)


def _renamed(path: str, axes: str, letters: list[str], sizes: list[int]) -> list[str]:
    """The letters of the axes as given by the user."""
    given = named_axes(axes)
    if len(given) != len(letters) or (given and not given.isalpha()):
        raise OptionError(
            f"-o axes={axes} does not fit {path}",
            why=f"its planes count along {len(sizes)} axes: {' x '.join(map(str, sizes)) or 'none'}",
            fix=f"give a letter for each (T time, C channel, Z depth), then YX, such as {axes_like(len(letters))}; or "
            f"leave it out, and {planes_help(math.prod(sizes))}",
        )
    return list(given)


def _at(
    path: str, option: str, noun: str, wanted: int | None, axis: str, numbers: Numbers, letters: list[str]
) -> tuple[Numbers, list[str]]:
    """The numbers and axes that are left once a place along an axis is chosen."""
    count = numbers.shape[letters.index(axis)] if axis in letters else 1
    as_depth = "".join(letters).replace(axis, "Z")
    really = f"; if these are really depth: -o axes={as_depth}YX" if as_depth.count("Z") == 1 else ""
    if wanted is None and count > 1:
        raise UnsupportedSource(
            f"{path} holds {count} {noun}s",
            why="a dataset shows one",
            fix=f"choose it with -o {option}=N, N from 0 to {count - 1}{really}",
        )
    if wanted and axis == "V" and axis not in letters:  # other readers have an option of this name
        raise UnknownOption(
            f"-o {option}={wanted} does not fit {path}", fix=f"{path} does not count volumes", names=(option,)
        )
    if wanted is not None and not 0 <= wanted < count:
        raise OptionError(f"-o {option}={wanted} does not exist in {path}", fix=f"its {noun}s are 0 to {count - 1}")
    if axis not in letters:
        return numbers, letters
    place = letters.index(axis)
    return np.take(numbers, wanted or 0, axis=place), letters[:place] + letters[place + 1 :]


def pick_series(path: str, series: int, found: list[Any]) -> Any:
    """The chosen series. Raises OptionError if it does not exist."""
    if not 0 <= series < len(found):
        raise OptionError(f"-o series={series} does not exist in {path}", fix=f"its series are 0 to {len(found) - 1}")
    return found[series]


def several_series(path: str, listed: str) -> UnsupportedSource:
    """The error for a file with several series, one of which has to be chosen."""
    return UnsupportedSource(
        f"{path} holds several series", why=f"they are {listed}", fix="choose one with -o series=N"
    )
