"""What the repository itself promises: pins, README, lean imports."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
HEAVY = [
    "dask",
    "distributed",
    "numpy",
    "scipy",
    "joblib",
    "tifffile",
    "imageio",
    "imagecodecs",
    "PIL",
    "nibabel",
    "ncempy",
    "wkw",
    "psutil",
]


def imported_by(code):
    listing = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout
    return {line.split(".")[0] for line in out.splitlines()}


def test_both_lists_of_pinned_versions_are_the_same():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == PROJECT["tool"]["uv"]["constraint-dependencies"]


def test_no_pin_has_an_address():
    assert "://" not in (ROOT / "constraints.txt").read_text("utf-8")


def test_the_readme_begins_with_two_commands():
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    first, second = block[1].strip().splitlines()
    assert "wkconvert demo" in first
    assert second.endswith("pytest")


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text("utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("code", ["import wkconvert_core", "import wkconvert_core.cli.app"])
def test_starting_imports_nothing_heavy(code):
    assert imported_by(code).isdisjoint(HEAVY)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['wkconvert', 'auto', '--help']\n"
        "from wkconvert_core.cli.app import app\n"
        "try: app()\nexcept SystemExit: pass"
    )
    assert imported_by(code).isdisjoint(HEAVY)


def test_loading_every_plugin_and_detecting_imports_no_format_library(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(100))
    code = (
        "from pathlib import Path; from wkconvert_core.registry.plugins import plugins\n"
        "from wkconvert_core.registry import detection as detect\n"
        f"path = Path({str(tmp_path / 'a.tif')!r})\n"
        "detect.ask(path, detect.read_head(path), plugins()); detect.ask(path.parent, b'', plugins())"
    )
    assert imported_by(code).isdisjoint(set(HEAVY) - {"numpy"})
