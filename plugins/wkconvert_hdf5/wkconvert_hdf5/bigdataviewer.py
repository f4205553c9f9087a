"""BigDataViewer: setups, times and levels in HDF5; XML says how large voxels are and where they lie.

The format: https://imagej.net/plugins/bdv/#about-the-bigdataviewer-data-format. Integers of 16 bits
are unsigned, whatever their type in the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from wkconvert_core import (
    Affine,
    Layer,
    OptionError,
    UnknownOption,
    UnsupportedSource,
    VoxelSize,
    WarningNote,
    unit_symbol,
)
from wkconvert_core.toolkit.dyes import view_colors
from wkconvert_core.toolkit.files import broken, open_file, reading, state_of
from wkconvert_core.toolkit.volumes.choosing import check_layers, pick_time

from .arrays import Choice, Facts, mags_of
from .detection import spim_files
from .files import File, check_is_hdf5, group_of, numbers, opened, text_of

_TIME, _SETUP = "t([0-9]{5,9})", "s([0-9]{2,9})"
"""Names of groups: times hold setups; others, of the same names, describe these."""
_MOST_XML = 256 << 20
"""Bytes of the largest XML that is read."""


@dataclass(frozen=True)
class Setup:
    """A setup as the XML describes it: a channel, tile or angle."""

    number: int
    name: str = ""
    voxel_size: VoxelSize | None = None
    notes: tuple[str, ...] = ()


def is_bigdataviewer(file: File) -> bool:
    """Whether a file is one of BigDataViewer."""
    return bool(numbers(file, _TIME)) and any("resolutions" in group_of(file, name) for name in file)


def xml_beside(path: Path) -> Path | None:
    """The XML in the same folder that describes an HDF5 file. Raises BrokenSource."""
    return next((xml for xml in spim_files(path.parent) if _images(xml, _parsed(xml)).name == path.name), None)


def described_layers(xml: Path, choice: Choice) -> list[Layer]:
    """The layers of the file that XML describes. Raises SourceError, OptionError."""
    root = _parsed(xml)
    path = _images(xml, root)
    with reading(xml, ValueError, TypeError):
        setups = sorted(
            map(_setup, root.iterfind("SequenceDescription/ViewSetups/ViewSetup")), key=lambda it: it.number
        )
        if not setups:
            raise broken(xml, "it describes no ViewSetup")
    check_is_hdf5(path)
    with opened(path) as file:
        return _layers(path, file, setups, choice, root)


def bare_layers(path: Path, file: File, choice: Choice) -> list[Layer]:
    """The layers of a file without XML. Raises SourceError, OptionError."""
    note = WarningNote("no XML beside it says how large voxels are and where setups lie")
    first, *others = numbers(file, _SETUP)
    return _layers(path, file, [Setup(first, notes=(note,)), *map(Setup, others)], choice, None)


def _layers(path: Path, file: File, setups: list[Setup], choice: Choice, xml: Any) -> list[Layer]:
    """A layer for each setup, or the one that is chosen; levels that are no mags are left out."""
    if others := [name for name in ("dataset", "axes", "channel") if getattr(choice, name) is not None]:
        raise UnknownOption(
            f"{path} is of BigDataViewer, which has no use for {', '.join(others)}",
            fix="take a setup with -o setup=N; -o dataset=PATH goes with the .h5 file itself",
            names=others,
        )
    time = pick_time(path, numbers(file, _TIME), choice.timepoint)
    wanted = [setup for setup in setups if choice.setup in (None, setup.number)]
    if not wanted:
        there = ", ".join(str(setup.number) for setup in setups)
        raise OptionError(f"{path} has no setup {choice.setup}", fix=f"-o setup takes {there}")
    check_layers(path, len(wanted), "take one with -o setup=N, or fuse them with BigStitcher")
    names = [setup.name or f"setup_{setup.number}" for setup in wanted]
    layers = []
    for setup, name, shown in zip(wanted, names, view_colors(names), strict=True):
        group, about = f"t{time:05}/s{setup.number:02}", file[f"s{setup.number:02}"]
        if group not in file:
            raise UnsupportedSource(
                f"setup {setup.number} has no images at time point {time} in {path}",
                why=f"there is no {group} in it",
                fix="take other images with -o timepoint=N, or one with -o setup=N",
            )
        affine, notes = _affine(xml, time, setup.number)
        facts = Facts("zyx", setup.voxel_size, affine, is_unsigned=text_of(about, "dataType") in ("", "uint16"))
        factors = np.asarray(about["resolutions"][...], float).tolist()
        mags, left = mags_of(
            path, file, ((each, f"{group}/{level}/cells", facts) for level, each in enumerate(factors))
        )
        told, is_alone = (*setup.notes, *notes, *left), len(wanted) == 1
        layers.append(Layer(mags, None if is_alone else name, color=None if is_alone else shown, notes=told))
    return layers


# --- XML --------------------------------------------------------------------------------------------------------------


def _parsed(xml: Path) -> ElementTree.Element:
    """The root of a file of XML. Raises SourceNotFound, BrokenSource."""
    if (size := state_of(xml)[0]) > _MOST_XML:
        raise broken(xml, f"{size} bytes are more than a description takes")
    with reading(xml, ElementTree.ParseError, ValueError, LookupError), open_file(xml) as file:
        return ElementTree.fromstring(file.read())


def _images(xml: Path, root: ElementTree.Element) -> Path:
    """The HDF5 file that XML names. Raises BrokenSource."""
    named = root.find("SequenceDescription/ImageLoader/hdf5")
    if named is None or not (named.text or "").strip():
        raise broken(xml, "its ImageLoader names no hdf5 file")
    base = root.find("BasePath")
    folder = xml.parent / ((base.text or "").strip() if base is not None else "")
    return folder / (named.text or "").strip()


def _setup(found: ElementTree.Element) -> Setup:
    """Parse the description of a setup. Raises ValueError."""
    number = int(found.findtext("id", ""))
    name = found.findtext("name", "").strip()
    told = found.findtext("voxelSize/size", "").split()
    unit = found.findtext("voxelSize/unit", "").strip()
    if not told:
        return Setup(number, name)
    sizes, symbol = [float(side) for side in told], unit_symbol(unit)
    if symbol is None or len(sizes) != 3 or not all(math.isfinite(side) and side > 0 for side in sizes):
        said = f"the voxel size {' x '.join(told)} {unit} of setup {number} is none"
        is_pixel = unit.lower() in ("pixel", "pixels", "px", "")
        return Setup(number, name, notes=(said if is_pixel else WarningNote(said),))
    x, y, z = sizes
    return Setup(number, name, VoxelSize((x, y, z), symbol, "voxelSize in the XML"))


def _affine(root: ElementTree.Element | None, time: int, setup: int) -> tuple[Affine | None, list[str]]:
    """Where the voxels of a setup lie at one time, by all its transforms, the last of which is applied first."""
    if root is None:
        return None, []
    views = [
        view
        for view in root.iterfind("ViewRegistrations/ViewRegistration")
        if (view.get("timepoint"), view.get("setup")) == (str(time), str(setup))
    ]
    whole = np.eye(4)
    for view in views[:1]:
        for transform in view.iterfind("ViewTransform/affine"):
            rows = np.array((transform.text or "").split(), float).reshape(3, 4)
            with np.errstate(all="ignore"):  # what is no number, or none any more, is no place
                whole = whole @ np.vstack([rows, [0, 0, 0, 1]])
    if not views or not np.isfinite(whole).all():
        return None, []
    x, y, z, origin = ((float(i), float(j), float(k)) for i, j, k in whole[:3].T)
    affine = Affine(x, y, z, origin, None, "ViewRegistration")
    scale = np.diag(np.diag(whole)[:3])
    is_turned = not np.allclose(whole[:3, :3], scale, atol=1e-6 * np.abs(scale).max()) or np.diag(whole).min() <= 0
    told = "its registration turns, shears or mirrors it, which is not applied; BigStitcher can fuse it"
    return (affine if affine.spans else None), [WarningNote(told)] if is_turned else []
