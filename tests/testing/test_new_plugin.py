"""The template is built, installed beside this environment, run and tested, as its README says."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wkconvert_core import OptionError
from wkconvert_core.cli.app import app
from wkconvert_core.contract.errors import TargetExists
from wkconvert_core.testing.new_plugin import new_plugin


def test_files_are_written_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = json.loads(CliRunner().invoke(app, ["new-plugin", "abc", "--json"]).stdout)
    assert len(document["files"]) == 5
    assert all("NAME" not in Path(path).read_text("utf-8") for path in document["files"])
    with pytest.raises(TargetExists):
        new_plugin("abc", tmp_path)


@pytest.mark.parametrize("name", ["", "Abc", "a-b", "../x", "1a", "ü"])
def test_only_a_modules_name_is_taken(tmp_path, name):
    with pytest.raises(OptionError, match="no name for a plugin"):
        new_plugin(name, tmp_path)


@pytest.mark.parametrize("name", ["tiff", "raw", "webknossos", "nifti", "core"])
def test_a_name_that_is_taken_is_refused_with_all_that_are(tmp_path, name):
    with pytest.raises(OptionError, match=rf"'{name}' is taken.*dm, .*webknossos.*my{name}"):
        new_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
    new_plugin(f"my{name}", tmp_path)


@pytest.mark.slow
def test_the_plugin_installs_passes_its_tests_and_converts(tmp_path):
    pytest.importorskip("hatchling")
    new_plugin("abc", tmp_path)
    site = tmp_path / "site"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(build, cwd=tmp_path / "wkconvert-abc", check=True, capture_output=True)
    (wheel,) = (tmp_path / "wkconvert-abc" / "dist").iterdir()
    zipfile.ZipFile(wheel).extractall(site)  # installed: it has nothing but Python
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*command):
        program = [sys.executable, "-m", *command]
        done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told = run("pytest", "-q", "-p", "no:cacheprovider", "-p", "no:npe2", "wkconvert-abc/tests")
    assert int(re.search(r"(\d+) passed", told)[1]) >= 15
    (tmp_path / "volume.abc").write_bytes(b"abc volume\n" + (70).to_bytes(4, "little") * 3 + bytes(70**3))
    assert "abc" in run("wkconvert_core", "plugins")
    run("wkconvert_core", "auto", "volume.abc", "dataset", "--voxel-size", "4")
    assert (tmp_path / "dataset" / "datasource-properties.json").exists()
