"""A few attacks of each kind, always the same ones; `python tests/attack` makes as many others as one likes."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from random import Random

import pytest

from attack import children, datasets, disturbances, readers, seeds
from attack.children import Misbehaved, Verdict, attempt
from attack.world import STORED, World
from wkconvert_core import BrokenSource, PluginError
from wkconvert_core.registry.plugins import plugins

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and links of other systems differ"),
]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The world whose mags have a format, made once; skips where nobody stores it."""
    known = {}

    def made(to="wkw"):
        if to not in plugins().mag_formats():
            pytest.skip(f"no plugin stores {to}")
        if to not in known:
            known[to] = World(tmp_path_factory.mktemp("attack"), to)
        return known[to]

    return made


@pytest.fixture(scope="module")
def world(worlds):
    return worlds()


def refuse(error):
    raise error


def warn():
    warnings.warn("a word of a library's", stacklevel=1)


def spin():
    while True:
        pass


@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        (lambda: None, Verdict.RIGHT),
        (lambda: refuse(BrokenSource("cut short")), Verdict.REFUSED),
        (lambda: refuse(PluginError("answered []")), Verdict.EXCEPTION),
        (lambda: refuse(KeyError("x")), Verdict.EXCEPTION),
        (lambda: refuse(Misbehaved(Verdict.WRONG, "other voxels")), Verdict.WRONG),
        (lambda: bytearray(3 << 30), Verdict.MEMORY),
        (lambda: ctypes.string_at(0), Verdict.CRASH),
        (lambda: os.read(os.pipe()[0], 1), Verdict.HANG),
        (spin, Verdict.HANG),
        (warn, Verdict.WARNING),
    ],
)
def test_the_runner_tells_how_an_attempt_ends(monkeypatch, action, verdict):
    monkeypatch.setattr(children, "CPU_SECONDS", 1)
    monkeypatch.setattr(children, "SECONDS", 2)
    assert attempt(action).verdict == verdict


@pytest.mark.parametrize("format", [name for name in seeds.FORMATS if name != "zarr"])
def test_a_mutant_of_sound_files_is_read_right_or_refused(format):
    outcomes = {number: readers.tried(format, 0, number) for number in range(10)}
    assert {number: outcome for number, outcome in outcomes.items() if not outcome.verdict.is_good} == {}
    assert Verdict.REFUSED in {outcome.verdict for outcome in outcomes.values()}


def test_a_mutant_of_zarr_is_read_right_or_refused():
    """In a process where tensorstore has not worked yet: it ends those that are forked from one where it has."""
    line = [sys.executable, ROOT / "tests" / "attack", "formats", "zarr", "--numbers", "0-4"]
    ended = subprocess.run(line, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "refused" in ended.stdout


def test_the_same_numbers_make_the_same_mutant():
    assert readers.mutant("dm", 3, 7) == readers.mutant("dm", 3, 7)
    assert readers.mutant("dm", 3, 7) != readers.mutant("dm", 4, 7)


@pytest.mark.parametrize("target", datasets.FILES)
def test_a_mutant_of_a_datasets_file_is_read_right_or_refused(world, target):
    outcomes = {number: datasets.tried(world, target, 0, number) for number in range(2)}
    assert {number: outcome for number, outcome in outcomes.items() if not outcome.verdict.is_good} == {}


def test_a_hostile_dataset_reaches_nothing_outside(world):
    cases = [(name, change, command) for name, change in datasets.hostile() for command in datasets.COMMANDS]
    chosen = Random(1).sample(cases, 8)
    outcomes = {(name, command): datasets.tried_hostile(world, change, command) for name, change, command in chosen}
    assert [case for case, outcome in outcomes.items() if outcome.verdict == Verdict.OUTSIDE] == []


def test_a_pipe_in_a_dataset_is_not_waited_for(world):
    pipes = {name: change for name, change in datasets.hostile() if "fifo" in name}
    commands = ("info", "compress")
    outcomes = {
        (name, to): datasets.tried_hostile(world, change, to) for name, change in pipes.items() for to in commands
    }
    assert {case: outcome for case, outcome in outcomes.items() if not outcome.verdict.is_good} == {}


@pytest.mark.parametrize("action", ["read", "write", "remove"])
def test_what_happens_outside_is_seen(world, monkeypatch, action):
    secret = world.canary / "secret.txt"
    acts = {
        "read": lambda command: secret.read_bytes(),
        "write": lambda command: secret.write_bytes(b"x"),
        "remove": lambda command: shutil.rmtree(world.canary),
    }
    world.restored()
    assert world.attacked("info").verdict == Verdict.RIGHT
    monkeypatch.setattr(world, "run", acts[action])
    assert world.attacked("info").verdict == Verdict.OUTSIDE


@pytest.mark.parametrize("command", ["auto", "compress", "recube"])
@pytest.mark.parametrize("to", STORED)
def test_a_killed_command_goes_on_to_the_same_bytes(worlds, to, command):
    outcomes = [disturbances.killed(worlds(to), command, 0, number) for number in range(2)]
    assert any(outcomes)
    assert [outcome for outcome in outcomes if outcome and not outcome.verdict.is_good] == []


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize(
    ("command", "call", "fault", "numbers"),
    [
        ("auto", "create", "EIO", (1, 5)),
        ("auto", "rename", "KILL", (2, 9)),
        ("compress", "rename", "KILL", (4, 14)),
        ("metadata", "write", "ENOSPC", (1,)),
        ("auto to zarr3", "write", "ENOSPC", (5, 9)),
        ("auto to zarr3", "rename", "KILL", (2, 9)),
    ],
)
def test_a_fault_at_a_file_call_is_survived(worlds, command, call, fault, numbers):
    command, _, to = command.partition(" to ")
    world = worlds(to or "wkw")
    outcomes = {number: disturbances.struck(world, command, call, fault, number) for number in numbers}
    assert all(outcomes.values())
    assert {number: outcome for number, outcome in outcomes.items() if not outcome.verdict.is_good} == {}


def test_every_promise_names_a_test_that_there_is():
    page = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    named = re.findall(r"`([\w/]+\.py)`::(\w+)", page)
    assert len(named) >= len(re.findall(r"^\| [^-]", page.partition("## What is not promised")[0], re.M)) - 1
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text("utf-8")]
    assert missing == []
