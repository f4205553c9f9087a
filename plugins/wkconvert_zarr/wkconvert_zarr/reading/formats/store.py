"""Folders of documents and arrays: on this machine, in a zip file, or at a URL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from wkconvert_core import SourceError, UnsupportedSource
from wkconvert_core.toolkit.files import broken, entries, is_file, is_folder, is_stored
from wkconvert_core.toolkit.stacks import natural_key

from ...arrays import Address, Driver, context, refusal
from ...places import kvstore_of

_DEEPEST = 32
"""Most levels of folders; links may lead in a circle."""
Json: TypeAlias = dict[str, Any]
DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", ".zattrs", "attributes.json", "info")
"""The files that tell what a folder is: of Zarr 3, of Zarr 2, of N5, of neuroglancer's precomputed volumes."""


@dataclass(frozen=True)
class Store:
    """A folder in which documents, arrays and further folders lie."""

    place: Path | str
    """A folder, a zip file, or the URL of either."""
    inner: str | None = None
    """The folder within a zip file; None for what lies in no zip file."""
    path: str = ""
    """Where it lies below the place that the user named, as `-o image=` takes it."""
    known: Mapping[str, Json] = field(default_factory=dict, compare=False, repr=False)
    """Documents of folders below by their paths, where one that was read holds them, too: consolidated metadata."""

    def __str__(self) -> str:
        """As messages name it: without the query of a URL, which may hold a key."""
        url = self.place
        shown = str(url) if isinstance(url, Path) else urlunsplit((*urlsplit(url)[:3], "", ""))
        return f"{shown}/{self.inner}" if self.inner else shown

    def child(self, path: str) -> Store:
        """The folder at a path below this one. Raises UnsupportedSource for a path that leads out of it.

        >>> str(Store(Path("em.zarr")).child("labels/nuclei").path)
        'labels/nuclei'
        >>> Store(Path("em.zarr")).child("../other")
        Traceback (most recent call last):
        wkconvert_core.contract.errors.UnsupportedSource: em.zarr names a folder outside of itself: '../other'. \
what is read lies below the folder that was named. convert that folder by itself
        """
        parts = path.split("/")
        if ".." in parts or path.startswith("/") or "\\" in path or "\0" in path or "://" in path:
            raise UnsupportedSource(
                f"{self} names a folder outside of itself: {path!r}",
                why="what is read lies below the folder that was named",
                fix="convert that folder by itself",
            )
        steps = [part for part in parts if part not in ("", ".")]
        if not steps or len(steps) + self.path.count("/") > _DEEPEST:
            raise broken(str(self), f"it names {path!r} as a folder in it, which is itself or far too deep")
        inside = "/".join(steps)
        known = {key[len(inside) + 1 :]: about for key, about in self.known.items() if key.startswith(f"{inside}/")}
        found = replace(self, path="/".join([*filter(None, [self.path]), *steps]), known=known)
        if self.inner is not None:
            return replace(found, inner="/".join([*filter(None, [self.inner]), *steps]))
        if isinstance(self.place, Path):
            return replace(found, place=self.place.joinpath(*steps))
        url = urlsplit(self.place)
        return replace(found, place=urlunsplit(url._replace(path=f"{url.path.rstrip('/')}/{inside}")))

    def above(self) -> tuple[Store, str]:
        """The folder that this one lies in, and its name there; an empty name at the top of a zip file or a server.

        >>> above, name = Store("https://example.org/em.zarr/0").above()
        >>> str(above), name
        ('https://example.org/em.zarr', '0')
        """
        if self.inner is not None:
            folder, _, name = self.inner.rpartition("/")
            return replace(self, inner=folder, path=""), name
        if isinstance(self.place, Path):
            whole = self.place.absolute()
            return replace(self, place=whole.parent, path=""), whole.name
        url = urlsplit(self.place)
        folder, _, name = url.path.rstrip("/").rpartition("/")
        return replace(self, place=urlunsplit(url._replace(path=folder)), path=""), name

    def address(self, driver: Driver, *, scale: int = 0, separator: str = "") -> Address:
        """The array that lies here."""
        return Address(driver, self.place, inner=self.inner, scale=scale, separator=separator)

    def documents(self, *rounds: Iterable[str], is_optional: bool = False) -> dict[str, Json]:
        """Read the JSON documents of these names, as far as they are there; of several rounds the first that has any.

        Raises BrokenSource for one that is damaged, or if none is there and the place cannot be read, unless what lies
        there is optional: buckets whose content may not be listed answer to what is not there that it may not be read.
        """
        found: dict[str, Json] = {}
        denied: SourceError | None = None
        for names in rounds:
            if found := {name: self.known[name] for name in names if name in self.known}:
                return found
            for name, content in self._contents(names):
                if isinstance(content, SourceError):
                    denied = denied or content
                elif not (isinstance(self.place, str) and content.lstrip()[:1] == b"<"):  # a page that says: not found
                    found[name] = _parsed(f"{self}/{name}", content)
            if found:
                return found
        if denied and not is_optional:
            raise denied
        return {}

    def has(self, names: Iterable[str]) -> list[str]:
        """Read the files of these names, as far as they are there."""
        return [name for name, content in self._contents(names) if isinstance(content, bytes)]

    def _contents(self, names: Iterable[str]) -> list[tuple[str, bytes | SourceError]]:
        """The files of these names that are there, or the error of those that may not be read. Raises BrokenSource."""
        shared = context()
        import tensorstore as ts

        found: list[tuple[str, bytes | SourceError]] = []
        try:
            opened = ts.KvStore.open(kvstore_of(self.place, self.inner), context=shared).result()
            futures = [(name, opened.read(name)) for name in names if self._may_be(name)]
        except (ValueError, OSError) as error:
            raise refusal(str(self), error) from error
        for name, future in futures:
            try:
                read = future.result()
                if read.state == "value":
                    found.append((name, bytes(read.value)))
            except (ValueError, OSError) as error:
                refused = refusal(f"{self}/{name}", error)
                if "PERMISSION_DENIED" not in str(error):
                    raise refused from error
                found.append((name, refused))
        return found

    def _may_be(self, name: str) -> bool:
        """Whether a document may lie here, which no folder is. Raises BrokenSource for a lost link or a pipe."""
        if isinstance(self.place, str) or self.inner is not None:
            return True
        return not is_folder(self.place / name) and is_stored(self.place / name)

    def folders(self) -> list[str] | None:
        """The names of the folders in this one, in natural order; None where they cannot be listed: on a server."""
        if isinstance(self.place, str):
            return None
        if self.inner is None:
            names = {entry.name for entry in entries(self.place) if entry.is_folder}
        else:
            names = self.folders_in_zip()
        return sorted(names, key=natural_key)

    def folders_in_zip(self) -> set[str]:
        """The names of the folders in this one of a zip file. Raises SourceNotFound, BrokenSource."""
        shared = context()
        import tensorstore as ts

        try:
            listed = ts.KvStore.open(kvstore_of(self.place, self.inner), context=shared).result().list().result()
        except (ValueError, OSError) as error:
            raise refusal(str(self), error) from error
        return {key.decode(errors="replace").split("/")[0] for key in listed if b"/" in key}


def _parsed(name: str, content: bytes) -> Json:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise broken(name, f"it is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise broken(name, "it is JSON, but no object")
    return document


_PREFIXES = ("zarr", "zarr2", "zarr3", "n5", "precomputed")
"""Prefixes by which neuroglancer and others name the format before a URL: `precomputed://gs://bucket/em`."""
ZIPPED = (".ozx", ".zip")
"""Suffixes of zip files."""


def bare_url(url: str) -> str:
    """A URL without the name of a format before it.

    >>> bare_url("precomputed://gs://bucket/em"), bare_url("s3://bucket/em.zarr")
    ('gs://bucket/em', 's3://bucket/em.zarr')
    """
    scheme, _, rest = url.partition("://")
    return rest if scheme in _PREFIXES and "://" in rest else url


def store_at(path: Path | str) -> Store:
    """The store that a user named. A zip file in which all lies in one folder is that folder."""
    place: Path | str = bare_url(path) if isinstance(path, str) else path
    if isinstance(place, str) and place.startswith("file://"):
        place = Path(unquote(urlsplit(place).path))
    is_zipped = is_file(place) if isinstance(place, Path) else urlsplit(place).path.lower().endswith(ZIPPED)
    if not is_zipped:
        return Store(place)
    whole = Store(place, inner="")
    listed = whole.folders_in_zip()
    if not whole.has(DOCUMENTS) and len(listed) == 1:
        return replace(whole, inner=listed.pop())
    return whole
