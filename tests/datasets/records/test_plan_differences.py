"""What is said where a target holds another run's work: in what that run differs."""

import json

import numpy as np
import pytest
from helpers.conversions import invoke

from wkconvert_core import TargetError

SIZE = ["--voxel-size", "4,4,35"]


@pytest.fixture
def source(tmp_path, reader):
    return reader(tmp_path / "src", np.arange(40**3, dtype="uint32").reshape(1, 40, 40, 40) % 97)


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (["--max-mag", "2"], [], "with --max-mag 2"),
        ([], ["--max-mag", "2"], "without --max-mag"),
        (["--compression", "lz4"], ["--compression", "lz4hc"], "with --to-option compression=lz4"),
        (["--pad"], [], "with --pad"),
        ([], ["--flip", "x"], "without --flip"),
        (["--voxel-size", "8,8,35"], [], "with another --voxel-size"),
        (["--max-mag", "2", "--flip", "x"], [], "with --flip x, with --max-mag 2"),
    ],
)
def test_another_option_is_named(tmp_path, source, first, then, told):
    invoke("auto", source, tmp_path / "ds", *SIZE, "--category", "color", *first)
    with pytest.raises(TargetError) as caught:
        invoke("auto", source, tmp_path / "ds", *SIZE, "--category", "color", *then)
    assert caught.value.why == f"it was made {told}; only the same command again goes on with what it began"


def test_another_source_and_another_command_are_named(tmp_path, reader, source):
    other = reader(tmp_path / "other", np.zeros((1, 40, 40, 40), "uint32"))
    invoke("auto", source, tmp_path / "ds", *SIZE, "--category", "color")
    with pytest.raises(TargetError, match="it was made from another source, src;"):
        invoke("auto", other, tmp_path / "ds", *SIZE, "--category", "color")
    np.save(source / "volume.npy", np.zeros((1, 40, 40, 40), "uint32"))
    with pytest.raises(TargetError, match="it was made from files that have changed since, or others;"):
        invoke("auto", source, tmp_path / "ds", *SIZE, "--category", "color")
    invoke("cube", other, tmp_path / "cubed", "--category", "color")
    with pytest.raises(TargetError, match="it was made "):
        invoke("auto", other, tmp_path / "cubed", *SIZE, "--category", "color")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"settings": 7}', '{"settings": {"to_options": "(("}}', "\x00", "[" * 9999]
)
def test_a_plan_of_anybody_else_is_no_bug(tmp_path, source, text):
    invoke("auto", source, tmp_path / "ds", *SIZE, "--category", "color")
    next((tmp_path / "ds" / ".wkconvert").glob("*.plan")).write_text(text)
    with pytest.raises(TargetError):
        invoke("auto", source, tmp_path / "ds", *SIZE, "--category", "color", "--flip", "x")


def test_a_plan_without_its_settings_tells_the_rest(tmp_path, source):
    invoke("auto", source, tmp_path / "ds", *SIZE, "--category", "color")
    plan = next((tmp_path / "ds" / ".wkconvert").glob("*.plan"))
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "version": "0.0.1"}))
    with pytest.raises(TargetError, match=r"it was made by wkconvert 0\.0\.1;"):
        invoke("auto", source, tmp_path / "ds", *SIZE, "--category", "color")
