"""The contract: five hooks. A plugin implements the ones it needs and registers under the entry point `wkconvert`.

The `path` of a source is a local Path, or a URL as the text that the user wrote: `s3://bucket/em`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from wkconvert_core.contract.mag_format import MagFormat
    from wkconvert_core.contract.model import DatasetSink, DatasetSpec, Downsampler, Layer, Match

PROJECT = "wkconvert"
hookspec = HookspecMarker(PROJECT)
hookimpl = HookimplMarker(PROJECT)


@hookspec
def wkconvert_detect(path: Path | str, head: bytes, options: Mapping[str, str]) -> Match | None:
    """Claim a path, or None; `head` is a file's first 4 KiB, empty for a folder or URL. Imports no format library."""


@hookspec(firstresult=True)
def wkconvert_open(format: str, path: Path | str, options: Mapping[str, str]) -> Sequence[Layer] | None:
    """Open a path as the format that `wkconvert_detect` named; None for another plugin's format."""


@hookspec(firstresult=True)
def wkconvert_create(format: str, path: Path, spec: DatasetSpec, options: Mapping[str, str]) -> DatasetSink | None:
    """Begin or continue what `--to` names, if it is no WEBKNOSSOS dataset; None for another plugin's format."""


@hookspec
def wkconvert_mag_formats() -> Sequence[MagFormat]:  # type: ignore[empty-body]
    """The ways in which this plugin stores the mags of a WEBKNOSSOS dataset, each with the name that `--to` takes."""


@hookspec
def wkconvert_downsamplers() -> Mapping[str, Downsampler]:  # type: ignore[empty-body]
    """The kernels this plugin has, by the name that `--interpolation-mode` takes."""
