"""The names that examples in docstrings take for granted, and how the tests are run."""

import functools
import gc
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import typer.testing
from helpers.sources import InMemory
from hypothesis import settings

from wkconvert_core.toolkit import atomic

settings.register_profile("thorough", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=30)
typer.testing._get_command = functools.cache(typer.testing._get_command)  # it takes longer than most commands
os.fsync = os.fstat  # no test here outlives a power failure; a descriptor that is closed is an error as before
atomic._SYNC_THREADS = 1  # threads that do not wait for a disk would cost more than a small conversion
MEMORY = Path("/dev/shm")  # on a disk, making and removing small files takes a third of the time
HAS_MEMORY = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
if "TMPDIR" not in os.environ and HAS_MEMORY and shutil.disk_usage(MEMORY).free >= 8 << 30:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
os.environ["XDG_CONFIG_HOME"] = os.path.join(tempfile.gettempdir(), "nobody's configuration")  # noqa: PTH118
for name in [each for each in os.environ if each.startswith("WKCONVERT_") and each != "WKCONVERT_PEER"]:
    del os.environ[name]  # what the person who runs the tests has set is none of theirs


@pytest.fixture(autouse=True)
def names(doctest_namespace):
    """Let examples say `in_memory([1, 2, 3])` for a Source of three voxels along x."""
    doctest_namespace["in_memory"] = lambda row, dtype="uint8": InMemory(np.array(row, dtype).reshape(1, -1, 1, 1))


def pytest_configure(config):
    """With `-m "not slow"`, properties that do not say how many examples they need are tried with fewer."""
    settings.load_profile("quick" if config.option.markexpr == "not slow" else "thorough")


def pytest_xdist_auto_num_workers(config):
    """One process more than there are cores, as slow tests wait for programs that they started, or for servers."""
    return (os.cpu_count() or 1) + (config.option.markexpr != "not slow")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items):
    """The kit's checks that start interpreters or threads, or try many damages, are slow, in every plugin."""
    slow = ("test_imports", "test_header_only_open", "test_loky", "test_threads", "test_damaged_header")
    for item in items:
        if getattr(item, "originalname", "") in slow:
            item.add_marker("slow")


@functools.cache
def pass_over_what_is_there(file):
    """Let the collector do so before the first test of a file: many tests collect what a source left behind."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logstart(location):
    """Spare each collection the thousands of tests, their reports, and libraries that are imported by now."""
    pass_over_what_is_there(location[0])
