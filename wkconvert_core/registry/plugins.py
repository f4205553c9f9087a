"""Loading plugins one by one, so that a broken one never stops the others."""

from __future__ import annotations

import functools
import importlib
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy

from wkconvert_core.contract import hookspecs
from wkconvert_core.contract.errors import OptionError, PluginError, one_of
from wkconvert_core.contract.mag_format import MagFormat
from wkconvert_core.contract.model import Downsampler

GROUP = hookspecs.PROJECT
"""The entry-point group under which plugins register."""

BUILT_IN = {
    "webknossos": "wkconvert_core.datasets.reader",
    "wkw": "wkconvert_core.formats.wkw",
    "raw": "wkconvert_core.formats.raw",
    "npy": "wkconvert_core.formats.npy",
    "kernels": "wkconvert_core.kernels",
}
"""Core's own plugins by name, each with its module: they use the same hooks as everybody else's."""


@dataclass(frozen=True)
class Loaded:
    """An installed plugin, or why it could not be loaded."""

    name: str
    distribution: str
    version: str
    formats: Mapping[str, str] = field(default_factory=dict)
    """Its readers and mag formats by name, each with a summary."""
    writers: Mapping[str, str] = field(default_factory=dict)
    """Its formats for `--to` beside mag formats, each with a summary."""
    interpolation_modes: Sequence[str] = ()
    """Names of its kernels."""
    error: str | None = None
    """The error that loading it raised; None for a plugin that works."""
    trace: str = ""
    exports: Mapping[str, str] = field(default_factory=dict)
    """Names of its formats for `wkconvert export --to`, each with a summary."""


class Plugins:
    """The plugins of a process: `hook` calls them, `loaded` lists the installed ones with their errors."""

    def __init__(self, found: Iterator[EntryPoint] | None = None) -> None:
        """Load core's own plugins, then each installed one in a `try` of its own."""
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.loaded: list[Loaded] = []
        for name, module in BUILT_IN.items():
            self._manager.register(importlib.import_module(module), name)
        for point in found if found is not None else iter(entry_points(group=GROUP)):
            self.loaded.append(self._load(point))

    @property
    def hook(self) -> Any:
        """The five hooks, as functions that call every plugin; pluggy makes them at run time, so they have no types."""
        return self._manager.hook

    @contextmanager
    def register(self, plugin: Any, name: str | None = None) -> Iterator[None]:
        """Register a module or object with hooks for the length of a `with` block; for tests.

        `info` lists it under `name` (default: its `__name__`). Raises ValueError if that name is taken.

        >>> from types import SimpleNamespace
        >>> plugins = Plugins(iter(()))
        >>> with plugins.register(SimpleNamespace(FORMATS={"mem": "arrays in memory"}), "memory"):
        ...     plugins.formats()["mem"]
        'arrays in memory'
        >>> "mem" in plugins.formats()
        False
        """
        name = name or plugin.__name__
        self._manager.register(plugin, name)
        try:
            yield
        finally:
            self._manager.unregister(name=name)

    def formats(self) -> dict[str, str]:
        """All readers by name, each with a summary of what it reads, from the plugins' `FORMATS`."""
        return self._named("FORMATS")

    def formats_of(self, name: str) -> dict[str, str]:
        """The readers and mag formats of one plugin by name, each with a summary."""
        plugin = self._manager.get_plugin(name)
        found = _formats(plugin)
        for name, one in _mag_formats(plugin).items():  # a reader may have the name of a mag format
            found[name] = f"{found[name]}; {one.summary}" if name in found else one.summary
        return found

    def writers(self) -> dict[str, str]:
        """All that `--to` takes, by name: mag formats, and what the plugins' `WRITERS` name; each with a summary."""
        return self._named("WRITERS") | {name: one.summary for name, one in self.mag_formats().items()}

    def exports(self) -> dict[str, str]:
        """All that `wkconvert export --to` takes, by name, from the plugins' `EXPORTS`; each with a summary."""
        return self._named("EXPORTS")

    def second_opinions(self) -> dict[str, str]:
        """By each reader, another one that reads its files by another library, from the plugins' `SECOND_OPINIONS`."""
        return self._named("SECOND_OPINIONS")

    def downsamplers(self) -> dict[str, Downsampler]:
        """Every plugin's kernels by name; core's own cannot be replaced."""
        merged: dict[str, Downsampler] = {}
        for impl in self.hook.wkconvert_downsamplers.get_hookimpls():
            kernels = impl.function()
            merged = {**kernels, **merged} if impl.plugin_name not in BUILT_IN else {**merged, **kernels}
        return merged

    def mag_formats(self) -> dict[str, MagFormat]:
        """Every plugin's mag formats by name; core's own cannot be replaced."""
        # pluggy calls the plugin that was registered last first, so that core's formats overwrite others of their names
        return {one.name: one for formats in self.hook.wkconvert_mag_formats() for one in formats}

    def version_of(self, format: str) -> str:
        """The version of the plugin that reads, stores or exports a format; empty for core's own."""
        return next((it.version for it in self.loaded if format in it.formats or format in it.exports), "")

    def why_missing(self, extra: str) -> str:
        """The reason why the reader of an extra is not there."""
        failed = next((plugin.error for plugin in self.loaded if plugin.error and plugin.name == extra), None)
        return f"the reader {extra} {f'failed to load: {failed}' if failed else 'is not installed'}"

    def culprit(self, trace: str) -> Loaded | None:
        """The installed plugin in whose files a traceback ends; None if it ends in none."""
        places: dict[str, int] = {}
        for plugin in self.loaded:
            file = Path(getattr(self._manager.get_plugin(plugin.name), "__file__", None) or os.devnull)
            place = f"{file.parent}{os.sep}" if file.name == "__init__.py" else str(file)
            places[plugin.name] = trace.rfind(f'File "{place}')
        named = [plugin for plugin in self.loaded if places[plugin.name] >= 0]
        return max(named, key=lambda plugin: places[plugin.name], default=None)

    def _named(self, attribute: str) -> dict[str, str]:
        """The entries of the mappings that plugins have under this name, together."""
        named = (_formats(plugin, attribute) for _, plugin in self._manager.list_name_plugin())
        return {name: text for texts in named for name, text in texts.items()}

    def _load(self, point: EntryPoint) -> Loaded:
        """Load an installed plugin and look at all that it offers: better now than in every conversion later."""
        distribution, version = (point.dist.name, point.dist.version) if point.dist else (point.value, "?")
        plugin = None
        readers, writers, exports, mag_formats = self.formats(), self.writers(), self.exports(), self.mag_formats()
        try:
            plugin = point.load()
            self._manager.register(plugin, point.name)
            self._manager.check_pending()
            _check_names("reader", _formats(plugin), readers)
            _check_names("writer", own_writers := _formats(plugin, "WRITERS"), writers)
            _check_names("format to export", own_exports := _formats(plugin, "EXPORTS"), exports)
            _check_names("mag format", _mag_formats(plugin), mag_formats)
            kernels: Mapping[str, Any] = getattr(plugin, "wkconvert_downsamplers", dict)()
            if not all(isinstance(kernel, Downsampler) for kernel in kernels.values()):
                raise PluginError(f"wkconvert_downsamplers returns {kernels!r}", fix="return {name: Downsampler(...)}")
            formats = self.formats_of(point.name)
            _formats(plugin, "SECOND_OPINIONS")
        except (Exception, SystemExit) as error:  # whatever a stranger's code raises, the other plugins go on
            if plugin is not None and self._manager.get_plugin(point.name) is plugin:
                self._manager.unregister(name=point.name)
            what = f"{type(error).__name__}: {error}"
            return Loaded(point.name, distribution, version, error=what, trace=traceback.format_exc())
        return Loaded(point.name, distribution, version, formats, own_writers, sorted(kernels), exports=own_exports)


def _check_names(what: str, own: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    if taken := sorted(own.keys() & known.keys()):
        raise PluginError(
            f"another plugin has a {what} {', '.join(taken)} already",
            fix=f"uninstall one of them, or rename the {what}",
        )


def _formats(plugin: Any, attribute: str = "FORMATS") -> dict[str, str]:
    formats = getattr(plugin, attribute, {})
    if not isinstance(formats, Mapping) or not all(isinstance(word, str) for item in formats.items() for word in item):
        fix = 'write a mapping: {"name of a reader or writer": "what it reads or writes"}'
        raise PluginError(f"{attribute} is {formats!r}", fix=fix)
    return dict(formats)


def _mag_formats(plugin: Any) -> dict[str, MagFormat]:
    formats: object = getattr(plugin, "wkconvert_mag_formats", list)()
    if not isinstance(formats, Sequence) or not all(isinstance(one, MagFormat) for one in formats):
        raise PluginError(f"wkconvert_mag_formats returns {formats!r}", fix="return a list of MagFormat objects")
    return {one.name: one for one in formats}


@functools.cache
def plugins() -> Plugins:
    """The plugins of this process, loaded once."""
    return Plugins()


def downsampler(name: str) -> Downsampler:
    """The kernel that `--interpolation-mode` names. Raises OptionError."""
    known = plugins().downsamplers()
    if name not in known:
        raise OptionError(f"--interpolation-mode {name} is unknown", fix=one_of(sorted(known), name))
    return known[name]
