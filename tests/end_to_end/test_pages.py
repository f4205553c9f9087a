"""Every command and every line of Python on the pages that say so is run, in order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import paths

from wkconvert_core.registry.plugins import plugins

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("tiff" not in plugins().formats(), reason="wkconvert-tiff is not installed"),
]
DOCS = paths.ROOT / "docs"


def blocks(page, language):
    """The code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text("utf-8"), re.S)


@pytest.fixture
def shell(tmp_path):
    """Runs lines in a shell that finds this environment's programs, and fails with what they say."""

    def run(*command, stdin=None):
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PATH": path}, input=stdin, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{stdin or command}: {done.stderr}{done.stdout}"
        return done.stdout

    return run


def test_the_first_dataset_is_made_as_its_page_says(shell, tmp_path):
    lines = [line for block in blocks("first-dataset.md", "sh") for line in block.splitlines()]
    assert len(lines) == 10
    for line in lines:
        shell("sh", "-ec", line)
    assert {path.name for path in tmp_path.iterdir()} == {
        "demo",
        "demo-stack",
        "my_dataset",
        "picture.png",
        "other",
        "slices",
    }
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_the_lines_of_python_run_as_their_page_says(shell):
    pytest.importorskip("xarray")
    shell("sh", "-ec", "wkconvert demo my_dataset && mv my_dataset-stack/color my_stack")
    told = shell(sys.executable, "-", stdin="\n".join(blocks("python.md", "python")))
    assert "128, 128, 64" in told
    assert told.splitlines()[-1] == "True"


def test_every_page_is_in_the_site_and_every_page_of_the_site_is_there():
    listed = set(re.findall(r"[\w/-]+\.md", (paths.ROOT / "mkdocs.yml").read_text("utf-8")))
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
