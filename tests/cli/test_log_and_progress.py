"""`--log-file` and `--progress`: what they keep and print, beside and without the terminal."""

import json
import logging
import re

import numpy as np
import pytest
from helpers.conversions import different, em, invoke
from helpers.processes import wkconvert

from wkconvert_core import OptionError
from wkconvert_core.cli.reporting.log_file import logged
from wkconvert_core.cli.reporting.output import console
from wkconvert_core.cli.reporting.progress_bar import shown
from wkconvert_core.engine.progress import Progress

SIZE = ("--voxel-size", "4,4,35")


@pytest.fixture
def source(tmp_path):
    """Any process can read this."""
    em()[0].T.tofile(tmp_path / "em_70x60x40_uint8.raw")
    return tmp_path / "em_70x60x40_uint8.raw"


def test_a_log_has_the_command_details_notes_and_end_and_the_terminal_nothing(tmp_path, source):
    log = tmp_path / "wk.log"
    quiet = wkconvert("auto", source, tmp_path / "ds", *SIZE, "-q", "--log-file", log)
    assert (quiet.returncode, quiet.stdout + quiet.stderr) == (0, "")
    lines = log.read_text().splitlines()
    assert all(re.match(r"[0-9-]{10} [0-9:,]{12} wkconvert", line) for line in lines)
    assert f"wkconvert: wkconvert auto {source}" in lines[0]
    assert [line for line in lines if " wkconvert_core." in line]
    assert lines[-1].endswith(" wkconvert: done")
    verbose = wkconvert("auto", source, tmp_path / "other", *SIZE, "-v").stderr
    told = re.findall(r" ms (wkconvert_core[.a-z_]+): ", verbose)
    assert told
    assert set(told) <= set(re.findall(r" (wkconvert_core[.a-z_]+): ", log.read_text()))
    assert [name for name in different(tmp_path / "ds", tmp_path / "other") if "properties" not in name] == []


def test_a_log_goes_on_and_keeps_errors_and_notes(tmp_path, source):
    log = tmp_path / "wk.log"
    np.full((8, 8, 8), np.nan, "float32").tofile(tmp_path / "nan_8x8x8_float32.raw")
    refused = wkconvert("auto", source, tmp_path / "ds", *SIZE, "--flip", "q", "--log-file", log)
    assert refused.returncode == 2
    assert "--flip q is wrong" in log.read_text()
    assert "ended by OptionError" in log.read_text()
    before = log.read_text()
    done = wkconvert("auto", tmp_path / "nan_8x8x8_float32.raw", tmp_path / "nan", *SIZE, "--log-file", log)
    assert log.read_text().startswith(before)
    warnings = [line.partition("warning: ")[2] for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert warnings
    assert [one for one in warnings if f"warning: {one}" not in log.read_text()] == []


@pytest.mark.parametrize("command", ["cube", "downsample", "compress", "recube", "export-tiff", "metadata", "upsample"])
def test_every_command_that_writes_keeps_a_log(tmp_path, source, command):
    log = tmp_path / "wk.log"
    invoke("auto", source, tmp_path / "ds", *SIZE, "--compression", "none", "-q")
    paths = {
        "cube": [source, tmp_path / "out"],
        "recube": [tmp_path / "ds", tmp_path / "out"],
        "export-tiff": [tmp_path / "ds", tmp_path / "out"],
        "downsample": [tmp_path / "ds", "--max-mag", "8"],
    }
    invoke(command, *paths.get(command, [tmp_path / "ds"]), "--log-file", log)
    assert log.read_text().endswith(" wkconvert: done\n")


def test_a_log_file_is_never_data(tmp_path, source):
    before = source.read_bytes()
    with pytest.raises(OptionError, match="no log of wkconvert"):
        invoke("auto", source, tmp_path / "ds", *SIZE, "--log-file", source)
    assert source.read_bytes() == before
    for place in (tmp_path / "nowhere/wk.log", tmp_path):
        with pytest.raises(OptionError, match=r"--log-file .* cannot be written"):
            invoke("auto", source, tmp_path / "ds", *SIZE, "--log-file", place)
    assert not (tmp_path / "ds").exists()


def test_a_log_that_cannot_be_written_any_more_ends_no_work(tmp_path, capsys):
    with logged(tmp_path / "wk.log"):
        handler = next(each for each in logging.getLogger().handlers if "wk.log" in getattr(each, "baseFilename", ""))
        handler.stream.close()
        handler.stream = open("/dev/full", "w")  # noqa: PTH123, SIM115 - it stays open
        logging.getLogger("wkconvert").log(5, "x")
        assert handler not in logging.getLogger().handlers
    assert "wk.log cannot be written any more" in capsys.readouterr().err


def test_a_bug_is_logged_with_its_traceback_and_nothing_stays_open(tmp_path):
    before = list(logging.getLogger().handlers)
    with pytest.raises(ZeroDivisionError), logged(tmp_path / "wk.log"):
        1 / 0  # noqa: B018
    assert "Traceback" in (tmp_path / "wk.log").read_text()
    assert logging.getLogger().handlers == before


# --- progress --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("-q",), ("--json",)], ids=str)
def test_progress_in_json_is_a_line_for_each_event(tmp_path, source, more):
    result = wkconvert("auto", source, tmp_path / "ds", *SIZE, "--progress", "json", *more)
    events = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    keys = "step number steps voxels total voxel_bytes done workers waiting"
    assert {" ".join(event) for event in events} == {keys}
    assert [event["done"] for event in events] == sorted(event["done"] for event in events)
    assert events[-1]["done"] == 1
    assert events[-1]["voxels"] == events[-1]["total"]
    assert {event["number"] for event in events} == set(range(1, events[0]["steps"] + 1))
    if more:
        assert len(events) == len(result.stderr.splitlines())
    if "--json" in more:
        assert json.loads(result.stdout)["written"]


def test_waiting_is_told_to_programs(capsys):
    with shown(console(stderr=True), "json") as listen:
        listen(Progress("", 0, 3, 0, 0, 1, waiting="0 of 4 jobs run"))
    told = json.loads(capsys.readouterr().err)
    assert (told["waiting"], told["done"], told["number"], told["steps"]) == ("0 of 4 jobs run", 0, 0, 3)


def test_progress_of_commands_that_read(tmp_path, source):
    invoke("auto", source, tmp_path / "ds", *SIZE, "-q")
    told = wkconvert("verify", tmp_path / "ds", "--progress", "json").stderr
    assert json.loads(told.splitlines()[-1])["done"] == 1


@pytest.mark.slow
def test_progress_as_asked(tmp_path, source):
    def stderr(how):
        return wkconvert("auto", source, tmp_path / how, *SIZE, "--progress", how).stderr

    assert "100%" not in stderr("none")
    assert "100%, " in stderr("plain")
    assert "\x1b[" not in stderr("auto")
    assert "\x1b[" in stderr("bar")
    with pytest.raises(OptionError, match="did you mean plain"):
        invoke("auto", source, tmp_path / "ds", *SIZE, "--progress", "plian")
