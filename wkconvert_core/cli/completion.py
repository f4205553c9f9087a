"""Words that a shell completes: layers and mags of the dataset on the command line, and the values of options.

A shell waits for it at each Tab: nothing is imported but what answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

WORDS = {
    "category": "color segmentation",
    "unit": "pm Å nm µm mm cm m inch",
    "dtype": "uint8 uint16 uint32 uint64 int8 int16 int32 int64 float32 float64",
    "convert": "exact clip scale",
    "gaps": "error fill close",
    "sampling_mode": "anisotropic isotropic constant-z",
    "compression": "none lz4 lz4hc",
    "file_len": "auto 1 2 4 8 16 32 64",
    "distribution_strategy": "threads multiprocessing sequential dask slurm",
    "progress": "auto bar plain json none",
}
"""Values of options that are the same whatever is installed."""
PLUGINS = {"reader": "formats", "interpolation_mode": "downsamplers", "to": "writers", "exports": "exports"}
"""Options whose values the plugins bring, and which of their lists it is."""


def completion_of(name: str) -> Callable[[], list[str]] | None:
    """The function that completes the values of an option that commands share, if they can be listed."""

    def words() -> list[str]:
        if name in WORDS:
            return WORDS[name].split()
        from wkconvert_core.registry.plugins import plugins

        return sorted(getattr(plugins(), PLUGINS[name])())

    return words if name in WORDS or name in PLUGINS else None


def layers(ctx: typer.Context) -> list[str]:
    """Names of the layers of the command's dataset."""
    return [name for name, _ in _dataset(ctx)]


def mags(ctx: typer.Context) -> list[str]:
    """The mags of the command's dataset, or of the layers that were chosen, as `2` or `2-2-1`."""
    chosen = ctx.params.get("layer_name") or ()
    found = dict.fromkeys(tuple(mag) for name, mags in _dataset(ctx) if not chosen or name in chosen for mag in mags)
    return ["-".join(map(str, mag if len(set(mag)) > 1 else mag[:1])) for mag in sorted(found)]


def _dataset(ctx: typer.Context) -> list[tuple[str, list[Any]]]:
    """Layers of the dataset at the first argument, with their mags; none if its metadata cannot be read."""
    from wkconvert_core.datasets.naming import PROPERTIES_FILE

    place = next(iter(ctx.args), "")  # an option that has no value yet ends the parsing before arguments have names
    try:
        found = json.loads(Path(place, PROPERTIES_FILE).read_text("utf-8"))["dataLayers"]
        return [
            (layer["name"], [mag["mag"] for mag in layer.get("mags", layer.get("wkwResolutions", []))])
            for layer in found
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
