"""Which files make a stack, in which order, and which slices are missing."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Literal

from wkconvert_core import BrokenSource, InconsistentStack, SourceNotFound

from .messages import ranges, some

Gaps = Literal["error", "fill", "close"]
TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".tf2")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_LITTER = {"thumbs.db", "desktop.ini", "ehthumbs.db"}
_DIGITS = re.compile(r"([0-9]+)")
_MOST_FILLED = 1000
"""Empty slices filled in for each slice that is there; more than that is no numbering of slices."""


@dataclass(frozen=True)
class Listing:
    """What lies in a folder."""

    names: tuple[str, ...]
    """The pictures, in natural order."""
    ignored: tuple[str, ...]
    """Other files."""
    folders: tuple[str, ...]


def natural_key(name: str) -> tuple[list[str | int], str]:
    """A sort key that puts `s2` before `s10`."""
    parts = _DIGITS.split(name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def list_folder(path: Path, suffixes: Sequence[str]) -> Listing:
    """The files of a folder by kind; hidden ones and the system's litter are left out. Linked files are files."""
    names, ignored, folders = [], [], []
    try:
        entries = list(os.scandir(path))
    except OSError as error:
        raise cannot_open(str(path), error) from error
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _LITTER:
            continue
        if entry.is_dir():
            folders.append(entry.name)
        elif entry.name.lower().endswith(tuple(suffixes)) and (entry.is_file() or entry.is_symlink()):
            names.append(entry.name)  # a link to nothing, too: that slice is missing
        else:
            ignored.append(entry.name)
    return Listing(tuple(sorted(names, key=natural_key)), tuple(sorted(ignored)), tuple(sorted(folders)))


def base(path: str) -> str:
    """The last part of a path."""
    return os.path.basename(path)  # noqa: PTH119 - paths are strings here: there may be a million of them


def status(path: str) -> os.stat_result:
    """Size and time of a file; raises OSError."""
    return os.stat(path)  # noqa: PTH116 - see `base`


def _state(path: str) -> tuple[int, int]:
    found = status(path)
    return found.st_size, found.st_mtime_ns


def paths_in(folder: str, names: Sequence[str]) -> list[str]:
    """The paths of a folder's files."""
    return [os.path.join(folder, name) for name in names]  # noqa: PTH118 - see `base`


def cannot_open(path: str, error: OSError) -> SourceNotFound | BrokenSource:
    """The error for a file or folder that the system does not let us read."""
    kind = SourceNotFound if isinstance(error, FileNotFoundError) else BrokenSource
    return kind(
        f"{path} cannot be opened", why=error.strerror or str(error), fix="check that it exists and may be read"
    )


def digest(paths: Iterable[str]) -> str:
    """A fingerprint of the files' names, sizes and times."""
    found = hashlib.sha256()
    for path in paths:
        try:
            found.update(b"%b\0%d\0%d\0" % (os.fsencode(base(path)), *_state(path)))
        except OSError as error:
            raise cannot_open(path, error) from error
    return found.hexdigest()[:16]


def with_gaps(folder: str, names: Sequence[str], gaps: Gaps) -> list[str | None]:
    """The slices in order, None for each that is missing and to be filled.

    The number that counts the slices is the last one in the names that changes and does not merely accompany another.
    Raises InconsistentStack for holes in that numbering with `gaps="error"`, and for two slices with one number unless
    `gaps="close"`, which takes the files as they come.
    """
    if gaps == "close":
        return list(names)
    missing_before: dict[str, int] = {}
    holes: list[int] = []
    for run in _runs(names):
        _check_unique(folder, run)
        for (low, _), (high, name) in itertools.pairwise(run):
            missing_before[name] = high - low - 1
            holes += range(low + 1, min(high, low + 1 + _MOST_FILLED * len(names)))
    if holes and gaps == "error":
        raise InconsistentStack(
            f"slices are missing in {folder}: {ranges(holes)} ({sum(missing_before.values())} in all)",
            why=f"the numbers in the {len(names)} names, from {names[0]} to {names[-1]}, have holes",
            fix="add the missing files, or say --gaps fill for empty slices, --gaps close to do without",
        )
    if sum(missing_before.values()) > _MOST_FILLED * len(names):
        raise InconsistentStack(
            f"{sum(missing_before.values())} slices are missing between the {len(names)} in {folder}",
            why="so many cannot be filled: the numbers in the names do not seem to count slices",
            fix="say --gaps close to take the files as they come",
        )
    return [entry for name in names for entry in (*[None] * missing_before.get(name, 0), name)]


def oddly_named(names: Sequence[str]) -> list[str]:
    """The few files that are named on another pattern than nearly all the others."""
    most = max(_by_pattern(names).values(), key=len, default=[])
    usual = set(most)
    return [name for name in names if name not in usual] if 10 * len(most) >= 9 * len(names) else []


def restarts(names: Sequence[str]) -> int:
    """How often the numbering of the slices starts."""
    return sum(len(run) > 1 for run in _runs(names))


def _runs(names: Sequence[str]) -> list[list[tuple[int, str]]]:
    """The names that count on from one another, with the number that does the counting, sorted."""
    runs: list[list[tuple[int, str]]] = []
    for alike in _by_pattern(names).values():
        numbers = [tuple(map(int, _DIGITS.findall(_stem(name)))) for name in alike]
        at = _counting(numbers)
        if at is None:
            continue
        grouped: dict[tuple[int, ...], list[tuple[int, str]]] = defaultdict(list)
        for name, number in zip(alike, numbers, strict=True):
            grouped[number[:at]].append((number[at], name))
        runs += map(sorted, grouped.values())
    return runs


def _counting(numbers: Sequence[tuple[int, ...]]) -> int | None:
    """The position of the number that counts: the last one that changes among names that agree up to it."""
    for at in reversed(range(len(numbers[0]))):
        heads = {number[:at] for number in numbers}
        if 2 * len(heads) <= len(numbers) and len({number[: at + 1] for number in numbers}) > len(heads):
            return at
    return None


def _check_unique(folder: str, run: list[tuple[int, str]]) -> None:
    for (a, first), (b, second) in itertools.pairwise(run):
        if a == b:
            raise InconsistentStack(
                f"two slices in {folder} have the number {a}: {first} and {second}",
                why="which comes first, or counts at all, is not to be known",
                fix="move one away, or say --gaps close to take both as they come",
            )


def _by_pattern(names: Sequence[str]) -> dict[tuple[str, ...], list[str]]:
    """Names by what is between their numbers."""
    patterns: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in names:
        patterns[tuple(_DIGITS.split(_stem(name))[::2])].append(name)
    return patterns


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def check_one_kind(paths: Sequence[str], kind_of: Callable[[bytes], str | None]) -> None:
    """Raise InconsistentStack where pictures of several kinds lie in one folder; files of no kind are left alone."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        try:
            with FileIO(path) as file:
                kind = kind_of(file.read(16))
        except OSError as error:
            raise cannot_open(path, error) from error
        if kind:
            kinds[kind].append(base(path))
    if len(kinds) > 1:
        listed = "; ".join(f"{kind}: {some(names)}" for kind, names in sorted(kinds.items(), key=lambda k: -len(k[1])))
        raise InconsistentStack(
            f"the folder holds pictures of several kinds: {listed}",
            why="a stack is made of one kind",
            fix="move the others away, or choose by name with -o suffix=png",
        )
