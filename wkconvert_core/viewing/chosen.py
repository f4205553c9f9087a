"""The layers of a dataset or of any source that are to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wkconvert_core.contract.errors import check_known
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.settings import Settings, location
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.datasets.dataset import Dataset
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.files import is_file


def chosen_layers(
    path: Path | str, names: Sequence[str], reader: str | None, options: Mapping[str, str] | None
) -> list[SourceLayer]:
    """The layers of those names (none: all) at a path, as `convert` would write their finest mag.

    Those of a dataset have the values for black and white that its metadata state, as WEBKNOSSOS shows them.
    Raises OptionError for an unknown name, and the errors of opening.
    """
    place = location(path)
    opened = open_source(place, Settings(reader=reader, reader_options=options or {}), plugins())
    check_known("layer-name", names, [layer.name for layer in opened], f"is not in {path}")
    stated = Dataset.open(place).layers if isinstance(place, Path) and is_file(place / PROPERTIES_FILE) else {}
    return [
        replace(layer, intensity_range=stated[layer.name].intensity_range) if layer.name in stated else layer
        for layer in opened
        if not names or layer.name in names
    ]
