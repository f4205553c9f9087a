"""Which of a file's volumes become which layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from wkconvert_core.contract.errors import OptionError, UnsupportedSource

__all__ = ["MOST_LAYERS", "check_layers", "groups"]

MOST_LAYERS = 100
"""Most layers of one source."""


def groups(
    path: Path,
    shape: Sequence[int],
    count: int,
    volume: int | None,
    volumes: Literal["channels"] | None,
    *,
    colours: bool = False,
) -> list[tuple[int, ...]]:
    """The numbers of the volumes that each layer consists of, of `count` in a file whose axes have these lengths.

    `volume` is the one that is wanted; `volumes=channels` all of them, a layer for each, or if they are red, green and
    blue (`colours`), one layer. Raises OptionError, UnsupportedSource.

    >>> groups(Path("a.nii"), (9, 8, 7, 2), 2, volume=1, volumes=None), groups(Path("a.nii"), (9, 8, 7), 1, None, None)
    ([(1,)], [(0,)])
    """
    if volume is not None and volumes is not None:
        raise OptionError("-o volume and -o volumes exclude each other", fix="say one of them")
    if volume is not None:
        if not 0 <= volume < count:
            raise OptionError(f"{path} has no volume {volume}", fix=f"-o volume takes 0 to {count - 1} for this file")
        return [(volume,)]
    if count == 1:
        return [(0,)]
    if volumes is None:
        raise UnsupportedSource(
            f"{path} holds {count} volumes, its axes have the lengths {' x '.join(map(str, shape))}",
            why="a layer is one volume",
            fix=f"take one with -o volume=N (0 to {count - 1}), or all, as layers, with -o volumes=channels",
        )
    return [tuple(range(count))] if colours else [(number,) for number in range(count)]


def check_layers(path: Path, count: int) -> None:
    """Raise UnsupportedSource if a source makes more layers than anybody can look at."""
    if count > MOST_LAYERS:
        raise UnsupportedSource(
            f"{path} makes more than {MOST_LAYERS} layers",
            why="nobody can look at so many at once",
            fix="convert fewer volumes at a time, or one with -o volume=N",
        )
