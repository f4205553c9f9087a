"""BigDataViewer: setups, times and levels in HDF5; XML says how large voxels are and where they lie.

The format: https://imagej.net/plugins/bdv/#about-the-bigdataviewer-data-format. Integers of 16 bits
are unsigned, whatever their type in the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from wkconvert_core import (
    Affine,
    Layer,
    Mag,
    OptionError,
    UnknownOption,
    UnsupportedSource,
    VoxelSize,
    WarningNote,
    unit_symbol,
)
from wkconvert_core.toolkit.dyes import view_colors
from wkconvert_core.toolkit.files import broken, open_file, reading, state_of

from .arrays import MOST_LAYERS, Choice, Facts, mag_of, pick_time, source_of
from .detection import spim_files
from .files import File, check_is_hdf5, group_of, opened, text_of

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
    return bool(_numbers(file, "t", 5)) and any(
        "resolutions" in group_of(file, f"s{number:02}") for number in _numbers(file, "s", 2)
    )


def xml_beside(path: Path) -> Path | None:
    """The XML in the same folder that describes an HDF5 file. Raises BrokenSource."""
    return next((xml for xml in spim_files(path.parent) if _images(xml, _parsed(xml)).name == path.name), None)


def described_layers(xml: Path, choice: Choice) -> list[Layer]:
    """The layers of the file that XML describes. Raises SourceError, OptionError."""
    root = _parsed(xml)
    path = _images(xml, root)
    with reading(xml, ValueError, TypeError):
        setups = {
            setup.number: setup for setup in map(_setup, root.iterfind("SequenceDescription/ViewSetups/ViewSetup"))
        }
        if not setups:
            raise broken(xml, "it describes no ViewSetup")
    check_is_hdf5(path)
    with opened(path) as file:
        return _layers(path, file, setups, choice, root)


def bare_layers(path: Path, file: File, choice: Choice) -> list[Layer]:
    """The layers of a file without XML. Raises SourceError, OptionError."""
    note = WarningNote("no XML beside it says how large voxels are and where setups lie")
    numbers = _numbers(file, "s", 2)
    setups = {number: Setup(number, notes=(note,) if number == numbers[0] else ()) for number in numbers}
    return _layers(path, file, setups, choice, None)


def _layers(path: Path, file: File, setups: dict[int, Setup], choice: Choice, xml: Any) -> list[Layer]:
    """A layer for each setup, or the one that is chosen."""
    others = [name for name in ("dataset", "axes", "channel") if getattr(choice, name) is not None]
    if others:
        raise UnknownOption(
            f"{path} is of BigDataViewer, which has no use for {', '.join(others)}",
            fix="take a setup with -o setup=N; -o dataset=PATH goes with the .h5 file itself",
            names=others,
        )
    time = pick_time(path, _numbers(file, "t", 5), choice.timepoint)
    if choice.setup is not None and choice.setup not in setups:
        raise OptionError(
            f"{path} has no setup {choice.setup}", fix=f"-o setup takes {', '.join(map(str, sorted(setups)))}"
        )
    wanted = [setups[number] for number in sorted(setups) if choice.setup in (None, number)]
    if len(wanted) > MOST_LAYERS:
        raise UnsupportedSource(
            f"{path} has {len(wanted)} setups",
            why=f"at most {MOST_LAYERS} layers are made at once",
            fix="take one with -o setup=N, or fuse them with BigStitcher",
        )
    names = [setup.name or f"setup_{setup.number}" for setup in wanted]
    layers = []
    for setup, name, shown in zip(wanted, names, view_colors(names), strict=True):
        group = f"t{time:05}/s{setup.number:02}"
        if group not in file:
            raise UnsupportedSource(
                f"setup {setup.number} has no images at time point {time} in {path}",
                why=f"there is no {group} in it",
                fix="take other images with -o timepoint=N, or one with -o setup=N",
            )
        affine, notes = _affine(xml, time, setup.number)
        mags = _mags(path, file, group, setup, affine, (*setup.notes, *notes))
        is_alone = len(wanted) == 1
        layers.append(Layer(mags, None if is_alone else name, color=None if is_alone else shown))
    return layers


def _mags(
    path: Path, file: File, group: str, setup: Setup, affine: Affine | None, notes: tuple[str, ...]
) -> dict[Mag, Any]:
    """The mags of a setup at one time; levels that are no mags are left out."""
    about = file[f"s{setup.number:02}"]
    mags: dict[Mag, Any] = {}
    kind = text_of(about, "dataType")
    for level, factors in enumerate(np.asarray(about["resolutions"][...], float).tolist()):
        mag = mag_of(factors)
        if mag is None or mag in mags:
            continue
        data = file[f"{group}/{level}/cells"]
        is_unsigned = data.dtype.kind == "i" and kind in ("", "uint16") and data.dtype.itemsize == 2
        size = setup.voxel_size and setup.voxel_size.coarsened(mag)
        facts = Facts("zyx", size, None if mags else affine, () if mags else notes, is_unsigned=is_unsigned)
        mags[mag] = source_of(path, data, facts)
    if not mags:
        raise broken(path, f"none of its levels is a mag: {about['resolutions'][...].tolist()}")
    return mags


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
            numbers = [float(number) for number in (transform.text or "").split()]
            whole = whole @ np.vstack([np.array(numbers).reshape(3, 4), [0, 0, 0, 1]])
    if not views or not np.isfinite(whole).all():
        return None, []
    x, y, z, origin = (_point(column) for column in whole[:3].T)
    affine = Affine(x, y, z, origin, None, "ViewRegistration")
    scale = np.diag(np.diag(whole)[:3])
    is_turned = not np.allclose(whole[:3, :3], scale, atol=1e-6 * np.abs(scale).max()) or np.diag(whole).min() <= 0
    told = "its registration turns, shears or mirrors it, which is not applied; BigStitcher can fuse it"
    return (affine if affine.spans else None), [WarningNote(told)] if is_turned else []


def _point(numbers: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = map(float, numbers)
    return x, y, z


def _numbers(file: File, letter: str, digits: int) -> list[int]:
    """The numbers of the groups `t00000`, `t00001` and so on, or `s00`, `s01`."""
    return sorted(int(name[1:]) for name in file if re.fullmatch(rf"{letter}[0-9]{{{digits},9}}", name))
