"""The layers of a dataset or of any source that are to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wkconvert_core.contract.errors import check_known
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.settings import Settings, location
from wkconvert_core.conversion.source_layer import SourceLayer
from wkconvert_core.registry.plugins import plugins


def chosen_layers(
    path: Path | str, names: Sequence[str], reader: str | None, options: Mapping[str, str] | None
) -> list[SourceLayer]:
    """The layers of those names (none: all) at a path, as `convert` would write their finest mag.

    Raises OptionError for an unknown name, and the errors of opening.
    """
    opened = open_source(location(path), Settings(reader=reader, reader_options=options or {}), plugins())
    check_known("layer-name", names, [layer.name for layer in opened], f"is not in {path}")
    return [layer for layer in opened if not names or layer.name in names]
