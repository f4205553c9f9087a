"""The folders that runs read from and write to: whether they can, what lies there, and what earlier runs left."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from wkconvert_core.contract.errors import TargetExists, TargetNotWritable
from wkconvert_core.datasets.naming import FOLDER, PROPERTIES_FILE
from wkconvert_core.datasets.records.lock import LOCK
from wkconvert_core.datasets.records.unfinished_runs import unfinished
from wkconvert_core.toolkit.atomic import TEMPORARY, writing
from wkconvert_core.toolkit.files import exists, is_file, is_folder, is_link, listed

REPLACED = ".wkconvert-old"
"""Ends the temporary name of a dataset that is being replaced."""


def free_bytes(dst: Path) -> int:
    """Bytes free on the disk of a target, which need not exist. Raises TargetNotWritable."""
    folder = next(path for path in (dst, *dst.parents) if exists(path))
    if is_folder(folder) and not os.access(folder, os.W_OK | os.X_OK):
        raise TargetNotWritable(f"{dst} cannot be written", why=f"there is no permission to write in {folder}")
    return shutil.disk_usage(folder).free


def is_dataset(path: Path) -> bool:
    """Whether a folder holds a dataset, finished or begun by a run of wkconvert."""
    return is_file(path / PROPERTIES_FILE) or is_folder(path / FOLDER)


def holds_dataset(dst: Path) -> bool:
    """Whether a target is a dataset; False if it is free. Raises TargetExists if it is anything else."""
    if is_link(dst) and not exists(dst):
        raise TargetExists(f"{dst} is a broken link", fix="remove it, or choose another DST")
    if exists(dst) and not is_folder(dst):
        raise TargetExists(f"{dst} is a file", fix="choose another DST")
    if not exists(dst) or ({path.name for path in listed(dst)} <= {FOLDER} and not listed(dst / FOLDER, "*.plan")):
        return False  # a run that was killed before it began leaves an empty `.wkconvert`
    if not is_dataset(dst):
        raise TargetExists(
            f"{dst} is a folder with other things in it",
            why="only a dataset is ever added to or replaced",
            fix="choose another DST",
        )
    return True


def sweep_replaced(dst: Path) -> list[Path]:
    """Remove the old datasets that `Replacement.publish` has put aside, unless there is no finished new one yet.

    Returns those of which anything is left, because the disk fails.
    """
    if is_file(dst / PROPERTIES_FILE) or (listed(dst / FOLDER, "*.shards") and not unfinished(dst)):
        aside = listed(dst.parent, f".{glob.escape(dst.name + REPLACED)}.*.tmp")
        for old in aside:
            with contextlib.suppress(OSError):  # of which some pass even those who ignore them
                shutil.rmtree(old, ignore_errors=True)
        return [old for old in aside if exists(old)]
    return []


def sweep(dataset: Path, layers: Sequence[str]) -> None:
    """Remove the temporary files that a killed run left. Raises TargetError."""
    with writing(dataset):
        shutil.rmtree(scratch(dataset), ignore_errors=True)
        for path in filter(is_file, listed(dataset, TEMPORARY)):  # some formats put files right in this folder
            path.unlink(missing_ok=True)
        for folder in (dataset / name for name in (FOLDER, *layers)):
            for path in [] if is_link(folder) else list(folder.rglob(TEMPORARY)):
                remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it. Raises OSError."""
    shutil.rmtree(path) if is_folder(path) and not is_link(path) else path.unlink(missing_ok=True)


def has_leftovers(dataset: Path) -> bool:
    """Whether a killed run has left its lock, or temporary files right in the dataset's folder or that of its records.

    So may one that is running.
    """
    return exists(dataset / FOLDER / LOCK) or any(listed(folder, TEMPORARY) for folder in (dataset, dataset / FOLDER))


def scratch(dataset: Path) -> Path:
    """The folder for slabs while a dataset is written."""
    return dataset / FOLDER / "scratch"
