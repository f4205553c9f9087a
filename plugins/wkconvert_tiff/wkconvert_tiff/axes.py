"""The axes along which the planes of a file are counted, and the choice of planes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wkconvert_core import OptionError, UnsupportedSource

Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Choice:
    """The options that concern the inside of a file."""

    series: int | None = None
    timepoint: int | None = None
    axes: str | None = None
    plain: bool = False
    """Every page is a slice, also if a description says otherwise."""


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
    numbers, letters = _at_time(path, choice, numbers, letters)
    depths = [letter for letter in letters if letter not in "CS"]
    if len(depths) > 1 or len(letters) - len(depths) > 1:
        listed = ", ".join(f"{letter} {size}" for letter, size in zip(letters, numbers.shape, strict=True))
        raise UnsupportedSource(
            f"{path} has more axes than a volume: {listed}",
            why="nothing says which of them is z",
            fix="name them with -o axes=, for example -o axes=TZYX",
        )
    if depths and letters[0] in depths:
        numbers = numbers.T
    return numbers.reshape(-1 if len(letters) > len(depths) else 1, numbers.shape[-1] if depths else 1)


def _renamed(path: str, axes: str, letters: list[str], sizes: list[int]) -> list[str]:
    """The letters of the axes as given by the user."""
    given = axes.upper()
    for page in ("SYX", "YXS", "YX"):
        if given.endswith(page):
            given = given[: -len(page)]
            break
    if len(given) != len(letters) or not given.isalpha():
        raise OptionError(
            f"-o axes={axes} does not fit {path}",
            why=f"its planes count along {len(sizes)} axes: {' x '.join(map(str, sizes)) or 'none'}",
            fix="give a letter for each (T time, C channel, Z depth), then YX",
        )
    return list(given)


def _at_time(path: str, choice: Choice, numbers: Numbers, letters: list[str]) -> tuple[Numbers, list[str]]:
    """The numbers and axes that are left once the time point is chosen."""
    count = numbers.shape[letters.index("T")] if "T" in letters else 1
    if choice.timepoint is None and count > 1:
        raise UnsupportedSource(
            f"{path} holds {count} time points",
            why="a dataset shows one",
            fix=f"choose it with -o timepoint=N, N from 0 to {count - 1}; if time is really depth: -o axes=ZYX",
        )
    if choice.timepoint is not None and not 0 <= choice.timepoint < count:
        raise OptionError(
            f"-o timepoint={choice.timepoint} does not exist in {path}", fix=f"its time points are 0 to {count - 1}"
        )
    if "T" not in letters:
        return numbers, letters
    time = letters.index("T")
    return np.take(numbers, choice.timepoint or 0, axis=time), letters[:time] + letters[time + 1 :]


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
