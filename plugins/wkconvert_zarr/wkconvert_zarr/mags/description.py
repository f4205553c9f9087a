"""How an array is stored, read from its description: `zarr.json` or `.zarray`, and what a dataset states beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wkconvert_core import BrokenSource, SourceNotFound, UnsupportedSource
from wkconvert_core.toolkit.files import is_file, open_file, reading

from ..arrays import DESCRIPTIONS, Address, Driver, opened_in_memory, without_keys
from .layout import AXES, Layout, compact

AGAIN = "wkconvert"
"""The attribute of an array of Zarr 3 in which wkconvert says once more how it is stored: chunks have no header."""


def read_layout(driver: Driver, folder: Path, entry: Mapping[str, Any] | None = None) -> Layout:
    """Read the description of the array in a folder; `entry` is what a dataset says of its axes and channels.

    Raises SourceNotFound where there is none, BrokenSource, UnsupportedSource for what no mag can be.
    """
    path = folder / DESCRIPTIONS[driver]
    if not is_file(path):
        raise SourceNotFound(f"{folder} is no mag of {driver}", why=f"there is no {path.name} in it")
    with reading(path, ValueError, RecursionError), open_file(path) as file:
        about = json.loads(file.read())
    is_array = isinstance(about, dict) and about.get("node_type", "array") == "array"
    if not is_array or not isinstance(about.get("shape"), list):
        raise BrokenSource(f"{path} describes no array", fix="give the folder of an array")
    layout = _listed(driver, path, about, entry or {})
    attributes = about.get("attributes")
    if isinstance(attributes, dict) and isinstance(again := attributes.get(AGAIN), dict):
        _check_again(layout, again, path)
    return layout


def said_again(about: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a description that attributes repeat: all that would give other voxels without an error."""
    keys = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs", "dimension_names")
    return {AGAIN: {key: about[key] for key in keys}}


def _check_again(layout: Layout, again: Mapping[str, Any], path: Path) -> None:
    """Raise BrokenSource unless an array is stored as its attributes say; it may have become larger."""

    def normal(about: Mapping[str, Any]) -> Any:
        return opened_in_memory(layout.driver, json.dumps(about)).spec().to_json()["metadata"]

    about = layout.parsed
    try:
        first = {**about, **again}
        is_whole = all(now >= then for now, then in zip(about["shape"], first["shape"], strict=True))
        is_same = is_whole and normal({**first, "shape": about["shape"]}) == normal(about)
    except (ValueError, TypeError, OverflowError):
        is_same = False
    if not is_same:
        why = "it says twice how the array is stored, and not the same; or another program has made the array smaller"
        raise BrokenSource(f"{path} is damaged", why=why, fix="restore it from a copy, or convert again")


def layout_at(driver: Driver, url: str, entry: Mapping[str, Any]) -> Layout:
    """The layout of an array on a server. Raises SourceError."""
    return _listed(driver, url, Address(driver, url).open().spec().to_json()["metadata"], entry)


def layout_of(address: Address, axes: Sequence[str], channels: tuple[int, int]) -> Layout:
    """The layout of an array anywhere, with these axes, and channels: the first and their number.

    Raises SourceError for what no mag can be.
    """
    return _layout(address.driver, address.place, address.open().spec().to_json()["metadata"], axes, channels)


def _listed(driver: Driver, place: Path | str, about: Mapping[str, Any], entry: Mapping[str, Any]) -> Layout:
    """The layout of an array as a dataset lists it: with its layer's channels, from `channelIndex` on, else all."""
    first, count = entry.get("channelIndex"), entry.get("numChannels", 1)
    return _layout(driver, place, about, _axes(about, entry), (first, count) if type(first) is int else None)


def _axes(about: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
    """Names of an array's axes: those that a dataset states, if they fit, else its own, else the usual ones."""
    names = about.get("dimension_names") or []
    rank = len(about["shape"])
    known = [*map(str, names)] if len(names) == rank and all(names) else [*AXES.get(rank, "")]
    axes = ["c" if axis == "channel" else axis for axis in known] or [""] * rank
    said = entry.get("axisOrder")
    order: dict[str, Any] = said if isinstance(said, dict) else {}
    places = list(order.values())
    is_fitting = all(type(at) is int and 0 <= at < rank for at in places) and len({*map(str, places)}) == len(places)
    if places and is_fitting:
        axes = [f"axis {at}" if axis in order or not axis else axis for at, axis in enumerate(axes)]
        for axis, at in order.items():
            axes[at] = axis
    return axes


def _layout(
    driver: Driver,
    place: Path | str,
    about: Mapping[str, Any],
    axes: Sequence[str],
    channels: tuple[int, int] | None,
) -> Layout:
    kept = {key: value for key, value in about.items() if key != "attributes"}
    shape = about["dimensions" if driver == "n5" else "shape"]
    every = (0, shape[axes.index("c")] if "c" in axes else 1)
    document, own = compact(kept), None if channels == every else channels
    layout, where = Layout(driver, document, tuple(axes), own), without_keys(str(place))
    try:
        _ = layout.grid
    except UnsupportedSource as error:
        fix = f"copy its voxels: wkconvert auto {where} DST, without --by-reference"
        raise UnsupportedSource(f"{where}: {error.what}", why=error.why, fix=fix) from error
    except BrokenSource as error:
        raise BrokenSource(f"{where}: {error.what}", why=error.why) from error
    return layout
