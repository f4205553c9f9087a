"""Loading plugins: one by one, so that a broken one never stops the rest."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from wkconvert_core import hookspecs

GROUP = hookspecs.PROJECT
"""The entry-point group under which plugins register."""

BUILT_IN = ("wkconvert_core.wkw_dataset", "wkconvert_core.downsample")
"""Core's own plugins: they use the same hooks as everybody else's."""


@dataclass(frozen=True)
class Loaded:
    """A plugin, or why it is missing."""

    name: str
    distribution: str
    version: str
    error: str = ""
    """What loading it raised; empty for a plugin that works."""
    trace: str = ""


class Plugins:
    """The plugins of this process: `hook` calls them, `loaded` tells what became of each."""

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
        """The four hooks, as functions that ask every plugin; pluggy makes them, so they are untyped."""
        return self._manager.hook

    def _load(self, point: EntryPoint) -> Loaded:
        name, version = (point.dist.name, point.dist.version) if point.dist else (point.value, "?")
        try:
            plugin = point.load()
            self._manager.register(plugin, point.name)
            self._manager.check_pending()
        except Exception as error:  # whatever a stranger's code raises, the other plugins go on
            if self._manager.has_plugin(point.name):
                self._manager.unregister(name=point.name)
            return Loaded(point.name, name, version, f"{type(error).__name__}: {error}", traceback.format_exc())
        return Loaded(point.name, name, version)


def _import(name: str) -> Any:
    from importlib import import_module

    return import_module(name)


@functools.cache
def plugins() -> Plugins:
    """The plugins of this process, loaded once."""
    return Plugins()
