"""Describe a path: every plugin's answer, and the layers that would be converted. Behind `wkconvert info`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.placement import placed
from wkconvert_core.conversion.settings import Settings, location
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.datasets.dataset import check_described
from wkconvert_core.datasets.inventory import MagStorage, inventory
from wkconvert_core.datasets.records.existing_layers import ExistingLayers
from wkconvert_core.registry.answers import Answer, ask
from wkconvert_core.registry.plugins import plugins


@dataclass(frozen=True)
class Described:
    """The result of `describe`."""

    path: Path | str
    answers: Sequence[Answer]
    layers: Sequence[SourceLayer]
    problem: WkconvertError | None
    """Why the layers do not go together in one dataset; None if they do."""
    stored: Sequence[MagStorage]
    """How each mag of the datasets among the layers is stored; empty for other formats."""


def describe(
    path: Path | str, reader: str | None = None, options: Mapping[str, str] | None = None, *, follow: bool = False
) -> Described:
    """Ask every plugin about a path, and open it as `convert` would; `follow` reads mags of a dataset elsewhere.

    Raises the errors that `convert` would raise.
    """
    loaded, path = plugins(), location(path)
    answers = ask(path, loaded, options)
    is_claimed = any(answer.match for answer in answers)  # such as an export, which needs no metadata
    if isinstance(path, Path) and not is_claimed:
        check_described(path)
    settings, problem = Settings(reader=reader, reader_options=options or {}, follow=follow), None
    layers = open_source(path, settings, loaded)
    try:
        layers = placed(layers, settings, ExistingLayers())
    except WkconvertError as error:
        problem = error
    datasets = dict.fromkeys(layer.found.path for layer in layers if layer.found.match.format == "webknossos")
    stored = [mag for dataset in datasets for mag in inventory(Path(dataset), follow=follow)]
    return Described(path, answers, layers, problem, stored)
