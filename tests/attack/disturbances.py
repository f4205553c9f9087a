"""Kills at random moments, and faults at the n-th file call, each followed by the same command again."""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from random import Random
from threading import Timer

import psutil
from helpers.conversions import different
from helpers.processes import WarmInterpreter, wkconvert

from attack.children import Outcome, Verdict
from attack.world import World

FAULTS = {"KILL": 0, "EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "ESTALE": errno.ESTALE}
CALLS = [
    "create",
    "write",
    "rename",
    "mkdir",
    "unlink",
    "rmdir",
    "fsync",
    "truncate",
    "open",
    "opendir",
    "read",
    "stat",
]
NEW = ("auto", "recube", "copy", "auto of a dataset")
"""Commands that make a dataset where none was."""


def expected(world: World, command: str) -> tuple[Path, float]:
    """What all looks like after an undisturbed run of a command, and the seconds that it took."""
    place = world.folder / "expected" / command
    if not place.exists():
        world.prepared(command)
        wkconvert("--version")  # the interpreter has started when the time is taken
        began = time.monotonic()
        ended = wkconvert(*world.line(command))
        assert ended.returncode == 0, ended.stderr
        shutil.copytree(world.work, place)
        (place.parent / f"{command}.seconds").write_text(str(time.monotonic() - began))
    return place, float((place.parent / f"{command}.seconds").read_text())


def killed(world: World, command: str, seed: int, number: int) -> Outcome | None:
    """What the same command makes of the work of one that was killed; None if that had ended by then."""
    clean, seconds = expected(world, command)
    world.prepared(command)
    timers = []

    def kill_later(pid: int) -> None:
        delay = Random(f"{command} {seed} {number}").uniform(0.01, 1) * seconds
        process = psutil.Process(pid)  # which knows the process from a later one

        def kill() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                process.kill()

        timers.append(Timer(delay, kill))
        timers[0].start()

    first = wkconvert(*world.line(command), before=kill_later)
    timers[0].cancel()
    timers[0].join()
    if first.returncode != -signal.SIGKILL:
        return None
    return _claimed(world, command, clean) or _again(world, command, clean, Outcome(Verdict.RIGHT))


def struck(world: World, command: str, call: str, fault: str, number: int, *, on: bool = False) -> Outcome | None:
    """What becomes of a command whose n-th call of a kind fails, and of the same command again.

    With `on`, all calls after it fail as well. None if there are fewer calls.
    """
    clean, _ = expected(world, command)
    world.prepared(command)
    log = world.folder / "struck"
    log.unlink(missing_ok=True)
    given = {"CALL": call, "AT": number, "BELOW": world.work, "LOG": log} | ({"ON": 1} if on else {})
    environment = {"FAULT": str(FAULTS[fault])} | {f"FAULT_{key}": str(value) for key, value in given.items()}
    first = faulty_interpreter().run(*world.line(command), **environment)
    if not log.exists():
        return None
    where = log.read_text().splitlines()[0].replace(str(world.work), "")
    if "Traceback" in first.stderr:
        return Outcome(Verdict.EXCEPTION, f"{where}: {first.stderr.strip().splitlines()[-1]}")
    if first.returncode == 0:
        return _compared(world, clean, Outcome(Verdict.RIGHT, where), told="".join(first.stderr.split()))
    return _claimed(world, command, clean) or _again(world, command, clean, Outcome(Verdict.REFUSED, where))


def _claimed(world: World, command: str, clean: Path) -> Outcome | None:
    """What is wrong with a command that failed if its target looks complete without being it."""
    folder = {"auto": "ds"}.get(command, "out")
    if command not in NEW or not (world.work / folder / "datasource-properties.json").exists():
        return None
    missing = [name for name in different(world.work / folder, clean / folder) if not name.startswith(".wkconvert/")]
    return Outcome(Verdict.WRONG, f"looks complete too early, without {', '.join(missing[:3])}") if missing else None


def _again(world: World, command: str, clean: Path, good: Outcome) -> Outcome:
    """The same command, undisturbed, has to end with the same files as if nothing had been."""
    again = wkconvert(*world.line(command))
    if again.returncode:
        verdict = Verdict.EXCEPTION if "Traceback" in again.stderr else Verdict.WRONG
        return Outcome(verdict, f"{good.detail}; again: {' '.join(again.stderr.split())[-300:]}")
    return _compared(world, clean, good)


def _compared(world: World, clean: Path, good: Outcome, told: str = "") -> Outcome:
    """What differs from an undisturbed run, but for what the command says that it could not remove."""

    def is_told(name: str) -> bool:
        return any(f"/{part}" in told for part in (name, Path(name).parts[0]) if part.endswith((".tmp", "/lock")))

    if not (wrong := [name for name in different(world.work, clean) if not is_told(name)]):
        return good
    left = [name for name in wrong if any(part.startswith(".") and part.endswith(".tmp") for part in Path(name).parts)]
    return Outcome(Verdict.LEFTOVER if left == wrong else Verdict.WRONG, f"{good.detail}; {', '.join(wrong[:3])}")


@functools.cache
def faulty_interpreter() -> WarmInterpreter:
    """The interpreter whose commands obey `faulty_calls.c`, which needs a C compiler, and a Linux."""
    folder = tempfile.mkdtemp(prefix="attack-")
    library = Path(folder, "faulty_calls.so")
    source = Path(__file__).with_name("faulty_calls.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, capture_output=True)
    made = WarmInterpreter(LD_PRELOAD=str(library))
    atexit.register(shutil.rmtree, folder)
    atexit.register(made.close)
    return made
