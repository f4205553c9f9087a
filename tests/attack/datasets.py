"""Mutants of what a dataset consists of, and datasets that were made to do harm."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from helpers.conversions import different

from attack.children import Misbehaved, Outcome, Verdict
from attack.mutations import mutated
from attack.world import CHANGING, COPYING, READING, World

COMMANDS = [*READING, *COPYING, *CHANGING]
COMMANDS.remove("upsample")  # it works on a dataset of its own

JUDGED = ("recube", "copy", "auto of a dataset", "downsample", "compress")
"""Commands after which every mag has to hold what it should, but for one that was damaged and only stayed as it was."""

FILES: dict[str, Callable[[Path], list[Path]]] = {
    "description": lambda ds: sorted([*ds.rglob("header.wkw"), *ds.glob("*/*/zarr.json"), *ds.glob("*/*/.zarray")]),
    "shard": lambda ds: sorted([*ds.rglob("x*.wkw"), *filter(Path.is_file, ds.rglob("[0-9]*"))]),
    "image": lambda ds: sorted([*ds.glob("zarr.json"), *ds.glob("*/zarr.json"), *ds.glob("**/.z[ga]*")]),
    "properties": lambda ds: [ds / "datasource-properties.json"],
    "plan": lambda ds: sorted(ds.glob(".wkconvert/*.plan")),
    "shards": lambda ds: sorted(ds.glob(".wkconvert/*.shards")),
    "journal": lambda ds: sorted(ds.glob(".wkconvert/*.journal")),
}
"""What is mutated, and which files that is."""


def unfinished(ds: Path) -> None:
    """Put a dataset back to where its run was just before the end."""
    (ds / "datasource-properties.json").unlink()
    for record in ds.glob(".wkconvert/*.shards"):
        record.rename(record.with_suffix(".journal"))


def tried(world: World, target: str, seed: int, number: int) -> Outcome:
    """What a command, chosen by chance, makes of the `number`-th mutant of one kind of file."""
    rng = Random(f"{target} {seed} {number}")
    world.restored()
    if target == "journal":
        unfinished(world.ds)
    if not (files := FILES[target](world.ds)):
        return Outcome(Verdict.RIGHT, "there is no such file")
    file = rng.choice(files)
    before = file.read_bytes()
    file.write_bytes(mutated(rng, file.name, before))
    command = "auto" if target == "journal" else rng.choice(COMMANDS)
    if file.read_bytes() == before:
        return Outcome(Verdict.RIGHT, "nothing was changed")
    outcome = world.attacked(command, lambda: _judge(world, target, command, file))
    return Outcome(outcome.verdict, f"{command}, {file.relative_to(world.ds)}: {outcome.detail}")


def _judge(world: World, target: str, command: str, file: Path) -> None:
    """Raise Misbehaved if a command that ended well should not have, or wrote what is not right."""
    if target == "journal" and (wrong := different(world.ds, world.work / "clean")):
        raise Misbehaved(Verdict.WRONG, f"resumed, these differ: {', '.join(wrong)}")
    if target == "shard" and command == "verify":
        raise Misbehaved(Verdict.WRONG, "verify calls a changed shard sound")
    if target not in ("properties", "journal", "image") and command in JUDGED:
        layer, mag = file.relative_to(world.ds).parts[:2]
        world.same_voxels(
            "out" if command in COPYING else "ds", None if command == "compress" else world.ds / layer / mag
        )


# --- hostile datasets ------------------------------------------------------------------------------------------------

Change = Callable[[World], object]

NAMES = ["..", "../../canary", "/abs", "em/1", "em\n", "", "x" * 300, "con:", "a\0b", "\ud800", ".wkconvert", "labels"]
PATHS = ["../canary/1", "../../canary/1", "/abs/1", "labels/1", "em/../../../canary/1", "s3://x/1", "x" * 5000, "."]
COMPRESS_PLAN = ".wkconvert/compressed/.wkconvert/em.compress.plan"
ODD = [7, [], {}, None]
BOXES = [10**6, 10**7, 2**31, 2**62, 10**400, -1, 0, 1.5, "70", None, float("nan")]
OWN = ["datasource-properties.json", "em", "em/1", "em/1/header.wkw", "em/1/z0", "em/1/z0/y0/x0.wkw"]
"""What may be a link, as people keep data in several places: it is read where it leads, never written."""
KEPT = ("lock", "em.auto.plan", "em.auto.shards", "em.downsample.journal", "em.compress.plan", "em.verify.shards")
LINKS = [
    *OWN,
    *(".wkconvert", ".wkconvert/scratch", ".wkconvert/compressed", *(f".wkconvert/{name}" for name in KEPT)),
    *("em/4", "em/mappings", "em/mappings/x.json", "em/agglomerates", "more"),
]


def _edited(change: Callable[[dict], object]) -> Change:
    """The entry of the first layer is changed."""

    def edit(world: World) -> None:
        file = world.ds / "datasource-properties.json"
        found = json.loads(file.read_text())
        change(found["dataLayers"][0])
        file.write_text(json.dumps(found).replace("/abs", str(world.canary)))

    return edit


def _linked(name: str, to: str) -> Change:
    """Something of the dataset, or beside it, is a link to a file or folder outside."""

    def change(world: World) -> None:
        place = world.ds / name
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(world.canary / to)

    return change


def _copied_outside(name: str) -> Change:
    """The same, to a true copy outside: it reads well, but is not the dataset's."""

    def change(world: World) -> None:
        true = world.canary / "true"
        (world.ds / name).rename(true)
        (world.ds / name).symlink_to(true)

    return change


def _to_replace(place: str) -> Change:
    """A compressed mag waits to take the place of a folder outside."""

    def change(world: World) -> None:
        built = world.ds / ".wkconvert" / "compressed"
        shutil.copytree(world.ds / "em" / "1", built / "em" / "1")
        (built / ".wkconvert").mkdir()
        shutil.copy(world.ds / "datasource-properties.json", built)
        where = place.replace("/abs", str(world.canary))
        plan = {"places": {"em": {"1": [where, hashlib.sha256().hexdigest()]}}, "settings": {}}
        (world.ds / COMPRESS_PLAN).write_text(json.dumps(plan))

    return change


def _fifo(name: str) -> Change:
    """A file is a pipe into which nobody writes."""

    def change(world: World) -> None:
        (world.ds / name).unlink()
        os.mkfifo(world.ds / name)

    return change


def hostile() -> Iterator[tuple[str, Change]]:
    """What each of these datasets is called, and how the sound one is changed into it."""
    for name in NAMES + ODD:
        yield f"name {name!r:.20}", _edited(lambda layer, name=name: layer.update(name=name))
    for path in NAMES + PATHS + ODD:
        yield f"path {path!r:.20}", _edited(lambda layer, path=path: layer["mags"][0].update(path=path))
    for side in BOXES:
        yield f"box {side!r:.20}", _edited(lambda layer, side=side: layer["boundingBox"].update(width=side, depth=side))
    for name in LINKS:
        for to in ("", "secret.txt", "scratch", "new"):
            yield f"link {name} to {to}", _linked(name, to)
    for name in (*OWN[1:5], ".wkconvert"):
        yield f"copy outside of {name}", _copied_outside(name)
    for place in ("/abs", "../canary", "/abs/scratch", "../../canary/new", "em", "."):
        yield f"replaces {place}", _to_replace(place)
    for name in ("em/1/z0/y0/x0.wkw", "em/1/header.wkw", "datasource-properties.json", ".wkconvert/em.auto.plan"):
        yield f"fifo {name}", _fifo(name)
    yield "fifo in compressed", lambda world: [change(world) for change in (_to_replace("em/1"), _fifo(COMPRESS_PLAN))]


def tried_hostile(world: World, change: Change, command: str) -> Outcome:
    """What a command makes of a hostile dataset."""
    world.restored()
    change(world)
    outcome = world.attacked(command, may_read=any((world.ds / name).is_symlink() for name in (*OWN, ".wkconvert")))
    true = world.canary / "true"
    shutil.rmtree(true) if true.is_dir() else true.unlink(missing_ok=True)
    return outcome
