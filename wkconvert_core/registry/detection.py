"""Finding the reader: the surest answer to a path; descend into layer folders if all decline; open what was found.

A source is a local Path, or a URL as text: only plugins look at what it names, and it has no folders to descend into.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from wkconvert_core.contract.errors import OptionError, PluginError, UnknownFormat, UnsupportedSource, one_of
from wkconvert_core.contract.model import Confidence, Layer, Match
from wkconvert_core.registry.answers import Found, surest
from wkconvert_core.registry.known_shapes import SUFFIXES, hints, names_below
from wkconvert_core.registry.layer_folders import layers_below
from wkconvert_core.registry.plugins import Plugins
from wkconvert_core.toolkit.files import entries, is_folder
from wkconvert_core.toolkit.shortened import shorten


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
    if reader is not None:
        check_reader(reader, plugins)
    found, failed = surest(src, plugins, options, reader)
    if found:
        return [found]
    inside = entries(src) if isinstance(src, Path) and is_folder(src) else None
    if inside and not failed and (layers := layers_below(Path(src), inside, plugins, reader, options)):
        return [replace(layer, source=Path(src).resolve().name, layers=len(layers)) for layer in layers]
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
    names, why = [src.name], "its name and its first bytes fit none of the installed formats"
    if inside is not None:
        shown = shorten([entry.name for entry in inside])
        why = f"it holds {shown}, which fit none of the installed formats" if inside else "the folder is empty"
        if any(entry.is_folder and entry.is_link for entry in inside):
            why += "; links to folders are not followed"
        names += names_below(src)
    extras = hints(names, plugins)
    fix = f"try {' or '.join(extras)}" if extras else "`wkconvert plugins` lists the formats that are installed"
    raise UnknownFormat(f"no reader knows what {src} is", why="; ".join([why, *failed]), fix=fix)


def check_reader(reader: str, plugins: Plugins) -> None:
    """Raise OptionError if no plugin has a reader of this name."""
    known = plugins.formats()
    if reader not in known:
        extra = "tiff" if reader == "pictures" else reader
        fix = one_of(sorted(known), reader)
        if extra not in SUFFIXES:
            raise OptionError(f"no reader is called {reader!r}", fix=fix)
        fix = f'pip install "wkconvert[{extra}]"; or {fix}'
        raise OptionError(f"--reader {reader} is not there", why=plugins.why_missing(extra), fix=fix)


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
