"""The files of a folder that make up a volume of DICOM, in order of their positions along the normal."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wkconvert_core import InconsistentStack, OptionError, SourceNotFound, UnsupportedSource, WarningNote
from wkconvert_core.toolkit.files import exists, is_file, is_folder, is_link, state_of, walk
from wkconvert_core.toolkit.shortened import shorten
from wkconvert_core.toolkit.slices import agreed
from wkconvert_core.toolkit.stacks import Gaps

from .detection import is_slice
from .header import Array
from .slices import Slice, read_slices

_SAME = 1e-3
"""Millimetres up to which two positions are one."""
_UNEVEN = 0.1
"""The part of a step by which a slice may lie off the line of the others."""


_SKEWED = 1e-2
"""The part by which the area that two unit vectors span may miss 1."""


@dataclass(frozen=True)
class Stack:
    """The slices of a series in their order: at each place along the normal as many as there are volumes."""

    places: tuple[tuple[Slice, ...] | None, ...]
    """None where a slice is missing."""
    matrix: Array | None
    """[4, 4]: pixel (i, j) of slice k is at `matrix @ (i, j, k, 1)`, in RAS+, mm; None where it is not said."""
    spacing: float | None
    """Between slices, in mm, by their positions; None where these do not say it."""
    notes: tuple[str, ...]

    @property
    def first(self) -> Slice:
        """The first slice, which stands for what all have in common."""
        return next(place[0] for place in self.places if place)

    @property
    def slices(self) -> list[Slice]:
        """All slices that there are."""
        return [one for place in self.places if place for one in place]


def stack_of(path: Path, series: str | None, gaps: Gaps) -> Stack:
    """The volume, or volumes, of a series below a path. Raises SourceError, OptionError."""
    files, lost, linked = [] if is_folder(path) else [path], list[str](), list[str]()
    for inner, folders, names in walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked += [name for name in folders if is_link(Path(inner, name))]
        for file in (Path(inner, name) for name in sorted(names) if not name.startswith(".")):
            if not exists(file):
                lost.append(file.name)
            elif is_file(file) and is_slice(file):
                files.append(file)
    read = {file: read_slices(str(file), state_of(file)) for file in files}
    found = [one for slices in read.values() for one in slices]
    if not found:
        why = f"{len(read)} files are there; reports, plans and the like hold none"
        raise SourceNotFound(f"{path} holds no image of DICOM", why=why, fix="give the folder of the slices")
    imageless = [file.name for file, slices in read.items() if not slices]
    left_out = {"files without an image": imageless, "links that lead nowhere": lost, "links to folders": linked}
    notes = [WarningNote(f"{what} are left out: {shorten(names)}") for what, names in left_out.items() if names]
    chosen, told = _without_copies(_chosen(path, found, series))
    _check_alike(path, chosen)
    ordered = _ordered(path, chosen, gaps)
    return Stack(ordered.places, ordered.matrix, ordered.spacing, (*notes, *told, *ordered.notes))


def _chosen(path: Path, found: Sequence[Slice], series: str | None) -> list[Slice]:
    """The slices of the only series, or of the one that the user says by its UID, or by its number in the list."""
    every: dict[str, list[Slice]] = {}
    for one in sorted(found, key=lambda one: (one.told, one.series)):
        every.setdefault(one.series, []).append(one)
    listed = "; ".join(
        f"{number}: {of[0].told or 'untitled'}, {len(of)} files, {uid}"
        for number, (uid, of) in enumerate(every.items())
    )
    if series is None and len(every) > 1:
        raise UnsupportedSource(
            f"{path} holds {len(every)} series: {listed}",
            why="a layer is one series",
            fix="choose one with -o series=, by its number in this list or its UID",
        )
    if series is None:
        return list(found)
    uid = list(every)[int(series)] if series.isdecimal() and int(series) < len(every) else series
    if uid not in every:
        raise OptionError(f"{path} holds no series {series}", fix=f"it holds {listed}")
    return every[uid]


def _without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """The slices without further files of an instance, and a note on those. Without a UID, none is a copy."""
    once: dict[str, Slice] = {}
    for one in sorted(slices, key=lambda one: one.path):
        once.setdefault(one.instance or one.path, one)
    kept = list(once.values())
    copies = sorted({one.name for one in slices} - {one.name for one in kept}) or ["of the same names"]
    if len(kept) == len(slices):
        return kept, []
    return kept, [WarningNote(f"{len(slices) - len(kept)} copies of slices are left out: {shorten(copies)}")]


def _check_alike(path: Path, slices: Sequence[Slice]) -> None:
    """Raise InconsistentStack, naming the culprits, if slices are not of one kind."""
    where, fix = str(path), "give these a folder of their own"

    def check(what: str, fact: str, digits: int | None = None) -> None:
        def of(one: Slice) -> object:
            value = getattr(one, fact)
            return value if value is None or digits is None else tuple(round(number, digits) + 0.0 for number in value)

        agreed(where, slices, of, lambda one: one.name, what=what, fix=fix)

    check("columns and rows", "size")
    check("values per pixel", "samples")
    check("their stored dtype", "dtype")
    check("photometric interpretation", "inverted")
    check("pixel spacing", "spacing", 4)
    check("orientation", "directions", 3)


def _by_number(path: Path, slices: Sequence[Slice]) -> Stack:
    """Slices that do not say where they lie, by their numbers, with a warning. Raises InconsistentStack."""
    numbered = sorted(slices, key=lambda one: (one.order[1], one.path))
    if len({one.order[1] for one in numbered}) < len(numbered):
        raise InconsistentStack(
            f"slices in {path} have the same number (InstanceNumber), and none says where it lies",
            why=f"numbers: {shorten([str(one.order[1]) for one in numbered])}",
            fix="give each volume a folder of its own",
        )
    note = WarningNote("no slice says where it lies: they are in the order of their numbers (InstanceNumber)")
    return Stack(tuple((one,) for one in numbered), None, None, (note,) if len(slices) > 1 else ())


def _ordered(path: Path, slices: Sequence[Slice], gaps: Gaps) -> Stack:
    """The slices by their places along the normal. Raises InconsistentStack where they are not evenly spaced."""
    lying = {one: np.array(one.position) for one in slices if one.position and one.directions}
    if not lying:
        return _by_number(path, slices)
    if silent := [one.name for one in slices if one not in lying]:
        raise InconsistentStack(
            f"slices in {path} do not say where they lie: {shorten(silent)}",
            why="the others do (ImagePositionPatient)",
            fix="give these a folder of their own",
        )
    row, column = np.array(slices[0].directions).reshape(2, 3)
    normal = np.cross(row, column)
    if not abs(np.linalg.norm(normal) - 1) < _SKEWED:
        raise InconsistentStack(
            f"{path} has rows and columns that are at no right angle: {slices[0].directions}",
            why="ImageOrientationPatient is two unit vectors",
            fix="correct the header",
        )
    places = _places(path, {one: float(point @ normal) for one, point in lying.items()})
    points = np.array([lying[place[0]] for place in places])
    steps, notes = _steps(path, points @ normal, gaps)
    line = (points[-1] - points[0]) / max(1, steps[-1])
    if gaps == "close" and len(points) > 1:
        line *= np.median(np.diff(points @ normal)) / (line @ normal)  # as far apart as most of them are
    length = float(np.linalg.norm(line))
    off = np.abs(points - points[0] - np.outer(steps, line)).max(axis=1)
    if gaps != "close" and off.max() > _UNEVEN * max(length, _SAME):
        far = places[int(off.argmax())][0]
        raise InconsistentStack(
            f"the slices of {path} are not evenly spaced: {far.name} lies {off.max():.4g} mm off",
            why=f"it is at {far.position}, and steps of {length:.4g} mm lead from the first to the last",
            fix="say --gaps close to take them as if they were",
        )
    by_step = dict(zip(steps, places, strict=True))
    filled = tuple(by_step.get(step) for step in range(steps[-1] + 1))
    is_deep, spacing = len(places) > 1, slices[0].spacing
    matrix = np.eye(4)
    if spacing:
        matrix[:3, :3] = np.array([row * spacing[0], column * spacing[1], line if is_deep else normal]).T
        matrix[:3, 3] = points[0]
        matrix[:2] *= -1  # from LPS to RAS+
    return Stack(filled, matrix if spacing else None, float(line @ normal) if is_deep else None, tuple(notes))


def _places(path: Path, along: Mapping[Slice, float]) -> list[tuple[Slice, ...]]:
    """The slices of each place along the normal, as many of each: those of one volume, echo or time alike."""
    places: list[list[Slice]] = []
    for one in sorted(along, key=lambda one: (along[one], one.path)):
        if places and along[one] - along[places[-1][0]] <= _SAME:
            places[-1].append(one)
        else:
            places.append([one])
    counts = {len(place) for place in places}
    ordered = [tuple(sorted(place, key=lambda one: (one.phase, *one.order, one.path))) for place in places]
    phases = {tuple(one.phase for one in place) for place in ordered}
    if len(counts) > 1 or (counts != {1} and len(phases) > 1):
        many = max(ordered, key=len)
        raise InconsistentStack(
            f"{path} has several slices at one place: {shorten([one.name for one in many])} at {many[0].position}",
            why=f"places have {' or '.join(map(str, sorted(counts)))} slices, so they are no volumes of one extent",
            fix="give each volume a folder of its own, without the slices that come twice",
        )
    return ordered


def _steps(path: Path, along: Array, gaps: Gaps) -> tuple[list[int], list[str]]:
    """The number of each place, counted in steps from the first, and notes. Raises InconsistentStack for gaps."""
    rises = np.diff(along)
    if gaps == "close" or not len(rises):
        usual = float(np.median(rises)) if len(rises) else 0.0
        uneven = int((np.abs(rises - usual) > _UNEVEN * usual).sum())
        note = f"{uneven} of {len(rises)} distances between slices are not {usual:.4g} mm: taken as if they were"
        return list(range(len(along))), [WarningNote(note)] if uneven else []
    step = float(np.median(rises))
    whole = np.rint(rises / step).astype(int)
    holes = [number for number, rise in enumerate(whole) if rise > 1]
    missing = int(whole.sum()) - len(whole)
    told = f"{shorten([f'between {along[n]:.4g} and {along[n + 1]:.4g} mm' for n in holes])} along the normal"
    if holes and gaps == "error":
        raise InconsistentStack(
            f"slices are missing in {path}: {told} ({missing} in all)",
            why=f"the slices lie {step:.4g} mm apart (ImagePositionPatient)",
            fix="add the missing files, or say --gaps fill for empty slices, --gaps close to do without",
        )
    steps = [0, *itertools.accumulate(max(1, int(rise)) for rise in whole)]
    filled = f"{missing} missing slice{'s are' if missing > 1 else ' is'} filled with zeros: {told}"
    return steps, [filled] if holes else []
