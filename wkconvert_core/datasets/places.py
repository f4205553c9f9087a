"""The folders that runs read from and write to: whether they can, what lies there, and what earlier runs left."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from wkconvert_core.contract.errors import OptionError, TargetExists, TargetNotWritable
from wkconvert_core.datasets.dataset import unfinished
from wkconvert_core.datasets.naming import FOLDER, PROPERTIES_FILE
from wkconvert_core.registry.detection import location
from wkconvert_core.toolkit.atomic import TEMPORARY, writing
from wkconvert_core.toolkit.files import exists, is_file, is_folder, is_link, listed

Src = TypeVar("Src", Path, Path | str)

REPLACED = ".wkconvert-old"
"""Ends the temporary name of a dataset that is being replaced."""


def checked_places(src: Src, dst: Path) -> tuple[Src, Path]:
    """Resolve source and target, links followed; a URL stays the text that it is.

    Raises OptionError if one lies in the other, or a path cannot be resolved.

    >>> checked_places("s3://bucket/em", Path("/data/em"))
    ('s3://bucket/em', PosixPath('/data/em'))
    >>> checked_places(Path("/data/em"), Path("/data/em/dataset"))
    Traceback (most recent call last):
    wkconvert_core.contract.errors.OptionError: DST /data/em/dataset lies in SRC /data/em. \
the next run would read what this one writes. choose a DST beside it, such as /data/em-dataset
    """
    if isinstance(location(src), str):
        return src, dst.resolve()
    try:
        source, target = Path(src).resolve(), dst.resolve()
        for path in (source, target):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.stat()  # a loop of links, a name too long, a folder that may not be entered
    except (OSError, RuntimeError) as error:
        raise OptionError(f"{src} or {dst} cannot be reached", why=str(error), fix="check both paths") from None
    if target.is_relative_to(source):
        beside = source.with_name(f"{source.name}-dataset")
        raise OptionError(
            f"DST {dst} lies in SRC {src}",
            why="the next run would read what this one writes",
            fix=f"choose a DST beside it, such as {beside}",
        )
    if source.is_relative_to(target):
        raise OptionError(
            f"SRC {src} lies in DST {dst}",
            why="a dataset's folder must hold nothing else",
            fix="choose another DST, or move SRC out of it",
        )
    return source, target


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


def sweep_replaced(dst: Path) -> None:
    """Remove the old datasets that `Replacement.publish` has put aside, unless there is no finished new one yet."""
    if is_file(dst / PROPERTIES_FILE) or (listed(dst / FOLDER, "*.shards") and not unfinished(dst)):
        for old in listed(dst.parent, f".{glob.escape(dst.name + REPLACED)}.*.tmp"):
            shutil.rmtree(old, ignore_errors=True)


def sweep(dataset: Path, layers: Sequence[str]) -> None:
    """Remove the temporary files that a killed run left. Raises TargetError."""
    with writing(dataset):
        shutil.rmtree(scratch(dataset), ignore_errors=True)
        for path in filter(is_file, listed(dataset, TEMPORARY)):  # some formats put files right in this folder
            path.unlink(missing_ok=True)
        for folder in (dataset / name for name in (FOLDER, *layers)):
            for path in [] if is_link(folder) else list(folder.rglob(TEMPORARY)):
                shutil.rmtree(path) if is_folder(path) and not is_link(path) else path.unlink(missing_ok=True)


def has_leftovers(dataset: Path) -> bool:
    """Whether a killed run has left temporary files right in the dataset's folder, or in that of its records."""
    return any(path for folder in (dataset, dataset / FOLDER) for path in listed(folder, TEMPORARY))


def scratch(dataset: Path) -> Path:
    """The folder for slabs while a dataset is written."""
    return dataset / FOLDER / "scratch"
