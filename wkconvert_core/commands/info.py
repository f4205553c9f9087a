"""What a path is: every plugin's answer, and the layers that would be converted. Behind `wkconvert info`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.errors import UnsupportedSource
from wkconvert_core.conversion.opening import SourceLayer, open_source
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets.dataset import MagStorage, found_mags, inventory, unfinished
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.registry import detection as detect
from wkconvert_core.registry.detection import Answer
from wkconvert_core.registry.plugins import plugins


@dataclass(frozen=True)
class Described:
    """A path, as the plugins see it."""

    path: Path | str
    answers: Sequence[Answer]
    layers: Sequence[SourceLayer]
    stored: Sequence[MagStorage]
    """Every mag of the datasets among them, as it lies on the disk; empty for other data."""


def describe(path: Path | str, reader: str | None = None, options: Mapping[str, str] | None = None) -> Described:
    """Ask every plugin of a path, and open it as `convert` would. Raises what `convert` would raise."""
    loaded, path = plugins(), detect.location(path)
    answers = detect.ask(path, detect.read_head(path), loaded, options)
    claimed = any(answer.match for answer in answers)  # such as an export, which needs no metadata
    if isinstance(path, Path) and not claimed and not (path / PROPERTIES_FILE).exists():
        _check_finished(path)
    layers = open_source(path, Settings(reader=reader, reader_options=options or {}), loaded)
    datasets = dict.fromkeys(layer.found.path for layer in layers if layer.found.match.format == "webknossos")
    stored = [mag for dataset in datasets for mag in inventory(Path(dataset))]
    return Described(path, answers, layers, stored)


def _check_finished(path: Path) -> None:
    """Raise UnsupportedSource for mags of WKW without metadata."""
    if begun := unfinished(path):
        raise UnsupportedSource(f"{path} is not finished: {begun[0]}", fix="run the same command again")
    if found_mags(path):
        raise UnsupportedSource(
            f"{path} holds mags of WKW without metadata",
            why="`cube` writes none, nor do some other tools",
            fix=f"`wkconvert metadata {path} --voxel-size 4,4,35` makes them, with your voxel size",
        )
