"""Compress mags in place, or into a copy. Behind `wkconvert compress`.

In place, the compressed mags are built in the dataset's `.wkconvert`, as a dataset of their own: resumable, metadata
last. Once its metadata exist, its mags replace the old ones, one by one; an old mag is deleted once the new one has
its name. Each replacement can be repeated, and until all are done, the dataset counts as unfinished.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from wkconvert_core.commands.recube import prepare_copy
from wkconvert_core.contract.errors import DamagedData, TargetError, TargetExists
from wkconvert_core.contract.geometry import Mag
from wkconvert_core.contract.mag_format import UNCOMPRESSED
from wkconvert_core.conversion.prepare import Conversion
from wkconvert_core.conversion.settings import Settings, checked_places
from wkconvert_core.datasets import properties_file
from wkconvert_core.datasets.checksums import records
from wkconvert_core.datasets.dataset import COMPRESSED, Dataset, MagOnDisk, is_half_compressed
from wkconvert_core.datasets.destination import Destination, NewDataset
from wkconvert_core.datasets.naming import FOLDER, PROPERTIES_FILE, shown
from wkconvert_core.datasets.places import has_leftovers, sweep
from wkconvert_core.datasets.properties import Properties, mag_entries, mag_of, mag_places
from wkconvert_core.datasets.records.journal import Journal, Request, keep_record
from wkconvert_core.datasets.records.lines import content_of, parsed_plan
from wkconvert_core.datasets.records.lock import locked
from wkconvert_core.engine.workers import Workers
from wkconvert_core.inspection.contents import voxels_outside
from wkconvert_core.planning.costs import Budget
from wkconvert_core.toolkit.atomic import temporary_name, writing
from wkconvert_core.toolkit.byte_sizes import size_text
from wkconvert_core.toolkit.files import exists, files_below, is_folder, is_link, listed, state_of
from wkconvert_core.toolkit.folders import fingerprint

COMMAND = "compress"
_FILES_AT_A_TIME = 1000
"""Files whose sizes a worker looks up per task, so that dispatching tasks does not dominate."""
_OF_CORE = ("mag", "path")
"""Keys of a mag's entry that core writes; all others are the format's."""


@dataclass(frozen=True)
class CompressedInPlace(Destination):
    """A dataset whose mags are compressed inside its `.wkconvert`, then replaced."""

    @property
    def building(self) -> Path:
        """A folder in the dataset's `.wkconvert`."""
        return self.path / COMPRESSED

    def check(self, request: Request) -> None:
        """Raise TargetExists if another compression was begun there."""
        try:
            NewDataset(self.building).check(request)
        except TargetExists as error:
            raise TargetExists(
                f"{self.path} was being compressed in another way, or has changed since",
                why=error.why,
                fix=f"run the command that began it again; or remove {self.building}, which holds copies only",
            ) from None

    def make_room(self, request: Request, journals: Mapping[str, Journal], mags: Mapping[str, Collection[Mag]]) -> None:
        """Remove what another compression has begun, and of which no shard is finished."""
        NewDataset(self.building).make_room(request, journals, mags)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the dataset and the folder in it."""
        with locked(self.path), locked(self.building):
            yield

    def publish(self) -> str:
        """Replace the mags; returns how many bytes that saved, for people."""
        return take_over(self.building, self.path)


def prepare(
    src: Path, dst: Path | None, settings: Settings, *, names: Sequence[str] = (), mags: Collection[Mag] = ()
) -> Conversion:
    """Plan the compression, and write nothing: of the whole dataset into `dst`, or of uncompressed mags in place.

    `names` and `mags` select layers and mags (empty: all). Raises what `prepare_copy` raises; in place, also
    DamagedData for missing or truncated shards, TargetError for voxels outside the bounding box, which would be lost,
    and TargetExists where another compression was begun.
    """
    if dst is not None:
        src, dst = checked_places(src, dst)
        destination = NewDataset(dst, remedy="remove it, or choose another TARGET")
        return prepare_copy(COMMAND, src, destination, settings, names=names, mags=mags, keep_shards=True)
    src = src.resolve()
    places: dict[str, dict[str, list[str]]] = {}
    for where in Dataset.finished(src).mags:
        if is_folder(where.folder):
            place = where.folder.relative_to(src).as_posix()
            places.setdefault(where.layer, {})[str(where.mag)] = [place, fingerprint(where.folder)]
    conversion = prepare_copy(
        COMMAND,
        src,
        CompressedInPlace(src),
        settings,
        names=names,
        mags=mags,
        wanted=lambda mag: mag.compression == UNCOMPRESSED,
        keep_shards=True,
        in_place=True,
        facts={"places": places},
    )
    compressed = {(sink.spec.layer, sink.spec.mag) for planned in conversion.steps for sink in planned.step.sinks}
    workers = Workers("threads", conversion.inputs.budget.workers)
    for where in Dataset.finished(src).mags:
        if (where.layer, where.mag) in compressed:
            _check_recorded(src, where, workers)
            _check_outside(src, where, conversion.inputs.budget, workers)
    return conversion


def _check_recorded(dataset: Path, where: MagOnDisk, workers: Workers) -> None:
    """Raise DamagedData for a shard that is missing or truncated: its compressed copy would look sound."""
    recorded, mag = records(dataset, where.layer).checksums(where.mag), where.open()
    files = [(mag.shard_path(start), checksum.size) for start, checksum in recorded.shards.items()] if recorded else []
    batches = (files[n : n + _FILES_AT_A_TIME] for n in range(0, len(files), _FILES_AT_A_TIME))
    if wrong := sorted(chain.from_iterable(workers.map(_wrong_sizes, batches, workers.jobs))):
        path, size, expected = wrong[0]
        raise DamagedData(
            f"{path} has {size} bytes; {expected} were recorded",
            why="in the compressed mag, this damage could not be detected any more",
            fix=f"`wkconvert verify {dataset}` tells more; restore the shard, or compress into a copy",
        )


def _wrong_sizes(files: Sequence[tuple[Path, int]]) -> list[tuple[Path, int, int]]:
    """Path, size and recorded size of files whose sizes differ from the recorded ones; a missing file has size 0."""
    sizes = [(path, state_of(path)[0] if exists(path) else 0, recorded) for path, recorded in files]
    return [(path, size, recorded) for path, size, recorded in sizes if size != recorded]


def _check_outside(dataset: Path, where: MagOnDisk, budget: Budget, workers: Workers) -> None:
    """Raise TargetError for voxels outside the bounding box, which are not copied."""
    if found := voxels_outside(where, budget, workers):
        raise TargetError(
            f"{where.title} of {dataset} has voxels outside its bounding box, within {found}",
            why=f"the box is {where.box} in voxels of that mag; compressing in place would lose what lies outside",
            fix=f"`wkconvert metadata {dataset} --extent` makes the box fit; a copy leaves them out",
        )


def finish(dataset: Path) -> str:
    """Replace the mags that an interrupted run has compressed; returns bytes saved, for people, or an empty text.

    Raises TargetLocked, TargetError.
    """
    dataset = dataset.resolve()
    if not is_half_compressed(dataset) and not has_leftovers(dataset):
        return ""
    with locked(dataset):
        saved = take_over(dataset / COMPRESSED, dataset) if is_half_compressed(dataset) else ""
        sweep(dataset, ())
    return saved


@dataclass(frozen=True)
class _Move:
    """The replacement of one mag by its compressed copy."""

    new: Path
    place: Path
    """The folder of the old mag, and later of the new one."""
    fingerprint: str
    """Of the old mag, when it was compressed."""

    @property
    def old(self) -> Path:
        """Where the old mag waits to be deleted."""
        return self.new.with_name(f"{self.new.name}.old")

    def check(self) -> None:
        """Raise TargetError if the old mag has changed since it was compressed."""
        if exists(self.new) and exists(self.place) and fingerprint(self.place) != self.fingerprint:
            raise TargetError(
                f"{self.place} has changed since compressing it was begun",
                why="the compressed mag lacks that change",
                fix=f"remove {self.new.parent.parent}, and compress again",
            )

    def __call__(self) -> int:
        """Do or complete the replacement, however far an earlier run got; returns the bytes saved."""
        saved = 0
        if exists(self.new):
            saved = _bytes(self.place if exists(self.place) else self.old) - _bytes(self.new)
            if exists(self.place):
                self.place.rename(self.old)
            self.new.rename(self.place)
        shutil.rmtree(self.old, ignore_errors=True)
        return saved


def take_over(built: Path, dataset: Path) -> str:
    """Replace mags of a dataset, which the caller has locked, by compressed ones; returns bytes saved, for people.

    Raises TargetError for a mag that has changed since it was compressed, and for compressed mags of anything but mags
    that the dataset lists.
    """
    with writing(dataset):
        moves = list(_moves(built, dataset))
        for move in moves:
            move.check()
        saved = sum(move() for move in moves)
        file = dataset / PROPERTIES_FILE
        ours, theirs = properties_file.read(file), properties_file.read(built / PROPERTIES_FILE)
        properties_file.write(file, {**ours, "dataLayers": [_updated(entry, theirs) for entry in ours["dataLayers"]]})
        for plan in listed(built / FOLDER, f"*.{COMMAND}.plan"):
            keep_record(plan, dataset / FOLDER)
        done = temporary_name(built)
        built.rename(done)
        sweep(dataset, ())
    return f"{size_text(saved)} saved" if saved > 0 else f"{size_text(-saved)} more than before"


def _moves(built: Path, dataset: Path) -> Iterator[_Move]:
    """The replacements that remain to be done, as the plan in `built` has them.

    Raises TargetError unless each is of a mag that the dataset lists, in its folder, and nothing is a link: the folder
    may come from anywhere, and what is in the way of a move is deleted.
    """
    no_work = f"{built} does not fit {dataset}"
    fix = f"remove {built}, which holds copies only, and compress again"

    def checked(*parts: str) -> Path:
        for path in (built.joinpath(*parts[:count]) for count in range(len(parts) + 1)):
            if is_link(path):
                raise TargetError(no_work, why=f"{path} is a link", fix=fix)
        return built.joinpath(*parts)

    own = Dataset.listed(dataset, properties_file.read(dataset / PROPERTIES_FILE))
    plans = listed(checked(FOLDER), f"*.{COMMAND}.plan")
    places = parsed_plan(content_of(plans[0])).get("places") if plans else None
    for entry in properties_file.read(checked(PROPERTIES_FILE))["dataLayers"]:
        for mag in map(mag_of, mag_entries(entry)):
            layer = own.layers.get(entry["name"])
            try:
                place, was = places[entry["name"]][str(mag)]  # type: ignore[index]  # anything at all, if damaged
            except (LookupError, TypeError, ValueError):
                raise TargetError(
                    no_work, why=f"no plan says whose copy {entry['name']} mag {mag} is", fix=fix
                ) from None
            if not layer or mag not in layer.mags or place not in mag_places(dataset, layer, mag):
                why = f"{shown(str(place))} is not the folder of layer {shown(entry['name'])}, mag {mag}"
                raise TargetError(no_work, why=why, fix=fix)
            yield _Move(checked(entry["name"], str(mag)), dataset / place, str(was))


def _bytes(folder: Path) -> int:
    """Bytes of all files in a folder; 0 for a link, which takes no space in the dataset."""
    return 0 if is_link(folder) else sum(state_of(file)[0] for file in files_below(folder))


def _updated(entry: Properties, compressed: Properties) -> Properties:
    """A layer's entry with the keys that the mag format states of the compressed mags: `cubeLength`.

    The order of axes is stated anew where it was stated: that of the compressed mags may be another one.
    """
    new = next((each for each in compressed["dataLayers"] if each["name"] == entry["name"]), None)
    if new is None:
        return entry
    stated = {mag_of(mag): {k: v for k, v in mag.items() if k not in _OF_CORE} for mag in mag_entries(new)}
    kind = "mags" if "mags" in entry else "wkwResolutions"
    listed = zip(entry[kind], map(mag_of, mag_entries(entry)), strict=True)

    def joined(old: Properties, now: Properties) -> Properties:
        return old | {key: value for key, value in now.items() if key != "axisOrder" or key in old}

    return {**entry, kind: [joined(old, stated.get(mag, {})) for old, mag in listed]}
