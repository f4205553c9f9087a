"""Nodes of a hierarchy: a folder is an array or a group of a format, with attributes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from wkconvert_core import SourceNotFound, UnsupportedSource
from wkconvert_core.toolkit.stacks import natural_key

from ...arrays import Address, Driver
from .image import numbers
from .store import DOCUMENTS, Json, Store

_N5 = ("dimensions", "blockSize", "dataType", "compression")
"""Attributes that describe an array of N5."""
_ROUNDS: dict[Driver, tuple[str, ...]] = {
    "zarr3": ("zarr.json",),
    "zarr": (".zarray", ".zgroup", ".zattrs"),
    "n5": ("attributes.json",),
    "neuroglancer_precomputed": ("info",),
}
"""The documents of each format, in the order in which they are looked for."""


@dataclass(frozen=True)
class Node:
    """An array or a group."""

    store: Store
    driver: Driver
    is_array: bool
    attributes: Json
    """Its own JSON; of arrays of N5 and of precomputed volumes, what describes the array is among it."""
    dimensions: tuple[str | None, ...] = ()
    """Names of the array's axes, as far as the format itself has them."""
    has_separator: bool = True
    """Whether the metadata of an array of Zarr 2 say what stands between a chunk's indices."""

    def address(self) -> Address:
        """The array that lies here, with the names of its chunks as they are found.

        Of N5 only what describes the array is handed on: tensorstore refuses attributes of other programs that share
        names with its own, such as a `resolution` of three numbers for four axes.
        """
        address = self.store.address(self.driver, separator="" if self.has_separator else self._separator())
        if self.driver != "n5":
            return address
        return replace(address, metadata=json.dumps({key: self.attributes.get(key) for key in _N5}))

    def _separator(self) -> str:
        """`/` if the first chunk has such a name, and none with `.`, which counts where nothing is said."""
        rank = len(numbers(self.attributes.get("shape")))
        nested, flat = "/".join("0" * rank), ".".join("0" * rank)
        return "/" if rank > 1 and self.store.has((nested, flat)) == [nested] else ""

    def at(self, path: str) -> Node | None:
        """The node at a path below this one; None if there is none."""
        return node_at(self.store.child(path), self.driver)

    def children(self) -> list[Node]:
        """The nodes in this group, in natural order. Raises UnsupportedSource where they cannot be listed."""
        if (names := self.store.folders()) is None:
            names = sorted({path.split("/")[0] for path in self.store.known}, key=natural_key)
        if names or not isinstance(self.store.place, str):
            return [node for name in names if (node := self.at(name) or self._undescribed(name))]
        raise UnsupportedSource(
            f"{self.store} is a group whose arrays cannot be listed",
            why="a server lists no folders, and the group has no consolidated metadata",
            fix="name an array in it: give its URL, or say -o image=PATH",
        )

    def _undescribed(self, name: str) -> Node | None:
        """A folder between groups and arrays of Zarr 2 or N5 that has no document of its own, as both allow it."""
        store = self.store.child(name)
        return Node(store, self.driver, False, {}) if self.driver != "zarr3" and store.folders() else None


def node_at(store: Store, above: Driver | None = None) -> Node | None:
    """Read a folder's documents; None if it has none of those that tell. Raises BrokenSource, UnsupportedSource.

    On a server, a folder is asked for what the group `above` it can hold only.
    """
    is_remote = isinstance(store.place, str)
    rounds = [_ROUNDS[above]] if is_remote and above else _ROUNDS.values()
    found = store.documents(*rounds, is_optional=above is not None)
    if (about := found.get("zarr.json")) is not None:
        return _zarr3(store, about)
    if (array := found.get(".zarray")) is not None:
        attributes = {**found.get(".zattrs", {}), "shape": array.get("shape") or ()}
        return Node(store, "zarr", True, attributes, has_separator="dimension_separator" in array)
    if ".zgroup" in found or ".zattrs" in found:
        if is_remote and above is None:
            store = _with_known(store, store.documents((".zmetadata",), is_optional=True).get(".zmetadata"))
        return Node(store, "zarr", False, found.get(".zattrs", {}))
    if (about := found.get("attributes.json")) is not None:
        return Node(store, "n5", "dimensions" in about and "dataType" in about, about)
    if (about := found.get("info")) is not None:
        return Node(store, "neuroglancer_precomputed", True, about)
    if above in (None, "n5") and store.has(("s0/attributes.json",)):  # groups of N5 need no document of their own
        return Node(store, "n5", False, {})
    return None


def found_at(store: Store) -> Node:
    """The same; raises SourceNotFound if nothing tells."""
    if (node := node_at(store)) is None:
        raise SourceNotFound(
            f"{store} holds no array",
            why=f"there is none of {', '.join(DOCUMENTS)}",
            fix="check the address; for an array or an image within, name its folder",
        )
    return node


def _zarr3(store: Store, about: Json) -> Node:
    kind, attributes = about.get("node_type"), about.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    if kind == "array":
        attributes = {**attributes, "shape": about.get("shape") or ()}
    if about.get("zarr_format") != 3 or kind not in ("array", "group"):
        found = f"zarr_format {about.get('zarr_format')!r}, node_type {kind!r}"
        raise UnsupportedSource(f"{store}/zarr.json says {found}", why="3, and array or group, are read")
    names = about.get("dimension_names")
    return Node(
        _with_known(store, about.get("consolidated_metadata"), "/zarr.json"),
        "zarr3",
        kind == "array",
        attributes,
        tuple(name if isinstance(name, str) else None for name in names) if isinstance(names, list) else (),
    )


def _with_known(store: Store, consolidated: Any, name: str = "") -> Store:
    """A store on a server with the documents of what lies below that a group lists, each with `name` after its path.

    On a disk they are read where they lie, which costs nothing and cannot be out of date.
    """
    inside = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    if not isinstance(inside, dict) or not isinstance(store.place, str):
        return store
    listed = {f"{path}{name}": about for path, about in inside.items() if isinstance(about, dict)}
    return replace(store, known={**store.known, **listed})
