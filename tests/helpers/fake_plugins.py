"""Installs plugins that tests make up: a module, and a distribution whose entry point names it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wkconvert_core.registry import plugins as registry


class Forge:
    """A folder on sys.path to which plugins are added."""

    def __init__(self, site: Path) -> None:
        self.site = site

    def install(self, name: str, text: str) -> str:
        """Write a module and its distribution, which depends on wkconvert and hypothesis; returns the name."""
        (self.site / f"{name}.py").write_text(text, "utf-8")
        info = self.site / f"{name}-1.dist-info"
        info.mkdir()
        needs = "Requires-Dist: wkconvert\nRequires-Dist: hypothesis\n"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{needs}")
        (info / "entry_points.txt").write_text(f"[wkconvert]\n{name} = {name}\n")
        look_again()
        return name

    def uninstall(self, *, but: str = "") -> None:
        """Take the entry points away again."""
        for info in self.site.glob("*.dist-info"):
            if info.name != f"{but}-1.dist-info":
                (info / "entry_points.txt").unlink(missing_ok=True)
        look_again()


def look_again() -> None:
    """Load plugins anew when they are asked for next."""
    importlib.invalidate_caches()
    registry.plugins.cache_clear()


@contextmanager
def forge_in(site: Path) -> Iterator[Forge]:
    """A forge whose plugins this process, its workers and fresh interpreters find."""
    from joblib.externals.loky import get_reusable_executor

    sys.path.insert(0, str(site))
    get_reusable_executor().shutdown(wait=True)  # workers that are there already do not know the folder
    try:
        yield Forge(site)
    finally:
        get_reusable_executor().shutdown(wait=True)
        sys.path.remove(str(site))
        look_again()
