"""Which volumes of a file become layers, and what options of readers say of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wkconvert_core.contract.errors import OptionError, UnsupportedSource
from wkconvert_core.contract.voxel_size import METRES, unit_symbol

if TYPE_CHECKING:
    from wkconvert_core.contract.model import DType

__all__ = ["MOST_LAYERS", "check_layers", "groups", "no_channel", "pick_time", "said_unit", "split_channels"]

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


def check_layers(path: Path, count: int, fix: str = "convert fewer volumes at a time, or one with -o volume=N") -> None:
    """Raise UnsupportedSource if a source makes more layers than anybody can look at."""
    if count > MOST_LAYERS:
        raise UnsupportedSource(
            f"{path} makes more than {MOST_LAYERS} layers",
            why="nobody can look at so many at once",
            fix=fix,
        )


def pick_time(path: Path, times: Sequence[int], said: int | None) -> int:
    """The time that is taken of those that a file holds: the one that the user says, or the only one.

    Raises UnsupportedSource, OptionError.

    >>> pick_time(Path("a.h5"), [0, 1, 2], 2), pick_time(Path("a.h5"), [5], None)
    (2, 5)
    """
    shown = f"{times[0]} to {times[-1]}" if len(times) > 1 else str(times[0])
    if said is not None and said not in times:
        raise OptionError(f"{path} has no time point {said}", fix=f"-o timepoint takes {shown} for this file")
    if said is None and len(times) > 1:
        raise UnsupportedSource(
            f"{path} holds {len(times)} time points",
            why="a layer shows one",
            fix=f"take one with -o timepoint=N, {shown}",
        )
    return times[0] if said is None else said


def split_channels(path: Path | str, count: int, dtype: DType, said: int | None) -> list[range]:
    """The channels of each layer: three of uint8 are colours and stay together, others are a layer each.

    `said` is the only one that the user wants. Raises OptionError.

    >>> import numpy as np
    >>> split_channels("a.npy", 3, np.dtype("uint8"), None), split_channels("a.npy", 2, np.dtype("uint8"), None)
    ([range(0, 3)], [range(0, 1), range(1, 2)])
    """
    if said is not None:
        if not 0 <= said < count:
            raise no_channel(path, said, count)
        return [range(said, said + 1)]
    # a dtype is compared by its name, so that this needs no numpy
    return [range(3)] if count == 3 and dtype.name == "uint8" else [range(each, each + 1) for each in range(count)]


def said_unit(unit: str | None) -> str | None:
    """The unit of length that the option `unit` of a reader says; None without it. Raises OptionError for others.

    >>> said_unit("micron"), said_unit(None)
    ('µm', None)
    """
    symbol = None if unit is None else unit_symbol(unit)
    if symbol is None and unit is not None:
        raise OptionError(f"-o unit={unit} is no unit of length", fix=f"take one of {', '.join(METRES)}")
    return symbol


def no_channel(path: Path | str, channel: int, count: int) -> OptionError:
    """The error for a channel that a source does not have.

    >>> str(no_channel("a.nrrd", 3, 2))
    'channel 3 does not exist in a.nrrd. its channels are 0 to 1'
    """
    return OptionError(f"channel {channel} does not exist in {path}", fix=f"its channels are 0 to {count - 1}")
