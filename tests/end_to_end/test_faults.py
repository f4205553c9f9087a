"""What survives kills, signals, full disks and little memory: the command as a process, disturbed from outside."""

import filecmp
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from wkconvert_core import VoxelSize
from wkconvert_core.conversion.execute import convert
from wkconvert_core.conversion.settings import Settings

COMMAND = [sys.executable, "-c", "from wkconvert_core.cli.app import main; main()"]
FAULTY_CALLS = ["write", "fsync", "rename", "unlink", "mkdir", "rmdir"]


def dataset(reader, folder, shape, dtype="uint8", **settings):
    """A WKW dataset: a source that core reads without any plugin."""
    voxels = np.random.default_rng(0).integers(0, 250, (1, *shape)).astype(dtype)
    settings = {"downsample": False, **settings}
    convert(reader(folder / "raw", voxels), folder / "src", Settings(VoxelSize((4.0, 4.0, 35.0)), **settings))
    shutil.rmtree(folder / "raw")
    return folder / "src"


def auto(source, target, *options, wrapper=()):
    return [*wrapper, *COMMAND, "auto", str(source), str(target), "--name", "ds", *options]


def run(*args, **more):
    return subprocess.run(auto(*args, **more), capture_output=True, text=True, check=False, timeout=120)


def different(a, b):
    """The files that two folders do not have in common, or that differ."""
    names = [{str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()} for root in (a, b)]
    shared = names[0] & names[1]
    return sorted(names[0] ^ names[1]) + [n for n in sorted(shared) if not filecmp.cmp(a / n, b / n, shallow=False)]


def is_complete(target, clean):
    """Whether a dataset has all that a clean one has, but for the record of how it came about."""
    return all(name.startswith(".wkconvert/") for name in different(target, clean))


# --- faults at system calls ------------------------------------------------------------------------------------------


def strace(log, call, number, fault):
    inject = f"inject={call}:{fault}:when={number}"
    return ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", "-e", inject]


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
def test_a_fault_at_a_system_call_is_survived(tmp_path, reader, call, fault):
    source = dataset(reader, tmp_path, (70, 40, 40))
    options = ("--file-len", "1", "--max-mag", "2", "--jobs", "1")
    assert run(source, tmp_path / "clean", *options).returncode == 0
    struck = 0
    for number in moments():
        target = tmp_path / "ds"
        shutil.rmtree(target, ignore_errors=True)
        first = run(source, target, *options, wrapper=strace(tmp_path / "log", call, number, fault))
        trace = (tmp_path / "log").read_text(errors="replace")
        if "INJECTED" not in trace and "killed by SIGKILL" not in trace:
            break
        struck += 1
        if first.returncode:
            assert not (target / "datasource-properties.json").exists() or is_complete(target, tmp_path / "clean")
            assert "Traceback" not in first.stderr, first.stderr
        else:  # the call was one that may fail, such as a write to standard error
            assert different(target, tmp_path / "clean") == []
        again = run(source, target, *options)
        assert (again.returncode, again.stderr.count("Traceback")) == (0, 0), again.stderr
        assert different(target, tmp_path / "clean") == [], (call, number)
    assert struck or call in ("unlink", "rmdir")


# --- signals ---------------------------------------------------------------------------------------------------------


def started(source, target, *options):
    """A run that has written its first shards."""
    process = subprocess.Popen(auto(source, target, *options), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any(target.glob("*/1/z*/y*/x*.wkw")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("strategy", ["threads", "multiprocessing"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_cleanly_and_the_same_command_goes_on(tmp_path, reader, strategy, number, code):
    source = dataset(reader, tmp_path, (512, 512, 192), jobs=2)
    options = ("--file-len", "1", "--compression", "lz4hc", "--distribution-strategy", strategy, "--jobs", "2")
    process = started(source, tmp_path / "ds", *options)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    stderr = process.communicate(timeout=20)[1]
    assert process.returncode == code
    assert "the same command again goes on" in stderr
    assert "Traceback" not in stderr
    assert psutil.wait_procs(children, timeout=2)[1] == []
    assert list((tmp_path / "ds").rglob(".*.tmp")) == []
    assert not (tmp_path / "ds" / "datasource-properties.json").exists()
    assert run(source, tmp_path / "ds", *options).returncode == 0
    assert run(source, tmp_path / "clean", *options).returncode == 0
    assert different(tmp_path / "ds", tmp_path / "clean") == []


# --- memory ----------------------------------------------------------------------------------------------------------


def peak(source, target, *options):
    """Largest resident memory of a run, in bytes, as the system counts it."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    )
    command = [sys.executable, "-c", code, *auto(source, target, *options)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not Path("/proc").exists(), reason="ru_maxrss has other units elsewhere")
def test_the_peak_stays_within_the_budget_and_does_not_grow_with_the_volume(tmp_path, reader):
    small = dataset(reader, tmp_path / "small", (512, 512, 256))
    large = dataset(reader, tmp_path / "large", (1024, 1024, 512))
    budget = 300 << 20
    options = ("--memory", str(budget), "--jobs", "2", "--file-len", "2")
    # two threads that are at their largest at the same moment differ from run to run: the least of some says what grows
    smalls, larges = ([peak(each, each.parent / f"ds{run}", *options) for run in range(3)] for each in (small, large))
    assert max(*smalls, *larges) <= budget
    assert min(larges) <= 1.1 * max(smalls)


def test_no_file_stays_open(tmp_path, reader):
    source = dataset(reader, tmp_path, (100, 100, 100))
    convert(source, tmp_path / "ds", Settings(jobs=2))
    assert [file.path for file in psutil.Process().open_files() if str(tmp_path) in file.path] == []
