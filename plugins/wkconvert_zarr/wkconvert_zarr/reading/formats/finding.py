"""Find the images at a place, however they are described."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from wkconvert_core import OptionError, UnsupportedSource
from wkconvert_core.toolkit.shortened import shorten

from . import ome, plain, precomputed
from .image import MOST, Image, numbers
from .node import Node, found_at, node_at
from .store import Store

_DEPTH = 3
"""Levels of groups below the one that was named in which arrays may lie."""


@dataclass(frozen=True)
class Choice:
    """The choice of a user among the images at a place."""

    image: str | None = None
    """The path of an image or array within."""
    timepoint: int | None = None
    labels: bool = True
    """Whether the labels that lie with an image are read as well."""


def images_at(store: Store, choice: Choice) -> list[Image]:
    """The images at a place. Raises SourceNotFound, BrokenSource, UnsupportedSource, OptionError."""
    node = found_at(store.child(choice.image) if choice.image else store)
    if node.driver == "neuroglancer_precomputed":
        return [precomputed.image(node)]
    if node.is_array:
        return [_within_image(node) or plain.array(node)]
    found = list(_in_group(node, choice, _DEPTH))
    if not found:
        raise UnsupportedSource(
            f"{node.store} is a group without an image",
            why="no array of two or three dimensions lies in it, nor in its groups",
            fix="name an array: give its folder, or say -o image=PATH",
        )
    if len(found) > MOST:
        listed = shorten([image.store.path for image in found])
        raise UnsupportedSource(
            f"{node.store} holds {len(found)} arrays: {listed}",
            why="nobody can look at so many layers at once",
            fix="choose one with -o image=PATH",
        )
    return [replace(found[0], name=None)] if len(found) == 1 else found


def _in_group(node: Node, choice: Choice, depth: int) -> Iterator[Image]:
    """The images of a group, and of the groups in it."""
    if node.driver != "n5" and (described := ome.images(node, labels=choice.labels)) is not None:
        yield from described
        return
    if node.driver == "n5" and (setups := _setups(node)):
        for name in setups:
            yield replace(_timepoint(node, name, choice.timepoint), name=name)
        return
    if levels := plain.levels_in(node):
        yield replace(plain.pyramid(node, levels), name=node.store.path.replace("/", "_") or None)
        return
    for child in node.children():
        if child.is_array and len(numbers(child.attributes.get("dimensions") or child.attributes["shape"])) > 1:
            yield replace(plain.array(child), name=child.store.path.replace("/", "_"))
        elif not child.is_array and depth:
            yield from _in_group(child, choice, depth - 1)


def _within_image(node: Node) -> Image | None:
    """The level of an image of OME-Zarr that was named by itself, with what the image states of it; else None."""
    above, name = node.store.above()
    parent = node_at(above, node.driver) if name and node.driver != "n5" else None
    if parent is None or parent.is_array or "multiscales" not in ome.described(parent):
        return None
    image = ome.image(parent, ome.described(parent))
    levels = tuple(level for level in image.levels if level.path.strip("/") == name)
    return replace(image, levels=levels) if levels else None


# --- BigDataViewer ---------------------------------------------------------------------------------------------------


def _setups(node: Node) -> list[str]:
    """The setups of BigDataViewer's N5, each an image: `setup0`, `setup1` and so on."""
    if (names := node.store.folders()) is None:
        return plain.numbered(node, "setup")
    return [name for name in names if re.fullmatch("setup[0-9]+", name)]


def _timepoint(node: Node, setup: str, wanted: int | None) -> Image:
    """The image of a setup at a time point. Raises OptionError, UnsupportedSource."""
    group = found_at(node.store.child(setup))
    if (names := group.store.folders()) is None:
        names = plain.numbered(group, "timepoint")
    counted = [int(name[9:]) for name in names if re.fullmatch("timepoint[0-9]+", name)]
    if wanted is None and len(counted) > 1:
        raise UnsupportedSource(
            f"{group.store} holds {len(counted)} time points",
            why="a dataset shows one",
            fix=f"choose it with -o timepoint=N, N from {counted[0]} to {counted[-1]}",
        )
    number = wanted if wanted is not None else next(iter(counted), 0)
    if number not in counted:
        raise OptionError(
            f"{group.store} has no time point {number}", fix=f"it has {shorten([str(each) for each in counted])}"
        )
    inner = found_at(group.store.child(f"timepoint{number}"))
    merged = replace(inner, attributes={**group.attributes, **inner.attributes})
    return plain.pyramid(merged, plain.levels_in(merged))
