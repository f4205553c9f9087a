"""Finding the reader: the surest answer to a path; descend into layer folders if all decline; open what was found.

A source is a local Path, or a URL as text: only plugins look at what it names, and it has no folders to descend into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from wkconvert_core.contract.errors import (
    OptionError,
    PluginError,
    UnknownFormat,
    UnsupportedSource,
    one_of,
)
from wkconvert_core.contract.model import Confidence, Layer, Match
from wkconvert_core.contract.notes import WarningNote
from wkconvert_core.registry.answers import ask, best, failures, of_reader, read_head
from wkconvert_core.registry.known_shapes import SUFFIXES, are_numbered, counted_by, hints, tree_at
from wkconvert_core.registry.plugins import Plugins
from wkconvert_core.toolkit.files import (
    CONFIG_FILE,
    exists,
    is_file,
    is_folder,
    is_link,
    listed,
    state_of,
    stem,
)
from wkconvert_core.toolkit.stacks import natural_key, shorten

DEPTH = 3
"""Levels below a layer's folder in which its files may lie."""


@dataclass(frozen=True)
class Found:
    """A path and the reader for it; `layer` is the folder's name where core descended to find it."""

    path: Path | str
    match: Match
    layer: str | None = None
    notes: tuple[str, ...] = ()
    """Notes for the user: entries beside it that no reader claims."""


def location(src: Path | str) -> Path | str:
    """A source as hooks take it: a local Path, or a URL as text, because a Path would drop its double slash.

    >>> location("s3://bucket/em"), str(Path("s3://bucket/em"))
    ('s3://bucket/em', 's3:/bucket/em')
    >>> location("scans/em") == Path("scans/em")
    True
    """
    return src if isinstance(src, str) and "://" in src else Path(src)


def find(
    src: Path | str, plugins: Plugins, reader: str | None = None, options: Mapping[str, str] | None = None
) -> list[Found]:
    """Find the reader of `src`, or one for each layer folder below it; `options` are the reader's.

    Raises SourceNotFound, BrokenSource, UnknownFormat, AmbiguousFormat, OptionError.

    >>> from wkconvert_core.registry.plugins import Plugins
    >>> find("s3://bucket/em", Plugins(iter(())))
    Traceback (most recent call last):
    wkconvert_core.contract.errors.UnknownFormat: no reader takes s3://bucket/em. \
no installed reader takes such a URL. copy the data to a local folder, or pip install "wkconvert[zarr]", which reads \
arrays at URLs
    """
    answers = ask(src, read_head(src), plugins, options)
    if reader is not None:
        check_reader(reader, plugins)
        answers = of_reader(answers, reader, plugins)
    if match := best(src, answers):
        return [Found(src, match)]
    failed = failures(answers)
    layers = _layers_below(src, plugins, reader, options) if isinstance(src, Path) and not failed else []
    if layers:
        return layers
    if reader is not None:
        return [Found(src, Match(reader, Confidence.EXACT, "--reader"))]
    failed += [f"{plugin.name} failed to load: {plugin.error}" for plugin in plugins.loaded if plugin.error]
    if isinstance(src, str):
        why = "; ".join(["no installed reader takes such a URL", *failed])
        missing = "install a plugin that reads such URLs"
        if "zarr" not in plugins.formats():
            missing = 'pip install "wkconvert[zarr]", which reads arrays at URLs'
        fix = f"copy the data to a local folder, or {missing}"
        raise UnknownFormat(f"no reader takes {src}", why=why, fix=fix)
    why = "its name and its first bytes fit none of the installed formats"
    if is_folder(src):
        names = [path.name for path in children(src, lambda entry: True)]
        why = f"it holds {shorten(names)}, which fit none of the installed formats" if names else "the folder is empty"
    paths = [src, *listed(src)] if is_folder(src) else [src]
    paths += [path for folder in paths[1:] if is_folder(folder) for path in listed(folder)]
    extras = hints(paths[:1000], plugins)
    fix = f"try {' or '.join(extras)}" if extras else "`wkconvert plugins` lists the formats that are installed"
    raise UnknownFormat(f"no reader knows what {src} is", why="; ".join([why, *failed]), fix=fix)


def _refuse_known_tree(folder: Path, plugins: Plugins) -> None:
    """Raise UnknownFormat for a folder that is one thing to a reader that is missing, and would become many layers."""
    tree = tree_at(folder)
    if tree is None or tree.reader in plugins.formats():
        return
    raise UnknownFormat(
        f"{folder} looks like {tree.what}",
        why=_why_missing(tree.reader, plugins),
        fix=f'pip install "wkconvert[{tree.reader}]"; or, if each folder is a layer of its own, --reader pictures '
        "(for TIFF --reader tiff)",
    )


def _why_missing(extra: str, plugins: Plugins) -> str:
    failed = next((plugin.error for plugin in plugins.loaded if plugin.error and plugin.name == extra), None)
    return f"the reader {extra} {f'failed to load: {failed}' if failed else 'is not installed'}"


def check_reader(reader: str, plugins: Plugins) -> None:
    """Raise OptionError if no plugin has a reader of this name."""
    known = plugins.formats()
    if reader not in known:
        extra = "tiff" if reader == "pictures" else reader
        fix = one_of(sorted(known), reader)
        if extra not in SUFFIXES:
            raise OptionError(f"no reader is called {reader!r}", fix=fix)
        fix = f'pip install "wkconvert[{extra}]"; or {fix}'
        raise OptionError(f"--reader {reader} is not there", why=_why_missing(extra, plugins), fix=fix)


def children(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """The visible entries of a folder, in natural order.

    Links to files count as files. Links to folders are left out: they lead elsewhere, or to what is listed anyway.
    """
    entries = (entry for entry in listed(folder) if not entry.name.startswith(".") and entry.name != CONFIG_FILE)
    inside = (entry for entry in entries if wanted(entry) and not (is_link(entry) and is_folder(entry)))
    return sorted(inside, key=lambda entry: natural_key(entry.name))


def _layer_name(path: Path) -> str:
    """The name of a layer after its file or folder: without the suffix that files have, and folders of Zarr and N5."""
    return stem(path) if is_file(path) or path.suffix.lower() in SUFFIXES["zarr"] else path.name


def _layers_below(
    src: Path, plugins: Plugins, reader: str | None, options: Mapping[str, str] | None, depth: int = DEPTH
) -> list[Found]:
    """One entry for each file or folder in `src` that a reader claims; a note on each lists the others."""
    found: list[Found] = []
    declined: list[str] = []
    folders: list[str] = []
    if reader is None and is_folder(src):
        _refuse_known_tree(src, plugins)
    for path in children(src, _may_be_layer) if is_folder(src) else ():
        answers = ask(path, read_head(path), plugins, options)
        if reader is not None:
            answers = of_reader(answers, reader, plugins)
        match, failed = best(path, answers), failures(answers)
        if failed and not match:
            fix = "convert it by itself with --reader, or do without that plugin"
            raise UnknownFormat(f"no reader knows what {path} is", why="; ".join(failed), fix=fix)
        inner = [] if match or is_file(path) or not depth else _layers_below(path, plugins, reader, options, depth - 1)
        if (match or inner) and is_folder(path):
            folders.append(path.name)
        if match:
            found.append(Found(path, match, layer=_layer_name(path)))
        elif len(inner) == 1:  # a layer's folder with one file in it, such as labels/volume.nii
            found.append(replace(inner[0], layer=path.name))
        elif inner:
            found += [replace(one, layer=f"{path.name}_{one.layer}") for one in inner]
        elif is_file(path) or (listed(path) and path.name != "MetaData"):  # what LAS X writes beside its images
            declined.append(path.name)
    if reader is None and (counted := counted_by(folders)):
        raise UnsupportedSource(
            f"the folders in {src} count {counted}, not layers: {shorten(folders)}",
            why="a dataset shows one time, position or well, and its slices are files of one folder",
            fix=f"convert one of them, such as {src / folders[0]}, or put the slices into one folder; or, if each is a "
            "layer, say so with --reader pictures (for TIFF --reader tiff)",
        )
    if reader is None and len(folders) > 1 and all(name.isdecimal() and _is_of_one(src / name) for name in folders):
        raise UnsupportedSource(
            f"the folders in {src} are numbered and hold one picture each: {shorten(folders)}",
            why="nothing says whether the pictures are slices of one stack, or layers",
            fix="put slices into one folder, named by their numbers; or, if each is a layer, say so with --reader "
            "pictures (for TIFF --reader tiff)",
        )
    if reader is None and are_numbered(folders):
        told = f"each folder of {src.name or src} is a layer: {shorten(folders)}"
        note = WarningNote(f"{told}; if their numbers count regions, runs or times, convert one of them")
        found = [replace(one, notes=(*one.notes, note)) for one in found]
    if declined and found:
        extras = " or ".join(hints((src / name for name in declined), plugins))
        told = f"left out of {src.name or src}, as no reader knows them: {shorten(declined)}"
        note = WarningNote(f"{told} (try {extras})" if extras else told)
        found = [replace(one, notes=(*one.notes, note)) for one in found]
    if found and (empty := [path.name for path in children(src, _is_empty)]):
        note = WarningNote(f"left out of {src.name or src}, as there is nothing in it: {shorten(empty)}")
        found = [replace(one, notes=(*one.notes, note)) for one in found]
    return found


def _is_empty(entry: Path) -> bool:
    """Whether an entry is an empty folder, or a file of 0 bytes with the suffix of a format: a copy that failed."""
    if is_folder(entry):
        return not listed(entry)
    return is_file(entry) and not state_of(entry)[0] and entry.name.lower().endswith(tuple(chain(*SUFFIXES.values())))


def _is_of_one(folder: Path) -> bool:
    """Whether a folder holds one picture, and nothing that may be more."""
    inside = children(folder, _may_be_layer)
    return len(inside) == 1 and is_file(inside[0]) and inside[0].name.lower().endswith(SUFFIXES["tiff"])


def _may_be_layer(entry: Path) -> bool:
    """A folder, or a file that holds anything; also a pipe or a device with the suffix of a format, to be refused."""
    if is_file(entry):
        return state_of(entry)[0] > 0
    return is_folder(entry) or (exists(entry) and entry.name.lower().endswith(tuple(chain(*SUFFIXES.values()))))


def open_layers(found: Found, plugins: Plugins, options: dict[str, str]) -> list[Layer]:
    """Open what was found.

    Raises the reader's own errors, UnsupportedSource if it does not take URLs, PluginError if it returns no layers.
    """
    name = found.match.format
    layers = plugins.hook.wkconvert_open(format=name, path=found.path, options=options)
    if layers is None and isinstance(found.path, str):
        raise UnsupportedSource(
            f"the reader {name} does not take {found.path}",
            why="it reads local paths",
            fix="copy the data to a local folder, or choose another --reader",
        )
    if not layers or not all(isinstance(layer, Layer) for layer in layers):
        raise PluginError(
            f"the reader {name} answered {layers!r} for {found.path}",
            why="wkconvert_open returns a list of Layers, at least one",
            fix=f"tell the author of the plugin, or try another --reader; `wkconvert check {found.path}` says more",
        )
    return list(layers)
