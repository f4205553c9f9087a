"""Loading plugins one by one, so that a broken one never stops the others."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from wkconvert_core.contract import hookspecs
from wkconvert_core.contract.errors import OptionError, PluginError
from wkconvert_core.contract.mag_format import MagFormat
from wkconvert_core.contract.model import Downsampler

GROUP = hookspecs.PROJECT
"""The entry-point group under which plugins register."""

BUILT_IN = (
    "wkconvert_core.datasets.reader",
    "wkconvert_core.formats.wkw",
    "wkconvert_core.formats.raw",
    "wkconvert_core.kernels",
)
"""Core's own plugins: they use the same hooks as everybody else's."""


@dataclass(frozen=True)
class Loaded:
    """A plugin, or why it is missing."""

    name: str
    distribution: str
    version: str
    formats: Mapping[str, str] = field(default_factory=dict)
    """What it reads and in what forms it stores mags, by name."""
    error: str | None = None
    """What loading it raised; None for a plugin that works."""
    trace: str = ""


class Plugins:
    """The plugins of a process: `hook` calls them, `loaded` lists the installed ones with their errors."""

    def __init__(self, found: Iterator[EntryPoint] | None = None) -> None:
        """Load core's own plugins, then each installed one in a `try` of its own."""
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.loaded: list[Loaded] = []
        for name in BUILT_IN:
            self._manager.register(_import(name), name)
        for point in found if found is not None else iter(entry_points(group=GROUP)):
            self.loaded.append(self._load(point))

    @property
    def hook(self) -> Any:
        """The five hooks, as functions that call every plugin; pluggy makes them at run time, so they have no types."""
        return self._manager.hook

    @contextmanager
    def register(self, plugin: Any, name: str | None = None) -> Iterator[None]:
        """Register a module or object with hooks for the length of a `with` block; for tests.

        `info` lists it under `name` (default: its `__name__`). Raises ValueError if there is a plugin of this name.

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
        """The readers by name, each with what it reads, from the plugins' `FORMATS`."""
        return {name: text for _, plugin in self._manager.list_name_plugin() for name, text in _formats(plugin).items()}

    def formats_of(self, name: str) -> dict[str, str]:
        """What one plugin reads, and in what forms it stores mags, by name."""
        plugin = self._manager.get_plugin(name)
        return {**_formats(plugin), **{one.name: one.summary for one in _mag_formats(plugin)}}

    def downsamplers(self) -> dict[str, Downsampler]:
        """Every plugin's kernels by name; core's own cannot be replaced."""
        merged: dict[str, Downsampler] = {}
        for impl in self.hook.wkconvert_downsamplers.get_hookimpls():
            kernels = impl.function()
            merged = {**kernels, **merged} if impl.plugin_name not in BUILT_IN else {**merged, **kernels}
        return merged

    def mag_formats(self) -> dict[str, MagFormat]:
        """Every plugin's mag formats by name; core's own cannot be replaced."""
        found = [one for formats in self.hook.wkconvert_mag_formats() for one in formats]
        return {one.name: one for one in found}

    def version_of(self, format: str) -> str:
        """The version of the plugin that reads or stores a format; empty for core's own."""
        return next((plugin.version for plugin in self.loaded if format in plugin.formats), "")

    @staticmethod
    def _check_formats(plugin: Any, known: Mapping[str, str]) -> None:
        if taken := sorted(set(_formats(plugin)) & set(known)):
            raise PluginError(
                f"another plugin has a reader {', '.join(taken)} already",
                fix="uninstall one of them, or rename a reader",
            )

    def _load(self, point: EntryPoint) -> Loaded:
        name, version = (point.dist.name, point.dist.version) if point.dist else (point.value, "?")
        plugin, known = None, self.formats()
        try:
            plugin = point.load()
            self._manager.register(plugin, point.name)
            self._manager.check_pending()
            self._check_formats(plugin, known)
            _check_kernels(plugin)
            formats = self.formats_of(point.name)
        except (Exception, SystemExit) as error:  # whatever a stranger's code raises, the other plugins go on
            if plugin is not None and self._manager.get_plugin(point.name) is plugin:
                self._manager.unregister(name=point.name)
            what = f"{type(error).__name__}: {error}"
            return Loaded(point.name, name, version, error=what, trace=traceback.format_exc())
        return Loaded(point.name, name, version, formats)


def _formats(plugin: Any) -> dict[str, str]:
    formats = getattr(plugin, "FORMATS", {})
    if not isinstance(formats, Mapping) or not all(isinstance(word, str) for item in formats.items() for word in item):
        raise PluginError(f"FORMATS is {formats!r}", fix='write a mapping: {"name of a reader": "what it reads"}')
    return dict(formats)


def _mag_formats(plugin: Any) -> list[MagFormat]:
    return list(getattr(plugin, "wkconvert_mag_formats", list)())


def _check_kernels(plugin: Any) -> None:
    """Raise what the plugin's kernels raise: better while it is loaded than in every conversion later."""
    kernels: Mapping[str, Any] = getattr(plugin, "wkconvert_downsamplers", dict)()
    if not all(isinstance(kernel, Downsampler) for kernel in kernels.values()):
        raise PluginError("wkconvert_downsamplers does not give Downsamplers", fix="return {name: Downsampler(...)}")


def _import(name: str) -> Any:
    from importlib import import_module

    return import_module(name)


@functools.cache
def plugins() -> Plugins:
    """The plugins of this process, loaded once."""
    return Plugins()


def downsampler(name: str) -> Downsampler:
    """The kernel that `--interpolation-mode` names. Raises OptionError."""
    known = plugins().downsamplers()
    if name not in known:
        raise OptionError(f"--interpolation-mode {name} is unknown", fix=f"take one of {', '.join(sorted(known))}")
    return known[name]
