"""`python tests/attack KIND`: attacks by hand, as many as one likes. What misbehaves is told, and can be kept."""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import shutil
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HELPERS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]["pythonpath"]
sys.path[:1] = [str(ROOT / folder) for folder in HELPERS]

from attack import datasets, disturbances, readers, seeds  # noqa: E402  # the folders are known only now
from attack.children import Outcome, Verdict  # noqa: E402
from attack.world import STORED, WRITING, World  # noqa: E402


@dataclass(frozen=True)
class Case:
    """An attempt that can be made again: on what, and which of its attempts."""

    subject: str
    label: str
    outcome: Outcome
    keep: Callable[[Path], object]
    """Copies what was attacked into a folder."""


def formats(given: argparse.Namespace, world: World) -> Iterator[Case]:
    for name in given.subjects or seeds.FORMATS:
        for number in given.numbers:
            outcome = readers.tried(name, given.seed, number)
            made = functools.partial(readers.mutant, name, given.seed, number)
            yield Case(name, str(number), outcome, lambda to, made=made: seeds.planted(made().files, to))


def files(given: argparse.Namespace, world: World) -> Iterator[Case]:
    for name in given.subjects or datasets.FILES:
        for number in given.numbers:
            outcome = datasets.tried(world, name, given.seed, number)
            yield Case(name, str(number), outcome, lambda to: shutil.copytree(world.ds, to))


def hostile(given: argparse.Namespace, world: World) -> Iterator[Case]:
    for name, change in itertools.islice(datasets.hostile(), given.numbers.start, given.numbers.stop):
        for command in given.subjects or datasets.COMMANDS:
            outcome = datasets.tried_hostile(world, change, command)
            yield Case(command, name, outcome, lambda to: shutil.copytree(world.ds, to, symlinks=True))


def kills(given: argparse.Namespace, world: World) -> Iterator[Case]:
    for command in given.subjects or WRITING:
        for number in given.numbers:
            if outcome := disturbances.killed(world, command, given.seed, number):
                yield Case(command, str(number), outcome, lambda to: shutil.copytree(world.work, to))


def faults(given: argparse.Namespace, world: World) -> Iterator[Case]:
    for command in given.subjects or WRITING:
        for call in given.calls:
            number = 1 + given.seed
            while outcome := disturbances.struck(world, command, call, given.fault, number, on=given.on):
                label = f"{given.fault} at {call} {number}"
                yield Case(f"{command}, {call}", label, outcome, lambda to: shutil.copytree(world.work, to))
                number += given.step or max(1, number // 4)


ATTACKS = {attack.__name__: attack for attack in (formats, files, hostile, kills, faults)}


def table(counts: dict[str, Counter[Verdict]]) -> str:
    """How often each subject met each verdict."""
    seen = [verdict for verdict in Verdict if any(count[verdict] for count in counts.values())]
    lines = [["", *seen]] + [[name, *(str(count[verdict]) for verdict in seen)] for name, count in counts.items()]
    return "\n".join(f"{line[0]:30}" + "".join(f"{cell:>24}" for cell in line[1:]) for line in lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser("attack", description=__doc__)
    parser.add_argument("kind", choices=ATTACKS, help="mutants of formats or of a dataset's files, hostile datasets, …")
    parser.add_argument("subjects", nargs="*", help="formats, files or commands; none: all")
    parser.add_argument("--seed", type=int, default=0, help="other mutants and moments; for faults, the first call")
    parser.add_argument("--numbers", default="0-199", help="which of a subject's attempts: 0-199, or 517 alone")
    parser.add_argument("--save", type=Path, help="a folder to keep what misbehaves in")
    parser.add_argument("--folder", help="where to work; every attack makes files anew, so memory (/dev/shm) is best")
    parser.add_argument("--to", choices=STORED, default="wkw", help="the format of the mags")
    parser.add_argument("--fault", choices=disturbances.FAULTS, default="EIO", help="what happens at a file call")
    parser.add_argument("--calls", nargs="+", default=disturbances.CALLS, choices=disturbances.CALLS)
    parser.add_argument("--step", type=int, default=0, help="every n-th call; 0: ever farther apart")
    parser.add_argument("--on", action="store_true", help="the calls after it fail, too")
    given = parser.parse_args()
    first, _, last = given.numbers.partition("-")
    given.numbers = range(int(first), int(last or first) + 1)
    return given


def main() -> int:
    given = parsed()
    counts: dict[str, Counter[Verdict]] = {}
    work = Path(tempfile.mkdtemp(prefix="attack-", dir=given.folder))
    try:
        for case in ATTACKS[given.kind](given, World(work, given.to)):
            counts.setdefault(case.subject, Counter())[case.outcome.verdict] += 1
            if case.outcome.verdict.is_good:
                continue
            told = {"kind": given.kind, "subject": case.subject, "seed": given.seed, "case": case.label}
            told |= {"verdict": case.outcome.verdict, "detail": case.outcome.detail[:400]}
            print(json.dumps(told), flush=True)  # noqa: T201
            if given.save:
                place = given.save / f"{given.kind}-{sum(map(Counter.total, counts.values()))}"
                case.keep(place)
                place.with_suffix(".json").write_text(json.dumps(told))
    finally:
        shutil.rmtree(work)
    print(table(counts))  # noqa: T201
    return int(any(not verdict.is_good for count in counts.values() for verdict in count))


if __name__ == "__main__":
    sys.exit(main())
