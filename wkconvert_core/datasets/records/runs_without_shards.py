"""Runs that have finished nothing: what they leave in a target is a frame without a shard, and in nobody's way."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from wkconvert_core.contract.errors import WkconvertError
from wkconvert_core.datasets.naming import FOLDER, layer_name_problem
from wkconvert_core.datasets.records.lines import layer_and_command
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.toolkit.atomic import TEMPORARY, writing
from wkconvert_core.toolkit.files import exists, is_link, listed, open_file, reading, walk

_LINE = 1 << 16
"""Bytes that hold at least one line of a journal."""


def has_finished_shards(plan: Path) -> bool:
    """Whether a run has finished any shard, of its layer or of all of it."""
    if exists(plan.with_suffix(".shards")):
        return True
    journal = plan.with_suffix(".journal")
    if not exists(journal):
        return False
    with reading(journal), open_file(journal) as file:
        return b"\n" in file.read(_LINE)


def plans_of(dataset: Path, layer: str = "") -> list[Path]:
    """The plans of all runs on a dataset, or on one of its layers; files with other names are none of ours."""
    plans = [(plan, layer_and_command(plan)[0]) for plan in listed(dataset / FOLDER, "*.plan")]
    return [plan for plan, name in plans if layer in ("", name) and not layer_name_problem(name)]


def runs_without_shards(dataset: Path, layer: str) -> list[Path]:
    """The plans of runs on a layer that have finished no shard."""
    return [plan for plan in plans_of(dataset, layer) if not has_finished_shards(plan)]


def holds_no_shard(dataset: Path, layer: str = "") -> bool:
    """Whether a dataset, or a layer of it, holds nothing but what a run begins with: no shard is finished.

    Beside plans and temporary files, that is the file that makes a folder a mag, such as `header.wkw`.
    """
    if any(map(has_finished_shards, plans_of(dataset, layer))) or is_link(dataset / layer):
        return False
    formats = plugins().mag_formats().values()
    for where, folders, names in walk(dataset / layer):
        folder = Path(where)
        if folder == dataset and FOLDER in folders:
            folders.remove(FOLDER)
        if names := [name for name in names if not fnmatch(name, TEMPORARY)]:
            try:
                frame = {one.open(folder).description.name for one in formats if one.has_mag(folder)}
            except WkconvertError:
                return False
            if not frame.issuperset(names):
                return False
    return True


def remove_run(plan: Path, folders: Iterable[Path]) -> None:
    """Remove the folders that a run has begun, then the record of it. Raises TargetError."""
    with writing(plan):
        for folder in folders:
            if exists(folder):
                shutil.rmtree(folder)
        for path in (plan.with_suffix(".journal"), plan):
            path.unlink(missing_ok=True)
