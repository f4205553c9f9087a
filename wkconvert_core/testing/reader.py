"""For a plugin's own tests beyond the contract: calling its hooks as core does, and making voxels."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from wkconvert_core.contract.model import Layer, Match, Source
from wkconvert_core.testing.check_reading import read_checked

if TYPE_CHECKING:
    from wkconvert_core.contract.model import Array


@dataclass(frozen=True)
class Reader:
    """Calls a plugin's hooks directly, so that its errors and warnings reach the test unchanged.

    Options are keywords with values of any type; the plugin gets them as text, as from `-o`.
    """

    plugin: ModuleType
    """The module with the hooks."""
    format: str | None = None
    """Name of the reader that opens files; None: found by detection."""

    def detect(self, path: Path, **options: object) -> Match | None:
        """The plugin's claim to a path."""
        head = b""
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(4096)
        given = {"path": path, "head": head, "options": _texts(options)}
        hook = self.plugin.wkconvert_detect
        claim: Match | None = hook(**{name: given[name] for name in inspect.signature(hook).parameters})
        return claim

    def layers(self, path: Path, **options: object) -> list[Layer]:
        """The layers of a file or folder. Raises the plugin's errors, AssertionError if it does not know the path."""
        claim = None if self.format else self.detect(path, **options)
        name = claim.format if claim else self.format
        found = self.plugin.wkconvert_open(name, path, _texts(options))
        assert found is not None, f"{self.plugin.__name__} does not open {path} as {name}"
        return list(found)

    def layer(self, path: Path, **options: object) -> Layer:
        """The only layer."""
        found = self.layers(path, **options)
        assert len(found) == 1, f"{path} has the layers {[layer.name for layer in found]}"
        return found[0]

    def source(self, path: Path, **options: object) -> Source:
        """The finest mag of the only layer."""
        return self.layer(path, **options).source

    def voxels(self, path: Path, **options: object) -> Array:
        """Its voxels `[c, x, y, z]`, checked as `read_checked` does."""
        return read_checked(self.source(path, **options))


def _texts(options: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in options.items()}


def noise(*shape: int, dtype: str = "uint8", seed: int = 0, zeros: bool = True) -> Array:
    """Reproducible random values of any dtype; integers span the whole range and begin with its two ends.

    With `zeros=False` no value is 0, so that missing voxels show.

    >>> noise(2, 2, dtype="int16").tolist()[0]
    [-32768, 32767]
    """
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    values: Array
    if kind.kind == "c":
        values = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(kind)
    elif kind.kind == "f":
        values = rng.standard_normal(shape).astype(kind)
    elif kind.kind == "b":
        values = rng.random(shape) > 0.5
    else:
        ends = np.iinfo(kind)
        values = rng.integers(ends.min, ends.max, shape, kind, endpoint=True)
        values.flat[:2] = ends.min, ends.max
    return values if zeros else np.where(values == 0, kind.type(1), values)
