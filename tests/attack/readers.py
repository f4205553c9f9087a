"""Mutants of every format that is read: detected, opened, read, and converted, each in a process of its own."""

from __future__ import annotations

import functools
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np

from attack.children import Misbehaved, Outcome, Verdict, attempt, judged
from attack.mutations import mutated
from attack.seeds import FIFO, FOLDER, FORMATS, LINK, Seed, Tree, planted
from wkconvert_core import Box, VoxelSize
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.opening import open_source
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.engine.resources import budget_of
from wkconvert_core.registry.answers import ask
from wkconvert_core.registry.plugins import plugins
from wkconvert_core.testing import read_checked

SMALL = 1 << 21
"""Bytes of a volume of which every box is tried, and which is converted."""


@functools.cache
def seeds_of(format: str) -> list[Seed]:
    """The files of a format, each found sound here, so that the children need not import its libraries, either."""
    if is_apart := format == "zarr":  # tensorstore ends a process that was forked from one in which it had worked
        with ProcessPoolExecutor(1, get_context("fork")) as process:
            found = process.submit(FORMATS[format]).result()
    else:
        found = FORMATS[format]()
    for seed in found:
        with TemporaryDirectory() as folder:
            path = planted(seed.files, Path(folder, "src")) / seed.entry
            outcome = (attempt if is_apart else judged)(
                lambda path=path, seed=seed: _read(path, seed.options, Path(folder, "ds"))
            )
            assert outcome.verdict == Verdict.RIGHT, f"{sorted(seed.files)}: {outcome}"
    return found


def mutant(format: str, seed: int, number: int) -> Seed:
    """The `number`-th mutant of a format's files; the same for the same seed."""
    rng = Random(f"{format} {seed} {number}")
    sound = rng.choice(seeds_of(format))
    files = dict(sound.files)
    if rng.random() < (0.15 if len(files) > 1 else 0.03):
        _other_entries(rng, files)
    else:
        for _ in range(rng.choice([1, 1, 2])):
            name = rng.choice(sorted(files))
            files[name] = mutated(rng, name, files[name] or b"\0")
    return Seed(files, sound.entry, sound.options)


def _other_entries(rng: Random, files: Tree) -> None:
    """Something added beside a file, taken away, or called by another name."""
    name = rng.choice(sorted(files))
    kind = rng.randrange(6)
    if kind == 0:
        del files[name]
    elif kind == 1:
        files[re.sub(r"\d+(?=\D*$)", lambda found: str(int(found[0]) + rng.choice([1, 7, 10**6, 10**20])), name)] = (
            files.pop(name)
        )
    elif kind == 2:
        files[name] = rng.choice([FOLDER, FIFO, LINK + b"missing", LINK + b".", LINK + b"/dev/zero", b""])
    elif kind == 3:
        spelled = rng.choice(
            ["Thumbs.db", "notes.txt", "０.tif", "x\x1b[2J.png", "é.tif", "a" * 250, "-rf", "s 1.tif", ".s0.tif"]
        )
        files[str(Path(name).with_name(spelled))] = rng.choice([b"", b"text", *files.values()])
    elif kind == 4:
        files[f"deep/{name}"] = files[name]
    else:
        files[rng.choice([name.upper(), f"{name}.tmp", re.sub(r"\d", "٣", name), re.sub(r"(\d)", r"0\1", name)])] = (
            files[name]
        )


def tried(format: str, seed: int, number: int) -> Outcome:
    """What becomes of a mutant; one in eight of those that can be read is converted, too."""
    return tried_seed(mutant(format, seed, number), converted=number % 8 == 0)


def tried_seed(given: Seed, *, converted: bool = True) -> Outcome:
    """What becomes of files: read in many ways, and also `converted`, which takes three times as long."""
    with TemporaryDirectory(prefix="attack-") as folder:
        path = planted(given.files, Path(folder, "src")) / given.entry
        return attempt(lambda: _read(path, given.options, Path(folder, "ds") if converted else None))


def _read(path: Path, options: dict[str, str], target: Path | None) -> None:
    for answer in ask(path, plugins(), options):
        if answer.error:
            raise Misbehaved(Verdict.EXCEPTION, f"detection by {answer.plugin} {answer.error}")
    settings = Settings(voxel_size=VoxelSize((4, 4, 35)), reader_options=options, memory=700 << 20, jobs=1)
    layers = open_source(path, settings, plugins(), budget_of(settings, 1 << 30))
    small = True
    for layer in layers:
        for source in layer.mags.values():
            box = source.info.box
            if box.volume * source.info.voxel_bytes > SMALL:
                small = False
                for start in (box.start, box.stop - (1, 1, 1)):
                    _checked(source.read(Box(start, (1, 1, 1))), source.info.channels, (1, 1, 1), source.info.dtype)
            else:
                read_checked(source)
    if small and target:
        _convert(path, settings, target)


def _checked(voxels: np.ndarray, channels: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if (voxels.shape, voxels.dtype) != ((channels, *shape), dtype):
        raise Misbehaved(Verdict.WRONG, f"{voxels.dtype} {voxels.shape} where {dtype} {(channels, *shape)} was said")


def _convert(path: Path, settings: Settings, target: Path) -> None:
    """Convert all of it, and read the same voxels from the dataset."""
    convert(path, target, settings)
    written = open_source(target, Settings(), plugins())
    for before, after in zip(open_source(path, settings, plugins()), written, strict=True):
        source, stored = before.mags[before.finest], after.mags[before.finest]
        if not np.array_equal(
            source.read(source.info.box), stored.read(stored.info.box), equal_nan=source.info.dtype.kind == "f"
        ):
            raise Misbehaved(Verdict.WRONG, f"{before.name} was written with other voxels than were read")
