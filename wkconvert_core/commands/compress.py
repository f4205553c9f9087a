"""Compressing what is not compressed, in place. Behind `wkconvert compress`.

The compressed mags are built in the dataset's `.wkconvert`, as a dataset of their own: resumable, its metadata last.
Once those are there, its mags are moved, one by one, into the place of the old ones, which go when the new ones are
named. Every move can be done again; until all are done, the dataset says that it is not finished.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from wkconvert_core.commands.recube import prepare_copy
from wkconvert_core.contract.errors import DamagedData, TargetError, TargetExists
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.mag_format import UNCOMPRESSED
from wkconvert_core.conversion.prepare import Conversion
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.checksums import records
from wkconvert_core.datasets.dataset import COMPRESSED, Dataset, MagOnDisk, is_half_compressed
from wkconvert_core.datasets.destination import Destination, NewDataset, checked_places
from wkconvert_core.datasets.journal import FOLDER, Request, keep_record, locked
from wkconvert_core.datasets.naming import PROPERTIES_FILE
from wkconvert_core.datasets.properties import Properties, mag_entries, mag_of
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.contents import voxels_outside
from wkconvert_core.planning.route import Budget
from wkconvert_core.toolkit.atomic import temporary_name, writing
from wkconvert_core.toolkit.byte_sizes import size_text
from wkconvert_core.toolkit.files import fingerprint

COMMAND = "compress"
_FILES_AT_A_TIME = 1000
"""Files whose sizes a worker looks up per task: one is not worth its dispatch."""


@dataclass(frozen=True)
class CompressedInPlace(Destination):
    """A dataset whose mags are compressed in its `.wkconvert`, and take the place of the old ones."""

    @property
    def building(self) -> Path:
        """In the dataset's `.wkconvert`."""
        return self.path / COMPRESSED

    def check(self, request: Request) -> None:
        """Raise TargetExists where something else was begun."""
        try:
            NewDataset(self.building).check(request)
        except TargetExists as error:
            raise TargetExists(
                f"{self.path} was being compressed in another way, or has changed since",
                why=error.why,
                fix=f"run the command that was begun again; or remove {self.building}: it holds nothing but copies",
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold both."""
        with locked(self.building), locked(self.path):
            yield

    def publish(self) -> str:
        """Move the mags over; returns how much is saved."""
        return take_over(self.building, self.path)


def prepare(
    src: Path, dst: Path | None, settings: Settings, *, names: Sequence[str] = (), mags: Collection[Mag] = ()
) -> Conversion:
    """Decide what is compressed: a copy of the whole at `dst`, or, without one, what is not, in place.

    Raises what `prepare_copy` raises, and TargetExists where what was begun in place does not fit any more.
    """
    if dst is not None:
        src, dst = checked_places(src, dst)
        place = NewDataset(dst, remedy="remove it, or choose another TARGET")
        return prepare_copy(COMMAND, src, place, settings, names=names, mags=mags, keep_shards=True)
    src = src.resolve()
    conversion = prepare_copy(
        COMMAND,
        src,
        CompressedInPlace(src),
        replace(settings, name=src.name),
        names=names,
        mags=mags,
        wanted=lambda mag: mag.compression == UNCOMPRESSED,
        keep_shards=True,
        in_place=True,
        facts={"places": _places(src)},
    )
    compressed = {(sink.spec.layer, sink.spec.mag) for planned in conversion.steps for sink in planned.step.sinks}
    workers = Workers("threads", conversion.inputs.budget.workers)
    for where in Dataset.finished(src).mags:
        if (where.layer, where.mag) in compressed:
            _check_recorded(src, where, workers)
            _check_outside(src, where, conversion.inputs.budget, workers)
    return conversion


def _check_recorded(dataset: Path, where: MagOnDisk, workers: Workers) -> None:
    """Raise DamagedData for a shard that is missing or cut: its compressed copy would look sound."""
    recorded, mag = records(dataset, where.layer).checksums(where.mag), where.open()
    files = [(mag.shard_path(start), checksum.size) for start, checksum in recorded.shards.items()] if recorded else []
    batches = (files[n : n + _FILES_AT_A_TIME] for n in range(0, len(files), _FILES_AT_A_TIME))
    if wrong := sorted(chain.from_iterable(workers.map(_wrong_sizes, batches, workers.jobs))):
        path, size, wanted = wrong[0]
        raise DamagedData(
            f"{path} has {size} bytes; {wanted} were recorded",
            why="in the compressed mag, nobody could see that any more",
            fix=f"`wkconvert verify {dataset}` tells more; restore the shard, or compress into a copy",
        )


def _wrong_sizes(files: Sequence[tuple[Path, int]]) -> list[tuple[Path, int, int]]:
    """The files that are missing or have other sizes than recorded: path, size, recorded size."""
    sizes = [(path, path.stat().st_size if path.exists() else 0, recorded) for path, recorded in files]
    return [(path, size, recorded) for path, size, recorded in sizes if size != recorded]


def _check_outside(dataset: Path, where: MagOnDisk, budget: Budget, workers: Workers) -> None:
    """Raise TargetError for voxels outside the bounding box: only those within are compressed."""
    if found := voxels_outside(where, budget, workers):
        raise TargetError(
            f"{where.title} of {dataset} has voxels outside its bounding box, within {found}",
            why=f"the box is {where.box} in voxels of that mag; compressing in place would lose what lies outside",
            fix=f"`wkconvert metadata {dataset} --extent` makes the box fit; a copy leaves them out",
        )


def finish(dataset: Path) -> str:
    """Move what an earlier run has compressed, if it was interrupted; tells what came of it, or nothing.

    Raises TargetLocked, TargetError.
    """
    dataset = dataset.resolve()
    if not is_half_compressed(dataset):
        return ""
    with locked(dataset):
        return take_over(dataset / COMPRESSED, dataset)


def _places(dataset: Path) -> dict[str, dict[str, list[str]]]:
    """Where each mag lies, relative to the dataset, and what its files are like."""
    places: dict[str, dict[str, list[str]]] = {}
    for where in Dataset.finished(dataset).mags:
        if where.folder.is_dir():
            lies = where.folder.relative_to(dataset).as_posix()
            places.setdefault(where.layer, {})[str(where.mag)] = [lies, fingerprint(where.folder)]
    return places


@dataclass(frozen=True)
class _Move:
    """A compressed mag, the place of the old one, and what that was like."""

    new: Path
    place: Path
    seen: str

    @property
    def old(self) -> Path:
        """Where the old mag waits to be removed."""
        return self.new.with_name(f"{self.new.name}.old")

    def check(self) -> None:
        """Raise TargetError if the old mag is not what was compressed."""
        if self.new.exists() and self.place.exists() and fingerprint(self.place) != self.seen:
            raise TargetError(
                f"{self.place} has changed since compressing it was begun",
                why="the compressed mag would lose that",
                fix=f"remove {self.new.parent.parent}, and compress again",
            )

    def __call__(self) -> int:
        """Do it, whatever of it is done already; returns the bytes saved."""
        saved = 0
        if self.new.exists():
            saved = _bytes(self.place if self.place.exists() else self.old) - _bytes(self.new)
            if self.place.exists():
                self.place.rename(self.old)
            self.new.rename(self.place)
        shutil.rmtree(self.old, ignore_errors=True)
        return saved


def take_over(built: Path, dataset: Path) -> str:
    """Move the compressed mags into the dataset, which the caller holds; tells how much is saved.

    Raises TargetError for a mag that was changed after compressing it had begun.
    """
    with writing(dataset):
        moves = list(_moves(built, dataset))
        for move in moves:
            move.check()
        saved = sum(move() for move in moves)
        file = dataset / PROPERTIES_FILE
        ours, theirs = properties_file.read(file), properties_file.read(built / PROPERTIES_FILE)
        properties_file.write(file, {**ours, "dataLayers": [_updated(entry, theirs) for entry in ours["dataLayers"]]})
        for plan in (built / FOLDER).glob(f"*.{COMMAND}.plan"):
            keep_record(plan, dataset / FOLDER)
        done = temporary_name(built)
        built.rename(done)
        shutil.rmtree(done)
    return f"{size_text(saved)} saved" if saved > 0 else f"{size_text(-saved)} more than before"


def _moves(built: Path, dataset: Path) -> Iterator[_Move]:
    plan = json.loads(next((built / FOLDER).glob(f"*.{COMMAND}.plan")).read_bytes())
    for entry in properties_file.read(built / PROPERTIES_FILE)["dataLayers"]:
        for mag in map(mag_of, mag_entries(entry)):
            place, seen = plan["places"][entry["name"]][str(mag)]
            yield _Move(built / entry["name"] / str(mag), dataset / place, seen)


def _bytes(folder: Path) -> int:
    """What a folder takes in the dataset: nothing if it is a link."""
    return 0 if folder.is_symlink() else sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _updated(entry: Properties, compressed: Properties) -> Properties:
    """A layer's entry, with what the compressed mags' format says of them: the length of their shards."""
    new = next((each for each in compressed["dataLayers"] if each["name"] == entry["name"]), None)
    if new is None:
        return entry
    stated = {mag_of(mag): {k: v for k, v in mag.items() if k not in _OF_CORE} for mag in mag_entries(new)}
    kind = "mags" if "mags" in entry else "wkwResolutions"
    mags = [mag | stated.get(_mag(mag), {}) for mag in entry[kind]]
    return {**entry, kind: mags}


_OF_CORE = ("mag", "path", "axisOrder")
"""What core itself says of a mag."""


def _mag(entry: Properties) -> Mag:
    return mag_of({"mag": entry.get("mag", entry.get("resolution"))})
