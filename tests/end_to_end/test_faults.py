"""What survives kills, signals, full disks and little memory: the command as a process, disturbed from outside."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from helpers.conversions import different
from helpers.dask_clusters import dataset
from helpers.datasets import repeat_noise
from helpers.processes import FRESH, interpreter, peak_of, wkconvert

from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings

pytestmark = pytest.mark.slow

FAULTY_CALLS = ["write", "fsync", "rename", "unlink", "mkdir", "rmdir"]


def auto(source, target, *options):
    return ["auto", str(source), str(target), "--name", "ds", *options]


def run(*args):
    return wkconvert(*auto(*args))


def is_complete(target, clean):
    """Whether a dataset has all that a clean one has, but for the record of how it came about."""
    return all(name.startswith(".wkconvert/") for name in different(target, clean))


# --- faults at system calls ------------------------------------------------------------------------------------------


def struck_at(log, call, number, fault, args):
    """Run a command with a fault at the n-th of its system calls; returns how it ended, or None if it made fewer."""
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={number}"]

    def attach(pid):
        tracers.append(subprocess.Popen(["strace", "-f", "-o", log, *inject, "-p", str(pid)], stderr=subprocess.PIPE))
        assert b"attached" in tracers[0].stderr.readline()

    tracers = []
    ended = wkconvert(*args, before=attach)
    tracers[0].communicate(timeout=20)
    trace = log.read_text(errors="replace")
    return ended if "INJECTED" in trace or "killed by SIGKILL" in trace else None


def moments():
    """Which of the calls are struck: the first ones each, later ones ever farther apart."""
    number = 1
    while True:
        yield number
        number += max(1, number // 2)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(
    ("call", "fault"),
    [(call, "signal=KILL") for call in FAULTY_CALLS]
    + [(call, "error=ENOSPC") for call in ("write", "fsync", "rename", "mkdir")],
)
def test_a_fault_at_a_system_call_is_survived(tmp_path, call, fault):
    source = dataset(tmp_path, (70, 40, 40), most=250)
    options = ("--file-len", "1", "--max-mag", "2", "--jobs", "1")
    assert wkconvert(*auto(source, tmp_path / "clean", *options)).returncode == 0
    struck = 0
    for number in moments():
        target = tmp_path / "ds"
        shutil.rmtree(target, ignore_errors=True)
        first = struck_at(tmp_path / "log", call, number, fault, auto(source, target, *options))
        if first is None:
            break
        struck += 1
        if first.returncode:
            assert not (target / "datasource-properties.json").exists() or is_complete(target, tmp_path / "clean")
            assert "Traceback" not in first.stderr, first.stderr
        else:  # the call was one that may fail, such as a write to standard error
            assert different(target, tmp_path / "clean") == []
        again = wkconvert(*auto(source, target, *options))
        assert (again.returncode, again.stderr.count("Traceback")) == (0, 0), again.stderr
        assert different(target, tmp_path / "clean") == [], (call, number)
    assert struck or call in ("unlink", "rmdir")


# --- signals ---------------------------------------------------------------------------------------------------------


def started(source, target, *options):
    """A run that has recorded its first shards, in a group of processes of its own."""
    return at_work(interpreter().start(*auto(source, target, *options), new_session=True), target)


def at_work(process, target):
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in target.glob(".wkconvert/*.journal")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


SLOWLY = ("--file-len", "1", "--compression", "lz4hc")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Long enough in the making for a signal to come in between."""
    return dataset(tmp_path_factory.mktemp("source"), (384, 384, 192), most=250, jobs=2)


@pytest.fixture(scope="module")
def clean(tmp_path_factory, source):
    target = tmp_path_factory.mktemp("clean") / "ds"
    assert run(source, target, *SLOWLY, "--jobs", "2").returncode == 0
    return target


@pytest.mark.parametrize("strategy", ["threads", "multiprocessing"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("to", [os.kill, os.killpg], ids=["process", "group"])
def test_a_signal_stops_cleanly_and_the_same_command_goes_on(tmp_path, source, clean, strategy, number, code, to):
    if to is os.killpg and (strategy, number) != ("multiprocessing", signal.SIGINT):
        pytest.skip("what a terminal does with Ctrl-C")
    options = (*SLOWLY, "--distribution-strategy", strategy, "--jobs", "2")
    process = started(source, tmp_path / "ds", *options)
    children = psutil.Process(process.pid).children(recursive=True)
    to(process.pid, number)
    stderr = process.communicate(timeout=20)[1]
    assert process.returncode == code
    assert stderr.endswith("\nstopped; the same command again goes on from here\n")
    assert "Traceback" not in stderr
    assert psutil.wait_procs(children, timeout=2)[1] == []
    assert list((tmp_path / "ds").rglob(".*.tmp")) == []
    assert not (tmp_path / "ds" / "datasource-properties.json").exists()
    again = run(source, tmp_path / "ds", *options)
    assert again.returncode == 0
    assert "were there from an earlier run" in again.stderr
    assert different(tmp_path / "ds", clean) == []


def test_nohup_protects_from_a_closed_terminal(tmp_path, source, clean):
    line = ["nohup", *FRESH, *auto(source, tmp_path / "ds", *SLOWLY, "--jobs", "2")]
    process = at_work(subprocess.Popen(line, stderr=subprocess.PIPE, text=True), tmp_path / "ds")
    process.send_signal(signal.SIGHUP)
    assert (process.communicate(timeout=100)[1], process.returncode)[1] == 0
    assert different(tmp_path / "ds", clean) == []


def test_workers_end_with_a_parent_that_is_killed(tmp_path, source, clean):
    """They would go on writing into what is another's by then."""
    options = (*SLOWLY, "--distribution-strategy", "multiprocessing", "--jobs", "2")
    process = started(source, tmp_path / "ds", *options)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.communicate(timeout=20)
    assert psutil.wait_procs(children, timeout=3)[1] == []
    shards = len(list((tmp_path / "ds").rglob("*.wkw")))
    time.sleep(1)
    assert len(list((tmp_path / "ds").rglob("*.wkw"))) == shards
    assert run(source, tmp_path / "ds", *options).returncode == 0
    assert different(tmp_path / "ds", clean) == []


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_streams_may_be_closed(tmp_path, closed):
    """What is printed must not end up in a file that has got the number of the stream."""
    source = dataset(tmp_path, (70, 40, 40), most=250)
    assert run(source, tmp_path / "clean", "--max-mag", "2").returncode == 0
    line = shlex.join([*FRESH, *auto(source, tmp_path / "ds", "--max-mag", "2", "--json")])
    ended = subprocess.run(["sh", "-c", f"{line} {closed}"], capture_output=True, text=True, check=False, timeout=100)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert bool(ended.stdout) == (closed in ("2>&-", "<&-"))
    assert different(tmp_path / "ds", tmp_path / "clean") == []


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc").exists(), reason="ru_maxrss has other units elsewhere")
def test_the_peak_stays_within_the_budget_and_does_not_grow_with_the_volume(tmp_path):
    small, large = (
        repeat_noise(tmp_path / name / "src", shape, compression="lz4", file_len="8")
        for name, shape in (("small", (512, 512, 256)), ("large", (1024, 1024, 512)))
    )
    budget = 300 << 20
    options = ("--memory", str(budget), "--jobs", "2", "--file-len", "2")
    # two threads that are at their largest at the same moment differ from run to run: the least of some says what grows
    smalls = [peak_of(*auto(small, small.parent / f"ds{run}", *options)) for run in range(3)]
    larges = []
    while not larges or (min(larges) > 1.1 * max(smalls) and len(larges) < 3):
        larges.append(peak_of(*auto(large, large.parent / f"ds{len(larges)}", *options)))
    assert max(*smalls, *larges) <= budget
    assert min(larges) <= 1.1 * max(smalls)


def test_no_file_stays_open(tmp_path):
    source = dataset(tmp_path, (100, 100, 100), most=250)
    convert(source, tmp_path / "ds", Settings(jobs=2))
    assert [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path] == []
