"""The options of workers and memory, and the checks that all groups of options share."""

import pytest

from wkconvert_core import DTYPES
from wkconvert_core.contract.errors import OptionError
from wkconvert_core.conversion.settings import Settings
from wkconvert_core.engine.resources import Resources, budget_of


@pytest.mark.parametrize(
    ("options", "message", "fix"),
    [
        (Resources(jobs=0), "--jobs 0 is too small", "take 1 or more"),
        (Resources(memory=0), "--memory 0 is too small", "take 1 or more"),
        (
            Resources(strategy="fork"),
            "--distribution-strategy cannot be 'fork'",
            "threads, multiprocessing, sequential",
        ),
        (Resources(scheduler="tcp://host:1"), "--scheduler is for --distribution-strategy dask", "leave it out"),
        (Settings(jobs=0), "--jobs 0 is too small", "take 1 or more"),
        (Settings(category="colour"), "--category cannot be 'colour'", "take one of color, segmentation"),
        (Settings(convert="wrap"), "--convert cannot be 'wrap'", "exact, clip, scale"),
        (Settings(gaps="skip"), "--gaps cannot be 'skip'", "take one of error, fill, close"),
        (Settings(sampling_mode="none"), "--sampling-mode cannot be 'none'", "anisotropic, isotropic, constant-z"),
        (Settings(dtype="float16"), "--dtype cannot be 'float16'", ", ".join(DTYPES)),
        (Settings(interpolation_mode="medium"), "--interpolation-mode medium is unknown", "median"),
        (Settings(start_z=-1), "--start-z -1 is too small", "take 0 or more"),
        (Settings(max_mag=3), "--max-mag 3 is no mag", "take a power of two"),
        (Settings(flip="xx"), "--flip xx is wrong", "x, y, z"),
        (Settings(add=True, overwrite=True), "--add and --overwrite contradict each other", "take one"),
        (Settings(file_len=2, to_options={"file_len": "4"}), "--to-option file_len=4 set the same option", "take one"),
    ],
)
def test_what_is_wrong_is_refused_with_what_is_legal(options, message, fix):
    with pytest.raises(OptionError, match=message) as caught:
        options.check()
    assert fix in caught.value.fix


def test_the_defaults_are_legal():
    Resources().check()
    Settings().check()


def test_a_budget_shares_memory_unless_the_workers_are_processes():
    assert budget_of(Resources(jobs=3, memory=1 << 30), 7).shared
    budget = budget_of(Resources(jobs=3, memory=1 << 30, strategy="multiprocessing"), 7)
    assert (budget.memory, budget.workers, budget.shared, budget.scratch) == (1 << 30, 3, False, 7)
    assert budget_of(Resources(jobs=3, strategy="sequential"), 0).workers == 1
