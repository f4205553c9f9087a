"""OME-Zarr: images, their labels, plates and series of images.

Facts from https://ngff.openmicroscopy.org (0.4 and 0.5; of 0.1 to 0.3 what is left of it) and, for several images in
one file, from the layout of bioformats2raw, https://ngff.openmicroscopy.org/0.5/#bf2raw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from wkconvert_core import SourceNotFound, UnsupportedSource, WarningNote
from wkconvert_core.toolkit.files import broken
from wkconvert_core.toolkit.shortened import shorten

from .image import MOST, Channel, Image, Level, color_of, numbers, texts
from .node import Node
from .store import Json

_VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")


def described(node: Node) -> Json:
    """The attributes of OME-Zarr: those under `ome` since 0.5, all of them before."""
    inside = node.attributes.get("ome")
    return inside if isinstance(inside, dict) else node.attributes


def images(node: Node, *, labels: bool) -> list[Image] | None:
    """The images of a group, with their labels unless these are left out; None if it is nothing of OME-Zarr.

    Raises UnsupportedSource where users have to choose one: of a plate, a well, or of several series.
    """
    about = described(node)
    if "plate" in about:
        raise _choice(node, "plate", "wells", about["plate"], "wells", "/0")
    if "well" in about:
        return _of_several(node, "well", "fields", _paths(about["well"], "images"), labels=labels)
    if "multiscales" in about:
        found = [image(node, about)]
        return found + (list(_labels(node)) if labels else [])
    if isinstance(about.get("labels"), list):
        return list(_listed_labels(node, about))
    if "bioformats2raw.layout" in about:
        return _of_several(node, "file", "images", _series(node), labels=labels)
    return None


def _choice(node: Node, what: str, noun: str, about: Any, key: str, end: str) -> UnsupportedSource:
    paths = _paths(about, key)
    wells = f"; its {noun} are {shorten(paths)}" if paths else ""
    example = f"{paths[0]}{end}" if paths else f"A/1{end}"
    return UnsupportedSource(
        f"{node.store} is a {what} of many images",
        why=f"a dataset shows one{wells}",
        fix=f"choose one with -o image=, for example -o image={node.store.child(example).path}",
    )


def _paths(about: Any, key: str) -> list[str]:
    """The `path` of each entry of a list in the metadata."""
    entries = about.get(key) if isinstance(about, dict) else None
    entries = entries if isinstance(entries, list) else []
    return [entry["path"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("path"), str)]


def _series(node: Node) -> list[str]:
    """The paths of the images of bioformats2raw: as the group `OME` lists them, else by their numbers."""
    listing = node.at("OME")
    if listing and (series := texts(described(listing).get("series"))):
        return list(series)
    names = node.store.folders()
    if names is None:
        names = [str(number) for number in range(MOST) if node.at(str(number))]
    return [name for name in names if name.isdecimal()]


def _of_several(node: Node, what: str, noun: str, paths: list[str], *, labels: bool) -> list[Image]:
    """The image of a group that holds one; raises UnsupportedSource where there are several, or none."""
    if len(paths) != 1:
        listed = shorten(paths) if paths else "none"
        example = node.store.child(paths[0]).path if paths else "0"
        raise UnsupportedSource(
            f"{node.store} is a {what} of {len(paths)} {noun}: {listed}",
            why="a dataset shows one",
            fix=f"choose one with -o image=, for example -o image={example}",
        )
    inner = node.at(paths[0])
    found = images(inner, labels=labels) if inner else None
    if not found:
        raise SourceNotFound(f"{node.store} lists {paths[0]}, which is no image", fix="write or copy it again")
    return found


def _labels(node: Node) -> Iterator[Image]:
    """The label images that lie with an image."""
    group = node.at("labels")
    if group and not group.is_array:
        yield from _listed_labels(group, described(group))


def _listed_labels(group: Node, about: Json) -> Iterator[Image]:
    for name in texts(about.get("labels")):
        inner = group.at(name)
        if inner is None or "multiscales" not in described(inner):
            raise SourceNotFound(
                f"{group.store} lists the labels {name}, which are not there",
                fix="write or copy them again, or leave labels out with -o labels=false",
            )
        yield replace(image(inner, described(inner)), name=name.strip("/").split("/")[-1], category="segmentation")


def image(node: Node, about: Json) -> Image:
    """The image of a group. Raises BrokenSource, UnsupportedSource for what its metadata do not say rightly."""
    several = about["multiscales"]
    first = several[0] if isinstance(several, list) and several else None
    if not isinstance(first, dict):
        raise broken(str(node.store), f"its multiscales are {several!r}, no list of objects")
    version = str(about.get("version") or first.get("version") or "0.4")
    if not version.startswith(_VERSIONS):
        raise UnsupportedSource(f"{node.store} is OME-Zarr {version}", why=f"{', '.join(_VERSIONS)} are read")
    datasets = first.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        raise broken(str(node.store), "its multiscales list no datasets")
    axes, units = _axes(node, first)
    notes = []
    if len(several) > 1:
        notes.append(WarningNote(f"{len(several)} multiscales are stated, of which the first is read"))
    levels = [_level(node, dataset, first, len(axes)) for dataset in datasets]
    finest = min(levels, key=lambda level: level.coarseness)
    if all(level.scale for level in levels) and finest.coarseness < levels[0].coarseness:
        notes.append(
            WarningNote(f"{levels[0].path} is listed first, and {finest.path} is finer: they are taken by scale")
        )
        levels.sort(key=lambda level: level.coarseness)
    label = isinstance(about.get("image-label"), dict)
    return Image(
        node.store,
        tuple(levels),
        axes,
        units,
        category="segmentation" if label else None,
        channels=_channels(about.get("omero")),
        stated="coordinateTransformations",
        notes=tuple(notes),
    )


def _axes(node: Node, about: Json) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """Names and units of the axes; before 0.3 there were always five. Raises BrokenSource."""
    said = about.get("axes")
    if said is None:
        return tuple("tczyx"), (None,) * 5
    if names := texts(said):
        return names, (None,) * len(names)
    if not isinstance(said, list) or not all(isinstance(a, dict) and isinstance(a.get("name"), str) for a in said):
        raise broken(str(node.store), f"its axes are {said!r}, no list of objects with names")
    units = tuple(axis["unit"] if isinstance(axis.get("unit"), str) else None for axis in said)
    return tuple(_kind(axis) for axis in said), units


def _kind(axis: Mapping[str, Any]) -> str:
    """The name of an axis; `c` and `t` where its type says so."""
    return {"channel": "c", "time": "t"}.get(str(axis.get("type")), str(axis["name"]))


def _level(node: Node, dataset: Any, about: Json, rank: int) -> Level:
    path = dataset.get("path") if isinstance(dataset, dict) else None
    if not isinstance(path, str):
        raise broken(str(node.store), f"its multiscales have the dataset {dataset!r}, which has no path")
    store = node.store.child(path)
    scale, translation = _transformed(node, dataset, rank)
    wide, moved = _transformed(node, about, rank)
    if scale and wide:
        translation = tuple(a * b for a, b in zip(translation or (0.0,) * rank, wide, strict=True))
        scale = tuple(a * b for a, b in zip(scale, wide, strict=True))
    if moved:
        translation = tuple(a + b for a, b in zip(translation or (0.0,) * rank, moved, strict=True))
    if scale or wide:  # an image that only scales begins at the origin of the space that its labels share
        translation = translation or (0.0,) * rank
    return Level(store.address(node.driver), path, scale or wide, translation)


def _transformed(node: Node, about: Json, rank: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and translation of `coordinateTransformations`; empty where there are none. Raises BrokenSource."""
    said = about.get("coordinateTransformations")
    found: dict[str, tuple[float, ...]] = {}
    for each in said if isinstance(said, list) else []:
        kind = str(each.get("type")) if isinstance(each, dict) else ""
        if kind == "identity":
            continue
        values = numbers(each.get(kind)) if kind in ("scale", "translation") else ()
        if len(values) != rank or kind in found:
            raise broken(str(node.store), f"its coordinateTransformations have {each!r} for {rank} axes")
        found[kind] = values
    return found.get("scale", ()), found.get("translation", ())


def _channels(about: Any) -> tuple[Channel, ...]:
    said = about.get("channels") if isinstance(about, dict) else None
    return tuple(map(_channel, said)) if isinstance(said, list) else ()


def _channel(about: Any) -> Channel:
    if not isinstance(about, dict):
        return Channel()
    window = about.get("window")
    ends = numbers([window.get("start"), window.get("end")]) if isinstance(window, dict) else ()
    name = about.get("label")
    shown = (ends[0], ends[1]) if len(ends) == 2 and ends[0] < ends[1] else None
    return Channel(name if isinstance(name, str) else "", color_of(about.get("color")), shown)
