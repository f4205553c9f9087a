"""Runs that did not come to their end, as far as their records tell."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from wkconvert_core.datasets.naming import FOLDER, PROPERTIES_FILE
from wkconvert_core.datasets.records.lines import content_of, entry_of, layer_and_command, parsed_plan
from wkconvert_core.toolkit.files import exists, listed


def unfinished(dataset: Path, besides: Collection[str] = ()) -> list[str]:
    """The runs of which shards are missing, but for those on some layers: `auto of layer color`, for messages."""
    plans = [path for path in listed(dataset / FOLDER, "*.plan") if not exists(path.with_suffix(".shards"))]
    return _told(plans, besides)


def lacking_metadata(dataset: Path, besides: Collection[str] = ()) -> list[str]:
    """The runs whose shards are complete and whose metadata are not there, told in the same way. Raises BrokenSource.

    A run writes its metadata last. It was stopped right before that, or the file was lost since: nothing tells which.
    """
    if exists(dataset / PROPERTIES_FILE):
        return []
    plans = [path for path in listed(dataset / FOLDER, "*.plan") if exists(path.with_suffix(".shards"))]
    wanting = [path for path in plans if entry_of(parsed_plan(content_of(path)), "settings").get("metadata") is True]
    return _told(wanting, besides)


def _told(plans: Collection[Path], besides: Collection[str]) -> list[str]:
    return [f"{command} of layer {layer}" for layer, command in map(layer_and_command, plans) if layer not in besides]
